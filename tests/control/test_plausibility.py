"""What a meter may show that is not to be believed, in virtual time: frozen, impossible, a spike, half a meter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.control import ControlSettings
from app.control.plausibility import Plausibility
from app.model import Ac, InverterState, MeterState, Mode, Phase, Reading
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig
from tests.closed_loop import ClosedLoop

INVERTER = InverterState("1", "roof", max_w=1500.0, min_w=45.0)


def judged(
    powers: list[float], *, phases: int = 0, inverter: InverterState = INVERTER, interval_s: float = 1.0
) -> list[float | None]:
    """The power believed after each of these readings, one per interval."""
    gate, found = Plausibility(ControlSettings()), []
    for number, power_w in enumerate(powers):
        reading = Reading(power_w, number * interval_s, 0.0, (Phase(power_w / phases),) * phases if phases else ())
        meter = gate.judge(MeterState(reading, None, interval_s, number + 1), [inverter])
        found.append(meter.reading.power_w if meter.reading is not None else None)
    return found


def test_what_no_house_connection_carries_is_never_believed() -> None:
    assert judged([20.0, 1e9, 1e9, 1e9, 30.0]) == [20.0, 20.0, 20.0, 20.0, 30.0]
    assert judged([20.0, -70_001.0, 70_000.0]) == [20.0, 20.0, 20.0]
    assert judged([math.nan, math.inf, 20.0]) == [None, None, 20.0]


def test_an_export_beyond_all_inverters_needs_a_second_reading() -> None:
    assert judged([20.0, -8000.0, 20.0]) == [20.0, 20.0, 20.0], "a spike"
    assert judged([20.0, -8000.0, -7900.0, -7800.0]) == [20.0, 20.0, -7900.0, -7800.0], "something else feeds in"
    assert judged([20.0, -1900.0]) == [20.0, -1900.0], "what they can feed is acted on at once"


def test_a_jump_upwards_needs_a_second_reading_and_a_kettle_does_not() -> None:
    assert judged([20.0, 8000.0, 20.0]) == [20.0, 20.0, 20.0]
    assert judged([20.0, 8000.0, 8100.0]) == [20.0, 20.0, 8100.0]
    assert judged([20.0, 8000.0, -40.0, 8000.0, 25.0]) == [20.0, 20.0, -40.0, -40.0, 25.0], (
        "two spikes agree on nothing"
    )
    assert judged([20.0, 2400.0]) == [20.0, 2400.0]
    assert judged([9000.0]) == [9000.0], "at the start there is nothing to compare with"


def test_readings_that_each_say_something_else_are_none() -> None:
    wild = [20.0, 30_000.0, -30_000.0, 60_000.0, -10_000.0, 45_000.0]
    assert judged(wild) == [20.0] * 6


def test_a_meter_that_loses_a_phase_is_not_believed() -> None:
    gate = Plausibility(ControlSettings())
    three = Reading(300.0, 1.0, 0.0, (Phase(100.0),) * 3)
    for lost in ((Phase(100.0), Phase(100.0)), (Phase(100.0), Phase(None), Phase(100.0)), ()):
        assert gate.judge(MeterState(three, None, 1.0, 1), [INVERTER]).reading is three
        meter = gate.judge(MeterState(Reading(200.0, 2.0, 0.0, lost), None, 1.0, 2), [INVERTER])
        assert meter.reading is three
        assert meter.good_in_a_row == 0
        assert f"{sum(p.power_w is not None for p in lost)} of 3 phases" in (meter.fault or "")


def test_good_readings_are_counted_from_the_last_doubt_on() -> None:
    gate, counts = Plausibility(ControlSettings()), []
    for number, power_w in enumerate([20.0, 21.0, 1e9, 22.0, 23.0]):
        meter = gate.judge(MeterState(Reading(power_w, number, 0.0), None, 1.0, number + 1), [INVERTER])
        counts.append(meter.good_in_a_row)
    assert counts == [1, 2, 0, 1, 2]


def test_the_device_s_own_fault_comes_first() -> None:
    gate = Plausibility(ControlSettings())
    meter = gate.judge(MeterState(Reading(1e9, 1.0, 0.0), "no answer", 1.0, 0), [INVERTER])
    assert (meter.reading, meter.fault) == (None, "no answer")


@pytest.mark.parametrize("interval_s", [1.0, 10.0])
def test_frozen_is_a_meter_that_shows_the_same_to_the_digit_while_the_inverters_move(interval_s: float) -> None:
    gate = Plausibility(ControlSettings())
    for number in range(12):
        at_s = number * interval_s
        inverter = replace(INVERTER, ac=Ac(power_w=700.0 + 30.0 * number), power_at_s=at_s)
        meter = gate.judge(MeterState(Reading(20.0, at_s, 0.0), None, interval_s, number + 1), [inverter])
        frozen = meter.reading is not None and meter.reading.at_s < at_s
        assert frozen == (at_s >= max(10.0, 3.0 * interval_s) and 30.0 * (number - math.ceil(3.0 / interval_s)) > 100.0)
    assert meter.reading == Reading(20.0, 0.0, 0.0), "so old is the last thing that it told"
    assert "stays at 20 W to the digit" in (meter.fault or "")
    meter = gate.judge(MeterState(Reading(20.1, 12 * interval_s, 0.0), None, interval_s, 13), [inverter])
    assert (meter.reading, meter.fault) == (Reading(20.1, 12 * interval_s, 0.0), None)


def test_a_frozen_meter_stays_frozen_when_the_inverters_come_back_to_where_they_were() -> None:
    gate = Plausibility(ControlSettings())
    for number, power_w in enumerate([500.0] * 5 + [900.0] * 10 + [500.0] * 10):
        inverter = replace(INVERTER, ac=Ac(power_w=power_w), power_at_s=float(number))
        meter = gate.judge(MeterState(Reading(20.0, number, 0.0), None, 1.0, number + 1), [inverter])
    assert meter.reading == Reading(20.0, 0.0, 0.0)


def test_a_calm_meter_at_night_is_not_frozen() -> None:
    asleep = replace(INVERTER, reachable=False, ac=Ac(power_w=0.0), power_at_s=3.0)
    assert judged([20.0] * 100, inverter=asleep) == [20.0] * 100


# -- the whole control path -------------------------------------------------------------------------------


def house(load_w: float = 600.0, seed: int = 3) -> ClosedLoop:
    loop = ClosedLoop(HouseConfig(seed=seed, inverters=fleet(1), dtu=DtuConfig(up_since_s=7200)))
    loop.house.sun_override, loop.house.load_override_w = 0.9, load_w
    loop.run(90)
    assert loop.house.grid_w == pytest.approx(15.0, abs=30.0)
    return loop


def once(change: Callable[[Reading], Reading]) -> Callable[[Reading], Reading]:
    """Distort one reading."""
    left = [change]
    return lambda reading: left.pop()(reading) if left else reading


@pytest.mark.parametrize("power_w", [-8000.0, 30_000.0, 1e9, math.nan])
def test_one_wild_reading_costs_next_to_nothing(power_w: float) -> None:
    loop = house()
    before_w, exported_wh = loop.house.pv_w, loop.house.energy.export_wh
    loop.distort = once(lambda reading: replace(reading, power_w=power_w))
    loop.run(20)
    assert loop.house.pv_w >= 0.9 * before_w
    assert loop.house.energy.export_wh - exported_wh < 0.05
    assert not any(decision.mode is Mode.FAIL_SAFE for decision in loop.decisions[-20:])


def test_a_frozen_meter_ends_in_fail_safe_and_a_thawed_one_in_regulation() -> None:
    loop = house()
    kept: list[Reading] = []

    def frozen(reading: Reading) -> Reading:
        kept.append(reading)
        return replace(kept[0], at_s=reading.at_s, utc_s=reading.utc_s)

    loop.distort = frozen
    loop.run(5)
    loop.house.sun_override = 0.2  # clouds: by its meter this house notices nothing
    loop.run(30)
    assert loop.last.mode is Mode.FAIL_SAFE
    assert "to the digit" in loop.last.reason
    loop.house.sun_override = 0.9
    loop.distort = lambda reading: reading
    loop.run(45)
    assert loop.last.reason.startswith(("raise", "holding", "cut", "the house"))
    assert loop.house.grid_w == pytest.approx(15.0, abs=40.0)


def test_a_meter_that_loses_a_phase_for_good_ends_in_fail_safe() -> None:
    loop = house()
    loop.distort = lambda reading: replace(reading, phases=reading.phases[:2], power_w=reading.power_w / 2)
    loop.run(6)
    assert loop.last.mode is Mode.FAIL_SAFE
    assert "2 of 3 phases" in loop.last.reason
