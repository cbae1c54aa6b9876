"""How much of a step of the limit the grid meter shows, and when: the best fit to the changes between its readings.

The household moves too, seldom and by much. So large misfits count little more than small ones: one appliance that
switches during a step does not hide it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from app.control.inverter import RAMP_DOWN_PER_S, RAMP_UP_PER_S
from app.control.trajectory import Anchor, Sent, Trajectory
from app.model import Reading

RAMPS_PER_S = (5.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02)  # of rated power
DEAD_TIMES_S = tuple(0.2 + 0.4 * i for i in range(51))  # to 20 s
GAINS = tuple(0.1 * i for i in range(-13, 14))
QUIET_W = 4.0  # no house is quieter than that
CLEAR = 3.0  # a step must explain the readings better than none, by this (log)
BETTER = 2.0  # and better than the same step at another time


@dataclass(frozen=True, slots=True)
class Fit:
    """One step as the readings show it.

    ``clarity``: how much better they are explained with it than without; ``unique``: and than by one at another time.
    ``left_w``: the largest change that it does not explain. ``costs``: of each of `RAMPS_PER_S`.
    """

    gain: float
    dead_time_s: float
    clarity: float
    unique: bool
    left_w: float
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Try:
    """The best gain for one dead time and ramp."""

    cost: float
    gain: float
    dead_time_s: float
    ramp: float


class LimitStep:
    """One step of the limit of an inverter that its limit holds: what it should have given, and when."""

    def __init__(self, rated_w: float, from_w: float, sent: Sent, window_s: float) -> None:
        self._rated_w, self._from_w, self._sent, self._window_s = rated_w, from_w, sent, window_s
        self.up = sent.limit_w > from_w
        self.sent_s = sent.at_s
        self.usual_per_s = RAMP_UP_PER_S if self.up else RAMP_DOWN_PER_S

    def takes_s(self, ramp_per_s: float) -> float:
        """How long it takes."""
        return abs(self._sent.limit_w - self._from_w) / self._rated_w / ramp_per_s

    def moves_w(self, readings: Sequence[Reading], dead_time_s: float, ramp_per_s: float) -> list[float]:
        """By how much less the inverter gave at each reading than at the one before."""
        path = Trajectory(self._rated_w, ramp_per_s, ramp_per_s)
        path.anchor(Anchor(self.sent_s - 60.0, self._from_w, self._from_w, -math.inf, bound=True))
        path.send(self._sent)
        means = [path.mean_w(r.at_s - self._window_s, r.at_s, dead_time_s) for r in readings]
        return [before - after for before, after in pairwise(means)]


def without_repeats(readings: Sequence[Reading]) -> list[Reading]:
    """Leave out what was read twice, as happens when a meter is asked just when it has a new value.

    More than two equal ones in a row are a steady house.
    """
    kept = []
    for _watts, run in groupby(readings, key=lambda reading: reading.power_w):
        equal = list(run)
        kept += equal[:1] if len(equal) == 2 else equal
    return kept


def spacing_s(readings: Sequence[Reading]) -> float:
    """The usual time between two readings."""
    return median(after.at_s - before.at_s for before, after in pairwise(readings))


def noise_w(readings: Sequence[Reading]) -> float:
    """How far two readings in a row usually are apart, appliances that switch left aside."""
    changes = [abs(change) for change in changes_w(readings)]
    return 1.48 * median(changes) if changes else 0.0


def changes_w(readings: Sequence[Reading], phase: int | None = None) -> list[float]:
    """From each reading to the next, of the sum or of one phase. What a phase does not tell counts as no change."""
    watts = [reading.power_w if phase is None else _phase_w(reading, phase) for reading in readings]
    return [after - before for before, after in pairwise(watts)]


def fit(readings: Sequence[Reading], step: LimitStep, noise: float) -> Fit:
    """Fit a step to the readings around it.

    Where its ramp is not the usual one, the dead time is the one that puts the middle of the usual ramp where the
    middle of the true one is.
    """
    changes, scale_w = changes_w(readings), max(QUIET_W, 1.5 * noise)

    def at(dead_time_s: float, ramp: float) -> _Try:
        moves = step.moves_w(readings, dead_time_s, ramp)
        return _Try(*_best_gain(changes, moves, scale_w), dead_time_s, ramp)

    usual, longest_s = step.usual_per_s, readings[-1].at_s - step.sent_s
    tries = [at(dead_time_s, usual) for dead_time_s in DEAD_TIMES_S if dead_time_s < max(0.3, longest_s)]
    near_s = _best(tries).dead_time_s
    best = _best([at(max(0.1, near_s + 0.05 * i), usual) for i in range(-8, 9)])
    earlier = [max(0.1, best.dead_time_s + 0.2 * i) for i in range(-16, 3)]  # a slow ramp begins sooner
    ramps = [min((at(dead_time_s, ramp) for dead_time_s in earlier), key=_cost) for ramp in RAMPS_PER_S]
    if min(found.cost for found in ramps) < best.cost - BETTER:
        best = min(ramps, key=_cost)
    later_s = 0.5 * max(0.0, step.takes_s(best.ramp) - step.takes_s(usual))
    apart_s = max(0.3, 0.3 * best.dead_time_s) + step.takes_s(best.ramp) + spacing_s(readings)
    others = [found.cost for found in tries if abs(found.dead_time_s - best.dead_time_s - later_s) > apart_s]
    moves = step.moves_w(readings, best.dead_time_s, best.ramp)
    return Fit(
        gain=best.gain,
        dead_time_s=best.dead_time_s + later_s,
        clarity=sum(_misfit(change, scale_w) for change in changes) - best.cost,
        unique=min(others, default=math.inf) > best.cost + BETTER,
        left_w=max(abs(change - best.gain * move) for change, move in zip(changes, moves, strict=True)),
        costs=tuple(found.cost for found in ramps),
    )


def _best(tries: Sequence[_Try]) -> _Try:
    """The cheapest; the middle one of those that a meter of momentary values cannot tell apart."""
    least = min(found.cost for found in tries) + 1e-6
    return (alike := [found for found in tries if found.cost <= least])[len(alike) // 2]


def phase_gains(readings: Sequence[Reading], step: LimitStep, dead_time_s: float, noise: float) -> tuple[float, ...]:
    """The gain of each phase of the meter; empty where it does not tell them."""
    count = min((len(reading.phases) for reading in readings), default=0)
    if count < 2 or any(phase.power_w is None for reading in readings for phase in reading.phases):
        return ()
    moves = step.moves_w(readings, dead_time_s, step.usual_per_s)
    scale_w = max(QUIET_W, 1.5 * noise)
    return tuple(_best_gain(changes_w(readings, phase), moves, scale_w)[1] for phase in range(count))


def ramp_per_s(fits: Sequence[Fit]) -> float | None:
    """The ramp that explains steps of one direction best, in rated powers per second; None: too fast to be told."""
    if not fits:
        return None
    costs = [sum(one.costs[i] for one in fits) for i in range(len(RAMPS_PER_S))]
    best = min(range(len(costs)), key=costs.__getitem__)
    return RAMPS_PER_S[best] if costs[best] < costs[0] - len(fits) - 1.0 else None


def _best_gain(changes: Sequence[float], moves: Sequence[float], scale_w: float) -> tuple[float, float]:
    """The least misfit over all changes, and the gain that leads to it."""
    moved = [(change, move) for change, move in zip(changes, moves, strict=True) if abs(move) > 0.1]
    rest = sum(_misfit(c, scale_w) for c, move in zip(changes, moves, strict=True) if abs(move) <= 0.1)

    def cost(gain: float) -> float:
        return rest + sum(_misfit(change - gain * move, scale_w) for change, move in moved)

    gain = min(GAINS, key=cost)
    fine = [gain + 0.02 * i for i in range(-5, 6)]
    gain = min(fine, key=cost)
    return cost(gain), gain


def _misfit(change_w: float, scale_w: float) -> float:
    return math.log1p((change_w / scale_w) ** 2)


def _cost(found: _Try) -> float:
    return found.cost


def _phase_w(reading: Reading, phase: int) -> float:
    return reading.phases[phase].power_w or 0.0
