"""What a public controller of one GoodWe inverter, an AlphaESS battery and Amber prices got wrong, and must not here.

Shown elsewhere: a failed poll keeps the last good price, and an interval that is over causes no hot loop
(tests/prices/test_seed_defects.py); an estimate alone never opens (tests/control/test_gate.py and
tests/prices/test_closed_loop.py); the fail-safe of a dead meter is reached at once (tests/prices/test_seed_defects.py);
that of lost battery data (`battery.strict`) too (tests/control/test_battery.py).
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest

from app.control import Controller, ControlSettings, PriceRules
from app.control.battery_rules import BatteryRules
from app.model import Decision, InverterState, Mode, PriceState, Snapshot
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from tests.closed_loop import ClosedLoop

PACE_S, STEP_W, METER_S = 10.0, 50.0, 15.0  # seconds between two writes, 1 % of 5000 W, and what the cloud tells
COSTS, PAYS = PriceState(-3.0, 25.0, estimated=False), PriceState(6.0, 25.0, estimated=False)


class Priced(Controller):
    price: PriceState = COSTS

    def step(self, snapshot: Snapshot) -> Decision:
        return super().step(replace(snapshot, price=self.price))


class SlowHouse(ClosedLoop):
    """Inverters that take a multiple of 50 W every 10 s, and a meter that tells the grid power every 15 s."""

    def __init__(self) -> None:
        super().__init__(HouseConfig(seed=5, inverters=fleet(2)), meter_interval_s=METER_S, meter_phases=0)
        self.house.sun_override, self.house.load_override_w = 0.9, 600.0
        self.controller = self.priced = Priced(ControlSettings(price=PriceRules(), cut_interval_s=PACE_S))
        states = self.driver.states

        def slow() -> tuple[InverterState, ...]:
            return tuple(replace(state, pace_s=PACE_S, step_w=STEP_W) for state in states())

        self.driver.states = slow  # type: ignore[method-assign,assignment]

    def sent(self, since: int) -> list[tuple[int, str, float]]:
        """When which inverter was given which limit."""
        return [
            (second, command.serial, command.limit_w)
            for second, decision in enumerate(self.decisions[since:])
            for command in decision.commands
        ]

    def export_wh(self, seconds: float) -> float:
        self.house.energy.export_wh = 0.0
        self.run(seconds)
        return self.house.energy.export_wh


def test_the_price_rule_works_with_a_slow_inverter_and_no_fast_meter() -> None:
    house = SlowHouse()
    house.run(180)
    assert house.export_wh(300) < 1.0
    assert house.house.grid_w < 150.0, "within two steps and the target of what the house takes"
    house.priced.price = PAYS
    house.run(120)
    assert str(house.last.mode) == "open"
    assert house.house.pv_w == pytest.approx(house.house.feedable_w, rel=0.02)
    house.priced.price = COSTS
    house.run(60)
    assert str(house.last.mode) == "limit"
    assert house.export_wh(300) < 1.0


def test_what_it_writes_keeps_to_the_steps_and_the_pace() -> None:
    house = SlowHouse()
    house.run(60)
    since = len(house.decisions)
    for load_w in (900.0, 400.0, 1400.0, 700.0):
        house.house.load_override_w = load_w
        house.run(120)
    sent = house.sent(since)
    tops = {state.serial: (state.min_w, state.max_w) for state in house.driver.states()}
    assert sent
    assert all(limit_w % STEP_W == pytest.approx(0.0) or limit_w in tops[serial] for _, serial, limit_w in sent)
    for serial in tops:
        times = [second for second, to, _ in sent if to == serial]
        assert all(b - a >= PACE_S for a, b in pairwise(times))
    assert len(sent) < 2 * 480 / PACE_S / 2


def test_the_fail_safe_waits_for_no_pace_and_is_not_smoothed() -> None:
    """There: a fifth of the way with the first write, and the second one never comes."""
    house = SlowHouse()
    house.run(180)
    house.house.load_override_w = 1800.0
    house.run(16)  # a limit was just written
    house.meter_answers = False
    while house.last.mode is not Mode.FAIL_SAFE:
        house.run(1)
        assert len(house.decisions) < 300
    least_w = sum(state.min_w for state in house.driver.states())
    assert house.last.limit_w == pytest.approx(least_w)
    house.run(10)
    assert sum(inverter.limit_w for inverter in house.house.inverters) == pytest.approx(least_w, abs=2.0)


@pytest.mark.parametrize("option", fields(BatteryRules), ids=lambda option: option.name)
def test_what_is_written_of_an_option_is_what_it_does_by_default(option: object) -> None:
    """There: the document names other defaults, another mode and another sign than the program has."""
    text = (Path(__file__).parents[2] / "docs" / "control.md").read_text(encoding="utf-8")
    name, default = option.name, option.default  # type: ignore[attr-defined]
    row = re.search(rf"^\| `{name}` \| ([^|]+) \|", text, re.MULTILINE)
    assert row is not None, f"docs/control.md has no row for battery.{name}"
    shown = {None: "off", True: "yes", False: "no"}.get(default) if not isinstance(default, float) else None
    assert row[1].strip().split(" ")[0] == (shown or f"{default:g}")
