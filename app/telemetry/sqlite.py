"""SQLite in a worker thread: what lasts, events for a year, and raw points for a week where there is no InfluxDB."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.model import Fault, StoreState
from app.telemetry.archive import Archive
from app.telemetry.buffer import Buffer
from app.telemetry.database import Database, is_damage, set_aside
from app.telemetry.points import LASTING, Point

log = logging.getLogger(__name__)

BATCH = 5000
CAPACITY = 20_000
ALWAYS = LASTING | {"event"}  # InfluxDB or not
RETENTION_S = 7 * 86_400.0
TIDY_EVERY_S = 600.0
RETRY_S = (5.0, 60.0)
CLOSE_S = 4.0
T = TypeVar("T")


class SqliteSink:
    """Writes to ``path`` every few seconds, in one transaction, so that flash memory lasts."""

    name = "sqlite"

    def __init__(
        self,
        path: Path,
        *,
        raw: bool,
        flush_s: float = 5.0,
        retention_s: float = RETENTION_S,
        capacity: int = CAPACITY,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._raw = raw
        self._flush_s = flush_s
        self._retention_s = retention_s
        self._utc = utc
        self._buffer = Buffer[Point](capacity)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._database: Database | None = None
        self._lock = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self._fault: Fault | None = None
        self._failures = 0
        self._written = 0
        self._waits_since_utc_s = 0.0  # while something waits
        self._tidied_s: float | None = None
        self._making_anew: bool | None = None  # None: not tried yet

    def offer(self, points: Sequence[Point]) -> None:
        """Take points; never blocks."""
        if not len(self._buffer):
            self._waits_since_utc_s = self._utc()
        self._buffer.add(point for point in points if self._raw or point.measurement in ALWAYS)

    async def run(self) -> None:
        """Write every few seconds, for ever; less often while the file cannot be written."""
        while True:
            first_s, longest_s = RETRY_S
            pause_s = min(longest_s, first_s * 2.0 ** min(self._failures - 1, 16)) if self._failures else 0.0
            await asyncio.sleep(max(self._flush_s, pause_s))
            self._flushing = asyncio.create_task(self._flush())
            await asyncio.shield(self._flushing)  # a cancelled write would be done in its thread, and then once more

    async def close(self) -> None:
        """Write what is left and close the file."""
        if self._making_anew and self._database is not None:
            self._database.hurry()  # it may take minutes; the next start tries again
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._flush()
                await self._in_thread(self._let_go)
        except (TimeoutError, sqlite3.Error, OSError) as error:
            log.warning("%s was not closed in time: %s", self._path, error)
        self._thread.shutdown(wait=False)

    def fault(self) -> Fault | None:
        """Why points are not written now."""
        return self._fault

    @property
    def stats(self) -> StoreState:
        """How it stands."""
        pending = len(self._buffer)
        return StoreState(
            self.name,
            written=self._written,
            pending=pending,
            dropped=self._buffer.dropped,
            oldest_s=max(0.0, self._utc() - self._waits_since_utc_s) if pending else 0.0,
        )

    async def ask(self, question: Callable[[Archive], T], default: T) -> T:
        """The answer of the open file; the default where it cannot be read, which is a fault from then on."""
        try:
            return await self.ask_or_fail(question)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return default

    async def ask_or_fail(self, question: Callable[[Archive], T]) -> T:
        """The answer of the open file. Raises `sqlite3.Error` or OSError where it cannot be read."""
        return await self._in_thread(lambda: self._use(lambda database: question(database.archive)))

    async def _flush(self) -> None:
        async with self._lock:
            try:
                began_utc_s = self._utc()
                while batch := self._buffer.take(BATCH):
                    await self._in_thread(partial(self._use, partial(Database.insert, points=batch)))
                    self._written += self._buffer.done()
                self._waits_since_utc_s = began_utc_s  # what waits now came later
                await self._tidy()
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                await self._in_thread(self._let_go)
            else:
                self._succeed()

    async def _tidy(self) -> None:
        """Keep the file small, a little at a time; all is done about every ten minutes."""
        now_s = time.monotonic()
        if self._tidied_s is not None and now_s - self._tidied_s < TIDY_EVERY_S:
            return
        if self._making_anew is None:
            await self._make_anew()
        if await self._in_thread(lambda: self._use(lambda database: database.tidy(self._utc(), self._retention_s))):
            self._tidied_s = now_s

    async def _make_anew(self) -> None:
        """A file of an earlier version cannot shrink: it is written again, once. Without room it stays as it is."""
        self._making_anew = not await self._in_thread(lambda: self._use(Database.is_compact))
        if not self._making_anew:
            return
        log.info("%s is written anew once, so that it can shrink from now on; this may take a minute", self._path)
        try:
            if not await self._in_thread(lambda: self._use(Database.make_anew)):
                log.info("%s stays as it is: there is too little room on its disk to write it anew", self._path)
        except sqlite3.OperationalError as error:
            log.info("%s stays as it is: %s", self._path, error)
        self._making_anew = False

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    def _use(self, action: Callable[[Database], T]) -> T:
        """In the thread: do this with the open file; a damaged one is replaced by a new one."""
        try:
            return action(self._opened())
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._let_go()
            log.warning(
                "%s is damaged (%s): a new one is made, the old one is kept as %s",
                self._path,
                error,
                set_aside(self._path).name,
            )
            return action(self._opened())

    def _opened(self) -> Database:
        if self._database is None:
            self._database = Database(self._path)
        return self._database

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _succeed(self) -> None:
        self._failures = 0
        if self._fault is not None and self._buffer.dropped:
            log.warning("%s can be written again; %d points were lost", self._path, self._buffer.dropped)
        self._fault = None

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        text, next_step = _explain(error, self._path)
        since_s = self._fault.since_utc_s if self._fault is not None else time.time()
        self._fault = Fault("sqlite", f"{text}.", f"{next_step[0].upper()}{next_step[1:]}.", since_utc_s=since_s)


def _explain(error: Exception, path: Path) -> tuple[str, str]:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno == 28):
        return f"There is no room on the disk of {path}", "make room; telemetry goes on by itself then"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Another program has locked {path}", "close the program that uses it"
    return f"{path} cannot be written: {error}", "check that data_dir is there and writable, and the disk is well"
