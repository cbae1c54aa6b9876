"""The files of the spool as bytes: batches of lines, each with its checksum, and what is left of damaged ones. Pure.

A file is line protocol: the mark that closes a batch is a comment to InfluxDB, so that a file can be posted by hand.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_LINES = 5000  # of a file and of a request; what InfluxDB advises
MAX_B = 1_000_000  # likewise, before gzip
GZIP_LEVEL = 6
FREE_FLOOR_B = 500_000_000  # left to others, or a twentieth of a small disk
LEAST_B = 8_000_000
_UNPACKED_MAX_B = 16 * MAX_B  # a damaged file may unpack to anything
_PIECE_B = 4096
_MARK = re.compile(rb"#spool ([0-9]{13}) ([0-9]{1,6}) ([0-9]{1,8}) ([0-9a-f]{8})\n")
_NAME = re.compile(r"([0-9]{12})(?:-([0-9]{13})-([0-9]{6})\.lp\.gz|\.lp)")


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that were accepted together, each with its newline."""

    utc_ms: int
    lines: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Name:
    """What a file's name says. A packed file says how many lines it holds, and since when the first has waited."""

    seq: int
    utc_ms: int | None = None
    lines: int | None = None

    @property
    def packed(self) -> bool:
        """Whether the file is gzipped."""
        return self.lines is not None

    def __str__(self) -> str:
        if self.lines is None:
            return f"{self.seq:012d}.lp"
        return f"{self.seq:012d}-{self.utc_ms:013d}-{self.lines:06d}.lp.gz"


def parse_name(text: str) -> Name | None:
    """The name of one of our files; None for any other."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    seq, utc_ms, lines = match.groups()
    return Name(int(seq)) if lines is None else Name(int(seq), int(utc_ms), int(lines))


def frame(lines: Sequence[str], utc_ms: int) -> bytes:
    """A batch as it is written: its lines and its mark."""
    payload = "".join(f"{line}\n" for line in lines).encode()
    counted = b"%013d %d %d" % (utc_ms, len(lines), len(payload))
    return b"%s#spool %s %08x\n" % (payload, counted, zlib.crc32(counted, zlib.crc32(payload)))


def salvage(data: bytes) -> tuple[list[Batch], list[bytes]]:
    """The whole batches of a file, in their order, and the pieces between them that are none."""
    batches: list[Batch] = []
    damaged: list[bytes] = []
    end = 0
    for mark in _MARK.finditer(data):
        utc_ms, lines, size, crc = mark.groups()
        start = mark.start() - int(size)
        payload = data[start : mark.start()] if start >= end else b""
        if start < end or zlib.crc32(b"%s %s %s" % (utc_ms, lines, size), zlib.crc32(payload)) != int(crc, 16):
            continue
        if start > end:
            damaged.append(data[end:start])
        batches.append(Batch(int(utc_ms), int(lines), payload))
        end = mark.end()
    if end < len(data):
        damaged.append(data[end:])
    return batches, damaged


def pack(data: bytes, level: int = GZIP_LEVEL) -> bytes:
    """Gzip, the same bytes for the same data."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def unpack(data: bytes) -> bytes:
    """What can be read of gzipped data, which may be cut off or damaged."""
    unpacker = zlib.decompressobj(31)
    found = bytearray()
    try:
        for start in range(0, len(data), _PIECE_B):
            found += unpacker.decompress(data[start : start + _PIECE_B], _UNPACKED_MAX_B)
            if unpacker.eof or len(found) >= _UNPACKED_MAX_B:
                break
    except zlib.error:
        pass
    return bytes(found)


def halves(lines: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Both halves of lines that were refused together, to find out which are to blame."""
    middle = len(lines) // 2
    return lines[:middle], lines[middle:]


def fitting(sizes: Iterable[tuple[int, int]], max_lines: int = MAX_LINES, max_b: int = MAX_B) -> int:
    """How many of these (lines, bytes), from the first on, go together; at least one where there is any."""
    count = lines = size_b = 0
    for more_lines, more_b in sizes:
        lines, size_b = lines + more_lines, size_b + more_b
        if count and (lines > max_lines or size_b > max_b):
            break
        count += 1
    return count


def chunks(lines: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Lines in requests of at most ``size``."""
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def room_b(cap_b: int, used_b: int, free_b: int, disk_b: int) -> int:
    """How large the spool may be: ``cap_b``, and less where the disk would have too little free space for others.

    A few hours of points always have their place: they are why the spool is there.
    """
    keep_free_b = min(FREE_FLOOR_B, disk_b // 20)
    return max(min(cap_b, LEAST_B), min(cap_b, used_b + free_b - keep_free_b))
