"""What a clean stop leaves in the inverters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from app.actuator import Actuator
from app.control.delivery import acknowledged
from app.control.failsafe import fail_safe_limits
from app.control.rules import closed
from app.model import Command, InverterState, Rule, RuleCommand, RuleState, Snapshot

log = logging.getLogger(__name__)

PATIENCE_S = 7.0  # OpenDTU shows within about 5 s what an inverter has acknowledged
LOOK_S = 0.1


def exit_commands(
    snapshot: Snapshot, how: Literal["fail_safe", "release", "keep"], fail_safe_w: float | None
) -> list[Command]:
    """The last commands of a clean stop: ``release`` to the maximum, or the fail-safe shares."""
    states = [state for state in snapshot.inverters if state.regulated and state.reachable is not False]
    if how == "release":
        return [Command(state.serial, state.max_w, "exit") for state in states]
    shares = fail_safe_limits(states, snapshot.inverters, fail_safe_w)
    lowest = {
        s.serial: shares[s.serial] if s.commanded_w is None else min(shares[s.serial], s.commanded_w) for s in states
    }
    return [Command(serial, round(limit_w, 1), "exit") for serial, limit_w in lowest.items()]


def exit_rules(
    states: Sequence[InverterState], how: Literal["fail_safe", "release", "keep"]
) -> dict[InverterState, Rule]:
    """The last rule of each slow inverter that does not have it: open, or closed."""
    slow = [(s, s.rule) for s in states if s.enabled and s.rule is not None and how != "keep"]
    wanted = [(state, rule, Rule() if how == "release" else closed(rule)) for state, rule in slow]
    return {state: last for state, rule, last in wanted if rule.accepted != last or _shows_another(rule, last)}


def _shows_another(slow: RuleState, rule: Rule) -> bool:
    return slow.shown_at_s is not None and slow.shown != rule


async def leave_rules(
    actuator: Actuator, states: Callable[[], Sequence[InverterState]], how: Literal["fail_safe", "release", "keep"]
) -> None:
    """Give slow inverters their last rules, after those under way, and tell who does not have it."""
    try:
        await actuator.ruled()
        wanted = exit_rules(states(), how)
        actuator.rule([RuleCommand(state.serial, rule, "exit") for state, rule in wanted.items() if state.reachable])
        await actuator.ruled()
    finally:
        for state, rule in exit_rules(states(), how).items():
            has = state.rule.accepted if state.rule is not None else None
            why = "it was not taken in time" if state.reachable else "it cannot be reached"
            log.warning("left behind: %s with %s instead of %s: %s", state.name, has or "no rule of ours", rule, why)


async def leave(
    actuator: Actuator,
    states: Callable[[], Sequence[InverterState]],
    commands: Sequence[Command],
    patience_s: float = PATIENCE_S,
) -> None:
    """Send the last limits and wait for so long until each is acknowledged."""
    wanted = {command.serial: command.limit_w for command in commands}
    before = {state.serial: state.commanded_at_s for state in states()}
    held = {state.serial for state in states() if acknowledged(state) and state.commanded_w == wanted.get(state.serial)}
    actuator.send([command for command in commands if command.serial not in held])  # a repetition may silence it
    await actuator.finish()
    sent = held | {state.serial for state in states() if state.commanded_at_s != before[state.serial]}
    for _ in range(round(patience_s / LOOK_S)):
        if all(acknowledged(state) for state in states() if state.serial in sent):
            break
        await asyncio.sleep(LOOK_S)
    for state in states():
        if state.serial not in wanted:
            continue
        if state.serial not in sent:
            log.warning("the exit limit could not be sent to %s", state.name)
        elif acknowledged(state):
            log.info("left behind: %s at %.0f W, acknowledged", state.name, wanted[state.serial])
        else:
            log.warning("left behind: %s at %.0f W, not acknowledged so far", state.name, wanted[state.serial])
