"""What the household uses: appliances with the habits of real ones, on three phases. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from app.simulator.noise import Walk, seeded

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Appliance:
    """Uses ``watts`` in cycles of ``on_s``/``off_s`` while in use; in use for ``use_s``, every ``gap_s``.

    ``first_s`` is when it is first taken into use; ``inrush_w`` is added in its first half second.
    """

    name: str
    phase: int
    watts: float
    on_s: Span
    off_s: Span
    use_s: Span
    gap_s: Span
    first_s: Span
    inrush_w: float = 0.0


INRUSH_S = 0.5
ALWAYS: Span = (1e9, 1e9)

# Powers and cycle times as reported by users of such controllers (hob pulses, drum reversals, kettles);
# how often they are used is ours: a lively household at lunch time.
APPLIANCES = (
    Appliance("fridge", 0, 90, (600, 900), (1200, 1800), ALWAYS, (0, 0), (45, 50), inrush_w=700),
    Appliance("kettle", 1, 2000, ALWAYS, (0, 0), (120, 240), (500, 1500), (95, 110)),
    Appliance("washing machine", 2, 330, (12, 14), (3, 3), (1500, 2400), (2400, 5400), (2, 4)),
    Appliance("hob", 1, 1400, (9, 9), (11, 11), (240, 720), (900, 2400), (190, 220)),
    Appliance("microwave", 0, 1150, (14, 14), (8, 8), (60, 75), (600, 2400), (16, 18)),
    Appliance("oven", 2, 2200, (25, 25), (20, 20), (900, 1800), (3600, 7200), (1200, 1500)),
    Appliance("lights", 0, 60, (40, 400), (20, 90), ALWAYS, (0, 0), (30, 60)),
)


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """``base_w`` never goes away; ``walk_w`` is the spread of the slow wandering around it."""

    base_w: float = 230.0
    walk_w: float = 25.0
    base_shares: tuple[float, float, float] = (0.5, 0.3, 0.2)
    appliances: tuple[Appliance, ...] = APPLIANCES


class _Use:
    """One appliance over time."""

    def __init__(self, appliance: Appliance, rng: random.Random) -> None:
        self._kind = appliance
        self._rng = rng
        self._on = False
        self._switch_s = rng.uniform(*appliance.first_s)
        self._since_s = 0.0
        self._used_until_s: float | None = None

    def watts(self, now_s: float) -> float:
        if now_s >= self._switch_s:
            self._switch(now_s)
        if not self._on:
            return 0.0
        return self._kind.watts + (self._kind.inrush_w if now_s - self._since_s < INRUSH_S else 0.0)

    def _switch(self, now_s: float) -> None:
        kind, draw = self._kind, self._rng.uniform
        if self._used_until_s is None:
            self._used_until_s = now_s + draw(*kind.use_s)
        if now_s >= self._used_until_s:
            self._on, self._used_until_s = False, None
            self._switch_s = now_s + draw(*kind.gap_s)
            return
        self._on = not self._on
        self._since_s = now_s
        self._switch_s = min(now_s + draw(*(kind.on_s if self._on else kind.off_s)), self._used_until_s)


class Load:
    """The household's use of power, from its appliances."""

    def __init__(self, config: LoadConfig, seed: str) -> None:
        self._config = config
        self._walk = Walk(config.walk_w, 60.0, seed)
        self._uses = [(kind.phase, _Use(kind, seeded(f"{seed}/{kind.name}"))) for kind in config.appliances]

    def step(self, now_s: float, dt_s: float) -> tuple[float, float, float]:
        """Watts on each phase."""
        config = self._config
        base = max(0.3 * config.base_w, config.base_w + self._walk.step(dt_s))
        phases = [base * share for share in config.base_shares]
        for phase, use in self._uses:
            phases[phase] += use.watts(now_s)
        return phases[0], phases[1], phases[2]
