"""The scorecard: what each row injects and expects, and where what was measured is kept."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.conftest import PATIENCE

FILE = "FAULTS_ROWS"  # environment: where rows are appended as lines of JSON
FULL = "FAULTS_FULL"  # environment: 1 runs the long variants too


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row before it is run."""

    number: int
    fault: str
    injected: str
    expected: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was run. ``verdict``: pass, part (``measured`` says what and why) or FAIL."""

    number: int
    measured: str
    verdict: str


def _scenarios(text: str) -> dict[int, Scenario]:
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    return {int(number): Scenario(int(number), *rest) for number, *rest in cells}


SCENARIOS = _scenarios((Path(__file__).parent / "rows.txt").read_text(encoding="utf-8"))


def full() -> bool:
    """Whether the long variants are wanted."""
    return os.environ.get(FULL) == "1"


def slack() -> float:
    """By how much a figure of time may miss its row: not at all where the rows are measured (`make faults`).

    Beside other tests, on a machine that is nobody's own, the time that something takes is no measure.
    """
    return 1.0 if os.environ.get(FILE) else PATIENCE


def within(time_s: float) -> float:
    """The longest that something may take."""
    return time_s * slack()


def at_least(rate_hz: float) -> float:
    """The lowest rate of something that may be slowed down."""
    return rate_hz / slack()


@dataclass(slots=True)
class Card:
    """The row of one test. Call it with each figure; a wrong one fails the test."""

    number: int
    found: list[str] = field(default_factory=list)
    shortfall: bool = False

    def __call__(self, measured: str, ok: bool) -> None:
        self.found.append(measured)
        assert ok, f"row {self.number}: {measured}; expected: {SCENARIOS[self.number].expected}"

    def reached(self, measured: str, why: str) -> None:
        """Less than expected, and known to be: the row says so."""
        self.found.append(f"{measured}: {why}")
        self.shortfall = True

    def close(self, error: str | None) -> None:
        """Append the row to the file, where one is wanted."""
        path = os.environ.get(FILE)
        if not path:
            return
        verdict = "FAIL" if error else "part" if self.shortfall else "pass"
        measured = "; ".join(self.found) or f"not measured: {error}"
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(Row(self.number, measured, verdict))) + "\n")
