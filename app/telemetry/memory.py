"""What was last written, so that nothing is written twice. Pure."""

from __future__ import annotations

import math


class Memory:
    """What was last written under each key, and when."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, ...], tuple[object, float]] = {}

    def due(self, key: tuple[str, ...], value: object, now_s: float, every_s: float = math.inf) -> bool:
        """Whether this value is to be written now: it is new, or the last time is ``every_s`` ago."""
        last = self._written.get(key)
        if last is not None and last[0] == value and now_s - last[1] < every_s:
            return False
        self._written[key] = (value, now_s)
        return True
