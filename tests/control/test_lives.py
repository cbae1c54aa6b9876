"""Every decision of the recorded lives, again: a change that nobody meant shows here first."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.control import Controller
from app.model import Decision
from app.recording import Header, TickLine, decode
from tests.control.lives import files

AGAIN = "if that is meant: make baseline (or: python -m tests.control.lives)"


def words(decision: Decision) -> tuple[object, ...]:
    """What a decision says."""
    test = decision.step_test
    return (
        decision.mode,
        decision.reason,
        [command.serial for command in decision.commands],
        [(switch.serial, switch.on, switch.reason) for switch in decision.switches],
        [will.serial for will in decision.wills],
        [(fault.key, fault.text, fault.next_step, fault.since_utc_s) for fault in decision.faults],
        (test.state, test.text, test.step) if test is not None else None,
    )


def numbers(decision: Decision) -> list[float]:
    """What it reckons, unknown as -1e9; the last digits are the machine's."""
    site = (decision.target_w, decision.grid_w, decision.pv_w, decision.load_w, decision.setpoint_w, decision.limit_w)
    terms = (decision.error_w, decision.trim_p_w, decision.trim_i_w, decision.trim_d_w)
    limits = [command.limit_w for command in decision.commands] + [will.limit_w for will in decision.wills]
    return [-1e9 if one is None else one for one in (*site, *terms)] + limits + [s for _, s in decision.dead_times]


@pytest.mark.parametrize(("name", "path"), files())
def test_the_same_life_leads_to_the_same_decisions(name: str, path: Path) -> None:
    controller: Controller | None = None
    steps = 0
    for item in decode([path.read_bytes()], path.name):
        if isinstance(item, Header):
            controller = Controller(item.settings)
        elif isinstance(item, TickLine):
            assert controller is not None
            steps += 1
            recorded, now = item.tick.decision, controller.step(item.tick.snapshot)
            assert words(now) == words(recorded), f"{name}, step {steps}: {AGAIN}"
            assert numbers(now) == pytest.approx(numbers(recorded), rel=1e-6, abs=1e-3), (
                f"{name}, step {steps}: {AGAIN}"
            )
    assert steps > 100
