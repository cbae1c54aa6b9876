"""The physics of the house, in virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.inverter import Inverter
from app.simulator.parameters import InverterConfig, SunConfig

DT = 0.1


def inverter(irradiance: float = 0.9, **options: object) -> Inverter:
    settings: dict[str, object] = {"dead_time_spread": 0.0, "static_error": False} | options
    one = Inverter(InverterConfig(**settings), "test")  # type: ignore[arg-type]
    one.settle(irradiance)
    return one


def live(one: Inverter, begin_s: float, seconds: float, irradiance: float = 0.9) -> float:
    """Step until ``begin_s + seconds``, and return that time."""
    for step in range(1, round(seconds / DT) + 1):
        one.step(begin_s + step * DT, DT, irradiance)
    return begin_s + seconds


@pytest.mark.parametrize("dead_time_s", [1.0, 3.0, 10.0])
def test_a_limit_takes_effect_after_the_dead_time_and_within_a_second_more(dead_time_s: float) -> None:
    one = inverter(dead_time_s=dead_time_s)
    before_w = one.power_w
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, dead_time_s - DT)
    assert one.power_w == before_w
    live(one, now, 1.1)
    assert one.power_w == pytest.approx(300.0)


def test_dead_times_spread_from_command_to_command() -> None:
    one = inverter(dead_time_spread=0.2)
    reactions = set()
    for number in range(20):
        begin_s = number * 100.0
        one.accept_limit(300.0 if number % 2 else 400.0, at_s=begin_s)
        old_w, now = one.limit_w, begin_s
        while one.limit_w == old_w:
            now = live(one, now, DT)
        reactions.add(round(now - begin_s, 1))
    assert 0.8 <= min(reactions) < max(reactions) <= 1.3


def test_power_rises_by_a_fifth_of_rated_power_per_second() -> None:
    one = inverter()
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, 5.0)
    one.accept_limit(1200.0, at_s=now)
    now = live(one, now, 1.0 + DT)
    low_w = one.power_w
    live(one, now, 1.0)
    assert one.power_w - low_w == pytest.approx(0.2 * 1500.0)


def test_older_firmware_splits_the_limit_over_its_trackers_even_when_one_is_in_the_shade() -> None:
    shade = (0.1, 0.1, 1.0, 1.0)
    split = inverter(model="HM-1500-4T", shade=shade)
    pooled = inverter(model="HMS-1600-4T", shade=shade)
    for one in (split, pooled):
        one.accept_limit(600.0, at_s=0.0)
        live(one, 0.0, 10.0)
    shaded_w = 2 * 0.1 * 410.0 * 0.9 * 0.95
    assert split.power_w == pytest.approx(300.0 + shaded_w)
    assert pooled.power_w == pytest.approx(600.0)


def test_limits_come_in_steps_of_a_thousandth_of_rated_power() -> None:
    one = inverter()
    one.accept_limit(300.4, at_s=0.0)
    live(one, 0.0, 5.0)
    assert one.limit_w == pytest.approx(300.0)


def test_output_falls_short_of_low_limits_and_follows_higher_ones() -> None:
    one = inverter(static_error=True)
    one.accept_limit(100.0, at_s=0.0)
    live(one, 0.0, 5.0)
    assert one.power_w == pytest.approx(88.0, abs=1.0)
    one.accept_limit(750.0, at_s=10.0)
    live(one, 10.0, 10.0)
    assert one.power_w == pytest.approx(750.0, rel=0.011)


def test_a_restart_loses_the_limit_and_the_yield_and_feeds_after_the_reconnect_time() -> None:
    one = inverter(reconnect_s=60.0)
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, 600.0)
    assert sum(panel.yield_day_wh for panel in one.read(now).inputs) > 40.0
    one.reset(now)
    assert one.limit_w == 1500.0
    assert sum(panel.yield_day_wh for panel in one.read(now).inputs) == 0.0
    now = live(one, now, 59.0)
    assert one.power_w == 0.0
    live(one, now, 20.0)
    assert one.power_w == pytest.approx(one.available_w)


def test_a_persistent_limit_survives_a_restart() -> None:
    one = inverter()
    one.accept_limit(150.0, at_s=0.0, persistent=True)
    now = live(one, 0.0, 5.0)
    one.reset(now, offline_s=0.0)
    live(one, now, 5.0)
    assert one.power_w == pytest.approx(150.0)


def test_at_night_it_is_silent_and_in_the_morning_it_is_unlimited() -> None:
    one = inverter(reconnect_s=10.0)
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, 5.0)
    now = live(one, now, 5.0, irradiance=0.0)
    assert (one.power_w, one.answers) == (0.0, False)
    now = live(one, now, 60.0)
    assert one.answers
    assert one.power_w == pytest.approx(one.available_w)


def test_what_it_reports_is_plausible() -> None:
    one = inverter()
    data = one.read(live(one, 0.0, 60.0))
    assert data.power_w == pytest.approx(one.power_w, rel=0.004)
    assert data.dc_power_w == pytest.approx(one.power_w / 0.95, rel=0.001)
    assert data.voltage_v * data.current_a * data.power_factor == pytest.approx(data.power_w, rel=0.01)
    assert 225.0 < data.voltage_v < 240.0
    assert 49.8 < data.frequency_hz < 50.2
    assert all(panel.voltage_v * panel.current_a == pytest.approx(panel.power_w) for panel in data.inputs)


def test_a_later_limit_never_takes_effect_before_an_earlier_one() -> None:
    for seed in range(20):
        one = Inverter(InverterConfig(dead_time_s=10.0, dead_time_spread=0.5, static_error=False), str(seed))
        one.settle(0.9)
        one.accept_limit(300.0, at_s=0.0)
        one.accept_limit(900.0, at_s=0.5)
        live(one, 0.0, 30.0)
        assert one.limit_w == 900.0


def test_a_limit_below_two_percent_stops_it_until_a_restart() -> None:
    one = inverter()
    one.accept_limit(29.0, at_s=0.0)
    now = live(one, 0.0, 5.0)
    assert (one.power_w, one.locked) == (0.0, True)
    assert one.feedable_w == one.available_w > 1000.0, "it is the limit that costs this sun"
    one.accept_limit(900.0, at_s=now)
    now = live(one, now, 120.0)
    assert one.power_w == 0.0
    one.reset(now)
    live(one, now, 90.0)
    assert one.power_w == pytest.approx(one.available_w)


def test_two_percent_are_obeyed() -> None:
    one = inverter()
    one.accept_limit(30.0, at_s=0.0)
    live(one, 0.0, 5.0)
    assert one.power_w == pytest.approx(30.0)


def test_little_sun_stops_nothing() -> None:
    one = inverter()
    now = live(one, 0.0, 10.0, irradiance=0.01)
    assert 0.0 < one.power_w < 30.0
    live(one, now, 20.0)
    assert one.power_w == pytest.approx(one.available_w)


@pytest.mark.parametrize(
    ("again_w", "after_s", "muted"), [(300.0, 10.0, True), (300.0, 16.0, False), (301.5, 10.0, False)]
)
def test_a_limit_repeated_within_fifteen_seconds_can_silence_the_radio(
    again_w: float, after_s: float, muted: bool
) -> None:
    one = inverter(mute_chance=1.0)
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, after_s)
    one.accept_limit(again_w, at_s=now)
    now = live(one, now, 1.0)
    assert one.answers is not muted
    now = live(one, now, 890.0)
    assert one.answers is not muted
    assert one.power_w == pytest.approx(again_w), "it goes on feeding"
    live(one, now, 10.0)
    assert one.answers


def test_one_in_a_hundred_repeated_limits_does_so() -> None:
    one, muted = inverter(), 0
    for number in range(2000):
        one.accept_limit(300.0, at_s=float(number))
        muted += one.muted_until_s > number
        one.muted_until_s = 0.0
    assert 8 <= muted <= 36


def test_what_it_reports_is_some_time_old() -> None:
    one = inverter(stats_lag_s=(2.0, 2.0))
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, 2.5)
    assert one.power_w == pytest.approx(300.0)
    early = one.read(now)
    assert early.at_s == now
    assert early.power_w == pytest.approx(one.available_w, rel=0.004)
    assert early.dc_power_w == pytest.approx(one.available_w / 0.95, rel=0.001)
    now = live(one, now, 1.6)
    assert one.read(now).power_w == pytest.approx(300.0, rel=0.004)


def test_each_inverter_has_a_lag_of_its_own_up_to_two_and_a_half_seconds() -> None:
    lags = [Inverter(InverterConfig(), str(seed)).stats_lag_s for seed in range(200)]
    assert 0.0 <= min(lags) < 0.1
    assert 2.4 < max(lags) <= 2.5


def test_switched_on_again_it_feeds_within_seconds_and_needs_no_reconnection() -> None:
    one = inverter()
    one.on = False
    now = live(one, 0.0, 2.0)
    assert (one.power_w, one.feedable_w, one.answers) == (0.0, 0.0, True)
    one.on = True
    live(one, now, 5.0)
    assert one.power_w == pytest.approx(one.available_w)


def test_what_it_could_feed_counts_the_reconnection_and_the_soft_start_and_no_limit() -> None:
    one = inverter(reconnect_s=10.0)
    one.accept_limit(300.0, at_s=0.0)
    now = live(one, 0.0, 5.0)
    assert one.feedable_w == one.available_w > 1000.0
    one.reset(now)
    one.accept_limit(150.0, at_s=now)
    now = live(one, now, 9.0)
    assert one.feedable_w == 0.0
    now = live(one, now, 4.0)
    assert one.feedable_w == pytest.approx(0.1 * 1500.0 * 3.0, abs=20.0)
    assert one.power_w == pytest.approx(150.0)
    now = live(one, now, 10.0)
    assert one.feedable_w == one.available_w
    live(one, now, 10.0, irradiance=0.0)
    assert one.feedable_w == 0.0


def test_yields_add_up_to_what_was_fed() -> None:
    one = inverter(shade=(1.0, 0.5, 1.0, 1.0))
    fed_wh, now = 0.0, 0.0
    for watts in (300.0, 900.0, 150.0):
        one.accept_limit(watts, at_s=now)
        for _ in range(6000):
            now = live(one, now, DT)
            fed_wh += one.power_w * DT / 3600.0
    panels = one.read(now).inputs
    assert sum(panel.yield_day_wh for panel in panels) == pytest.approx(fed_wh / 0.95, rel=0.001)
    assert panels[1].yield_day_wh == pytest.approx(0.5 * panels[0].yield_day_wh)


def test_speed_moves_the_sun_and_not_the_appliances() -> None:
    real = House(HouseConfig())
    fast = House(HouseConfig(sun=SunConfig(speed=60.0)))
    for house in (real, fast):
        house.run(60.0)
    assert real.load_w == fast.load_w
    assert fast.sun.hour - real.sun.hour == pytest.approx(59.0 / 60.0)


def test_energy_balances_and_the_counters_agree() -> None:
    house = House(HouseConfig(inverters=fleet(2)))
    house.dtu.receive(house.inverters[0].config.serial, "limit_nonpersistent_absolute", "400")
    before = house.meter.sample
    house.run(900.0)
    energy, after = house.energy, house.meter.sample
    assert energy.load_wh == pytest.approx(energy.pv_wh + energy.import_wh - energy.export_wh)
    assert energy.load_wh == pytest.approx(
        energy.available_wh + energy.unlimited_import_wh - energy.unlimited_export_wh
    )
    assert energy.pv_wh < 0.8 * energy.available_wh
    assert 0.0 < energy.export_wh < 0.5 * energy.unlimited_export_wh
    netted = sum(after.import_wh) - sum(before.import_wh) - sum(after.export_wh) + sum(before.export_wh)
    assert netted == pytest.approx(energy.import_wh - energy.export_wh, abs=1.0)


def test_the_first_minutes_are_lively() -> None:
    house = House(HouseConfig(inverters=fleet(2)))
    loads = []
    for _ in range(120):
        house.run(1.0)
        loads.append(sum(house.load_w))
    events = [second for second, (a, b) in enumerate(pairwise(loads)) if abs(a - b) > 200.0]
    assert max(loads[:60]) > 2000.0, "the kettle boils within the first minute"
    assert max(b - a for a, b in pairwise([0, *events, 120])) <= 30
    assert house.available_w > 3 * loads[0], "there is something to limit from the start"


def test_equal_seeds_give_equal_houses_and_others_do_not() -> None:
    first, again, other = House(HouseConfig(seed=1)), House(HouseConfig(seed=1)), House(HouseConfig(seed=2))
    for house in (first, again, other):
        house.run(300.0)
    assert first.energy == again.energy
    assert first.meter.sample == again.meter.sample
    assert first.energy != other.energy


def test_a_long_pause_of_the_process_is_skipped() -> None:
    house = House()
    house.follow(1000.0)
    house.follow(1010.0)
    assert house.now_s == pytest.approx(10.0)
    house.follow(5000.0)
    house.follow(5001.0)
    assert house.now_s == pytest.approx(11.0)


def test_a_fleet_has_up_to_twenty_different_inverters() -> None:
    serials = {one.serial for one in fleet(20)}
    assert len(serials) == 20
    assert all(len(serial) == 12 and serial.isdigit() for serial in serials)
    with pytest.raises(ValueError, match="1 to 20"):
        fleet(21)
