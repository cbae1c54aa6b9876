"""The series of the page's chart: the last hour from memory, what is older from the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from app.api.status import number
from app.model import Tick

NAMES = ("grid_w", "pv_w", "load_w", "limit_w", "target_w")
KEPT = 1800
SPACING_S = 2.0

Columns = dict[str, list[float | None]]
Stored = Mapping[str, Sequence[float | None]] | Sequence[Mapping[str, Any]]
Row = tuple[float, tuple[float | None, ...]]


class Recent:
    """The last hour, one point every two seconds, so that a page has a chart as soon as it opens."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=KEPT)

    def add(self, tick: Tick) -> None:
        """Remember a tick, unless the last one remembered is too close."""
        utc_s, decision = tick.snapshot.utc_s, tick.decision
        if self._rows and 0.0 <= utc_s - self._rows[-1][0] < SPACING_S:
            return
        if self._rows and utc_s < self._rows[-1][0]:
            self._rows.clear()  # the wall clock was set back: older points would overlap newer ones
        values = (decision.grid_w, decision.pv_w, decision.load_w, decision.limit_w, decision.target_w)
        self._rows.append((utc_s, tuple(number(value) for value in values)))

    def merged(self, stored: Stored, *, since_utc_s: float) -> Columns:
        """Stored points up to the first remembered one, then what is remembered."""
        first = self._rows[0][0] if self._rows else float("inf")
        old = [row for row in _rows(stored) if row[0] < first]
        kept = [row for row in (*old, *self._rows) if row[0] >= since_utc_s]
        columns: Columns = {"utc_s": [round(row[0], 1) for row in kept]}
        return columns | {name: [row[1][i] for row in kept] for i, name in enumerate(NAMES)}


def _rows(stored: Stored) -> list[Row]:
    """Rows in the order of time, from columns or from a list of rows; each has ``utc_s``."""
    if isinstance(stored, Mapping):
        count = len(stored.get("utc_s", ()))
        blank: Sequence[float | None] = (None,) * count
        columns = [stored.get("utc_s", ()), *(stored.get(name, blank) for name in NAMES)]
        found = [(row[0], tuple(number(value) for value in row[1:])) for row in zip(*columns, strict=True)]
    else:
        found = [(row["utc_s"], tuple(number(row.get(name)) for name in NAMES)) for row in stored]
    return sorted((stamp, values) for stamp, values in found if number(stamp) is not None and stamp is not None)
