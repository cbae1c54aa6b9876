"""Storage, relays and dry contacts in the running controller: looked at, shown, and asked for what people want.

Nothing here is in the way of control: each look and each write has its own time-out, and control awaits none of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from app.enphase.ensemble.actions import Automatic, Grid
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.desk import Desk, Outcome, RefusedActionError
from app.enphase.ensemble.journal import Journal, JournalFile, TooSoonError
from app.enphase.ensemble.modes import ModeFollower
from app.model import DeviceError, EnsembleState, Fault, Gate

log = logging.getLogger(__name__)

MOST_WAITING = 20  # actions that came by MQTT
LOST_S = 300.0  # the gateway is away for some minutes every night
REFUSED_S = 900.0  # what came by MQTT and was refused has nobody else to tell
LEAST_S = 1.0


class Ensemble:
    """The gateway's ensemble of one installation. ``dry_run``: it is looked at, and nothing is written."""

    def __init__(
        self,
        desk: Desk,
        journal: JournalFile,
        config: EnsembleConfig,
        name: str,
        *,
        dry_run: bool = False,
        closing: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._desk, self._journal, self._config, self._dry_run = desk, journal, config, dry_run
        self._closing, self._clock, self._utc = closing, clock, utc
        self.state = EnsembleState(name)
        self._faults: tuple[Fault, ...] = ()
        self._failing_since: tuple[float, float] | None = None  # monotonic, and UTC
        self._lock = asyncio.Lock()  # pyenphase remembers what it has read: one at a time
        self._look = asyncio.Event()
        self._waiting: deque[tuple[Automatic | Grid, str]] = deque(maxlen=MOST_WAITING)
        self._asked = asyncio.Event()
        self._refused: Fault | None = None
        self._modes = ModeFollower(config.actions, self.act, journal, utc=utc)

    def observe(self, gate: Gate | None) -> None:
        """Take in one turn of the loop: a change of the price's mode runs what is configured for it."""
        if not self._dry_run and gate is not None:
            self._modes.observe(gate.mode)

    def faults(self) -> tuple[Fault, ...]:
        """What does not do what it was told, and whether the gateway can be read at all."""
        found = [*self._faults, *self._modes.faults()]
        refused = self._refused
        if refused is not None and self._utc() - (refused.since_utc_s or 0.0) < REFUSED_S:
            found.append(refused)
        lost = self._failing_since
        if lost is not None and self.state.fault is not None and self._clock() - lost[0] >= LOST_S:
            text = f"Storage and relays cannot be read: {self.state.fault}."
            found.append(
                Fault("ensemble", text, "Check the gateway's power, network and the enphase section.", lost[1])
            )
        return tuple(found)

    async def act(self, action: Automatic | Grid, source: str) -> Outcome:
        """Do it now. Raises `RefusedActionError`, `TooSoonError` and `DeviceError`."""
        if self._dry_run:
            raise RefusedActionError("this is a dry run (control.dry_run), which commands nothing")
        async with self._lock:
            outcome = await self._desk.perform(action)
        log.info("%s, asked by %s", outcome.text, source)
        self._see(outcome.state)
        self._refused = None
        self._look.set()
        return outcome

    def ask(self, action: Automatic | Grid, source: str) -> None:
        """Do it soon; what comes of it is told in the log and, where it fails, as a fault."""
        self._waiting.append((action, source))
        self._asked.set()

    async def run(self) -> None:
        """Look, follow the mode, and do what was asked for, for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_looking())
                group.create_task(self._do_what_is_asked())
                group.create_task(self._modes.run())
        finally:
            if self._closing is not None:
                await self._closing()

    async def close(self) -> None:
        """Wait until what is being written is written, and write nothing more."""
        await self._lock.acquire()

    async def _keep_looking(self) -> None:
        while True:
            journal, looked_s = await self._once(), time.monotonic()
            while (wait_s := self._wait_s(journal, looked_s)) > 0.0:
                self._look.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._look.wait()
                        journal = await self._journal.read()  # something was written

    def _wait_s(self, journal: Journal, looked_s: float) -> float:
        """Until the next look: at what was just written earlier than at the rest."""
        due = [one.due_utc_s() for one in journal.expected.values()]
        soonest_s = min((at - self._utc() for at in due if at is not None), default=self._config.interval_s)
        since_s = time.monotonic() - looked_s
        return min(self._config.interval_s - since_s, max(LEAST_S - since_s, soonest_s))

    async def _once(self) -> Journal:
        """One look; an outage is remembered, and what was known before is kept with its age."""
        try:
            async with self._lock:
                state = await self._desk.read()
            self._see(state)
            journal, self._faults = await self._desk.check(state)
        except (DeviceError, RefusedActionError) as error:
            self._failing_since = self._failing_since or (self._clock(), self._utc())
            self.state = replace(self.state, fault=str(error))
            return Journal()  # no hurry
        return journal

    def _see(self, state: EnsembleState) -> None:
        self.state, self._failing_since = state, None

    async def _do_what_is_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._waiting:
                action, source = self._waiting.popleft()
                try:
                    await self.act(action, source)
                except (RefusedActionError, TooSoonError, DeviceError) as error:
                    log.warning("%s: %s was not done: %s", source, action, error)
                    text = f"{action}, asked by {source}, was not done: {error}."
                    next_step = "Do what the sentence says and ask again; this ends by itself."
                    self._refused = Fault("ensemble_refused", text, next_step, self._utc())
