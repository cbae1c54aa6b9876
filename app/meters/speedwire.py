r"""The datagrams of SMA energy meters (Speedwire, protocol 0x6069). Pure.

``SMA\0``, a tag, the length of the data set, the protocol, who it is (SUSy and serial), a clock of milliseconds, and
then values: channel, index, kind, tariff, and 4 or 8 bytes. All numbers have their high byte first.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.meters.base import MAX_POWER_W, watts
from app.model import DeviceDataError, Phase

METER = 0x6069  # other protocols on the same port are inverters that look for each other
LENGTH_AT, PROTOCOL_AT, SUSY_AT, SERIAL_AT, TICKER_AT, VALUES_AT = 12, 16, 18, 20, 24, 28
TICKER_TURN = 2**32  # milliseconds: 49.7 days
_START = b"SMA\0\x00\x04\x02\xa0"
_NO_COUNTER = 2**64 - 1
IMPORT, EXPORT, VOLTAGE, CURRENT, FACTOR = 1, 2, 32, 31, 33  # those of phase 1; the next one 20 further
Values = dict[tuple[int, int], int]  # by index and kind


@dataclass(frozen=True, slots=True)
class Telegram:
    """What one datagram tells. ``susy``: the kind of device. ``ticker_ms`` begins anew with it, and after 49.7 days."""

    susy: int
    power_w: float
    phases: tuple[Phase, ...]
    import_wh: float | None
    export_wh: float | None
    ticker_ms: int


def sender(datagram: bytes) -> int | None:
    """The serial number of the meter that a datagram comes from; None: it is no meter's."""
    if not datagram.startswith(_START) or len(datagram) < VALUES_AT or _u16(datagram, PROTOCOL_AT) != METER:
        return None
    return int.from_bytes(datagram[SERIAL_AT:TICKER_AT])


def parse(datagram: bytes) -> Telegram:
    """The values of a meter's datagram; watts, positive is import. Raises `DeviceDataError` for a broken one."""
    if sender(datagram) is None:
        raise DeviceDataError("a datagram that is no energy meter's")
    values = _values(datagram)
    missing = [name for index, name in ((IMPORT, "1.4.0"), (EXPORT, "2.4.0")) if (index, 4) not in values]
    if missing:
        raise DeviceDataError(f"the datagram has no {' and no '.join(missing)}: the power is not known")
    power_w = watts((values[IMPORT, 4] - values[EXPORT, 4]) / 10.0, "1.4.0 less 2.4.0")
    imported, exported = (_watt_hours(values.get((index, 8))) for index in (IMPORT, EXPORT))
    if values[IMPORT, 4] == values[EXPORT, 4] == 0 and imported == 0.0 and exported == 0.0:
        raise DeviceDataError("power and both counters are 0: the meter has just started, and has no values yet")
    phases = tuple(phase for phase in (_phase(values, 20 * number) for number in (1, 2, 3)) if phase is not None)
    ticker_ms = int.from_bytes(datagram[TICKER_AT:VALUES_AT])
    return Telegram(_u16(datagram, SUSY_AT), power_w, phases, imported, exported, ticker_ms)


def _values(datagram: bytes) -> Values:
    """All values of channel 0 up to the end tag, unknown ones among them."""
    end = PROTOCOL_AT + _u16(datagram, LENGTH_AT)
    if not VALUES_AT <= end <= len(datagram):
        raise DeviceDataError(f"a broken datagram: {len(datagram)} bytes, {end} are announced")
    values: Values = {}
    at = VALUES_AT
    while at + 4 <= end and any(datagram[at : at + 4]):
        channel, index, kind, _tariff = datagram[at : at + 4]
        size = 8 if kind == 8 else 4
        at += 4
        if at + size > end:
            raise DeviceDataError(f"a broken datagram: it ends in the middle of value {index}.{kind}.0")
        if channel == 0:
            values[index, kind] = int.from_bytes(datagram[at : at + size])
        at += size
    return values


def _phase(values: Values, offset: int) -> Phase | None:
    """A phase, where both its directions are there and can be."""
    imported, exported = values.get((offset + IMPORT, 4)), values.get((offset + EXPORT, 4))
    if imported is None or exported is None or max(imported, exported) > 10 * MAX_POWER_W:
        return None
    voltage, current, factor = (values.get((offset - 20 + index, 4)) for index in (VOLTAGE, CURRENT, FACTOR))
    return Phase((imported - exported) / 10.0, _thousandth(voltage), _thousandth(current), _thousandth(factor))


def _thousandth(value: int | None) -> float | None:
    return None if value is None or value >= 2**31 else value / 1000.0


def _watt_hours(watt_seconds: int | None) -> float | None:
    return None if watt_seconds in (None, _NO_COUNTER) else (watt_seconds or 0) / 3600.0


def _u16(datagram: bytes, at: int) -> int:
    return int.from_bytes(datagram[at : at + 2])
