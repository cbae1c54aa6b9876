"""A picture of what laws did: their time series above each other, and where each stands. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from app.simulator.laws.catalogue import OURS
from app.simulator.score import Score
from app.simulator.scoreboard import REFERENCE, Board, Case, Trial, compute, record
from app.simulator.standings import standing
from app.simulator.trial import Record

LOAD, PV, SUN, EXPORT, MISSED, GRID, MUTED = "#1f2933", "#1c64c8", "#f2a900", "#d4261d", "#fbdf94", "#e4e7eb", "#5f6b7a"
WANTED = "#2e9e5b"
HEAD_IN, KEY_IN = 0.95, 0.22  # inches
PEERS = 3  # drawn beside ours, where nothing else is asked for
WINDOW_S, WINDOW_EVERY_S = 600.0, 60.0
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.edgecolor": "#9aa5b1",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": LOAD,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is drawn: one house, these laws, from one second to another."""

    board: Board
    case: Case
    dead_time_s: float
    seed: int
    records: dict[str, Record]
    window_s: tuple[float, float]

    def score(self, law: str) -> Score:
        return self.board.scores[Trial(self.case.name, self.dead_time_s, self.seed, law)]


def draw(
    board: Board, path: Path, minutes: Sequence[float] | None = None, processes: int = 1, *, every: bool = False
) -> None:
    """Draw the first scenario, dead time and seed of a board; the worst ten minutes of it.

    ``minutes`` are the beginning and the end to draw instead. ``every``: all laws, not just ours and the best peers.
    """
    plan = board.plan
    case, dead_time_s, seed = plan.cases[0], plan.dead_times_s[0], plan.seeds[0]

    def waste(law: str) -> float:
        one = board.scores[Trial(case.name, dead_time_s, seed, law)]
        return one.export_wh_h + one.missed_wh_h

    laws = list(plan.laws) if every else sorted(plan.laws, key=lambda law: (law != OURS, waste(law)))[: PEERS + 1]
    work = [(case, Trial(case.name, dead_time_s, seed, law)) for law in laws]
    records = dict(zip(laws, compute(record, work, min(processes, len(work))), strict=True))
    window_s = _worst(list(records.values())) if minutes is None else (minutes[0] * 60.0, minutes[1] * 60.0)
    with mpl.rc_context(STYLE):
        figure = _figure(_Shown(board, case, dead_time_s, seed, records, window_s))
        figure.savefig(path, dpi=110, facecolor="white")


def _worst(records: Sequence[Record]) -> tuple[float, float]:
    """The part in which the laws exported and missed most."""
    step_s, length = records[0].step_s, len(records[0].pv_w)
    so_far = [*accumulate((sum(wasted) for wasted in zip(*map(_wasted, records), strict=True)), initial=0.0)]
    per, every = round(WINDOW_S / step_s), round(WINDOW_EVERY_S / step_s)
    begin = max(range(0, max(1, length - per + 1), every), key=lambda i: so_far[min(length, i + per)] - so_far[i])
    return begin * step_s, min(length, begin + per) * step_s


def _wasted(one: Record) -> Iterator[float]:
    for pv_w, load_w, sun_w, gate in zip(one.pv_w, one.taken_w, one.feedable_w, one.gate, strict=True):
        yield abs((sun_w if gate else min(sun_w, load_w)) - pv_w)


def _figure(shown: _Shown) -> Figure:
    count = len(shown.records)
    laws = len(shown.board.plan.laws)
    height = max(1.3 + 1.75 * count, 5.0 + KEY_IN * (laws + 1) if laws > 1 else 4.0)
    figure = Figure(figsize=(15.0, height))
    grid = GridSpec(
        count,
        1,
        hspace=0.3,
        left=0.05,
        right=0.74 if laws > 1 else 0.985,
        bottom=0.55 / height,
        top=1.0 - HEAD_IN / height,
    )
    first: Axes | None = None
    for row, (law, one) in enumerate(shown.records.items()):
        axes = figure.add_subplot(grid[row], sharex=first, sharey=first)
        first = first or axes
        _series(axes, one, shown.window_s)
        _title(axes, law, shown.score(law))
        axes.tick_params(labelbottom=row == count - 1)
        axes.set_ylabel("W")
    assert first is not None, "a plan has laws"  # noqa: S101
    first.set_ylim(0.0, max(_height_w(one, shown.window_s) for one in shown.records.values()))
    first.set_xlim(shown.window_s[0] / 60.0, shown.window_s[1] / 60.0)
    figure.axes[-1].set_xlabel("minutes")
    _head(figure, shown, height)
    if laws > 1:
        _field(figure, shown, height)
    return figure


def _height_w(one: Record, window_s: tuple[float, float]) -> float:
    """Enough for all of the load, or for all of the sun where there is more load than that."""
    part = _part(one, window_s)
    return max(100.0, min(1.08 * max(one.taken_w[part]), 1.35 * max(one.feedable_w[part])))


def _part(one: Record, window_s: tuple[float, float]) -> slice:
    return slice(round(window_s[0] / one.step_s), round(window_s[1] / one.step_s))


