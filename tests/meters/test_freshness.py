"""When a value was there, by the clock of its device, which may be wrong in every way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.meters.freshness import DeviceTime, time_stamp
from app.model import DeviceDataError

HOUR_S = 3600.0


def test_what_is_there_at_the_first_contact_proves_nothing() -> None:
    device = DeviceTime()
    assert device.moment(1000.0, 50.0) is None
    assert device.moment(1000.0, 51.0) is None, "a copy of whatever age"
    assert device.moment(1002.0, 52.0) == 52.0


def test_only_progress_is_new() -> None:
    device = DeviceTime()
    moments = [device.moment(stamp_s, now_s) for now_s, stamp_s in enumerate([10.0, 11.0, 11.0, 10.5, 12.0])]
    assert moments == [None, 1.0, None, None, pytest.approx(2.0)]


def test_what_comes_later_than_others_is_older() -> None:
    device = DeviceTime()
    device.moment(100.0, 0.0)
    assert device.moment(101.0, 1.0) == 1.0
    assert device.moment(102.0, 4.5) == pytest.approx(2.0), "it was 2.5 s on its way"
    assert device.moment(103.0, 3.2) == pytest.approx(3.0)


@pytest.mark.parametrize("drift", [-2e-3, -1e-4, 1e-4, 2e-3])
def test_a_clock_that_drifts_makes_no_value_old(drift: float) -> None:
    device = DeviceTime()
    for second in range(0, 48 * 3600, 10):
        at_s = device.moment(5e8 + second * (1.0 + drift), float(second))
        assert second == 0 or (at_s is not None and 0.0 <= second - at_s < 1.5)


def test_a_clock_that_is_put_forward_goes_on_at_once() -> None:
    device = DeviceTime()
    device.moment(0.0, 100.0)
    assert device.moment(1.7e9, 101.0) == 101.0
    assert device.moment(1.7e9 + 1.0, 102.0) == 102.0


def test_a_clock_that_is_put_back_is_believed_when_it_goes_on() -> None:
    device = DeviceTime()
    device.moment(HOUR_S, 0.0)
    device.moment(HOUR_S + 1.0, 1.0)
    moments = [device.moment(float(second), 2.0 + second) for second in range(6)]
    assert moments == [None, None, None, 5.0, 6.0, 7.0]


def test_a_single_stamp_of_the_future_does_not_end_it() -> None:
    device = DeviceTime()
    device.moment(100.0, 0.0)
    assert device.moment(9999.0, 1.0) == 1.0
    moments = [device.moment(102.0 + second, 2.0 + second) for second in range(5)]
    assert moments == [None, None, None, 5.0, 6.0]


def test_old_values_that_are_sent_once_more_are_not_believed() -> None:
    """A cache that is emptied goes forward much faster than the time."""
    device = DeviceTime()
    device.moment(1000.0, 0.0)
    device.moment(1001.0, 1.0)
    for number in range(60):
        assert device.moment(900.0 + number, 2.0 + 0.01 * number) is None
    assert device.moment(1003.0, 3.0) == 3.0


def test_a_time_that_stands_still_is_told() -> None:
    device = DeviceTime()
    device.moment(100.0, 0.0)
    assert device.moment(101.0, 1.0) == 1.0
    assert device.moment(101.0, 15.0) is None
    with pytest.raises(DeviceDataError, match="has not advanced for 16 s"):
        device.moment(101.0, 17.0)
    assert device.moment(118.0, 18.0) == 18.0


def test_a_slow_meter_is_given_three_of_its_steps() -> None:
    device = DeviceTime()
    device.moment(0.0, 0.0)
    device.moment(10.0, 10.0)
    assert device.moment(10.0, 39.0) is None
    with pytest.raises(DeviceDataError):
        device.moment(10.0, 41.0)


@given(st.lists(st.tuples(st.floats(0, 2e9), st.floats(0.01, 30.0)), max_size=60))
def test_no_moment_is_in_the_future(steps: list[tuple[float, float]]) -> None:
    device, now_s = DeviceTime(), 0.0
    for stamp_s, step_s in steps:
        now_s += step_s
        try:
            at_s = device.moment(stamp_s, now_s)
        except DeviceDataError:
            continue
        assert at_s is None or at_s <= now_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1608489517, 1608489517.0),
        (1608489517.5, 1608489517.5),
        (1608489517391, 1608489517.391),
        ("1608489517391", 1608489517.391),
        ("1776178480.25", 1776178480.25),
        (1608489517391000, 1608489517.391),
        (1608489517391000000, 1608489517.391),
        ("2024-11-11T11:11:11Z", 1731323471.0),
        ("2024-11-11T12:11:11+01:00", 1731323471.0),
        ("2024-11-11T11:11:11", 1731323471.0),
        (12, 12.0),
    ],
)
def test_a_time_is_read_as_devices_write_it(value: Any, seconds: float) -> None:
    assert time_stamp(value, "$.t") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [None, True, "", "noon", -5, 0, [], {}, float("nan"), float("inf"), "9" * 400, 10**400, "1e5"]
)
def test_what_is_no_time_is_an_error(value: Any) -> None:
    with pytest.raises(DeviceDataError, match=r"\$\.t is .*, not a time"):
        time_stamp(value, "$.t")
