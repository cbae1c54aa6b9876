"""What all meters share: sign, scale, factors per phase, order and pace."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.meters.correct import Corrected, Correction, correct
from app.meters.http_json import HttpJsonConfig
from app.meters.pace import LONGEST_DUE_S, Pace
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading

READING = Reading(60.0, 10.0, 1e9, (Phase(100.0, 230.0), Phase(-60.0), Phase(20.0)), 1000.0, 20.0)


class Scripted:
    """A meter that says what it is told."""

    name = "scripted"

    def __init__(self, interval_s: float = 1.0) -> None:
        self.interval_s = interval_s

    async def run(self, emit: object) -> None:
        raise NotImplementedError


def corrected(correction: Correction | None = None, now_s: float = math.inf, interval_s: float = 1.0) -> Corrected:
    return Corrected(Scripted(interval_s), correction or Correction(), lambda: now_s)


def test_turned_round_all_changes_its_sign_and_the_counters_their_places() -> None:
    found = correct(READING, Correction(-1.0))
    assert found.power_w == -60.0
    assert [phase.power_w for phase in found.phases] == [-100.0, 60.0, -20.0]
    assert found.phases[0].voltage_v == 230.0
    assert (found.import_wh, found.export_wh) == (20.0, 1000.0)


def test_scaled_all_grows_alike() -> None:
    found = correct(READING, Correction(1000.0))
    assert (found.power_w, found.import_wh, found.phases[2].power_w) == (60_000.0, 1_000_000.0, 20_000.0)


def test_a_single_clamp_is_turned_and_the_power_is_the_sum_again() -> None:
    found = correct(READING, Correction(1.0, (1.0, -1.0, 1.0)))
    assert found.power_w == 180.0
    assert found.import_wh is None, "it counted the wrong way"


@pytest.mark.parametrize("phases", [(), READING.phases[:2], (Phase(1.0), Phase(None), Phase(2.0))])
def test_factors_need_the_phases_that_they_are_for(phases: tuple[Phase, ...]) -> None:
    with pytest.raises(DeviceDataError, match="phase_factors has 3 factors"):
        correct(replace(READING, phases=phases), Correction(1.0, (1.0, -1.0, 1.0)))


@pytest.mark.parametrize("power_w", [math.nan, math.inf, -2e5])
def test_what_no_house_carries_is_refused_with_the_name_of_the_meter(power_w: float) -> None:
    found = corrected().take(replace(READING, power_w=power_w))
    assert isinstance(found, DeviceDataError)
    assert str(found).startswith("scripted: ")


def test_old_readings_are_left_out_and_none_is_from_the_future() -> None:
    meter = corrected(now_s=12.0)
    assert meter.take(READING) == READING
    assert meter.take(replace(READING, power_w=1.0)) is None, "the same moment again"
    assert meter.take(replace(READING, at_s=9.0)) is None
    ahead = meter.take(replace(READING, at_s=20.0))
    assert isinstance(ahead, Reading)
    assert ahead.at_s == 12.0
    error = DeviceUnavailable("gone")
    assert meter.take(error) is error


def test_the_pace_is_that_of_the_changes() -> None:
    meter = corrected()
    for second in range(100):
        meter.take(replace(READING, at_s=float(second), power_w=float(second // 10)))
    assert meter.interval_s == 10.0


def test_a_value_that_stands_still_for_a_while_is_no_slow_meter() -> None:
    pace = Pace(1.0)
    for second in range(40):
        pace.add(second if second < 15 or second > 30 else 15, float(second))
    assert pace.interval_s == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-10, 200)), max_size=60))
def test_the_pace_is_never_below_what_is_expected_and_never_absurd(steps: list[tuple[int, float]]) -> None:
    pace, at_s = Pace(2.0), 0.0
    for value, step_s in steps:
        at_s += step_s
        pace.add(value, at_s)
        assert 2.0 <= pace.interval_s <= 60.0


@pytest.mark.parametrize("factors", [[], [0], [1, 2, 3, 4], [1e9]])
def test_factors_that_are_none_are_refused(factors: list[float]) -> None:
    with pytest.raises(ValidationError, match="are no factors"):
        HttpJsonConfig(type="http_json", url="http://10.0.0.9/", path="$.p", phase_factors=factors)


def test_a_value_that_is_told_again_is_missed_soon_however_seldom_it_changes() -> None:
    meter = corrected()
    for second in range(600):
        meter.take(replace(READING, at_s=float(second), power_w=float(second // 50)))
    assert meter.interval_s == 50.0
    assert meter.due_s == 1.0


def test_a_meter_with_a_clock_of_its_own_is_waited_for_at_its_pace() -> None:
    meter = corrected()
    for number in range(20):
        meter.take(replace(READING, at_s=10.0 * number, power_w=float(number)))
    assert meter.due_s == 10.0


@pytest.mark.parametrize("error", [DeviceUnavailable("gone"), replace(READING, power_w=math.nan)])
def test_a_meter_that_breaks_down_slowly_does_not_widen_what_is_allowed_to_it(error: DeviceError | Reading) -> None:
    meter, at_s = corrected(), 0.0
    for number in range(60):
        at_s += 1.0 + number
        meter.take(error if isinstance(error, DeviceError) else replace(error, at_s=at_s - 0.5))
        meter.take(replace(READING, at_s=at_s, power_w=float(number)))
    assert (meter.due_s, meter.interval_s) == (1.0, 1.0)


def test_even_without_a_fault_in_between_there_is_an_end_to_waiting() -> None:
    meter, declared, at_s = corrected(), corrected(interval_s=30.0), 0.0
    for number in range(60):
        at_s += 1.0 + number
        for one in (meter, declared):
            one.take(replace(READING, at_s=at_s, power_w=float(number)))
    assert meter.due_s == LONGEST_DUE_S
    assert declared.due_s == 30.0, "as its section says"
