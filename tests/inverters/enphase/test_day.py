"""Days of prices with the real core: every switch that is needed is made, and none that is not."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.control import ControlSettings
from app.model import DeviceError, Rule
from tests.enphase.fake_limits import ZERO, Limits
from tests.inverters.enphase.day import TICK_S, EnphaseDay, Lived, away, expired, load_w, longest_wrong_s, sun_w
from tests.virtual import in_virtual_time

SLACK_S = 30.0  # a tick, a look, a request and its answer, and the read-back


def profile(limits: Limits) -> Rule:
    return Rule(0.0) if limits.selected == ZERO else Rule()


def dynamic(limits: Limits) -> Rule:
    settings = (limits.dpel or {})["dynamic_pel_settings"]
    return Rule(settings["limit_value_W"]) if settings["enable"] else Rule()


WAYS: dict[str, tuple[Callable[[Limits], Rule], float, float]] = {
    "grid_profile": (profile, 300.0, 240.0),
    "dpel": (dynamic, 60.0, 45.0),
}


def told(one: Lived) -> list[str]:
    """Faults of the system; the market has its own."""
    return [key for key in one.faults if key.startswith(("rule", "gateway", "unreachable"))]


def day(folder: Path, control: str, limits: dict[str, Any] | None = None, **more: Any) -> EnphaseDay:
    has, _, reaction_s = WAYS[control]
    keys = {"control": control, **more.pop("keys", {})}

    async def whole() -> EnphaseDay:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        house = Limits(
            clock=clock,
            sun_w=lambda now_s: sun_w(now_s - began_s),
            load_w=lambda now_s: load_w(now_s - began_s),
            **{"reaction_s": reaction_s, **(limits or {})},
        )
        return await EnphaseDay(folder, house, has, keys, **more).live()

    return in_virtual_time(whole())


@pytest.mark.parametrize(("control", "seed"), [("grid_profile", 11), ("dpel", 3)])
def test_a_day_of_prices(tmp_path: Path, control: str, seed: int) -> None:
    lived = day(tmp_path, control, seed=seed, hours=9.0)
    _, dwell_s, reaction_s = WAYS[control]
    assert len(lived.limits.writes) == lived.switches_needed(dwell_s) > 10
    assert longest_wrong_s(lived.lived) <= dwell_s + SLACK_S
    assert not any(told(one) for one in lived.lived)
    times_s = [at_s for at_s, _, _ in lived.limits.writes]
    assert min(b - a for a, b in pairwise(times_s)) >= dwell_s - SLACK_S
    exporting = [one for one in lived.lived if one.wanted != Rule() and one.export_w > 50.0]
    closings = sum(a.wanted == Rule() and b.wanted != Rule() for a, b in pairwise(lived.lived))
    assert len(exporting) * TICK_S <= (closings + 1) * (dwell_s + reaction_s + SLACK_S)
    assert any(one.export_w > 3000.0 for one in lived.lived if one.wanted == Rule())


@pytest.mark.parametrize("control", WAYS)
def test_a_whole_day_from_a_file(tmp_path: Path, control: str) -> None:
    """Export pays but at noon, when it hovers about nothing; three hours without prices, a login that ends at noon."""
    rows = csv.DictReader((Path(__file__).parent / "prices.csv").read_text(encoding="utf-8").splitlines())
    prices_c = tuple(float(row["export_c_per_kwh"]) for row in rows)
    assert len(prices_c) == 24 * 12

    def login(trouble: DeviceError | None) -> Callable[[EnphaseDay], None]:
        return lambda lived: setattr(lived.wire, "trouble", trouble)

    noon = {6.0: login(expired()), 6.1: login(None)}
    lived = day(tmp_path, control, hours=24.0, prices_c=prices_c, at=noon)
    _, dwell_s, _ = WAYS[control]
    closed = sum(one.had != Rule() for one in lived.lived)
    assert len(lived.limits.writes) == lived.switches_needed(dwell_s) > 20
    assert closed == pytest.approx(sum(one.wanted != Rule() for one in lived.lived), rel=0.05)
    outside = [one for one in lived.lived if not 6.0 <= one.at_s / 3600.0 <= 6.4]
    assert longest_wrong_s(outside) <= dwell_s + SLACK_S
    assert not any(told(one) for one in outside)


@pytest.mark.parametrize("reaction_s", [10.0, 300.0])
def test_the_reaction_is_waited_for_and_no_fault(tmp_path: Path, reaction_s: float) -> None:
    limits = {"reaction_s": reaction_s}
    lived = day(tmp_path, "dpel", limits, hours=2.0, version=(8, 2, 4398), keys={"inverted": False, "resend_s": 3600})
    assert len(lived.limits.writes) == lived.switches_needed(60.0)
    assert not any(told(one) for one in lived.lived)


@pytest.mark.parametrize("control", WAYS)
def test_restarts_neither_forget_nor_switch_for_nothing(tmp_path: Path, control: str) -> None:
    dwell_s = WAYS[control][1]
    restarts = dict.fromkeys((0.6, 0.9201, 2.02, 2.5), EnphaseDay.restart)
    lived = day(tmp_path, control, hours=3.0, at=restarts)
    assert 5 < len(lived.limits.writes) <= lived.switches_needed(dwell_s)  # a start takes a tick, and may save a pair
    times_s = [at_s for at_s, _, _ in lived.limits.writes]
    assert min(b - a for a, b in pairwise(times_s)) >= dwell_s - SLACK_S
    assert longest_wrong_s(lived.lived) <= dwell_s + SLACK_S


@pytest.mark.parametrize(("trouble", "minutes"), [(expired, 5.0), (away, 12.0), (away, 40.0)])
def test_a_gateway_that_does_not_let_us_in_for_a_while(
    tmp_path: Path, trouble: Callable[[], Any], minutes: float
) -> None:
    def begin(lived: EnphaseDay) -> None:
        lived.wire.trouble = trouble()

    def end(lived: EnphaseDay) -> None:
        lived.wire.trouble = None

    noon_h = 1.5
    lived = day(tmp_path, "grid_profile", hours=3.0, at={noon_h: begin, noon_h + minutes / 60.0: end})
    inside = [one for one in lived.lived if noon_h * 3600.0 < one.at_s < noon_h * 3600.0 + minutes * 60.0]
    after = [one for one in lived.lived if one.at_s > noon_h * 3600.0 + minutes * 60.0 + 960.0]
    assert any("gateway:Enphase gateway" in one.faults for one in inside) is (minutes > 15.0 or trouble is expired)
    assert not any(told(one) for one in after)
    assert longest_wrong_s(after) <= WAYS["grid_profile"][1] + SLACK_S


@pytest.mark.parametrize("control", WAYS)
def test_what_the_cloud_puts_back_every_hour_is_given_again(tmp_path: Path, control: str) -> None:
    _, dwell_s, reaction_s = WAYS[control]
    lived = day(tmp_path, control, {"reverts_s": 3600.0}, hours=5.0)
    again = [command for _, command in lived.commands if "given again" in command.reason]
    closed = [one for one in lived.lived if one.at_s % 3600.0 < TICK_S and one.at_s > 60.0 and one.wanted != Rule()]
    assert 2 <= len(again) <= len(closed)
    assert longest_wrong_s(lived.lived) <= max(dwell_s, 60.0 + 30.0) + SLACK_S
    changed = [one for one in lived.lived if any(key.startswith("rule_changed") for key in one.faults)]
    assert len(changed) * TICK_S <= len(again) * (60.0 + SLACK_S + reaction_s)


def test_a_limit_without_effect_is_told(tmp_path: Path) -> None:
    lived = day(tmp_path, "dpel", {"idle": True}, hours=1.5)
    assert any(key.startswith("rule_broken") for one in lived.lived for key in one.faults)


@pytest.mark.parametrize(("keys", "collapses"), [({"allowance_w": 0}, True), ({"battery": True}, False)])
def test_a_battery_of_another_make_needs_its_allowance(tmp_path: Path, keys: dict[str, Any], collapses: bool) -> None:
    lived = day(tmp_path, "dpel", {"battery": True}, hours=2.5, keys=keys)
    sunny = [one for one in lived.lived if one.at_s > 6000.0]
    assert any(one.production_w == 0.0 for one in sunny) is collapses
    assert collapses or max(one.export_w for one in sunny if one.had == Rule(200.0)) > 150.0


def test_the_operators_cap_binds_while_export_pays(tmp_path: Path) -> None:
    lived = day(tmp_path, "dpel", hours=2.5, settings=ControlSettings(export_limit_w=3000.0))
    assert {one.had.export_w for one in lived.lived if one.at_s > 600.0} == {0.0, 3000.0}
    assert max(one.export_w for one in lived.lived if one.at_s > 600.0) <= 3000.0
