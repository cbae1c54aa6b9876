"""A micro-inverter: panels in, AC out, and a limit that it obeys after a while. Pure."""

from __future__ import annotations

from collections import deque

from app.simulator.answers import InverterData
from app.simulator.gauges import Gauges
from app.simulator.models import MODELS
from app.simulator.noise import seeded
from app.simulator.parameters import (
    EFFICIENCY,
    LIMIT_STEPS,
    MIN_LIMIT,
    MUTE_S,
    MUTE_WITHIN_S,
    SLEEP_DC_W,
    STATIC_BIAS,
    STATIC_RIGHT_FROM,
    STATIC_SHORT_BELOW,
    STATIC_SHORTFALL,
    InverterConfig,
)


class Inverter:
    """The plant. Faults are plain attributes: ``reachable`` (radio), ``ignores_limit``, ``muted_until_s``, `reset`.

    ``limit_w`` is in force now, before any static error; ``available_w`` the AC watts if nothing limited it.
    ``locked``: a limit too low has stopped it, until a restart.
    """

    def __init__(self, config: InverterConfig, seed: str) -> None:
        self.config = config
        self.model = model = MODELS[config.model]
        panels = tuple(config.panel_w * shade for shade in config.shade or (1.0,) * model.channels)
        if len(panels) != model.channels:
            raise ValueError(f"{config.model} has {model.channels} channels, shade names {len(panels)}")
        self.reachable = True
        self.ignores_limit = False
        self.muted_until_s = float("-inf")
        self.asleep = False
        self.locked = False
        self.persistent_w = config.persistent_limit * model.rated_w
        self.limit_w = self.persistent_w
        self.power_w = 0.0  # AC, fed now
        self.available_w = 0.0
        self._delay, self._luck = seeded(f"{seed}/delays"), seeded(f"{seed}/luck")
        self._bias = self._luck.uniform(-STATIC_BIAS, STATIC_BIAS) if config.static_error else 0.0
        self._obeyed_w = self._obeyed(self.limit_w)
        self._gauges = Gauges(config, model, panels, f"{seed}/gauges")
        per_mppt = model.channels // model.mppts
        # Of each tracker: its panels in full sun, and the most that it feeds.
        self._dc_w = tuple(sum(panels[i : i + per_mppt]) for i in range(0, model.channels, per_mppt))
        self._dc_full_w = sum(self._dc_w)
        self._most_w = model.rated_w / model.mppts
        self._coming: deque[tuple[float, float]] = deque()  # limits: (in force from, watts), one after another
        self._heard = (float("-inf"), -1.0)  # the last limit: (when, watts)
        self._now_s = 0.0
        self._feeds_from_s = float("-inf")
        self._start_w = self._most_w  # soft start: no tracker feeds more yet
        self._irradiance = 0.0
        self._suns = self._mppt_w = [0.0] * model.mppts
        self._on = self._moving = True

    @property
    def on(self) -> bool:
        """As commanded. Switched on again it needs no reconnection, it feeds within seconds (users: OnB PR 1606)."""
        return self._on

    @on.setter
    def on(self, value: bool) -> None:
        self._on = value
        self._moving = True

    @property
    def answers(self) -> bool:
        """Whether it can be heard on the radio."""
        return self.reachable and not self.asleep and self._now_s >= self.muted_until_s

    @property
    def stats_lag_s(self) -> float:
        """How old the powers are that it reports."""
        return self._gauges.lag_s

    @property
    def feedable_w(self) -> float:
        """AC watts it could feed now without a limit: none while it reconnects, few while it starts softly."""
        if self.asleep or not self._on or self._now_s < self._feeds_from_s:
            return 0.0
        if self._start_w >= self._most_w:
            return self.available_w
        return sum(min(sun, self._start_w) for sun in self._suns)

    # What arrives by radio.

    def accept_limit(self, watts: float, at_s: float, *, persistent: bool = False, repeated: bool = False) -> None:
        """Take a limit; it is in force after the dead time, in steps of 0.1 % of rated power.

        ``repeated``: OpenDTU sends the same frame again, as it has heard no answer.
        """
        if self.ignores_limit:
            return
        config, rated = self.config, self.model.rated_w
        watts = min(round(watts / rated * LIMIT_STEPS) / LIMIT_STEPS * rated, rated)
        if persistent:
            self.persistent_w = watts
        duplicate = watts == self._heard[1] and at_s - self._heard[0] <= MUTE_WITHIN_S and not repeated
        if duplicate and self._luck.random() < config.mute_chance:
            self.muted_until_s = at_s + MUTE_S
        self._heard = (at_s, watts)
        spread = config.dead_time_spread
        self._coming.append((at_s + config.dead_time_s * self._delay.uniform(1.0 - spread, 1.0 + spread), watts))

    def reset(self, now_s: float, offline_s: float | None = None) -> None:
        """Restart without the non-persistent limit and the day's yield; no output for ``offline_s`` (`reconnect_s`)."""
        self._coming.clear()
        self._heard = (float("-inf"), -1.0)
        self.muted_until_s = float("-inf")
        self._enforce(self.persistent_w)
        self.locked = False
        self._gauges.forget_day(now_s)
        pause_s = self.config.reconnect_s if offline_s is None else offline_s
        self._feeds_from_s = now_s + pause_s
        self._start_w = 0.0 if pause_s > 0.0 else self._most_w

    def read(self, now_s: float) -> InverterData:
        """What it answers when asked for its data."""
        return self._gauges.read(now_s, self._irradiance)

    # The physics.

    def settle(self, irradiance: float) -> None:
        """Be where it would be after hours under this sun."""
        self._shine(irradiance)
        self.asleep = irradiance * self._dc_full_w < SLEEP_DC_W
        self._mppt_w = [0.0] * len(self._suns) if self.asleep else self._goals()
        self.power_w = sum(self._mppt_w)
        self._gauges.settle(self._mppt_w)

    def step(self, now_s: float, dt_s: float, irradiance: float) -> None:
        """Live through the ``dt_s`` seconds that end at ``now_s``."""
        self._now_s = now_s
        while self._coming and self._coming[0][0] <= now_s + 1e-9:
            self._enforce(self._coming.popleft()[1])
        if irradiance != self._irradiance:
            self._shine(irradiance)
            self._sleep_or_wake(now_s)
        if self._moving or self._start_w < self._most_w:
            self._move(now_s, dt_s)

    def _enforce(self, watts: float) -> None:
        self.limit_w, self._obeyed_w = watts, self._obeyed(watts)
        self.locked = self.locked or watts < MIN_LIMIT * self.model.rated_w - 1e-6
        self._moving = True

    def _shine(self, irradiance: float) -> None:
        """Know what each tracker could feed."""
        self._irradiance = irradiance
        scale, most = irradiance * EFFICIENCY, self._most_w
        self._suns = [min(scale * dc_w, most) for dc_w in self._dc_w]
        self.available_w = sum(self._suns)
        self._moving = True

    def _sleep_or_wake(self, now_s: float) -> None:
        dc_w = self._irradiance * self._dc_full_w
        if not self.asleep and dc_w < SLEEP_DC_W:
            self.asleep = True
        elif self.asleep and dc_w > 2.0 * SLEEP_DC_W:
            self.asleep = False
            self.reset(now_s)

    def _goals(self) -> list[float]:
        suns, limit, start = self._suns, self._obeyed_w, self._start_w
        if not self.model.pdl:
            share = min(limit / len(suns), start)
            return [min(sun, share) for sun in suns]
        total = self.available_w
        share = min(1.0, limit / total) if total > 0.0 else 0.0
        return [min(sun * share, start) for sun in suns]

    def _obeyed(self, limit_w: float) -> float:
        if not self.config.static_error:
            return limit_w
        share = limit_w / self.model.rated_w
        low = max(0.0, min(1.0, (STATIC_RIGHT_FROM - share) / (STATIC_RIGHT_FROM - STATIC_SHORT_BELOW)))
        return limit_w * (1.0 + self._bias - (STATIC_SHORTFALL + self._bias) * low)

    def _move(self, now_s: float, dt_s: float) -> None:
        """Ramp towards the goals."""
        config, most = self.config, self._most_w
        feeding = self._on and not self.asleep and now_s >= self._feeds_from_s
        if feeding and self._start_w < most:
            self._start_w = min(most, self._start_w + most * config.soft_start_per_s * dt_s)
        goals = self._goals() if feeding and not self.locked else [0.0] * len(self._suns)
        up, down = most * config.ramp_up_per_s * dt_s, most * config.ramp_down_per_s * dt_s
        outputs = [
            min(max(was - down, min(was + up, goal)), sun)
            for was, goal, sun in zip(self._mppt_w, goals, self._suns, strict=True)
        ]
        self._moving = outputs != goals
        if outputs != self._mppt_w:
            self._mppt_w = outputs
            self.power_w = sum(outputs)
            self._gauges.note(now_s, outputs)
