"""A small encoder of SML, which makes the telegrams that meters send, and those that they should not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ESCAPE = b"\x1b\x1b\x1b\x1b"
WATT, WATT_HOUR, VOLT = 27, 30, 35
VOID = b"\x01"


def crc_x25(data: bytes) -> int:
    """CRC-16/X-25, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc ^ 0xFFFF


def text(data: bytes) -> bytes:
    """An octet string."""
    size = len(data) + 1
    return bytes([size]) + data if size < 16 else bytes([0x80 | (size + 1) >> 4, (size + 1) & 0x0F]) + data


def integer(value: int, size: int, *, signed: bool = True) -> bytes:
    """A number of so many bytes."""
    return bytes([(0x50 if signed else 0x60) | size + 1]) + value.to_bytes(size, "big", signed=signed)


def array(*parts: bytes) -> bytes:
    """A list."""
    return bytes([0x70 | len(parts)]) + b"".join(parts)


@dataclass(frozen=True)
class Entry:
    """One register. ``raw``: bytes in place of the value."""

    number: str
    value: int = 0
    unit: int | None = WATT
    scaler: int | None = 0
    size: int = 4
    status: int | None = None
    storage: int = 255
    raw: bytes | None = None

    def encoded(self) -> bytes:
        obis = bytes([1, 0, *map(int, self.number.split(".")), self.storage])
        return array(
            text(obis),
            VOID if self.status is None else integer(self.status, 4, signed=False),
            VOID,
            VOID if self.unit is None else integer(self.unit, 1, signed=False),
            VOID if self.scaler is None else integer(self.scaler, 1),
            integer(self.value, self.size) if self.raw is None else self.raw,
            VOID,
        )


def message(tag: int, body: bytes) -> bytes:
    """One of the messages of a file; its own checksum is not looked at."""
    return array(
        text(b"\x00\x01"),
        integer(0, 1, signed=False),
        integer(0, 1, signed=False),
        array(integer(tag, 2, signed=False), body),
        integer(0, 2, signed=False),
        b"\x00",
    )


def payload(entries: Sequence[Entry], seconds: int | None) -> bytes:
    """What a frame holds: opening, list, closing."""
    server = text(b"\x0a\x01TST\x00\x00\x00\x00\x01")
    time = VOID if seconds is None else array(integer(1, 1, signed=False), integer(seconds, 4, signed=False))
    return (
        message(0x0101, array(VOID, VOID, text(b"file"), server, VOID, VOID))
        + message(0x0701, array(VOID, server, VOID, time, array(*(one.encoded() for one in entries)), VOID, VOID))
        + message(0x0201, array(VOID))
    )


def framed(content: bytes, *, crc: int | None = None) -> bytes:
    """A frame around whatever it is to hold."""
    content = content.replace(ESCAPE, ESCAPE + ESCAPE)
    padding = -len(content) % 4
    body = ESCAPE + b"\x01\x01\x01\x01" + content + b"\x00" * padding + ESCAPE + bytes([0x1A, padding])
    return body + (crc_x25(body) if crc is None else crc).to_bytes(2, "little")


def frame(*entries: Entry, seconds: int | None = None) -> bytes:
    """The telegram of a meter."""
    return framed(payload(entries, seconds))


def household(power_w: float, seconds: int | None, *, import_wh: int = 5000) -> bytes:
    """A whole telegram as it should be."""
    return frame(
        Entry("1.8.0", import_wh * 10, WATT_HOUR, -1, size=8, status=0x1C0104),
        Entry("2.8.0", 0, WATT_HOUR, -1, size=8),
        Entry("16.7.0", round(power_w * 100), WATT, -2),
        seconds=seconds,
    )
