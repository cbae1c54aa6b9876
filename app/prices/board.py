"""The prices around now and what the gate made of them, for those who look. Pure: time is an argument."""

from __future__ import annotations

from app.model import Gate, Mode, Outlook, PriceSlot
from app.prices.timetable import PAST_S


class PriceBoard:
    """Told the gate with every turn, it remembers the changes of the last hours."""

    def __init__(self) -> None:
        self._modes: tuple[tuple[float, Mode], ...] = ()
        self._outlook = Outlook()

    def observe(self, gate: Gate | None, slots: tuple[PriceSlot, ...], utc_s: float) -> Outlook:
        """The outlook of now: the same object as long as nothing has changed."""
        if gate is not None and (not self._modes or self._modes[-1][1] is not gate.mode):
            self._modes = (*self._modes, (utc_s, gate.mode))
        self._modes = tuple(change for change in self._modes if change[0] <= utc_s)  # the clock was put back
        while len(self._modes) > 1 and self._modes[1][0] <= utc_s - PAST_S:
            self._modes = self._modes[1:]
        if (self._outlook.slots, self._outlook.modes) != (slots, self._modes):
            self._outlook = Outlook(slots, self._modes)
        return self._outlook
