"""InfluxDB 2.x, and what speaks its write API: every point goes through the spool, so that an outage loses nothing.

Importing this costs about 23 MB, so it is imported only where InfluxDB is configured.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from influxdb_client.client.write import point as client_point
from influxdb_client.domain.write_precision import WritePrecision

from app.config import InfluxConfig
from app.model import Fault, StoreState
from app.redact import Redactor
from app.telemetry import segment
from app.telemetry.answers import Answer, judge, no_answer
from app.telemetry.flow import Bucket, Desk, Flow, Lines, Pause, Progress
from app.telemetry.points import Point
from app.telemetry.spool import LANES, LASTING_POINTS, POINTS, REVISED, Spool, lane_of

log = logging.getLogger(__name__)

INBOX = 20_000  # points that wait for the spool's thread, should the disk hang
TEND_S = 5.0
REST = 0.2  # of the time between two requests with new points, after one with old ones: the time belongs to others
CLOSE_S = 3.0
REQUEST_S = 10.0
REQUEST_GZIP_LEVEL = 1
ANSWER_MAX_B = 4096
T = TypeVar("T")
_Line: Any = client_point.Point  # the library has no types
_MILLISECONDS: Any = WritePrecision.MS
_BREAKS = str.maketrans("\r\n", "  ")


def line(point: Point) -> str:
    """A point as line protocol with a time stamp in milliseconds."""
    written = _Line(point.measurement)
    for key, tag in point.tags:
        written.tag(key, tag)
    for key, value in point.fields:
        written.field(key, value.translate(_BREAKS) if isinstance(value, str) else value)
    written.time(round(point.utc_s * 1000.0), _MILLISECONDS)
    return str(written.to_line_protocol())


def current_token(config: InfluxConfig) -> str:
    """What the file of the token holds now, or else the token of the configuration."""
    path, token = config.token_file, ""
    with suppress(OSError, UnicodeDecodeError):
        token = path.read_text(encoding="utf-8").strip() if path else ""
    return token or config.token


class InfluxSink:
    """Writes points to the bucket, and what lasts to ``<bucket>_1m``, which is kept for good."""

    name = "influxdb"

    def __init__(
        self, config: InfluxConfig, folder: Path, *, flush_s: float = 1.0, retry_s: tuple[float, float] = (1.0, 60.0)
    ) -> None:
        self._config = config
        self._flush_s = flush_s
        self._spool = Spool(folder, round(config.spool_mb * 1e6))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._inbox: list[Point] = []
        self._inbox_lock = threading.Lock()
        self._moving = 0  # from the inbox to the spool
        self._came = asyncio.Event()
        self._dropped = 0
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        spool, run, busy = self._spool, self._in_thread, Pause(retry_s)
        desk = Desk(
            post=self._post,
            done=lambda parcel: run(partial(spool.done, parcel)),
            give_back=lambda parcel: run(partial(spool.give_back, parcel)),
            quarantine=lambda lines, why: run(partial(spool.quarantine, lines, why)),
            busy=busy,
            url=config.url,
        )
        raw, lasting = Bucket(config.bucket), Bucket(config.lasting_bucket)

        def oldest(lane: str, bucket: Bucket) -> Flow:
            return Flow(desk, bucket, lambda most: run(partial(spool.oldest, lane, most)), retry_s)

        self._busy = busy
        self._live = Flow(desk, raw, lambda _: run(partial(spool.newest, POINTS)), retry_s, live=True)
        self._in_order = (oldest(REVISED, raw), oldest(LASTING_POINTS, lasting))
        self._backlog = oldest(POINTS, raw)
        self._flows = (self._live, *self._in_order, self._backlog)

    def offer(self, points: Sequence[Point]) -> None:
        """Take points, as they are now; never blocks."""
        with self._inbox_lock:
            self._inbox += points
            if (more := len(self._inbox) - INBOX) > 0:
                del self._inbox[:more]
                self._dropped += more
        self._came.set()

    async def store(self) -> None:
        """What was offered until now is in the spool."""
        await self._in_thread(self._take_in)

    async def run(self) -> None:
        """Keep points as they come, and send them about once a second, for ever."""
        await self._in_thread(self._spool.tend)
        async with self._connected(), asyncio.TaskGroup() as group:
            group.create_task(self._keep(), name="spool")
            group.create_task(self._send(), name="influxdb")

    async def close(self) -> None:
        """Send what the server takes within a few seconds; the rest stays in the spool for the next start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S), self._connected():
                await self.store()
                await self._round()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                if lost := await self._in_thread(self._spool.close):
                    log.warning("%d points for InfluxDB are lost: neither it nor the disk took them", lost)
        self._thread.shutdown(wait=False)

    def fault(self) -> Fault | None:
        """Why points are not written now."""
        return next((flow.fault for flow in self._flows if flow.fault is not None), None)

    def spool_fault(self) -> Fault | None:
        """What is wrong with the spool."""
        return self._spool.state.fault

    @property
    def stats(self) -> StoreState:
        """How it stands."""
        spool = self._spool.state
        pending = spool.pending + self._moving + len(self._inbox)
        oldest_s = 0.0 if spool.oldest_utc_s is None else max(0.0, time.time() - spool.oldest_utc_s)
        return StoreState(
            self.name,
            written=sum(flow.written for flow in self._flows),
            pending=pending,
            dropped=spool.dropped + self._dropped,
            refused=sum(flow.refused for flow in self._flows),
            oldest_s=oldest_s,
            spool_b=spool.used_b,
            spool_max_b=spool.room_b,
        )

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        tended_s = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TEND_S):
                    await self._came.wait()
            self._came.clear()
            await self.store()
            if loop.time() - tended_s >= TEND_S:
                tended_s = loop.time()
                await self._in_thread(self._spool.tend)

    def _take_in(self) -> None:
        """In the thread: from the inbox to the spool."""
        with self._inbox_lock:
            points, self._inbox = self._inbox, []
            self._moving = len(points)
        lines: dict[str, list[str]] = {lane: [] for lane in LANES}
        for point in points:
            lines[lane_of(point.measurement)].append(line(point))
        for lane, found in lines.items():
            if found:
                self._spool.accept(lane, found)
        self._moving = 0

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            await self._round()
            await asyncio.sleep(max(0.0, started_s + self._flush_s - loop.time()))

    async def _round(self) -> None:
        """The newest first; older points beside them, for about as long as it takes until there are newer ones."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        self._read_token()
        for _ in range(2):  # the first may be what an outage has held up
            if await self._live.advance() is Progress.HELD:
                return  # nothing else is sent to a server that does not take this: one outage is one fault
        for flow in self._in_order:
            await flow.advance()
        began_s = loop.time()
        while await self._backlog.advance() is Progress.TOOK and loop.time() - started_s < self._flush_s:
            await asyncio.sleep(max(REST * self._flush_s, loop.time() - began_s))
            began_s = loop.time()

    def _read_token(self) -> None:
        """The token as it is now: the stack's InfluxDB makes it on its first start, which may be after ours."""
        if self._token and self.fault() is None:
            return
        token = current_token(self._config)
        if token != self._token:
            self._token = token
            for flow in self._flows:
                flow.pause.end()

    async def _post(self, bucket: str, lines: Lines) -> Answer:
        if self._session is None:
            return no_answer("the connection is closed", in_time=True)
        body = await self._in_thread(lambda: segment.pack(b"\n".join(lines), REQUEST_GZIP_LEVEL))
        try:
            async with self._session.post(
                f"{self._config.url}/api/v2/write",
                params={"org": self._config.org, "bucket": bucket, "precision": "ms"},
                data=body,
                headers={
                    "Authorization": f"Token {self._token}",
                    "Content-Encoding": "gzip",
                    "Content-Type": "text/plain; charset=utf-8",
                },
                allow_redirects=False,
            ) as answer:
                said = (await answer.content.read(ANSWER_MAX_B)).decode(errors="replace")
                retry_after = answer.headers.get("Retry-After")
                said = said if answer.ok else Redactor([self._token])(said)  # not all of it is in the configuration
                return judge(answer.status, said, retry_after, bucket=bucket, utc_s=time.time())
        except TimeoutError:
            return no_answer("no answer in time", in_time=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a name that cannot be looked up
            return no_answer(_cause(error), in_time=True)

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None


def _cause(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return getattr(cause, "strerror", None) or str(cause) or type(error).__name__
