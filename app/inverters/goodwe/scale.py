"""Between watts and what the registers of one inverter hold. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.inverters.goodwe.profiles import Control, Profile, Quirk, Register

Held = Mapping[int, int]  # what registers hold, by address
FULL = 100  # percent
A_HAIR = 1e-6


@dataclass(frozen=True, slots=True)
class Scale:
    """One inverter's limits, counted in whole steps of its register: percent of ``rated_w``, or watts.

    ``always_on``: the limiter stays switched on where nothing is limited.
    """

    profile: Profile
    control: Control
    rated_w: float
    always_on: bool = True

    @property
    def limits(self) -> tuple[Register, ...]:
        """The registers of the limit, in the order in which they are written."""
        return self.profile.limits[self.control]

    @property
    def registers(self) -> tuple[Register, ...]:
        """All that are written: the switch first."""
        return (self.profile.switch, *self.limits)

    @property
    def step_w(self) -> float:
        """The least difference between two limits."""
        return self.rated_w / FULL if self.limits[0].unit != "w" else 1.0

    @property
    def full(self) -> int:
        """The steps of the rated power."""
        return FULL if self.limits[0].unit != "w" else math.floor(self.rated_w + A_HAIR)

    def steps(self, limit_w: float) -> int:
        """The most steps that are no more than this limit; never 0, which may mean that there is no limit."""
        return min(self.full, max(1, math.floor(limit_w / self.step_w + A_HAIR)))

    def watts(self, steps: int) -> float:
        """What so many steps allow."""
        return self.rated_w if steps >= self.full else steps * self.step_w

    def holding(self, steps: int) -> dict[int, int]:
        """What the registers are to hold for so many steps, in the order of writing."""
        switch = int(self.always_on or steps < self.full)
        return {self.profile.switch.address: switch} | {
            one.address: steps * (10 if one.unit == "pct10" else 1) for one in self.limits
        }

    def shown(self, held: Held) -> int | None:
        """The steps that the registers hold: all where the limiter is off; None where they hold no limit."""
        if held.get(self.profile.switch.address) == 0:
            return self.full
        values = [held.get(one.address) for one in self.limits]
        steps = values[0]
        if steps is None or values != [self.holding(steps)[one.address] for one in self.limits]:
            return None
        top = FULL if self.limits[0].unit != "w" else (1 << 16 * self.limits[0].words) - 2
        if steps > top or (steps == 0 and Quirk.READS_BACK_ZERO in self.profile.quirks):
            return None
        return min(steps, self.full)

    def unshown(self, address: int, value: int) -> bool:
        """Whether a value that was read says nothing of what the register holds."""
        limit = any(one.address == address for one in self.limits)
        return limit and value == 0 and Quirk.READS_BACK_ZERO in self.profile.quirks
