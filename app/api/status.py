"""The one JSON projection of a tick: what `/api/status`, the event stream and MQTT `state` all show."""

from __future__ import annotations

from typing import Any

from app.api import prices, storage
from app.api.envoy import envoy
from app.api.values import age_s, iso, number, on_off
from app.model import (
    BatteryState,
    Decision,
    Excursion,
    Excursions,
    Fault,
    GatewayState,
    InverterState,
    MeterState,
    Mode,
    Panel,
    Phase,
    Rule,
    RuleState,
    Ruling,
    Settings,
    Snapshot,
    StepResult,
    StepTestReport,
    StoreState,
    Tick,
)

STALLED_S = 5.0  # a control loop that has not turned for this long is not regulating
_WAITING = Decision(mode=Mode.STARTING, reason="waiting for the first turn of the control loop")


def status(
    tick: Tick | None,
    settings: Settings,
    *,
    now_s: float,
    version: str,
    site: str,
    extra_faults: tuple[Fault, ...] = (),
) -> dict[str, Any]:
    """Everything worth showing, as plain JSON values; what is unknown is None, and NaN never appears."""
    snapshot = tick.snapshot if tick else None
    decision = tick.decision if tick else _WAITING
    dead_times = dict(decision.dead_times)
    rulings = {ruling.serial: ruling for ruling in decision.rulings}
    return {
        **_headline(decision, settings),
        "dry_run": tick.dry_run if tick else False,
        "meter": _meter(snapshot.meter, now_s) if snapshot else None,
        "inverters": [
            _inverter(one, now_s, dead_times.get(one.serial), rulings.get(one.serial)) for one in snapshot.inverters
        ]
        if snapshot
        else [],
        "gateways": [_gateway(state, now_s) for state in snapshot.gateways] if snapshot else [],
        "battery": _battery(snapshot.battery, now_s) if snapshot and snapshot.battery else None,
        "price": prices.price(snapshot.price) if snapshot and snapshot.price else None,
        "gate": prices.gate(decision.gate) if decision.gate else None,
        "override": prices.override(settings),
        "ledger": prices.ledger(tick.ledger) if tick and tick.ledger else None,
        "broker_connected": snapshot.broker_connected if snapshot else None,
        "step_test": step_test(decision.step_test),
        "excursions": _excursions(tick.excursions) if tick and tick.excursions else None,
        "enphase": envoy(tick.envoy, tick.snapshot, now_s) if tick and tick.envoy else None,
        "ensemble": storage.ensemble(tick.ensemble, now_s) if tick and tick.ensemble else None,
        "stores": [_store(store) for store in tick.stores] if tick else [],
        "faults": [_fault(fault) for fault in all_faults(tick, now_s=now_s, extra=extra_faults)],
        "ages": _ages(snapshot, now_s),
        "site": site,
        "version": version,
        "time_utc": iso(snapshot.utc_s) if snapshot else None,
    }


def all_faults(tick: Tick | None, *, now_s: float, extra: tuple[Fault, ...] = ()) -> tuple[Fault, ...]:
    """The faults of a tick and of everything outside it, each key once, a stalled loop first."""
    found: dict[str, Fault] = {}
    for fault in (*_stalled(tick, now_s), *(tick.faults if tick else ()), *extra):
        found.setdefault(fault.key, fault)
    return tuple(found.values())


def tick_age_s(tick: Tick | None, now_s: float) -> float | None:
    """How long ago the control loop last turned; None before its first turn."""
    return age_s(tick.snapshot.now_s, now_s) if tick else None


def _stalled(tick: Tick | None, now_s: float) -> tuple[Fault, ...]:
    age = tick_age_s(tick, now_s)
    if tick is None or age is None or age <= STALLED_S:
        return ()
    text = f"The control loop has not turned for {age:.0f} s: nothing is regulated now."
    return (Fault("stalled", text, "Restart the controller and look at its log.", tick.snapshot.utc_s),)


