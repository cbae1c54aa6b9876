"""The sun's day and the clouds in front of it. Pure."""

from __future__ import annotations

import math

from app.simulator.noise import seeded
from app.simulator.parameters import SUN_EVERY_H, SunConfig


class Sun:
    """Irradiance over time, 1.0 being full sun at noon."""

    def __init__(self, config: SunConfig, seed: str) -> None:
        self._config = config
        self._rng = seeded(seed)
        self._light = self._goal = 1.0
        self._rate_per_s = 0.0
        self._change_s = config.first_cloud_s if config.clouds else math.inf
        self.hour = self._clear_hour = config.start_hour
        self._clear = self.clear_sky()
        self.irradiance = self._clear if config.trace is None else self._recorded(0.0)

    def step(self, now_s: float, dt_s: float) -> float:
        """Irradiance after ``dt_s`` more seconds."""
        config = self._config
        self.hour = hour = (self.hour + dt_s * config.speed / 3600.0) % 24.0
        if config.trace is not None:
            self.irradiance = self._recorded(now_s)
            return self.irradiance
        if not 0.0 <= hour - self._clear_hour < SUN_EVERY_H:
            self._clear, self._clear_hour = self.clear_sky(), hour
        if now_s >= self._change_s or self._light != self._goal:
            self._drift(now_s, dt_s)
        self.irradiance = self._clear * self._light
        return self.irradiance

    def clear_sky(self) -> float:
        """Irradiance without clouds at this hour."""
        config = self._config
        passed = (self.hour - config.sunrise_hour) / (config.sunset_hour - config.sunrise_hour)
        return math.sin(math.pi * passed) if 0.0 < passed < 1.0 else 0.0

    def _recorded(self, now_s: float) -> float:
        config = self._config
        share = config.trace.between(config.trace_start_s + now_s * config.speed) if config.trace else 0.0
        return max(0.0, share)

    def _drift(self, now_s: float, dt_s: float) -> None:
        if now_s >= self._change_s:
            covered = self._goal < 1.0
            self._goal = 1.0 if covered else 1.0 - self._rng.uniform(*self._config.depth)
            self._rate_per_s = abs(self._goal - self._light) / self._rng.uniform(*self._config.edge_s)
            self._change_s = now_s + self._rng.uniform(*(self._config.clear_s if covered else self._config.cloudy_s))
        move = self._rate_per_s * dt_s
        self._light += max(-move, min(move, self._goal - self._light))
