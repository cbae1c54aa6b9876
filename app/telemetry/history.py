"""What the page shows of the past: the last hour from memory, what is older from the stored minutes."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.model import Tick
from app.telemetry.rollup import CLOCK_STEP_S, NAMES
from app.telemetry.tables import COARSE_S, SERIES, Row

STEP_S = 5
KEPT_S = 3600.0
MAX_POINTS = 1500
Columns = dict[str, list[float | None]]
Stored = Callable[[float, float, int], Awaitable[list[Row]]]


@dataclass(slots=True)
class _Step:
    """The means of a few seconds, while they are being filled."""

    utc_s: float
    sums: list[float] = field(default_factory=lambda: [0.0] * len(NAMES))
    counts: list[int] = field(default_factory=lambda: [0] * len(NAMES))
    low_w: float | None = None
    high_w: float | None = None

    def add(self, grid_w: float | None, *others_w: float | None) -> None:
        if grid_w is not None:
            self.low_w = grid_w if self.low_w is None else min(self.low_w, grid_w)
            self.high_w = grid_w if self.high_w is None else max(self.high_w, grid_w)
        values = (grid_w, *others_w)
        for index, value in enumerate(values):
            if value is not None:
                self.sums[index] += value
                self.counts[index] += 1

    def row(self) -> Row:
        means = (total / count if count else None for total, count in zip(self.sums, self.counts, strict=True))
        return self.utc_s, (*means, self.low_w, self.high_w)


class History:
    """Grid, PV, load and limit over time. ``stored(since_utc_s, until_utc_s, step_s)``: means of stored minutes."""

    def __init__(self, stored: Stored, *, utc: Callable[[], float] = time.time) -> None:
        self._stored = stored
        self._utc = utc
        self._steps: deque[Row] = deque()
        self._open: _Step | None = None

    async def seed(self) -> None:
        """Fill the last hour from the store, after a restart."""
        rows = await self._stored(self._now_s() - KEPT_S, math.inf, 60)
        recent = self._recent()
        first_s = recent[0][0] if recent else math.inf
        self._steps.extendleft(reversed([row for row in rows if row[0] < first_s]))

    def add(self, tick: Tick) -> None:
        """Remember a tick."""
        start_s = float(STEP_S * math.floor(tick.snapshot.utc_s / STEP_S))
        current = self._open
        if current is not None and start_s < current.utc_s - CLOCK_STEP_S:
            self._steps.clear()  # the wall clock was set back: older points would overlap newer ones
            current = None
        if current is None or start_s > current.utc_s:
            if current is not None:
                self._steps.append(current.row())
            current = self._open = _Step(start_s)
        while self._steps and self._steps[0][0] < start_s - KEPT_S:
            self._steps.popleft()
        decision = tick.decision
        current.add(decision.grid_w, decision.pv_w, decision.load_w, decision.limit_w)

    async def query(self, seconds: float) -> Columns:
        """The last ``seconds`` as `between` gives them."""
        return await self.between(self._now_s() - seconds)

    async def between(self, since_utc_s: float, until_utc_s: float = math.inf) -> Columns:
        """A time as columns, its end not included: ``utc_s``, then SERIES, oldest first; unknown is None."""
        now_s = self._now_s()
        recent = since_utc_s >= now_s - KEPT_S
        rows = self._recent() if recent else await self._longer(since_utc_s, until_utc_s, now_s)
        rows = [row for row in rows if since_utc_s <= row[0] < until_utc_s]
        columns: Columns = {"utc_s": [utc_s for utc_s, _ in rows]}
        for index, name in enumerate(SERIES):
            columns[name] = [_rounded(values[index]) for _, values in rows]
        return columns

    async def _longer(self, since_utc_s: float, until_utc_s: float, now_s: float) -> list[Row]:
        """Stored minutes, then what is remembered since the last of them."""
        step_s = _step_s(min(until_utc_s, now_s) - since_utc_s)
        first_s = math.ceil(since_utc_s / step_s) * step_s  # no mean of less than its step at the beginning
        stored = await self._stored(first_s, until_utc_s, step_s)
        end_s = stored[-1][0] + step_s if stored else -math.inf
        return [*stored, *(row for row in self._recent() if row[0] >= end_s)]

    def _recent(self) -> list[Row]:
        return [*self._steps, self._open.row()] if self._open is not None else list(self._steps)

    def _now_s(self) -> float:
        return self._open.utc_s if self._open is not None else self._utc()


def _step_s(seconds: float) -> int:
    """Whole minutes, or quarters of an hour, that make at most MAX_POINTS of it."""
    step_s = 60 * max(1, math.ceil(seconds / MAX_POINTS / 60))
    return step_s if step_s < COARSE_S else COARSE_S * math.ceil(step_s / COARSE_S)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
