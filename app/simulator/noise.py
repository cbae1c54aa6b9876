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
        self._at_s = 0.0
        self._value = self._rng.gauss(0.0, sigma)

    def at(self, now_s: float) -> float:
        """Where it is; it wanders only as far as it is looked at, and never back in time."""
        passed_s = now_s - self._at_s
        if passed_s > 0.0:
            kept = math.exp(-passed_s / self._tau_s)
            self._value = self._value * kept + self._rng.gauss(0.0, self._sigma * math.sqrt(1.0 - kept * kept))
            self._at_s = now_s
        return self._value
