"""Whether the power of an inverter follows the register that is believed to limit it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FOLLOWED = 2  # limits whose power was met, until the register is believed
AT_MOST_S = 60.0  # a limit that is met later is met by the sun
HELD = 2  # readings in a row at the limit
CLEAR_W, CLEAR_SHARE = 100.0, 0.05  # so far above the new limit it gave before
NEAR_W, NEAR_SHARE = 50.0, 0.025  # so near to it it gives then


@dataclass(slots=True)
class Proof:
    """Told the limits and the power. ``proven``: it fell to two limits, each time soon, and stayed there."""

    rated_w: float
    proven: bool = False
    _followed: int = 0
    _power_w: float | None = None
    _wanted: tuple[float, float] | None = None  # when it was written, and how many watts
    _held: int = 0

    def wrote(self, at_s: float, limit_w: float) -> None:
        """Take in a limit that is read back as it was written."""
        clear_w = limit_w + CLEAR_W + CLEAR_SHARE * self.rated_w
        telling = self._power_w is not None and self._power_w >= clear_w
        self._wanted, self._held = ((at_s, limit_w) if telling else None), 0

    def measured(self, at_s: float, power_w: float) -> None:
        """Take in a power."""
        self._power_w = power_w
        if self._wanted is None:
            return
        since_s, limit_w = self._wanted
        if at_s - since_s > AT_MOST_S:
            self._wanted = None
        near_w = NEAR_W + NEAR_SHARE * self.rated_w
        self._held = self._held + 1 if abs(power_w - limit_w) <= near_w else 0
        if self._wanted is not None and self._held >= HELD:
            self._wanted = None
            self._followed += 1
            self.proven = self.proven or self._followed >= FOLLOWED
