"""The law on the simulated plant, in virtual time: what a house would see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.control import ControlSettings
from app.model import Mode
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig
from tests.closed_loop import ClosedLoop


def house(
    count: int = 1, dead_time_s: float = 1.0, settings: ControlSettings | None = None, **options: Any
) -> ClosedLoop:
    loop = ClosedLoop(HouseConfig(seed=3, inverters=fleet(count, dead_time_s)), settings, **options)
    loop.house.sun_override, loop.house.load_override_w = 0.9, 500.0
    return loop


def held(loop: ClosedLoop, band_w: float = 30.0) -> bool:
    """The grid power is within ``band_w`` of the target."""
    return abs(loop.house.grid_w - loop.settings.target_point_w) < band_w


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("dead_time_s", [1.0, 3.0, 10.0])
def test_a_constant_load_is_held_at_the_target(count: int, dead_time_s: float) -> None:
    loop = house(count, dead_time_s)
    loop.house.load_override_w = 300.0 + 300.0 * count
    loop.run(120)
    loop.house.energy.export_wh = 0.0
    loop.run(120)
    assert held(loop)
    assert loop.house.energy.export_wh < (0.3 if dead_time_s < 10.0 else 2.0)
    assert loop.last.mode is Mode.LIMIT


@pytest.mark.parametrize("dead_time_s", [1.0, 3.0])
def test_export_after_a_load_drop_ends_within_the_dead_time_and_a_few_seconds(dead_time_s: float) -> None:
    loop = house(dead_time_s=dead_time_s)
    loop.house.load_override_w = 1200.0
    loop.run(90)
    loop.house.load_override_w = 300.0
    loop.run(5 + round(1.5 * dead_time_s))
    assert loop.house.grid_w > -20.0
    loop.run(30)
    assert held(loop)


def test_an_inverter_short_of_sun_winds_nothing_up() -> None:
    """Ten minutes of import under a cloud; when the sun comes back, the ceiling is where the load is."""
    loop = house()
    loop.house.sun_override, loop.house.load_override_w = 0.1, 700.0
    loop.run(600)
    ceiling_w = loop.last.limit_w
    assert ceiling_w is not None
    assert ceiling_w < 760.0
    loop.house.energy.export_wh = 0.0
    loop.house.sun_override = 1.0
    loop.run(60)
    assert loop.house.energy.export_wh < 0.5
    assert held(loop)


def test_a_kettle_is_followed_up_and_down() -> None:
    loop = house()
    loop.run(60)
    loop.house.load_override_w = 1100.0
    loop.run(25)
    assert held(loop, 60.0)
    loop.house.load_override_w = 500.0
    loop.run(25)
    assert held(loop)


def test_every_inverter_keeps_within_its_minimum_and_maximum() -> None:
    loop = house(4)
    for load_w in (50.0, 6000.0, 900.0, 20.0):
        loop.house.load_override_w = load_w
        loop.run(40)
    limits = {state.serial: (state.min_w, state.max_w) for state in loop.driver.states()}
    sent = loop.house.dtu.received
    assert len(sent) > 8
    for message in sent:
        low, high = limits[message.serial]
        assert low <= float(message.payload) <= high
        assert message.command == "limit_nonpersistent_absolute"


def test_a_lost_meter_lowers_to_the_fail_safe_and_recovers_gently() -> None:
    loop = house(2)
    loop.house.load_override_w = 1500.0
    loop.run(60)
    loop.meter_answers = False
    loop.run(7)
    assert loop.last.mode is Mode.FAIL_SAFE
    minima_w = sum(state.min_w for state in loop.driver.states())
    assert loop.last.limit_w == pytest.approx(minima_w)
    assert any(fault.key == "meter" for fault in loop.last.faults)
    loop.run(10)
    loop.meter_answers = True
    loop.run(2)
    assert loop.last.mode is Mode.FAIL_SAFE
    loop.run(60)
    assert held(loop)
    assert loop.last.faults == ()


def test_no_command_goes_up_while_the_reading_is_stale() -> None:
    loop = house()
    loop.run(30)
    before_w = loop.last.limit_w
    loop.meter_answers = False
    loop.house.load_override_w = 1400.0
    loop.run(4)
    assert loop.last.mode is Mode.HOLD
    assert loop.last.limit_w == before_w


def test_an_inverter_that_forgets_its_limit_is_commanded_again() -> None:
    """Reset at noon: it is back at 100 % while OpenDTU still shows the old limit; power tells."""
    loop = house()
    loop.run(60)
    loop.house.inverters[0].reset(loop.house.now_s)
    seconds = 0
    while loop.house.inverters[0].power_w < 600.0 and seconds < 300:  # it restarts, then it is back at 100 %
        loop.run(1)
        seconds += 1
    loop.run(25)
    assert held(loop)


def test_an_inverter_that_comes_back_is_commanded_first() -> None:
    loop = house(2)
    loop.run(60)
    silent = loop.house.inverters[1]
    silent.reachable = False
    loop.run(90)
    silent.reachable = True
    count = len(loop.house.dtu.received)
    loop.run(15)
    new = list(loop.house.dtu.received)[count:]
    assert silent.config.serial in [message.serial for message in new]


def test_nothing_is_sent_at_night() -> None:
    loop = house(2)
    loop.house.sun_override = 0.0
    for inverter in loop.house.inverters:
        inverter.reachable = False
    loop.run(120)
    count = len(loop.house.dtu.received)
    loop.run(300)
    assert loop.last.mode is Mode.NIGHT
    assert len(loop.house.dtu.received) == count


def test_pausing_releases_each_inverter_once_and_resuming_regulates_at_once() -> None:
    loop = house(2)
    loop.run(60)
    count = len(loop.house.dtu.received)
    loop.settings = replace(loop.settings, enabled=False)
    loop.run(40)
    released = list(loop.house.dtu.received)[count:]
    assert sorted((m.serial, float(m.payload)) for m in released) == sorted(
        (state.serial, state.max_w) for state in loop.driver.states()
    )
    assert loop.last.mode is Mode.PAUSED
    loop.settings = replace(loop.settings, enabled=True)
    loop.run(20)
    assert held(loop)


def test_the_grid_operators_cap_binds_while_paused() -> None:
    loop = house(settings=ControlSettings(export_limit_w=200.0))
    loop.settings = replace(loop.settings, enabled=False)
    loop.run(60)
    assert loop.house.grid_w == pytest.approx(-200.0, abs=40.0)
    assert loop.last.mode is Mode.PAUSED


def test_a_new_target_is_reached() -> None:
    loop = house()
    loop.run(60)
    loop.settings = replace(loop.settings, target_point_w=200.0)
    loop.run(30)
    assert loop.house.grid_w == pytest.approx(200.0, abs=30.0)


def test_a_command_that_is_lost_is_sent_again() -> None:
    loop = house()
    loop.run(60)
    loop.house.dtu.drop_commands = True
    loop.house.load_override_w = 250.0
    loop.run(10)
    loop.house.dtu.drop_commands = False
    loop.run(60)
    assert held(loop)


def test_twenty_inverters_on_one_radio_hold_the_target() -> None:
    loop = house(20)
    loop.house.load_override_w = 6000.0
    loop.run(400)
    assert held(loop, 150.0)
    loop.house.load_override_w = 5000.0
    loop.run(90)
    assert loop.house.grid_w > -50.0


def test_the_static_error_of_an_inverter_is_trimmed_away() -> None:
    """At a low limit Hoymiles inverters give some percent less; the trim finds the rest."""
    loop = house()
    loop.house.load_override_w = 180.0
    loop.run(180)
    assert held(loop, 20.0)


def fault_keys(loop: ClosedLoop) -> set[str]:
    """Every kind of fault that was ever shown."""
    return {fault.key.partition(":")[0] for decision in loop.decisions for fault in decision.faults}


def test_the_grid_operators_cap_binds_a_target_beyond_it() -> None:
    loop = house(settings=ControlSettings(export_limit_w=200.0))
    loop.settings = replace(loop.settings, target_point_w=-800.0)
    loop.run(60)
    assert loop.house.grid_w == pytest.approx(-200.0, abs=40.0)


@pytest.mark.parametrize("interval_s", [5.0, 10.0, 30.0])
@pytest.mark.parametrize("dead_time_s", [1.0, 3.0])
def test_a_slow_meters_reading_is_not_mixed_with_later_telemetry(interval_s: float, dead_time_s: float) -> None:
    loop = house(dead_time_s=dead_time_s, meter_interval_s=interval_s)
    loop.run(90)
    loop.house.load_override_w = 1200.0
    loop.run(100)
    loop.house.load_override_w = 300.0
    highest_w = float("-inf")
    for _ in range(100):
        loop.run(1)
        highest_w = max(highest_w, loop.house.grid_w)
    assert held(loop)
    assert highest_w < 50.0  # one cut was enough
    assert not fault_keys(loop)


def test_an_inverter_that_obeys_slowly_is_not_called_disobedient() -> None:
    loop = ClosedLoop(HouseConfig(seed=1, inverters=fleet(1, 3.0)))
    loop.run(900)
    assert "disobeyed" not in fault_keys(loop)


def test_a_maximum_above_the_rated_power_is_acknowledged_at_the_rated_power() -> None:
    loop = house(max_watt=2000.0)
    loop.house.load_override_w, loop.house.sun_override = 1800.0, 1.0
    loop.run(60)
    count = len(loop.house.dtu.received)
    loop.run(120)
    assert len(loop.house.dtu.received) == count
    assert not fault_keys(loop)


@pytest.mark.parametrize(("count", "up_s"), [(4, 0.0), (20, 3600.0)])
def test_a_busy_radio_is_not_taken_for_commands_that_are_not_acknowledged(count: int, up_s: float) -> None:
    """Just started it does not know the inverters' rated power, and shows 0 for a limit that it has sent."""
    loop = ClosedLoop(HouseConfig(seed=1, inverters=fleet(count), dtu=DtuConfig(up_since_s=up_s)))
    loop.run(200)
    assert "unanswered" not in fault_keys(loop)


