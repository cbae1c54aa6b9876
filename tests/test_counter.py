"""A device's counter: by how much it has grown, whatever happens to it."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.counter import SETTLE_S, Counter, Mark

UTC_S = 1_750_000_000.0
MOST_W = 2000.0
DAY_S = 86_400.0


class Device:
    """A counter that a test reads at moments of its choice."""

    def __init__(self, mark: Mark | None = None, most_w: float = MOST_W) -> None:
        self.counter = Counter(most_w, mark)
        self.now_s, self.utc_s = 100.0, UTC_S
        self.total_wh = 0.0
        self.begun = 0

    def shows(self, value_wh: float | None, after_s: float = 60.0) -> float:
        """What it has counted in all, once it is read so much later."""
        self.now_s += after_s
        self.utc_s += after_s
        grown = self.counter.read(value_wh, self.now_s, self.utc_s)
        if grown is not None:
            self.begun += grown.wh is None
            self.total_wh += grown.wh or 0.0
        return self.total_wh


def test_the_first_value_is_where_it_begins() -> None:
    device = Device()
    assert [device.shows(value) for value in (5000.0, 5010.0, 5010.0, 5025.5)] == [0.0, 10.0, 10.0, 25.5]


def test_a_restart_goes_on_where_the_last_run_saw_it() -> None:
    device = Device(Mark(5000.0, UTC_S - DAY_S))
    assert device.shows(5000.0 + 24 * 1500.0) == 36_000.0


@pytest.mark.parametrize("value_wh", [None, math.nan, math.inf, -1.0])
def test_what_is_no_count_is_not_read(value_wh: float | None) -> None:
    device = Device(Mark(5000.0, UTC_S))
    assert [device.shows(value_wh), device.shows(5001.0)] == [0.0, 1.0]


@pytest.mark.parametrize("glitch_wh", [0.0, 4000.0, 4_999.9 - 10.0, 9e6])
def test_values_that_cannot_be_for_a_while_change_nothing(glitch_wh: float) -> None:
    device = Device(Mark(5000.0, UTC_S))
    assert [device.shows(value) for value in (glitch_wh, glitch_wh, 5020.0, 5030.0)] == [0.0, 0.0, 20.0, 30.0]
    assert device.begun == 0


def test_a_reset_counts_from_where_it_is_believed() -> None:
    device = Device(Mark(5000.0, UTC_S))
    for second in range(0, int(SETTLE_S), 10):
        assert device.shows(second / 10.0, 10.0) == 0.0
    device.shows(31.0)
    assert device.begun == 1
    assert device.shows(41.0) == 10.0


def test_another_device_with_a_higher_counter_counts_nothing_false() -> None:
    device = Device(Mark(5000.0, UTC_S))
    for _ in range(10):
        device.shows(900_000.0)
    assert (device.total_wh, device.begun) == (0.0, 1)
    assert device.shows(900_007.0) == 7.0


def test_a_jump_is_measured_by_the_time_that_it_had() -> None:
    """Off for an hour: 2000 W give 2000 Wh and what two minutes more give, and not one Wh beyond."""
    for jump_wh, counted_wh in ((2000.0, 2000.0), (2066.0, 2066.0), (2067.0, 0.0)):
        device = Device(Mark(5000.0, UTC_S))
        assert device.shows(5000.0 + jump_wh, 3600.0) == counted_wh


def test_a_counter_that_stood_for_long_may_not_jump_the_further() -> None:
    """A winter without export is no reason to believe a summer's in a minute."""
    device = Device(Mark(5000.0, UTC_S))
    device.shows(5001.0)
    for _ in range(2000):
        device.shows(5001.0)
    assert device.shows(5001.0 + 2200.0) == 1.0, "more than an hour gives, and a little"
    assert device.shows(5001.0 + 2000.0) == 2001.0


def test_a_clock_that_is_set_right_after_the_start_makes_a_gap_plausible() -> None:
    """A small computer without a clock of its own wakes at the time of its last breath."""
    device = Device(Mark(5000.0, UTC_S))
    assert device.shows(5000.0 + 6000.0, 5.0) == 0.0
    device.utc_s += 5 * 3600.0
    assert device.shows(5000.0 + 6001.0, 5.0) == 6001.0


def test_rounding_is_no_reset() -> None:
    device = Device(Mark(5000.0, UTC_S))
    assert [device.shows(value) for value in (5000.4, 4999.9, 5000.4, 5000.3, 5000.5)] == pytest.approx(
        [0.4, 0.4, 0.4, 0.4, 0.5]
    )


steps = st.lists(st.tuples(st.floats(1.0, 7200.0), st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=40)


@settings(deadline=None)
@given(steps)
def test_the_sum_does_not_depend_on_how_often_it_is_looked_at(steps: list[tuple[float, float, bool]]) -> None:
    """Each step takes a while, grows by a share of what is possible, and is seen or not; the last one always is."""
    device, unseen_s = Device(Mark(5000.0, UTC_S)), 0.0
    values = list(accumulate((after_s * share * MOST_W / 3600.0 for after_s, share, _ in steps), initial=5000.0))
    for index, ((after_s, _, seen), value_wh) in enumerate(zip(steps, values[1:], strict=True)):
        unseen_s += after_s
        if seen or index == len(steps) - 1:
            device.shows(value_wh, unseen_s)
            unseen_s = 0.0
    assert device.total_wh == pytest.approx(values[-1] - values[0], abs=1.01)  # what wobbles is not counted yet
    assert device.begun == 0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, DAY_S),
            st.one_of(st.floats(0.0, 1e7), st.floats(allow_nan=True, allow_infinity=True), st.none()),
            st.floats(-1e6, 1e6),
        ),
        max_size=40,
    )
)
def test_whatever_it_shows_it_never_counts_what_the_time_does_not_give(
    seen: list[tuple[float, float | None, float]],
) -> None:
    device, passed_s, before_wh = Device(Mark(5000.0, UTC_S)), 0.0, 0.0
    for after_s, value_wh, clock_s in seen:
        device.utc_s += clock_s
        passed_s += after_s + max(0.0, clock_s)
        total_wh = device.shows(value_wh, after_s)
        assert total_wh >= before_wh
        before_wh = total_wh
    assert before_wh <= MOST_W * (passed_s + 1e6 * len(seen) + 120.0 * len(seen)) / 3600.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1.0, 3600.0), st.floats(0.0, 1.0), st.sampled_from(["", "zero", "high"]))))
def test_nothing_is_counted_twice_whatever_glitches(steps: list[tuple[float, float, str]]) -> None:
    device, value_wh = Device(Mark(5000.0, UTC_S)), 5000.0
    for after_s, share, glitch in steps:
        value_wh += after_s * share * MOST_W / 3600.0
        if glitch:
            device.shows(0.0 if glitch == "zero" else 1e9, after_s)
            device.shows(value_wh, 1.0)
        else:
            device.shows(value_wh, after_s)
        assert device.total_wh <= value_wh - 5000.0 + 1e-6
    assert device.total_wh == pytest.approx(value_wh - 5000.0, abs=1.01)
