"""The files of one lane of the spool: appended to, read, packed and deleted. Synchronous; used from one thread.

A file is written through to the system at once, so that it outlives the process; whether it outlives a power cut is
up to `sync`. What the disk does not take is held in memory in its place, in the same order.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.telemetry import segment as form
from app.telemetry.segment import MAX_B, MAX_LINES, Name

log = logging.getLogger(__name__)

PACK_AFTER_MS = 3_600_000


@dataclass(slots=True, eq=False)
class Segment:
    """A file, or what will be one: ``held`` is its content while the disk does not take it."""

    lines: int
    size_b: int
    utc_ms: int  # since when its first line has waited
    name: Name | None = None
    held: bytearray | None = None
    synced: bool = False
    sent: bool = False  # under way to the server


class Lane:
    """Segments, oldest first. Every method may raise OSError, and leaves what is here whole then."""

    def __init__(self, folder: Path, *, in_order: bool) -> None:
        self.folder = folder
        self.in_order = in_order
        self.segments: list[Segment] = []
        self._open: Segment | None = None
        self._file = -1
        self._next_seq = 1

    def load(self) -> None:
        """Take over what earlier runs left, as older than what is here. Files that are not ours stay as they are."""
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        for temporary in self.folder.glob("*.tmp"):
            temporary.unlink()
        names = sorted(
            (name for path in self.folder.iterdir() if (name := form.parse_name(path.name))),
            key=lambda name: (name.seq, not name.packed),
        )
        found: list[Segment] = []
        for name in names:
            if not self._path(name).is_file():
                continue
            if found and found[-1].name is not None and found[-1].name.seq == name.seq:
                self._path(name).unlink()  # it was packed, and not deleted any more
            elif (segment := self._found(name)) is not None:
                found.append(segment)
        self.segments = [*found, *(segment for segment in self.segments if segment.held is not None)]
        self._next_seq = max((name.seq for name in names), default=0) + 1

    def append(self, data: bytes, lines: int, utc_ms: int, *, on_disk: bool) -> None:
        """Add a framed batch."""
        if self._open is not None:
            full = self._open.lines + lines > MAX_LINES or self._open.size_b + len(data) > MAX_B
            if full or (self._open.held is None) != on_disk:
                self.close()
        segment = self._open or self._start(utc_ms, on_disk=on_disk)
        if segment.held is not None:
            segment.held += data
        else:
            self._write(segment, data)
        segment.lines += lines
        segment.size_b += len(data)
        segment.synced = False

    def newest(self) -> list[Segment]:
        """What came since the last time, to be sent now: the open segment, closed."""
        segment = self._open
        self.close()
        return self._sent([] if segment is None else [segment])

    def oldest(self, max_lines: int = MAX_LINES) -> list[Segment]:
        """The oldest closed segments that fit a request; of a lane in order all count as closed."""
        if self.in_order:
            self.close()
        waiting = [segment for segment in self.segments if not segment.sent and segment is not self._open]
        return self._sent(waiting[: form.fitting(((s.lines, s.size_b) for s in waiting), max_lines)])

    def read(self, segment: Segment) -> tuple[list[form.Batch], list[bytes]]:
        """The whole batches of a segment, and the pieces that are none."""
        data = self._content(segment)
        if segment.name is not None and segment.name.packed:
            unpacked = form.unpack(data)
            return form.salvage(unpacked) if unpacked else ([], [data] if data else [])
        return form.salvage(data)

    def forget(self, segment: Segment) -> None:
        """Delete it. A disk that does not let us gives it back at the next start: sent twice, it does no harm."""
        if segment is self._open:
            self.close()
        if segment in self.segments:
            self.segments.remove(segment)
            if segment.name is not None:
                with suppress(OSError):
                    self._path(segment.name).unlink()

    def drop_oldest(self, *, held: bool) -> int | None:
        """Forget the oldest that is not under way, of those in memory or of those on the disk; its lines."""
        for segment in self.segments:
            if not segment.sent and segment is not self._open and (segment.held is not None) == held:
                self.forget(segment)
                return segment.lines
        return None

    def write_out(self) -> None:
        """Write what is held in memory to the disk."""
        for segment in self.segments:
            if segment.held is not None:
                if segment is self._open:
                    self.close()
                name = Name(self._next_seq)
                self._replace(name, bytes(segment.held))
                self._next_seq += 1
                segment.name, segment.held = name, None

    def sync(self) -> None:
        """Make what is written outlive a power cut."""
        late = [segment for segment in self.segments if segment.held is None and not segment.synced]
        for segment in late:
            if segment is self._open:
                os.fdatasync(self._file)
            else:
                with suppress(FileNotFoundError):  # somebody has deleted it, which is told when it is to be sent
                    self._synced(self._path(segment.name), os.fdatasync)
            segment.synced = True
        if late:
            self._synced(self.folder, os.fsync)

    def pack(self, utc_ms: int) -> bool:
        """Gzip the oldest closed files as one, when they fill it or are old enough; whether there was work."""
        start, run = self._plain_run()
        count = form.fitting((s.lines, s.size_b) for s in run)
        old = bool(run) and utc_ms - run[0].utc_ms >= PACK_AFTER_MS
        if not run or not (old or count < len(run) or run[0].size_b > MAX_B // 2):
            return False
        merged = run[:count]
        data = b"".join(self._content(segment) for segment in merged)
        first, lines = merged[0], sum(segment.lines for segment in merged)
        name = Name(first.name.seq if first.name else 0, first.utc_ms, lines)
        packed = form.pack(data)
        self._replace(name, packed)
        self.segments[start : start + count] = [Segment(lines, len(packed), first.utc_ms, name, synced=True)]
        for segment in merged:
            self._path(segment.name).unlink(missing_ok=True)
        return True

    def close(self) -> None:
        """Begin a new segment with the next batch."""
        if self._file >= 0:
            file, self._file = self._file, -1
            with suppress(OSError):
                os.close(file)
        self._open = None

    def _start(self, utc_ms: int, *, on_disk: bool) -> Segment:
        segment = Segment(0, 0, utc_ms, held=None if on_disk else bytearray())
        if on_disk:
            segment.name = Name(self._next_seq)
            self._file = os.open(self._path(segment.name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            self._next_seq += 1
        self.segments.append(segment)
        self._open = segment
        return segment

    def _write(self, segment: Segment, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, segment.size_b)  # the half that was written; else its checksum tells
            self.close()
            if not segment.lines:
                self.forget(segment)
            raise

    def _plain_run(self) -> tuple[int, list[Segment]]:
        """The first files one after the other that may be packed, and where they begin."""

        def may(segment: Segment) -> bool:
            on_disk = segment.name is not None and segment.held is None and not segment.name.packed
            return on_disk and not segment.sent and segment is not self._open

        start = next((i for i, segment in enumerate(self.segments) if may(segment)), len(self.segments))
        end = next((i for i in range(start, len(self.segments)) if not may(self.segments[i])), len(self.segments))
        return start, self.segments[start:end]

    def _found(self, name: Name) -> Segment | None:
        """A file of an earlier run; None for one without content."""
        size_b = self._path(name).stat().st_size
        if not size_b:
            self._path(name).unlink()
            return None
        if name.lines is not None:
            return Segment(name.lines, size_b, name.utc_ms or 0, name, synced=True)
        batches, _ = self.read(Segment(0, size_b, 0, name))
        return Segment(sum(batch.lines for batch in batches), size_b, batches[0].utc_ms if batches else 0, name)

    def _content(self, segment: Segment) -> bytes:
        """The bytes of a segment. One that cannot be read is put aside, as if it were empty."""
        if segment.held is not None:
            return bytes(segment.held)
        path = self._path(segment.name)
        try:
            return path.read_bytes()
        except OSError as error:
            with suppress(FileNotFoundError):
                os.replace(path, path.with_name(f"{path.name}.damaged"))
            if not self.folder.is_dir():
                raise
            log.warning("%s cannot be read (%s); what it holds is not sent", path, error.strerror)
            return b""

    def _sent(self, segments: list[Segment]) -> list[Segment]:
        for segment in segments:
            segment.sent = True
        return segments

    def _replace(self, name: Name, content: bytes) -> None:
        """Write a file that is there as a whole or not at all."""
        temporary = self.folder / f"{name.seq:012d}.tmp"
        try:
            temporary.write_bytes(content)
            self._synced(temporary, os.fdatasync)
            os.replace(temporary, self._path(name))
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        self._synced(self.folder, os.fsync)

    def _path(self, name: Name | None) -> Path:
        return self.folder / str(name)

    @staticmethod
    def _synced(path: Path, sync: Callable[[int], None]) -> None:
        file = os.open(path, os.O_RDONLY)
        try:
            sync(file)
        finally:
            os.close(file)
