"""Records every tick into a few files of bounded size, for `replay`. Control never waits for any of this."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedWriter
from pathlib import Path

from app import __version__
from app.control import ControlSettings
from app.hub import Hub
from app.model import Tick
from app.recording import FORMAT, GZIP_WBITS, Header, encode_header, encode_tick

log = logging.getLogger(__name__)

WAITING = 240  # ticks kept while the disk is slow
FLUSH_S = 60.0
MAX_PENDING_BYTES = 4_000_000
SEGMENTS = 8
MAX_FILES = 200  # a program that restarts all the time leaves many small ones
OURS = re.compile(r"(\d{6,})-\d{8}T\d{6}Z\.jsonl\.gz")


class Segments:
    """The files, numbered; the oldest are deleted for the newest. For one thread; every method may raise OSError."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._path = folder
        self._file: BufferedWriter | None = None
        self._gzip = zlib.compressobj(wbits=GZIP_WBITS)
        self._run = ""
        self._size = 0

    def write(self, header: Header, lines: bytes) -> None:
        """Append lines; a new file begins with the header: for another run, and when the last one is full."""
        if self._file is not None and (header.run != self._run or self._size >= self._max_bytes // SEGMENTS):
            self.close()
        if self._file is None:
            lines = encode_header(header) + lines
        file = self._file or self._open(header)
        # a sync flush ends on a whole byte, so that all of it can be read although the file goes on
        self._store(file, self._gzip.compress(lines) + self._gzip.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        """Complete the file that is open."""
        if self._file is not None:
            self._store(self._file, self._gzip.flush())
            self._leave()

    def _open(self, header: Header) -> BufferedWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)  # when people are at home can be read from what their house takes
        number = 1 + max((number for number, _ in self._files()), default=0)
        moment = datetime.fromtimestamp(header.utc_s, UTC)
        self._path = self._folder / f"{number:06}-{moment:%Y%m%dT%H%M%SZ}.jsonl.gz"
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._gzip = zlib.compressobj(wbits=GZIP_WBITS)
        self._run, self._size = header.run, 0
        return self._file

    def _store(self, file: BufferedWriter, data: bytes) -> None:
        try:
            self._prune(len(data))
            file.write(data)
            file.flush()
        except OSError:
            self._leave()
            raise
        self._size += len(data)

    def _prune(self, more: int) -> None:
        """Delete the oldest files until there is room for so many bytes."""
        total = self._size + more
        for count, (_, path) in enumerate(sorted(self._files(), reverse=True)):
            if path == self._path:
                continue
            total += path.stat().st_size
            if total > self._max_bytes or count >= MAX_FILES:
                path.unlink()

    def _files(self) -> list[tuple[int, Path]]:
        """Our files with their numbers; whatever else lies in the folder is left alone."""
        found = ((OURS.fullmatch(path.name), path) for path in self._folder.iterdir())
        return [(int(match[1]), path) for match, path in found if match]

    def _leave(self) -> None:
        """Leave the file as it is; one without a single complete write is of no use."""
        file, self._file = self._file, None
        with suppress(OSError):
            if file is not None:
                file.close()
            if self._size == 0:
                self._path.unlink()


class Recorder:
    """A hub subscriber that keeps the lines of a minute in memory and lets a thread write them."""

    def __init__(
        self,
        folder: Path,
        max_mb: float,
        hub: Hub,
        *,
        site: str,
        settings: ControlSettings,
        flush_s: float = FLUSH_S,
    ) -> None:
        self._folder = folder
        self._hub = hub
        self._site = site
        self._settings = settings
        self._flush_s = flush_s
        self._segments = Segments(folder, int(max_mb * 1e6))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._failing = self._closed = False
        self._begin(from_start=False)

    async def run(self) -> None:
        """Record every tick, for ever. Where some are missed a new run of ticks begins."""
        with self._hub.subscribe(WAITING) as ticks:
            self._begin(from_start=self._hub.latest is None)
            missed = 0
            while True:
                tick = await ticks.get()
                if ticks.dropped > missed:
                    await self._flush()
                    missed = ticks.dropped
                    self._begin(from_start=False)
                if not self._closed:
                    self._add(tick)
                    if time.monotonic() >= self._due_s or self._bytes > MAX_PENDING_BYTES:
                        await self._flush()

    async def close(self) -> None:
        """Write what is left. `run` may still be under way; it records no more."""
        await asyncio.sleep(0)  # the last tick may be on its way
        self._closed = True
        await self._flush()
        with suppress(OSError):  # it cannot be written, as `_flush` has told
            await asyncio.get_running_loop().run_in_executor(self._thread, self._segments.close)
        self._thread.shutdown(wait=False)

    def _begin(self, *, from_start: bool) -> None:
        """A new run of ticks without a gap."""
        self._run, self._from_start, self._index = secrets.token_hex(6), from_start, 0
        self._lines: list[bytes] = []
        self._bytes = 0
        self._first: Tick | None = None
        self._due_s = 0.0

    def _add(self, tick: Tick) -> None:
        if self._first is None:
            self._first, self._due_s = tick, time.monotonic() + self._flush_s
        line = encode_tick(tick)
        self._lines.append(line)
        self._bytes += len(line)

    async def _flush(self) -> None:
        if self._first is None:
            return
        header, lines = self._header(self._first), self._lines
        self._index += len(lines)
        self._lines, self._bytes, self._first = [], 0, None
        try:
            write = self._segments.write
            await asyncio.get_running_loop().run_in_executor(self._thread, write, header, b"".join(lines))
        except OSError as error:
            self._fail(error)
            self._begin(from_start=False)
        else:
            self._succeed()

    def _header(self, first: Tick) -> Header:
        return Header(
            format=FORMAT,
            app=__version__,
            site=self._site,
            run=self._run,
            from_start=self._from_start,
            utc_s=first.snapshot.utc_s,
            settings=self._settings,
            inverters=tuple(state.serial for state in first.snapshot.inverters),
            index=self._index,
        )

    def _fail(self, error: OSError) -> None:
        if not self._failing:
            log.warning("ticks cannot be recorded in %s: %s; trying again", self._folder, error.strerror or error)
        self._failing = True

    def _succeed(self) -> None:
        if self._failing:
            log.info("ticks are recorded again in %s", self._folder)
        self._failing = False
