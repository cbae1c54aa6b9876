"""What an Enphase gateway tells, as plain JSON values. Pure."""

from __future__ import annotations

from typing import Any

from app.api.values import age_s, number
from app.model import BatteryState, EnvoyDevice, EnvoyLine, EnvoyMeter, EnvoyState, Microinverter, Snapshot


def envoy(state: EnvoyState, snapshot: Snapshot, now_s: float) -> dict[str, Any]:
    """Everything that is known of it."""
    utc_s = snapshot.utc_s + max(0.0, now_s - snapshot.now_s)
    return {
        "name": state.name,
        "serial": state.serial,
        "software": state.software,
        "meters": [_meter(meter, now_s) for meter in state.meters],
        "microinverters": _many(state.microinverters, lambda one: _microinverter(one, utc_s)),
        "devices": _many(state.devices, _device),
        "battery": None if state.battery is None else _battery(state.battery, now_s),
        "events": len(state.news),
        "notes": list(state.notes),
    }


def _many(items: Any, shown: Any) -> list[dict[str, Any]] | None:
    return None if items is None else [shown(item) for item in items]


def _meter(meter: EnvoyMeter, now_s: float) -> dict[str, Any]:
    return {
        "kind": meter.kind,
        "status": meter.status,
        "age_s": age_s(meter.at_s, now_s),
        **_line(meter.total),
        "phases": [{"phase": line.phase, **_line(line)} for line in meter.phases],
    }


def _line(line: EnvoyLine) -> dict[str, Any]:
    return {
        "power_w": number(line.power_w),
        "voltage_v": number(line.voltage_v),
        "current_a": number(line.current_a),
        "reactive_power_var": number(line.reactive_power_var),
        "apparent_power_va": number(line.apparent_power_va),
        "power_factor": number(line.power_factor),
        "frequency_hz": number(line.frequency_hz),
        "today_wh": number(line.today_wh),
        "lifetime_wh": number(line.lifetime_wh),
    }


def _microinverter(one: Microinverter, utc_s: float) -> dict[str, Any]:
    return {"serial": one.serial, "power_w": number(one.power_w), "age_s": age_s(one.reported_utc_s, utc_s)}


def _device(device: EnvoyDevice) -> dict[str, Any]:
    return {
        "serial": device.serial,
        "kind": device.kind,
        "status": list(device.status),
        "producing": device.producing,
        "communicating": device.communicating,
        "provisioned": device.provisioned,
        "operating": device.operating,
        "relay": device.relay,
        "reason": device.reason,
    }


def _battery(battery: BatteryState, now_s: float) -> dict[str, Any]:
    return {
        "soc_pct": number(battery.soc_pct),
        "power_w": number(battery.power_w),
        "capacity_wh": number(battery.capacity_wh),
        "age_s": age_s(battery.at_s, now_s),
    }
