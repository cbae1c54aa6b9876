"""What was written when, and what should be in force: one file for the controller and the command line together."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.enphase.ensemble.actions import Action, Automatic, Grid, is_tariff
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.effect import checks_s
from app.files import put_aside, replace_file
from app.model import Mode

TARIFF_INTERVAL_S = 60.0
DAY_S = 86_400.0
MOST = 200  # things that are remembered
LOCKED_S = 5.0  # another process holds the file for a moment only


class TooSoonError(Exception):
    """A write that would come too soon; the sentence says when it may."""

    def __init__(self, text: str, wait_s: float) -> None:
        super().__init__(text)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Expected:
    """An action that was written. ``checks``: how often it was looked at since; ``seen``: it was in force then."""

    action: Action
    written_utc_s: float
    checks: int = 0
    seen: bool = False
    complaint: str | None = None
    since_utc_s: float | None = None

    def due_utc_s(self) -> float | None:
        """When it is to be looked at next; None: no more."""
        times = checks_s(self.action)
        return self.written_utc_s + times[self.checks] if self.checks < len(times) else None


@dataclass(frozen=True, slots=True)
class Journal:
    """``written``: by what was set, when. ``tariff``: each write of the tariff in the last 24 h.

    ``mode``: that whose actions were all done last.
    """

    written: dict[str, float] = field(default_factory=dict)
    tariff: tuple[float, ...] = ()
    expected: dict[str, Expected] = field(default_factory=dict)
    mode: Mode | None = None

    def noted(self, action: Automatic | Grid, config: EnsembleConfig, utc_s: float) -> Journal:
        """The same with a write of now. Raises `TooSoonError`. A return to the grid never waits."""
        written = {key: min(at, utc_s) for key, at in self.written.items() if utc_s - at < DAY_S}  # a clock set back
        tariff = tuple(min(at, utc_s) for at in self.tariff if utc_s - at < DAY_S)
        if not is_tariff(action) and not (isinstance(action, Grid) and action.state == "on"):
            _spaced(action, written.get(action.target), config.min_write_interval_s, utc_s)
        if is_tariff(action):
            _spaced(action, max(tariff, default=None), max(TARIFF_INTERVAL_S, config.min_write_interval_s), utc_s)
            if len(tariff) >= config.tariff_writes_per_day:
                wait_s = sorted(tariff)[-config.tariff_writes_per_day] + DAY_S - utc_s
                raise TooSoonError(
                    f"{action}: storage settings were written {len(tariff)} times in the last 24 h, and "
                    f"enphase.ensemble.tariff_writes_per_day allows {config.tariff_writes_per_day}: "
                    f"try again in {wait_s / 3600:.1f} h",
                    wait_s,
                )
            tariff = (*tariff, utc_s)
        written |= {action.target: utc_s}
        newest = sorted(written.items(), key=lambda item: item[1])[-MOST:]
        return replace(self, written=dict(newest), tariff=tariff)

    def expecting(self, action: Automatic | Grid, utc_s: float) -> Journal:
        """The same with an action that the gateway took; it replaces what was expected of the same thing."""
        kept = dict(list(self.expected.items())[-MOST:])
        return replace(self, expected=kept | {action.target: Expected(action, utc_s)})

    def settled(self, target: str) -> Journal:
        """The same, expecting nothing of that thing."""
        return replace(self, expected={key: one for key, one in self.expected.items() if key != target})


def _spaced(action: Automatic | Grid, last_utc_s: float | None, interval_s: float, utc_s: float) -> None:
    wait_s = interval_s - (utc_s - last_utc_s) if last_utc_s is not None else 0.0
    if wait_s > 0:
        what = "storage settings were" if is_tariff(action) else "it was"
        raise TooSoonError(
            f"{action}: {what} written {utc_s - (last_utc_s or 0.0):.0f} s ago, and two writes are at least "
            f"{interval_s:g} s apart: try again in {wait_s:.0f} s",
            wait_s,
        )


class JournalFile:
    """The file. Each change reads and writes it while no other process can: two could both be the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._json: TypeAdapter[Journal] = TypeAdapter(Journal)

    async def read(self) -> Journal:
        """What is kept; a damaged file is kept aside."""
        return await asyncio.to_thread(self._read)

    async def change(self, change: Callable[[Journal], Journal]) -> Journal:
        """Replace what is kept. Raises what ``change`` raises, and OSError where the file cannot be written."""
        async with self._lock:
            return await asyncio.to_thread(self._change, change)

    def _change(self, change: Callable[[Journal], Journal]) -> Journal:
        with self._alone():
            before = self._read()
            after = change(before)
            if after != before:
                replace_file(self._path, self._json.dump_json(after, indent=1))
            return after

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises OSError where another process does not let go."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            until_s = time.monotonic() + LOCKED_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until_s:
                        raise
                    time.sleep(0.02)
            yield
        finally:
            os.close(lock)

    def _read(self) -> Journal:
        try:
            return self._json.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Journal()
        except (OSError, ValidationError) as error:
            why = "it is no such file" if isinstance(error, ValidationError) else error.strerror
            put_aside(self._path, why, "writes of before are not known")
            return Journal()
