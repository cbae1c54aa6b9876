"""Evidence of exports beyond what is allowed: how often, how long, how much. Pure: time and powers are arguments.

Allowed is the grid operator's cap where one is set, else the export that the target asks for; where neither holds
(paused, or opened for the price, without a cap) there is nothing to exceed. A length counts only the time in which the
grid power was known: while it is not, an excursion neither ends nor grows, and that time is counted apart.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Annotated

from pydantic import Field

from app.localtime import local_day
from app.model import Decision, Excursion, Excursions, Fault, Mode, Snapshot

HELD_S = 2.1  # the loop turns every second: a power stands until the next turn, and no longer than this
LONG_S, TEN_MINUTES_S, DAY_S = 60.0, 600.0, 86_400.0
KEPT_DAYS, KEPT_RECENT = 92, 1000
WH_PER_WS = 1.0 / 3600.0

Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Stamp = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


@dataclass(slots=True)
class Day:
    """What began on one local day; ``beyond_wh`` and ``unknown_s`` are what happened in it."""

    count: Count = 0
    over_60_s: Count = 0
    longest_s: Amount = 0.0
    worst_w: Amount = 0.0
    beyond_wh: Amount = 0.0
    unknown_s: Amount = 0.0


@dataclass(slots=True)
class Evidence:
    """Everything that outlives the program. ``recent_utc_s``: when those of the last 24 h reached the length."""

    since_utc_s: Stamp | None = None
    total: Count = 0
    over_60_s: Count = 0
    longest_s: Amount = 0.0
    last: Excursion | None = None
    recent_utc_s: list[Stamp] = field(default_factory=list)
    days: dict[str, Day] = field(default_factory=dict)


@dataclass(slots=True)
class _Running:
    """The one going on, and how much of it is on the account."""

    began_utc_s: float
    day: str
    length_s: float = 0.0
    worst_w: float = 0.0
    counted: bool = False
    counted_long: bool = False


class ExcursionCounter:
    """Keeps the account. ``kept`` is what an earlier run of the program left."""

    def __init__(self, over_w: float, longer_s: float, cap_w: float | None, kept: Evidence | None = None) -> None:
        self._over_w, self._longer_s, self._cap_w = over_w, longer_s, cap_w
        self._kept = kept or Evidence()
        self._recent: deque[float] = deque(maxlen=KEPT_RECENT)  # in control time
        self._running: _Running | None = None
        self._at_s: float | None = None
        self._utc_s = 0.0
        self._bound = False
        self._beyond_w: float | None = None

    def observe(self, snapshot: Snapshot, decision: Decision) -> Excursions:
        """Take in one turn of the loop; what the account says now."""
        day = local_day(snapshot.utc_s)
        if self._at_s is None:
            self._start(snapshot.now_s, snapshot.utc_s)
        else:
            self._pass(snapshot.now_s - self._at_s, day)
        self._at_s, self._utc_s = snapshot.now_s, snapshot.utc_s
        self._take(decision, day)
        return self._account(snapshot.now_s, day)

    def fault(self) -> Fault | None:
        """The excursion that is going on, once it is one."""
        running = self._running
        if running is None or not running.counted:
            return None
        unknown = "; since then the grid power is unknown" if self._beyond_w is None else ""
        return Fault(
            "excursion",
            f"The house has exported up to {running.worst_w:.0f} W more than is allowed, for {running.length_s:.0f} s"
            f"{unknown}.",
            "Look at the other faults, and for what feeds in: an inverter that does not follow its limit or is not "
            "commanded by this controller, or a battery.",
            running.began_utc_s,
        )

    def evidence(self) -> Evidence:
        """What is to outlive the program, as it is now."""
        if self._at_s is not None:
            self._kept.recent_utc_s = [self._utc_s - (self._at_s - at_s) for at_s in self._recent]
        return self._kept

    def _start(self, now_s: float, utc_s: float) -> None:
        if self._kept.since_utc_s is None:
            self._kept.since_utc_s = utc_s
        # a clock that is behind makes them new, which counts them too long rather than not at all
        ages = (max(0.0, utc_s - at_utc_s) for at_utc_s in self._kept.recent_utc_s)
        self._recent.extend(sorted(now_s - age_s for age_s in ages))

    def _pass(self, elapsed_s: float, day: str) -> None:
        """Put the time since the last turn on the account, under what was known then."""
        if not self._bound or not elapsed_s > 0.0:
            return
        today = self._day(day)
        known_s = 0.0 if self._beyond_w is None else min(elapsed_s, HELD_S)
        today.unknown_s += elapsed_s - known_s
        today.beyond_wh += max(0.0, self._beyond_w or 0.0) * known_s * WH_PER_WS
        if self._running is not None:
            self._running.length_s += known_s
            self._score(self._running, (self._at_s or 0.0) + elapsed_s)

    def _take(self, decision: Decision, day: str) -> None:
        """Judge what is known now; it stands until the next turn."""
        allowed_w, grid_w = self._allowed_w(decision), decision.grid_w
        self._bound = allowed_w is not None
        if allowed_w is None:
            self._beyond_w = self._running = None
        elif grid_w is None or not math.isfinite(grid_w) or decision.mode is Mode.HOLD:
            self._beyond_w = None
        else:
            self._beyond_w = -grid_w - allowed_w
            if not self._beyond_w > self._over_w:
                self._running = None
                return
            if self._running is None:
                self._running = _Running(self._utc_s, day)
            self._running.worst_w = max(self._running.worst_w, self._beyond_w)

    def _allowed_w(self, decision: Decision) -> float | None:
        """How much export is allowed; None: as much as there is."""
        if self._cap_w is not None:
            return self._cap_w
        return None if decision.target_w is None else max(0.0, -decision.target_w)

    def _score(self, running: _Running, now_s: float) -> None:
        """Count it when it reaches a length, under the day on which it began."""
        if running.length_s < self._longer_s:
            return
        kept, day = self._kept, self._day(running.day)
        if not running.counted:
            running.counted = True
            kept.total += 1
            day.count += 1
            self._recent.append(now_s)
        if running.length_s >= LONG_S and not running.counted_long:
            running.counted_long = True
            kept.over_60_s += 1
            day.over_60_s += 1
        kept.longest_s = max(kept.longest_s, running.length_s)
        day.longest_s = max(day.longest_s, running.length_s)
        day.worst_w = max(day.worst_w, running.worst_w)
        kept.last = Excursion(running.began_utc_s, running.length_s, running.worst_w)

    def _day(self, day: str) -> Day:
        days = self._kept.days
        if day not in days:
            days[day] = Day()
            for oldest in sorted(days)[:-KEPT_DAYS]:
                if oldest != day:
                    del days[oldest]
        return days[day]

    def _account(self, now_s: float, day: str) -> Excursions:
        while self._recent and self._recent[0] < now_s - DAY_S:
            self._recent.popleft()
        kept, today, running = self._kept, self._kept.days.get(day, Day()), self._running
        unknown = self._bound and self._beyond_w is None
        return Excursions(
            over_w=self._over_w,
            longer_s=self._longer_s,
            since_utc_s=kept.since_utc_s or 0.0,
            current_s=None if unknown else running.length_s if running is not None else 0.0,
            today=today.count,
            today_over_60_s=today.over_60_s,
            longest_today_s=today.longest_s,
            worst_today_w=today.worst_w,
            beyond_today_wh=today.beyond_wh,
            unknown_today_s=today.unknown_s,
            in_10_min=sum(1 for _ in takewhile(lambda at_s: at_s >= now_s - TEN_MINUTES_S, reversed(self._recent))),
            in_24_h=len(self._recent),
            total=kept.total,
            over_60_s=kept.over_60_s,
            longest_s=kept.longest_s,
            last=kept.last,
        )
