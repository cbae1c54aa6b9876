"""Registers of Modbus meters: where they stand, how they are written, and the models of registers.yaml."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from app.fields import Section
from app.model import DeviceDataError
from app.yamlfile import load_plain

FILE = Path(__file__).with_name("registers.yaml")
PRODUCTS, COMMON = "products", "all"
LONGEST_SPAN = 100  # registers in one request; the protocol allows 125
_FORMATS = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f"}

Words = Mapping[tuple[int, int], int]  # by function and address


class Register(Section):
    """One value of a device."""

    address: int = Field(ge=0, le=65535, description="counted from 0, as it is sent; 0x34 is a number, too")
    function: Literal[3, 4] = Field(description="3 for holding registers, 4 for input registers")
    type: Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"] = Field(
        description="int16, uint16, int32, uint32, int64, uint64 or float32"
    )
    scale: float = Field(1.0, description="so many W (or Wh) are one count")
    word_order: Literal["big", "little"] = Field("big", description="little: the low word comes first")

    @field_validator("scale")
    @classmethod
    def _some(cls, value: float) -> float:
        if value == 0.0:
            raise ValueError("a scale of 0 makes every value 0")
        return value

    @property
    def count(self) -> int:
        """How many registers of 16 bits it takes."""
        return struct.calcsize(_FORMATS[self.type]) // 2


@dataclass(frozen=True, slots=True)
class Span:
    """Registers that are read by one request."""

    function: int
    address: int
    count: int


def spans(registers: Iterable[Register]) -> tuple[Span, ...]:
    """The fewest requests that read all of them and nothing between: a hole may be an illegal address."""
    found: list[Span] = []
    for one in sorted(registers, key=lambda one: (one.function, one.address)):
        end = one.address + one.count
        last = found[-1] if found else None
        if last is not None and last.function == one.function and one.address <= last.address + last.count:
            count = max(last.count, end - last.address)
            if count <= LONGEST_SPAN:
                found[-1] = Span(last.function, last.address, count)
                continue
        found.append(Span(one.function, one.address, one.count))
    return tuple(found)


def value(words: Words, register: Register) -> float:
    """A value in its unit. Raises `DeviceDataError` for what devices write where they have none."""
    parts = [words[register.function, register.address + offset] for offset in range(register.count)]
    if register.word_order == "little":
        parts.reverse()
    raw = struct.pack(f">{len(parts)}H", *parts)
    (number,) = struct.unpack(f">{_FORMATS[register.type]}", raw)
    if number in _markers(register.type) or not math.isfinite(number):
        raise DeviceDataError(
            f"register {register.address} holds 0x{raw.hex().upper()}, which says that there is no value"
        )
    return float(number) * register.scale


def _markers(kind: str) -> tuple[int, ...]:
    """What stands for "not available": the extremes of the type, and for unsigned ones the lowest signed one, too."""
    if kind == "float32":
        return ()
    half = 1 << (int(kind.removeprefix("u").removeprefix("int")) - 1)
    return (half, 2 * half - 1) if kind.startswith("u") else (-half, half - 1)


@functools.cache
def models() -> dict[str, dict[str, Any]]:
    """The registers of every model, as in a section of the configuration, and what its products are called."""
    found: dict[str, dict[str, Any]] = {}
    for name, given in load_plain(FILE).items():
        common = given.pop(COMMON)
        found[name] = {key: part if key == PRODUCTS else _filled(part, common) for key, part in given.items()}
    return found


def _filled(given: Any, common: Mapping[str, Any]) -> Any:
    if isinstance(given, list):
        return [_filled(one, common) for one in given]
    return {**common, **(given if isinstance(given, dict) else {"address": given})}
