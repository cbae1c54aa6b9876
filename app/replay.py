"""Re-runs the pure core on recorded ticks, and shows where it decides otherwise than it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.control import Controller, ControlSettings
from app.differences import KINDS, WARM_UP_S, Difference, Report, differs
from app.differences import count as in_words
from app.model import Snapshot, Tick
from app.recording import Header, Note, RecordingError, TickLine, decode

__all__ = ["SHOWN", "RecordingError", "Report", "replay"]

SHOWN = 10
CHUNK_BYTES = 512  # where a file is damaged, what was read with the damage is lost


def replay(paths: Sequence[Path], settings: ControlSettings | None = None, *, keep: int | None = SHOWN) -> Report:
    """Step the core through the recordings, with other ``settings`` where given; keeps the first differences.

    Raises `RecordingError` for a file that cannot be read, and where there is nothing to compare.
    """
    work = _Replay(settings, keep)
    for path in _files(paths):
        for item in _read(path):
            work.take(item, path.name)
    return work.report()


class _Replay:
    """A controller going through the lines of one file after the other, and what it finds on the way."""

    def __init__(self, settings: ControlSettings | None, keep: int | None) -> None:
        self._settings = settings
        self._keep = keep
        self._controller: Controller | None = None
        self._headers: list[Header] = []
        self._runs = 0
        self._next = ("", 0)  # the run and the index at which its next segment goes on
        self._warm_s: float | None = None
        self._count: Counter[str] = Counter()
        self._span_s: tuple[float, float] | None = None
        self._differences: list[Difference] = []
        self._notes: list[str] = []

    def take(self, item: Header | TickLine | Note, file: str) -> None:
        """Go on with one line."""
        if isinstance(item, Note):
            self._notes.append(item.text)
        elif isinstance(item, Header):
            self._begin(item)
        else:
            self._step(item.tick, f"{file}:{item.number}")

    def _begin(self, header: Header) -> None:
        self._headers.append(header)
        if (header.run, header.index) == self._next:
            return  # the same controller goes on, with its memory
        self._runs += 1
        self._controller = Controller(self._settings or header.settings)
        self._next = (header.run, header.index)
        self._warm_s = float("-inf") if header.from_start and header.index == 0 else None

    def _step(self, tick: Tick, where: str) -> None:
        snapshot, recorded = tick.snapshot, tick.decision
        assert self._controller is not None, "a file begins with a header"  # noqa: S101
        if self._warm_s is None:
            self._warm_s = snapshot.now_s + WARM_UP_S
            self._controller.step(_before(snapshot))
        now = self._controller.step(snapshot)
        self._next = (self._next[0], self._next[1] + 1)
        self._span_s = (self._span_s[0] if self._span_s else snapshot.utc_s, snapshot.utc_s)
        what = differs(recorded, now)
        self._count["ticks"] += 1
        if snapshot.now_s < self._warm_s:
            self._count["warm_up"] += 1
            self._count["ignored"] += bool(what)
            return
        self._count["recorded"] += len(recorded.commands)
        self._count["now"] += len(now.commands)
        if what:
            self._count.update(("differing", *what))
            if self._keep is None or len(self._differences) < self._keep:
                reading = snapshot.meter.reading
                grid_w = reading.power_w if reading is not None else None
                self._differences.append(Difference(where, snapshot.utc_s, what, grid_w, recorded, now))

    def report(self) -> Report:
        """What was found."""
        count = self._count
        if self._span_s is None:
            raise RecordingError("\n".join([*self._notes, "there is no tick in it"]))
        if count["warm_up"] == count["ticks"]:
            raise RecordingError(
                f"nothing to compare: this does not begin with the start of the program, and a controller that starts "
                f"in the middle needs {WARM_UP_S:.0f} s to learn; there are {in_words(count['ticks'], 'tick')}"
            )
        headers = self._headers
        return Report(
            sites=_each(header.site for header in headers),
            inverters=_each(serial for header in headers for serial in header.inverters),
            versions=_each(header.app for header in headers),
            segments=len(headers),
            runs=self._runs,
            ticks=count["ticks"],
            from_utc_s=self._span_s[0],
            to_utc_s=self._span_s[1],
            warm_up_ticks=count["warm_up"],
            ignored=count["ignored"],
            commands_recorded=count["recorded"],
            commands_now=count["now"],
            differing=count["differing"],
            kinds={kind: count[kind] for kind in KINDS},
            differences=tuple(self._differences),
            notes=tuple(self._notes),
        )


def _before(snapshot: Snapshot) -> Snapshot:
    """What a program that has just started sees: nothing read, nothing commanded. The limits in force are news then."""
    inverters = tuple(replace(state, commanded_w=None, commanded_at_s=None) for state in snapshot.inverters)
    return replace(
        snapshot,
        now_s=snapshot.now_s - 1.0,
        utc_s=snapshot.utc_s - 1.0,
        meter=replace(snapshot.meter, reading=None, fault=None, good_in_a_row=0),
        inverters=inverters,
    )


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            if not path.is_dir():
                yield path
                continue
            found = sorted(file for file in path.iterdir() if file.name.endswith((".jsonl", ".jsonl.gz")))
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
        if not found:
            raise RecordingError(f"{path}: there is no recording in this folder (*.jsonl.gz)")
        yield from found


def _read(path: Path) -> Iterator[Header | TickLine | Note]:
    try:
        with path.open("rb") as file:
            yield from decode(iter(partial(file.read, CHUNK_BYTES), b""), str(path))
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None


def _each(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
