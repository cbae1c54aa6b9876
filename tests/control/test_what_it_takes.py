"""What a driver says of its inverters decides what is asked of them: pace, switching off, and what is not proven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.control import Controller, ControlSettings
from app.model import Ac, Decision, InverterState, MeterState, Reading, Settings, Snapshot

MAX_W, MIN_W = 5000.0, 50.0


def lived(
    loads_w: list[float], *, control: ControlSettings = ControlSettings(), obeys: bool = True, **facts: Any
) -> Iterator[tuple[InverterState, Decision]]:
    """Seconds of a house with one inverter in full sun that follows at once; each with what was decided."""
    controller, limit_w, sent_s = Controller(control), MAX_W, 0.0
    for second, load_w in enumerate(loads_w, 1000):
        now_s = float(second)
        power_w = limit_w if obeys else 4000.0
        state = InverterState(
            "roof", "Roof", MAX_W, MIN_W, reachable=True, producing=True, ac=Ac(power_w=power_w), power_at_s=now_s,
            data_seq=second, commanded_w=limit_w, commanded_at_s=sent_s, acked_w=limit_w, acked_at_s=now_s,
            radio="roof", dead_time_s=(0.3, 2.0), **facts,
        )  # fmt: skip
        meter = MeterState(Reading(load_w - power_w, now_s, now_s), None, 1.0, 100)
        decision = controller.step(Snapshot(now_s, now_s, meter, (state,), Settings()))
        for command in decision.commands:
            limit_w, sent_s = command.limit_w, now_s
        yield state, decision


def changes(decisions: list[tuple[InverterState, Decision]]) -> list[tuple[float, float]]:
    """When a limit was commanded, and by how much it changed."""
    return [
        (state.power_at_s or 0.0, command.limit_w - (state.commanded_w or 0.0))
        for state, decision in decisions
        for command in decision.commands
    ]


def test_a_pace_holds_raises_back_and_no_cut() -> None:
    made = changes(list(lived([3000.0] * 60 + [1000.0] * 60 + [3000.0] * 400, pace_s=200.0)))
    cut_s = [at_s for at_s, change_w in made if change_w < -500.0 and at_s >= 1060.0]
    raised_s = [at_s for at_s, change_w in made if change_w > 0.0 and at_s > 1120.0]
    assert cut_s
    assert cut_s[0] <= 1064.0, "what would be exported is cut at once"
    assert raised_s
    assert raised_s[0] - max(at_s for at_s, change_w in made if change_w < 0.0 and at_s < raised_s[0]) >= 200.0


@pytest.mark.parametrize(("switchable", "switched"), [(True, True), (False, False)])
def test_only_what_can_be_switched_is_switched(switchable: bool, switched: bool) -> None:
    off = ControlSettings(switch_off=True)
    decisions = [decision for _, decision in lived([10.0] * 200, control=off, switchable=switchable)]
    assert any(decision.switches for decision in decisions) is switched


def test_what_its_power_has_not_proven_in_ten_minutes_of_sun_is_told() -> None:
    keys = [{fault.key for fault in decision.faults} for _, decision in lived([3000.0] * 700, trusted=False)]
    assert not any("unproven:roof" in some for some in keys[:590])
    assert "unproven:roof" in keys[-1]
    assert not any("unproven:roof" in fault.key for _, one in lived([3000.0] * 700) for fault in one.faults)


def test_one_that_does_not_obey_an_unproven_register_is_told_what_to_look_for() -> None:
    faults = {
        fault.key: fault.next_step
        for _, decision in lived([1000.0] * 300, obeys=False, trusted=False)
        for fault in decision.faults
    }
    assert "another profile or control" in faults["disobeyed:roof"]
