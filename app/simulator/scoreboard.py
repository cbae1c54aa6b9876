"""Laws beside each other in the same houses: which trials to run, running them on every core, what they scored."""

from __future__ import annotations

import multiprocessing
import os
import signal
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from app.simulator.house import HouseConfig
from app.simulator.laws import Law
from app.simulator.laws.all_knowing import all_knowing
from app.simulator.laws.catalogue import LAWS, OURS, released_while_open
from app.simulator.models import MODELS
from app.simulator.parameters import LoadConfig, SunConfig
from app.simulator.scenarios import SCENARIOS, Scenario
from app.simulator.score import Score, reference, score
from app.simulator.traces import Trace, read_trace
from app.simulator.trial import Record, run

REFERENCE = "reference"
ALL_KNOWING = "all-knowing"
TARGET_W = 15.0  # the product's default
TRACE_S = 86_400.0  # how much of a longer trace is played
SHORT_S = 600.0
SPREAD = 0.618  # golden section: however many seeds there are, they begin all over a trace
FULL_SUN = 1.5  # edges of clouds reflect more than the clear sky; beyond this it was another unit

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario of the list, for ``seconds`` (None: its own time), or the default house with recorded traces.

    With traces the load is in watts, the sun in shares of full sun; what was not recorded is generated.
    """

    name: str
    seconds: float | None = None
    load: Trace | None = None
    sun: Trace | None = None

    @property
    def gated(self) -> bool:
        """Export is wanted some of the time."""
        return self.name in SCENARIOS and SCENARIOS[self.name].gated

    @property
    def beside_battery(self) -> bool:
        """A battery regulates as well."""
        return self.name in SCENARIOS and SCENARIOS[self.name].battery

    @property
    def bounds(self) -> tuple[str, ...]:
        """What the laws are held against: beside a battery also a law that knows everything."""
        return (REFERENCE, ALL_KNOWING) if self.beside_battery else (REFERENCE,)

    def scenario(self) -> Scenario:
        """What is played."""
        if not self._recorded:
            found = SCENARIOS[self.name]
            return found if self.seconds is None else replace(found, seconds=self.seconds)
        seconds = min(trace.seconds for trace in self._recorded)
        whats = (("recorded load", self.load), ("recorded sun", self.sun))
        about = " and ".join(what for what, trace in whats if trace is not None)
        return Scenario(self.name, about, self._house, seconds=self.seconds or min(TRACE_S, seconds))

    @property
    def _recorded(self) -> list[Trace]:
        return [trace for trace in (self.load, self.sun) if trace is not None]

    def _house(self, seed: int, dead_time_s: float) -> HouseConfig:
        house = SCENARIOS["household"].house(seed, dead_time_s)
        start_s = float(int((seed - 1) * SPREAD % 1.0 * self._recorded[0].seconds))
        if self.load is not None:
            house = replace(house, load=LoadConfig(trace=self.load, trace_start_s=start_s))
        if self.sun is not None:
            house = replace(house, sun=SunConfig(trace=self.sun, trace_start_s=start_s))
        return house


@dataclass(frozen=True, slots=True)
class Trial:
    """One law (or the reference) in one house."""

    case: str
    dead_time_s: float
    seed: int
    law: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Every case with every dead time, every seed and every law."""

    cases: tuple[Case, ...]
    dead_times_s: tuple[float, ...]
    seeds: tuple[int, ...]
    laws: tuple[str, ...]

    def jobs(self) -> Iterator[tuple[Case, Trial, bool]]:
        """What to run, and whether the reference is computed from it too."""
        for dead_time_s in self.dead_times_s:
            for case in self.cases:
                for seed in self.seeds:
                    for law in self.laws:
                        yield case, Trial(case.name, dead_time_s, seed, law), law == self.laws[0]

    @property
    def trials(self) -> int:
        """How many there are."""
        return len(self.cases) * len(self.dead_times_s) * len(self.seeds) * len(self.laws)


@dataclass(frozen=True, slots=True)
class Board:
    """What every trial scored."""

    plan: Plan
    scores: Mapping[Trial, Score]

    def of(self, law: str, dead_time_s: float, cases: Iterable[Case] | None = None) -> list[Score]:
        """The scores of one law at one dead time: every seed of these cases (default: of all)."""
        chosen = self.plan.cases if cases is None else cases
        return [self.scores[Trial(case.name, dead_time_s, seed, law)] for case in chosen for seed in self.plan.seeds]

    @property
    def closed(self) -> tuple[Case, ...]:
        """The cases in which export is never wanted."""
        return tuple(case for case in self.ordinary if not case.gated)

    @property
    def ordinary(self) -> tuple[Case, ...]:
        """Those without a battery, which every law was made for."""
        return tuple(case for case in self.plan.cases if not case.beside_battery)


