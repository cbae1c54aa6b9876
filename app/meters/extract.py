"""Where in a document the power stands, and in which unit: shared by all meters that speak JSON. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from app.documents import optional
from app.fields import Section
from app.jsonpath import JsonPath, look_up
from app.meters.base import watts
from app.meters.freshness import time_stamp
from app.model import DeviceDataError, Phase

UNITS = {"": 1.0, "W": 1.0, "w": 1.0, "kW": 1000.0, "KW": 1000.0, "kw": 1000.0, "mW": 0.001, "mw": 0.001}  # no MW
_WH = {"": 1.0, "wh": 1.0, "kwh": 1000.0, "mwh": 1_000_000.0}
_QUANTITY = re.compile(r"^\s*([+-]?\d+(?:[.,]\d+)?)\s*([a-zA-Z]*)\s*$")


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Paths = Annotated[
    tuple[JsonPath, ...],
    Field(min_length=1, max_length=12),
    BeforeValidator(_one_or_many),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1, "maxItems": 12}),
]


class Extraction(Section):
    """Where the values stand. Give ``path``, or ``import_path`` and ``export_path`` where it counts them apart."""

    plain: ClassVar[bool] = False  # a document may be the power itself, and needs no path

    path: Paths | None = Field(
        None, description="JSONPath of the signed power, positive is import; or a list of them, which is summed"
    )
    import_path: Paths | None = Field(None, description="JSONPath of the power that is taken; with export_path")
    export_path: Paths | None = Field(None, description="JSONPath of the power that is given; with import_path")
    phase_paths: tuple[JsonPath, ...] | None = Field(
        None, max_length=3, description="JSONPath of each phase's signed power; without path, their sum is the power"
    )
    import_energy_path: JsonPath | None = Field(None, description="JSONPath of the imported energy, as it counts it")
    export_energy_path: JsonPath | None = Field(None, description="JSONPath of the exported energy")
    time_path: JsonPath | None = Field(
        None, description="JSONPath of the value's own time, Unix or ISO: a value whose time stands still is an old one"
    )
    sum: bool = Field(False, description="true: a path may match several values, which are summed")
    unit: Literal["W", "kW", "mW"] = Field("W", description="unit of plain numbers; a unit in the answer wins")
    unit_path: JsonPath | None = Field(None, description="JSONPath of the unit of plain numbers, where it is told")
    energy_unit: Literal["Wh", "kWh"] = Field("kWh", description="unit of plain energies; one in the answer wins")
    refuse_zeros: bool = Field(
        False, description="true: power and both energies at 0 is a device that has just started, and no reading"
    )
    alive_path: JsonPath | None = Field(
        None, description="for refuse_zeros: JSONPath of values of which one at least is not 0 in a meter that works"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Extraction:
        apart = (self.import_path is not None) + (self.export_path is not None)
        somewhere = self.path is not None or apart == 2 or bool(self.phase_paths) or self.plain
        if apart == 1 or (apart == 2 and self.path is not None) or not somewhere:
            raise ValueError("give path, or import_path and export_path together, or phase_paths")
        if self.refuse_zeros and self.import_energy_path is None and self.alive_path is None:
            raise ValueError("refuse_zeros: give import_energy_path, which tells a quiet house from a fresh start")
        return self


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a document says: watts, positive is import, and lifetime energies in Wh; None where it does not say.

    ``stamp_s``: when, on the device's own clock.
    """

    power_w: float
    phases: tuple[Phase, ...] = ()
    import_wh: float | None = None
    export_wh: float | None = None
    stamp_s: float | None = None


def extract(document: Any, wanted: Extraction) -> Extracted:
    """The values of a document. Raises `DeviceDataError` naming the path of what is missing or is no power."""
    phases = tuple(Phase(_power(document, path, wanted)) for path in wanted.phase_paths or ())
    if wanted.path is not None:
        power_w = sum(_power(document, path, wanted) for path in wanted.path)
    elif wanted.import_path is not None and wanted.export_path is not None:
        power_w = sum(_one_way(document, path, wanted) for path in wanted.import_path)
        power_w -= sum(_one_way(document, path, wanted) for path in wanted.export_path)
    else:
        power_w = sum(phase.power_w or 0.0 for phase in phases)
    import_wh, export_wh = (
        _energy(document, p, wanted) for p in (wanted.import_energy_path, wanted.export_energy_path)
    )
    if wanted.refuse_zeros and power_w == 0.0 and not import_wh and not export_wh and not _alive(document, wanted):
        raise DeviceDataError("shows 0 W and no energy at all: it has just started, or has no contact to its meter")
    return Extracted(power_w, phases, import_wh, export_wh, _time(document, wanted.time_path))


def quantity(value: Any, what: str, unit: str = "W") -> float:
    """A power in watts out of a number, or a string like ``"-123,4 kW"``. Raises `DeviceDataError` naming ``what``."""
    factor = UNITS[unit]
    if isinstance(value, str):
        match = _QUANTITY.match(value)
        if match is None or match[2] not in UNITS:
            raise DeviceDataError(f"{what} is {value[:40]!r}, not a power")
        if match[2]:
            factor = UNITS[match[2]]
        value = float(match[1].replace(",", "."))
    number = optional(value)
    return watts(value if number is None else number * factor, what)


def _power(document: Any, path: str, wanted: Extraction) -> float:
    found = _found(document, path)
    if not found:
        raise DeviceDataError(f"nothing at {path} in the answer")
    if len(found) > 1 and not wanted.sum:
        raise DeviceDataError(f"{len(found)} values at {path}: name one, or set sum: true")
    unit = wanted.unit if wanted.unit_path is None else _unit(document, wanted.unit_path)
    return sum(quantity(value, path, unit) for value in found)


def _unit(document: Any, path: str) -> str:
    found = _found(document, path)
    if len(found) != 1 or not isinstance(found[0], str) or not found[0] or found[0] not in UNITS:
        raise DeviceDataError(f"{path} is {str(found)[1:-1][:40] or 'missing'}, not one unit of power")
    return found[0]


def _one_way(document: Any, path: str, wanted: Extraction) -> float:
    power_w = _power(document, path, wanted)
    if power_w < 0.0:
        raise DeviceDataError(f"{path} is {power_w:g} W: import and export that are counted apart are never negative")
    return power_w


def _energy(document: Any, path: str | None, wanted: Extraction) -> float | None:
    """A lifetime energy in Wh; whatever is none is unknown: power is what control needs."""
    found = _found(document, path) if path is not None else []
    if len(found) != 1:
        return None
    value, unit = found[0], wanted.energy_unit.lower()
    if isinstance(value, str):
        match = _QUANTITY.match(value)
        if match is None or match[2].lower() not in _WH:
            return None
        value, unit = float(match[1].replace(",", ".")), match[2].lower() or unit
    number = optional(value)
    return None if number is None or number < 0.0 else number * _WH[unit]


def _alive(document: Any, wanted: Extraction) -> bool:
    values = _found(document, wanted.alive_path) if wanted.alive_path is not None else []
    return any(optional(value) for value in values)


def _time(document: Any, path: str | None) -> float | None:
    if path is None:
        return None
    found = _found(document, path)
    if len(found) != 1:
        raise DeviceDataError(f"{len(found) or 'no'} times at {path}: time_path names one")
    return time_stamp(found[0], path)


def _found(document: Any, path: str) -> list[Any]:
    try:
        return look_up(document, path)
    except ValueError as error:
        raise DeviceDataError(str(error)) from None
