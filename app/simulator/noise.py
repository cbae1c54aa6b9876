"""Chance: reproducible, and slow wandering as voltages, base loads and mains frequency do. Pure."""

from __future__ import annotations

import math
import random


def seeded(seed: str) -> random.Random:
    """Chance that is the same for equal seeds."""
    return random.Random(seed)  # noqa: S311 - weather and habits, no secret


class Walk:
    """Random walk that returns to zero within about ``tau_s`` and spreads by ``sigma`` (one standard deviation)."""

    def __init__(self, sigma: float, tau_s: float, seed: str) -> None:
        self._rng = seeded(seed)
        self._sigma = sigma
        self._tau_s = tau_s
        self.value = self._rng.gauss(0.0, sigma)

    def step(self, dt_s: float) -> float:
        """Wander for ``dt_s`` and return the new value."""
        kept = math.exp(-dt_s / self._tau_s)
        self.value = self.value * kept + self._rng.gauss(0.0, self._sigma * math.sqrt(1.0 - kept * kept))
        return self.value