def short_plan(laws: tuple[str, ...] = (OURS,)) -> Plan:
    """Ten minutes of every scenario, all of the dawn, with two seeds: what is checked after each change."""
    return Plan(
        tuple(Case(name, None if name == "dawn" else SHORT_S) for name in SCENARIOS), (1.0, 3.0, 10.0), (1, 2), laws
    )


def traced(load: Path | None, sun: Path | None, seconds: float | None) -> Case:
    """A case made of CSV files, named after the first. Raises OSError, and ValueError in words for their user."""
    found = [None if path is None else read_trace(path) for path in (load, sun)]
    for path, trace, low, high, unit in (
        (load, found[0], 20.0, 1e6, "the load in watts"),
        (sun, found[1], 0.0, FULL_SUN, "shares of full sun: 1.0 is full sun"),
    ):
        if trace is None:
            continue
        least, most = min(trace.values), max(trace.values)
        if least < 0.0 or not low < most <= high:
            raise ValueError(f"{path}: values from {least:g} to {most:g}; it has to be {unit}")
    name = next(path.stem for path in (load, sun) if path is not None)
    return Case(f"{name} (file)" if name in SCENARIOS else name, seconds, found[0], found[1])


def law_for(name: str, scenario: Scenario) -> Law:
    """The law as it is run in a scenario: the peers know no prices, and are paused while export is wanted."""
    law = LAWS[name]()
    return released_while_open(law) if scenario.gated and name != OURS else law


def record(job: tuple[Case, Trial]) -> Record:
    """Run one trial."""
    case, trial = job
    scenario = case.scenario()
    return run(scenario, law_for(trial.law, scenario), trial.seed, trial.dead_time_s)


def play(job: tuple[Case, Trial, bool]) -> list[tuple[Trial, Score]]:
    """Run one trial and judge it, with the reference where that is asked for."""
    case, trial, with_reference = job
    scenario, found = case.scenario(), record((case, trial))
    house = scenario.house(trial.seed, trial.dead_time_s)
    least_w = sum(max(20.0, 0.03 * MODELS[one.model].rated_w) for one in house.inverters)
    scores = [(trial, score(found, TARGET_W, least_w, scenario.steps_s))]
    if with_reference:
        best = reference(_settled(found, least_w), house, TARGET_W, least_w)
        scores.append((replace(trial, law=REFERENCE), score(best, TARGET_W, least_w, scenario.steps_s)))
        if case.beside_battery:
            best = run(scenario, all_knowing, trial.seed, trial.dead_time_s)
            scores.append((replace(trial, law=ALL_KNOWING), score(best, TARGET_W, least_w, scenario.steps_s)))
    return scores


def _settled(found: Record, least_w: float) -> Record:
    """The same, but beginning where it should be: the reference begins there, whatever law it is computed from."""
    wanted_w = found.feedable_w[0] if found.gate[0] else found.load_w[0] - TARGET_W
    return replace(found, pv_w=array("d", [min(found.feedable_w[0], max(least_w, wanted_w))]))


def cores() -> int:
    """How many processes this one may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute(function: Callable[[T], R], work: Iterable[T], processes: int) -> Iterator[R]:
    """The results in order, computed by so many processes. Raises BrokenProcessPool when one of them is killed."""
    if processes == 1:
        yield from map(function, work)
        return
    # spawned, since forks of programs with threads can hang; Ctrl-C reaches every process, and ends these in silence
    context = multiprocessing.get_context("spawn")
    quiet = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(processes, context, initializer=signal.signal, initargs=quiet) as pool:
        try:
            yield from pool.map(function, work)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def play_all(plan: Plan, processes: int, progress: Callable[[int], None] = lambda _done: None) -> Board:
    """Run the whole plan. ``progress`` is told how many trials are done."""
    scores: dict[Trial, Score] = {}
    for done, found in enumerate(compute(play, plan.jobs(), processes), start=1):
        scores.update(found)
        progress(done)
    return Board(plan, scores)
