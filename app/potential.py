"""What the limits hold back: an estimate from what the inverters gave while none did. Pure: time is an argument.

An inverter that stays clearly below its limit shows what the sun gives. From that are remembered: the most that it has
given in each quarter of an hour of the day (its clear sky), and the share of that which the site gave when it was last
free (how clear the sky is). A free power counts for the second only where even the best sun known would not have been
held back: seen through a low limit there are only the clouds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from app.model import InverterState, Rule, Snapshot

METHOD = (
    "What the inverters could have given is taken from the most that each gave at this time of day in the last two "
    "weeks while no limit held it, times the share of that when one was last free; before that is known, from their "
    "last free power, for two hours at most."
)
MARGIN = 0.03  # of rated power: further below its limit it is the sun that sets the power (low limits are met so badly)
RELEASED = 0.97  # a limit from this share of the maximum on holds nothing back that could be told
SETTLED_S = 30.0  # a limit that was raised longer ago has had its effect on the power that is reported
STALE_S = 300.0  # a power reported longer ago tells nothing
LONGEST_S = 60.0  # between two reports, for which the second may stand
DAY_S, QUARTERS, KEPT_DAYS = 86_400.0, 96, 14
WIDEST, HOUR = 40, 4  # quarters: gaps in the clear sky that are bridged; and for its slopes at their edges
CLEARNESS_S, SHARE_S = 1800.0, 900.0  # how fast what was seen fades
TYPICAL_S = 50_000.0  # and what is typical: after so many seconds of full sun, some days
HELD_S = 7200.0
PRIOR_S = 60.0  # what is typical counts as much as so many seconds of full sun

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(slots=True)
class Best:
    """The most that was given in one quarter of an hour, as a share of the maximum. ``free``: no limit held it."""

    share: Share
    day: int
    free: bool


@dataclass(slots=True)
class KeptSun:
    """What outlives the program.

    ``best``: by serial, then by quarter of the UTC day; ``seen`` over ``possible`` is how clear the sky typically is.
    """

    best: dict[str, dict[int, Best]] = field(default_factory=dict)
    seen: Amount = 0.0
    possible: Amount = 0.0


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What the limits hold back now, of the inverters where it can be told. ``uncertain``: of some it cannot."""

    power_w: float
    uncertain: bool


class _Fading:
    """A weighted sum in which the past fades with a time constant. ``at_s``: when something was last added."""

    def __init__(self, tau_s: float) -> None:
        self._tau_s = tau_s
        self.at_s = -math.inf
        self._sum = self._weight = 0.0

    def add(self, value: float, weight: float, now_s: float) -> None:
        seen, weighed = self.of(now_s)
        self._sum, self._weight, self.at_s = seen + value * weight, weighed + weight, now_s

    def of(self, now_s: float) -> tuple[float, float]:
        """The sum of values and that of weights, as they have faded."""
        kept = math.exp(min(0.0, self.at_s - now_s) / self._tau_s)
        return self._sum * kept, self._weight * kept


@dataclass(slots=True)
class _Unit:
    """One inverter: its limits lately, rising, each with the time when it was last in force; and its last report."""

    limits: deque[tuple[float, float]] = field(default_factory=deque)
    reported_s: float | None = None
    held_back_w: float | None = None

    def lowest_w(self, limit_w: float, now_s: float) -> float:
        """The lowest limit that may still show in the power."""
        while self.limits and self.limits[-1][1] >= limit_w:
            self.limits.pop()
        self.limits.append((now_s, limit_w))
        while len(self.limits) > 1 and self.limits[0][0] < now_s - SETTLED_S:
            self.limits.popleft()
        return self.limits[0][1]


