"""OpenDTU-OnBattery's own limiter comes on and goes off again, in virtual time."""

from __future__ import annotations

from app.model import Decision, Mode
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from tests.closed_loop import ClosedLoop


def gateway_faults(decision: Decision) -> list[str]:
    return [fault.next_step for fault in decision.faults if fault.key == "gateway:OpenDTU"]


def test_no_fight_no_will_and_back_by_itself() -> None:
    loop = ClosedLoop(HouseConfig(seed=5, inverters=fleet(2)))
    loop.house.sun_override, loop.house.load_override_w = 0.9, 700.0
    loop.run(60)
    assert loop.last.mode is Mode.LIMIT
    assert len(loop.last.wills) == 2
    received = len(loop.house.dtu.received)

    loop.wire.deliver("solar/powerlimiter/status/mode", "0")
    for _ in range(12):
        loop.run(5)
        loop.wire.deliver("solar/powerlimiter/status/mode", "0")
    for decision in loop.decisions[-60:]:
        assert (decision.commands, decision.switches, decision.wills) == ((), (), ())
        assert "own power limiter is on" in decision.reason
        assert "switch it off" in gateway_faults(decision)[0]
    assert len(loop.house.dtu.received) == received
    assert loop.last.pv_w is not None, "it still measures"

    loop.house.load_override_w = 400.0
    loop.wire.deliver("solar/powerlimiter/status/mode", "1")
    loop.run(60)
    assert loop.last.mode is Mode.LIMIT
    assert len(loop.last.wills) == 2
    assert gateway_faults(loop.last) == []
    assert abs(loop.house.grid_w - 15.0) < 40.0
