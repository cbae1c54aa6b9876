"""What waits for InfluxDB, on disk: bounded, in order, and whole after a crash. Synchronous; used from one thread.

Points that nothing replaces later go the fast way: the newest are sent at once, older ones beside them. A point that
takes the place of one with its time stamp must not be overtaken by it, so those have lanes of their own, which keep
their order strictly.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app.model import Fault
from app.telemetry.lane import Lane, Segment
from app.telemetry.points import LASTING, REPLACED
from app.telemetry.quarantine import Quarantine
from app.telemetry.segment import MAX_B, MAX_LINES, frame, parse_name, room_b
from app.telemetry.troubles import spool_fault

POINTS, REVISED, LASTING_POINTS = "points", "revised", "lasting"
LANES = (POINTS, REVISED, LASTING_POINTS)  # what gives way first, first
BATCH_LINES = 500
MEMORY_B = 8 * MAX_B  # about two hours of points
RETRY_S = 5.0
PROBE_B = 65_536
SYNC_S = 60.0
BACKLOG_S = 10.0  # what has waited for longer waits for a server that is away
TOLD_S = 600.0  # how long a loss is told after the last one


def lane_of(measurement: str) -> str:
    """The lane of a measurement's points."""
    if measurement in LASTING:
        return LASTING_POINTS
    return REVISED if measurement in REPLACED else POINTS


@dataclass(frozen=True, slots=True)
class SpoolState:
    """How the spool stands. ``used_b`` of at most ``room_b`` are on the disk; ``held_lines`` are in memory only."""

    pending: int = 0
    oldest_utc_s: float | None = None
    used_b: int = 0
    room_b: int = 0
    dropped: int = 0
    held_lines: int = 0
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """Lines that are sent together, and the segments that may go when the server has taken them."""

    lane: str
    segments: tuple[Segment, ...]
    lines: tuple[bytes, ...]


