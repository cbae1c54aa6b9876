"""Two regulators against each other: a battery and the limits that swing in turn, while the house does not."""

from __future__ import annotations

from collections import deque

SWING_W, SWING_S, SWINGS = 150.0, 120.0, 4  # so many turns of both within so long are a fight
CALM_S = 600.0


class Turns:
    """Counts the turning points of a value that moves by at least ``SWING_W`` between them."""

    def __init__(self) -> None:
        self._extreme: float | None = None
        self._turned: float | None = None
        self.swing_w = 0.0  # from the turning point before the last one to the last one
        self._up = 0
        self._times: deque[float] = deque(maxlen=16)

    def add(self, value: float, now_s: float) -> bool:
        """Take in the value of this moment; whether it has turned."""
        if self._extreme is None:
            self._extreme = value
        elif (self._up >= 0 and value > self._extreme) or (self._up <= 0 and value < self._extreme):
            if self._up or abs(value - self._extreme) >= SWING_W:
                self._up = 1 if value > self._extreme else -1
                self._extreme = value
        elif self._up and abs(value - self._extreme) >= SWING_W:
            self.swing_w = 0.0 if self._turned is None else abs(self._extreme - self._turned)
            self._up, self._turned, self._extreme = -self._up, self._extreme, value
            self._times.append(now_s)
            return True
        return False

    def count(self, now_s: float) -> int:
        """How often it has turned lately."""
        return sum(now_s - at_s <= SWING_S for at_s in self._times)

    def clear(self) -> None:
        """Count anew."""
        self._times.clear()


class Fight:
    """Recognises a fight, and answers with the ``share`` of the usual speed that ends it: half, and half again."""

    def __init__(self) -> None:
        self._battery, self._limits, self._house = Turns(), Turns(), Turns()
        self.share, self._slowed_s = 1.0, float("-inf")

    @property
    def slowed(self) -> bool:
        """Two regulators have been found to work against each other."""
        return self.share < 1.0

    def look(self, now_s: float, battery_w: float, limit_w: float, house_w: float) -> None:
        """What battery, limits and house do now."""
        self._battery.add(battery_w, now_s)
        self._limits.add(limit_w, now_s)
        self._house.add(house_w, now_s)
        turns = min(self._battery.count(now_s), self._limits.count(now_s)) - self._house.count(now_s)
        if turns >= SWINGS:  # and the house has not turned as often: it is none that follows its load
            self.share, self._slowed_s = 0.5 * self.share, now_s
            self._battery.clear()
            self._limits.clear()
        elif self.share < 1.0 and now_s - self._slowed_s > CALM_S:
            self.share, self._slowed_s = min(1.0, 2.0 * self.share), now_s
