"""Carries decisions to the inverters without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from app.fleet import Fleet
from app.model import Command, RuleCommand, Switch

log = logging.getLogger(__name__)


class Actuator:
    """At most one sending per inverter at a time; while one is under way the newest limit waits behind it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, Command] = {}
        self._switching: dict[str, asyncio.Task[None]] = {}
        self._ruling: dict[str, asyncio.Task[None]] = {}

    def send(self, commands: Iterable[Command]) -> None:
        """Start sending; returns at once."""
        for command in commands:
            if command.serial in self._under_way:
                self._waiting[command.serial] = command
            else:
                self._start(command)

    def switch(self, switches: Iterable[Switch]) -> None:
        """Start switching; returns at once."""
        for item in switches:
            if item.serial not in self._switching:
                task = asyncio.create_task(self._switch(item), name=f"power {item.serial}")
                self._switching[item.serial] = task

    def rule(self, commands: Iterable[RuleCommand]) -> None:
        """Start giving rules to slow inverters; returns at once. One that is under way is not overtaken."""
        for command in commands:
            if command.serial not in self._ruling:
                task = asyncio.create_task(self._rule(command), name=f"rule {command.serial}")
                self._ruling[command.serial] = task

    async def finish(self) -> None:
        """Wait until every limit and switch under way is sent or has failed."""
        while self._under_way or self._switching:
            await asyncio.gather(*self._under_way.values(), *self._switching.values())

    async def ruled(self) -> None:
        """The same for rules, which may take half a minute."""
        while self._ruling:
            await asyncio.gather(*self._ruling.values())

    async def wake(self) -> None:
        """Switch on all that is switched off; each comes back at the limit that it has."""
        self.switch([Switch(serial, on=True, reason="exit") for serial in self._off()])
        await self.finish()
        if self._off():
            log.warning("could not be switched on again: %s", ", ".join(self._off()))

    def _off(self) -> list[str]:
        return [state.serial for state in self._fleet.states() if state.enabled and state.power_on is False]

    def _start(self, command: Command) -> None:
        task = asyncio.create_task(self._send(command), name=f"limit {command.serial}")
        self._under_way[command.serial] = task

    async def _switch(self, item: Switch) -> None:
        how = "on" if item.on else "off"
        try:
            sent = await self._fleet.driver(item.serial).set_power(item.serial, on=item.on)
            log.info("%s switched %s: %s%s", item.serial, how, item.reason, "" if sent else " (not sent)")
        finally:
            del self._switching[item.serial]

    async def _rule(self, command: RuleCommand) -> None:
        try:
            taken = await self._fleet.driver(command.serial).set_rule(command.serial, command.rule)
            log.info("%s: %s (%s)%s", command.serial, command.rule, command.reason, "" if taken else ": not taken")
        finally:
            del self._ruling[command.serial]

    async def _send(self, command: Command) -> None:
        try:
            sent = await self._fleet.driver(command.serial).set_limit(command.serial, command.limit_w)
            log.debug(
                "%s -> %.1f W (%s)%s", command.serial, command.limit_w, command.reason, "" if sent else ": not sent"
            )
        finally:
            del self._under_way[command.serial]
            waiting = self._waiting.pop(command.serial, None)
            if waiting is not None:
                self._start(waiting)
