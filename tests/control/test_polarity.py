"""A meter that counts the wrong way round: found out before everything is exported, and never suspected in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.control import ControlSettings
from app.control.allocate import Unit
from app.control.polarity import HELD_S, SATURATED_S, Polarity
from app.control.safety import Freshness, Trust
from app.model import Ac, InverterState, Mode, Reading
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig, SunConfig
from tests.closed_loop import ClosedLoop


def house(load_w: float, count: int = 1) -> ClosedLoop:
    clear = SunConfig(clouds=False)
    loop = ClosedLoop(HouseConfig(seed=3, sun=clear, inverters=fleet(count), dtu=DtuConfig(up_since_s=7200, loss=0.0)))
    loop.house.sun_override, loop.house.load_override_w = 0.9, load_w
    return loop


def turned(reading: Reading) -> Reading:
    phases = tuple(replace(phase, power_w=-(phase.power_w or 0.0)) for phase in reading.phases)
    return replace(reading, power_w=-reading.power_w, phases=phases)


def own_tests(loop: ClosedLoop) -> int:
    """How many step tests there were."""
    testing = [decision.reason.startswith("step test") for decision in loop.decisions]
    return sum(now and not before for before, now in zip([False, *testing], testing, strict=False))


@pytest.mark.parametrize("load_w", [300.0, 900.0])
def test_a_house_that_exports_by_a_turned_meter_is_lowered_within_seven_minutes(load_w: float) -> None:
    loop = house(load_w)
    loop.distort = turned
    loop.run(420)
    assert loop.last.mode is Mode.FAIL_SAFE
    assert "wrong way round" in loop.last.reason
    assert loop.last.step_test is None, "nobody has asked for it"
    assert loop.house.grid_w > 0.0
    assert loop.last.faults[0].next_step.startswith("Turn the current clamps")
    before_wh = loop.house.energy.export_wh
    loop.run(600)
    assert loop.house.energy.export_wh - before_wh < 0.1, "and it stays there"


def test_a_turned_meter_in_a_house_that_takes_more_is_told_as_a_feed_from_elsewhere() -> None:
    loop = house(2500.0)
    loop.distort = turned
    loop.run(60)
    fault = next(fault for fault in loop.last.faults if fault.key == "export")
    assert "a meter of the wrong sign" in fault.next_step


def test_a_house_that_holds_its_target_needs_no_test() -> None:
    loop = house(600.0)
    loop.run(100)
    loop.house.load_override_w = 2500.0
    loop.run(400)
    assert own_tests(loop) == 0


def test_a_house_that_always_takes_more_is_tested_once_and_never_exports() -> None:
    loop = house(2500.0)
    loop.run(1800)
    assert own_tests(loop) == 1
    assert loop.last.mode is Mode.LIMIT
    assert loop.house.energy.export_wh == 0.0
    assert loop.house.pv_w > 0.95 * loop.house.available_w


# -- one turn after the other ----------------------------------------------------------------------------

FRESH, LOST = Freshness(Trust.FRESH, 0.5, ""), Freshness(Trust.FAIL_SAFE, 9.0, "lost")
FULL = Unit("1", 45.0, 1500.0, 1500.0, 900.0, bound=False)
HELD = Unit("1", 45.0, 1500.0, 600.0, 600.0, bound=True)
ROOF = InverterState("1", "roof", 1500.0, 45.0, reachable=True, ac=Ac(power_w=900.0), power_at_s=1.0)


def seconds_of(
    polarity: Polarity, fresh: Freshness, error_w: float | None, unit: Unit, seconds: float, now_s: float
) -> float:
    for _ in range(round(seconds)):
        polarity.observe(now_s, fresh, error_w, [unit])
        now_s += 1.0
    return now_s


def test_a_test_is_due_after_five_minutes_at_full_power_and_once_an_hour() -> None:
    polarity = Polarity()
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, SATURATED_S, 1000.0)
    assert polarity.test(now_s - 1.0, [ROOF]) is None
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, 2, now_s)
    request = polarity.test(now_s, [ROOF])
    assert request is not None
    assert polarity.test(now_s + 50.0, [ROOF]) is request, "until it is over"
    polarity.over(proven=False)
    assert polarity.test(now_s + 60.0, [ROOF]) is None
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, 3600, now_s)
    assert polarity.test(now_s, [ROOF]) is not None


def test_a_proven_sign_is_proven_until_the_meter_is_lost() -> None:
    polarity = Polarity()
    now_s = seconds_of(polarity, FRESH, 5.0, HELD, HELD_S + 2, 1000.0)
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, 2 * SATURATED_S, now_s)
    assert polarity.test(now_s, [ROOF]) is None
    now_s = seconds_of(polarity, LOST, None, FULL, 1, now_s)
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, SATURATED_S + 2, now_s)
    assert polarity.test(now_s, [ROOF]) is not None
    polarity.over(proven=True)
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, 7200, now_s)
    assert polarity.test(now_s, [ROOF]) is None


@pytest.mark.parametrize(
    ("error_w", "unit"),
    [
        (60.0, HELD),  # not held
        (5.0, FULL),  # no limit holds it
        (5.0, replace(HELD, limit_w=45.0)),  # at the minimum nothing is regulated
        (5.0, replace(HELD, bound=False)),
    ],
)
def test_what_does_not_prove_the_sign(error_w: float, unit: Unit) -> None:
    polarity = Polarity()
    now_s = seconds_of(polarity, FRESH, error_w, unit, 300, 1000.0)
    now_s = seconds_of(polarity, FRESH, 300.0, FULL, SATURATED_S + 2, now_s)
    assert polarity.test(now_s, [ROOF]) is not None


@pytest.mark.parametrize(
    ("error_w", "unit", "state"),
    [
        (50.0, FULL, ROOF),  # hardly an import
        (300.0, replace(FULL, limit_w=None), ROOF),  # its limit is not known
        (300.0, replace(FULL, limit_w=1400.0), ROOF),
        (300.0, FULL, replace(ROOF, reachable=False)),
        (300.0, FULL, replace(ROOF, enabled=False)),
        (300.0, FULL, replace(ROOF, ac=Ac(power_w=370.0))),  # too little sun to see a step
        (None, FULL, ROOF),
    ],
)
def test_what_is_no_reason_for_a_test(error_w: float | None, unit: Unit, state: InverterState) -> None:
    polarity = Polarity()
    now_s = seconds_of(polarity, FRESH, error_w, unit, 3 * SATURATED_S, 1000.0)
    assert polarity.test(now_s, [state]) is None


def test_no_test_where_limits_never_arrive() -> None:
    """As in a dry run."""
    loop = ClosedLoop(HouseConfig(seed=3, inverters=fleet(1)), ControlSettings())
    loop.wire.connected = False
    loop.house.sun_override, loop.house.load_override_w = 0.9, 2500.0
    loop.run(300)
    assert own_tests(loop) == 0
