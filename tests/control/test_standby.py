"""``control.switch_off``: what is not needed goes off, and comes back with the load."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from app.actuator import Actuator
from app.control import ControlSettings
from app.control.allocate import Unit
from app.control.standby import needless
from app.fleet import Fleet
from app.model import Mode, Override, Settings, Switch
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig, InverterConfig
from tests.closed_loop import UTC_0, ClosedLoop

ON = ControlSettings(switch_off=True)
THREE = tuple(InverterConfig(serial=f"11418040000{number + 1}", model="HM-800-2T") for number in range(3))


def house(load_w: float = 40.0, settings: ControlSettings = ON, loss: float = 0.0) -> ClosedLoop:
    loop = ClosedLoop(HouseConfig(seed=3, inverters=THREE, dtu=DtuConfig(loss=loss)), settings)
    loop.house.sun_override, loop.house.load_override_w = 0.9, load_w
    return loop


def powers(loop: ClosedLoop) -> list[tuple[str, str]]:
    """What was sent to switch, in order."""
    return [(m.serial, m.payload) for m in loop.house.dtu.received if m.command == "power"]


def off(loop: ClosedLoop) -> int:
    return sum(not inverter.on for inverter in loop.house.inverters)


def test_inverters_that_the_house_does_not_need_go_off_and_the_export_ends() -> None:
    loop = house()
    loop.run(60)
    assert loop.house.grid_w < -15.0
    assert off(loop) == 0
    loop.run(90)
    assert off(loop) == 2  # one of 24 W may stay
    assert loop.house.grid_w > 0.0
    count = len(powers(loop))
    loop.run(600)
    assert len(powers(loop)) == count == 2
    assert loop.house.grid_w > 0.0
    assert loop.last.limit_w == pytest.approx(24.0)
    assert not loop.last.faults


def test_without_the_setting_nothing_is_switched() -> None:
    loop = house(settings=ControlSettings())
    loop.run(400)
    assert powers(loop) == []
    assert loop.house.grid_w < -15.0


def test_they_come_back_with_the_load_at_their_minimum() -> None:
    loop = house()
    loop.run(200)
    loop.house.load_override_w = 900.0
    loop.run(100)
    assert off(loop) == 2  # they rest for five minutes
    assert loop.house.grid_w < 300.0
    loop.run(200)
    worst_w = 0.0
    for _ in range(60):
        loop.run(1)
        worst_w = min(worst_w, loop.house.grid_w)
    assert off(loop) == 0
    assert worst_w > -40.0
    assert loop.house.grid_w == pytest.approx(15.0, abs=30.0)


def test_all_go_off_where_the_house_takes_nothing_and_that_is_no_night() -> None:
    loop = house(5.0)
    loop.run(300)
    assert off(loop) == 3
    assert loop.house.grid_w > 0.0
    assert loop.last.mode is Mode.LIMIT
    assert "switched off" in loop.last.reason
    loop.house.load_override_w = 500.0
    loop.run(400)
    assert off(loop) == 0
    assert loop.house.grid_w == pytest.approx(15.0, abs=30.0)


def test_a_load_around_the_threshold_is_no_reason_to_chatter() -> None:
    loop = house()
    dice = random.Random(4)
    for _ in range(360):
        loop.house.load_override_w = dice.uniform(45.0, 140.0)
        loop.run(10)
    assert len(powers(loop)) <= 8
    rests: dict[str, float] = {}
    for message in loop.house.dtu.received:
        if message.command == "power":
            assert message.at_s - rests.get(message.serial, -1e9) >= 299.0
            rests[message.serial] = message.at_s


def test_a_slow_swing_around_the_threshold_switches_a_few_times_an_hour() -> None:
    loop = house()
    for minute in range(60):
        loop.house.load_override_w = 40.0 if (minute // 2) % 2 else 150.0
        loop.run(60)
    assert 2 <= len(powers(loop)) <= 24
    assert all(not message.retained for message in loop.house.dtu.received)


def test_pausing_switches_them_on_and_releases_them() -> None:
    loop = house()
    loop.run(200)
    loop.settings = replace(loop.settings, enabled=False)
    loop.run(60)
    assert off(loop) == 0
    assert loop.house.pv_w > 1500.0


def test_fail_safe_leaves_off_what_is_off_and_the_way_back_switches_on() -> None:
    loop = house()
    loop.run(200)
    loop.meter_answers = False
    loop.run(60)
    assert loop.last.mode is Mode.FAIL_SAFE
    assert off(loop) == 2
    loop.meter_answers = True
    loop.run(30)
    assert off(loop) == 0


def test_a_switch_that_got_lost_is_sent_again() -> None:
    loop = house()
    loop.run(55)
    loop.house.dtu.drop_commands = True
    loop.run(20)
    assert len(powers(loop)) == 2
    loop.house.dtu.drop_commands = False
    loop.run(120)
    assert off(loop) == 2
    assert len(powers(loop)) == 4


def test_one_that_restarts_by_itself_is_under_control_again() -> None:
    loop = house()
    loop.run(200)
    for inverter in loop.house.inverters:
        inverter.on = True
        inverter.reset(loop.house.now_s, 0.0)
    loop.run(60)
    assert loop.house.pv_w < 80.0


def test_as_few_as_it_takes_are_switched_off_and_no_more_watts_than_needed() -> None:
    units = [
        Unit(str(number), watts, 800.0, watts, watts, bound=True) for number, watts in enumerate((20.0, 24.0, 60.0))
    ]

    def chosen(excess_w: float) -> list[float]:
        return [unit.min_w for unit in needless(units, excess_w)]

    assert chosen(5.0) == [20.0]
    assert chosen(22.0) == [24.0]
    assert chosen(30.0) == [60.0]
    assert chosen(70.0) == [60.0, 20.0]
    assert chosen(500.0) == [60.0, 24.0, 20.0]
    assert chosen(-1.0) == []


async def test_what_is_off_is_switched_on_at_exit_and_what_cannot_be_is_told(caplog: pytest.LogCaptureFixture) -> None:
    loop = house()
    actuator = Actuator(Fleet([loop.driver], [one.serial for one in THREE], "home"))
    actuator.switch([Switch(THREE[0].serial, on=False, reason="a test"), Switch(THREE[1].serial, False, "a test")])
    await actuator.finish()
    loop.wire.connected = False
    await actuator.wake()
    assert "could not be switched on again" in caplog.text
    loop.wire.connected = True
    await actuator.wake()
    assert powers(loop)[2:] == [(THREE[0].serial, "1"), (THREE[1].serial, "1")]
    assert not any(state.power_on is False for state in loop.driver.states())


def test_one_that_cannot_be_switched_off_is_told() -> None:
    loop = house()
    publish = loop.wire.publish

    async def denied(topic: str, payload: str, **options: object) -> bool:
        return True if topic.endswith("/power") else await publish(topic, payload, **options)

    loop.wire.publish = denied  # type: ignore[method-assign]
    loop.run(200)
    assert any(fault.key.startswith("not_switched:") for fault in loop.last.faults)
    assert loop.last.limit_w == pytest.approx(24.0)


def test_one_that_an_earlier_run_left_off_is_switched_on() -> None:
    loop = house(900.0)
    loop.house.inverters[1].on = False
    loop.run(90)
    assert off(loop) == 0
    assert loop.house.grid_w == pytest.approx(15.0, abs=40.0)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("export_limit_w", [None, 300.0])
def test_what_was_off_before_a_crash_comes_back_where_export_is_allowed(
    enabled: bool, export_limit_w: float | None
) -> None:
    """After a restart nobody knows what was switched off; what stays silent by day is switched on."""
    settings = replace(ON, export_limit_w=export_limit_w)
    loop = house(settings=settings)
    loop.run(700)
    assert off(loop) == 2
    for inverter in loop.house.inverters:
        inverter.on = False
    loop.restart(settings)
    override = Override(Mode.OPEN, UTC_0 + loop.house.now_s + 3600.0)
    loop.settings = Settings(enabled=enabled, override=override)
    loop.run(400)
    assert off(loop) == 0
    assert loop.house.grid_w < -250.0
