"""What an Enphase gateway tells, as samples of the metric families. What is unknown has none. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.api.families import Labels, Sample
from app.api.values import age_s
from app.model import BatteryState, EnvoyDevice, EnvoyLine, EnvoyState
from app.telemetry.points import ENVOY_DEVICE, envoy_phase, known

_JOULES_PER_WH = 3600.0


def envoy_samples(envoy: EnvoyState, now_s: float) -> Iterator[Sample]:
    """All of it."""
    for meter in envoy.meters:
        yield "envoy_age_seconds", {"kind": meter.kind}, age_s(meter.at_s, now_s)
        for line in (meter.total, *meter.phases):
            yield from _line(line, {"kind": meter.kind, "phase": envoy_phase(line)})
    for one in envoy.microinverters or ():
        yield "microinverter_power_watts", {"serial": one.serial}, one.power_w
        yield "microinverter_report_timestamp_seconds", {"serial": one.serial}, one.reported_utc_s
    for device in envoy.devices or ():
        yield from _device(device)
    if envoy.battery is not None:
        yield from _battery(envoy.battery)


def _line(line: EnvoyLine, labels: Labels) -> Iterator[Sample]:
    yield "envoy_power_watts", labels, line.power_w
    yield "envoy_current_amperes", labels, line.current_a
    yield "envoy_voltage_volts", labels, line.voltage_v
    yield "envoy_reactive_power_var", labels, line.reactive_power_var
    yield "envoy_apparent_power_voltamperes", labels, line.apparent_power_va
    yield "envoy_power_factor_ratio", labels, line.power_factor
    yield "envoy_frequency_hertz", labels, line.frequency_hz
    yield "envoy_today_joules", labels, _joules(line.today_wh)
    yield "envoy_lifetime_joules", labels, _joules(line.lifetime_wh)
    yield "envoy_forward_joules_total", labels, _joules(line.forward_wh)
    yield "envoy_reverse_joules_total", labels, _joules(line.reverse_wh)


def _device(device: EnvoyDevice) -> Iterator[Sample]:
    labels = {"serial": device.serial, "kind": device.kind}
    for name, value in known(ENVOY_DEVICE, device):
        if not isinstance(value, str):
            yield f"envoy_device_{name}", labels, value


def _battery(battery: BatteryState) -> Iterator[Sample]:
    yield "envoy_battery_charge_ratio", {}, None if battery.soc_pct is None else 0.01 * battery.soc_pct
    yield "envoy_battery_power_watts", {}, battery.power_w
    yield "envoy_battery_capacity_joules", {}, _joules(battery.capacity_wh)


def _joules(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else energy_wh * _JOULES_PER_WH
