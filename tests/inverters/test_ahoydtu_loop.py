"""Houses behind an AhoyDTU, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from app.control import ControlSettings
from app.model import Mode
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig
from tests.inverters.ahoy import AhoyLoop

COUNT = 2


def house(seed: int = 5, count: int = COUNT, **keys: Any) -> HouseConfig:
    """AhoyDTU asks each of its inverters every 15 s."""
    return HouseConfig(seed=seed, inverters=fleet(count), dtu=DtuConfig(poll_interval_s=15.0 / count, **keys))


def sunny(config: HouseConfig, settings: ControlSettings | None = None, load_w: float = 700.0) -> AhoyLoop:
    loop = AhoyLoop(config, settings)
    loop.house.sun_override, loop.house.load_override_w = 0.9, load_w
    return loop


def faults(loop: AhoyLoop, last: int = 30) -> set[str]:
    return {fault.key.partition(":")[0] for decision in loop.decisions[-last:] for fault in decision.faults}


@pytest.mark.parametrize("json", [False, True], ids=["topics", "JSON"])
def test_the_target_is_held_and_nothing_is_wrong(json: bool) -> None:
    loop = sunny(house())
    loop.topics.json = json
    loop.run(180)
    loop.house.load_override_w = 1200.0
    loop.run(120)
    assert loop.last.mode is Mode.LIMIT
    assert abs(loop.house.grid_w - 15.0) < 40.0
    assert faults(loop, 200) == set()
    states = loop.driver.states()
    assert [state.rated_w for state in states] == [1500.0, 800.0]
    assert all(state.acked_w is not None and state.resets == 0 for state in states)
    assert all(state.panels and state.ac.voltage_v for state in states)


def test_a_refused_limit_that_is_acknowledged_is_noticed_by_power() -> None:
    loop = sunny(house(), load_w=1500.0)
    loop.run(120)
    loop.house.inverters[0].ignores_limit = True
    loop.house.load_override_w = 300.0
    loop.run(90)
    first = loop.driver.states()[0]
    assert first.acked_w == pytest.approx(first.commanded_w, abs=0.1), "AhoyDTU has told of an answer"
    assert (first.ac.power_w or 0.0) > (first.commanded_w or 0.0) + 50.0
    assert "disobeyed" in faults(loop)


def test_a_restart_of_ahoydtu_costs_the_limits_and_little_else() -> None:
    loop = sunny(house(boot_s=10.0))
    loop.run(120)
    loop.house.dtu.reboot()
    loop.house.inverters[0].reset(loop.house.now_s, 0.0)
    loop.house.inverters[1].reset(loop.house.now_s, 0.0)
    loop.run(30)
    for topic, payload, _ in loop.topics.greeting():  # as after its connection
        loop.wire.deliver(f"inverter/{topic}", payload)
    loop.wire.deliver("inverter/mqtt", "connected")
    loop.run(90)
    assert all(state.resets for state in loop.driver.states())
    assert abs(loop.house.grid_w - 15.0) < 60.0


def test_needless_inverters_are_switched_off_and_come_back() -> None:
    loop = sunny(house(), ControlSettings(switch_off=True), load_w=40.0)
    loop.run(300)
    assert any(not inverter.on for inverter in loop.house.inverters)
    assert loop.house.grid_w > -10.0
    loop.house.load_override_w = 900.0
    loop.run(500)
    assert all(inverter.on for inverter in loop.house.inverters)
    assert abs(loop.house.grid_w - 15.0) < 60.0


def test_each_phase_is_held() -> None:
    loop = sunny(house(), ControlSettings(phases="each"), load_w=1500.0)
    loop.run(240)
    for phase in loop.house.meter.sample.phases_w[:2]:
        assert phase > -40.0, "what an inverter feeds there"


def test_the_last_power_of_one_that_falls_silent_counts_until_it_is_back() -> None:
    loop = sunny(house())
    loop.run(120)
    loop.house.inverters[1].reachable = False
    loop.run(150)
    assert loop.driver.states()[1].reachable is False
    assert "unreachable" in faults(loop)
    loop.house.inverters[1].reachable = True
    resets = loop.driver.states()[1].resets
    loop.run(60)
    state = loop.driver.states()[1]
    assert state.reachable is True
    assert state.resets > resets
