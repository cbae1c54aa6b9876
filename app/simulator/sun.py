"""The sun's day and the clouds in front of it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.simulator.noise import seeded


@dataclass(frozen=True, slots=True)
class SunConfig:
    """A clear day is a half sine; clouds take a share of it (``depth``), with edges of 5 to 10 s.

    ``speed`` makes the day pass faster; clouds keep their real time, as appliances and devices do.
    """

    start_hour: float = 10.75
    sunrise_hour: float = 6.0
    sunset_hour: float = 20.0
    speed: float = 1.0
    clouds: bool = True
    first_cloud_s: float = 70.0
    clear_s: tuple[float, float] = (40.0, 240.0)
    cloudy_s: tuple[float, float] = (20.0, 90.0)
    edge_s: tuple[float, float] = (5.0, 10.0)
    depth: tuple[float, float] = (0.25, 0.5)


class Sun:
    """Irradiance over time, 1.0 being full sun at noon."""

    def __init__(self, config: SunConfig, seed: str) -> None:
        self._config = config
        self._rng = seeded(seed)
        self._light = self._goal = 1.0
        self._rate_per_s = 0.0
        self._change_s = config.first_cloud_s
        self.hour = config.start_hour

    def step(self, now_s: float, dt_s: float) -> float:
        """Irradiance after ``dt_s`` more seconds."""
        config = self._config
        self.hour = (self.hour + dt_s * config.speed / 3600.0) % 24.0
        if config.clouds:
            self._drift(now_s, dt_s)
        return self.clear_sky() * self._light

    def clear_sky(self) -> float:
        """Irradiance without clouds at this hour."""
        config = self._config
        passed = (self.hour - config.sunrise_hour) / (config.sunset_hour - config.sunrise_hour)
        return math.sin(math.pi * passed) if 0.0 < passed < 1.0 else 0.0

    def _drift(self, now_s: float, dt_s: float) -> None:
        if now_s >= self._change_s:
            covered = self._goal < 1.0
            self._goal = 1.0 if covered else 1.0 - self._rng.uniform(*self._config.depth)
            self._rate_per_s = abs(self._goal - self._light) / self._rng.uniform(*self._config.edge_s)
            self._change_s = now_s + self._rng.uniform(*(self._config.clear_s if covered else self._config.cloudy_s))
        move = self._rate_per_s * dt_s
        self._light += max(-move, min(move, self._goal - self._light))
