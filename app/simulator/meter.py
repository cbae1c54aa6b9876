"""The grid meter: what it shows is the mean of the last second, a little late and a little noisy. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.simulator.load import Phases
from app.simulator.noise import seeded
from app.simulator.parameters import MeterConfig


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
    """Averages the grid power, phase by phase, and keeps counters.

    Faults are plain attributes: ``frozen`` (the same powers and counters in every new sample), ``inverted`` (its
    clamps sit the wrong way round).
    """

    def __init__(self, config: MeterConfig, seed: str) -> None:
        self.frozen = False
        self.inverted = False
        self._config = config
        self._rng = seeded(seed)
        self._import_wh = [self._rng.uniform(1e5, 9e5) for _ in range(3)]
        self._export_wh = [self._rng.uniform(1e4, 9e4) for _ in range(3)]
        self._pv_wh = self._rng.uniform(1e6, 2e6)
        phase_s = self._rng.uniform(0.0, config.window_s) if config.phase_s is None else config.phase_s
        self._ends_s = phase_s or config.window_s  # of this window; at a random time of the house's clock
        self._begun_s = 0.0
        self._sums = [0.0, 0.0, 0.0, 0.0]  # watt seconds of the window: three phases and the sun's feed
        self._imports = [0.0, 0.0, 0.0]  # the positive part of the first three
        self._lost_until_s = 0.0
        self._coming: deque[MeterSample] = deque()
        self.sample = MeterSample(0.0, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0)

    def start(self, phases_w: Sequence[float], pv_w: float) -> None:
        """Show these powers until the first window is full."""
        self.sample = self._measure(0.0, (*phases_w, pv_w))

    def step(self, now_s: float, dt_s: float, phases_w: Sequence[float], pv_w: float) -> None:
        """Take in the powers of the ``dt_s`` seconds that end at ``now_s``."""
        a, b, c = phases_w
        sums, imports = self._sums, self._imports
        sums[0] += a * dt_s
        sums[1] += b * dt_s
        sums[2] += c * dt_s
        sums[3] += pv_w * dt_s
        if a > 0.0:
            imports[0] += a * dt_s
        if b > 0.0:
            imports[1] += b * dt_s
        if c > 0.0:
            imports[2] += c * dt_s
        if now_s >= self._ends_s - 1e-9:
            self._close(now_s)
        while self._coming and now_s >= self._coming[0].at_s - 1e-9:
            self.sample = self._coming.popleft()

    def _close(self, now_s: float) -> None:
        """End the window, and announce its means; some never arrive."""
        config, draw = self._config, self._rng.uniform
        for phase, imported in enumerate(self._imports):
            self._import_wh[phase] += imported / 3600.0
            self._export_wh[phase] += (imported - self._sums[phase]) / 3600.0
        self._pv_wh += self._sums[3] / 3600.0
        length_s = now_s - self._begun_s
        at_s = max(now_s + config.latency_s * draw(0.5, 1.5), self._coming[-1].at_s if self._coming else 0.0)
        sample = self._measure(at_s, [total / length_s for total in self._sums])
        self._sums, self._imports = [0.0] * 4, [0.0] * 3
        self._begun_s = now_s
        self._ends_s += config.window_s
        if now_s < self._lost_until_s:
            return
        if config.dropout and draw(0.0, 1.0) < config.dropout:
            self._lost_until_s = now_s + draw(*config.dropout_s)
            return
        self._coming.append(sample)

    def _measure(self, at_s: float, watts: Sequence[float]) -> MeterSample:
        if self.frozen:
            return replace(self._coming[-1] if self._coming else self.sample, at_s=at_s)
        a, b, c, pv = (self._noisy(value) for value in watts)
        phases = (-a, -b, -c) if self.inverted else (a, b, c)
        imported, exported = (self._export_wh, self._import_wh) if self.inverted else (self._import_wh, self._export_wh)
        return MeterSample(at_s, phases, pv, _three(imported), _three(exported), self._pv_wh)

    def _noisy(self, watts: float) -> float:
        config = self._config
        return watts * (1.0 + self._rng.gauss(0.0, config.noise_share)) + self._rng.gauss(0.0, config.noise_w / 3**0.5)


def _three(values: Sequence[float]) -> Phases:
    return values[0], values[1], values[2]
