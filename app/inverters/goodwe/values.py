"""What a GoodWe inverter measures: blocks of registers to typed values. Pure.

Where the values stand: the library goodwe. A register of 0xFFFF holds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.inverters.goodwe.profiles import Layout
from app.model import Ac, Panel

NOTHING = 0xFFFF
MAX_POWER_W = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Block:
    """Holding registers that are read together."""

    address: int
    count: int


RUNNING: dict[Layout, Block] = {"dt": Block(30100, 73), "et": Block(35100, 125)}
IDENTITY: dict[Layout, Block] = {"dt": Block(30001, 40), "et": Block(35000, 33)}
METER: dict[Layout, Block] = {"dt": Block(30195, 15), "et": Block(36000, 9)}
LINK = Block(36000, 9)  # Wi-Fi, meter status and meter power, on those that have it


@dataclass(frozen=True, slots=True)
class Measured:
    """One answer."""

    ac: Ac
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What it says that it is."""

    model: str | None = None
    serial: str | None = None
    rated_w: float | None = None


@dataclass(frozen=True, slots=True)
class OwnMeter:
    """The GoodWe meter that it reads itself. ``power_w``: as it counts, export is positive on most."""

    connected: bool | None = None
    power_w: float | None = None


class _Words:
    """The registers of a block by their addresses."""

    def __init__(self, block: Block, words: Sequence[int]) -> None:
        self._start, self._words = block.address, words

    def u16(self, address: int, scale: float = 1.0) -> float | None:
        word = self._words[address - self._start]
        return None if word == NOTHING else word * scale

    def s16(self, address: int, scale: float = 1.0) -> float | None:
        word = self._words[address - self._start]
        return None if word in (NOTHING, 0x7FFF, 0x8000) else (word - (word >> 15 << 16)) * scale

    def u32(self, address: int, scale: float = 1.0) -> float | None:
        high, low = self._words[address - self._start : address - self._start + 2]
        return None if high == NOTHING else (high << 16 | low) * scale

    def s32(self, address: int) -> float | None:
        high, low = self._words[address - self._start : address - self._start + 2]
        number = high << 16 | low
        if number in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000):
            return None
        return float(number - (number >> 31 << 32))

    def watts(self, address: int, words: int = 2) -> float | None:
        """A power that can be one."""
        power_w = self.s32(address) if words == 2 else self.s16(address)
        return power_w if power_w is not None and abs(power_w) <= MAX_POWER_W else None

    def text(self, address: int, count: int) -> str | None:
        words = self._words[address - self._start : address - self._start + count]
        raw = b"".join(word.to_bytes(2, "big") for word in words).strip(b"\0\xff ")
        found = raw.decode("ascii", "replace")
        return found if found and found.isprintable() and found.isascii() else None


def measured(layout: Layout, words: Sequence[int]) -> Measured:
    """The values of the block `RUNNING`."""
    of = _Words(RUNNING[layout], words)
    return _grid_only(of) if layout == "dt" else _hybrid(of)


def identity(layout: Layout, words: Sequence[int]) -> Identity:
    """The values of the block `IDENTITY`."""
    of = _Words(IDENTITY[layout], words)
    if layout == "dt":
        return Identity(of.text(30012, 5), of.text(30004, 8))
    return Identity(of.text(35011, 5), of.text(35003, 8), of.u16(35001))


def own_meter(layout: Layout, words: Sequence[int]) -> OwnMeter:
    """The values of the block `METER`."""
    of = _Words(METER[layout], words)
    if layout == "dt":
        status, power_w = of.u16(30209), of.watts(30195)
        return OwnMeter(None if status is None else status == 1.0, power_w)
    return link_meter(words)


def link_meter(words: Sequence[int]) -> OwnMeter:
    """The values of the block `LINK`."""
    of = _Words(LINK, words)
    status = of.u16(36004)
    return OwnMeter(None if status is None else status == 1.0, of.watts(36008, 1))


def _grid_only(of: _Words) -> Measured:
    power_w, factor = of.watts(30127), of.s16(30139, 0.001)
    ac = Ac(
        power_w=None if power_w is None else max(0.0, power_w),
        voltage_v=of.u16(30118, 0.1),
        current_a=of.u16(30121, 0.1),
        frequency_hz=of.u16(30124, 0.01),
        power_factor=factor,
        reactive_power_var=of.watts(30135),
        dc_power_w=of.watts(30137, 1),
        temperature_c=of.s16(30141, 0.1),
        yield_day_wh=of.u16(30144, 100.0),
        yield_total_kwh=of.u32(30145, 0.1),
    )
    panels = (
        _panel(channel, of.u16(30101 + 2 * channel, 0.1), of.u16(30102 + 2 * channel, 0.1)) for channel in (1, 2, 3)
    )
    return Measured(ac, tuple(panel for panel in panels if panel is not None))


def _hybrid(of: _Words) -> Measured:
    power_w = of.watts(35138, 1)
    strings = [of.watts(35101 + 4 * channel) for channel in (1, 2, 3, 4)]
    known = [one for one in strings if one is not None]
    ac = Ac(
        power_w=None if power_w is None else max(0.0, power_w),
        voltage_v=of.u16(35121, 0.1),
        current_a=of.u16(35122, 0.1),
        frequency_hz=of.u16(35123, 0.01),
        dc_power_w=sum(known) if known else None,
        temperature_c=of.s16(35176, 0.1),
        yield_day_wh=of.u32(35193, 100.0),
        yield_total_kwh=of.u32(35191, 0.1),
    )
    panels = (
        _panel(channel, of.u16(35099 + 4 * channel, 0.1), of.u16(35100 + 4 * channel, 0.1), strings[channel - 1])
        for channel in (1, 2, 3, 4)
    )
    return Measured(ac, tuple(panel for panel in panels if panel is not None))


def _panel(
    channel: int, voltage_v: float | None, current_a: float | None, power_w: float | None = None
) -> Panel | None:
    if voltage_v is None:
        return None
    if power_w is None and current_a is not None:
        power_w = voltage_v * current_a
    return Panel(channel, power_w=power_w, voltage_v=voltage_v, current_a=current_a)
