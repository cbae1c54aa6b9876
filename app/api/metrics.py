"""A tick as Prometheus text (format 0.0.4), in base units. What is unknown has no sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.api.status import age_s, all_faults, number
from app.model import Fault, GatewayState, InverterState, MeterState, Mode, Settings, Tick

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "zero_export_"
_JOULES_PER_WH = 3600.0


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its name without prefix, its type and its help line."""

    name: str
    kind: str
    text: str


METRICS = tuple(
    Metric(*row)
    for row in (
        ("info", "gauge", "Version and site of this controller."),
        ("enabled", "gauge", "1 while zero export is switched on, 0 while it is paused."),
        ("dry_run", "gauge", "1 while limits are computed and never sent."),
        ("mode", "gauge", "1 for the mode in force, 0 for the others."),
        ("fault", "gauge", "1 for each fault that is there."),
        ("tick_age_seconds", "gauge", "Time since the control loop last turned."),
        ("step_seconds", "gauge", "Duration of the last control step."),
        ("broker_connected", "gauge", "1 while the MQTT broker is connected."),
        ("grid_power_watts", "gauge", "Grid power; positive is import, negative is export."),
        ("pv_power_watts", "gauge", "AC power of all inverters."),
        ("load_power_watts", "gauge", "Estimated power of the household."),
        ("limit_watts", "gauge", "Sum of the limits in force."),
        ("setpoint_watts", "gauge", "Ceiling of the site that the law asks for."),
        ("target_watts", "gauge", "Grid power that is regulated to."),
        ("target_point_watts", "gauge", "Grid power that is set as the target."),
        ("meter_age_seconds", "gauge", "Age of the last meter reading."),
        ("meter_latency_seconds", "gauge", "Time the meter took for its last answer."),
        ("meter_import_joules_total", "counter", "Import counted by the meter itself."),
        ("meter_export_joules_total", "counter", "Export counted by the meter itself."),
        ("meter_phase_power_watts", "gauge", "Power per phase; positive is import."),
        ("meter_phase_voltage_volts", "gauge", "Voltage per phase."),
        ("meter_phase_current_amperes", "gauge", "Current per phase."),
        ("inverter_reachable", "gauge", "1 while the gateway reaches the inverter."),
        ("inverter_producing", "gauge", "1 while the inverter produces."),
        ("inverter_power_watts", "gauge", "AC power."),
        ("inverter_age_seconds", "gauge", "Age of the last reported power."),
        ("inverter_limit_watts", "gauge", "Limit last sent."),
        ("inverter_acked_limit_watts", "gauge", "Limit that the gateway shows as acknowledged."),
        ("inverter_max_watts", "gauge", "Highest limit."),
        ("inverter_temperature_celsius", "gauge", "Temperature."),
        ("inverter_voltage_volts", "gauge", "AC voltage."),
        ("inverter_frequency_hertz", "gauge", "AC frequency."),
        ("inverter_yield_day_joules", "gauge", "Energy of today."),
        ("inverter_yield_joules_total", "counter", "Energy since the inverter's first day."),
        ("inverter_resets_total", "counter", "Events after which the limit had to be taken as lost."),
        ("panel_power_watts", "gauge", "DC power of one input."),
        ("panel_voltage_volts", "gauge", "DC voltage of one input."),
        ("panel_current_amperes", "gauge", "DC current of one input."),
        ("gateway_online", "gauge", "1 while the gateway is online."),
        ("gateway_uptime_seconds", "gauge", "Time since the gateway's start."),
        ("gateway_rssi_dbm", "gauge", "Signal strength of the gateway's WiFi."),
        ("price_export_cents_per_kwh", "gauge", "What one exported kWh earns; negative means it costs."),
        ("price_import_cents_per_kwh", "gauge", "Price of one imported kWh."),
        ("price_estimated", "gauge", "1 while the price is an estimate."),
    )
)
Labels = dict[str, str]
Sample = tuple[str, Labels, float | bool | None]


def metrics(
    tick: Tick | None,
    settings: Settings,
    *,
    now_s: float,
    version: str,
    site: str,
    extra_faults: tuple[Fault, ...] = (),
) -> str:
    """The exposition of one tick, families in the order of `METRICS`."""
    found: dict[str, dict[str, str]] = {}  # by family and series: a series may be there only once
    faults = all_faults(tick, now_s=now_s, extra=extra_faults)
    for name, labels, value in _samples(tick, settings, faults, now_s, {"site": site, "version": version}):
        known = number(value)
        if known is not None:
            series = f"{PREFIX}{name}{_labels(labels)}"
            found.setdefault(name, {})[series] = f"{series} {known!r}"
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in found:
            lines += [f"# HELP {PREFIX}{metric.name} {metric.text}", f"# TYPE {PREFIX}{metric.name} {metric.kind}"]
            lines += found[metric.name].values()
    return "\n".join(lines) + "\n"


