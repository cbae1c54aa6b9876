"""The simulated grid meter, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from app.simulator.house import House, HouseConfig
from app.simulator.meter import Meter, MeterSample
from app.simulator.parameters import LoadConfig, MeterConfig, SunConfig

DT = 0.1
QUIET = MeterConfig(latency_s=0.0, noise_w=0.0, noise_share=0.0)


def shown(
    meter: Meter, seconds: float, watts: Callable[[float], float] = lambda _: 300.0
) -> list[tuple[float, MeterSample]]:
    """Every new value with the time at which it was first seen; the watts are split over the phases."""
    seen: list[tuple[float, MeterSample]] = []
    for step in range(1, round(seconds / DT) + 1):
        now_s, before = step * DT, meter.sample
        third = watts(now_s) / 3.0
        meter.step(now_s, DT, (third, third, third), 0.0)
        if meter.sample is not before:
            seen.append((now_s, meter.sample))
    return seen


def test_it_shows_the_mean_of_the_last_second_a_little_later() -> None:
    house = House(
        HouseConfig(
            meter=replace(QUIET, latency_s=0.08, phase_s=0.0),
            load=LoadConfig(walk_w=0.0, appliances=()),
            sun=SunConfig(start_hour=0.0),
        )
    )
    house.load_override_w = 1000.0
    house.run(5.5)
    house.load_override_w = 2000.0
    house.run(0.5)
    assert house.meter.sample.power_w == pytest.approx(1000.0)
    house.run(0.2)
    assert house.meter.sample.power_w == pytest.approx(1500.0)
    house.run(1.0)
    assert house.meter.sample.power_w == pytest.approx(2000.0)


def test_a_value_shows_40_to_120_ms_after_its_window() -> None:
    values = shown(Meter(MeterConfig(phase_s=0.0), "a"), 500.0)
    late_s = [sample.at_s - round(sample.at_s) for _, sample in values]
    assert 0.04 <= min(late_s) < 0.05
    assert 0.11 < max(late_s) <= 0.12
    assert all(0.0 <= now_s - sample.at_s < DT + 1e-6 for now_s, sample in values)


@pytest.mark.parametrize("window_s", [1.0, 3.0, 10.0])
def test_its_windows_end_at_any_time_and_another_one_for_each_seed(window_s: float) -> None:
    phases = []
    for seed in range(30):
        values = shown(Meter(MeterConfig(window_s, latency_s=0.0), str(seed)), 4.0 * window_s)
        assert [b[0] - a[0] for a, b in pairwise(values)] == pytest.approx([window_s] * (len(values) - 1))
        phases.append(values[0][0] / window_s)
    assert min(phases) <= 0.2
    assert max(phases) >= 0.8


@pytest.mark.parametrize("window_s", [1.0, 3.0, 10.0])
def test_each_value_is_the_mean_of_its_own_window(window_s: float) -> None:
    """Power that rises by one watt a second: its mean is what it was in the middle."""
    meter = Meter(replace(QUIET, window_s=window_s), "a")
    values = shown(meter, 5.0 * window_s, lambda now_s: now_s)
    for now_s, sample in values[1:]:
        assert sample.power_w == pytest.approx(now_s - window_s / 2.0 + DT / 2.0)


def test_late_values_still_come_one_by_one_and_in_order() -> None:
    values = shown(Meter(replace(QUIET, latency_s=1.5), "a"), 120.0, lambda now_s: now_s)
    assert len(values) > 60
    assert all(a.power_w < b.power_w and a.at_s <= b.at_s for (_, a), (_, b) in pairwise(values))


def test_counters_add_up_whatever_the_window() -> None:
    for window_s in (1.0, 10.0):
        meter = Meter(MeterConfig(window_s, latency_s=0.0, phase_s=0.0), "a")
        values = shown(meter, 100.0 + window_s, lambda now_s: 3600.0 if now_s < 50.05 else -7200.0)
        first, last = values[0][1], values[-1][1]
        rest_s = 50.0 - window_s
        assert sum(last.import_wh) - sum(first.import_wh) == pytest.approx(rest_s)
        assert sum(last.export_wh) - sum(first.export_wh) == pytest.approx(2.0 * 50.0 + 2.0 * window_s)


def test_some_values_never_arrive() -> None:
    assert len(shown(Meter(MeterConfig(dropout=0.0), "a"), 1000.0)) == pytest.approx(1000, abs=1)
    assert 870 < len(shown(Meter(MeterConfig(dropout=0.1), "a"), 1000.0)) < 930


def test_drop_outs_can_last() -> None:
    values = shown(Meter(MeterConfig(dropout=0.01, dropout_s=(10.0, 120.0)), "a"), 3600.0)
    gaps = [b[0] - a[0] for a, b in pairwise(values) if b[0] - a[0] > 2.0]
    assert len(gaps) > 5
    assert 10.0 < min(gaps) < max(gaps) < 122.0


def test_frozen_it_repeats_the_same_power_in_new_values() -> None:
    meter = Meter(MeterConfig(), "a")
    shown(meter, 10.5)
    meter.frozen, before = True, meter.sample
    values = shown(meter, 20.0, lambda _: 2000.0)
    assert values[-1][1].at_s > before.at_s
    assert {sample.phases_w for _, sample in values} == {before.phases_w}
    meter.frozen = False
    assert shown(meter, 35.0, lambda _: 2000.0)[-1][1].power_w == pytest.approx(2000.0, rel=0.05)


def test_with_its_clamps_the_wrong_way_round_import_is_export() -> None:
    meter = Meter(QUIET, "a")
    meter.inverted = True
    values = shown(meter, 10.0)
    first, last = values[0][1], values[-1][1]
    assert last.power_w == pytest.approx(-300.0)
    assert first.import_wh == last.import_wh
    assert sum(last.export_wh) > sum(first.export_wh)