class Potential:
    """Told the inverters again and again, it answers with what is held back. ``kept``: what earlier runs left."""

    def __init__(self, kept: KeptSun | None = None) -> None:
        self.kept = kept or KeptSun()
        self._units: dict[str, _Unit] = {}
        self._clearness = _Fading(CLEARNESS_S)
        self._shares = _Fading(SHARE_S)

    def observe(self, snapshot: Snapshot) -> HeldBack:
        """Take in one turn of the loop."""
        power_w, uncertain = 0.0, False
        for state in snapshot.inverters:
            held_back_w = self._held_back_w(state, snapshot.now_s, snapshot.utc_s)
            power_w += held_back_w or 0.0
            uncertain = uncertain or held_back_w is None
        return HeldBack(power_w, uncertain)

    def _held_back_w(self, state: InverterState, now_s: float, utc_s: float) -> float | None:
        """As its last report says; None while that cannot be told."""
        unit = self._units.setdefault(state.serial, _Unit())
        limit_w = _limit_w(state)
        lowest_w = None if limit_w is None else unit.lowest_w(limit_w, now_s)
        power_w, at_s = state.ac.power_w, state.power_at_s
        if state.reachable is False and (power_w or 0.0) < MARGIN * state.max_w:
            return 0.0  # it sleeps
        if not state.reachable or power_w is None or at_s is None or now_s - at_s > STALE_S or lowest_w is None:
            return None
        if at_s != unit.reported_s:
            lasted_s = 0.0 if unit.reported_s is None else max(0.0, min(LONGEST_S, at_s - unit.reported_s))
            unit.reported_s = at_s
            unit.held_back_w = self._judge(state, power_w, lowest_w, lasted_s, now_s, utc_s)
        return unit.held_back_w

    def _judge(
        self, state: InverterState, power_w: float, lowest_w: float, lasted_s: float, now_s: float, utc_s: float
    ) -> float | None:
        """Learn from one report, and say what was held back in it."""
        limit, share = lowest_w / state.max_w, min(1.0, max(0.0, power_w / state.max_w))
        free = limit >= RELEASED or share < limit - MARGIN
        day, second = divmod(utc_s, DAY_S)
        quarter = int(second * QUARTERS / DAY_S)
        best = self.kept.best.setdefault(state.serial, {})
        _learn(best, quarter, Best(round(share if free else min(share, limit), 4), int(day), free))
        clear = _clear_sky(best, quarter)
        if free:
            if clear is not None and share >= MARGIN and limit >= min(RELEASED, clear):
                self._sample(share, max(share, clear), lasted_s, now_s)
            if limit >= RELEASED:
                self._shares.add(share, state.max_w * lasted_s, now_s)
            return 0.0
        potential = self._share(clear, now_s)
        return None if potential is None else max(0.0, min(1.0, potential) * state.max_w - power_w)

    def _sample(self, share: float, clear: float, lasted_s: float, now_s: float) -> None:
        """Note how clear the sky is, as seen past limits that would not have held back even the best sun known."""
        possible = clear * lasted_s
        self._clearness.add(share / clear, possible, now_s)
        fading = math.exp(-possible / TYPICAL_S)
        self.kept.seen = self.kept.seen * fading + share * lasted_s
        self.kept.possible = self.kept.possible * fading + possible

    def _share(self, clear: float | None, now_s: float) -> float | None:
        """What an inverter could give now, as a share of its maximum."""
        if clear is None:
            seen, weight = self._shares.of(now_s)
            return seen / weight if weight > 0.0 and now_s - self._shares.at_s <= HELD_S else None
        typical = self.kept.seen / self.kept.possible if self.kept.possible > 0.0 else 1.0
        seen, possible = self._clearness.of(now_s)
        return clear * (seen + PRIOR_S * typical) / (possible + PRIOR_S)


def sunshine(kept: KeptSun, since_utc_s: float, until_utc_s: float) -> float:
    """How much of the sun usually falls into this time, in no unit; 0 where it is not known."""
    shine = [0.0] * QUARTERS
    for best in kept.best.values():
        for quarter, seen in best.items():
            shine[quarter % QUARTERS] += seen.share
    quarter_s, total, at_s = DAY_S / QUARTERS, 0.0, since_utc_s
    while at_s < until_utc_s:
        ends_s = min(until_utc_s, (at_s // quarter_s + 1.0) * quarter_s)
        total += (ends_s - at_s) * shine[int(at_s // quarter_s) % QUARTERS]
        at_s = ends_s
    return total


def _limit_w(state: InverterState) -> float | None:
    """The limit in force, the lower one where the last command is not yet acknowledged; None where it is unknown."""
    if state.power_on is False:
        return 0.0
    if state.rule is not None:
        return state.max_w if state.rule.accepted == Rule() else None
    known = [limit_w for limit_w in (state.commanded_w, state.acked_w or None) if limit_w is not None]
    if not known and state.enabled:
        return None
    return min([state.max_w, *known])


def _learn(best: dict[int, Best], quarter: int, seen: Best) -> None:
    """Keep the most of the last days; where a limit held back more than the most known, that was not the most."""
    known = best.get(quarter)
    if known is not None:
        old = not 0 <= seen.day - known.day <= KEPT_DAYS
        better = seen.share > known.share * (1.0 + MARGIN * (known.free - seen.free))
        if not better and not (old and seen.free):
            return
    best[quarter] = seen


def _clear_sky(best: dict[int, Best], quarter: int) -> float | None:
    """The most that no limit held; where it is unknown, on a smooth curve over the gap between those that are known."""
    here = _known(best, quarter)
    if here is not None:
        return here
    before = next((back for back in range(1, WIDEST) if _known(best, quarter - back) is not None), WIDEST)
    after = next((ahead for ahead in range(1, WIDEST) if _known(best, quarter + ahead) is not None), WIDEST)
    start, end = _known(best, quarter - before), _known(best, quarter + after)
    if start is None or end is None or before + after > WIDEST:
        return None
    rise = start - (_known(best, quarter - before - HOUR) or start)
    fall = end - (_known(best, quarter + after + HOUR) or end)
    hours, at = (before + after) / HOUR, before / (before + after)
    # a cubic with these values and these slopes at its ends
    bow = hours * at * (1.0 - at) * (rise * (1.0 - at) + fall * at)
    return min(1.0, max(start, end, start + at * at * (3.0 - 2.0 * at) * (end - start) + bow))


def _known(best: dict[int, Best], quarter: int) -> float | None:
    seen = best.get(quarter % QUARTERS)
    return seen.share if seen is not None and seen.free else None
