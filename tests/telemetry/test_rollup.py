"""Minutes: means and energies of what was known, and nothing else."""

from __future__ import annotations

import random

import pytest

from app.telemetry.points import MINUTE, known
from app.telemetry.rollup import Minute, Rollup
from tests.telemetry.ticks import UTC_S, make_tick

START_S = UTC_S - UTC_S % 60.0
TO_MINUTE_S = 60.0 - UTC_S % 60.0


def minutes(rollup: Rollup, *ticks: object) -> list[Minute]:
    return [minute for tick in ticks if (minute := rollup.add(tick)) is not None]  # type: ignore[arg-type]


def test_a_minute_of_steady_power() -> None:
    rollup = Rollup()
    first, second = minutes(rollup, *(make_tick(float(s), grid_w=120.0) for s in range(101)))
    assert first.utc_s == START_S
    assert first.grid_s == pytest.approx(40.0)
    assert first.import_wh == pytest.approx(120.0 * 40 / 3600)
    assert second.utc_s == START_S + 60.0
    assert (second.grid_w, second.grid_min_w, second.grid_max_w) == (120.0, 120.0, 120.0)
    assert second.grid_s == pytest.approx(60.0)
    assert second.import_wh == pytest.approx(2.0)
    assert second.export_wh == 0.0
    assert second.pv_wh == pytest.approx(400.0 / 60)
    assert second.load_wh == pytest.approx(420.0 / 60)
    assert second.limit_w == pytest.approx(500.0)


def test_import_and_export_are_never_netted() -> None:
    rollup = Rollup()
    ticks = [make_tick(TO_MINUTE_S + s, grid_w=300.0 if s % 2 else -300.0) for s in range(61)]
    (minute,) = minutes(rollup, *ticks)
    assert minute.grid_w == pytest.approx(0.0)
    assert (minute.grid_min_w, minute.grid_max_w) == (-300.0, 300.0)
    assert minute.import_wh == pytest.approx(2.5)
    assert minute.export_wh == pytest.approx(2.5)


def test_a_gap_is_not_filled() -> None:
    rollup = Rollup()
    ticks = [make_tick(float(s), grid_w=-600.0) for s in (*range(10), *range(30, 40))]
    (minute,) = minutes(rollup, *ticks[:-1], make_tick(TO_MINUTE_S + 9.0))
    assert minute.grid_s == pytest.approx(9.0 + 8.0)
    assert minute.export_wh == pytest.approx(600.0 * 17 / 3600)


def test_a_slow_meter_leaves_no_gap() -> None:
    rollup = Rollup()
    ticks = [make_tick(20.0 * i, interval_s=20.0) for i in range(6)]
    _, minute = minutes(rollup, *ticks)
    assert minute.grid_s == pytest.approx(60.0)


def test_what_is_unknown_is_not_zero() -> None:
    rollup = Rollup()
    (minute,) = minutes(rollup, *(make_tick(TO_MINUTE_S + s, grid_w=None, load_w=None) for s in range(61)))
    assert minute.grid_w is minute.import_wh is minute.export_wh is minute.load_wh is None
    assert minute.grid_s == 0.0
    assert minute.pv_wh == pytest.approx(400.0 / 60)
    written = dict(known(MINUTE, minute))
    assert "import_wh" not in written
    assert written["grid_s"] == 0.0


def test_a_minute_in_which_nothing_was_known_is_no_minute() -> None:
    nothing = {"grid_w": None, "pv_w": None, "load_w": None, "limit_w": None}
    assert minutes(Rollup(), *(make_tick(float(s), **nothing) for s in range(200))) == []


def test_energy_is_split_at_the_minute() -> None:
    rollup = Rollup()
    early, late = make_tick(TO_MINUTE_S - 1.0, grid_w=3600.0), make_tick(TO_MINUTE_S + 3.0, grid_w=0.0)
    (first,) = minutes(rollup, early, late)
    second = rollup.flush()
    assert second is not None
    assert [first.import_wh, second.import_wh] == pytest.approx([1.0, 3.0])
    assert [first.grid_s, second.grid_s] == pytest.approx([1.0, 3.0])


def test_no_energy_is_lost_or_made_up_at_random_intervals() -> None:
    source = random.Random(7)
    rollup, at_s, expected_wh, found = Rollup(), 0.0, 0.0, []
    while at_s < 600.0:
        grid_w = source.uniform(-1000.0, 1000.0)
        found += minutes(rollup, make_tick(at_s, grid_w=grid_w))
        step_s = source.uniform(0.1, 3.0)
        expected_wh += grid_w * step_s / 3600.0
        at_s += step_s
    found += minutes(rollup, make_tick(at_s))
    last = rollup.flush()
    assert last is not None
    net_wh = sum((m.import_wh or 0.0) - (m.export_wh or 0.0) for m in (*found, last))
    assert net_wh == pytest.approx(expected_wh)


def test_a_restart_goes_on_with_its_minute() -> None:
    whole, before = Rollup(), Rollup()
    ticks = [make_tick(TO_MINUTE_S + s, grid_w=100.0 * (s % 7) - 250.0) for s in range(61)]
    (expected,) = minutes(whole, *ticks)
    minutes(before, *ticks[:31])
    saved = before.flush()
    after = Rollup(resume=saved)
    (resumed,) = minutes(after, *ticks[30:])
    for field in MINUTE:
        assert field.read(resumed) == pytest.approx(field.read(expected)), field.name


def test_a_restart_much_later_does_not_touch_the_old_minute() -> None:
    old = Minute(
        START_S - 3600.0, grid_w=5.0, grid_min_w=5.0, grid_max_w=5.0, grid_s=60.0, import_wh=0.1, export_wh=0.0
    )
    assert minutes(Rollup(resume=old), *(make_tick(float(s)) for s in range(20))) == []


def test_a_clock_that_is_set_back_a_little_keeps_its_minute() -> None:
    rollup = Rollup()
    ticks = [make_tick(TO_MINUTE_S + s) for s in range(5)]
    back = [make_tick(TO_MINUTE_S + 5.0 + s, utc_s=UTC_S + TO_MINUTE_S - 3.0 + s) for s in range(5)]
    assert minutes(rollup, *ticks, *back) == []
    flushed = rollup.flush()
    assert flushed is not None
    assert flushed.utc_s == START_S + 60.0
    assert flushed.grid_s == pytest.approx(9.0)
