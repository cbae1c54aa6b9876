"""What a recording looks like: gzip JSON lines, a header and then one line per tick. Pure: bytes in, bytes out."""

from __future__ import annotations

import math
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import chain

from pydantic import ConfigDict, RootModel, ValidationError
from pydantic_core import from_json

from app.control import ControlSettings
from app.model import Tick

FORMAT = 1
GZIP_WBITS = 31  # zlib's number for "gzip, largest window"
_GZIP_MAGIC = b"\x1f\x8b"
_HEADER = re.compile(rb'\s*\{\s*"format"\s*:\s*(\d+)')
# where there is an @, what stands before or after it may be a part of a password
_URL = re.compile(rb'(https?://)(?:[^\s"\\]*@|([^\s/?#"\\]*))[^\s"\\]*')


class RecordingError(Exception):
    """A recording that cannot be replayed; the text is ``file:line: what is wrong``."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a segment: everything that a replay needs besides the ticks.

    ``run`` names a sequence of ticks without a gap, which may go on over several segments; ``index`` counts its
    ticks before this segment. ``from_start``: it begins with the first tick of the process.
    """

    format: int
    app: str
    site: str
    run: str
    from_start: bool
    utc_s: float
    settings: ControlSettings
    inverters: tuple[str, ...] = ()
    index: int = 0


@dataclass(frozen=True, slots=True)
class TickLine:
    """One recorded tick, and the number of its line."""

    number: int
    tick: Tick


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about a recording that is no error."""

    text: str


class _HeaderLine(RootModel[Header]):
    model_config = ConfigDict(ser_json_inf_nan="strings")


class _TickLine(RootModel[Tick]):
    model_config = ConfigDict(ser_json_inf_nan="strings")


def encode_header(header: Header) -> bytes:
    """The line of a header."""
    return _HeaderLine.model_construct(header).model_dump_json(warnings=False).encode() + b"\n"


def encode_tick(tick: Tick) -> bytes:
    """The line of a tick. Of addresses in its texts only the host is kept: the rest may hold a login or a token."""
    line = (
        _TickLine.model_construct(replace(tick, outlook=None, envoy=None)).model_dump_json(warnings=False).encode()
        + b"\n"
    )
    return _URL.sub(rb"\1\2", line) if b"://" in line else line


def decode(chunks: Iterable[bytes], name: str) -> Iterator[Header | TickLine | Note]:
    """What the lines of a file say, gzip or not, up to where it was cut off. Raises `RecordingError`."""
    number = 0
    last_s: float | None = None  # when the tick before was; None before the first header
    lines = _lines(chunks)
    try:
        for number, line in enumerate(lines, 1):
            wrong = "is no JSON"
            if not line.strip():
                continue
            if _is_json(line):
                if last_s is None or _HEADER.match(line):
                    last_s = -math.inf
                    yield from _header(line, f"{name}:{number}")
                    continue
                tick = _tick(line, f"{name}:{number}")
                if not tick.snapshot.now_s <= last_s:
                    last_s = tick.snapshot.now_s
                    yield TickLine(number, tick)
                    continue
                wrong = "is not later than the tick before it"
            deque(lines, 0)  # damaged gzip may be unpacked to anything, until here it raises zlib.error
            if line.endswith(b"\n"):
                raise RecordingError(f"{name}:{number}: {wrong}")
            yield Note(f"{name}:{number}: the file was cut off within this line")
    except (EOFError, zlib.error) as error:
        if number == 0 and isinstance(error, zlib.error):
            raise RecordingError(f"{name}:1: is damaged: {error}") from None
        why = f"it is damaged ({error})" if str(error) else "it was cut off, or is still being written"
        yield Note(f"{name}:{number}: the file can be read up to about here: {why}")
    if number == 0:
        yield Note(f"{name}:1: the file is empty")


def _header(line: bytes, where: str) -> Iterator[Header | Note]:
    match = _HEADER.match(line)
    if match is None:
        raise RecordingError(f"{where}: is no header, so this is no recording of ticks")
    if int(match[1]) != FORMAT:
        raise RecordingError(f"{where}: the format is {int(match[1])}; this version reads {FORMAT}")
    try:
        header = _HeaderLine.model_validate_json(line).root
    except ValidationError as error:
        raise _error(error, where) from None
    recorded, known = set(from_json(line)["settings"]), {field.name for field in fields(ControlSettings)}
    if recorded - known:
        yield Note(f"{where}: recorded settings that this version does not have: {_list(recorded - known)}")
    if known - recorded:
        yield Note(f"{where}: settings that were not recorded, used with their defaults: {_list(known - recorded)}")
    yield header


def _tick(line: bytes, where: str) -> Tick:
    try:
        return _TickLine.model_validate_json(line).root
    except ValidationError as error:
        raise _error(error, where) from None


def _error(error: ValidationError, where: str) -> RecordingError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    text = "is missing" if first["type"] == "missing" else f"{first['msg'][0].lower()}{first['msg'][1:]}"
    return RecordingError(f"{where}: {path}: {text}" if path else f"{where}: {text}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _is_json(line: bytes) -> bool:
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends; a last one without an end is one that was cut off."""
    rest = b""
    for chunk in _inflated(chunks):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The contents, also of gzip files joined into one. Raises EOFError where the end is missing, or zlib.error."""
    rest_of_file = iter(chunks)
    first = next(rest_of_file, b"")
    if not first.startswith(_GZIP_MAGIC):
        yield from chain((first,), rest_of_file)
        return
    inflate = zlib.decompressobj(GZIP_WBITS)
    for chunk in chain((first,), rest_of_file):
        left = chunk
        while left:
            if inflate.eof:
                inflate = zlib.decompressobj(GZIP_WBITS)
            yield inflate.decompress(left)
            left = inflate.unused_data
    if not inflate.eof:
        raise EOFError
