"""One stream of parcels from the spool to a bucket: what is tried again, what is halved, and what is put aside."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from app.model import Fault
from app.telemetry.answers import Answer, Outcome
from app.telemetry.segment import MAX_LINES, chunks, halves
from app.telemetry.spool import Parcel

log = logging.getLogger(__name__)

REFUSALS = 16  # refused in a row, the server is to blame and not the points
INDIGESTIBLE = (Outcome.REFUSED, Outcome.TOO_LARGE, Outcome.BROKEN)
FEWEST_LINES = 100  # a request that takes too long is halved down to this
Lines = Sequence[bytes]


class Progress(Enum):
    """What a turn has brought."""

    TOOK = auto()
    NOTHING = auto()
    HELD = auto()


class Pause:
    """When to try again: soon at first, then less and less often, never at the same time as others."""

    def __init__(self, retry_s: tuple[float, float]) -> None:
        self._first_s, self._longest_s = retry_s
        self._failures = 0
        self._until_s = 0.0

    @property
    def over(self) -> bool:
        """Whether it may be tried now."""
        return asyncio.get_running_loop().time() >= self._until_s

    def begin(self, asked_s: float | None = None, *, long: bool = False) -> None:
        """It failed. ``asked_s``: the pause that the server asks for; ``long``: somebody has to act first."""
        self._failures += 1
        widest_s = min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 16))
        pause_s = self._longest_s if long else random.uniform(self._first_s, widest_s)  # noqa: S311 - spreads load
        self._until_s = asyncio.get_running_loop().time() + (pause_s if asked_s is None else asked_s)

    def end(self) -> None:
        """It works, or something has changed."""
        self._failures, self._until_s = 0, 0.0


@dataclass(slots=True)
class Bucket:
    """A bucket of the server. ``trusted``: it has taken points since it last refused many in a row."""

    name: str
    trusted: bool = False
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """What a flow needs from outside: the spool's actions, which may wait for the disk, and the server.

    ``quarantine`` takes lines and why; ``busy`` is the pause that holds for all flows to the server.
    """

    post: Callable[[str, Lines], Awaitable[Answer]]
    done: Callable[[Parcel], Awaitable[None]]
    give_back: Callable[[Parcel], Awaitable[None]]
    quarantine: Callable[[Lines, str], Awaitable[None]]
    busy: Pause
    url: str


class Flow:
    """Takes one parcel after the other and does not let go of it until each of its lines is taken or put aside.

    ``live``: newer points must not wait for a parcel that the server cannot digest; it goes back to the others.
    """

    def __init__(
        self,
        desk: Desk,
        bucket: Bucket,
        take: Callable[[int], Awaitable[Parcel | None]],
        retry_s: tuple[float, float],
        *,
        live: bool = False,
    ) -> None:
        self.written = 0
        self.refused = 0
        self.fault: Fault | None = None
        self.pause = Pause(retry_s)
        self._desk, self._bucket, self._take, self._live = desk, bucket, take, live
        self._parcel: Parcel | None = None
        self._left: deque[Lines] = deque()
        self._suspects: list[tuple[Lines, Answer]] = []
        self._took = False  # some of this parcel
        self._size = MAX_LINES

    async def advance(self) -> Progress:
        """Send one parcel, or what is left of it."""
        if not (self.pause.over and self._desk.busy.over):
            return Progress.HELD
        if self._parcel is None:
            self._parcel = await self._take(self._size)
            if self._parcel is None:
                self.fault = None
                return Progress.NOTHING
            self._left, self._took = deque(chunks(self._parcel.lines, self._size)), False
        while self._left:
            answer = await self._desk.post(self._bucket.name, self._left[0])
            if not await self._settle(self._left[0], answer):
                return Progress.HELD
        if self._suspects and not await self._convict():
            return Progress.HELD
        await self._desk.done(self._parcel)
        self._parcel = None
        return Progress.TOOK

    async def _settle(self, lines: Lines, answer: Answer) -> bool:
        """Do what the answer asks for; False where the rest has to wait."""
        match answer.outcome:
            case Outcome.TAKEN:
                self._left.popleft()
                self._succeed(len(lines))
                return True
            case Outcome.REFUSED | Outcome.TOO_LARGE if (answer.refused or 1) < len(lines):
                self._halve(lines, smaller=answer.outcome is Outcome.TOO_LARGE)
                return True
            case Outcome.REFUSED | Outcome.TOO_LARGE:
                self._left.popleft()
                return await self._refuse(lines, answer)
            case Outcome.SLOW if len(lines) > FEWEST_LINES:
                self._halve(lines, smaller=True)
            case _:
                pass
        return await self._fail(answer)

    def _succeed(self, count: int) -> None:
        self.written += count
        self._took = True
        self._size = min(MAX_LINES, self._size * 2)
        self._bucket.trusted, self._bucket.refusals = True, 0
        self._desk.busy.end()
        self.pause.end()
        self.fault = None

    def _halve(self, lines: Lines, *, smaller: bool) -> None:
        first, second = halves(lines)
        self._left[0] = second
        self._left.appendleft(first)
        if smaller:
            self._size = max(1, len(first))

    async def _refuse(self, lines: Lines, answer: Answer) -> bool:
        """These are to blame, if the server takes others: it has to prove that first."""
        if answer.refused is not None:  # it has said so, and takes the others
            await self._put_aside(lines, answer)
            return True
        if self._proven:
            await self._put_aside(lines, answer)
        else:
            self._suspects.append((lines, answer))
        self._bucket.refusals += 1
        if self._bucket.refusals < REFUSALS:
            return True
        self._bucket.trusted, self._bucket.refusals = False, 0
        return await self._acquit(answer)

    @property
    def _proven(self) -> bool:
        """Whether the server takes others. Where the newest are refused as a whole, that has just become doubtful."""
        return self._bucket.trusted and (self._took or not self._live)

    async def _convict(self) -> bool:
        if not self._proven:
            self._bucket.trusted = False
            return await self._acquit(self._suspects[-1][1])
        for lines, answer in self._suspects:
            await self._put_aside(lines, answer)
        self._suspects = []
        return True

    async def _acquit(self, answer: Answer) -> bool:
        """The server takes nothing at all now: no line is to blame."""
        self._left.extendleft(lines for lines, _ in reversed(self._suspects))
        self._suspects = []
        return await self._fail(answer)

    async def _put_aside(self, lines: Lines, answer: Answer) -> None:
        if not self.refused:
            log.warning("InfluxDB at %s refuses a point (%s); see quarantine.lp", self._desk.url, answer.said)
        self.refused += len(lines)
        await self._desk.quarantine(lines, answer.said)

    async def _fail(self, answer: Answer) -> bool:
        pause = self._desk.busy if answer.outcome is Outcome.BUSY else self.pause
        pause.begin(answer.pause_s, long=answer.outcome is Outcome.CLOSED)
        text = f"InfluxDB at {self._desk.url} {answer.what}."
        step = f"{answer.next_step[0].upper()}{answer.next_step[1:]}."
        since_s = time.time() if self.fault is None else self.fault.since_utc_s
        self.fault = Fault("influxdb", text, step, since_utc_s=since_s)
        if self._live and self._parcel is not None and answer.outcome in INDIGESTIBLE:
            await self._desk.give_back(self._parcel)
            self._parcel, self._suspects = None, []
            self._left.clear()
        return False
