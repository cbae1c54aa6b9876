"""What goes out on MQTT about an Enphase gateway: four documents, whose keys others rely on as they are spelt. Pure.

They are those of dbus-enphase-envoy, so that what reads its topics (dbus-mqtt-grid, dbus-mqtt-pv, …) reads ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.api.values import number
from app.model import EnvoyDevice, EnvoyLine, EnvoyMeter, EnvoyState

LEAST_PV_W = 5.0  # production below it is shown as none there: without sun the clamps see 1 or 2 W
GROUPS = {"inverter": "inverters", "battery": "batteries", "relay": "relais"}
_MEASURED = {
    "power": "power_w",
    "current": "current_a",
    "voltage": "voltage_v",
    "power_react": "reactive_power_var",
    "power_appearent": "apparent_power_va",
}
_OF_A_PHASE = {"power_factor": "power_factor", "frequency": "frequency_hz"}
_ENERGIES = {
    "whToday": "today_wh",
    "vahToday": "today_vah",
    "whLifetime": "lifetime_wh",
    "vahLifetime": "lifetime_vah",
}
Json = dict[str, Any]


def documents(envoy: EnvoyState) -> dict[str, Json]:
    """Each document that there is something to say in, by the end of its topic. What is unknown has no key."""
    found: dict[str, Json] = {}
    if envoy.meters:
        found["meters"] = {meter.kind: _meter(meter) for meter in envoy.meters}
    if envoy.devices is not None:
        found["devices"] = {
            name: {one.serial: _device(one) for one in envoy.devices if one.kind == kind}
            for kind, name in GROUPS.items()
        }
    if envoy.microinverters is not None:
        found["inverters"] = {
            one.serial: _known(lastReportDate=_whole(one.reported_utc_s), lastReportWatts=_whole(one.power_w))
            for one in envoy.microinverters
        }
    if envoy.events is not None:
        found["events"] = {
            one.id: {
                "message": one.message,
                "serialNumber": one.serial,
                "type": one.type,
                "datetime": one.datetime,
            }
            for one in envoy.events
        }
    return found


def _meter(meter: EnvoyMeter) -> Json:
    phases = {f"L{line.phase}": _line(meter.kind, line, _MEASURED | _OF_A_PHASE | _ENERGIES) for line in meter.phases}
    return phases | _line(meter.kind, meter.total, _MEASURED | _ENERGIES)


def _line(kind: str, line: EnvoyLine, names: dict[str, str]) -> Json:
    if kind == "pv" and line.power_w is not None and line.power_w < LEAST_PV_W:
        line = replace(line, power_w=0.0, current_a=0.0)
    values = {key: number(getattr(line, name)) for key, name in names.items()}
    if kind == "grid" and line.lifetime_wh is not None:
        values |= {"whToday": 0.0, "vahToday": 0.0}  # what the gateway reports there: it counts no days
    return _known(**values, **_counters(kind, line))


def _counters(kind: str, line: EnvoyLine) -> Json:
    """In kWh; at the grid the clamps' own, since the report of the gateway does not tell what was exported."""
    if kind != "grid":
        return {"energy_forward": _kwh(line.lifetime_wh)}
    return {"energy_forward": _kwh(line.forward_wh), "energy_reverse": _kwh(line.reverse_wh)}


def _kwh(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else number(energy_wh / 1000.0)


def _device(device: EnvoyDevice) -> Json:
    return {"status": list(device.status)} | _known(
        producing=device.producing,
        communicating=device.communicating,
        provisioned=device.provisioned,
        operating=device.operating,
        relay=device.relay,
        reason=device.reason,
    )


def _known(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _whole(value: float | None) -> float | int | None:
    """A whole number as one: that is how the gateway writes them."""
    return int(value) if value is not None and value.is_integer() else value