def _series(axes: Axes, one: Record, window_s: tuple[float, float]) -> None:
    part = _part(one, window_s)
    pv_w, load_w, sun_w, gate = (values[part].tolist() for values in (one.pv_w, one.taken_w, one.feedable_w, one.gate))
    minutes = [(window_s[0] + i * one.step_s) / 60.0 for i in range(len(pv_w))]
    wanted = [value > 0.5 for value in gate]
    usable_w = [sun if gate else min(sun, load) for sun, load, gate in zip(sun_w, load_w, wanted, strict=True)]
    exports = [pv > load and not gate for pv, load, gate in zip(pv_w, load_w, wanted, strict=True)]
    misses = [pv < usable for pv, usable in zip(pv_w, usable_w, strict=True)]
    axes.fill_between(minutes, pv_w, usable_w, where=misses, color=MISSED, linewidth=0, interpolate=True)
    axes.fill_between(minutes, load_w, pv_w, where=exports, color=EXPORT, linewidth=0, interpolate=True, alpha=0.9)
    axes.plot(minutes, sun_w, color=SUN, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.plot(minutes, load_w, color=LOAD, linewidth=0.9)
    axes.plot(minutes, pv_w, color=PV, linewidth=1.3)
    if any(wanted):
        axes.fill_between(minutes, 0.0, 1e5, where=wanted, color=WANTED, alpha=0.12, linewidth=0)


def _title(axes: Axes, law: str, one: Score) -> None:
    weight = "bold" if law == OURS else "normal"
    axes.set_title(law, loc="left", fontsize=11, fontweight=weight, color=PV if law == OURS else LOAD, pad=4)
    text = f"export {one.export_wh_h:.1f} Wh/h    missed {one.missed_wh_h:.1f} Wh/h    {one.commands_h:.0f} commands/h"
    axes.set_title(text, loc="right", fontsize=9.5, color=MUTED, pad=4)


def _head(figure: Figure, shown: _Shown, height: float) -> None:
    scenario = shown.case.scenario()
    hours, title = scenario.seconds / 3600.0, f"{scenario.name}: {scenario.about}"
    length = f"{hours:.3g} hours" if hours > 2.0 else f"{60.0 * hours:.3g} minutes"
    figure.text(0.05, 1.0 - 0.3 / height, title, fontsize=14, fontweight="bold", va="center")
    house = f"dead time {shown.dead_time_s:g} s, seed {shown.seed}; figures of all {length}"
    if len(shown.records) < len(shown.board.plan.laws):
        house += "; beside the peers that waste least here"
    figure.text(0.05, 1.0 - 0.57 / height, house, fontsize=10, color=MUTED, va="center")
    handles = [
        Line2D([], [], color=LOAD, linewidth=1.2, label="household load" + " and battery" * shown.case.beside_battery),
        Line2D([], [], color=SUN, linewidth=1.4, linestyle=(0, (4, 2)), label="available sun"),
        Line2D([], [], color=PV, linewidth=1.8, label="PV power"),
        Patch(color=EXPORT, label="exported"),
        Patch(color=MISSED, label="missed"),
    ]
    if shown.case.gated:
        handles.append(Patch(color=WANTED, alpha=0.25, label="export wanted"))
    figure.legend(
        handles=handles, loc="center right", bbox_to_anchor=(0.985, 1.0 - 0.38 / height), ncols=6, frameon=False
    )


def _field(figure: Figure, shown: _Shown, height: float) -> None:
    """Exported against missed energy of every law that ran, and below it which is which."""
    board = shown.board
    laws = (REFERENCE, *sorted(board.plan.laws, key=lambda law: law != OURS))
    means = [standing(board, law, shown.dead_time_s, board.plan.cases).mean for law in laws]
    tall = min(4.6, height - HEAD_IN - 0.75 - KEY_IN * (len(laws) + 1))
    key_in = height - HEAD_IN - tall - 0.75
    axes = figure.add_axes((0.79, 1.0 - (HEAD_IN + tall) / height, 0.195, tall / height))
    xs, ys = [max(0.1, one.export_wh_h) for one in means], [max(0.1, one.missed_wh_h) for one in means]
    for number, x, y, law in reversed([*zip(range(len(laws)), xs, ys, laws, strict=True)]):
        _mark(axes, (x, y), number, law)
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("log")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlim(min(xs) / 1.5, max(xs) * 1.5)
    axes.set_ylim(min(ys) / 1.4, max(ys) * 1.4)
    axes.set_xlabel("exported, Wh/h")
    axes.set_ylabel("missed, Wh/h")
    axes.set_title(_of(board), loc="left", fontsize=11, pad=4)
    heads = [("", "", "exported", "missed")]
    rows = [(f"{i}", law, f"{means[i].export_wh_h:.1f}", f"{means[i].missed_wh_h:.1f}") for i, law in enumerate(laws)]
    for row, cells in enumerate(heads + rows):
        y = (key_in - KEY_IN * row) / height
        color = PV if cells[1] == OURS else LOAD if row else MUTED
        for text, x, align in zip(cells, (0.775, 0.784, 0.94, 0.985), ("right", "left", "right", "right"), strict=True):
            figure.text(x, y, text, ha=align, fontsize=9, color=color, weight="bold" if cells[1] == OURS else "normal")


def _mark(axes: Axes, point: tuple[float, float], number: int, law: str) -> None:
    color = PV if law == OURS else MUTED
    face, ink = ("white", MUTED) if law == REFERENCE else (color, "white")
    style = {"boxstyle": "circle,pad=0.25", "facecolor": face, "edgecolor": "white" if ink == "white" else color}
    axes.text(*point, f"{number}", ha="center", va="center", fontsize=8, weight="bold", color=ink, bbox=style, zorder=3)


def _of(board: Board) -> str:
    cases, seeds = board.closed or board.plan.cases, len(board.plan.seeds)
    of = f"mean of {len(cases)} scenarios" if len(cases) > 1 else cases[0].name
    return f"{of}, {seeds} seeds" if seeds > 1 else of
