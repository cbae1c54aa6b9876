"""What the meters of an Enphase gateway tell. Pure: documents in, meters out.

``/ivp/meters/readings`` says what they measure now, and ``/production.json?details=1``, which the gateway takes seconds
to compile, the energies of today and of all days.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.documents import optional
from app.enphase.clamps import KINDS, Clamps, clamps, rows
from app.model import DeviceDataError, EnvoyLine, EnvoyMeter

READINGS, REPORT = "/ivp/meters/readings", "/production.json?details=1"
LARGEST = 1e12  # of any value: what is beyond is no measurement, and sums of it stay finite
_LIVE = {
    "power_w": "activePower",
    "current_a": "current",
    "voltage_v": "voltage",
    "reactive_power_var": "reactivePower",
    "apparent_power_va": "apparentPower",
    "power_factor": "pwrFactor",
    "frequency_hz": "freq",
    "forward_wh": "actEnergyDlvd",
    "reverse_wh": "actEnergyRcvd",
}
_REPORTED = {
    "power_w": "wNow",
    "current_a": "rmsCurrent",
    "voltage_v": "rmsVoltage",
    "reactive_power_var": "reactPwr",
    "apparent_power_va": "apprntPwr",
    "power_factor": "pwrFactor",
    "today_wh": "whToday",
    "today_vah": "vahToday",
    "lifetime_wh": "whLifetime",
    "lifetime_vah": "vahLifetime",
}
_ENERGIES = ("today_wh", "today_vah", "lifetime_wh", "lifetime_vah")
_SUMMED = ("power_w", "current_a", "voltage_v", "reactive_power_var", "apparent_power_va")


@dataclass(frozen=True, slots=True)
class Readings:
    """What all meters measure at one moment of the gateway's clock; None: it does not tell the moment."""

    meters: tuple[EnvoyMeter, ...]
    stamp_s: float | None


def measuring(document: Any) -> tuple[Clamps, ...]:
    """The meters that measure something, one of each kind. Raises `DeviceDataError`."""
    found: dict[str, Clamps] = {}
    for one in clamps(document):
        if one.measures:
            found.setdefault(one.kind, one)
    return tuple(found.values())


def readings(document: Any, known: Sequence[Clamps]) -> Readings:
    """What these meters measure, and what follows from it. Raises `DeviceDataError`."""
    by_eid = {row.get("eid"): row for row in rows(document, READINGS) if isinstance(row.get("eid"), int)}
    meters, stamps = [], []
    for one in known:
        row = by_eid.get(one.eid)
        if row is None:
            raise DeviceDataError(f"{READINGS} has no row of the {one.kind} meter, eid {one.eid}")
        stamps.append(number(row.get("timestamp")))
        channels = row.get("channels")
        lines = _lines(channels[: one.phases or 3] if isinstance(channels, list) else [], _LIVE)
        meters.append(_meter(one.kind, _line(row, _LIVE), lines, f"{READINGS}: the {one.kind} meter", one.status))
    told = [stamp for stamp in stamps if stamp is not None]
    return Readings(_completed(meters), max(told, default=None))


def report(document: Any) -> tuple[EnvoyMeter, ...]:
    """All that the gateway's report tells of each meter. Raises `DeviceDataError`.

    Without clamps only the production is known, as the sum of what the micro-inverters reported last.
    """
    if not isinstance(document, dict):
        raise DeviceDataError(f"{REPORT} is no report of production and consumption")
    found: dict[str, EnvoyMeter] = {}
    reported: dict[str, Any] | None = None
    for part in ("production", "consumption"):
        for row in rows(document.get(part, []), REPORT):
            kind = KINDS.get(str(row.get("measurementType")))
            if row.get("type") == "inverters":
                reported = row
            elif kind is not None and number(row.get("activeCount")) != 0.0 and kind not in found:
                given = row.get("lines")
                lines = _lines(given[:3] if isinstance(given, list) else [], _REPORTED)
                meter = _meter(kind, _line(row, _REPORTED), lines, f"{REPORT}: the {kind} meter")
                found[kind] = _without_days(meter) if kind == "grid" else meter
    if "pv" not in found and reported is not None:
        found["pv"] = _meter("pv", _line(reported, _REPORTED), (), f"{REPORT}: the production")
    return tuple(_believed(found))


def with_energies(meters: Iterable[EnvoyMeter], reported: Iterable[EnvoyMeter]) -> tuple[EnvoyMeter, ...]:
    """Live meters with the energies of today and of all days, which only the report has."""
    of = {meter.kind: meter for meter in reported}
    return tuple(_with_energies(meter, of[meter.kind]) if meter.kind in of else meter for meter in meters)


def _with_energies(meter: EnvoyMeter, reported: EnvoyMeter) -> EnvoyMeter:
    lines = {line.phase: line for line in (reported.total, *reported.phases)}

    def filled(line: EnvoyLine) -> EnvoyLine:
        other = lines.get(line.phase)
        return line if other is None else replace(line, **{name: getattr(other, name) for name in _ENERGIES})

    return replace(meter, total=filled(meter.total), phases=tuple(filled(line) for line in meter.phases))


