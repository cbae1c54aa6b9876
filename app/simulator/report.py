"""A scoreboard as tables for the terminal, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.simulator.laws.catalogue import LAWS, OURS
from app.simulator.scenarios import SCENARIOS
from app.simulator.scoreboard import REFERENCE, Board, Case
from app.simulator.standings import GOALS, Standing, Summary, best_peer, in_words, standing, summary

COLUMNS: Mapping[str, int] = {"export": 7, "/ref": 6, "missed": 8, " /ref": 6, "exc/h": 7, "longest": 8, "p99": 7}
MORE_COLUMNS: Mapping[str, int] = {"settle": 7, "never": 6, "over": 6, "cmd/h": 7, "radio": 7}
CASE_WIDTH, LAW_WIDTH, WON_WIDTH = 12, 20, 6
NOTHING = "-"


def table(board: Board, *, every: bool = False) -> str:
    """Every dead time, then how we stand. ``every``: each law in each scenario, not just ours and the best peer."""
    lines = [line for dead_time_s in board.plan.dead_times_s for line in _section(board, dead_time_s, every=every)]
    if OURS in board.plan.laws:
        lines += _summary([summary(board, dead_time_s) for dead_time_s in board.plan.dead_times_s], board, every=every)
    return "\n".join(lines).rstrip()


def _section(board: Board, dead_time_s: float, *, every: bool) -> Iterator[str]:
    plan = board.plan
    yield f"DEAD TIME {dead_time_s:g} s   {_count(plan.cases, 'scenario')}, {_count(plan.seeds, 'seed')}"
    yield ""
    yield _row("", "law", _names())
    for law in (REFERENCE, *plan.laws):
        yield _row("", law, _cells(standing(board, law, dead_time_s, plan.cases)))
    yield ""
    losses = summary(board, dead_time_s).losses if OURS in plan.laws and len(plan.laws) > 1 else None
    if len(plan.cases) > 1:
        yield _row("scenario", "law", _names(), "" if losses is None else "won")
        for case in plan.cases:
            lost = None if losses is None else {loss.seed for loss in losses if loss.case == case.name}
            yield from _case(board, dead_time_s, case, None if lost is None else len(lost), every=every)
        yield ""
    cases = [case for case in plan.cases if case.beside_battery]
    if cases:
        heads = ("starved", "of", "share", "swings/h", "growing")
        yield f"{'beside battery':{CASE_WIDTH + LAW_WIDTH}}" + "".join(f"{head:>10}" for head in heads)
        for case in cases:
            yield from _battery(board, dead_time_s, case, every=every)
        yield ""


def _battery(board: Board, dead_time_s: float, case: Case, *, every: bool) -> Iterator[str]:
    yield case.name
    laws = board.plan.laws if every else _shown(board, dead_time_s, case)
    for law in (*case.bounds, *laws):
        one = standing(board, law, dead_time_s, [case]).mean
        starved_wh_h, of_wh_h = one.starved_wh_h or 0.0, one.chargeable_wh_h or 0.0
        share = f"{starved_wh_h / of_wh_h:.1%}" if of_wh_h else NOTHING
        cells = (f"{starved_wh_h:.1f}", f"{of_wh_h:.1f}", share, f"{one.swings_h or 0.0:.0f}", f"{one.growing or 0}")
        yield f"{'':{CASE_WIDTH}}{law:{LAW_WIDTH}}" + "".join(f"{cell:>10}" for cell in cells)


def _shown(board: Board, dead_time_s: float, case: Case) -> tuple[str, ...]:
    """Ours and the best peer."""
    best = best_peer(board, dead_time_s, case)
    return tuple(law for law in board.plan.laws if law == OURS or (best is not None and law == best.law))


def _case(board: Board, dead_time_s: float, case: Case, lost: int | None, *, every: bool) -> Iterator[str]:
    laws = board.plan.laws if every else _shown(board, dead_time_s, case)
    name = case.name + "*" * (case.gated or case.beside_battery)
    if len(name) >= CASE_WIDTH:
        yield name
        name = ""
    for law in (*case.bounds, *laws) if every or case.beside_battery else laws:
        won = (
            f"{len(board.plan.seeds) - lost}/{len(board.plan.seeds)}"
            if law == OURS and lost is not None and not case.beside_battery
            else ""
        )
        yield _row(name, law, _cells(standing(board, law, dead_time_s, [case])), won)
        name = ""


def _row(case: str, law: str, cells: Sequence[str], won: str = "") -> str:
    widths = (*COLUMNS.values(), *MORE_COLUMNS.values())
    text = "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{case:{CASE_WIDTH}}{law:{LAW_WIDTH}}{text}{won:>{WON_WIDTH}}".rstrip()


def _names() -> list[str]:
    return [name.strip() for name in (*COLUMNS, *MORE_COLUMNS)]


def _cells(of: Standing) -> list[str]:
    one, sends = of.mean, of.law != REFERENCE
    return [
        f"{one.export_wh_h:.1f}",
        _ratio(of.export_ratio),
        f"{one.missed_wh_h:.1f}",
        _ratio(of.missed_ratio),
        f"{one.excursions_h:.1f}",
        f"{one.longest_s:.1f}",
        f"{one.p99_export_w:.0f}",
        _number(one.settling_s, ".1f"),
        NOTHING if one.overshoot_w is None else f"{one.unsettled}",
        _number(one.overshoot_w, ".0f"),
        f"{one.commands_h:.0f}" if sends else NOTHING,
        f"{one.radio_share:.1%}" if sends else NOTHING,
    ]


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _ratio(value: float | None) -> str:
    return _number(value, ".2f" if value is None or value < 100.0 else ".0f")


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


def is_complete(board: Board) -> bool:
    """Every scenario at its full length, every law and five seeds: what the goals are about."""
    plan = board.plan
    cases = {case.name for case in plan.cases if case.seconds is None}
    return cases == set(SCENARIOS) and set(plan.laws) == set(LAWS) and len(plan.seeds) >= 5


HEADS: Mapping[str, int] = {"export /ref": 14, "missed /ref": 14}
RIVAL_HEADS: Mapping[str, int] = {"won": 20, "dominated": 12, "exc/h to best peer": 28}


def _summary(found: Sequence[Summary], board: Board, *, every: bool) -> Iterator[str]:
    heads = {**HEADS, **(RIVAL_HEADS if len(board.plan.laws) > 1 else {}), "cmd/h": 10}
    yield _line("SUMMARY", heads, heads)
    for one in found:
        yield _line(f"dead time {one.dead_time_s:g} s", _stands(one), heads)
        goal = GOALS.get(one.dead_time_s)
        if goal is not None and is_complete(board):
            shares = [f"<= {goal.export:.2f}", f"<= {goal.missed:.2f}", f">= {goal.cheaper:.0%}", "0"]
            yield _line("  goal", [*shares, f"<= {goal.excursions:.2f}", f"<= {goal.commands_h:.0f}"], heads)
    lost = {one.dead_time_s: in_words(one.losses) for one in found if one.losses}
    if lost and not every:
        yield ""
        yield "not won everywhere: --all shows where, and against whom"
    for dead_time_s, lines in lost.items() if every else ():
        yield ""
        yield f"not won with a dead time of {dead_time_s:g} s:"
        yield from (f"  {line}" for line in lines)


def _stands(one: Summary) -> list[str]:
    ours, best = one.ours, one.best_peer
    cells = [_number(ours.export_ratio, ".2f"), _number(ours.missed_ratio, ".2f")]
    if best is not None:
        compared = f"{ours.mean.excursions_h:.1f} to {best.mean.excursions_h:.1f}"
        won = f"{one.cheaper / one.rivals:.0%} ({one.cheaper} of {one.rivals})" if one.rivals else NOTHING
        cells += [won, f"{one.dominated}"]
        cells.append(f"{_number(one.excursion_ratio, '.2f')} ({compared})")
    return [*cells, f"{ours.mean.commands_h:.0f}"]


def _line(first: str, cells: Iterable[str], heads: Mapping[str, int]) -> str:
    texts = (cell.rjust(width) for cell, width in zip(cells, heads.values(), strict=True))
    return f"{first:16}{''.join(texts)}"


def as_json(board: Board) -> dict[str, Any]:
    """Every trial, every standing and how we stand, for machines."""
    plan = board.plan
    standings = [
        {"dead_time_s": dead_time_s} | _standing_json(standing(board, law, dead_time_s, plan.cases))
        for dead_time_s in plan.dead_times_s
        for law in (REFERENCE, *plan.laws)
    ]
    ours = [summary(board, dead_time_s) for dead_time_s in plan.dead_times_s] if OURS in plan.laws else []
    return {
        "scenarios": [case.name for case in plan.cases],
        "dead_times_s": plan.dead_times_s,
        "seeds": plan.seeds,
        "laws": plan.laws,
        "summary": [_summary_json(one) for one in ours],
        "standings": standings,
        "trials": [
            {"scenario": trial.case, "dead_time_s": trial.dead_time_s, "seed": trial.seed, "law": trial.law}
            | asdict(score)
            for trial, score in board.scores.items()
        ],
    }


def _standing_json(of: Standing) -> dict[str, Any]:
    ratios = {"export_ratio": of.export_ratio, "missed_ratio": of.missed_ratio}
    return {"law": of.law} | ratios | asdict(of.mean)


def _summary_json(one: Summary) -> dict[str, Any]:
    best = one.best_peer
    return {
        "dead_time_s": one.dead_time_s,
        "export_ratio": one.ours.export_ratio,
        "missed_ratio": one.ours.missed_ratio,
        "houses": one.rivals,
        "won": one.cheaper,
        "dominated": one.dominated,
        "excursions_h": one.ours.mean.excursions_h,
        "best_peer": None if best is None else best.law,
        "best_peer_excursions_h": None if best is None else best.mean.excursions_h,
        "commands_h": one.ours.mean.commands_h,
        "losses": [asdict(loss) for loss in one.losses],
    }


def catalogue() -> str:
    """The scenarios and the laws that there are."""
    scenarios = (f"  {one.name:12} {one.about}" for one in SCENARIOS.values())
    laws = (f"  {law}{' (this product)' if law == OURS else ''}" for law in LAWS)
    return "\n".join(["scenarios:", *scenarios, "laws:", *laws])
