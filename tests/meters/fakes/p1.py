"""The P1 port of a meter behind a dongle that serves it over TCP: telegrams with checksums, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from tests.meters.fakes.tcp import Listener

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)


def crc_arc(data: bytes) -> int:
    """CRC-16/ARC, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def stamp(seconds: float, zone: str = "W") -> str:
    """The time in a telegram."""
    return f"{START + timedelta(seconds=seconds):%y%m%d%H%M%S}{zone}"


def powers(power_w: float) -> dict[str, str]:
    """Import and export of a power."""
    return {
        "1-0:1.7.0": f"{max(0.0, power_w) / 1000:09.5f}*kW",
        "1-0:2.7.0": f"{max(0.0, -power_w) / 1000:09.5f}*kW",
    }


def telegram(registers: Mapping[str, str], *, crc: str | None = None, head: str = r"/TST5\METER") -> bytes:
    """A telegram with these registers, and its checksum, or another one."""
    lines = [head, "", *(f"{number}({content})" for number, content in registers.items())]
    body = "\r\n".join(lines).encode() + b"\r\n!"
    return body + (f"{crc_arc(body):04X}" if crc is None else crc).encode() + b"\r\n"


def household(power_w: float, seconds: float, **more: str) -> bytes:
    """A whole telegram of DSMR 5."""
    registers = {
        "1-3:0.2.8": "50",
        "0-0:1.0.0": stamp(seconds),
        "1-0:1.8.1": "000001.500*kWh",
        "1-0:1.8.2": "000002.500*kWh",
        "1-0:2.8.1": "000000.250*kWh",
        "1-0:2.8.2": "000000.000*kWh",
        **powers(power_w),
        "0-0:96.13.0": "",
        "0-1:24.2.1": f"{stamp(seconds)})(12785.123*m3",
    }
    return telegram(registers | more)


class Dongle(Listener):
    """Sends to everybody who is connected."""

    def __init__(self) -> None:
        super().__init__()
        self.host = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.turned_away = False

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._open)

    async def send(self, data: bytes) -> int:
        """Send to all; how many there were."""
        writers = list(self._open)
        for writer in writers:
            with suppress(OSError):  # gone meanwhile
                writer.write(data)
                await writer.drain()
        return len(writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.turned_away:
            writer.close()
            return
        self._open.add(writer)
        try:
            await reader.read()
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@asynccontextmanager
async def dongle() -> AsyncIterator[Dongle]:
    """A dongle that is there."""
    place = Dongle()
    await place.listen()
    try:
        yield place
    finally:
        await place.close()
