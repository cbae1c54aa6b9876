"""From settings, gate and cap to one goal: who wins."""

from __future__ import annotations

import pytest

from app.control.policy import goal
from app.model import Gate, Mode, Settings

ON, PAUSED = Settings(enabled=True, target_point_w=15.0), Settings(enabled=False, target_point_w=15.0)


def gate(mode: Mode) -> Gate:
    return Gate(mode, "because", 0.0)


def test_without_price_and_override_the_target_is_held() -> None:
    aim = goal(ON, None, None)
    assert (aim.mode, aim.target_w, aim.reason) == (Mode.LIMIT, 15.0, "holding the target")


@pytest.mark.parametrize(("mode", "target_w"), [(Mode.LIMIT, 15.0), (Mode.SHUTDOWN, 15.0), (Mode.OPEN, -5000.0)])
def test_the_gate_decides_between_target_and_cap(mode: Mode, target_w: float) -> None:
    aim = goal(ON, gate(mode), 5000.0)
    assert (aim.mode, aim.target_w) == (mode, target_w)
    assert aim.reason.startswith("because")


def test_open_without_a_cap_needs_no_regulation() -> None:
    aim = goal(ON, gate(Mode.OPEN), None)
    assert (aim.mode, aim.target_w) == (Mode.OPEN, None)
    assert aim.reason == "because: inverters released to their maximum"
    assert goal(ON, gate(Mode.OPEN), 400.0).reason == "because: exporting up to 400 W"


@pytest.mark.parametrize("known", [None, gate(Mode.LIMIT), gate(Mode.OPEN), gate(Mode.SHUTDOWN)])
def test_pause_comes_before_the_gate_and_the_cap_before_both(known: Gate | None) -> None:
    assert goal(PAUSED, known, None).mode is Mode.PAUSED
    assert goal(PAUSED, known, None).target_w is None
    assert goal(PAUSED, known, 200.0).target_w == -200.0


def test_a_target_beyond_the_cap_is_cut_to_it() -> None:
    assert goal(Settings(target_point_w=-800.0), None, 300.0).target_w == -300.0
    assert goal(Settings(target_point_w=-800.0), None, None).target_w == -800.0
    assert goal(Settings(target_point_w=-100.0), gate(Mode.LIMIT), 300.0).target_w == -100.0
    assert str(goal(PAUSED, None, 0.0).target_w) == "0.0"
