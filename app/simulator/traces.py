"""Recorded loads and suns: values over time, from CSV files with rows of seconds and a value."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from statistics import median

GAP_ROWS = 5.0  # rows further apart than this many usual distances have a gap between them


@dataclass(frozen=True, slots=True)
class Trace:
    """Values over time, endlessly repeated. ``times_s`` rise.

    ``every_s`` is the usual distance of rows, and how long the last one counts. ``name`` is that of the values.
    """

    times_s: tuple[float, ...]
    values: tuple[float, ...]
    every_s: float = 1.0
    name: str = ""

    @property
    def seconds(self) -> float:
        """How long it takes to begin again."""
        return self.times_s[-1] - self.times_s[0] + self.every_s

    def held(self, at_s: float) -> float:
        """The last value until the next; ``at_s`` counts from the first row."""
        return self.values[self._row(self._time(at_s))]

    def between(self, at_s: float) -> float:
        """On the straight line from one value to the next, but held in gaps; ``at_s`` counts from the first row."""
        time_s = self._time(at_s)
        row = self._row(time_s)
        here, there = self.times_s[row], self.times_s[min(row + 1, len(self.times_s) - 1)]
        if not 0.0 < there - here <= GAP_ROWS * self.every_s:
            return self.values[row]
        share = (time_s - here) / (there - here)
        return self.values[row] * (1.0 - share) + self.values[row + 1] * share

    def _time(self, at_s: float) -> float:
        return self.times_s[0] + at_s % self.seconds

    def _row(self, time_s: float) -> int:
        return bisect_right(self.times_s, time_s + 1e-6) - 1


def parse_trace(lines: Iterable[str], source: str) -> Trace:
    """Read a header like ``t_s,load_w`` and its rows; lines that begin with # are comments.

    What is wrong is a `ValueError` that names ``source`` and the line.
    """
    name: str | None = None
    times_s: list[float] = []
    values: list[float] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split(",")]
        if line.startswith("#") or cells == [""]:
            continue
        if name is None:
            name = _header(cells, f"{source}:{number}")
            continue
        time_s, value = _row(cells, f"{source}:{number}")
        if times_s and time_s <= times_s[-1]:
            raise ValueError(f"{source}:{number}: the time {time_s:g} does not come after {times_s[-1]:g}")
        times_s.append(time_s)
        values.append(value)
    if name is None or len(times_s) < 2:
        raise ValueError(f"{source}:{number}: a trace needs a header, like t_s,load_w, and two rows at least")
    every_s = median(after - before for before, after in pairwise(times_s))
    return Trace(tuple(times_s), tuple(values), every_s, name)


def _header(cells: list[str], where: str) -> str:
    if len(cells) != 2 or cells[0] != "t_s":
        raise ValueError(f"{where}: the header has to name two columns, t_s and a value, like t_s,load_w")
    return cells[1]


def _row(cells: list[str], where: str) -> tuple[float, float]:
    if len(cells) != 2:
        raise ValueError(f"{where}: two columns are expected, not {len(cells)}")
    numbers = []
    for cell in cells:
        try:
            numbers.append(float(cell))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"{where}: {cell!r} is not a number")
    return numbers[0], numbers[1]


# Outside the pure part.


def read_trace(path: str | PathLike[str]) -> Trace:
    """The trace in a file. Raises OSError, and ValueError with file and line."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return parse_trace(file, str(path))
