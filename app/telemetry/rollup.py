"""Ticks to minutes: mean, lowest, highest and energy. Pure.

Power is held from one tick to the next. A gap is not filled: what was unknown, or longer ago than a tick may
be, counts neither into a mean nor into an energy, and the seconds that do count are kept beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from app.model import Tick

MAX_HOLD_S = 10.0  # ticks come about once a second; slow meters may take three of their intervals
CLOCK_STEP_S = 120.0  # a wall clock that steps back by less keeps filling its minute
NAMES = ("grid", "pv", "load", "limit")
Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of the site from ``utc_s`` on. ``*_s`` are the seconds in which the power was known."""

    utc_s: float
    grid_w: float | None = None
    grid_min_w: float | None = None
    grid_max_w: float | None = None
    grid_s: float = 0.0
    pv_w: float | None = None
    pv_min_w: float | None = None
    pv_max_w: float | None = None
    pv_s: float = 0.0
    load_w: float | None = None
    load_min_w: float | None = None
    load_max_w: float | None = None
    load_s: float = 0.0
    limit_w: float | None = None
    limit_min_w: float | None = None
    limit_max_w: float | None = None
    limit_s: float = 0.0
    import_wh: float | None = None
    export_wh: float | None = None
    pv_wh: float | None = None
    load_wh: float | None = None


@dataclass(slots=True)
class _Sum:
    """One power within a minute, positive and negative apart."""

    plus_ws: float = 0.0
    minus_ws: float = 0.0
    seconds: float = 0.0
    low_w: float = math.inf
    high_w: float = -math.inf

    def add(self, power_w: float | None, seconds: float) -> None:
        if power_w is None or seconds <= 0.0:
            return
        self.plus_ws += max(0.0, power_w) * seconds
        self.minus_ws += max(0.0, -power_w) * seconds
        self.seconds += seconds
        self.low_w = min(self.low_w, power_w)
        self.high_w = max(self.high_w, power_w)

    @property
    def plus_wh(self) -> float | None:
        return self.plus_ws / 3600.0 if self.seconds else None

    @property
    def minus_wh(self) -> float | None:
        return self.minus_ws / 3600.0 if self.seconds else None

    @property
    def net_wh(self) -> float | None:
        return (self.plus_ws - self.minus_ws) / 3600.0 if self.seconds else None

    def columns(self, name: str) -> dict[str, float | None]:
        if not self.seconds:
            return {}
        mean_w = (self.plus_ws - self.minus_ws) / self.seconds
        return {
            f"{name}_w": mean_w,
            f"{name}_min_w": self.low_w,
            f"{name}_max_w": self.high_w,
            f"{name}_s": self.seconds,
        }


@dataclass(slots=True)
class _Open:
    """The minute that is being filled."""

    start_s: float
    sums: tuple[_Sum, ...] = field(default_factory=lambda: tuple(_Sum() for _ in NAMES))

    def add(self, values: Values, seconds: float) -> None:
        for total, value in zip(self.sums, values, strict=True):
            total.add(value, seconds)

    def closed(self) -> Minute | None:
        grid, pv, load, _ = self.sums
        columns = {
            key: value
            for name, total in zip(NAMES, self.sums, strict=True)
            for key, value in total.columns(name).items()
        }
        if not columns:
            return None
        return Minute(
            self.start_s,
            import_wh=grid.plus_wh,
            export_wh=grid.minus_wh,
            pv_wh=pv.net_wh,
            load_wh=load.net_wh,
            **columns,  # type: ignore[arg-type]
        )


class Rollup:
    """Turns ticks into minutes. ``resume``, the minute in which the last run ended, goes on if it is still that."""

    def __init__(self, resume: Minute | None = None) -> None:
        self._resume = resume
        self._open: _Open | None = None
        self._last: tuple[float, Values] | None = None

    def add(self, tick: Tick) -> Minute | None:
        """Take a tick; returns the minute that it completes."""
        snapshot, decision = tick.snapshot, tick.decision
        values = (decision.grid_w, decision.pv_w, decision.load_w, decision.limit_w)
        held, held_s = self._held(snapshot.now_s, max(MAX_HOLD_S, 3.0 * snapshot.meter.interval_s))
        self._last = (snapshot.now_s, values)
        start_s = 60.0 * math.floor(snapshot.utc_s / 60.0)
        current = self._open
        if current is None:
            resume = self._resume
            current = self._open = _reopened(resume) if resume and resume.utc_s == start_s else _Open(start_s)
        if start_s == current.start_s or 0.0 < current.start_s - start_s <= CLOCK_STEP_S:
            current.add(held, held_s)
            return None
        after_s = min(held_s, max(0.0, snapshot.utc_s - start_s))
        current.add(held, held_s - after_s)
        self._open = _Open(start_s)
        self._open.add(held, after_s)
        return current.closed()

    def flush(self) -> Minute | None:
        """The minute so far, which stays open."""
        return self._open.closed() if self._open is not None else None

    def _held(self, now_s: float, longest_s: float) -> tuple[Values, float]:
        if self._last is None:
            return (None,) * len(NAMES), 0.0
        last_s, values = self._last
        return (values, now_s - last_s) if 0.0 < now_s - last_s <= longest_s else (values, 0.0)


def _reopened(minute: Minute) -> _Open:
    def total(name: str, plus_wh: float | None, minus_wh: float | None = None) -> _Sum:
        seconds = getattr(minute, f"{name}_s")
        if not seconds:
            return _Sum()
        low_w, high_w = getattr(minute, f"{name}_min_w"), getattr(minute, f"{name}_max_w")
        return _Sum((plus_wh or 0.0) * 3600.0, (minus_wh or 0.0) * 3600.0, seconds, low_w, high_w)

    limit_wh = (minute.limit_w or 0.0) * minute.limit_s / 3600.0
    return _Open(
        minute.utc_s,
        (
            total("grid", minute.import_wh, minute.export_wh),
            total("pv", minute.pv_wh),
            total("load", minute.load_wh),
            total("limit", limit_wh),
        ),
    )