def _headline(decision: Decision, settings: Settings) -> dict[str, Any]:
    return {
        "enabled": on_off(settings.enabled),
        "mode": decision.mode.value,
        "reason": decision.reason,
        "grid_w": number(decision.grid_w),
        "pv_w": number(decision.pv_w),
        "load_w": number(decision.load_w),
        "limit_w": number(decision.limit_w),
        "setpoint_w": number(decision.setpoint_w),
        "target_w": number(decision.target_w),
        "target_point_w": number(settings.target_point_w),
    }


def _meter(meter: MeterState, now_s: float) -> dict[str, Any]:
    reading = meter.reading
    return {
        "power_w": number(reading.power_w) if reading else None,
        "age_s": age_s(reading.at_s, now_s) if reading else None,
        "interval_s": number(meter.interval_s),
        "fault": meter.fault,
        "phases": [_phase(phase) for phase in reading.phases] if reading else [],
        "import_wh": number(reading.import_wh) if reading else None,
        "export_wh": number(reading.export_wh) if reading else None,
        "latency_s": number(reading.latency_s) if reading else None,
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "power_w": number(phase.power_w),
        "voltage_v": number(phase.voltage_v),
        "current_a": number(phase.current_a),
        "power_factor": number(phase.power_factor),
    }


def _inverter(state: InverterState, now_s: float, dead_time_s: float | None, ruling: Ruling | None) -> dict[str, Any]:
    ac = state.ac
    return {
        "serial": state.serial,
        "name": state.name,
        "enabled": state.enabled,
        "reachable": state.reachable,
        "producing": state.producing,
        "power_w": number(ac.power_w),
        "age_s": age_s(state.power_at_s, now_s),
        "limit_w": number(state.commanded_w),
        "limit_age_s": age_s(state.commanded_at_s, now_s),
        "acked_w": number(state.acked_w),
        "acked_age_s": age_s(state.acked_at_s, now_s),
        "min_w": number(state.min_w),
        "max_w": number(state.max_w),
        "dead_time_s": number(dead_time_s, 2),
        "temperature_c": number(ac.temperature_c),
        "voltage_v": number(ac.voltage_v),
        "frequency_hz": number(ac.frequency_hz),
        "dc_power_w": number(ac.dc_power_w),
        "efficiency_pct": number(ac.efficiency_pct),
        "yield_day_wh": number(ac.yield_day_wh),
        "yield_total_kwh": number(ac.yield_total_kwh),
        "rssi_dbm": number(state.rssi_dbm),
        "panels": [_panel(panel) for panel in state.panels],
        "note": state.note,
        "guarded": state.guarded,
        "guardable": state.guardable,
        "trusted": state.trusted,
        "rule": _rule(state.rule, ruling, now_s) if state.rule is not None else None,
        "writes_today": state.writes_today,
        "writes_budget": state.writes_budget,
        "foreign": state.foreign,
        "foreign_age_s": age_s(state.foreign_at_s, now_s),
    }


def _rule(state: RuleState, ruling: Ruling | None, now_s: float) -> dict[str, Any]:
    return {
        "wanted": _one_rule(ruling.wanted if ruling is not None else None),
        "accepted": _one_rule(state.accepted),
        "age_s": age_s(state.accepted_at_s, now_s),
        "shown": _one_rule(state.shown),
        "shown_age_s": age_s(state.shown_at_s, now_s),
        "obeyed": ruling.obeyed if ruling is not None else None,
        "waiting": (ruling.waiting or None) if ruling is not None else None,
        "refused": state.refused,
    }


def _one_rule(rule: Rule | None) -> dict[str, Any] | None:
    return None if rule is None else {"export_w": number(rule.export_w), "produce": rule.produce}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "channel": panel.channel,
        "name": panel.name,
        "power_w": number(panel.power_w),
        "voltage_v": number(panel.voltage_v),
        "current_a": number(panel.current_a),
        "yield_day_wh": number(panel.yield_day_wh),
        "yield_total_kwh": number(panel.yield_total_kwh),
        "irradiation_pct": number(panel.irradiation_pct),
    }


