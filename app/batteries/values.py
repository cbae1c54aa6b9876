"""Where in a document a battery's charge and power stand. Pure."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from app.batteries.base import BatterySection, percent
from app.documents import optional
from app.jsonpath import JsonPath, look_up
from app.meters.extract import quantity
from app.model import DeviceDataError

_PERCENT = re.compile(r"^\s*([+-]?\d{1,10}(?:[.,]\d{1,10})?)\s*%?\s*$")


class ValuesSection(BatterySection):
    """Keys of a battery that anything tells of."""

    soc_path: JsonPath | None = Field(None, description="JSONPath of the state of charge")
    power_path: JsonPath | None = Field(None, description="JSONPath of the power, positive while it charges")
    soc_scale: float = Field(1.0, gt=0, le=1000, description="100 where the charge is told as a part of one")
    power_unit: Literal["W", "kW", "mW"] = Field("W", description="unit of a plain power; a unit beside it wins")


def soc_pct(document: Any, path: str | None, scale: float) -> float:
    """The state of charge in a document, or that is the document. Raises `DeviceDataError`."""
    value, what = _value(document, path)
    match = _PERCENT.match(value) if isinstance(value, str) else None
    if match is not None:
        value = float(match[1].replace(",", "."))
    number = optional(value)
    return percent(value if number is None else scale * number, what)


def power_w(document: Any, path: str | None, unit: str) -> float:
    """The power in a document, or that is the document. Raises `DeviceDataError`."""
    value, what = _value(document, path)
    return quantity(value, what, unit)


def _value(document: Any, path: str | None) -> tuple[Any, str]:
    if path is None:
        return document, "the message"
    try:
        found = look_up(document, path)
    except ValueError as error:
        raise DeviceDataError(str(error)) from None
    if len(found) != 1:
        raise DeviceDataError(f"{len(found) or 'no'} values at {path}: name one")
    return found[0], path
