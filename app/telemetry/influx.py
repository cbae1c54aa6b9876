"""InfluxDB 2.x (and what speaks its v2 write API): batched writes that outlive an outage of the server.

Importing this costs about 13 MB, so it is imported only where InfluxDB is configured.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write import point as client_point
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from app.config import InfluxConfig
from app.model import Fault, StoreState
from app.telemetry.buffer import Buffer
from app.telemetry.points import LASTING, Point

log = logging.getLogger(__name__)

BATCH = 500
RAW_CAPACITY = 20_000  # about two hours with one inverter, and 5 MB; a spool on disk could take its place
MINUTES_CAPACITY = 10_000  # a week
REFUSALS = 32  # single lines refused in a row before whole batches are given up
CLOSE_S = 3.0
REQUEST_MS = 10_000
Write = Callable[[str, str], Awaitable[object]]
_Line: Any = client_point.Point  # the library has no types
_MILLISECONDS: Any = WritePrecision.MS
_LOGIN = re.compile(r"\b(Token|Bearer|Basic) [^\s'\",]+")


def line(point: Point) -> str:
    """A point as line protocol with a time stamp in milliseconds."""
    written = _Line(point.measurement)
    for key, tag in point.tags:
        written.tag(key, tag)
    for key, value in point.fields:
        written.field(key, value.replace("\n", " ") if isinstance(value, str) else value)
    written.time(round(point.utc_s * 1000.0), _MILLISECONDS)
    return str(written.to_line_protocol())


class _Lane:
    """The lines for one bucket, and how writing them goes."""

    def __init__(self, config: InfluxConfig, bucket: str, capacity: int, retry_s: tuple[float, float]) -> None:
        self.bucket = bucket
        self.buffer = Buffer[str](capacity)
        self.written = 0
        self.refused = 0
        self.fault: Fault | None = None
        self._config = config
        self._retry_s = retry_s
        self._size = BATCH
        self._failures = 0
        self._refusals = 0
        self._not_before_s = 0.0

    async def drain(self, write: Write) -> bool:
        """Write all that waits; False where the server does not take it now."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before_s:
            return False
        while batch := self.buffer.take(self._size):
            try:
                await write(self.bucket, "\n".join(batch))
            except ApiException as error:
                if not self._refuse(error, len(batch)):
                    self._not_before_s = loop.time() + self._pause_s(error)
                    return False
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._fail(f"cannot be reached: {_cause(error)}", "check that it runs, and influxdb.url")
                self._not_before_s = loop.time() + self._pause_s()
                return False
            else:
                self._succeed()
        return True

    def _succeed(self) -> None:
        self.written += self.buffer.done()
        self._size = min(BATCH, self._size * 2)
        self._failures = self._refusals = 0
        if self.fault is not None and self.buffer.dropped:
            log.warning("InfluxDB at %s takes points again; %d were lost", self._config.url, self.buffer.dropped)
        self.fault = None

    def _refuse(self, error: ApiException, count: int) -> bool:
        """Look for the lines that the server cannot use; False where the batch is not to blame."""
        if error.status not in (400, 413, 422):
            self._fail(*_explain(error, self.bucket))
            return False
        if count > 1 and self._refusals < REFUSALS:
            self._size = count // 2
            return True
        first = self.refused == 0
        self.refused += self.buffer.done()
        self._refusals += 1
        said = f"HTTP {error.status}: {_message(error)}"
        if self._refusals == REFUSALS:
            self._size = BATCH
            self._fail(f"refuses every point ({said})", "look into its log; what it refuses is lost")
        elif first:
            log.warning("InfluxDB at %s refuses a point (%s); the others are kept", self._config.url, said)
        return True

    def _fail(self, what: str, next_step: str) -> None:
        self._failures += 1
        text = f"InfluxDB at {self._config.url} {what}."
        if self.fault is None:
            self.fault = Fault("influxdb", text, _sentence(next_step), since_utc_s=time.time())
        elif self.fault.text != text:
            self.fault = Fault("influxdb", text, _sentence(next_step), since_utc_s=self.fault.since_utc_s)

    def _pause_s(self, error: ApiException | None = None) -> float:
        first_s, longest_s = self._retry_s
        pause_s = min(longest_s, first_s * 2.0 ** min(self._failures - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311
        asked = str(getattr(error, "retry_after", None) or "")
        return max(pause_s, min(float(asked), 300.0)) if asked.isdigit() else pause_s


class InfluxSink:
    """Writes points to the bucket, and minutes to ``<bucket>_1m``, which is kept for good."""

    name = "influxdb"

    def __init__(
        self,
        config: InfluxConfig,
        *,
        flush_s: float = 1.0,
        retry_s: tuple[float, float] = (1.0, 60.0),
        capacity: int = RAW_CAPACITY,
    ) -> None:
        self._config = config
        self._flush_s = flush_s
        self._tls: ssl.SSLContext | None = None
        self._raw = _Lane(config, config.bucket, capacity, retry_s)
        self._minutes = _Lane(config, f"{config.bucket}_1m", MINUTES_CAPACITY, retry_s)

    def offer(self, points: Sequence[Point]) -> None:
        """Serialise points now, with their own time stamps; never blocks."""
        self._raw.buffer.add(line(point) for point in points if point.measurement not in LASTING)
        self._minutes.buffer.add(line(point) for point in points if point.measurement in LASTING)

    async def run(self) -> None:
        """Write about once a second, for ever."""
        while True:
            token = self._token()
            async with self._connected(token) as write:
                while self.fault() is None or token == self._token():
                    await asyncio.sleep(self._flush_s)
                    await self._drain(write)

    async def close(self) -> None:
        """Write what is left, if the server takes it within a few seconds."""
        try:
            async with asyncio.timeout(CLOSE_S), self._connected(self._token()) as write:
                await self._drain(write)
        except TimeoutError:
            pass
        if left := len(self._raw.buffer) + len(self._minutes.buffer):
            log.warning("%d points for InfluxDB at %s are lost: it did not take them", left, self._config.url)

    def fault(self) -> Fault | None:
        """Why points are not written now."""
        return self._raw.fault or self._minutes.fault

    @property
    def stats(self) -> StoreState:
        """How it stands."""
        lanes = (self._raw, self._minutes)
        return StoreState(
            self.name,
            written=sum(lane.written for lane in lanes),
            pending=sum(len(lane.buffer) for lane in lanes),
            dropped=sum(lane.buffer.dropped for lane in lanes),
            refused=sum(lane.refused for lane in lanes),
        )

    async def _drain(self, write: Write) -> None:
        # Minutes go only to a server that takes the raw points: one outage is one fault.
        if await self._raw.drain(write):
            await self._minutes.drain(write)

    def _token(self) -> str:
        """The token as it is now: the stack's InfluxDB makes it on its first start, which may be after ours."""
        path = self._config.token_file
        try:
            return (path.read_text(encoding="utf-8").strip() if path else "") or self._config.token
        except (OSError, UnicodeDecodeError):
            return self._config.token

    @asynccontextmanager
    async def _connected(self, token: str) -> AsyncIterator[Write]:
        config = self._config
        if self._tls is None:
            self._tls = await _tls(config.url)
        async with InfluxDBClientAsync(
            config.url, token, config.org, timeout=REQUEST_MS, allow_redirects=False, ssl_context=self._tls
        ) as client:
            api = client.write_api()

            async def write(bucket: str, lines: str) -> object:
                return await api.write(bucket, record=lines, write_precision=_MILLISECONDS)

            yield write


async def _tls(url: str) -> ssl.SSLContext:
    """The certificates for https, read in a thread: that takes up to a second. None are needed for http."""
    if url.startswith("https"):
        return await asyncio.to_thread(ssl.create_default_context)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _explain(error: ApiException, bucket: str) -> tuple[str, str]:
    match error.status:
        case 401 | 403:
            return f"refuses the token (HTTP {error.status})", f"check influxdb.token and that it may write to {bucket}"
        case 404:
            said = _message(error)
            return (
                f"does not know bucket {bucket} (HTTP 404: {said})",
                "check influxdb.bucket and influxdb.org, or create the bucket",
            )
        case 429 | 503:
            return f"is overloaded (HTTP {error.status})", "wait; if it stays, give it more memory or a faster disk"
        case _:
            return f"answers HTTP {error.status}: {_message(error)}", "look into its log, and check influxdb.url"


def _cause(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return getattr(cause, "strerror", None) or str(cause) or "no answer in time"


def _message(error: ApiException) -> str:
    said = " ".join(str(error.message or error.reason or "").split())
    return _LOGIN.sub(r"\1 ***", said)[:200]  # it may repeat what we sent


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