class Spool:
    """Every line that `accept` has returned for outlives this process, as long as the disk takes it."""

    def __init__(
        self,
        folder: Path,
        cap_b: int,
        *,
        utc_s: Callable[[], float] = time.time,
        now_s: Callable[[], float] = time.monotonic,
        disk: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    ) -> None:
        self.state = SpoolState(room_b=cap_b)
        self._folder = folder
        self._cap_b = self._room_b = cap_b
        self._utc_s, self._now_s, self._disk = utc_s, now_s, disk
        self._lanes = {name: Lane(folder / name, in_order=name != POINTS) for name in LANES}
        self._quarantine = Quarantine(folder)
        self._lock = -1
        self._trouble: OSError | None = None
        self._not_before_s = -RETRY_S
        self._synced_s = now_s() - SYNC_S
        self._dropped = 0
        self._dropped_s: float | None = None

    def accept(self, lane: str, lines: Sequence[str]) -> None:
        """Keep lines: on the disk, or in memory while the disk does not take them."""
        utc_ms = round(self._utc_s() * 1000.0)
        for start in range(0, len(lines), BATCH_LINES):
            batch = lines[start : start + BATCH_LINES]
            data = frame(batch, utc_ms)
            try:
                self._ready()
                self._lanes[lane].append(data, len(batch), utc_ms, on_disk=True)
            except OSError as error:
                self._fail(error)
                self._lanes[lane].append(data, len(batch), utc_ms, on_disk=False)
        self._bound()
        self._tell()

    def newest(self, lane: str) -> Parcel | None:
        """What came since the last time."""
        return self._parcel(lane, self._lanes[lane].newest)

    def oldest(self, lane: str, max_lines: int = MAX_LINES) -> Parcel | None:
        """What has waited longest and is not under way."""
        return self._parcel(lane, lambda: self._lanes[lane].oldest(max_lines))

    def done(self, parcel: Parcel) -> None:
        """The server has it, or never will."""
        self._forget(parcel.lane, parcel.segments, len(parcel.lines))
        self._tell()

    def give_back(self, parcel: Parcel) -> None:
        """It was not taken, and waits with all others."""
        for segment in parcel.segments:
            segment.sent = False

    def tend(self) -> None:
        """What has to be done now and then: try the disk again, make what waits safe from a power cut, pack it."""
        try:
            self._ready()
            oldest_utc_s, now_s = self.state.oldest_utc_s, self._now_s()
            waits = oldest_utc_s is not None and self._utc_s() - oldest_utc_s >= BACKLOG_S
            if waits and now_s - self._synced_s >= SYNC_S:
                for lane in self._lanes.values():
                    lane.sync()
                self._synced_s = now_s
        except OSError as error:
            self._fail(error)
        else:
            with suppress(OSError):  # then it stays as large as it is; what cannot be appended is told
                any(lane.pack(round(self._utc_s() * 1000.0)) for lane in self._lanes.values())
        self._bound()
        self._tell()

    def close(self) -> int:
        """Let go of the files; returns how many lines are lost because no disk took them."""
        with suppress(OSError):
            self._not_before_s = -RETRY_S
            self._ready()
            for lane in self._lanes.values():
                lane.sync()
        self._tell()
        for lane in self._lanes.values():
            lane.close()
        self._let_go()
        return self.state.held_lines

    def quarantine(self, lines: Sequence[bytes], why: str) -> None:
        """Keep lines that the server cannot use, with its reason."""
        self._quarantine.refused(lines, why, self._utc_s())

    def _ready(self) -> None:
        """Raises OSError while the disk cannot be used; what was held in memory is written when it can again."""
        if self._lock >= 0 and self._trouble is None:
            return
        if self._now_s() < self._not_before_s and self._trouble is not None:
            raise self._trouble
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # points hold links that switch
        if not (self._folder / "lock").exists():  # somebody has deleted all of it
            self._let_go()
        if self._lock < 0:
            self._take_over()
        if self._trouble is not None:
            self._probe()
        for lane in self._lanes.values():
            lane.folder.mkdir(parents=True, exist_ok=True)
            lane.write_out()
        self._trouble = None

    def _let_go(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            fcntl.flock(lock, fcntl.LOCK_UN)  # also where a child that is just starting has it open
            os.close(lock)

    def _probe(self) -> None:
        """Raises OSError where a small file cannot be written."""
        probe = self._folder / "probe.tmp"
        try:
            probe.write_bytes(bytes(PROBE_B))
        finally:
            probe.unlink(missing_ok=True)

    def _take_over(self) -> None:
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for lane in self._lanes.values():
                lane.load()
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _fail(self, error: OSError) -> None:
        if error is not self._trouble:
            self._trouble = error
            self._not_before_s = self._now_s() + RETRY_S

    def _bound(self) -> None:
        """Let the oldest go where there is no room."""
        with suppress(OSError):
            total_b, _, free_b = self._disk(self._folder)
            self._room_b = room_b(self._cap_b, self._used_b(), free_b, total_b)
        while self._used_b() > self._room_b and self._drop(held=False):
            pass
        while self._held_b() > MEMORY_B and self._drop(held=True):
            pass

    def _drop(self, *, held: bool) -> bool:
        for lane in self._lanes.values():
            if (lines := lane.drop_oldest(held=held)) is not None:
                self._lost(lines)
                return True
        return False

    def _lost(self, lines: int) -> None:
        if lines > 0:
            self._dropped += lines
            self._dropped_s = self._now_s()

    def _parcel(self, name: str, take: Callable[[], list[Segment]]) -> Parcel | None:
        while segments := take():
            parcel = Parcel(name, tuple(segments), ())
            try:
                parcel = replace(parcel, lines=tuple(self._lines(name, segments)))
            except OSError as error:
                self._fail(error)
                self.give_back(parcel)
                break
            if parcel.lines:
                return parcel
            self._forget(name, segments, 0)
        self._tell()
        return None

    def _lines(self, lane: str, segments: Sequence[Segment]) -> Iterator[bytes]:
        for segment in segments:
            batches, damaged = self._lanes[lane].read(segment)
            self._quarantine.damaged(f"{lane}-{segment.name}", damaged)
            for batch in batches:
                yield from batch.payload.split(b"\n")[:-1]

    def _forget(self, lane: str, segments: Sequence[Segment], lines: int) -> None:
        self._lost(sum(segment.lines for segment in segments) - lines)
        for segment in segments:
            self._lanes[lane].forget(segment)

    def _used_b(self) -> int:
        return sum(s.size_b for lane in self._lanes.values() for s in lane.segments if s.held is None)

    def _held_b(self) -> int:
        return sum(s.size_b for lane in self._lanes.values() for s in lane.segments if s.held is not None)

    def _tell(self) -> None:
        segments = [segment for lane in self._lanes.values() for segment in lane.segments]
        oldest_ms = min((segment.utc_ms for segment in segments if segment.utc_ms), default=None)
        used_b = sum(segment.size_b for segment in segments if segment.held is None)
        self.state = SpoolState(
            pending=sum(segment.lines for segment in segments),
            oldest_utc_s=None if oldest_ms is None else oldest_ms / 1000.0,
            used_b=used_b,
            room_b=self._room_b,
            dropped=self._dropped,
            held_lines=sum(segment.lines for segment in segments if segment.held is not None),
            fault=self._fault(used_b),
        )

    def _fault(self, used_b: int) -> Fault | None:
        found = spool_fault(
            str(self._folder),
            self._trouble,
            used_b=used_b,
            room_b=self._room_b,
            cap_b=self._cap_b,
            dropped=self._dropped,
            just_lost=self._dropped_s is not None and self._now_s() - self._dropped_s < TOLD_S,
        )
        before = self.state.fault
        since_s = self._utc_s() if before is None else before.since_utc_s
        return None if found is None else replace(found, since_utc_s=since_s)


def waiting(folder: Path) -> tuple[int, float | None]:
    """What waits in the spool at ``folder`` without using it: bytes, and the time of the oldest file that waits."""
    size_b, oldest_utc_s = 0, None
    for path in (path for lane in LANES for path in (folder / lane).glob("*") if parse_name(path.name)):
        with suppress(OSError):  # it was sent just now
            stat = path.stat()
            size_b += stat.st_size
            oldest_utc_s = stat.st_mtime if oldest_utc_s is None else min(oldest_utc_s, stat.st_mtime)
    return size_b, oldest_utc_s
