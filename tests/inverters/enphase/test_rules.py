"""Rules reach a gateway over HTTP, in each of the three ways, and are believed only when the gateway shows them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.inverters.enphase.bydpel import DpelControl
from app.model import Rule
from tests.conftest import until
from tests.enphase.fake import SERIAL, SOFTWARE, token
from tests.enphase.fake_limits import NORMAL, ZERO, Limits, off_document
from tests.inverters.enphase.conftest import PROFILES, connected

Make = Callable[..., Any]
OPEN, CLOSED = Rule(), Rule(0.0)


def rule_of(one: Any) -> Any:
    (state,) = one.states()
    return state.rule


class TestGridProfiles:
    @pytest.mark.parametrize("firmware", ["4", "5", "7", "8"])
    async def test_every_firmware_switches_and_shows_it(self, system: Make, firmware: str) -> None:
        login = {"username": "installer", "password": "made-of-serial"} if firmware in "45" else {}
        one, limits, _ = await system(None, firmware, control="grid_profile", **login)
        assert await one.set_rule(SERIAL, CLOSED)
        assert (limits.wishes, limits.export_w) == ([{"selected_profile": ZERO}], 0.0)
        state = rule_of(one)
        assert (state.accepted, state.shown, state.refused) == (CLOSED, CLOSED, None)
        assert state.accepted_at_s is not None
        assert await one.set_rule(SERIAL, OPEN)
        assert (limits.selected, limits.export_w) == (NORMAL, 3400.0)

    async def test_what_is_there_already_is_confirmed_and_not_written(self, system: Make) -> None:
        one, limits, _ = await system(Limits(selected=ZERO), control="grid_profile")
        assert await one.set_rule(SERIAL, CLOSED)
        assert (limits.writes, rule_of(one).accepted) == ([], CLOSED)

    async def test_200_with_a_refusal_is_a_refusal(self, system: Make) -> None:
        limits = Limits(refusal="profile could not be activated, profile is not in profile package")
        one, limits, _ = await system(limits, control="grid_profile")
        assert not await one.set_rule(SERIAL, CLOSED)
        state = rule_of(one)
        assert "could not be activated" in state.refused
        assert (state.accepted, state.shown) == (None, OPEN)
        limits.refusal = ""
        assert await one.set_rule(SERIAL, CLOSED)
        assert rule_of(one).refused is None

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            (ZERO.replace("Region 0", "Region  0"), "differs only in spaces"),
            (ZERO.replace("1.2.2", "1.2.9"), "differs only in its version"),
            (ZERO.rpartition(":")[0], "differs only in its version"),
            (ZERO.replace("Limit", "Limits"), "is close to"),
            ("something else", "it lists"),
        ],
    )
    async def test_a_name_that_the_gateway_does_not_know_is_never_sent(
        self, system: Make, name: str, told: str
    ) -> None:
        one, limits, _ = await system(None, control="grid_profile", profile_zero=name)
        assert not await one.set_rule(SERIAL, CLOSED)
        assert limits.writes == []
        refused = rule_of(one).refused
        assert told in refused
        assert all(repr(known) in refused for known in limits.profiles)

    async def test_a_profile_that_neither_name_means_is_no_rule_of_ours(self, system: Make) -> None:
        one, limits, _ = await system(Limits(selected=Limits().profiles[2]), control="grid_profile")
        assert await one.rule.look() is None
        assert await one.set_rule(SERIAL, OPEN)
        assert limits.selected == NORMAL

    async def test_an_owner_is_told_what_is_missing_before_anything_is_tried(self, system: Make) -> None:
        one, limits, gateway = await system(None, control="grid_profile", token=token(role="owner"))
        await one.link.get_json("/ivp/meters")
        assert not await one.set_rule(SERIAL, CLOSED)
        assert "installer's token" in rule_of(one).refused
        assert (limits.writes, "/installer/agf/index.json" in gateway.asked) == ([], False)


class TestTheDynamicLimit:
    async def test_only_what_changes_is_changed_and_what_was_there_comes_back(self, system: Make) -> None:
        found = off_document()
        found["dynamic_pel_settings"] |= {
            "export_limit": True, "limit_value_W": 5000.0, "enable": True, "slew_rate": 50.0,
            "relay_config": {"default_pct_limit": 0.0}, "pv_nameplate": 8200,
        }  # fmt: skip
        one, limits, _ = await system(Limits(dpel=found))
        assert rule_of(one).steps is None
        assert await one.set_rule(SERIAL, Rule(300.0))
        assert limits.wishes[-1] == {
            "dynamic_pel_settings": {
                "enable": True, "export_limit": True, "limit_value_W": 300.0, "slew_rate": 100.0,
                "enable_dynamic_limiting": False, "relay_config": {"default_pct_limit": 0.0}, "pv_nameplate": 8200,
            },
            "filename": "site_settings", "version": "00.00.01",
        }  # fmt: skip
        assert limits.export_w == 300.0
        assert rule_of(one).normal_export_w == 5000.0
        assert await one.set_rule(SERIAL, Rule(9000.0))  # a limit that was there before is not lifted
        assert limits.wishes[-1]["dynamic_pel_settings"]["limit_value_W"] == 5000.0
        assert rule_of(one).shown == Rule(9000.0)
        assert await one.set_rule(SERIAL, OPEN)
        assert limits.dpel is not None
        assert limits.dpel["dynamic_pel_settings"] == found["dynamic_pel_settings"]

    async def test_the_state_before_us_survives_a_restart(self, system: Make, tmp_path: Path) -> None:
        one, limits, gateway = await system()
        assert await one.set_rule(SERIAL, CLOSED)
        before = rule_of(one)
        async with connected(gateway, tmp_path) as again:
            after = rule_of(again)
            assert (after.accepted, after.shown) == (CLOSED, None)
            assert after.accepted_at_s == pytest.approx(before.accepted_at_s, abs=2.0)
            assert await again.rule.look() == CLOSED
            assert len(limits.writes) == 1
            assert await again.set_rule(SERIAL, OPEN)
        assert limits.dpel is not None
        assert limits.dpel["dynamic_pel_settings"] == {"enable": False}
        kept = json.loads((tmp_path / f"enphase-{SERIAL}.json").read_text())
        assert (kept["found"], kept["accepted"]["export_w"]) == (None, None)

    @pytest.mark.parametrize("ours", ["export", "production"])
    async def test_a_foreign_limit_of_the_other_kind_is_not_replaced(self, system: Make, ours: str) -> None:
        found = off_document()
        found["dynamic_pel_settings"] = {"enable": True, "export_limit": ours != "export", "limit_value_W": 3000.0}
        one, limits, _ = await system(Limits(dpel=found), limit=ours)
        assert not await one.set_rule(SERIAL, CLOSED)
        assert limits.writes == []
        other = "production" if ours == "export" else "export"
        assert f"set limit: {other}" in rule_of(one).refused
        assert await one.set_rule(SERIAL, OPEN)

    async def test_a_limit_that_somebody_sets_meanwhile_is_the_normal_state_from_then_on(self, system: Make) -> None:
        one, limits, _ = await system()
        assert await one.set_rule(SERIAL, CLOSED)
        limits.dpel = off_document()
        limits.dpel["dynamic_pel_settings"] = {"enable": True, "export_limit": True, "limit_value_W": 4000.0}
        limits.changed()
        assert await one.rule.look() == OPEN
        assert await one.set_rule(SERIAL, OPEN)
        assert limits.dpel["dynamic_pel_settings"]["limit_value_W"] == 4000.0
        assert len(limits.writes) == 1

    @pytest.mark.parametrize(
        ("limits", "told"),
        [
            ({"dpel": None}, "use control: grid_profile"),
            ({"status": 503}, "busy"),
            ({"status": 400}, "another shape"),
            ({"deaf": True}, "does not show it"),
            ({"dpel": {"other": 1}}, "holds no dynamic_pel_settings"),
            ({"dpel": {"dynamic_pel_settings": {"enable": True}}}, "without a limit_value_W"),
        ],
        ids=["404", "503", "400", "deaf", "foreign", "hollow"],
    )
    async def test_what_does_not_work_says_so(self, system: Make, limits: dict[str, Any], told: str) -> None:
        one, _, _ = await system(Limits(**limits))
        assert not await one.set_rule(SERIAL, CLOSED)
        state = rule_of(one)
        assert told in state.refused
        assert (state.accepted, state.tried_at_s is not None) == (None, True)

    async def test_firmware_that_takes_it_the_other_way_round_and_wants_it_again(
        self, system: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(SOFTWARE, "8", "D8.2.4398")
        one, limits, _ = await system(Limits(inverted=True), run=True)
        assert await one.set_rule(SERIAL, CLOSED)
        assert limits.wishes[-1]["dynamic_pel_settings"]["export_limit"] is False
        assert (limits.export_w, limits.production_w) == (0.0, 600.0)
        assert rule_of(one).reaction_s == 300.0
        assert one.control.resend_s == 30.0

    async def test_it_is_sent_again_while_it_limits_and_not_after(
        self, system: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, limits, _ = await system(run=True)
        monkeypatch.setattr(DpelControl, "resend_s", 0.1)
        assert await one.set_rule(SERIAL, CLOSED)
        await until(lambda: len(limits.writes) >= 3)
        assert await one.set_rule(SERIAL, OPEN)
        count = len(limits.writes)
        looks = one.states()[0].rule.shown_at_s
        await until(lambda: one.states()[0].rule.shown_at_s > looks + 0.5)
        assert len(limits.writes) == count

    async def test_what_is_shown_and_has_no_effect_is_written_again(self, system: Make) -> None:
        one, limits, _ = await system()
        assert await one.set_rule(SERIAL, CLOSED)
        assert await one.set_rule(SERIAL, CLOSED)  # the core does that where the power does not follow
        assert [wish["dynamic_pel_settings"]["limit_value_W"] for wish in limits.wishes] == [0.0, 0.0]
        assert await one.set_rule(SERIAL, OPEN)
        assert await one.set_rule(SERIAL, OPEN)
        assert len(limits.writes) == 3

    async def test_a_restart_begins_to_send_again_what_this_firmware_forgets(
        self, system: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(SOFTWARE, "8", "D8.2.4398")
        one, limits, gateway = await system(Limits(inverted=True))
        assert await one.set_rule(SERIAL, CLOSED)
        assert rule_of(one).kept_up
        async with connected(gateway, tmp_path) as again:
            assert await again.rule.look() == CLOSED
            assert not rule_of(again).kept_up
            assert await again.set_rule(SERIAL, CLOSED)
            assert (len(limits.writes), rule_of(again).kept_up) == (2, True)

    async def test_australian_gateways_enforce_only_dynamic_limits(self, system: Make) -> None:
        found = off_document()
        found["dynamic_pel_settings"] |= {"installed_capacity": 4587.0, "enable_dynamic_limiting": False}
        one, limits, _ = await system(Limits(dpel=found, needs_dynamic=True))
        assert await one.set_rule(SERIAL, CLOSED)
        settings = limits.wishes[-1]["dynamic_pel_settings"]
        assert (settings["enable_dynamic_limiting"], settings["installed_capacity"]) == (True, 4587.0)
        assert limits.export_w == 0.0
        assert await one.set_rule(SERIAL, OPEN)
        assert limits.wishes[-1]["dynamic_pel_settings"]["enable_dynamic_limiting"] is False

    async def test_a_battery_gets_its_allowance(self, system: Make) -> None:
        one, _, _ = await system(Limits(encharge=True), run=True)
        await until(lambda: rule_of(one).least_export_w == 200.0 and one.states()[0].reachable)
        (state,) = one.states()
        assert (state.ac.power_w, state.reachable, state.guardable) == (4000.0, True, False)

    async def test_production_as_a_whole_is_limited_where_that_is_wanted(self, system: Make) -> None:
        one, limits, _ = await system(limit="production")
        assert await one.set_rule(SERIAL, Rule(1000.0))
        assert (limits.production_w, rule_of(one).own_meter) == (1000.0, False)

    async def test_no_production_is_no_dynamic_limit(self, system: Make) -> None:
        one, limits, _ = await system()
        assert not await one.set_rule(SERIAL, Rule(0.0, produce=False))
        assert (limits.writes, rule_of(one).can_stop) == ([], False)


class TestTheLastResort:
    @pytest.mark.parametrize("rule", [CLOSED, Rule(0.0, produce=False)])
    async def test_off_and_on_again(self, system: Make, rule: Rule) -> None:
        one, limits, _ = await system(control="production")
        assert await one.set_rule(SERIAL, rule)
        assert (limits.wishes, limits.production_w) == ([{"length": 1, "arr": [1]}], 0.0)
        assert (rule_of(one).shown, rule_of(one).can_stop) == (rule, True)
        assert await one.rule.look() == rule
        assert await one.set_rule(SERIAL, OPEN)
        assert limits.production_w == 4000.0

    async def test_another_name_for_off_is_no_switch(self, system: Make) -> None:
        one, limits, _ = await system(control="production")
        assert await one.set_rule(SERIAL, CLOSED)
        since_s = rule_of(one).accepted_at_s
        assert await one.set_rule(SERIAL, Rule(0.0, produce=False))
        assert (len(limits.writes), rule_of(one).accepted_at_s) == (1, since_s)

    async def test_the_cloud_switching_it_on_again_is_seen(self, system: Make) -> None:
        one, limits, _ = await system(control="production", run=True)
        assert await one.set_rule(SERIAL, CLOSED)
        limits.forced_off = False
        limits.changed()
        await until(lambda: rule_of(one).shown == OPEN)
        assert rule_of(one).accepted == CLOSED


async def test_what_another_way_has_left_behind_is_told(system: Make, tmp_path: Path) -> None:
    one, limits, gateway = await system()
    assert await one.set_rule(SERIAL, CLOSED)
    async with connected(gateway, tmp_path, run=True, control="grid_profile", **PROFILES) as other:
        (state,) = other.states()
        assert "control: dpel" in str(state.note)
        assert state.rule is not None
        assert state.rule.accepted is None
        assert any("control: dpel back" in check.next_step for check in await other.examine())
        await until(lambda: other.states()[0].reachable)
    async with connected(gateway, tmp_path, run=False, control="grid_profile", **PROFILES) as other:
        assert "control: dpel" in str(other.states()[0].note), "it is still there after a restart"
    async with connected(gateway, tmp_path) as back:
        assert rule_of(back).accepted == CLOSED
        assert back.states()[0].note is None
        assert await back.set_rule(SERIAL, OPEN)
        assert limits.dpel["dynamic_pel_settings"] == {"enable": False}
    async with connected(gateway, tmp_path, run=False, control="grid_profile", **PROFILES) as other:
        assert other.states()[0].note is None


async def test_writes_never_overlap_and_one_that_is_not_ours_is_a_bug(system: Make) -> None:
    one, limits, gateway = await system()
    gateway.slow_s = 0.05
    await asyncio.gather(*(one.set_rule(SERIAL, rule) for rule in (CLOSED, Rule(500.0), CLOSED)))
    assert [one["dynamic_pel_settings"]["limit_value_W"] for one in limits.wishes] == [0.0, 500.0, 0.0]
    assert gateway.most_at_once <= 2
    with pytest.raises(ValueError, match="refusing"):
        await one.set_rule("somebody else", CLOSED)
