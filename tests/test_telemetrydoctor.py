"""What doctor says of InfluxDB: as the controller would write to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.checks import Check
from app.config import Config
from app.doctor import examine
from tests.telemetry.writes import Server, serving


async def asked(folder: Path, server: Server, **influx: Any) -> Check:
    """The check of a configuration that names this server."""
    document = {
        "data_dir": str(folder),
        "mqtt": {"host": "127.0.0.1"},
        "meter": {"type": "shelly", "host": "127.0.0.1"},
        "inverters": [{"serial": "116180400001", "max_watt": 1500}],
        "influxdb": {"url": f"http://127.0.0.1:{server.port}", "token": "old", **influx},
    }
    (check,) = await examine(Config.model_validate(document), ["telemetry"])
    return check


async def test_both_buckets_are_tried_with_the_token_that_the_controller_would_use(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("newer\n")
    async with serving(lambda *_: 204) as server:
        check = await asked(tmp_path, server, token_file=str(tmp_path / "token"))
    assert check.status == "ok"
    assert "takes points for zero_export and zero_export_1m" in check.detail
    assert server.buckets == ["zero_export", "zero_export_1m"]
    assert {request.headers["Authorization"] for request in server.seen} == {"Token newer"}


async def test_its_points_have_the_form_of_all_events(tmp_path: Path) -> None:
    """A name that is a tag here and a field there is refused by some databases ever after."""
    async with serving(lambda *_: 204) as server:
        await asked(tmp_path, server)
    assert all(one.startswith('event,site=home kind="doctor",text=') for one in server.taken)


@pytest.mark.parametrize(
    ("status", "told", "step"),
    [
        (404, "does not know bucket zero_export_1m", "create the bucket"),
        (403, "refuses the token", "may write to zero_export_1m"),
    ],
)
async def test_a_lasting_bucket_that_cannot_be_written_is_told(
    tmp_path: Path, status: int, told: str, step: str
) -> None:
    async with serving(lambda bucket, _: status if bucket.endswith("_1m") else 204) as server:
        check = await asked(tmp_path, server)
    assert check.status == "fail"
    assert told in check.detail
    assert step in check.next_step


async def test_a_token_that_the_server_repeats_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-the-file")
    async with serving(lambda *_: (500, {"message": 'authorization="from-the-file" is strange'})) as server:
        check = await asked(tmp_path, server, token_file=str(tmp_path / "token"))
    assert "is strange" in check.detail
    assert "from-the-file" not in check.detail
