"""The P1 port of a smart meter (DSMR, eSMR, and what is like them), through something that serves it over TCP.

The meter sends a telegram by itself, from ``/`` to ``!`` and its checksum; ser2net or a dongle hands on the bytes.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Callable
from typing import Literal

from pydantic import Field, field_validator

from app.access import Access
from app.fields import Host, host_and_port
from app.meters.base import About, Emit, Meter, MeterSection
from app.meters.freshness import DeviceTime
from app.meters.obis import Grid, Telegram, crc16, difference, grid, text_telegram
from app.meters.push import SILENT, keep
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.redact import Redactor

MAX_TELEGRAM_BYTES = 8192
CONNECT_S = 5.0
FIRST_S = 15.0  # until two telegrams were there: meters before DSMR 5 send every 10 s
LONGEST_GAP_S = 30.0
_END = re.compile(rb"!([0-9A-Fa-f]{4})?[ \t]*\r?\n")


class DsmrConfig(MeterSection):
    """A P1 port over TCP."""

    about = About(
        products="smart meters with a P1 port (Netherlands, Belgium, Luxembourg, Sweden and others), over ser2net, a "
        "P1 dongle or whatever else serves the bytes of the port over TCP",
        example="type: dsmr\nhost: 192.168.1.20:2001",
        speed="1 s for DSMR 5, 10 s for those before",
        limits="telegrams that are encrypted cannot be read; most dongles serve one client at a time",
    )

    type: Literal["dsmr"]
    host: Host = Field(description="with its port, such as 192.168.1.20:2001")
    interval_s: float = Field(1.0, ge=0.2, le=60, description="how often a telegram comes at the most")
    crc: bool = Field(True, description="false for DSMR 2 and 3, whose telegrams have no checksum")

    @field_validator("host")
    @classmethod
    def _with_port(cls, value: str) -> str:
        if host_and_port(value, 0)[1] == 0:
            raise ValueError(f"{value!r} has no port: add the one that serves the telegrams, such as {value}:2001")
        return value

    def driver(self, access: Access) -> Meter:  # noqa: ARG002 - a connection of its own
        """The driver for this port."""
        return Dsmr(self)


class Cutter:
    """Cuts telegrams out of a stream, whatever stands between them. Keeps no more than a telegram may be long."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[tuple[bytes, int | None]]:
        """The telegrams that are complete with this chunk, from ``/`` to ``!``, and the checksums that they give."""
        self._rest += chunk
        found = []
        while (end := _END.search(self._rest)) is not None:
            start = self._rest.rfind(b"/", 0, end.start())
            if start >= 0:
                told = None if end[1] is None else int(end[1], 16)
                found.append((self._rest[start : end.start() + 1], told))
            self._rest = self._rest[end.end() :]
        self._rest = self._rest[-MAX_TELEGRAM_BYTES:]
        return found


class Dsmr:
    """Listens to one port."""

    def __init__(self, config: DsmrConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"dsmr at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._clock = config, clock
        self._time = DeviceTime()
        self._gap_s: float | None = None  # between two telegrams, as it was seen last

    async def run(self, emit: Emit) -> None:
        """Emit each telegram, and that none comes."""
        await keep(lambda: self._listen(emit), emit, Redactor())

    async def _listen(self, emit: Emit) -> None:
        """Emit what comes over one connection, until that ends. Raises `DeviceError`."""
        reader, writer = await self._connect()
        try:
            cutter, heard_s, first, broken = Cutter(), self._clock(), True, 0
            while True:
                chunk = await self._chunk(reader, heard_s, broken)
                for telegram, told in cutter.feed(chunk):
                    if told is not None and told != crc16(telegram):
                        broken += 1
                        continue
                    now_s = self._clock()
                    if not first:
                        self._gap_s = min(LONGEST_GAP_S, now_s - heard_s)
                    heard_s, first, broken = now_s, False, 0
                    outcome = self._outcome(telegram, told, now_s)
                    if outcome is not None:
                        emit(outcome)
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = host_and_port(self._config.host, 0)
        try:
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.open_connection(host, port)
        except TimeoutError:
            raise DeviceUnavailable(f"{self.name} does not answer within {CONNECT_S:g} s") from None
        except (OSError, UnicodeError) as error:
            raise DeviceUnavailable(f"cannot reach {self.name}: {_cause(error)}") from None

    async def _chunk(self, reader: asyncio.StreamReader, heard_s: float, broken: int) -> bytes:
        """What comes next. Raises `DeviceUnavailable` when no whole telegram has come for too long."""
        patience_s = FIRST_S if self._gap_s is None else SILENT * max(self._config.interval_s, self._gap_s)
        try:
            async with asyncio.timeout(max(0.0, heard_s + patience_s - self._clock())):
                chunk = await reader.read(4096)
        except TimeoutError:
            self._gap_s = None  # it may have been that of a burst
            seen = f": {broken} with a wrong checksum" if broken else ""
            raise DeviceUnavailable(f"{self.name}: no whole telegram for {patience_s:.0f} s{seen}") from None
        except OSError as error:
            raise DeviceUnavailable(f"{self.name}: the connection broke: {_cause(error)}") from None
        if not chunk:
            raise DeviceUnavailable(
                f"{self.name} has closed the connection: most dongles serve one client at a time, is there another one?"
            )
        return chunk

    def _outcome(self, telegram: bytes, told: int | None, now_s: float) -> Reading | DeviceError | None:
        """What a telegram comes to; None: it is no newer than the last one."""
        try:
            if told is None and self._config.crc:
                raise DeviceDataError("the telegrams have no checksum: if this is DSMR 2 or 3, say crc: false")
            decoded = text_telegram(telegram)
            found = parse(decoded)
            at_s = now_s if decoded.stamp_s is None else self._time.moment(decoded.stamp_s, now_s)
        except DeviceDataError as error:
            return DeviceDataError(f"{self.name}: {error}")
        if at_s is None:
            return None
        utc_s = time.time() - (now_s - at_s)
        return Reading(found.power_w, at_s, utc_s, found.phases, found.import_wh, found.export_wh)


def parse(telegram: Telegram) -> Grid:
    """What a telegram says of the grid. Raises `DeviceDataError` where one direction is missing."""
    return grid(telegram, difference(telegram))


def _cause(error: Exception) -> str:
    """What the operating system says of a connection."""
    if isinstance(error, UnicodeError | socket.gaierror):
        return "its name is not known"
    number = error.errno if isinstance(error, OSError) else None
    return type(error).__name__ if number is None else os.strerror(number).lower()
