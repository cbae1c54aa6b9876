"""What inverters are lowered to, by us and by the broker; who does not hold his limit; what is sent again, and when."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from app.control import ControlSettings
from app.control.failsafe import fail_safe_limits, may_feed_w
from app.control.obedience import FOLLOWS_S, Obedience
from app.model import Ac, InverterState, Mode, Settings, Will
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig
from tests.closed_loop import ClosedLoop

ROOF = InverterState("1", "roof", max_w=1500.0, min_w=45.0, reachable=True)
SHED = InverterState("2", "shed", max_w=500.0, min_w=20.0, reachable=True)


def lost(state: InverterState, power_w: float | None) -> InverterState:
    """Out of reach, after it gave this."""
    return replace(state, reachable=False, ac=Ac(power_w=power_w), power_at_s=None if power_w is None else 10.0)


def house(count: int = 1, settings: ControlSettings | None = None) -> ClosedLoop:
    config = HouseConfig(seed=3, inverters=fleet(count), dtu=DtuConfig(up_since_s=7200))
    loop = ClosedLoop(config, settings)
    loop.house.sun_override, loop.house.load_override_w = 0.9, 500.0 * count
    loop.run(90)
    assert loop.last.mode is Mode.LIMIT
    return loop


def seconds_until(loop: ClosedLoop, fault: str, at_most: int = 60) -> int:
    """How long it takes until a fault is told."""
    for seconds in range(at_most):
        loop.run(1)
        if any(one.key.startswith(fault) for one in loop.last.faults):
            return seconds + 1
    pytest.fail(f"{fault}: not within {at_most} s")


# -- shares ----------------------------------------------------------------------------------------------


def test_without_a_budget_each_goes_to_its_minimum() -> None:
    assert fail_safe_limits([ROOF, SHED], [], None) == {"1": 45.0, "2": 20.0}


def test_a_budget_is_shared_by_rated_power() -> None:
    assert fail_safe_limits([ROOF, SHED], [], 400.0) == {"1": 300.0, "2": 100.0}


@pytest.mark.parametrize(("power_w", "left_w"), [(180.0, 220.0), (15.0, 400.0), (0.0, 400.0), (None, 400.0)])
def test_what_cannot_be_reached_by_day_has_spent_its_part(power_w: float | None, left_w: float) -> None:
    gone = lost(SHED, power_w)
    assert fail_safe_limits([ROOF], [ROOF, gone], 400.0) == {"1": left_w}
    assert may_feed_w(gone) == 400.0 - left_w


def test_more_than_the_budget_out_of_reach_leaves_the_minimum() -> None:
    assert fail_safe_limits([ROOF], [lost(SHED, 480.0)], 400.0) == {"1": 45.0}


def test_a_dead_meter_lowers_the_rest_by_what_one_out_of_reach_may_give() -> None:
    loop = house(2, ControlSettings(fail_safe_w=900.0))
    gone = loop.house.inverters[0]
    gone.reachable = False
    loop.run(40)
    gives_w = next(s.ac.power_w for s in loop.driver.states() if s.serial == gone.config.serial)
    assert gives_w
    assert gives_w > 100.0
    loop.meter_answers = False
    loop.run(8)
    commanded = {s.serial: s.commanded_w for s in loop.driver.states()}
    assert loop.last.mode is Mode.FAIL_SAFE
    assert (commanded[loop.house.inverters[1].config.serial] or 0.0) <= 900.0 - gives_w + 0.1


# -- wills -----------------------------------------------------------------------------------------------


def test_wills_are_armed_while_regulating_and_not_while_paused() -> None:
    loop = house(2)
    serials = [one.config.serial for one in loop.house.inverters]
    minima = [state.min_w for state in loop.driver.states()]
    assert loop.last.wills == tuple(map(Will, serials, minima))
    loop.settings = Settings(enabled=False)
    loop.run(1)
    assert loop.last.wills == ()


def test_the_grid_operators_cap_keeps_them_armed_while_paused() -> None:
    loop = house(1, ControlSettings(export_limit_w=200.0))
    loop.settings = Settings(enabled=False)
    loop.run(5)
    assert len(loop.last.wills) == 1


def test_a_will_is_the_share_of_the_budget_and_stays_the_same_when_one_is_lost() -> None:
    loop = house(2, ControlSettings(fail_safe_w=600.0))
    before = loop.last.wills
    assert sum(will.limit_w for will in before) == pytest.approx(600.0)
    loop.house.inverters[0].reachable = False
    loop.run(40)
    assert loop.last.wills == before, "by day it may still be giving: its will stands"


def test_at_night_nothing_is_armed() -> None:
    loop = house()
    loop.house.sun_override = 0.012  # dusk
    loop.run(60)
    loop.house.sun_override = 0.0
    loop.run(60)
    assert loop.last.mode is Mode.NIGHT
    assert loop.last.wills == ()


# -- holding a limit -------------------------------------------------------------------------------------


def told(*limits: tuple[float, float]) -> Obedience:
    obedience = Obedience()
    for at_s, limit_w in limits:
        obedience.send(at_s, limit_w)
    return obedience


def found_out(obedience: Obedience, at_s: float, power_w: float) -> bool:
    """Whether the limit counts as not held after this report."""
    obedience.report(at_s, power_w)
    return obedience.broken


def test_a_limit_is_not_asked_for_before_the_slowest_inverter_would_hold_it() -> None:
    obedience = told((0.0, 1000.0), (100.0, 300.0))
    assert not found_out(obedience, 100.0 + FOLLOWS_S - 0.1, 1000.0)
    assert found_out(obedience, 100.0 + FOLLOWS_S, 1000.0)


def test_of_several_limits_the_highest_one_counts() -> None:
    obedience = told((0.0, 100.0), (100.0, 900.0), (103.0, 200.0))
    assert obedience.allowed_w(105.0) == 900.0
    assert obedience.allowed_w(103.0 + FOLLOWS_S) == 200.0
    assert not found_out(obedience, 105.0, 920.0)


def test_before_the_first_limit_nothing_is_known() -> None:
    assert told().allowed_w(1000.0) is None
    assert told((990.0, 200.0)).allowed_w(1000.0) is None
    assert not found_out(told((990.0, 200.0)), 1000.0, 1500.0)
    obedience = told((0.0, 200.0))
    obedience.forget()
    assert not found_out(obedience, 1000.0, 1500.0)


@pytest.mark.parametrize(
    ("limit_w", "power_w", "reports"),
    [(200, 224, None), (200, 226, 2), (200, 251, 1), (1000, 1049, None), (1000, 1051, 2), (1000, 1101, 1)],
)
def test_a_little_above_needs_two_reports_and_far_above_one(
    limit_w: float, power_w: float, reports: int | None
) -> None:
    obedience = told((0.0, limit_w))
    found = [found_out(obedience, 100.0 + number, power_w) for number in range(4)]
    assert (found.index(True) + 1 if True in found else None) == reports
    assert obedience.broken == (reports is not None)


def test_a_report_within_the_limit_clears_it() -> None:
    obedience = told((0.0, 200.0))
    obedience.report(100.0, 230.0)
    assert not found_out(obedience, 101.0, 190.0)
    assert not found_out(obedience, 102.0, 230.0), "the count began anew"
    obedience.report(103.0, 400.0)
    assert obedience.broken
    obedience.report(104.0, 190.0)
    assert not obedience.broken


def test_the_meter_accuses_and_the_last_report_convicts() -> None:
    obedience = told((0.0, 800.0), (100.0, 200.0))
    obedience.report(101.0, 790.0)
    assert not obedience.accuse(105.0), "it may not have followed yet"
    assert obedience.accuse(100.0 + FOLLOWS_S)
    assert obedience.broken
    innocent = told((0.0, 200.0))
    innocent.report(50.0, 190.0)
    assert not innocent.accuse(100.0)


@pytest.mark.parametrize(("count", "within_s"), [(1, 30), (2, 30), (4, 50)])
@pytest.mark.parametrize("dead_time_s", [1.0, 10.0])
def test_a_limit_that_is_shown_and_not_held_is_noticed(count: int, within_s: int, dead_time_s: float) -> None:
    config = HouseConfig(seed=3, inverters=fleet(count, dead_time_s), dtu=DtuConfig(up_since_s=7200))
    loop = ClosedLoop(config)
    loop.house.sun_override, loop.house.load_override_w = 0.9, 400.0 * count
    loop.run(120)
    bad = loop.house.inverters[0]
    bad.ignores_limit = True
    loop.house.load_override_w = 100.0 * count
    key = f"disobeyed:{bad.config.serial}"
    assert seconds_until(loop, key) < within_s
    before = len(loop.house.dtu.received)
    loop.run(90)
    again = list(loop.house.dtu.received)[before:]
    assert any(command.serial == bad.config.serial for command in again), "it is told again"
    bad.ignores_limit = False
    loop.run(120)
    assert not any(fault.key == key for fault in loop.last.faults)


@pytest.mark.parametrize(("count", "dead_time_s", "seed"), [(1, 10.0, 5), (2, 10.0, 6), (4, 10.0, 5), (20, 10.0, 5)])
def test_a_slow_inverter_is_accused_of_nothing(count: int, dead_time_s: float, seed: int) -> None:
    config = HouseConfig(seed=seed, inverters=fleet(count, dead_time_s), dtu=DtuConfig(up_since_s=7200))
    loop = ClosedLoop(config)
    loop.run(600)
    assert not any(fault.key.startswith("disobeyed") for decision in loop.decisions for fault in decision.faults)


# -- sent again ------------------------------------------------------------------------------------------


def test_a_limit_that_never_reached_opendtu_is_sent_again_within_ten_seconds() -> None:
    loop = house()
    loop.house.dtu.drop_commands = True
    loop.house.load_override_w = 200.0
    loop.run(4)
    times = [command.at_s for command in loop.house.dtu.received]
    loop.house.load_override_w = 207.0  # nothing that asks for another limit
    loop.run(40)
    later = [command.at_s for command in loop.house.dtu.received if command.at_s > times[-1] - 0.01]
    gaps = [after - before for before, after in pairwise(later)]
    assert len(gaps) >= 3
    assert max(gaps) <= 10.0


def test_commands_that_nobody_acknowledges_are_told_within_half_a_minute() -> None:
    loop = house()
    loop.house.dtu.drop_commands = True
    loop.house.load_override_w = 200.0
    assert seconds_until(loop, "unanswered") <= 30
    loop.house.dtu.drop_commands = False
    loop.run(20)
    assert not loop.last.faults
