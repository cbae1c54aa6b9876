"""What an inverter measures of itself, and tells when it is asked. Pure."""

from __future__ import annotations

import math
from collections import deque

from app.simulator.answers import DcInput, InverterData
from app.simulator.models import Model
from app.simulator.noise import Walk, seeded
from app.simulator.parameters import (
    EFFICIENCY,
    FREQUENCY_SPREAD_HZ,
    FREQUENCY_WALK_S,
    GRID_HZ,
    GRID_V,
    HEAT_S,
    PANEL_V,
    READING_SPREAD,
    VOLTAGE_SPREAD_V,
    VOLTAGE_WALK_S,
    InverterConfig,
)


class Gauges:
    """Follows the power of each tracker. ``lag_s``: how old the powers are that it tells."""

    def __init__(self, config: InverterConfig, model: Model, panels: tuple[float, ...], seed: str) -> None:
        chance = seeded(seed)
        self.lag_s = chance.uniform(*config.stats_lag_s)
        self._rng = seeded(f"{seed}/readings")
        self._model = model
        self._panel_w = config.panel_w
        self._panels = panels
        per_mppt = model.channels // model.mppts
        self._mppts = tuple(channel // per_mppt for channel in range(model.channels))
        together = [sum(panels[i * per_mppt : (i + 1) * per_mppt]) for i in range(model.mppts)]
        self._shares = tuple(
            panel / together[mppt] if together[mppt] else 0.0 for panel, mppt in zip(panels, self._mppts, strict=True)
        )
        self._history: deque[tuple[float, list[float]]] = deque([(0.0, [0.0] * model.mppts)])  # (since, watts)
        self._fed_ws = [0.0] * model.mppts
        self._until_s = 0.0  # what was fed is counted until then
        self._today_ws = [0.0] * model.mppts  # of the above, what was fed before today
        self._total_kwh = [chance.uniform(300.0, 900.0) for _ in panels]
        self._temperature_c, self._read_s, self._read_ws = 35.0, 0.0, 0.0
        self._voltage = Walk(VOLTAGE_SPREAD_V, VOLTAGE_WALK_S, f"{seed}/voltage")
        self._frequency = Walk(FREQUENCY_SPREAD_HZ, FREQUENCY_WALK_S, f"{seed}/frequency")

    def settle(self, mppt_w: list[float]) -> None:
        """Each tracker has been feeding these AC watts for long."""
        self._history = deque([(-math.inf, mppt_w)])

    def note(self, now_s: float, mppt_w: list[float]) -> None:
        """Each tracker feeds these AC watts from now on."""
        self._count(now_s)
        self._history.append((now_s, mppt_w))
        self._lagging(now_s)

    def forget_day(self, now_s: float) -> None:
        """Begin the day's yield anew."""
        self._count(now_s)
        self._today_ws = list(self._fed_ws)

    def read(self, now_s: float, irradiance: float) -> InverterData:
        """Everything it tells, under this sun."""
        self._count(now_s)
        mppt_w = self._lagging(now_s)
        power = sum(mppt_w) * self._rng.uniform(1.0 - READING_SPREAD, 1.0 + READING_SPREAD)
        voltage = GRID_V + self._voltage.at(now_s) + 2.0 * power / self._model.rated_w
        factor = 0.0 if power < 1.0 else max(0.9, 1.0 - 3.0 / power)
        return InverterData(
            at_s=now_s,
            power_w=power,
            voltage_v=voltage,
            current_a=power / voltage / max(factor, 0.9),
            frequency_hz=GRID_HZ + self._frequency.at(now_s),
            power_factor=factor,
            reactive_power_var=-0.02 * power,
            temperature_c=self._warm(now_s),
            inputs=tuple(self._input(channel, mppt_w, irradiance) for channel in range(self._model.channels)),
        )

    def _lagging(self, now_s: float) -> list[float]:
        """The powers of ``lag_s`` ago; what is older is forgotten."""
        history = self._history
        while len(history) > 1 and history[1][0] <= now_s - self.lag_s + 1e-9:
            history.popleft()
        return history[0][1]

    def _count(self, now_s: float) -> None:
        seconds = now_s - self._until_s
        for mppt, watts in enumerate(self._history[-1][1]):
            self._fed_ws[mppt] += watts * seconds
        self._until_s = now_s

    def _warm(self, now_s: float) -> float:
        """Its temperature: on its way to what the mean power since the last look would make it."""
        seconds, fed_ws = now_s - self._read_s, sum(self._fed_ws)
        if seconds > 0.0:
            goal_c = 30.0 + 25.0 * (fed_ws - self._read_ws) / seconds / self._model.rated_w
            self._temperature_c += (goal_c - self._temperature_c) * (1.0 - math.exp(-seconds / HEAT_S))
            self._read_s, self._read_ws = now_s, fed_ws
        return self._temperature_c

    def _input(self, channel: int, mppt_w: list[float], irradiance: float) -> DcInput:
        """One panel: its share of what its tracker draws."""
        mppt, share = self._mppts[channel], self._shares[channel] / EFFICIENCY
        power = mppt_w[mppt] * share
        possible = self._panels[channel] * irradiance
        curtailed = 1.0 - min(1.0, power / possible) if possible > 0.0 else 0.0
        low_v, open_v = PANEL_V
        voltage = (low_v + (open_v - low_v) * curtailed) if possible > 1.0 else 0.0  # held back: near open circuit
        return DcInput(
            power_w=power,
            voltage_v=voltage,
            current_a=power / voltage if voltage else 0.0,
            yield_day_wh=(self._fed_ws[mppt] - self._today_ws[mppt]) * share / 3600.0,
            yield_total_kwh=self._total_kwh[channel] + self._fed_ws[mppt] * share / 3.6e6,
            irradiation_pct=100.0 * power / self._panel_w,
        )
