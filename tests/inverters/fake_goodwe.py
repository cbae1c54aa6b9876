"""A GoodWe behind its dongle: pymodbus answers, one client at a time, and the power follows the registers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.conftest import free_port
from tests.meters.fakes.modbus import words
from tests.meters.fakes.tcp import Listener

UNIT = 247
RATED_W = 5000.0
LIMITS = {  # what the inverter obeys: the switch, and the register of its limit with its unit in watts
    "active_pct": (291, 256, 50.0),
    "pct": (291, 292, 50.0),
    "dns": (40327, 40328, 1.0),
    "dt": (40327, 40336, 50.0),
    "et": (47509, 47510, 1.0),
}


def text(value: str, count: int) -> list[int]:
    """A text as registers, two signs in each."""
    raw = value.encode().ljust(2 * count, b"\0")[: 2 * count]
    return [int.from_bytes(raw[place : place + 2], "big") for place in range(0, 2 * count, 2)]


@dataclass
class Inverter:
    """Its registers, and what it makes of them. ``obeys``: the pair of `LIMITS` that counts; None: nothing does.

    ``writable``: the registers that may be written; ``stuck``: those that take a write and keep their value.
    """

    obeys: str | None = "active_pct"
    sun_w: float = 4000.0
    delay_s: float = 0.05
    registers: dict[int, int] = field(default_factory=dict)
    writes: list[tuple[int, list[int]]] = field(default_factory=list)
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    writable: set[int] = field(default_factory=set)
    stuck: set[int] = field(default_factory=set)
    refusals: dict[int, ExcCodes] = field(default_factory=dict)  # by address of a write
    answer_s: float = 0.0
    _limits: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registers = dict.fromkeys(range(30001, 30041), 0) | dict.fromkeys(range(30100, 30210), 0)
        self.put(30004, text("55000DSN20000001", 8))
        self.put(30012, text("GW5000-DNS", 5))
        self.put(30141, [315])
        self.put(30144, [123, 0, 4567])
        self.put(30118, [2314])
        self.put(30103, [3601, 52, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF])
        for address, value in {291: 0, 256: 100, 292: 100, 293: 1000}.items():
            self.put(address, [value])
            self.writable.add(address)

    def put(self, address: int, values: list[int]) -> None:
        self.registers |= {address + offset: word for offset, word in enumerate(values)}

    def takes(self, kind: str, value: list[int], switch: int = 0) -> None:
        """It is limited by these registers, and by no others."""
        for address in self.writable:
            del self.registers[address]
        on, limit, _ = LIMITS[kind]
        self.obeys = kind
        self.put(on, [switch])
        self.put(limit, value)
        self.writable = {on, *(limit + offset for offset in range(len(value)))}

    @property
    def limit_w(self) -> float:
        if self.obeys is None:
            return RATED_W
        switch, address, unit_w = LIMITS[self.obeys]
        held = self.registers[address]
        if self.obeys == "dns":
            held = held << 16 | self.registers[address + 1]
        return held * unit_w if self.registers[switch] and held else RATED_W  # 0 is no limit

    @property
    def power_w(self) -> float:
        """What it feeds: the sun, under the limit that has come into force."""
        now_s = time.monotonic()
        if not self._limits or self._limits[-1][1] != self.limit_w:
            self._limits.append((now_s, self.limit_w))
        in_force = [limit_w for at_s, limit_w in self._limits if now_s - at_s >= self.delay_s]
        return min(self.sun_w, in_force[-1] if in_force else RATED_W)

    async def act(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        current: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """One request, as pymodbus hands it over."""
        await asyncio.sleep(self.answer_s)
        power_w = round(self.power_w)
        self.put(30127, words(power_w))
        self.put(30137, [round(power_w * 1.03)])
        places = range(address, address + count)
        if written is not None:
            if not all(place in self.writable for place in places):
                return ExcCodes.ILLEGAL_ADDRESS
            if address in self.refusals:
                return self.refusals[address]
            values = [int(one) for one in written]
            self.writes.append((address, values))
            for offset, value in enumerate(values):
                if address + offset not in self.stuck:
                    self.registers[address + offset] = value
            assert self.power_w >= 0.0  # from now on it is on its way
            return None
        self.asked.append((function, address, count))
        if not all(place in self.registers for place in places):
            return ExcCodes.ILLEGAL_ADDRESS
        for place in places:
            current[place - start] = self.registers[place]
        return None


class Dongle(Listener):
    """Hands the bytes of one client on to the inverter. A second client is closed at once, or never answered."""

    def __init__(self, inverter: Inverter) -> None:
        super().__init__()
        self.inverter = inverter
        self.turned_away = 0
        self._inner = free_port()
        self._modbus: ModbusTcpServer | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def clients(self) -> int:
        return len(self._open)

    async def start(self) -> None:
        data = [SimData(0, values=0, count=65536, datatype=DataType.REGISTERS)]
        device = SimDevice(UNIT, data, action=self.inverter.act)
        self._modbus = ModbusTcpServer(device, address=("127.0.0.1", self._inner), ignore_missing_devices=True)
        await self._modbus.serve_forever(background=True)
        await self.listen()

    async def stop(self) -> None:
        await self.close()
        if self._modbus is not None:
            await self._modbus.shutdown()  # type: ignore[no-untyped-call]

    async def reboot(self, **lost: int) -> None:
        """Gone and back; what is in its memory stays, but for the registers that are named (``r256=100``)."""
        await self.close()
        self.inverter.registers |= {int(name[1:]): value for name, value in lost.items()}
        await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open:
            self.turned_away += 1
            writer.close()
            return
        self._open.add(writer)
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        except OSError:
            self._open.discard(writer)
            writer.close()
            return
        pumps = [
            asyncio.create_task(_pump(reader, inner_writer)),
            asyncio.create_task(_pump(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._open.discard(writer)
            writer.close()
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def dongle(inverter: Inverter | None = None) -> AsyncIterator[Dongle]:
    """One that is there."""
    place = Dongle(inverter or Inverter())
    await place.start()
    try:
        yield place
    finally:
        await place.stop()
