"""A micro-inverter: panels in, AC out, and a limit that it obeys after a while. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.simulator.answers import DcInput, InverterData
from app.simulator.models import MODELS
from app.simulator.noise import Walk, seeded

EFFICIENCY = 0.95
SLEEP_DC_W = 5.0  # with less than this from its panels an inverter is off, radio included
SOFT_START_PER_S = 0.1  # of rated power, after each reconnect (VDE-AR-N 4105 profile)


@dataclass(frozen=True, slots=True)
class InverterConfig:
    """One inverter. Shares are of rated power.

    ``panel_w`` is each panel's DC power in full sun, times its entry in ``shade`` (default 1.0 each).
    The dead time from a limit to its effect was seen to be about 1, 3 or 10 s, by model; ramps are those
    of the German grid profile. ``static_error``: outputs fall short of limits below 15 %, as measured.
    """

    serial: str = "116180400001"
    name: str = "Roof"
    model: str = "HM-1500-4T"
    phase: int = 0
    panel_w: float = 410.0
    shade: tuple[float, ...] = ()
    dead_time_s: float = 1.0
    dead_time_spread: float = 0.2
    ramp_up_per_s: float = 0.2
    ramp_down_per_s: float = 1.0
    reconnect_s: float = 60.0
    persistent_limit: float = 1.0
    static_error: bool = True


class Inverter:
    """The plant. Faults are plain attributes: ``reachable`` (radio), ``ignores_limit``, `reset`."""

    def __init__(self, config: InverterConfig, seed: str) -> None:
        self.config = config
        self.model = MODELS[config.model]
        self.reachable = True
        self.ignores_limit = False
        self.on = True
        self.asleep = False
        self.persistent_w = config.persistent_limit * self.model.rated_w
        self.limit_w = self.persistent_w  # in force now, before any static error
        self.available_w = 0.0  # AC watts if nothing limited it
        self._rng = seeded(seed)
        self._bias = self._rng.uniform(-0.01, 0.01) if config.static_error else 0.0
        self._coming: deque[tuple[float, float]] = deque()  # (in force from, watts)
        self._feeds_from_s = float("-inf")
        self._soft_start = False
        self._panels = tuple(config.panel_w * shade for shade in config.shade or (1.0,) * self.model.channels)
        if len(self._panels) != self.model.channels:
            raise ValueError(f"{config.model} has {self.model.channels} channels, shade names {len(self._panels)}")
        self._irradiance = 0.0
        self._mppt_w = [0.0] * self.model.mppts
        self._yield_day_wh = [0.0] * self.model.channels
        self._yield_total_kwh = [self._rng.uniform(300.0, 900.0) for _ in self._panels]
        self._temperature_c = 35.0
        self._voltage = Walk(1.0, 120.0, f"{seed}/voltage")
        self._frequency = Walk(0.015, 20.0, f"{seed}/frequency")

    @property
    def power_w(self) -> float:
        """AC power fed now."""
        return sum(self._mppt_w)

    @property
    def answers(self) -> bool:
        """Whether it can be heard on the radio."""
        return self.reachable and not self.asleep

    # What arrives by radio.

    def accept_limit(self, watts: float, at_s: float, *, persistent: bool = False) -> None:
        """Take a limit; it is in force after the dead time, in steps of 0.1 % of rated power."""
        if self.ignores_limit:
            return
        config, rated = self.config, self.model.rated_w
        watts = min(round(watts / rated * 1000.0) / 1000.0 * rated, rated)
        if persistent:
            self.persistent_w = watts
        spread = config.dead_time_spread
        self._coming.append((at_s + config.dead_time_s * self._rng.uniform(1.0 - spread, 1.0 + spread), watts))

    def reset(self, now_s: float, offline_s: float | None = None) -> None:
        """Restart without the non-persistent limit and the day's yield; no output for ``offline_s`` (`reconnect_s`)."""
        self._coming.clear()
        self.limit_w = self.persistent_w
        self._yield_day_wh = [0.0] * self.model.channels
        pause_s = self.config.reconnect_s if offline_s is None else offline_s
        self._feeds_from_s = now_s + pause_s
        self._soft_start = pause_s > 0.0

    def read(self, now_s: float) -> InverterData:
        """What it answers when asked for its data."""
        inputs = tuple(self._input(channel) for channel in range(self.model.channels))
        power = self.power_w * self._rng.uniform(0.997, 1.003)
        voltage = 231.0 + self._voltage.value + 2.0 * power / self.model.rated_w
        factor = 0.0 if power < 1.0 else max(0.9, 1.0 - 3.0 / power)
        return InverterData(
            at_s=now_s,
            power_w=power,
            voltage_v=voltage,
            current_a=power / voltage / max(factor, 0.9),
            frequency_hz=50.0 + self._frequency.value,
            power_factor=factor,
            reactive_power_var=-0.02 * power,
            temperature_c=self._temperature_c,
            inputs=inputs,
        )

    # The physics.

    def settle(self, irradiance: float) -> None:
        """Be where it would be after hours under this sun."""
        self._irradiance = irradiance
        suns = self._suns()
        self.available_w = sum(suns)
        self.asleep = self._dc_available() < SLEEP_DC_W
        self._mppt_w = [0.0] * len(suns) if self.asleep else self._goals(suns)

    def step(self, now_s: float, dt_s: float, irradiance: float) -> None:
        """Live through the ``dt_s`` seconds that end at ``now_s``."""
        self._irradiance = irradiance
        while self._coming and self._coming[0][0] <= now_s + 1e-9:
            self.limit_w = self._coming.popleft()[1]
        self._sleep_or_wake(now_s)
        suns = self._suns()
        self.available_w = sum(suns)
        feeding = self.on and not self.asleep and now_s >= self._feeds_from_s
        goals = self._goals(suns) if feeding else [0.0] * len(suns)
        self._ramp(goals, suns, dt_s)
        self._count(dt_s)

    def _sleep_or_wake(self, now_s: float) -> None:
        dc_w = self._dc_available()
        if not self.asleep and dc_w < SLEEP_DC_W:
            self.asleep = True
        elif self.asleep and dc_w > 2.0 * SLEEP_DC_W:
            self.asleep = False
            self.reset(now_s)

    def _dc_available(self) -> float:
        return self._irradiance * sum(self._panels)

    def _suns(self) -> list[float]:
        """AC watts that each tracker could feed."""
        model = self.model
        per_mppt = model.channels // model.mppts
        most = model.rated_w / model.mppts
        scale = self._irradiance * EFFICIENCY
        return [min(scale * sum(self._panels[i * per_mppt : (i + 1) * per_mppt]), most) for i in range(model.mppts)]

    def _goals(self, suns: list[float]) -> list[float]:
        limit = self._obeyed(self.limit_w)
        if not self.model.pdl:
            return [min(sun, limit / len(suns)) for sun in suns]
        total = sum(suns)
        share = min(1.0, limit / total) if total > 0.0 else 0.0
        return [sun * share for sun in suns]

    def _obeyed(self, limit_w: float) -> float:
        if not self.config.static_error:
            return limit_w
        share = limit_w / self.model.rated_w
        low = max(0.0, min(1.0, (0.16 - share) / 0.06))  # 12 % short at 10 % of rated power and below
        return limit_w * (1.0 + self._bias - (0.12 + self._bias) * low)

    def _ramp(self, goals: list[float], suns: list[float], dt_s: float) -> None:
        step = self.model.rated_w / len(goals) * dt_s
        up = step * (SOFT_START_PER_S if self._soft_start else self.config.ramp_up_per_s)
        down = step * self.config.ramp_down_per_s
        now = self._mppt_w
        self._mppt_w = [
            min(max(was - down, min(was + up, goal)), sun) for was, goal, sun in zip(now, goals, suns, strict=True)
        ]
        if self._soft_start and any(goals) and all(p >= g for p, g in zip(self._mppt_w, goals, strict=True)):
            self._soft_start = False

    def _count(self, dt_s: float) -> None:
        for channel in range(self.model.channels):
            energy_wh = self._channel_w(channel) * dt_s / 3600.0
            self._yield_day_wh[channel] += energy_wh
            self._yield_total_kwh[channel] += energy_wh / 1000.0
        warm_c = 30.0 + 25.0 * self.power_w / self.model.rated_w
        self._temperature_c += (warm_c - self._temperature_c) * dt_s / 600.0
        self._voltage.step(dt_s)
        self._frequency.step(dt_s)

    def _channel_w(self, channel: int) -> float:
        """DC watts drawn from one panel: its tracker's power, shared by what the panels could give."""
        per_mppt = self.model.channels // self.model.mppts
        mppt = channel // per_mppt
        together = sum(self._panels[mppt * per_mppt : (mppt + 1) * per_mppt])
        return self._mppt_w[mppt] / EFFICIENCY * self._panels[channel] / together if together else 0.0

    def _input(self, channel: int) -> DcInput:
        power = self._channel_w(channel)
        panel_w = self.config.panel_w
        possible = self._panels[channel] * self._irradiance
        curtailed = 1.0 - min(1.0, power / possible) if possible > 0.0 else 0.0
        voltage = (32.0 + 6.0 * curtailed) if possible > 1.0 else 0.0  # a held-back panel drifts to open circuit
        return DcInput(
            power_w=power,
            voltage_v=voltage,
            current_a=power / voltage if voltage else 0.0,
            yield_day_wh=self._yield_day_wh[channel],
            yield_total_kwh=self._yield_total_kwh[channel],
            irradiation_pct=100.0 * power / panel_w,
        )
