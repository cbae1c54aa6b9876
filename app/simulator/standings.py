"""What a scoreboard says: means, ratios to the reference, us against every peer, and the figures watched for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType

from app.simulator.laws.catalogue import OURS
from app.simulator.score import Score
from app.simulator.scoreboard import REFERENCE, Board, Case, Trial

WEIGHTS = (1.0, 3.0)  # of exported against missed energy: balanced and strict
TIE_SHARE, TIE_WH_H = 0.01, 0.1  # smaller differences than either are none


@dataclass(frozen=True, slots=True)
class Goal:
    """What we want at one dead time: none of these exceeded, but ``cheaper`` reached."""

    export: float
    missed: float
    cheaper: float
    excursions: float
    commands_h: float


GOALS: Mapping[float, Goal] = MappingProxyType(
    {
        1.0: Goal(1.25, 1.35, 0.95, 0.25, 400.0),
        3.0: Goal(1.25, 1.5, 0.85, 0.5, 300.0),
        10.0: Goal(1.4, 1.6, 0.7, 1.0, 150.0),
    }
)


@dataclass(frozen=True, slots=True)
class Loss:
    """One house in which we were not cheaper than a peer under these ``weights``, or worse on both axes."""

    case: str
    seed: int
    peer: str
    weights: tuple[float, ...]
    dominated: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A law at one dead time. ``mean`` is over every trial, but its energies over those of closed gates alone.

    The ratios are those of the energies' sums to the reference's; None where the reference has none.
    """

    law: str
    mean: Score
    export_ratio: float | None
    missed_ratio: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """How we stand at one dead time. ``rivals`` is the number of houses; ``best_peer`` has the fewest excursions."""

    dead_time_s: float
    ours: Standing
    rivals: int
    losses: tuple[Loss, ...]
    best_peer: Standing | None

    @property
    def cheaper(self) -> int:
        """The houses in which we were cheaper than every peer, under both weights."""
        return self.rivals - len({(loss.case, loss.seed) for loss in self.losses})

    @property
    def dominated(self) -> int:
        """The houses in which a peer was better on both axes."""
        return len({(loss.case, loss.seed) for loss in self.losses if loss.dominated})

    @property
    def excursion_ratio(self) -> float | None:
        """Ours to those of the best peer."""
        if self.best_peer is None:
            return None
        return ratio(self.ours.mean.excursions_h, self.best_peer.mean.excursions_h)