def test_commands_that_are_never_acknowledged_are_told() -> None:
    loop = house()
    loop.run(30)
    loop.house.dtu.drop_commands = True
    loop.house.load_override_w = 800.0
    loop.run(90)
    assert "unanswered" in fault_keys(loop)


def test_a_release_that_is_lost_is_sent_again_and_no_more() -> None:
    loop = house(max_watt=1333.37)  # limits have one decimal
    loop.run(60)
    count = len(loop.house.dtu.received)
    loop.house.dtu.drop_commands = True
    loop.settings = replace(loop.settings, enabled=False)
    loop.run(6)
    loop.house.dtu.drop_commands = False
    loop.run(120)
    assert [float(message.payload) for message in list(loop.house.dtu.received)[count:]] == [1333.3, 1333.3]
    assert loop.house.grid_w < -500.0


def test_export_that_no_limit_can_end_is_told() -> None:
    loop = house(2, enabled=False)
    loop.run(60)
    assert "export" in fault_keys(loop)
    assert "disabled" in loop.last.reason


def test_a_dead_meter_while_paused_is_told_as_what_it_is() -> None:
    loop = house()
    loop.settings = replace(loop.settings, enabled=False)
    loop.run(20)
    loop.meter_answers = False
    loop.run(20)
    [fault] = loop.last.faults
    assert "stay released" in fault.text
    assert loop.last.mode is Mode.PAUSED
