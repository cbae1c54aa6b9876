"""What the household uses: appliances with the habits of real ones, on three phases. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.simulator.noise import Walk, seeded
from app.simulator.parameters import BASE_EVERY_S, INRUSH_S, Appliance, LoadConfig

Phases = tuple[float, float, float]


class _Use:
    """One appliance over time: it draws ``watts`` until ``until_s``."""

    def __init__(self, kind: Appliance, config: LoadConfig, seed: str) -> None:
        self.phase = kind.phase
        self.watts = self.until_s = 0.0
        self._pieces = _pieces(kind, config, seed)

    def follow(self, now_s: float) -> None:
        while now_s >= self.until_s:
            self.watts, seconds = next(self._pieces)
            self.until_s += seconds


def _pieces(kind: Appliance, config: LoadConfig, seed: str) -> Iterator[tuple[float, float]]:
    """Watts, and for how many seconds, for ever."""
    habit, make = seeded(seed).uniform, seeded(f"{seed}/make").uniform
    size = make(1.0 - config.variation, 1.0 + config.variation)
    pace = make(1.0 - config.variation, 1.0 + config.variation)
    yield 0.0, habit(*kind.first_s)
    while True:
        for stage in kind.stages:
            left_s, on = habit(*stage.use_s), False
            while left_s > 0.0:
                on = not on
                drawn_s = habit(*(stage.on_s if on else stage.off_s))
                piece_s = min(left_s, drawn_s * pace * make(1.0 - config.jitter, 1.0 + config.jitter))
                left_s -= piece_s
                inrush_s = min(INRUSH_S, piece_s) if on and kind.inrush_w else 0.0
                if inrush_s:
                    yield (stage.watts + kind.inrush_w) * size, inrush_s
                yield (stage.watts if on else stage.idle_w) * size, piece_s - inrush_s
        yield 0.0, habit(*kind.gap_s)


class Load:
    """The household's use of power: from its appliances, or as it was recorded."""

    def __init__(self, config: LoadConfig, seed: str) -> None:
        self._config = config
        self._walk = Walk(config.walk_w, config.walk_s, seed)
        self._uses = [_Use(kind, config, f"{seed}/{kind.name}") for kind in config.appliances]
        self._base_w = 0.0
        self._base_until_s = self._until_s = 0.0
        self._phases = (0.0, 0.0, 0.0)

    def step(self, now_s: float) -> Phases:
        """Watts on each phase."""
        if now_s >= self._until_s:
            self._phases = self._habits(now_s) if self._config.trace is None else self._recorded(now_s)
        return self._phases

    def _recorded(self, now_s: float) -> Phases:
        config = self._config
        watts = config.trace.held(config.trace_start_s + now_s) if config.trace else 0.0
        return self._shared(watts)

    def _habits(self, now_s: float) -> Phases:
        config = self._config
        if now_s >= self._base_until_s:
            self._base_w = max(0.3 * config.base_w, config.base_w + self._walk.at(now_s))
            self._base_until_s = now_s + BASE_EVERY_S
        phases = list(self._shared(self._base_w))
        self._until_s = self._base_until_s
        for use in self._uses:
            use.follow(now_s)
            phases[use.phase] += use.watts
            self._until_s = min(self._until_s, use.until_s)
        return phases[0], phases[1], phases[2]

    def _shared(self, watts: float) -> Phases:
        a, b, c = self._config.base_shares
        return watts * a, watts * b, watts * c
