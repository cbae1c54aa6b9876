"""What must not be learned again after each start: how long each inverter takes to follow a limit."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from app.control.deadtime import DeadTime
from app.files import put_aside, replace_file

log = logging.getLogger(__name__)

SAVE_EVERY_S = 900.0
WORTH_SAVING = 0.1  # a smaller change is none
EVIDENCE, WIDEST = 20.0, 3.0  # what was learned while running counts with this much, and the range no wider
PLAUSIBLE_S = (0.05, 60.0)
Source = Literal["step test", "running"]


@dataclass(frozen=True, slots=True)
class Learned:
    """One dead time. ``evidence``: how much it rests on; steps, or what the law counts while running."""

    dead_time_s: float
    evidence: float
    source: Source
    at: str


class LearnedStore:
    """The dead times by serial, in a file that is replaced as a whole."""

    def __init__(self, path: Path, utc: Callable[[], float] = time.time) -> None:
        self._path = path
        self._utc = utc
        self._known = self._read()
        self._saved = dict(self._known)
        self._due = asyncio.Event()

    def dead_times(self) -> dict[str, float]:
        """Seconds by serial."""
        return {serial: learned.dead_time_s for serial, learned in self._known.items()}

    def measured(self, serial: str, dead_time_s: float, steps: int) -> None:
        """Note the outcome of a step test; `run` stores it soon."""
        self._note(serial, dead_time_s, float(steps), "step test")
        self._due.set()

    def observe(self, dead_times: Mapping[str, DeadTime]) -> None:
        """Note what the law has learned since, where it is sure and something new."""
        for serial, found in dead_times.items():
            low_s, high_s = found.range_s
            if found.evidence < EVIDENCE or not 0.0 < high_s <= WIDEST * low_s:
                continue
            known = self._known.get(serial)
            if known is None or abs(found.likely_s - known.dead_time_s) > WORTH_SAVING * known.dead_time_s:
                self._note(serial, found.likely_s, found.evidence, "running")

    async def run(self, dead_times: Callable[[], Mapping[str, DeadTime]]) -> None:
        """Store what is new, every quarter of an hour and after a step test, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY_S):
                    await self._due.wait()
            self._due.clear()
            await self.close(dead_times())

    async def close(self, dead_times: Mapping[str, DeadTime]) -> None:
        """Store what is new."""
        self.observe(dead_times)
        if self._known != self._saved:
            self._saved = dict(self._known)
            await asyncio.to_thread(self.save)

    def save(self) -> None:
        """Write the file; a failure is logged, and what was learned is learned again next time."""
        content = {serial: asdict(learned) for serial, learned in self._saved.items()}
        try:
            replace_file(self._path, json.dumps(content, indent=1).encode())
        except OSError as error:
            log.error("cannot save what was learned to %s: %s", self._path, error)

    def _note(self, serial: str, dead_time_s: float, evidence: float, source: Source) -> None:
        at = datetime.fromtimestamp(self._utc(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._known[serial] = Learned(round(dead_time_s, 2), round(evidence, 1), source, at)
        log.info("%s follows its limit after %.1f s (%s)", serial, dead_time_s, source)

    def _read(self) -> dict[str, Learned]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            if not isinstance(stored, dict):
                raise ValueError("it holds no object")  # noqa: TRY004 - for the file it is a wrong value
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            put_aside(self._path, error, "learning anew")
            return {}
        found = {serial: _learned(entry) for serial, entry in stored.items()}
        for serial in [serial for serial, learned in found.items() if learned is None]:
            log.warning("ignoring what %s says about %r", self._path, serial)
        return {serial: learned for serial, learned in found.items() if learned is not None}


def _learned(entry: Any) -> Learned | None:
    """A stored entry, None where it cannot be used."""
    if not isinstance(entry, dict):
        return None
    dead_time_s, evidence = _number(entry.get("dead_time_s")), _number(entry.get("evidence"))
    if dead_time_s is None or not PLAUSIBLE_S[0] <= dead_time_s <= PLAUSIBLE_S[1]:
        return None
    source: Source = "step test" if entry.get("source") == "step test" else "running"
    return Learned(dead_time_s, evidence or 0.0, source, str(entry.get("at")))


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None
