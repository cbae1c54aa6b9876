"""Prices as Amber writes them, on the simulated plant: export opens where it is paid and closes where it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.control import Controller, ControlSettings
from app.model import Decision, Mode, PriceState, Snapshot
from app.prices.amber import parse
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from tests.closed_loop import ClosedLoop
from tests.prices.amber_server import T0_S, current


class Priced(Controller):
    """The controller, with the price of the test in every snapshot."""

    price: PriceState = PriceState()

    def step(self, snapshot: Snapshot) -> Decision:
        return super().step(replace(snapshot, price=self.price))


class PricedHouse(ClosedLoop):
    """Two inverters in the sun, much more than the house takes."""

    def __init__(self, export_limit_w: float | None = None, export_threshold_c: float = 0.0) -> None:
        super().__init__(HouseConfig(seed=3, inverters=fleet(2)))
        self.house.sun_override, self.house.load_override_w = 0.9, 500.0
        self.controller = self.priced = Priced(
            ControlSettings(export_limit_w=export_limit_w, export_threshold_c=export_threshold_c)
        )
        self.run(60)

    def amber_says(self, feed_in: Any, *, after_s: float = 30.0, **keys: Any) -> None:
        self.priced.price = parse(current(feed_in, **keys)).at(T0_S + after_s)

    @property
    def closed(self) -> bool:
        return self.last.mode is Mode.LIMIT and abs(self.house.grid_w - 15.0) < 30.0


def test_paid_export_opens_and_costly_export_closes_within_seconds() -> None:
    house = PricedHouse()
    assert house.closed, "nothing is known of the price yet"
    house.amber_says(-10.7)
    house.run(30)
    assert house.last.mode is Mode.OPEN
    assert house.house.grid_w < -1000.0
    assert house.last.limit_w == sum(state.max_w for state in house.driver.states())
    house.amber_says(2.1)
    house.run(8)
    assert house.house.grid_w > -25.0
    house.run(30)
    assert house.closed


def test_it_opens_up_to_the_cap() -> None:
    house = PricedHouse(export_limit_w=400.0)
    house.amber_says(-10.7)
    house.run(60)
    assert house.last.mode is Mode.OPEN
    assert house.house.grid_w == pytest.approx(-400.0, abs=40.0)


@pytest.mark.parametrize(
    "change",
    [
        {"feed_in": 0.0},
        {"feed_in": -0.0},
        {"feed_in": 2.1, "estimate": True},
        {"feed_in": -10.7, "after_s": 346.0},  # the price has ended, and no other has come
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


def test_an_estimate_alone_never_opens() -> None:
    house = PricedHouse()
    house.amber_says(-1750.0, estimate=True)
    house.run(60)
    assert house.closed


def test_a_dead_meter_lowers_to_the_fail_safe_though_export_is_paid_up_to_a_cap() -> None:
    house = PricedHouse(export_limit_w=400.0)
    house.amber_says(-10.7)
    house.run(60)
    house.meter_answers = False
    house.run(10)
    assert house.last.mode is Mode.FAIL_SAFE
    assert house.last.limit_w == pytest.approx(sum(state.min_w for state in house.driver.states()))


def test_an_estimate_keeps_open_what_a_confirmed_price_opened() -> None:
    """Each interval begins with an estimate: it closes at once, and does not open."""
    house = PricedHouse()
    house.amber_says(-10.7)
    house.run(30)
    house.amber_says(-9.0, estimate=True)
    house.run(30)
    assert house.last.mode is Mode.OPEN
    house.amber_says(1.0, estimate=True)
    house.run(30)
    assert house.closed
    house.amber_says(-9.0, estimate=True)
    house.run(30)
    assert house.closed
    house.amber_says(-9.0)
    house.run(30)
    assert house.last.mode is Mode.OPEN


def test_the_threshold_of_the_configuration_reaches_the_core() -> None:
    house = PricedHouse(export_threshold_c=10.0)
    house.amber_says(-10.0)
    house.run(30)
    assert house.closed
    house.amber_says(-10.1)
    house.run(30)
    assert house.last.mode is Mode.OPEN


def test_an_unknown_price_is_a_fault_after_a_moment() -> None:
    house = PricedHouse()
    assert [fault.key for fault in house.last.faults] == ["price"]
    assert "no price has come yet" in house.last.faults[0].text
    house.amber_says(-10.7)
    house.run(2)
    assert house.last.faults == ()
