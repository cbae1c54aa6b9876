"""What the page shows of the past: the last hour from memory, what is older from the stored minutes."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from app.model import Tick
from app.telemetry.rollup import CLOCK_STEP_S, NAMES, Values

STEP_S = 5
KEPT_S = 3600.0
MAX_POINTS = 1500
Row = tuple[float, Values]
Columns = dict[str, list[float | None]]
Stored = Callable[[float, int], Awaitable[list[Row]]]


@dataclass(slots=True)
class _Step:
    """The means of a few seconds, while they are being filled."""

    utc_s: float
    sums: list[float] = field(default_factory=lambda: [0.0] * len(NAMES))
    counts: list[int] = field(default_factory=lambda: [0] * len(NAMES))

    def add(self, values: Iterable[float | None]) -> None:
        for index, value in enumerate(values):
            if value is not None:
                self.sums[index] += value
                self.counts[index] += 1

    def row(self) -> Row:
        means = (total / count if count else None for total, count in zip(self.sums, self.counts, strict=True))
        return self.utc_s, tuple(means)


class History:
    """Grid, PV, load and limit over time. ``stored(since_utc_s, step_s)`` gives the means of stored minutes."""

    def __init__(self, stored: Stored, *, utc: Callable[[], float] = time.time) -> None:
        self._stored = stored
        self._utc = utc
        self._steps: deque[Row] = deque()
        self._open: _Step | None = None

    async def seed(self) -> None:
        """Fill the last hour from the store, after a restart."""
        rows = await self._stored(self._now_s() - KEPT_S, 60)
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
        current.add((decision.grid_w, decision.pv_w, decision.load_w, decision.limit_w))

    async def query(self, seconds: float) -> Columns:
        """The last ``seconds`` as columns: ``utc_s``, then one per power, oldest first; unknown is None."""
        since_s = self._now_s() - seconds
        rows = self._recent() if seconds <= KEPT_S else await self._longer(since_s, seconds)
        rows = [row for row in rows if row[0] >= since_s]
        columns: Columns = {"utc_s": [utc_s for utc_s, _ in rows]}
        for index, name in enumerate(NAMES):
            columns[f"{name}_w"] = [_rounded(values[index]) for _, values in rows]
        return columns

    async def _longer(self, since_s: float, seconds: float) -> list[Row]:
        """Stored minutes, then what is remembered since the last of them."""
        step_s = 60 * max(1, math.ceil(seconds / MAX_POINTS / 60))
        stored = await self._stored(since_s, step_s)
        end_s = stored[-1][0] + step_s if stored else -math.inf
        return [*stored, *(row for row in self._recent() if row[0] >= end_s)]

    def _recent(self) -> list[Row]:
        return [*self._steps, self._open.row()] if self._open is not None else list(self._steps)

    def _now_s(self) -> float:
        return self._open.utc_s if self._open is not None else self._utc()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
