"""A battery with a regulator of its own, which holds the grid power at zero as far as it can. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.simulator.parameters import BatteryConfig

FULL_PCT = 99.5  # from there on nobody leaves it room


@dataclass(frozen=True, slots=True)
class BatteryReport:
    """What it tells others: positive power is charging."""

    at_s: float
    power_w: float
    soc_pct: float


class Battery:
    """``power_w`` is at its connection to the house; its losses are left out."""

    def __init__(self, config: BatteryConfig) -> None:
        self.config = config
        self.soc_pct = config.soc_pct
        self.power_w = 0.0
        self.report = BatteryReport(0.0, 0.0, config.soc_pct)
        self._seen: deque[tuple[float, float]] = deque()  # the grid power, as long as its regulator takes to act on it
        self._due_s = 0.0
        self._coming: deque[tuple[float, BatteryReport]] = deque()

    @property
    def takes_w(self) -> float:
        """The most that it would take now: less and less of its rating once it is nearly full."""
        config = self.config
        left_pct = 100.0 - self.soc_pct
        return max(0.0, min(1.0, left_pct / config.taper_pct)) * config.charge_w

    @property
    def wants_w(self) -> float:
        """The most that it would take, unless all the world calls it full."""
        return self.takes_w if self.soc_pct < FULL_PCT else 0.0

    @property
    def gives_w(self) -> float:
        """The most that it would give now."""
        return self.config.discharge_w if self.soc_pct > self.config.reserve_pct else 0.0

    def step(self, now_s: float, dt_s: float, rest_w: float) -> None:
        """Live through ``dt_s``. ``rest_w``: what the house takes from the grid without the battery."""
        config = self.config
        self._seen.append((now_s, rest_w))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - config.delay_s:
            self._seen.popleft()
        wanted_w = config.target_w - self._seen[0][1]
        most_w = config.ramp_w_per_s * dt_s
        moved_w = self.power_w + max(-most_w, min(most_w, wanted_w - self.power_w))
        self.power_w = max(-self.gives_w, min(self.takes_w, moved_w))
        self.soc_pct = min(100.0, self.soc_pct + 100.0 * self.power_w * dt_s / 3600.0 / config.capacity_wh)
        self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        """A report every so often, which is seen some time later."""
        if now_s >= self._due_s:
            self._due_s = now_s + self.config.report_s
            made = BatteryReport(now_s, self.power_w, self.soc_pct)
            self._coming.append((now_s + self.config.report_lag_s, made))
        while self._coming and self._coming[0][0] <= now_s:
            at_s, made = self._coming.popleft()
            self.report = BatteryReport(at_s, made.power_w, made.soc_pct)  # nobody tells when it was measured
