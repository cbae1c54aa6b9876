"""What doctor says of the battery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app import batterydoctor
from app.checks import Check
from app.config import Config
from app.doctor import DEVICES, examine
from tests.batteries.test_sources import FakeStore
from tests.meters.fakes.alphaess import FakeCloud


async def asked(folder: Path, battery: dict[str, Any] | None) -> Check:
    document = {
        "data_dir": str(folder),
        "mqtt": {"host": "127.0.0.1:9"},
        "meter": {"type": "shelly", "host": "127.0.0.1"},
        "inverters": [{"serial": "116180400001", "max_watt": 1500}],
    }
    if battery is not None:
        document["battery"] = battery
    (check,) = await examine(Config.model_validate(document), ["battery"])
    return check


def url(store: FakeStore) -> dict[str, Any]:
    return {"type": "http_json", "url": f"http://{store.host}/battery", "soc_path": "$.soc", "power_path": "$.p"}


async def test_charge_and_power_and_what_to_compare_them_with(tmp_path: Path) -> None:
    async with FakeCloud().serve() as cloud:
        check = await asked(tmp_path, {"type": "alphaess", "name": "Cellar", **cloud.login})
    assert (check.name, check.status, check.detail) == ("battery", "ok", "Cellar: 61 %, discharging with 1264 W")
    assert dict(check.values)["soc_pct"] == 61.0
    assert "set battery.sign" in check.next_step


async def test_a_refused_login_a_wrong_path_and_an_address_where_nobody_is(tmp_path: Path) -> None:
    async with FakeCloud().serve() as cloud:
        check = await asked(tmp_path, {"type": "alphaess", **cloud.login, "app_secret": "another one"})
    assert (check.status, "check app_id and app_secret" in check.detail) == ("fail", True)
    assert "Check the login" in check.next_step
    store = FakeStore()
    async with store.serve():
        store.document = {"soc": 50}
        check = await asked(tmp_path, url(store))
        assert (check.status, "no values at $.p" in check.detail) == ("fail", True)
        assert "docs/batteries.md" in check.next_step
        store.document = {"soc": 50, "p": -3}
        assert "set battery.invert: true" in (await asked(tmp_path, url(store))).next_step
    check = await asked(tmp_path, url(store))
    assert (check.status, "cannot reach" in check.detail) == ("fail", True)
    assert "Check the address" in check.next_step


async def test_silence_and_no_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batterydoctor, "SHORTEST_WAIT_S", 0.2)
    monkeypatch.setattr(batterydoctor, "LONGEST_WAIT_S", 0.3)
    check = await asked(tmp_path, {"type": "mqtt", "soc_topic": "a", "power_topic": "b"})
    assert (check.status, "mqtt: nothing within" in check.detail) == ("fail", True)
    assert (await asked(tmp_path, None)).detail == "there is no battery section"
    assert "battery" in DEVICES