def _without_days(meter: EnvoyMeter) -> EnvoyMeter:
    """At the grid the gateway counts no days: it reports 0."""
    lines = (replace(line, today_wh=None, today_vah=None) for line in meter.phases)
    return replace(meter, total=replace(meter.total, today_wh=None, today_vah=None), phases=tuple(lines))


def _believed(found: Mapping[str, EnvoyMeter]) -> Iterable[EnvoyMeter]:
    """Firmware 8.3.5433 repeats the net as the total consumption: while the sun shines, that is seen and left out."""
    pv, grid, total = (found.get(kind) for kind in ("pv", "grid", "consumption"))
    for meter in found.values():
        repeated = meter is total and grid is not None and _same(meter.total, grid.total)
        if not (repeated and pv is not None and pv.total.power_w):
            yield meter


def _same(one: EnvoyLine, other: EnvoyLine) -> bool:
    return (one.power_w, one.lifetime_wh, one.lifetime_vah) == (other.power_w, other.lifetime_wh, other.lifetime_vah)


def _meter(kind: str, row: EnvoyLine, lines: tuple[EnvoyLine, ...], who: str, status: str = "normal") -> EnvoyMeter:
    """A meter whose total is the sum of the phases that it has, or else what its row says."""
    total = replace(row, **_sums(lines))
    if total.power_w is None:
        raise DeviceDataError(f"{who} tells no power")
    return EnvoyMeter(kind, total, lines, status=status)


def _sums(lines: Sequence[EnvoyLine]) -> dict[str, Any]:
    """What phases add up to, as far as each tells it; voltages are summed as well, as the gateway itself does."""
    columns = {name: [getattr(line, name) for line in lines] for name in _SUMMED}
    return {name: round(sum(values), 6) for name, values in columns.items() if values and None not in values}


def _lines(given: Sequence[Any], names: Mapping[str, str]) -> tuple[EnvoyLine, ...]:
    """The phases that there are: one without voltage is not connected."""
    found = [_line(row, names, phase) for phase, row in enumerate(given, 1) if isinstance(row, dict)]
    return tuple(line for line in found if line.voltage_v is None or line.voltage_v > 0.0)


def _line(row: Mapping[str, Any], names: Mapping[str, str], phase: int = 0) -> EnvoyLine:
    return EnvoyLine(phase, **{name: number(row.get(key)) for name, key in names.items()})


def _completed(meters: Sequence[EnvoyMeter]) -> tuple[EnvoyMeter, ...]:
    """With the third that follows from two: clamps sit at the grid or at the load, and the gateway adds them up."""
    found = {meter.kind: meter for meter in meters}
    pv, grid, load = (found.get(kind) for kind in ("pv", "grid", "consumption"))
    if pv is not None and grid is not None and load is None:
        found["consumption"] = _added("consumption", grid, pv, 1.0)
    elif pv is not None and load is not None and grid is None:
        found["grid"] = _added("grid", load, pv, -1.0)
    return tuple(found[kind] for kind in KINDS.values() if kind in found)


def _added(kind: str, base: EnvoyMeter, pv: EnvoyMeter, sign: float) -> EnvoyMeter:
    """A meter that nobody has, phase by phase; on a phase where no production is measured, there is none."""
    by_phase = {line.phase: line for line in pv.phases}
    if not base.phases or not by_phase.keys() <= {line.phase for line in base.phases}:
        return EnvoyMeter(kind, _added_line(base.total, pv.total, sign, len(base.phases) or 1))
    lines = tuple(_added_line(line, by_phase.get(line.phase, _NONE), sign) for line in base.phases)
    return EnvoyMeter(kind, replace(_added_line(base.total, pv.total, sign), **_sums(lines)), lines)


_NONE = EnvoyLine(power_w=0.0, reactive_power_var=0.0)


def _added_line(base: EnvoyLine, pv: EnvoyLine, sign: float, phases: int = 1) -> EnvoyLine:
    """Powers add up; apparent power, current and power factor follow from them."""
    power_w = _plus(base.power_w, pv.power_w, sign)
    reactive = _plus(base.reactive_power_var, pv.reactive_power_var, sign)
    apparent = None if power_w is None or reactive is None else round(math.hypot(power_w, reactive), 3)
    voltage = base.voltage_v
    return EnvoyLine(
        base.phase,
        power_w,
        None if apparent is None or not voltage else round(apparent * phases / voltage, 3),
        voltage,
        reactive,
        apparent,
        None if power_w is None or not apparent else round(power_w / apparent, 2),
        base.frequency_hz,
    )


def _plus(one: float | None, other: float | None, sign: float) -> float | None:
    return None if one is None or other is None else round(one + sign * other, 6)


def number(value: Any) -> float | None:
    """A number that may be a measurement, or None."""
    found = optional(value)
    return found if found is not None and abs(found) < LARGEST else None
