"""A tick as Prometheus text (format 0.0.4), in base units. What is unknown has no sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from app.api.envoy_metrics import envoy_samples
from app.api.families import FAMILIES, Labels, Sample
from app.api.status import all_faults
from app.api.values import age_s, number
from app.model import (
    Account,
    BatteryState,
    Excursions,
    Fault,
    Gate,
    GatewayState,
    InverterState,
    MeterState,
    Mode,
    Panel,
    PriceState,
    Settings,
    StoreState,
    Tick,
)
from app.telemetry.points import GATE_NUMBERS

__all__ = ["CONTENT_TYPE", "PREFIX", "metrics"]

PREFIX = "zero_export_"
_JOULES_PER_WH = 3600.0
_JOULES_PER_KWH = 3.6e6
NOTHING: Mapping[str, int] = MappingProxyType({})

Series = tuple[tuple[str, str], ...]  # its labels; each series may be there only once


class _Families(Collector):
    """Samples as metric families, in the order of `FAMILIES`."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._found: dict[str, dict[Series, float]] = {}
        for name, labels, value in samples:
            known = number(value, digits=6)
            if known is not None:
                self._found.setdefault(name, {})[tuple(labels.items())] = known

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Those that have a sample."""
        for family in FAMILIES:
            if found := self._found.get(family.name):
                make = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
                filled = make(PREFIX + family.name, family.text, labels=[name for name, _ in next(iter(found))])
                for series, value in found.items():  # names come from devices, and may be what UTF-8 cannot say
                    filled.add_metric([text.encode("utf-8", "replace").decode() for _, text in series], value)
                yield filled


def metrics(
    tick: Tick | None,
    settings: Settings,
    dropped: Mapping[str, int] = NOTHING,
    /,
    *,
    now_s: float,
    version: str,
    site: str,
    extra_faults: tuple[Fault, ...] = (),
) -> bytes:
    """The exposition of one tick. ``dropped``: MQTT messages by source."""
    faults = all_faults(tick, now_s=now_s, extra=extra_faults)
    samples = list(_samples(tick, settings, faults, now_s, {"site": site, "version": version}))
    samples += [("mqtt_dropped_messages_total", {"source": source}, count) for source, count in dropped.items()]
    registry = CollectorRegistry()
    registry.register(_Families(samples))
    return generate_latest(registry)


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
    yield from _devices(tick, now_s)
    if tick.excursions is not None:
        yield from _excursions(tick.excursions)
    if tick.snapshot.price is not None:
        yield from _price(tick.snapshot.price)
    if tick.decision.gate is not None:
        yield from _gate(tick.decision.gate)
    if tick.ledger is not None:
        yield from _ledger(tick.ledger.total)
    for store in tick.stores:
        yield from _store(store)


def _devices(tick: Tick, now_s: float) -> Iterator[Sample]:
    dead_times = dict(tick.decision.dead_times)
    yield from _meter(tick.snapshot.meter, now_s)
    for state in tick.snapshot.inverters:
        yield from _inverter(state, now_s, dead_times.get(state.serial))
        for panel in state.panels:
            yield from _panel(state.serial, panel)
    for gateway in tick.snapshot.gateways:
        yield from _gateway(gateway)
    if tick.snapshot.battery is not None:
        yield from _battery(tick.snapshot.battery, now_s)
    if tick.envoy is not None:
        yield from envoy_samples(tick.envoy, now_s)


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
    yield "error_watts", {}, decision.error_w
    yield "pid_p_watts", {}, decision.trim_p_w
    yield "pid_i_watts", {}, decision.trim_i_w
    yield "pid_d_watts", {}, decision.trim_d_w


def _excursions(account: Excursions) -> Iterator[Sample]:
    yield "excursion_seconds", {}, account.current_s
    yield "excursions_total", {}, account.total
    yield "excursions_over_60_seconds_total", {}, account.over_60_s
    yield "excursions_in_10_minutes", {}, account.in_10_min
    yield "excursions_in_24_hours", {}, account.in_24_h
    yield "excursions_today", {}, account.today
    yield "excursion_longest_today_seconds", {}, account.longest_today_s
    yield "excursion_worst_today_watts", {}, account.worst_today_w
    yield "export_beyond_today_joules", {}, account.beyond_today_wh * _JOULES_PER_WH
    yield "grid_unknown_today_seconds", {}, account.unknown_today_s


def _meter(meter: MeterState, now_s: float) -> Iterator[Sample]:
    reading = meter.reading
    if reading is None:
        return
    yield "meter_power_watts", {}, reading.power_w
    yield "meter_age_seconds", {}, age_s(reading.at_s, now_s)
    yield "meter_latency_seconds", {}, reading.latency_s
    yield "meter_import_joules_total", {}, _times(reading.import_wh, _JOULES_PER_WH)
    yield "meter_export_joules_total", {}, _times(reading.export_wh, _JOULES_PER_WH)
    for index, phase in enumerate(reading.phases, start=1):
        labels = {"phase": str(index)}
        yield "meter_phase_power_watts", labels, phase.power_w
        yield "meter_phase_voltage_volts", labels, phase.voltage_v
        yield "meter_phase_current_amperes", labels, phase.current_a
        yield "meter_phase_power_factor_ratio", labels, phase.power_factor


def _inverter(state: InverterState, now_s: float, dead_time_s: float | None) -> Iterator[Sample]:
    labels, ac = {"serial": state.serial, "name": state.name}, state.ac
    yield "inverter_enabled", labels, state.enabled
    yield "inverter_reachable", labels, state.reachable
    yield "inverter_producing", labels, state.producing
    yield "inverter_guarded", labels, state.guarded
    if state.rule is not None:
        accepted, shown = state.rule.accepted, state.rule.shown
        yield "inverter_rule_export_watts", labels, accepted.export_w if accepted is not None else None
        yield "inverter_rule_shown_watts", labels, shown.export_w if shown is not None else None
    yield "inverter_writes_today", labels, state.writes_today
    yield "inverter_age_seconds", labels, age_s(state.power_at_s, now_s)
    yield "inverter_power_watts", labels, ac.power_w
    yield "inverter_dc_power_watts", labels, ac.dc_power_w
    yield "inverter_reactive_power_var", labels, ac.reactive_power_var
    yield "inverter_limit_watts", labels, state.commanded_w
    yield "inverter_acked_limit_watts", labels, state.acked_w
    yield "inverter_acked_limit_ratio", labels, _times(state.acked_pct, 0.01)
    yield "inverter_max_watts", labels, state.max_w
    yield "inverter_dead_time_seconds", labels, dead_time_s
    yield "inverter_voltage_volts", labels, ac.voltage_v
    yield "inverter_current_amperes", labels, ac.current_a
    yield "inverter_frequency_hertz", labels, ac.frequency_hz
    yield "inverter_power_factor_ratio", labels, ac.power_factor
    yield "inverter_temperature_celsius", labels, ac.temperature_c
    yield "inverter_efficiency_ratio", labels, _times(ac.efficiency_pct, 0.01)
    yield "inverter_yield_day_joules", labels, _times(ac.yield_day_wh, _JOULES_PER_WH)
    yield "inverter_yield_joules_total", labels, _times(ac.yield_total_kwh, _JOULES_PER_KWH)
    yield "inverter_resets_total", labels, float(state.resets)
    yield "inverter_rssi_dbm", labels, state.rssi_dbm


def _panel(serial: str, panel: Panel) -> Iterator[Sample]:
    labels = {"serial": serial, "channel": str(panel.channel)}
    yield "panel_power_watts", labels, panel.power_w
    yield "panel_voltage_volts", labels, panel.voltage_v
    yield "panel_current_amperes", labels, panel.current_a
    yield "panel_yield_day_joules", labels, _times(panel.yield_day_wh, _JOULES_PER_WH)
    yield "panel_yield_joules_total", labels, _times(panel.yield_total_kwh, _JOULES_PER_KWH)
    yield "panel_irradiation_ratio", labels, _times(panel.irradiation_pct, 0.01)


def _gateway(state: GatewayState) -> Iterator[Sample]:
    labels = {"name": state.name}
    yield "gateway_online", labels, state.online
    yield "gateway_uptime_seconds", labels, state.uptime_s
    yield "gateway_rssi_dbm", labels, state.rssi_dbm
    yield "gateway_temperature_celsius", labels, state.temperature_c
    yield "gateway_heap_free_bytes", labels, state.heap_free_b


def _battery(state: BatteryState, now_s: float) -> Iterator[Sample]:
    labels = {"name": state.name}
    yield "battery_age_seconds", labels, age_s(state.at_s, now_s)
    yield "battery_charge_ratio", labels, _times(state.soc_pct, 0.01)
    yield "battery_power_watts", labels, state.power_w


def _price(price: PriceState) -> Iterator[Sample]:
    yield "price_export_cents_per_kwh", {}, price.export_value_c
    yield "price_import_cents_per_kwh", {}, price.import_price_c
    yield "price_estimated", {}, price.estimated
    yield "price_valid_until_timestamp_seconds", {}, price.valid_until_utc_s


def _gate(gate: Gate) -> Iterator[Sample]:
    for mode in GATE_NUMBERS:
        yield "price_gate", {"mode": mode.value}, mode is gate.mode
    yield "price_override", {}, gate.by_hand


def _ledger(account: Account) -> Iterator[Sample]:
    yield "import_joules_total", {}, account.import_wh * _JOULES_PER_WH
    yield "export_joules_total", {}, account.export_wh * _JOULES_PER_WH
    yield "pv_joules_total", {}, account.pv_wh * _JOULES_PER_WH
    yield "self_used_joules_total", {}, account.self_used_wh * _JOULES_PER_WH
    yield "load_joules_total", {}, account.load_wh * _JOULES_PER_WH
    yield "curtailed_joules_total", {}, account.curtailed_wh * _JOULES_PER_WH
    yield "curtailed_unknown_seconds_total", {}, account.uncertain_s
    yield "export_earned_cents", {}, account.earned_c
    yield "gate_saved_cents", {}, account.saved_c


def _store(store: StoreState) -> Iterator[Sample]:
    labels = {"name": store.name}
    yield "store_written_points_total", labels, store.written
    yield "store_pending_points", labels, store.pending
    yield "store_oldest_seconds", labels, store.oldest_s
    yield "store_spool_bytes", labels, store.spool_b
    yield "store_spool_used_ratio", labels, _times(store.spool_used_pct, 0.01)
    yield "store_dropped_points_total", labels, store.dropped
    yield "store_refused_points_total", labels, store.refused


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
