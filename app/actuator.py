"""Carries decisions to the inverters without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from app.inverters import InverterDriver
from app.model import Command

log = logging.getLogger(__name__)


class Actuator:
    """At most one sending per inverter at a time; while one is under way the newest limit waits behind it."""

    def __init__(self, drivers: Iterable[InverterDriver]) -> None:
        self._drivers = {state.serial: driver for driver in drivers for state in driver.states()}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, Command] = {}

    def send(self, commands: Iterable[Command]) -> None:
        """Start sending; returns at once."""
        for command in commands:
            if command.serial in self._under_way:
                self._waiting[command.serial] = command
            else:
                self._start(command)

    async def finish(self) -> None:
        """Wait until everything under way is sent or has failed."""
        while self._under_way:
            await asyncio.gather(*self._under_way.values())

    def _start(self, command: Command) -> None:
        task = asyncio.create_task(self._send(command), name=f"limit {command.serial}")
        self._under_way[command.serial] = task

    async def _send(self, command: Command) -> None:
        try:
            sent = await self._drivers[command.serial].set_limit(command.serial, command.limit_w)
            log.debug(
                "%s -> %.1f W (%s)%s", command.serial, command.limit_w, command.reason, "" if sent else ": not sent"
            )
        finally:
            del self._under_way[command.serial]
            waiting = self._waiting.pop(command.serial, None)
            if waiting is not None:
                self._start(waiting)
