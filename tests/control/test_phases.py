"""``control.phases: each``: no phase exports, whatever the others take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.control import ControlSettings
from app.control.allocate import Unit
from app.control.phases import _strictest
from app.model import Command, Mode
from app.simulator.house import HouseConfig
from app.simulator.parameters import InverterConfig
from tests.closed_loop import ClosedLoop

EACH = ControlSettings(phases="each")
SINGLE = tuple(
    InverterConfig(serial=f"11618040000{number + 1}", model="HM-1500-4T", phase=number) for number in range(3)
)
BARN = InverterConfig(serial="138280400009", model="HMT-2250-6T", phase=None)


class House(ClosedLoop):
    """A house whose phases take ``loads_w``; counts what each phase exports."""

    def __init__(self, inverters: tuple[InverterConfig, ...], settings: ControlSettings, **keys: Any) -> None:
        super().__init__(HouseConfig(seed=3, inverters=inverters), settings, **keys)
        self.house.sun_override = 0.9
        self.loads_w = (200.0, 600.0, 1000.0)
        self.exports_wh = [0.0, 0.0, 0.0]
        self.house.load.step = lambda _now_s: self.loads_w  # type: ignore[method-assign,assignment]
        step = self.house.step

        def counted() -> None:
            step()
            for number, watts in enumerate(self.house._phases()):
                self.exports_wh[number] += max(0.0, -watts) * self.house.config.step_s / 3600.0

        self.house.step = counted  # type: ignore[method-assign]

    def settle(self, loads_w: tuple[float, float, float], seconds: float = 60) -> None:
        self.loads_w = loads_w
        self.run(seconds)
        self.exports_wh = [0.0, 0.0, 0.0]

    @property
    def phases_w(self) -> list[float]:
        return self.house._phases()


@pytest.mark.parametrize(
    "inverters", [SINGLE, SINGLE[:2], (BARN,), (BARN, SINGLE[0]), (BARN, *SINGLE)], ids=lambda some: str(len(some))
)
def test_no_phase_exports_once_settled(inverters: tuple[InverterConfig, ...]) -> None:
    house = House(inverters, EACH)
    for loads_w in ((200.0, 600.0, 1000.0), (1500.0, 100.0, 300.0), (400.0, 900.0, 60.0)):
        house.settle(loads_w)
        house.run(120)
        assert max(house.exports_wh) < 0.3, loads_w
        assert min(house.phases_w) > -12.0, loads_w
    assert house.last.mode is Mode.LIMIT


def test_the_sum_exports_on_a_phase_what_each_does_not() -> None:
    exported = {}
    for phases in ("net", "each"):
        house = House(SINGLE[:1], replace(EACH, phases=phases))
        house.settle((200.0, 600.0, 1000.0))
        house.run(120)
        exported[phases] = house.exports_wh[0]
    assert exported["net"] > 20.0
    assert exported["each"] < 0.2


@pytest.mark.parametrize("phase_w", [300.0, 900.0])
def test_every_phase_with_an_inverter_of_its_own_is_held_at_its_third_of_the_target(phase_w: float) -> None:
    house = House(SINGLE, EACH)
    house.settle((phase_w, 500.0, 700.0), 120)
    for watts in house.phases_w:
        assert watts == pytest.approx(5.0, abs=15.0)


def test_a_three_phase_inverter_gives_three_times_what_the_strictest_phase_takes() -> None:
    house = House((BARN,), EACH)
    house.settle((300.0, 600.0, 1000.0), 120)
    assert house.house.pv_w == pytest.approx(3.0 * 295.0, abs=40.0)
    house.settle((700.0, 600.0, 1000.0), 120)
    assert house.house.pv_w == pytest.approx(3.0 * 595.0, abs=60.0)


def test_inverters_of_one_phase_fill_what_the_one_of_three_must_leave() -> None:
    house = House((BARN, *SINGLE), EACH)
    house.settle((300.0, 600.0, 1000.0), 240)
    for watts in house.phases_w:
        assert watts == pytest.approx(5.0, abs=25.0)


def test_a_drop_of_one_phase_ends_its_export_within_seconds() -> None:
    house = House(SINGLE, EACH)
    house.settle((800.0, 800.0, 800.0), 90)
    house.settle((100.0, 1100.0, 1100.0), 8)
    assert house.phases_w[0] > -20.0
    house.run(60)
    assert sum(house.exports_wh) < 0.3


@pytest.mark.parametrize("shown", [0, 1, 2])
def test_a_meter_without_three_phases_means_fail_safe_and_is_told(shown: int) -> None:
    house = House(SINGLE, EACH, meter_phases=shown)
    house.run(30)
    assert house.last.mode is Mode.FAIL_SAFE
    [fault] = [fault for fault in house.last.faults if fault.key == "meter"]
    assert fault.text.startswith("control.phases: each needs a meter that shows three phases: ")
    assert "control.phases: net" in fault.next_step
    minima_w = sum(state.min_w for state in house.driver.states())
    assert house.last.limit_w == pytest.approx(minima_w)


def test_phases_that_come_back_are_regulated_again() -> None:
    house = House(SINGLE, EACH)
    house.run(60)
    house._phases = 2
    house.run(10)
    assert house.last.mode is Mode.FAIL_SAFE
    house._phases = 3
    house.settle((300.0, 500.0, 700.0), 90)
    assert not house.last.faults
    assert house.phases_w[1] == pytest.approx(5.0, abs=20.0)


def test_one_phase_lowers_and_only_all_three_raise() -> None:
    unit = Unit("138280400009", 60.0, 2250.0, 900.0, 900.0, bound=True)

    def asked(*thirds_w: float) -> float | None:
        joint = _strictest(unit, [Command(unit.serial, watts, "") for watts in thirds_w], None)
        return None if joint is None else joint.limit_w

    assert asked(200.0) == 600.0
    assert asked(400.0, 200.0, 500.0) == 600.0
    assert asked(400.0, 500.0) is None
    assert asked(400.0, 500.0, 450.0) == 1200.0
    assert asked() is None


def test_one_of_three_phases_is_not_held_down_by_one_of_a_single_phase() -> None:
    """On the strictest phase its third is worth three times as much."""
    house = House((BARN, SINGLE[0]), EACH)
    house.settle((300.0, 600.0, 1000.0), 240)
    house.run(120)
    assert house.house.inverter(BARN.serial).power_w > 600.0
    assert house.phases_w[0] == pytest.approx(5.0, abs=20.0)
    assert max(house.exports_wh) < 0.3
