"""How many writes a day a memory that wears out is given, and how they are spread over the day. Pure.

Raises may use what lies above the reserve. As long as no more of that is used than of the day has passed, they may go
at the usual pace; what runs ahead of the day makes them slower and coarser, the more the further. Cuts may use the
reserve, too. Of its last writes a cut takes the lowest limit at once, since no other may follow it: whatever is asked,
the house does not export for want of writes.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400.0
RESERVE = 5  # one part in so many is for cuts alone
COARSEST = 10.0  # changes that are worth a write grow so many times at most


@dataclass(frozen=True, slots=True)
class Budget:
    """``a_day`` writes of registers, of which each limit takes ``each``; ``used`` by now, with ``rest_s`` to go."""

    a_day: int
    used: int
    rest_s: float
    each: int = 1

    @property
    def left(self) -> int:
        """Writes left of the day."""
        return max(0, self.a_day - self.used)

    @property
    def reserve(self) -> int:
        """Writes that raises leave to cuts; the last cut is among them."""
        return max(2 * self.each, self.a_day // RESERVE)

    @property
    def tightness(self) -> float:
        """How far use runs ahead of the day: 1 and less is in time; infinite where raises have nothing left."""
        for_raises, left = self.a_day - self.reserve, self.left - self.reserve
        if for_raises <= 0 or left < self.each:
            return float("inf")
        return (max(0.0, self.rest_s) / DAY_S) / (left / for_raises)

    @property
    def pause_s(self) -> float:
        """The time from the last write to the next raise; 0 as long as use is in time."""
        fair_s = DAY_S * self.each / max(1, self.a_day - self.reserve)
        return min(max(0.0, self.rest_s), max(0.0, self.tightness - 1.0) * fair_s)

    @property
    def coarseness(self) -> float:
        """How many times larger than usual a change has to be worth a write."""
        return min(COARSEST, max(1.0, self.tightness))

    def grants(self, wanted: int, held: int | None, lowest: int, since_s: float) -> int | None:
        """The steps to write where ``wanted`` are asked and ``held`` (None: unknown) stand there; None: not now.

        ``since_s``: the time since the last write.
        """
        if self.left >= self.reserve + self.each and (wanted < (held or 0) or since_s >= self.pause_s):
            return wanted
        if held is not None and wanted >= held:
            return None
        return wanted if self.left >= 2 * self.each else lowest
