"""Actions that are run once with each change of the price's mode."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from app.enphase.ensemble.actions import Automatic
from app.enphase.ensemble.config import ModeActions
from app.enphase.ensemble.desk import Outcome, RefusedActionError
from app.enphase.ensemble.journal import JournalFile, TooSoonError
from app.model import DeviceError, Fault, Mode

log = logging.getLogger(__name__)

RETRY_S = (20.0, 60.0, 180.0)
LONGEST_WAIT_S = 300.0  # for a write that comes too soon; longer than that, it has failed


class ModeFollower:
    """Told the mode again and again, it runs what is configured for the newest; what is overtaken is dropped.

    The mode whose actions were all done is kept, so that a restart runs them only where the mode has changed meanwhile.
    """

    def __init__(
        self,
        actions: ModeActions,
        act: Callable[[Automatic, str], Awaitable[Outcome]],
        journal: JournalFile,
        *,
        utc: Callable[[], float],
    ) -> None:
        self._actions: dict[Mode, tuple[Automatic, ...]] = {
            Mode.LIMIT: actions.limit,
            Mode.OPEN: actions.open,
            Mode.SHUTDOWN: actions.shutdown,
        }
        self._act, self._journal, self._utc = act, journal, utc
        self._newest: Mode | None = None
        self._changed = asyncio.Event()
        self._fault: Fault | None = None

    def observe(self, mode: Mode) -> None:
        """Take in one turn of the loop."""
        if mode is not self._newest and any(self._actions.values()):
            self._newest = mode
            self._changed.set()

    def faults(self) -> tuple[Fault, ...]:
        """What could not be done; over with the next mode whose actions are all done."""
        return () if self._fault is None else (self._fault,)

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            mode = self._newest
            if mode is None or (await self._journal.read()).mode is mode:
                continue
            await self._remember(None)
            failed = [action for action in self._actions.get(mode, ()) if not await self._done(action, mode)]
            if self._newest is mode and not failed:
                self._fault = None
                await self._remember(mode)

    async def _done(self, action: Automatic, mode: Mode) -> bool:
        """Do one, with patience, as long as the mode is still this one."""
        pauses = list(RETRY_S)
        while self._newest is mode:
            try:
                await self._act(action, f"mode {mode}")
            except (TooSoonError, RefusedActionError, DeviceError) as error:
                soon = isinstance(error, TooSoonError) and error.wait_s <= LONGEST_WAIT_S
                if not soon and not (pauses and isinstance(error, DeviceError)):
                    self._fail(action, mode, error)
                    return False
                pause_s = error.wait_s if soon and isinstance(error, TooSoonError) else pauses.pop(0)
                log.info("mode %s: %s is tried again in %.0f s: %s", mode, action, pause_s, error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._changed.wait()
                if self._newest is mode:
                    self._changed.clear()  # it went and came back meanwhile
            else:
                return True
        return False

    def _fail(self, action: Automatic, mode: Mode, error: Exception) -> None:
        log.warning("mode %s: %s was not done: %s", mode, action, error)
        self._fault = Fault(
            "ensemble_mode",
            f"{action}, configured for the mode {mode}, was not done: {error}.",
            "Do what the sentence says, or change enphase.ensemble.actions; it is tried again with the next change.",
            self._utc() if self._fault is None or self._fault.since_utc_s is None else self._fault.since_utc_s,
        )

    async def _remember(self, mode: Mode | None) -> None:
        try:
            await self._journal.change(lambda journal: replace(journal, mode=mode))
        except OSError as error:
            log.warning("the mode %s cannot be kept: %s; a restart runs its actions again", mode, error.strerror)
