"""How often a meter really has something new, and how often a reading comes, measured. Pure."""

from __future__ import annotations

from collections import deque
from statistics import median

KEPT = 15  # the median moves once half of so many intervals are of another length
ENOUGH = 5
LONGEST_S = 60.0
LONGEST_DUE_S = 15.0  # what one product or another needs; a slower one is to be declared, or else an outage is long


class Pace:
    """The time between two new values. ``expected_s`` holds until enough were seen, and is the shortest.

    A value that only stands still for a while (a quiet night) is no slow meter: the median of the changes tells.
    ``longest_s``: what is measured counts for no more.
    """

    def __init__(self, expected_s: float, longest_s: float = LONGEST_S) -> None:
        self._expected_s, self._longest_s = expected_s, longest_s
        self._intervals_s: deque[float] = deque(maxlen=KEPT)
        self._value: object = None
        self._changed_s: float | None = None

    def add(self, value: object, at_s: float) -> None:
        """Take in a value and when it was there."""
        if value == self._value:
            return
        if self._changed_s is not None and 0.0 < at_s - self._changed_s <= LONGEST_S:
            self._intervals_s.append(at_s - self._changed_s)
        self._value, self._changed_s = value, at_s

    def interrupted(self) -> None:
        """Take in that the meter has failed: how long that lasts is no time between two values."""
        self._value = self._changed_s = None

    @property
    def interval_s(self) -> float:
        """The time between two new values, as is to be reckoned with."""
        if len(self._intervals_s) < ENOUGH:
            return self._expected_s
        return max(self._expected_s, min(self._longest_s, median(self._intervals_s)))
