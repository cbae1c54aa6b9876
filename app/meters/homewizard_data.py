"""What a HomeWizard meter says: ``/api/v1/data``, and ``measurement`` of version 2. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.documents import optional
from app.meters.base import watts
from app.meters.freshness import time_stamp
from app.model import DeviceDataError, Phase


@dataclass(frozen=True, slots=True)
class Fields:
    """The names of the values in one version of the API; ``{}`` stands for the phase."""

    power: str
    phase: tuple[str, str, str]
    single: tuple[str, str]
    imported: str
    exported: str

    @property
    def counters(self) -> tuple[str, ...]:
        """The energies that a meter may count, in all and by tariff."""
        tariffs = (
            name.replace("_kwh", f"_t{tariff}_kwh") for name in (self.imported, self.exported) for tariff in (1, 2)
        )
        return (self.imported, self.exported, *tariffs)


V1 = Fields(
    "active_power_w",
    ("active_power_l{}_w", "active_voltage_l{}_v", "active_current_l{}_a"),
    ("active_voltage_v", "active_current_a"),
    "total_power_import_kwh",
    "total_power_export_kwh",
)
V2 = Fields(
    "power_w",
    ("power_l{}_w", "voltage_l{}_v", "current_l{}_a"),
    ("voltage_v", "current_a"),
    "energy_import_kwh",
    "energy_export_kwh",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement. ``stamp_s``: the meter's own time, of whatever zone; kWh meters have none."""

    power_w: float
    phases: tuple[Phase, ...]
    import_wh: float | None
    export_wh: float | None
    stamp_s: float | None


def parse(document: Any, fields: Fields) -> Measured:
    """A measurement; watts, positive is import. Raises `DeviceDataError`: nothing but the power has to be there."""
    if not isinstance(document, dict):
        raise DeviceDataError("the answer is no measurement")
    if fields.power not in document:
        raise DeviceDataError(f"there is no {fields.power}: the device has no values of the smart meter (yet)")
    power_w = watts(document[fields.power], fields.power)
    imported, exported = (_watt_hours(document.get(name)) for name in (fields.imported, fields.exported))
    counters = [document[name] for name in fields.counters if document.get(name) is not None]
    if power_w == 0.0 and counters and not any(counters):
        raise DeviceDataError("power and all counters are 0: the device has just started, and has no values yet")
    stamp = document.get("timestamp")
    stamp_s = None if stamp is None else time_stamp(stamp, "timestamp")
    return Measured(power_w, _phases(document, fields, power_w), imported, exported, stamp_s)


def _phases(document: Mapping[str, Any], fields: Fields, power_w: float) -> tuple[Phase, ...]:
    """The phases where each has a power and they make up the whole; a meter may show them without sign."""
    keys = [[name.format(number) for name in fields.phase] for number in (1, 2, 3)]
    found = tuple(Phase(*(optional(document.get(name)) for name in names)) for names in keys if names[0] in document)
    if len(found) == 1:  # one phase: what the meter has but once is of that
        voltage_v, current_a = (optional(document.get(name)) for name in fields.single)
        one = found[0]
        found = (Phase(one.power_w, one.voltage_v or voltage_v, one.current_a or current_a),)
    powers_w = [phase.power_w for phase in found if phase.power_w is not None]
    if len(powers_w) < len(found) or abs(sum(powers_w) - power_w) > 10.0 + 0.05 * abs(power_w):
        return ()
    return found


def _watt_hours(value: Any) -> float | None:
    energy_kwh = optional(value)
    return None if energy_kwh is None else 1000.0 * energy_kwh
