"""What a gateway says of the production, and of storage beside it. Pure.

Clamps tell within seconds; without them the gateway asks its microinverters every 5 to 15 minutes, and tells when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.documents import optional
from app.enphase.clamps import clamps
from app.model import Ac, DeviceDataError

MOST_ROWS = 50
STANDBY_W = 10.0  # what clamps show at night


@dataclass(frozen=True, slots=True)
class Produced:
    """Power, and when it was measured by the gateway's own clock (None: it does not say)."""

    ac: Ac
    stamp_s: float | None = None


def production_clamps(meters: Any) -> int | None:
    """The id of the clamps at the production, out of ``/ivp/meters``; None: there are none in use."""
    try:
        found = [one for one in clamps(meters) if one.kind == "pv"]
    except DeviceDataError:
        return None
    return found[0].eid if found and found[0].measures else None


def by_clamps(readings: Any, eid: int) -> Produced:
    """Out of ``/ivp/meters/readings``. Raises `DeviceDataError`."""
    row = next((row for row in _rows(readings) if row.get("eid") == eid), None)
    power_w = optional(row.get("activePower")) if row is not None else None
    if row is None or power_w is None:
        raise DeviceDataError(f"/ivp/meters/readings shows no activePower of the production clamps (eid {eid})")
    names = ("current", "freq", "pwrFactor", "reactivePwr")
    current_a, frequency_hz, factor, reactive_var = (optional(row.get(name)) for name in names)
    delivered_wh = optional(row.get("actEnergyDlvd"))
    ac = Ac(
        power_w=_settled(power_w),
        voltage_v=_voltage(row),
        current_a=current_a,
        frequency_hz=frequency_hz,
        power_factor=factor,
        reactive_power_var=reactive_var,
        yield_total_kwh=delivered_wh / 1000.0 if delivered_wh is not None else None,
    )
    return Produced(ac, optional(row.get("timestamp")))


def by_document(production: Any) -> Produced:
    """Out of ``/production.json``: clamps where they count, else the microinverters. Raises `DeviceDataError`."""
    rows = _rows(production.get("production") if isinstance(production, dict) else None)
    metered = next((row for row in rows if row.get("type") == "eim" and optional(row.get("activeCount"))), None)
    row = metered or next((row for row in rows if row.get("type") == "inverters"), None)
    power_w = optional(row.get("wNow")) if row is not None else None
    if row is None or power_w is None:
        raise DeviceDataError("/production.json shows no power of clamps or microinverters")
    total_wh, day_wh = optional(row.get("whLifetime")), optional(row.get("whToday"))
    ac = Ac(
        power_w=_settled(power_w),
        voltage_v=optional(row.get("rmsVoltage")) if metered and row.get("lines") is None else None,
        yield_day_wh=day_wh,
        yield_total_kwh=total_wh / 1000.0 if total_wh is not None else None,
    )
    return Produced(ac, optional(row.get("readingTime")) or None)


def by_summary(summary: Any) -> Produced:
    """Out of ``/api/v1/production``, which does not say how old it is. Raises `DeviceDataError`."""
    power_w = optional(summary.get("wattsNow")) if isinstance(summary, dict) else None
    if power_w is None:
        raise DeviceDataError("/api/v1/production shows no wattsNow")
    total_wh, day_wh = optional(summary.get("wattHoursLifetime")), optional(summary.get("wattHoursToday"))
    kwh = total_wh / 1000.0 if total_wh is not None else None
    return Produced(Ac(power_w=_settled(power_w), yield_day_wh=day_wh, yield_total_kwh=kwh))


def stores(inventory: Any) -> bool:
    """Whether ``/ivp/ensemble/inventory`` lists a battery of Enphase's."""
    rows = [row for row in _rows(inventory) if str(row.get("type")).upper() in ("ENCHARGE", "BATTERY")]
    return any(isinstance(row.get("devices"), list) and row["devices"] for row in rows)


def stores_by_document(production: Any) -> bool:
    """Whether ``/production.json`` counts storage: AC Batteries of Enphase's."""
    rows = _rows(production.get("storage") if isinstance(production, dict) else None)
    return any(optional(row.get("activeCount")) for row in rows)


def _voltage(row: dict[str, Any]) -> float | None:
    """Of one phase: the row of several shows their sum."""
    channels = row.get("channels")
    phases = [one for one in channels if isinstance(one, dict)] if isinstance(channels, list) else []
    volts = [volt for volt in (optional(one.get("voltage")) for one in phases[:3]) if volt is not None and volt > 50.0]
    if volts:
        return sum(volts) / len(volts)
    volt = optional(row.get("voltage"))
    return volt if volt is not None and 50.0 < volt < 300.0 else None


def _settled(power_w: float) -> float:
    """At night clamps show a few watts below zero: what the microinverters take."""
    return 0.0 if -STANDBY_W <= power_w < 0.0 else power_w


def _rows(rows: Any) -> list[dict[str, Any]]:
    return [row for row in rows[:MOST_ROWS] if isinstance(row, dict)] if isinstance(rows, list) else []
