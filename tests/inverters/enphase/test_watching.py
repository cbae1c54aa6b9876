"""What is known of the system while nobody switches: its production, its outages, and what doctor says of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app.inverters.enphase.health import Health
from app.inverters.enphase.past import Memory, Past
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Rule
from tests.conftest import until
from tests.enphase.cloud import FakeCloud
from tests.enphase.fake import SERIAL, SOFTWARE, token
from tests.enphase.fake_limits import NORMAL, ZERO, Limits, off_document

Make = Callable[..., Any]


async def found(one: Any) -> dict[str, list[str]]:
    """The findings of doctor by their status, each with its next step."""
    seen: dict[str, list[str]] = {"ok": [], "warn": [], "fail": []}
    for check in await one.examine():
        assert check.name == "inverter"
        assert check.next_step or check.status == "ok"
        seen[check.status].append(f"{check.detail} -> {check.next_step}")
    return seen


class TestTheProduction:
    async def test_clamps_tell_it_with_their_own_time(self, system: Make) -> None:
        one, _, _ = await system(run=True)
        await until(lambda: one.states()[0].power_at_s is not None)
        (state,) = one.states()
        assert (state.ac.power_w, state.ac.voltage_v, state.ac.frequency_hz) == (4000.0, 230.4, 50.0)
        assert (state.ac.yield_total_kwh, state.producing, state.serial, state.name) == (1.0, True, SERIAL, "Enphase")
        assert one.meter.source == "/ivp/meters/readings"
        assert (one.gateway().name, one.gateway().online, one.gateway().fault) == ("Enphase gateway", True, None)

    async def test_without_clamps_the_microinverters_do_and_seldom(self, system: Make) -> None:
        one, _, _ = await system(Limits(clamps=False), run=True)
        await until(lambda: one.states()[0].power_at_s is not None)
        assert (one.meter.source, one.meter.slowest_s) == ("/production.json", 60.0)
        before_s = one.states()[0].power_at_s
        produced, at_s = await one.meter.read()
        assert (produced.ac.power_w, at_s) == (4000.0, None)  # the same reading as before proves nothing new
        assert one.states()[0].power_at_s == before_s

    async def test_old_firmware_has_only_the_sum(self, system: Make) -> None:
        one, _, gateway = await system(None, "4", username="envoy", password=SERIAL[-6:])
        for path in ("/ivp/meters", "/production.json", "/ivp/ensemble/inventory"):
            gateway.handlers[path] = lambda _request: web.Response(status=404)
        gateway.handlers["/api/v1/production"] = lambda _request: {
            "wattHoursToday": 8000, "wattHoursSevenDays": 1, "wattHoursLifetime": 9_000_000, "wattsNow": 2417,
        }  # fmt: skip
        produced, at_s = await one.meter.read()
        assert (produced.ac.power_w, produced.ac.yield_day_wh, produced.ac.yield_total_kwh) == (2417.0, 8000.0, 9000.0)
        assert at_s is not None

    @pytest.mark.parametrize("readings", [None, [], [{}], "x", [{"eid": 704643328, "activePower": "many"}], {"a": 1}])
    async def test_nonsense_is_no_production(self, system: Make, readings: Any) -> None:
        one, _, gateway = await system()
        gateway.handlers["/ivp/meters/readings"] = lambda _request: web.json_response(readings)
        with pytest.raises(DeviceDataError, match="no activePower"):
            await one.meter.read()


class TestOutages:
    """Health is asked with times of our own."""

    @pytest.mark.parametrize(
        ("error", "patience_s"),
        [(DeviceUnavailable("away"), 900.0), (DeviceAuthError("no"), 60.0), (DeviceDataError("what?"), 60.0)],
    )
    def test_the_nightly_silence_is_no_fault_and_a_refusal_is_soon(self, error: DeviceError, patience_s: float) -> None:
        health = Health()
        assert health.online is None
        assert health.fine(0.0) is None
        assert health.failed(error, 100.0) is None
        assert health.online is True
        assert health.fault(99.0 + patience_s) is None
        assert health.failed(error, 100.0 + patience_s) == str(error)
        assert health.failed(error, 200.0 + patience_s) is None
        assert health.online is False
        assert str(error) in (health.fault(200.0 + patience_s) or "")
        assert health.fine(300.0 + patience_s) == "answers again"
        assert health.fault(300.0 + patience_s) is None
        assert health.trouble is None

    def test_one_that_never_answered_is_told_soon(self) -> None:
        health = Health()
        health.failed(DeviceUnavailable("nobody there"), 0.0)
        assert health.failed(DeviceUnavailable("nobody there"), 60.0) == "nobody there"
        assert health.fault(200.0) == "nobody there (for 3 min)"

    async def test_it_comes_back_by_itself_and_says_little(
        self, system: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level(logging.INFO)
        monkeypatch.setattr("app.inverters.enphase.driver.LONGEST_PAUSE_S", 0.1)
        one, _, gateway = await system(run=True)
        one.config = one.config.model_copy(update={"interval_s": 0.05})
        await until(lambda: one.states()[0].data_seq > 1)
        async with gateway.away():
            await until(lambda: one.last_trouble is not None)
            assert not await one.set_rule(SERIAL, Rule(0.0))
            assert one.states()[0].rule.refused
        answers = one.states()[0].data_seq
        await until(lambda: one.states()[0].data_seq > answers)
        assert one.gateway().fault is None
        assert await one.set_rule(SERIAL, Rule(0.0))
        assert len([line for line in caplog.messages if "127.0.0.1" in line]) <= 2

    async def test_a_token_that_ran_out_is_renewed_and_the_rule_is_taken(
        self, system: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.enphase.account.NEWER_S", 0.0)
        async with FakeCloud(role="installer", lifetime_s=12 * 3600.0).serve() as cloud:
            one, limits, gateway = await system(control="grid_profile", token="", **cloud.keys)
            assert await one.set_rule(SERIAL, Rule(0.0))
            gateway.revoked.update(cloud.made)  # at noon
            gateway.forget_sessions()
            assert await one.set_rule(SERIAL, Rule())
            assert (limits.selected, len(cloud.made)) == (NORMAL, 2)


class TestDoctor:
    async def test_profiles_are_listed_as_they_are_to_be_written(self, system: Make) -> None:
        one, limits, _ = await system(control="grid_profile", profile_zero="", profile_normal="", run=True)
        seen = await found(one)
        listed = next(text for text in seen["ok"] if "3 grid profiles" in text)
        assert f"* {NORMAL!r}" in listed
        assert f"- {ZERO!r}" in listed
        assert any("profile_zero is not set" in text for text in seen["fail"])
        assert limits.writes == []

    async def test_all_is_well(self, system: Make) -> None:
        one, limits, _ = await system(run=True)
        seen = await found(one)
        assert (seen["fail"], limits.writes) == ([], [])
        assert any(SOFTWARE["8"] in text for text in seen["ok"])
        assert any("4000.0 W, by /ivp/meters/readings" in text for text in seen["ok"])

    async def test_another_gateway_than_configured(self, system: Make) -> None:
        one, _, _ = await system(run=True, serial="121999999999")
        (told,) = (await found(one))["fail"]
        assert f'serial: "{SERIAL}"' in told

    async def test_an_owner_cannot_switch(self, system: Make) -> None:
        one, _, _ = await system(run=True, token=token(role="owner"))
        (told,) = (await found(one))["fail"]
        assert "DIY installer access" in told

    @pytest.mark.parametrize("control", ["dpel", "grid_profile", "production"])
    @pytest.mark.parametrize("firmware", ["4", "5", "7", "8"])
    async def test_every_control_on_every_firmware(self, system: Make, firmware: str, control: str) -> None:
        login = {"username": "installer", "password": "made-of-serial"} if firmware in "45" else {}
        limits = Limits() if firmware == "8" else Limits(dpel=None)
        one, limits, _ = await system(limits, firmware, control=control, run=True, **login)
        seen = await found(one)
        assert any(SOFTWARE[firmware] in text for text in seen["ok"])
        assert limits.writes == []
        if control == "dpel" and firmware != "8":
            (told,) = seen["fail"]
            assert "use control: grid_profile" in told
        else:
            assert seen["fail"] == []
        assert any("last resort" in text for text in seen["warn"]) is (control == "production")

    async def test_a_battery_and_a_profile_that_cannot_know_of_it(self, system: Make) -> None:
        one, _, _ = await system(run=True, control="grid_profile", battery=True)
        (told,) = (await found(one))["warn"]
        assert "collapses to 0 W" in told
        assert "price.on_change.command" in told

    async def test_quirks_and_foreign_limits_are_told(self, system: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(SOFTWARE, "8", "D8.2.4398")
        document = off_document()
        document["dynamic_pel_settings"] = {
            "enable": True, "export_limit": False, "limit_value_W": 5000.0, "installed_capacity": 8200.0,
        }  # fmt: skip
        one, _, _ = await system(Limits(dpel=document), run=True)
        seen = await found(one)
        assert any("export limited to 5000 W, not ours" in text for text in seen["ok"])
        assert any("installed_capacity" in text for text in seen["ok"])
        assert any("1.5 to 5 minutes" in text for text in seen["warn"])

    async def test_nobody_there(self, system: Make) -> None:
        one, _, gateway = await system()
        await gateway.stop()
        (told,) = (await found(one))["fail"]
        assert "Check host" in told


def test_a_damaged_file_is_put_aside_and_nothing_is_believed(tmp_path: Path) -> None:
    (tmp_path / f"enphase-{SERIAL}.json").write_text('{"control": "dpel", "accepted": 7}')
    memory = Memory(tmp_path, SERIAL, "dpel")
    assert memory.past == Past("dpel")
    assert (tmp_path / f"enphase-{SERIAL}.damaged").exists()
