"""A clean stop with slow inverters: they get their last rule, and hold up nobody else."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from app.actuator import Actuator
from app.fleet import Fleet
from app.inverters import InverterDriver
from app.leaving import leave_rules
from app.model import InverterState, Rule, RuleCommand, RuleState

CLOSED, NORMAL = Rule(0.0), Rule()


class Slow(InverterDriver):
    """Takes a rule when ``go`` is set."""

    def __init__(self, *, reachable: bool = True, accepted: Rule = NORMAL) -> None:
        rule = RuleState(300.0, 120.0, accepted=accepted)
        self.state = InverterState("122", "Roof", 8200.0, 0.0, reachable=reachable, rule=rule)
        self.given: list[Rule] = []
        self.go = asyncio.Event()

    def states(self, guarded: frozenset[str] = frozenset()) -> tuple[InverterState, ...]:
        return (self.state,)

    async def set_rule(self, serial: str, rule: Rule) -> bool:
        self.given.append(rule)
        await self.go.wait()
        assert self.state.rule is not None
        self.state = replace(self.state, rule=replace(self.state.rule, accepted=rule))
        return True


def rig(slow: Slow) -> tuple[Fleet, Actuator]:
    fleet = Fleet([slow], ["122"], "home")
    return fleet, Actuator(fleet)


async def test_the_last_rule_comes_after_the_one_under_way_and_holds_up_no_limit() -> None:
    slow = Slow(accepted=CLOSED)
    fleet, actuator = rig(slow)
    actuator.rule([RuleCommand("122", NORMAL, "export pays")])
    leaving = asyncio.create_task(leave_rules(actuator, fleet.states, "fail_safe"))
    async with asyncio.timeout(5.0):
        await actuator.finish()
        slow.go.set()
        await leaving
    assert slow.given == [NORMAL, CLOSED]


@pytest.mark.parametrize(("reachable", "told"), [(True, "not taken in time"), (False, "cannot be reached")])
async def test_who_does_not_have_its_last_rule_is_told(
    caplog: pytest.LogCaptureFixture, reachable: bool, told: str
) -> None:
    caplog.set_level(logging.WARNING)
    slow = Slow(reachable=reachable)
    fleet, actuator = rig(slow)
    try:
        async with asyncio.timeout(0.05):
            await leave_rules(actuator, fleet.states, "fail_safe")
    except TimeoutError:
        assert reachable
    (line,) = caplog.messages
    assert "Roof with normal export instead of export up to 0 W" in line
    assert told in line
