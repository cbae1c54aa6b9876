"""One lifetime counter of a device: by how much it grows, whatever resets, jumps and gaps it has. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

SLACK_S = 120.0  # devices bring their counters up to date every minute or so
CACHED_S = 3600.0  # a driver that is not answered repeats the last value for so long at most
SETTLE_S = 300.0  # a counter that has been for so long where it cannot have come to has begun anew
WOBBLE_WH = 1.0  # a counter that falls back by no more than rounding does stands still
S_PER_H = 3600.0

Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Stamp = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a counter showed when it was last believed and seen."""

    value_wh: Amount
    utc_s: Stamp


@dataclass(frozen=True, slots=True)
class Grown:
    """By how much a counter has grown since it was last seen. ``wh`` None: it has begun anew."""

    wh: float | None
    since_utc_s: float


class Counter:
    """A lifetime counter of a device: told what it shows, it says by how much it has grown.

    Only values that can follow from the last one are believed: not below it, and not beyond what ``most_w`` gives
    in that time. One that cannot has to go on from there for a while; then the counter has begun anew (another device,
    or a reset), and what it had counted in between is not known. ``mark``: what an earlier run last believed.
    """

    def __init__(self, most_w: float, mark: Mark | None = None) -> None:
        self._most_w = most_w
        self.mark = mark
        self._moved_s = self._seen_s = -math.inf  # in this run of the program
        self._strange: tuple[float, float] | None = None  # a value that cannot be, and when it was first seen

    @property
    def doubted(self) -> bool:
        """Whether it shows what cannot be, or nothing was ever heard of it."""
        return self.mark is None or self._strange is not None

    def read(self, value_wh: float | None, now_s: float, utc_s: float) -> Grown | None:
        """Take in what it shows; None: it has not moved, or not to where it can have come."""
        if value_wh is None or not math.isfinite(value_wh) or value_wh < 0.0:
            return None
        mark = self.mark
        if mark is None:
            return self._begin(value_wh, now_s, utc_s)
        grown_wh = value_wh - mark.value_wh
        if -WOBBLE_WH <= grown_wh <= 0.0:
            self.mark, self._seen_s, self._strange = replace(mark, utc_s=utc_s), now_s, None
            return None
        elapsed_s = utc_s - mark.utc_s
        if self._moved_s > -math.inf:
            elapsed_s = max(elapsed_s, min(now_s - self._moved_s, now_s - self._seen_s + CACHED_S))
        if 0.0 < grown_wh <= self._most_wh(elapsed_s):
            self._believe(value_wh, now_s, utc_s)
            return Grown(grown_wh, mark.utc_s)
        return self._doubt(value_wh, now_s, utc_s)

    def _doubt(self, value_wh: float, now_s: float, utc_s: float) -> Grown | None:
        if self._strange is not None:
            first_wh, first_s = self._strange
            if -WOBBLE_WH <= value_wh - first_wh <= self._most_wh(now_s - first_s):
                return self._begin(value_wh, now_s, utc_s) if now_s - first_s >= SETTLE_S else None
        self._strange = (value_wh, now_s)
        return None

    def _most_wh(self, elapsed_s: float) -> float:
        return self._most_w * (max(0.0, elapsed_s) + SLACK_S) / S_PER_H

    def _begin(self, value_wh: float, now_s: float, utc_s: float) -> Grown:
        self._believe(value_wh, now_s, utc_s)
        return Grown(None, utc_s)

    def _believe(self, value_wh: float, now_s: float, utc_s: float) -> None:
        self.mark, self._strange = Mark(value_wh, utc_s), None
        self._moved_s = self._seen_s = now_s