def _samples(
    tick: Tick | None, settings: Settings, faults: Iterable[Fault], now_s: float, info: Labels
) -> Iterator[Sample]:
    yield "info", info, 1.0
    yield "enabled", {}, settings.enabled
    yield "target_point_watts", {}, settings.target_point_w
    for fault in faults:
        yield "fault", {"key": fault.key}, 1.0
    if tick is None:
        return
    yield from _site(tick, now_s)
    yield from _meter(tick.snapshot.meter, now_s)
    for state in tick.snapshot.inverters:
        yield from _inverter(state, now_s)
    for gateway in tick.snapshot.gateways:
        yield from _gateway(gateway)
    if (price := tick.snapshot.price) is not None:
        yield "price_export_cents_per_kwh", {}, price.export_value_c
        yield "price_import_cents_per_kwh", {}, price.import_price_c
        yield "price_estimated", {}, price.estimated


def _site(tick: Tick, now_s: float) -> Iterator[Sample]:
    decision = tick.decision
    yield "dry_run", {}, tick.dry_run
    for mode in Mode:
        yield "mode", {"mode": mode.value}, mode is decision.mode
    yield "tick_age_seconds", {}, age_s(tick.snapshot.now_s, now_s)
    yield "step_seconds", {}, tick.step_s
    yield "broker_connected", {}, tick.snapshot.broker_connected
    yield "grid_power_watts", {}, decision.grid_w
    yield "pv_power_watts", {}, decision.pv_w
    yield "load_power_watts", {}, decision.load_w
    yield "limit_watts", {}, decision.limit_w
    yield "setpoint_watts", {}, decision.setpoint_w
    yield "target_watts", {}, decision.target_w


def _meter(meter: MeterState, now_s: float) -> Iterator[Sample]:
    reading = meter.reading
    if reading is None:
        return
    yield "meter_age_seconds", {}, age_s(reading.at_s, now_s)
    yield "meter_latency_seconds", {}, reading.latency_s
    yield "meter_import_joules_total", {}, _joules(reading.import_wh)
    yield "meter_export_joules_total", {}, _joules(reading.export_wh)
    for index, phase in enumerate(reading.phases, start=1):
        labels = {"phase": str(index)}
        yield "meter_phase_power_watts", labels, phase.power_w
        yield "meter_phase_voltage_volts", labels, phase.voltage_v
        yield "meter_phase_current_amperes", labels, phase.current_a


def _inverter(state: InverterState, now_s: float) -> Iterator[Sample]:
    labels = {"serial": state.serial, "name": state.name}
    yield "inverter_reachable", labels, state.reachable
    yield "inverter_producing", labels, state.producing
    yield "inverter_power_watts", labels, state.ac.power_w
    yield "inverter_age_seconds", labels, age_s(state.power_at_s, now_s)
    yield "inverter_limit_watts", labels, state.commanded_w
    yield "inverter_acked_limit_watts", labels, state.acked_w
    yield "inverter_max_watts", labels, state.max_w
    yield "inverter_temperature_celsius", labels, state.ac.temperature_c
    yield "inverter_voltage_volts", labels, state.ac.voltage_v
    yield "inverter_frequency_hertz", labels, state.ac.frequency_hz
    yield "inverter_yield_day_joules", labels, _joules(state.ac.yield_day_wh)
    yield "inverter_yield_joules_total", labels, _joules(state.ac.yield_total_kwh, 1000.0)
    yield "inverter_resets_total", labels, float(state.resets)
    for panel in state.panels:
        of_panel = {"serial": state.serial, "channel": str(panel.channel)}
        yield "panel_power_watts", of_panel, panel.power_w
        yield "panel_voltage_volts", of_panel, panel.voltage_v
        yield "panel_current_amperes", of_panel, panel.current_a


def _gateway(state: GatewayState) -> Iterator[Sample]:
    labels = {"name": state.name}
    yield "gateway_online", labels, state.online
    yield "gateway_uptime_seconds", labels, state.uptime_s
    yield "gateway_rssi_dbm", labels, state.rssi_dbm


def _joules(energy_wh: float | None, factor: float = 1.0) -> float | None:
    return None if energy_wh is None else energy_wh * factor * _JOULES_PER_WH


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
