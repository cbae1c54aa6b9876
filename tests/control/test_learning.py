"""What the core learns while it runs: dead times, appliances; and what it does when it has learned wrongly."""

from __future__ import annotations

import functools

import pytest

from app.control import ControlSettings
from app.control.appliances import Appliances, Policy, Reaction
from app.control.deadtime import CANDIDATES_S, DeadTime
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.laws.zero_export import zero_export
from app.simulator.scenarios import SCENARIOS
from app.simulator.score import Score, score
from app.simulator.trial import run
from tests.closed_loop import ClosedLoop

FAST = Reaction(delay_s=1.8, rise_w_per_s=300.0, export_weight=2.0)
SLOW = Reaction(delay_s=11.0, rise_w_per_s=300.0, export_weight=2.0)


@pytest.mark.parametrize("dead_time_s", [1.0, 3.0, 10.0])
def test_the_dead_time_is_learned_while_the_load_steps(dead_time_s: float) -> None:
    loop = ClosedLoop(HouseConfig(seed=5, inverters=fleet(1, dead_time_s)))
    loop.house.sun_override = 1.0
    for load_w in (1200.0, 300.0, 1000.0, 500.0, 1300.0, 400.0, 900.0, 250.0):
        loop.house.load_override_w = load_w
        loop.run(30 + 3 * dead_time_s)
    known = loop.controller.learned["116180400001"]
    low_s, high_s = known.range_s
    assert known.evidence > 10.0
    assert low_s - 1.2 <= dead_time_s <= high_s  # seen through a meter that may be a second behind
    assert high_s < 2.2 * dead_time_s + 1.5


def test_a_dead_time_of_which_nothing_is_known_may_be_short_or_long() -> None:
    low_s, high_s = DeadTime((0.3, 4.0)).range_s
    assert low_s <= 0.3
    assert high_s >= 4.0


def test_what_was_learned_can_be_unlearned() -> None:
    """The inverter was replaced by a slow one: a handful of clear steps is enough."""
    known = DeadTime((0.3, 4.0), learned_s=1.0)
    slow = min(range(len(CANDIDATES_S)), key=lambda i: abs(CANDIDATES_S[i] - 10.0))
    for _ in range(12):
        known.learn([0.0 if i == slow else 400.0 for i in range(len(CANDIDATES_S))], 25.0)
    assert 7.0 < known.likely_s < 14.0


@functools.cache
def learned_wrongly(dead_time_s: float, factor: float) -> Score:
    scenario = SCENARIOS["steps"]
    serials = [one.serial for one in scenario.house(1, dead_time_s).inverters]
    settings = ControlSettings(learned_dead_time_s=dict.fromkeys(serials, factor * (dead_time_s + 0.5)))
    return score(run(scenario, zero_export(settings), 1, dead_time_s), 15.0, 45.0, scenario.steps_s)


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("dead_time_s", [1.0, 3.0, 10.0])
def test_a_dead_time_learned_wrongly_makes_nothing_swing(dead_time_s: float, factor: float) -> None:
    nominal, wrong = learned_wrongly(dead_time_s, 1.0), learned_wrongly(dead_time_s, factor)
    assert wrong.commands_h <= 1.3 * nominal.commands_h
    assert wrong.export_wh_h <= 1.5 * nominal.export_wh_h


def cycle(appliances: Appliances, reaction: Reaction, on_s: int, off_s: int, times: int) -> tuple[list[float], float]:
    """A hob of 1200 W over 300 W cycles; what was planned for in the last cycle, and the time after it."""
    at_s = 0.0
    plans: list[float] = []
    for _ in range(times):
        plans = []
        for second in range(on_s + off_s):
            at_s += 1.0
            plans.append(appliances.plan_w(1500.0 if second < on_s else 300.0, at_s, reaction))
    return plans, at_s


def test_a_cycling_hob_is_followed_by_a_fast_plant_and_left_alone_by_a_slow_one() -> None:
    appliances = Appliances()
    plans, _ = cycle(appliances, FAST, 25, 25, 6)
    assert max(plans) > 1400.0
    plans, _ = cycle(Appliances(), SLOW, 9, 11, 6)
    assert max(plans) < 400.0


def test_short_dips_are_ridden_through_where_following_would_cost_more() -> None:
    appliances = Appliances()
    plans, at_s = cycle(appliances, FAST, 13, 3, 6)
    assert min(plans[2:]) > 1400.0
    assert appliances.known[0].policy is Policy.STAY_HIGH
    for _ in range(12):  # it has finished: the dip is no dip
        at_s += 1.0
        last_w = appliances.plan_w(300.0, at_s, FAST)
    assert last_w < 330.0


def test_of_a_drop_that_has_only_begun_to_show_more_is_expected() -> None:
    appliances = Appliances()
    for second in range(60):
        appliances.plan_w(300.0 if second < 30 else 1300.0, float(second), FAST)
    assert 300.0 <= appliances.plan_w(1000.0, 60.0, FAST) < 950.0
    assert appliances.plan_w(500.0, 61.0, FAST) == pytest.approx(500.0)


def test_a_new_load_is_followed_at_once() -> None:
    appliances = Appliances()
    for second in range(30):
        appliances.plan_w(300.0, float(second), FAST)
    assert appliances.plan_w(900.0, 30.0, FAST) == pytest.approx(900.0)
