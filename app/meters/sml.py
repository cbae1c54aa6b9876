"""SML, the binary telegrams of German meters, as they come out of their infrared eye. Pure.

A frame begins and ends with an escape sequence, is filled up to four bytes, and carries a checksum; the values in it
are integers with a power of ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from smllib.builder.default_context import create_context
from smllib.builder.list_entry import SmlListEntryBuilder
from smllib.crc import kermit, x25
from smllib.errors import SmlLibException
from smllib.sml.list_entry import SmlListEntry
from smllib.sml.response_get_list import SmlGetListResponse
from smllib.sml_frame import SmlFrame
from smllib.sml_frame_snippet import SmlFrameSnippet

from app.meters.obis import Register, Telegram
from app.model import DeviceDataError

ESCAPE = b"\x1b\x1b\x1b\x1b"
START, END = ESCAPE + b"\x01\x01\x01\x01", ESCAPE + b"\x1a"
UNITS = {27: "W", 28: "VA", 29: "var", 30: "Wh", 32: "varh", 33: "A", 35: "V", 44: "Hz"}  # of DLMS
STORAGES = (255, 127)  # the current value; one maker says 127
DIRECTION = 0x2000  # in the status of 1.8.0: the meter exports
POWER = "16.7.0"
MAKER, DZG = "010060320101", b"DZG".hex()
_BROKEN = (SmlLibException, ValueError, TypeError, IndexError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The telegrams of some bytes, in their order, and how many frames were cut off or had a wrong checksum."""

    telegrams: tuple[Telegram, ...]
    broken: int


def decode(data: bytes, *, dzg_fix: bool = False) -> Decoded:
    """Every telegram in ``data`` that is whole. ``dzg_fix``: see `_unwrapped`.

    Raises `DeviceDataError` where that is needed and not given.
    """
    telegrams, broken, start = [], 0, _find(data, START, 0)
    while start >= 0:
        following = _find(data, START, start + len(START))
        end = _find(data, END, start + len(START))
        whole = end >= 0 and (following < 0 or end < following) and end + 8 <= len(data)
        telegram = _telegram(data[start : end + 8], dzg_fix) if whole else None
        if telegram is None:
            broken += 1
        else:
            telegrams.append(telegram)
        start = following
    return Decoded(tuple(telegrams), broken)


def _find(data: bytes, sequence: bytes, start: int) -> int:
    """Where a sequence begins that is none of the data: there, an escape sequence is doubled."""
    found = data.find(sequence, start)
    while found >= 4 and data[found - 4 : found] == ESCAPE:
        found = data.find(sequence, found + 1)
    return found


def _telegram(frame: bytes, dzg_fix: bool) -> Telegram | None:
    """The registers of one frame; None: it is broken."""
    told = frame[-2] << 8 | frame[-1]
    if told not in (x25.get_crc(frame[:-2]), kermit.get_crc(frame[:-2])):  # one maker mistook the second for the first
        return None
    payload = frame[len(START) : -(8 + frame[-3])].replace(ESCAPE + ESCAPE, ESCAPE)
    try:
        entries, stamp_s = _entries(payload)
    except _BROKEN:
        return None
    return _read(entries, stamp_s, dzg_fix) if entries else None


def _entries(payload: bytes) -> tuple[list[SmlListEntry], float | None]:
    """The entries of all lists, and the time of the sensor."""
    try:
        messages = _Frame(payload).parse_frame()
    except _BROKEN:  # what is no register is of many makes; the registers may be right all the same
        return _Frame(payload).get_obis(), None
    lists = [one.message_body for one in messages if isinstance(one.message_body, SmlGetListResponse)]
    times = [_seconds(one.act_sensor_time) for one in lists]
    return [entry for one in lists for entry in one.val_list], next((s for s in times if s is not None), None)


def _read(entries: list[SmlListEntry], stamp_s: float | None, dzg_fix: bool) -> Telegram:
    registers: dict[str, Register] = {}
    status: int | None = None
    maker: Any = None
    for entry in entries:
        if entry.obis == MAKER:
            maker = entry.value
        medium, _, c, d, e, storage = bytes.fromhex(entry.obis)
        number = f"{c}.{d}.{e}"
        if medium != 1 or storage not in STORAGES or number in registers:
            continue
        if number == "1.8.0" and isinstance(entry.status, int):
            status = entry.status
        if stamp_s is None:
            stamp_s = _seconds(entry.val_time)
        value: Any = entry.value
        if isinstance(value, int) and not isinstance(value, bool):
            if dzg_fix and number == POWER:
                value = _unwrapped(value, status)
            value = _scaled(value, entry.scaler)
        unit = "" if entry.unit is None else UNITS.get(entry.unit, f"unit {entry.unit}")
        registers[number] = Register(value if isinstance(value, float | str) else None, unit)
    if maker == DZG and not dzg_fix:
        _refuse_lost_byte(registers.get(POWER), status)
    return Telegram(registers, stamp_s)


def _refuse_lost_byte(power: Register | None, status: int | None) -> None:
    """An export of a meter that may leave out a byte (`_unwrapped`) counts where its status says so as well."""
    exports = power is not None and isinstance(power.value, float) and power.value < 0.0
    if power is not None and exports and status is not None and not status & DIRECTION:
        raise DeviceDataError(
            f"register {POWER} is {power.value:g} W, and the meter's status says that it imports: some meters of DZG "
            "show an import between 328 and 655 W so: say dzg_fix: true"
        )


def _scaled(value: int, scaler: int | None) -> float | None:
    """A value times its power of ten; None where that is out of all bounds."""
    scaler = scaler or 0
    if not -12 <= scaler <= 12 or abs(value) >= 1 << 64:
        return None
    return value * 10.0**scaler if scaler >= 0 else value / 10.0**-scaler


def _unwrapped(value: int, status: int | None) -> int:
    """The power of a meter that leaves out the leading zero byte of a positive one, which is then read as negative.

    Its status tells the direction. Without it nothing is changed: an export must never be taken for an import.
    """
    if value >= 0 or status is None or status & DIRECTION:
        return value
    return value + (1 << 8 * ((-value - 1).bit_length() // 8 + 1))


def _seconds(moment: Any) -> float | None:
    if isinstance(moment, datetime):
        return moment.timestamp()
    return float(moment) if isinstance(moment, int) and not isinstance(moment, bool) and 0 < moment < 1 << 40 else None


class _Frame(SmlFrame):
    """A frame that may be hostile: it holds no more values than bytes, and no longer lists than a meter makes."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload, _CONTEXT)
        self._left = len(payload)

    def get_value(self, pos: int | None = None) -> SmlFrameSnippet:
        """The value at a position. Raises `ValueError`, and what smllib raises."""
        start = self.next_pos if pos is None else pos
        self._left -= 1
        if self._left < 0:
            raise ValueError("more values than bytes")
        if start + 1 < self.buf_len and self.buffer[start] & 0xF0 == 0xF0 and self.buffer[start + 1] & 0x80:
            raise ValueError("a list of more than 255")
        return super().get_value(pos)


class _Entries(SmlListEntryBuilder):
    """Entries of which one without a value does not make the whole list worthless; texts stay hexadecimal."""

    def build(self, obj: SmlFrameSnippet, classes: Any) -> SmlListEntry:
        """One entry."""
        return super(SmlListEntryBuilder, self).build(obj, classes)


_CONTEXT: Any = {**create_context(), SmlListEntry: _Entries()}
