"""One GoodWe inverter at the end of a Modbus connection: what it measures, and the registers that limit it."""

from __future__ import annotations

from typing import Any

from app.inverters.goodwe.profiles import Layout, Register
from app.inverters.goodwe.values import (
    IDENTITY,
    LINK,
    METER,
    NOTHING,
    RUNNING,
    Block,
    Identity,
    Measured,
    OwnMeter,
    identity,
    link_meter,
    measured,
    own_meter,
)
from app.modbus import ModbusClient
from app.model import DeviceDataError, DeviceError, DeviceUnavailable

HOLDING = 3
ALONE = "It serves one Modbus client at a time: is another one connected?"


class Device:
    """Reads and writes the registers of one unit. Everything raises `DeviceError`."""

    def __init__(self, client: ModbusClient, unit: int, layout: Layout) -> None:
        self._client, self._unit, self._layout = client, unit, layout

    @staticmethod
    def client(shared: dict[Any, Any], host: str, timeout_s: float) -> ModbusClient:
        """The connection to a host: one for all inverters behind it, since most dongles take no second one."""
        key = ("goodwe", host)
        if key not in shared:
            shared[key] = ModbusClient(host, timeout_s, who=f"the GoodWe at {host}")
        found: ModbusClient = shared[key]
        return found

    async def measured(self) -> Measured:
        """What it gives now."""
        return measured(self._layout, await self._block(RUNNING[self._layout]))

    async def identity(self) -> Identity:
        """What it says that it is."""
        return identity(self._layout, await self._block(IDENTITY[self._layout]))

    async def own_meter(self) -> OwnMeter | None:
        """The GoodWe meter that it reads itself; None where it shows none."""
        for block, parse in ((METER[self._layout], lambda words: own_meter(self._layout, words)), (LINK, link_meter)):
            try:
                words = await self._block(block)
            except DeviceDataError:
                continue
            found = parse(words)
            if found.connected is not None and found.power_w is not None:
                return found
        return None

    async def held(self, registers: tuple[Register, ...]) -> dict[int, int]:
        """What these registers hold."""
        found: dict[int, int] = {}
        for one in registers:
            words = await self._block(Block(one.address, one.words))
            if all(word == NOTHING for word in words):
                raise DeviceDataError(f"register {one.address} of the GoodWe holds nothing: check profile and control")
            found[one.address] = sum(word << 16 * place for place, word in enumerate(reversed(words)))
        return found

    async def write(self, register: Register, value: int) -> None:
        """Write one value."""
        words = [value >> 16 * place & 0xFFFF for place in reversed(range(register.words))]
        try:
            await self._client.write(register.address, words, self._unit)
        except DeviceUnavailable as error:
            raise alone(error) from None

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        self._client.close()

    async def _block(self, block: Block) -> list[int]:
        try:
            return await self._client.read(HOLDING, block.address, block.count, self._unit)
        except DeviceUnavailable as error:
            raise alone(error) from None


def alone(error: DeviceError) -> DeviceError:
    """The same, with the most common cause."""
    return error.saying(f"{error}. {ALONE}")
