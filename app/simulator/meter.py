"""The grid meter: what it shows is the mean of the last second, a little late and a little noisy. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.simulator.noise import seeded

Phases = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """One new value per ``window_s`` (a Shelly: 1 s), visible ``latency_s`` later, with Gaussian noise."""

    window_s: float = 1.0
    latency_s: float = 0.08
    noise_w: float = 2.0
    noise_share: float = 0.005


@dataclass(frozen=True, slots=True)
class MeterSample:
    """What the meter shows since ``at_s``. Counters are per phase, not netted, as on real three-phase meters."""

    at_s: float
    phases_w: Phases
    pv_w: float
    import_wh: Phases
    export_wh: Phases
    pv_wh: float

    @property
    def power_w(self) -> float:
        """Netted over the phases; import is positive."""
        return sum(self.phases_w)


class Meter:
    """Averages the grid power, phase by phase, and keeps counters."""

    def __init__(self, config: MeterConfig, seed: str) -> None:
        self._config = config
        self._rng = seeded(seed)
        self._sums = [0.0, 0.0, 0.0, 0.0]  # watt seconds of the window: three phases and the sun's feed
        self._length_s = 0.0
        self._import_wh = [self._rng.uniform(1e5, 9e5) for _ in range(3)]
        self._export_wh = [self._rng.uniform(1e4, 9e4) for _ in range(3)]
        self._pv_wh = self._rng.uniform(1e6, 2e6)
        self._coming: MeterSample | None = None
        self.sample = MeterSample(0.0, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0)

    def start(self, phases_w: Phases, pv_w: float) -> None:
        """Show these powers until the first window is full."""
        self.sample = self._measure(0.0, (*phases_w, pv_w))

    def step(self, now_s: float, dt_s: float, phases_w: Phases, pv_w: float) -> None:
        """Take in the powers of the ``dt_s`` seconds that end at ``now_s``."""
        for phase, watts in enumerate(phases_w):
            self._sums[phase] += watts * dt_s
            counter = self._import_wh if watts > 0.0 else self._export_wh
            counter[phase] += abs(watts) * dt_s / 3600.0
        self._sums[3] += pv_w * dt_s
        self._pv_wh += pv_w * dt_s / 3600.0
        self._length_s += dt_s
        if self._coming and now_s >= self._coming.at_s - 1e-9:
            self.sample, self._coming = self._coming, None
        if self._length_s >= self._config.window_s - 1e-9:
            means = tuple(total / self._length_s for total in self._sums)
            late_s = self._config.latency_s * self._rng.uniform(0.5, 1.5)
            self._coming = self._measure(now_s + late_s, means)
            self._sums, self._length_s = [0.0, 0.0, 0.0, 0.0], 0.0
            if not late_s:
                self.sample, self._coming = self._coming, None

    def _measure(self, at_s: float, watts: tuple[float, ...]) -> MeterSample:
        a, b, c, pv = (self._noisy(value) for value in watts)
        imported, exported = self._import_wh, self._export_wh
        return MeterSample(
            at_s,
            (a, b, c),
            pv,
            (imported[0], imported[1], imported[2]),
            (exported[0], exported[1], exported[2]),
            self._pv_wh,
        )

    def _noisy(self, watts: float) -> float:
        config = self._config
        return watts * (1.0 + self._rng.gauss(0.0, config.noise_share)) + self._rng.gauss(0.0, config.noise_w / 3**0.5)
