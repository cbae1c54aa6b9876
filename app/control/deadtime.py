"""Learning the dead time of an inverter while it runs: the right one makes the household look calm.

The grid power changes when the household does, and when a limit comes into force. Each candidate says when the latter
should have happened; under a wrong one the household seems to jump at the wrong moment, and once more when the step
really comes. So every reading while a cut is on its way counts against the candidates under which the household moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CANDIDATES_S = tuple(0.3 * 1.3**i for i in range(17))  # 0.3 to 20 s, in steps of 30 %
SPREAD = 0.2  # the same inverter answers this much sooner or later from one command to the next
FORGET = 0.997  # per reading that told something
TRUST = 14.0  # a candidate is never worse than the best by more than this (log): what was learned can be unlearned
TAIL = 0.1  # of the weight on either side stays outside the range


class DeadTime:
    """A weight for every candidate; ``range_s`` is what the law has to reckon with, both ways."""

    def __init__(self, prior_s: tuple[float, float], learned_s: float | None = None) -> None:
        self._prior_s = prior_s
        if learned_s is None:
            middle, width = math.sqrt(prior_s[0] * prior_s[1]), max(0.3, 0.5 * math.log(prior_s[1] / prior_s[0]))
        else:
            middle, width = learned_s, 0.3
        self._logs = [-0.5 * (math.log(c / middle) / width) ** 2 for c in CANDIDATES_S]
        self.evidence = 0.0
        self._refresh()

    @property
    def range_s(self) -> tuple[float, float]:
        """The shortest and the longest time that a command may take now."""
        return self._range_s

    @property
    def likely_s(self) -> float:
        """The best single value."""
        return self._likely_s

    def learn(self, moves_w: Sequence[float], scale_w: float) -> None:
        """``moves_w``: how far the household moved since the last reading, under each candidate.

        Moves below ``scale_w`` tell little.
        """
        costs = [math.log1p(min(abs(move_w) / scale_w, 1e6) ** 2) for move_w in moves_w]
        if max(costs) - min(costs) < 0.1:
            return
        self.evidence += max(costs) - min(costs)
        self._logs = [FORGET * log - cost for log, cost in zip(self._logs, costs, strict=True)]
        self._refresh()

    def _refresh(self) -> None:
        best = max(self._logs)
        self._logs = [max(log - best, -TRUST) for log in self._logs]
        weights = [math.exp(log) - math.exp(-TRUST) for log in self._logs]
        total = sum(weights)
        self._likely_s = math.exp(sum(w * math.log(c) for w, c in zip(weights, CANDIDATES_S, strict=True)) / total)
        low_s, high_s = _quantile(weights, total * TAIL), _quantile(weights, total * (1.0 - TAIL))
        self._range_s = (1.0 - SPREAD) * low_s - 0.1, (1.0 + SPREAD) * high_s + 0.1


def _quantile(weights: Sequence[float], mass: float) -> float:
    for weight, candidate_s in zip(weights, CANDIDATES_S, strict=True):
        mass -= weight
        if mass <= 0.0:
            return candidate_s
    return CANDIDATES_S[-1]
