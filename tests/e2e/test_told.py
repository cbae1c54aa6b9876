"""People are told: one fault, and the same words in every place where somebody may look."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.simulator.shelly_bodies import Fault
from tests.conftest import until
from tests.e2e.conftest import Installation, held

pytestmark = pytest.mark.e2e

Told = list[dict[str, Any]]


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Told, str]]:
    """A server that people are told by."""
    told: Told = []

    async def take(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", take)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    yield told, f"http://127.0.0.1:{server.port}/hook"
    await server.close()


def stored(folder: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "data" / "telemetry.db")) as connection:
        return connection.execute(text).fetchall()


async def test_a_fault_and_its_end_are_told_everywhere(
    installation: Installation, tmp_path: Path, hook: tuple[Told, str]
) -> None:
    place, (told, url) = installation, hook
    script = tmp_path / "tell.sh"
    script.write_text(f'#!/bin/sh\necho "$ALERT_STATE $ALERT_KEY" >> {tmp_path}/said\nenv > {tmp_path}/environment\n')
    script.chmod(0o755)
    place.configure(alerts={"command": [str(script)], "webhook": {"url": url}, "after_s": 1})
    place.app.environment["SOME_SECRET"] = "canary-7f3a"
    await place.app.start()
    await held(place)
    place.shelly.fault = Fault.DOWN
    await until(lambda: told, 15, "an alert")
    assert (told[0]["state"], told[0]["key"], told[0]["site"]) == ("fault", "meter", "home")
    status = await place.app.status()
    assert [fault["key"] for fault in status["faults"]] == ["meter"]
    state: dict[str, Any] = {}
    async with asyncio.timeout(30):  # it is published every few seconds
        while not state.get("faults"):
            state = json.loads(await place.retained("zeropower/state") or "{}")
    assert [(fault["key"], fault["since"]) for fault in state["faults"]] == [("meter", status["faults"][0]["since"])]
    _, metrics = await place.app.ask("GET", "/metrics")
    assert 'zero_export_fault{key="meter"} 1.0\n' in metrics
    await asyncio.sleep(5)  # the text counts seconds; that is no new fault
    place.shelly.fault = None
    await until(lambda: len(told) > 1, 20, "the end of it")
    assert (told[1]["state"], told[1]["key"]) == ("recovered", "meter")
    assert await place.app.stop() == 0
    assert [line for line in place.app.log if "fault meter: " in line] == [
        line for line in place.app.log if "fault " in line
    ]
    assert sum("fault meter: " in line for line in place.app.log) == 1
    assert sum("over meter: " in line for line in place.app.log) == 1
    assert stored(tmp_path, "SELECT kind, key FROM event WHERE kind LIKE 'fault%' ORDER BY utc_ms") == [
        ("fault", "meter"),
        ("fault_cleared", "meter"),
    ]
    assert (tmp_path / "said").read_text().split("\n") == ["fault meter", "recovered meter", ""]
    assert "canary-7f3a" not in (tmp_path / "environment").read_text()


async def test_an_export_that_nothing_explains_is_on_the_account(installation: Installation, tmp_path: Path) -> None:
    place = installation
    place.configure(excursions={"over_w": 100, "longer_s": 4})
    await place.app.start()
    await held(place)
    before = (await place.app.status())["excursions"]
    place.house.load_override_w = -400.0  # a battery that nobody has told us of feeds in
    status = await place.app.when(lambda s: any(fault["key"] == "excursion" for fault in s["faults"]))
    assert "more than is allowed" in next(f["text"] for f in status["faults"] if f["key"] == "excursion")
    assert status["excursions"]["current_s"] >= 4.0
    place.house.load_override_w = 600.0
    status = await place.app.when(lambda s: not s["faults"] and s["excursions"]["current_s"] == 0.0)
    account = status["excursions"]
    assert account["today"] == account["total"] == before["total"] + 1
    assert account["worst_today_w"] > 200.0
    assert await place.app.stop() == 0
    assert stored(tmp_path, "SELECT length_s, worst_w FROM event WHERE kind = 'excursion' ORDER BY utc_ms")[-1] == (
        pytest.approx(account["last"]["length_s"], abs=0.01),
        pytest.approx(account["last"]["worst_w"], abs=0.01),
    )
    await place.app.start()
    again = (await place.app.when(lambda s: s.get("excursions") is not None))["excursions"]
    assert (again["since"], again["last"]["began"]) == (account["since"], account["last"]["began"])
    assert again["total"] == account["total"]


async def test_a_dry_run_has_no_account(installation: Installation, tmp_path: Path) -> None:
    place = installation
    place.app.arguments = ("--dry-run",)
    await place.app.start()
    await place.app.when(lambda s: s.get("grid_w") is not None)
    assert (await place.app.status())["excursions"] is None
    assert await place.app.stop() == 0
    assert not (tmp_path / "data" / "excursions.json").exists()
