"""``zero-export simulate``: plans, runs and prints."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TextIO

from app.simulator import report
from app.simulator.laws.catalogue import LAWS
from app.simulator.scenarios import SCENARIOS
from app.simulator.scoreboard import SHORT_S, Case, Plan, cores, play_all, short_plan, traced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OK, FAILURE, WRONG = 0, 1, 2
PICTURES = (".png", ".svg", ".pdf")
NO_MATPLOTLIB = "--plot needs matplotlib: pip install 'matplotlib>=3.9' (or use make simulate, which brings it)"


class Wrong(Exception):  # noqa: N818 - what the user wrote is wrong, not the program
    """What is asked for does not exist; the text says what does."""


def simulate(options: argparse.Namespace) -> int:
    """Run what is asked for and print it."""
    if options.list:
        _print(report.catalogue())
        return OK
    try:
        plan = plan_for(options)
        _check_plot(options, plan)
    except (Wrong, ValueError) as error:
        print_error(str(error))
        return WRONG
    except OSError as error:
        print_error(f"{error.filename}: {error.strerror}")
        return WRONG
    if options.plot is not None and importlib.util.find_spec("matplotlib") is None:
        print_error(NO_MATPLOTLIB)
        return FAILURE
    try:
        return _simulate(plan, options)
    except BrokenProcessPool:
        print_error("a process was killed from outside (too little memory?): try --jobs 1")
        return FAILURE


def _simulate(plan: Plan, options: argparse.Namespace) -> int:
    processes = min(options.jobs or cores(), plan.trials)
    board = play_all(plan, processes, Progress(plan.trials, sys.stderr))
    _print(json.dumps(report.as_json(board), indent=1) if options.json else report.table(board, every=options.all))
    if options.plot is not None:
        from app.simulator import plot  # noqa: PLC0415 - matplotlib is optional, and slow to import

        try:
            plot.draw(board, options.plot, options.window, processes, every=bool(options.law))
        except OSError as error:
            print_error(f"{options.plot}: {error.strerror}")
            return FAILURE
        print_error(f"{options.plot}: drawn")
    return OK


def plan_for(options: argparse.Namespace) -> Plan:
    """What the options ask for. Raises `Wrong`, OSError and ValueError (a CSV file)."""
    brief = short_plan()
    seconds = options.hours * 3600.0 if options.hours else None
    cases = []
    if options.load or options.pv:
        cases.append(traced(options.load, options.pv, seconds or (SHORT_S if options.short else None)))
    if options.scenario or not cases:
        names = _known(options.scenario, SCENARIOS, "scenario")
        usual = {case.name: case for case in brief.cases} if options.short else {}
        cases += [Case(name, seconds) if seconds else usual.get(name, Case(name)) for name in names]
    laws = _known(options.law, LAWS, "law") if options.law or not options.short else brief.laws
    seeds = options.seed or (
        range(1, options.seeds + 1) if options.seeds else brief.seeds if options.short else range(1, 6)
    )
    dead_times_s = options.dead_time or brief.dead_times_s
    return Plan(tuple(cases), tuple(dict.fromkeys(dead_times_s)), tuple(dict.fromkeys(seeds)), tuple(laws))


def _known(given: Sequence[str] | None, known: Iterable[str], what: str) -> list[str]:
    """What is meant by these names, in whatever case they are written; None means all."""
    if given is None:
        return list(known)
    by_name = {name.lower(): name for name in known}
    for name in given:
        if name.lower() not in by_name:
            raise Wrong(f"simulate: there is no {what} {name!r}; there are: {', '.join(by_name.values())}")
    return list(dict.fromkeys(by_name[name.lower()] for name in given))


def _check_plot(options: argparse.Namespace, plan: Plan) -> None:
    """Before minutes of work are in vain."""
    if options.plot is None:
        if options.window is not None:
            raise Wrong("simulate: --window belongs to --plot")
        return
    if options.plot.suffix.lower() not in PICTURES:
        raise Wrong(f"simulate: {options.plot}: the picture's name has to end in one of {', '.join(PICTURES)}")
    if not options.plot.parent.is_dir():
        raise Wrong(f"simulate: {options.plot}: there is no folder {options.plot.parent}")
    last = plan.cases[0].scenario().seconds / 60.0
    if options.window is not None and not 0.0 <= options.window[0] < options.window[1] <= last:
        raise Wrong(f"simulate: --window wants two minutes between 0 and {last:g}, the earlier one first")


class Progress:
    """A bar on a terminal; elsewhere a line for every tenth."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._total, self._out, self._bar = total, out, out.isatty()
        self._started_s, self._tenth = time.monotonic(), 0

    def __call__(self, done: int) -> None:
        """So many are done."""
        took_s, full = time.monotonic() - self._started_s, 30 * done // self._total
        if self._bar:
            left = f"{took_s / done * (self._total - done):.0f} s left" if done < self._total else f"{took_s:.0f} s"
            self._out.write(f"\r[{'#' * full}{'.' * (30 - full)}] {done}/{self._total}  {left}\x1b[K")
            self._out.write("\n" if done == self._total else "")
        elif 10 * done // self._total > self._tenth:
            self._tenth = 10 * done // self._total
            self._out.write(f"{done}/{self._total} trials, {took_s:.0f} s\n")
        self._out.flush()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def print_error(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(text + "\n")
