"""Prices as Amber writes them, on the simulated plant: export opens where it is paid and closes where it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.control import Controller, ControlSettings, PriceRules
from app.model import Decision, Mode, Override, PriceState, Settings, Snapshot
from app.prices.amber import parse
from app.prices.timetable import Timetable
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from tests.closed_loop import UTC_0, ClosedLoop
from tests.prices.amber_server import T0_S, current

CAP_W, TARGET_W = 400.0, 15.0


class Priced(Controller):
    """The controller, with the price of the test in every snapshot."""

    price: PriceState = PriceState()

    def step(self, snapshot: Snapshot) -> Decision:
        return super().step(replace(snapshot, price=self.price))


class PricedHouse(ClosedLoop):
    """Two inverters in the sun, much more than the house takes."""

    def __init__(self, export_limit_w: float | None = None, *, switch_off: bool = False, **rules: Any) -> None:
        super().__init__(HouseConfig(seed=3, inverters=fleet(2)))
        self.house.sun_override, self.house.load_override_w = 0.9, 500.0
        self.controller = self.priced = Priced(
            ControlSettings(export_limit_w=export_limit_w, switch_off=switch_off, price=PriceRules(**rules))
        )
        self.run(60)
        self.grid: list[float] = []

    def amber_says(self, feed_in: Any, *, after_s: float = 30.0, **keys: Any) -> None:
        table = Timetable("Amber", "AUD", 900.0)
        table.merge(parse(current(feed_in, **keys)), T0_S)
        self.priced.price = table.at(T0_S + after_s)

    def by_hand(self, mode: Mode, seconds: float) -> None:
        self.settings = Settings(override=Override(mode, UTC_0 + self.house.now_s + seconds))

    def watch(self, seconds: int) -> list[float]:
        """Live on; the grid power of each second."""
        powers = []
        for _ in range(seconds):
            self.run(1)
            powers.append(self.house.grid_w)
        return powers

    @property
    def full_w(self) -> float:
        return sum(state.max_w for state in self.driver.states())

    @property
    def least_w(self) -> float:
        return sum(state.min_w for state in self.driver.states())

    @property
    def closed(self) -> bool:
        return self.last.mode is Mode.LIMIT and abs(self.house.grid_w - TARGET_W) < 30.0


def test_paid_export_opens_and_costly_export_closes_within_seconds() -> None:
    house = PricedHouse()
    assert house.closed, "nothing is known of the price yet"
    house.amber_says(-10.7)
    house.run(30)
    assert house.last.mode is Mode.OPEN
    assert house.house.grid_w < -1000.0
    assert house.last.limit_w == house.full_w
    house.amber_says(2.1)
    house.run(8)
    assert house.house.grid_w > -25.0
    house.run(30)
    assert house.closed


def test_the_grid_follows_the_cap_and_then_the_target_without_overshoot() -> None:
    house = PricedHouse(export_limit_w=CAP_W)
    for _ in range(3):
        house.amber_says(-10.7)
        opening = house.watch(60)
        assert min(opening) > -CAP_W - 40.0, "never much more export than the grid operator allows"
        assert sum(opening[30:]) / 30.0 == pytest.approx(-CAP_W, abs=20.0)
        house.amber_says(2.1)
        closing = house.watch(60)
        assert max(closing) < TARGET_W + 150.0, "nor is much more sun given up than need be"
        assert all(power_w > -25.0 for power_w in closing[10:])
        assert sum(closing[30:]) / 30.0 == pytest.approx(TARGET_W, abs=15.0)


@pytest.mark.parametrize("export_limit_w", [None, CAP_W])
def test_no_limit_is_raised_when_it_closes(export_limit_w: float | None) -> None:
    """Bumpless: from where the inverters are, straight down to what the house takes."""
    house = PricedHouse(export_limit_w=export_limit_w)
    house.amber_says(-10.7)
    house.run(60)
    before_w = house.last.limit_w
    assert before_w is not None
    house.amber_says(2.1)
    house.decisions.clear()
    house.run(12)
    limits = [decision.limit_w for decision in house.decisions]
    assert all(limit_w is not None and limit_w <= before_w + 1.0 for limit_w in limits)
    assert limits[0] is not None
    assert limits[0] < before_w - 0.5 * (before_w - 500.0), "most of the way in the very first step"


@pytest.mark.parametrize(
    "change",
    [
        {"feed_in": 0.0},
        {"feed_in": -0.0},
        {"feed_in": 2.1, "estimate": True},
        {"feed_in": -10.7, "after_s": 300.0 + 901.0},  # the price has ended, and no other has come
    ],
)
def test_whatever_is_no_gain_closes(change: dict[str, Any]) -> None:
    house = PricedHouse()
    house.amber_says(-10.7)
    house.run(30)
    assert house.last.mode is Mode.OPEN
    house.amber_says(**change)
    house.run(30)
    assert house.closed


def test_an_estimate_alone_never_opens_and_keeps_open_what_a_confirmed_price_opened() -> None:
    house = PricedHouse()
    house.amber_says(-1750.0, estimate=True)
    house.run(30)
    assert house.closed
    house.amber_says(-10.7)
    house.run(30)
    house.amber_says(-9.0, estimate=True)
    house.run(30)
    assert house.last.mode is Mode.OPEN


def test_the_rules_of_the_configuration_reach_the_core() -> None:
    house = PricedHouse(export_threshold_c=10.0, hysteresis_c=0.5)
    house.amber_says(-10.4)
    house.run(30)
    assert house.closed
    house.amber_says(-10.6)
    house.run(30)
    assert house.last.mode is Mode.OPEN


# -- the price never overrides safety ----------------------------------------------------------------


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_dead_meter_lowers_to_the_fail_safe_though_export_is_paid_up_to_a_cap(by_hand: bool) -> None:
    house = PricedHouse(export_limit_w=CAP_W)
    house.amber_says(-10.7)
    if by_hand:
        house.by_hand(Mode.OPEN, 3600.0)
    house.run(60)
    house.meter_answers = False
    house.run(10)
    assert house.last.mode is Mode.FAIL_SAFE
    assert house.last.limit_w == pytest.approx(house.least_w)
    house.amber_says(-200.0)
    house.run(20)
    assert house.last.mode is Mode.FAIL_SAFE
    assert house.last.limit_w == pytest.approx(house.least_w)
    house.meter_answers = True
    assert sum(house.watch(60)[30:]) / 30.0 == pytest.approx(-CAP_W, abs=20.0)


def test_open_without_a_cap_needs_no_meter_but_closing_does() -> None:
    house = PricedHouse()
    house.amber_says(-10.7)
    house.run(30)
    house.meter_answers = False
    house.run(30)
    assert (house.last.mode, house.last.limit_w) == (Mode.OPEN, house.full_w)
    house.amber_says(2.1)
    house.run(1)
    assert house.last.mode is Mode.FAIL_SAFE
    assert house.last.limit_w == pytest.approx(house.least_w)


# -- shut down ---------------------------------------------------------------------------------------


def test_paid_import_shuts_down_and_comes_back_without_a_bump() -> None:
    house = PricedHouse(shutdown_when_import_negative=True)
    house.amber_says(2.1, general=-3.0, estimate=True)
    house.run(30)
    assert house.closed, "not for an estimate"
    house.amber_says(2.1, general=-3.0)
    house.run(20)
    assert house.last.mode is Mode.SHUTDOWN
    assert house.last.limit_w == pytest.approx(house.least_w)
    assert house.house.grid_w > 300.0, "the house takes from the grid what it needs"
    house.amber_says(2.1, general=3.0, estimate=True)
    house.run(20)
    assert house.last.mode is Mode.SHUTDOWN
    house.amber_says(2.1, general=3.0)
    back = house.watch(90)
    assert min(back) > -40.0
    assert house.closed


def test_a_shutdown_switches_off_what_may_be_and_on_again() -> None:
    house = PricedHouse(shutdown_when_import_negative=True, switch_off=True)
    house.run(300)
    house.amber_says(2.1, general=-3.0)
    house.run(120)
    assert [state.power_on for state in house.driver.states()] == [False, False]
    assert house.house.grid_w == pytest.approx(500.0, abs=30.0)
    house.amber_says(-5.0, general=3.0)
    house.run(120)
    assert (house.last.mode, house.last.limit_w) == (Mode.OPEN, house.full_w)
    assert house.house.grid_w < -1000.0


@pytest.mark.parametrize(("feed_in", "grid_w"), [(-5.0, -CAP_W), (2.1, TARGET_W)])
def test_the_end_of_a_shutdown_waits_for_no_rest(feed_in: float, grid_w: float) -> None:
    """Just switched off, and on again with the next price, where there is room for what they give at least."""
    house = PricedHouse(export_limit_w=CAP_W, shutdown_when_import_negative=True, switch_off=True)
    house.run(300)
    house.amber_says(2.1, general=-3.0)
    while any(state.power_on is not False for state in house.driver.states()):
        house.run(1)
    house.run(10)
    house.amber_says(feed_in, general=3.0)
    house.run(2)
    assert [state.power_on for state in house.driver.states()] == [True, True]
    back = house.watch(90)
    assert min(back) > min(grid_w, TARGET_W) - 40.0
    assert sum(back[60:]) / 30.0 == pytest.approx(grid_w, abs=20.0)


def test_a_shutdown_that_ends_while_the_house_takes_nothing_leaves_off_what_is_off() -> None:
    house = PricedHouse(shutdown_when_import_negative=True, switch_off=True)
    house.run(300)
    house.amber_says(2.1, general=-3.0)
    house.run(120)
    house.house.load_override_w = 10.0
    house.run(10)
    house.amber_says(2.1, general=3.0)
    house.run(120)
    assert [state.power_on for state in house.driver.states()] == [False, False]
    house.house.load_override_w = 500.0
    house.run(60)
    assert house.closed


# -- by hand -----------------------------------------------------------------------------------------


def test_an_override_opens_to_the_cap_closes_and_ends_by_itself() -> None:
    house = PricedHouse(export_limit_w=CAP_W)
    house.amber_says(2.1)
    house.by_hand(Mode.OPEN, 60.0)
    assert sum(house.watch(59)[30:]) / 29.0 == pytest.approx(-CAP_W, abs=20.0)
    house.run(30)
    assert house.closed
    house.amber_says(-10.7)
    house.by_hand(Mode.LIMIT, 60.0)
    house.run(59)
    assert house.closed
    house.run(40)
    assert house.last.mode is Mode.OPEN
    assert house.house.grid_w == pytest.approx(-CAP_W, abs=40.0)


def test_an_unknown_price_is_a_fault_after_a_moment() -> None:
    house = PricedHouse()
    assert [fault.key for fault in house.last.faults] == ["price"]
    assert "no price has come yet" in house.last.faults[0].text
    house.amber_says(-10.7)
    house.run(2)
    assert house.last.faults == ()
