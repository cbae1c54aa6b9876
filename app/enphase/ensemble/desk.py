"""Where an action is carried out: looked at, spaced, written, and looked at again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from app.enphase.ensemble.actions import Automatic, Grid, StorageMode
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.effect import advice, complaint, in_force, objection
from app.enphase.ensemble.journal import Expected, Journal, JournalFile, TooSoonError
from app.model import EnsembleState, Fault

FILE = "ensemble.json"


class RefusedActionError(Exception):
    """An action that is not done; the sentence says why, and what to do."""


class Client(Protocol):
    """What the desk needs of a gateway."""

    async def read(self, now_s: float) -> EnsembleState:
        """Everything as it is now. Raises `DeviceError`."""

    async def send(self, action: Automatic | Grid) -> None:
        """Write one thing. Raises `DeviceError`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action."""

    written: bool
    text: str
    state: EnsembleState


class Desk:
    """One gateway's writes. ``clock`` stamps what is read; ``utc`` is what the journal lives by."""

    def __init__(
        self,
        client: Client,
        journal: JournalFile,
        config: EnsembleConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._journal, self._config = client, journal, config
        self._clock, self._utc = clock, utc

    async def read(self) -> EnsembleState:
        """Everything as it is now. Raises `DeviceError`."""
        return await self._client.read(self._clock())

    async def perform(self, action: Automatic | Grid) -> Outcome:
        """Do it, unless it is done. Raises `RefusedActionError`, `TooSoonError` and `DeviceError`."""
        state = await self.read()  # and not of a minute ago: tariffs and settings are sent back whole
        why_not = objection(action, state)
        if why_not is not None:
            raise RefusedActionError(why_not)
        if in_force(action, state):
            await self._change(lambda journal: journal.settled(action.target))
            return Outcome(written=False, text=_already(action, state), state=state)
        # noted before it is sent: what was not acknowledged may have been written all the same
        await self._change(lambda journal: journal.noted(action, self._config, self._utc()))
        await self._client.send(action)
        await self._change(lambda journal: journal.expecting(action, self._utc()))
        return Outcome(written=True, text=f"{action}: the gateway took it", state=state)

    async def check(self, state: EnsembleState) -> tuple[Journal, tuple[Fault, ...]]:
        """Compare what was written with what the gateway shows; what is wrong."""
        utc_s = self._utc()
        journal = await self._journal.read()
        if journal.expected:
            journal = await self._change(lambda kept: replace(kept, expected=_looked_at(kept.expected, state, utc_s)))
        return journal, tuple(_fault(what, one, state) for what, one in journal.expected.items() if one.complaint)

    async def _change(self, change: Callable[[Journal], Journal]) -> Journal:
        try:
            return await self._journal.change(change)
        except OSError as error:
            raise RefusedActionError(
                f"{FILE} in data_dir cannot be written ({error.strerror}), so writes cannot be counted: nothing is sent"
            ) from None


def _looked_at(expected: dict[str, Expected], state: EnsembleState, utc_s: float) -> dict[str, Expected]:
    """What is still expected, after a look at the gateway."""
    found = {what: _after_a_look(one, state, utc_s) for what, one in expected.items()}
    return {what: one for what, one in found.items() if one.due_utc_s() is not None or one.complaint is not None}


def _after_a_look(one: Expected, state: EnsembleState, utc_s: float) -> Expected:
    due_utc_s = one.due_utc_s()
    due = due_utc_s is not None and utc_s >= due_utc_s
    if not due and one.complaint is None:
        return one
    said = complaint(one.action, state, was_in_force=one.seen)
    return replace(
        one,
        checks=one.checks + due,
        complaint=said,
        since_utc_s=(one.since_utc_s or utc_s) if said else None,
        seen=one.seen or said is None,
    )


def _fault(what: str, one: Expected, state: EnsembleState) -> Fault:
    return Fault(f"ensemble:{what}", one.complaint or "", advice(one.action, state), one.since_utc_s)


def _already(action: Automatic | Grid, state: EnsembleState) -> str:
    said = f"{action}: it is so already, nothing was written"
    if isinstance(action, StorageMode) and state.optimised_schedules:
        said += "; optimised schedules are on, so the batteries do not follow it: add disable_optimized_schedules"
    return said


__all__ = ["FILE", "Desk", "Outcome", "RefusedActionError", "TooSoonError"]
