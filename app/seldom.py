"""Keeps a flood of messages from being a flood of log lines."""

from __future__ import annotations

import time
from collections.abc import Callable


class Seldom:
    """Says which line may go into the log: one of each kind per interval. Kinds are few and our own words."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s, self._clock = interval_s, clock
        self._last_s: dict[str, float] = {}

    def due(self, kind: str) -> bool:
        """Whether a line of this kind may be written now."""
        now_s, last_s = self._clock(), self._last_s.get(kind)
        if last_s is not None and now_s - last_s < self._interval_s:
            return False
        self._last_s[kind] = now_s
        return True