def _gateway(state: GatewayState, now_s: float) -> dict[str, Any]:
    return {
        "name": state.name,
        "online": state.online,
        "age_s": age_s(state.seen_at_s, now_s),
        "uptime_s": number(state.uptime_s),
        "rssi_dbm": number(state.rssi_dbm),
        "temperature_c": number(state.temperature_c),
        "heap_free_b": number(state.heap_free_b),
        "fault": state.fault,
    }


def _battery(state: BatteryState, now_s: float) -> dict[str, Any]:
    return {
        "name": state.name,
        "soc_pct": number(state.soc_pct),
        "power_w": number(state.power_w),
        "age_s": age_s(state.at_s, now_s),
        "interval_s": number(state.interval_s),
        "capacity_wh": number(state.capacity_wh),
        "max_charge_w": number(state.max_charge_w),
        "fault": state.fault,
    }


def _excursions(account: Excursions) -> dict[str, Any]:
    return {
        "over_w": number(account.over_w),
        "longer_s": number(account.longer_s),
        "current_s": number(account.current_s),
        "today": account.today,
        "today_over_60_s": account.today_over_60_s,
        "longest_today_s": number(account.longest_today_s),
        "worst_today_w": number(account.worst_today_w),
        "beyond_today_wh": number(account.beyond_today_wh),
        "unknown_today_s": number(account.unknown_today_s),
        "in_10_min": account.in_10_min,
        "in_24_h": account.in_24_h,
        "total": account.total,
        "over_60_s": account.over_60_s,
        "longest_s": number(account.longest_s),
        "since": iso(account.since_utc_s),
        "last": _excursion(account.last) if account.last is not None else None,
    }


def _excursion(last: Excursion) -> dict[str, Any]:
    return {"began": iso(last.began_utc_s), "length_s": number(last.length_s), "worst_w": number(last.worst_w)}


def step_test(report: StepTestReport | None) -> dict[str, Any] | None:
    """A step test as plain JSON values."""
    if report is None:
        return None
    return {
        "number": report.number,
        "serial": report.serial,
        "name": report.name,
        "state": report.state.value,
        "text": report.text,
        "next_step": report.next_step,
        "step": report.step,
        "steps": report.steps,
        "result": step_result(report.result) if report.result is not None else None,
    }


def step_result(result: StepResult) -> dict[str, Any]:
    """What a step test found, as plain JSON values."""
    low_s, high_s = result.dead_time_range_s or (None, None)
    return {
        "verdict": result.verdict,
        "dead_time_s": number(result.dead_time_s),
        "dead_time_min_s": number(low_s),
        "dead_time_max_s": number(high_s),
        "ramp_down_w_per_s": number(result.ramp_down_w_per_s),
        "ramp_up_w_per_s": number(result.ramp_up_w_per_s),
        "gain": number(result.gain),
        "reported_gain": number(result.reported_gain),
        "sign": result.sign,
        "phase": result.phase,
        "trials": [
            {
                "from_w": number(step.from_w),
                "to_w": number(step.to_w),
                "gain": number(step.gain),
                "dead_time_s": number(step.dead_time_s),
            }
            for step in result.steps
        ],
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {"key": fault.key, "text": fault.text, "next_step": fault.next_step, "since": iso(fault.since_utc_s)}


def _store(store: StoreState) -> dict[str, Any]:
    return {
        "name": store.name,
        "written": store.written,
        "pending": store.pending,
        "oldest_s": number(store.oldest_s),
        "dropped": store.dropped,
        "refused": store.refused,
        "spool_b": store.spool_b,
        "spool_max_b": store.spool_max_b,
        "spool_used_pct": number(store.spool_used_pct),
    }


def _ages(snapshot: Snapshot | None, now_s: float) -> dict[str, Any]:
    reading = snapshot.meter.reading if snapshot else None
    return {
        "tick_s": age_s(snapshot.now_s, now_s) if snapshot else None,
        "meter_s": age_s(reading.at_s, now_s) if reading else None,
        "inverters_s": {s.serial: age_s(s.power_at_s, now_s) for s in snapshot.inverters} if snapshot else {},
    }
