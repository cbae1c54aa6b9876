"""The description and the server, compared by schemathesis: no 5xx, and every answer as described.

A few hundred requests; many more with FAULTS_FULL=1.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from app.model import PriceState
from app.telemetry.projector import Projector

from .conftest import Build, House
from .ticks import METER_FAULT, UTC_S, make_tick

FULL = os.environ.get("FAULTS_FULL", "") not in ("", "0")
EXAMPLES, MADE = (700, 5000) if FULL else (25, 300)
READ, CONTROL = "only-looking-7f3a", "may-change-91bc"
# 413 and 421 are refusals too
CONFIG = (
    "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 429]\n"
    + "".join(
        f"[[operations]]\ninclude-path = {path!r}\n"
        "[operations.checks.positive_data_acceptance]\nexpected-statuses = ['2xx', 400, 401, 403, 404, 409]\n"
        for path in (
            "/api/history",
            "/api/export",
            "/api/ensemble",
        )  # from after to is refused, which no schema can say
    )
)
STREAM = "/api/events"  # has no end to wait for; tests/api/test_events.py


async def compare(house: House, folder: Path, *arguments: str) -> int:
    """Run schemathesis; the number of requests that it made. Fails with its report."""
    house.stored = {"utc_s": [UTC_S - 60 * i for i in range(60, 0, -1)], "grid_w": [100.0 + i for i in range(60)]}
    house.hub.publish(make_tick(faults=(METER_FAULT,), price=PriceState(4.0, 30.0, False, UTC_S + 60.0, None)))
    await house.keep(Projector("home").points(make_tick(faults=(METER_FAULT,))))
    (folder / "schemathesis.toml").write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{house.url}/openapi.json", "--exclude-path", STREAM,
        "--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--max-redirects", "0",
        "--continue-on-failure", "--no-color", "--warnings", "off", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
    )  # fmt: skip
    output, _ = await process.communicate()
    report = output.decode(errors="replace")
    assert process.returncode == 0, report
    tested = re.search(r"Tested: (\d+)", report)
    generated = re.search(r"(\d+) generated", report)
    assert tested is not None, report
    assert generated is not None, report
    assert int(tested[1]) == operations(house) - 2, report  # the stream, and the description itself
    return int(generated[1])


def operations(house: House) -> int:
    return sum(route.method != "HEAD" for route in house.server.application().router.routes())


async def test_without_tokens(build: Build, tmp_path: Path) -> None:
    house = await build()
    assert await compare(house, tmp_path) >= MADE


@pytest.mark.parametrize("token", [READ, CONTROL])
async def test_with_tokens(build: Build, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among other things it leaves the token out, and sends wrong ones."""
    monkeypatch.setattr("app.api.door.MAX_WRONG", 10**9)
    house = await build(token=CONTROL, read_token=READ, allowed_origins=("http://[fd00::5]:3000", "https://g.example"))
    before = house.store.current
    assert await compare(house, tmp_path, "--header", f"Authorization: Bearer {token}") >= MADE
    if token == READ:
        assert (house.store.current, house.tests.request) == (before, None)


@pytest.mark.skipif(FULL, reason="a few requests are enough")
async def test_a_server_that_differs_is_noticed(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison compares."""
    monkeypatch.setattr("app.api.archive.columns", lambda _stored: {"utc_s": "soon"})
    with pytest.raises(AssertionError, match="Response violates schema"):
        await compare(await build(), tmp_path)