def mean(scores: Sequence[Score]) -> Score:
    """Means; but the longest excursion and the most growing swings of all, and the sum of the unsettled steps."""
    return Score(
        export_wh_h=_mean(one.export_wh_h for one in scores) or 0.0,
        missed_wh_h=_mean(one.missed_wh_h for one in scores) or 0.0,
        excursions_h=_mean(one.excursions_h for one in scores) or 0.0,
        longest_s=max((one.longest_s for one in scores), default=0.0),
        p99_export_w=_mean(one.p99_export_w for one in scores) or 0.0,
        commands_h=_mean(one.commands_h for one in scores) or 0.0,
        radio_share=_mean(one.radio_share for one in scores) or 0.0,
        settling_s=_mean(one.settling_s for one in scores),
        overshoot_w=_mean(one.overshoot_w for one in scores),
        unsettled=sum(one.unsettled for one in scores),
        chargeable_wh_h=_mean(one.chargeable_wh_h for one in scores),
        starved_wh_h=_mean(one.starved_wh_h for one in scores),
        swings_h=_mean(one.swings_h for one in scores),
        growing=max((one.growing for one in scores if one.growing is not None), default=None),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def ratio(value: float, to: float) -> float | None:
    """None where there is nothing to compare with."""
    return value / to if to > 0.0 else None


def standing(board: Board, law: str, dead_time_s: float, cases: Sequence[Case]) -> Standing:
    """A law in these cases without batteries; energies in those with closed gates; unless there are no others."""
    cases = [case for case in cases if not case.beside_battery] or cases
    closed = [case for case in cases if not case.gated] or cases
    every, energies = mean(board.of(law, dead_time_s, cases)), mean(board.of(law, dead_time_s, closed))
    bound = mean(board.of(REFERENCE, dead_time_s, closed))
    return Standing(
        law,
        replace(every, export_wh_h=energies.export_wh_h, missed_wh_h=energies.missed_wh_h),
        ratio(energies.export_wh_h, bound.export_wh_h),
        ratio(energies.missed_wh_h, bound.missed_wh_h),
    )


def best_peer(board: Board, dead_time_s: float, case: Case) -> Standing | None:
    """The peer that wastes least in a case: export and missed self-use together."""
    found = [standing(board, law, dead_time_s, [case]) for law in peers(board)]
    return min(found, key=lambda one: one.mean.export_wh_h + one.mean.missed_wh_h, default=None)


def peers(board: Board) -> tuple[str, ...]:
    """Every law that ran, but ours."""
    return tuple(law for law in board.plan.laws if law != OURS)


def summary(board: Board, dead_time_s: float) -> Summary:
    """Us against everybody."""
    standings = [standing(board, law, dead_time_s, board.plan.cases) for law in peers(board)]
    return Summary(
        dead_time_s,
        standing(board, OURS, dead_time_s, board.plan.cases),
        len(board.ordinary) * len(board.plan.seeds),
        tuple(_losses(board, dead_time_s)),
        min(standings, key=lambda one: one.mean.excursions_h, default=None),
    )


def _losses(board: Board, dead_time_s: float) -> Iterable[Loss]:
    for case in board.ordinary:
        for seed in board.plan.seeds:
            ours = board.scores[Trial(case.name, dead_time_s, seed, OURS)]
            for law in peers(board):
                peer = board.scores[Trial(case.name, dead_time_s, seed, law)]
                weights = tuple(weight for weight in WEIGHTS if not _good(_cost(ours, weight), _cost(peer, weight)))
                dominated = not (_good(ours.export_wh_h, peer.export_wh_h) or _good(ours.missed_wh_h, peer.missed_wh_h))
                if weights or dominated:
                    yield Loss(case.name, seed, law, weights, dominated)


def _cost(one: Score, weight: float) -> float:
    return weight * one.export_wh_h + one.missed_wh_h


def _good(ours: float, theirs: float) -> bool:
    """Lower, or as good as equal."""
    return ours <= theirs + max(TIE_SHARE * theirs, TIE_WH_H)


def in_words(losses: Iterable[Loss]) -> list[str]:
    """One line per case and peer."""
    lines = []
    for (case, peer), group in groupby(sorted(losses, key=_place), _place):
        found = list(group)
        weights = sorted({weight for loss in found for weight in loss.weights})
        how = " and ".join(f"w = {weight:g}" for weight in weights)
        both = sum(loss.dominated for loss in found)
        worse = f", worse on both axes with {both}" if both else ""
        lines.append(f"{case}: not cheaper than {peer} ({how}) with {len(found)} of the seeds{worse}")
    return lines


def _place(loss: Loss) -> tuple[str, str]:
    return loss.case, loss.peer


def figures(board: Board, law: str = OURS) -> dict[str, float]:
    """What must not get worse, by name; energies are sums over the scenarios."""
    found: dict[str, float] = {}
    for dead_time_s in board.plan.dead_times_s:
        where = f"dead time {dead_time_s:g} s"
        total = standing(board, law, dead_time_s, board.plan.cases).mean
        found[f"{where}, export Wh/h"] = total.export_wh_h * len(board.closed)
        found[f"{where}, missed Wh/h"] = total.missed_wh_h * len(board.closed)
        found[f"{where}, excursions/h"] = total.excursions_h
        found[f"{where}, longest s"] = total.longest_s
        found[f"{where}, commands/h"] = total.commands_h
        for case in board.plan.cases:
            one = mean(board.of(law, dead_time_s, [case]))
            found[f"{where}, {case.name}, export + missed Wh/h"] = one.export_wh_h + one.missed_wh_h
    return {name: round(value, 3) for name, value in found.items()}
