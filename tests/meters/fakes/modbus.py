"""Modbus devices: one of pymodbus, with what real ones refuse; and a plain one that breaks the protocol when told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.conftest import free_port
from tests.meters.fakes.tcp import Listener

UNIT = 1


def float32(value: float) -> list[int]:
    """The two registers of a float."""
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def words(value: int, count: int = 2) -> list[int]:
    """The registers of an integer, the high one first."""
    return [value >> 16 * (count - 1 - place) & 0xFFFF for place in range(count)]


@dataclass
class Device:
    """What the registers hold, by address, for both functions; and how it answers."""

    registers: dict[int, int] = field(default_factory=dict)
    refusal: ExcCodes | None = None
    delay_s: float = 0.0
    asked: list[tuple[int, int, int]] = field(default_factory=list)  # function, address, count
    at_once: int = 0
    most_at_once: int = 0

    def put(self, address: int, values: list[int]) -> None:
        """From now on these stand there."""
        self.registers |= {address + offset: word for offset, word in enumerate(values)}

    async def act(
        self,
        function: int,
        _start: int,
        address: int,
        count: int,
        current: list[int],
        _written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """One request, as pymodbus hands it over."""
        self.asked.append((function, address, count))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
            if self.refusal is not None:
                return self.refusal
            if not all(address + offset in self.registers for offset in range(count)):
                return ExcCodes.ILLEGAL_ADDRESS
            for offset in range(count):
                current[address - _start + offset] = self.registers[address + offset]
            return None
        finally:
            self.at_once -= 1


@dataclass
class Bus:
    """A server, and the device of unit 1 behind it."""

    device: Device
    port: int
    framer: FramerType
    server: ModbusTcpServer | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        data = [SimData(0, values=0, count=65536, datatype=DataType.REGISTERS)]
        device = SimDevice(1, data, action=self.device.act)
        self.server = ModbusTcpServer(
            device, framer=self.framer, address=("127.0.0.1", self.port), ignore_missing_devices=True
        )
        await self.server.serve_forever(background=True)

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.shutdown()  # type: ignore[no-untyped-call]
            self.server = None


@asynccontextmanager
async def bus(framer: FramerType = FramerType.SOCKET) -> AsyncIterator[Bus]:
    """A device that is there."""
    place = Bus(Device(), free_port(), framer)
    await place.start()
    try:
        yield place
    finally:
        await place.stop()


Behaviour = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


class Plain(Listener):
    """Takes each request for its unit, and sends what ``behaviour`` makes of the right answer."""

    def __init__(self, registers: Mapping[int, int]) -> None:
        super().__init__()
        self.registers = dict(registers)
        self.behaviour: Behaviour | None = None
        self.refusal: int | None = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                while True:
                    request = await reader.readexactly(12)
                    if request[6] != UNIT:
                        continue  # nobody of this number on the bus
                    answer = self._answer(request)
                    if self.behaviour is None:
                        writer.write(answer)
                    else:
                        await self.behaviour(writer, answer)
                    await writer.drain()
            finally:
                self._open.discard(writer)
                writer.close()

    def _answer(self, request: bytes) -> bytes:
        transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", request)
        found = [self.registers.get(address + offset) for offset in range(count)]
        if self.refusal is not None or None in found:
            body = struct.pack(">BBB", unit, function | 0x80, self.refusal or 2)
        else:
            body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *[word or 0 for word in found])
        return struct.pack(">HHH", transaction, 0, len(body)) + body
