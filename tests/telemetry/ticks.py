"""Ticks built by hand: a house with one or two inverters, at a moment of one's choice."""

from __future__ import annotations

from typing import Any

from app.model import (
    Ac,
    Account,
    BatteryState,
    Command,
    Decision,
    Excursion,
    Excursions,
    Gate,
    GatewayState,
    InverterState,
    Ledger,
    MeterState,
    Mode,
    Outlook,
    Panel,
    Phase,
    PriceSlot,
    PriceState,
    Reading,
    Rule,
    RuleState,
    Settings,
    Snapshot,
    StoreState,
    Tick,
)

UTC_S = 1_750_000_040.0  # 20 s into a minute
OUTLOOK = Outlook((PriceSlot(UTC_S - 40.0, UTC_S + 260.0, 4.5, 32.0, confirmed=True),), ((UTC_S, Mode.OPEN),))
TODAY = Account(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
LEDGER = Ledger(
    "AUD",
    "what the sun gave before",
    "2025-06-15",
    UTC_S,
    TODAY,
    day_utc_s=UTC_S - 40.0,
    month_utc_s=UTC_S - 1_209_640.0,
)
STORES = (StoreState("influxdb", 1000, 20, 1, 2, 3.5, 4096, 268_435_456),)
BATTERY = BatteryState("Cellar", 61.5, -420.0, 99.5, 15.0, 10_000.0)
EAST, WEST = "116180400001", "116180400002"


RULED = RuleState(300.0, 120.0, accepted=Rule(0.0), shown=Rule(0.0), shown_at_s=1.0)


def make_inverter(serial: str = EAST, name: str = "Roof east", seq: int = 1, **changes: Any) -> InverterState:
    """An inverter that answered ``seq`` times, everything known."""
    ac = Ac(
        power_w=changes.pop("power_w", 400.0),
        voltage_v=231.5,
        current_a=1.73,
        frequency_hz=50.01,
        power_factor=0.998,
        reactive_power_var=1.2,
        dc_power_w=changes.pop("dc_power_w", 420.0),
        temperature_c=41.3,
        efficiency_pct=95.2,
        yield_day_wh=changes.pop("yield_day_wh", 1234.0),
        yield_total_kwh=changes.pop("yield_total_kwh", 567.8),
    )
    panels = tuple(Panel(channel, f"P{channel}", 210.0, 31.0 + channel, 6.7, 617.0, 283.9, 52.5) for channel in (1, 2))
    known = {
        "max_w": 1500.0,
        "min_w": 45.0,
        "reachable": True,
        "producing": True,
        "utc_s": UTC_S - 2.0,
        "commanded_w": 500.0,
        "acked_w": 500.0,
        "acked_pct": 33.3,
        "rssi_dbm": -60.0,
        "writes_today": 12,
    }
    return InverterState(serial=serial, name=name, ac=ac, panels=panels, data_seq=seq, **{**known, **changes})


def make_tick(at_s: float = 0.0, **changes: Any) -> Tick:
    """A tick ``at_s`` seconds after the first one; the decision's values and the snapshot's can be set by name."""
    grid_w = changes.pop("grid_w", 20.0)
    reading = changes.pop("reading", _reading(at_s, grid_w))
    snapshot = Snapshot(
        now_s=100.0 + at_s,
        utc_s=changes.pop("utc_s", UTC_S + at_s),
        meter=MeterState(reading, interval_s=changes.pop("interval_s", 1.0)),
        inverters=changes.pop("inverters", (make_inverter(),)),
        settings=changes.pop("settings", Settings()),
        price=changes.pop("price", PriceState(4.5, 32.0, estimated=False, valid_until_utc_s=UTC_S + 300.0)),
        gateways=changes.pop("gateways", (GatewayState("opendtu", True, 3600.0, -61.0, 43.0, 120_000.0, data_seq=1),)),
        battery=changes.pop("battery", BATTERY),
    )
    dry_run, step_s = changes.pop("dry_run", False), changes.pop("step_s", 0.0005)
    excursions, outside = changes.pop("excursions", make_account()), changes.pop("outside", ())
    decided = {
        "mode": Mode.LIMIT,
        "reason": "holding 15 W",
        "target_w": 15.0,
        "pv_w": 400.0,
        "load_w": 420.0,
        "setpoint_w": 405.0,
        "limit_w": 500.0,
        "error_w": 5.0,
        "trim_p_w": 1.0,
        "trim_i_w": 2.0,
        "trim_d_w": 0.0,
        "dead_times": ((EAST, 1.4), (WEST, 3.1)),
        "gate": Gate(Mode.OPEN, "export earns 4.5 c/kWh", UTC_S),
    }
    told = {
        "outlook": changes.pop("outlook", OUTLOOK),
        "ledger": changes.pop("ledger", LEDGER),
        "stores": changes.pop("stores", STORES),
        "envoy": changes.pop("envoy", None),
    }
    decision = Decision(grid_w=grid_w, **{**decided, **changes})
    return Tick(snapshot, decision, dry_run=dry_run, step_s=step_s, excursions=excursions, outside=outside, **told)


def make_account(
    current_s: float | None = 0.0, lengths_s: tuple[float, ...] = (), worst_w: float = 320.0
) -> Excursions:
    """The account after excursions of these lengths, the last of which may go on."""
    last = Excursion(UTC_S + 60.0 * len(lengths_s), lengths_s[-1], worst_w) if lengths_s else None
    longest_s, count = max(lengths_s, default=0.0), len(lengths_s)
    return Excursions(
        over_w=50.0,
        longer_s=15.0,
        since_utc_s=UTC_S - 900.0,
        current_s=current_s,
        today=count,
        longest_today_s=longest_s,
        worst_today_w=worst_w if last else 0.0,
        beyond_today_wh=1.5,
        total=count,
        longest_s=longest_s,
        last=last,
    )


def one_command(limit_w: float = 300.0) -> tuple[Command, ...]:
    """A decision's commands."""
    return (Command(EAST, limit_w, "cut"),)


def _reading(at_s: float, grid_w: float | None) -> Reading | None:
    if grid_w is None:
        return None
    phases = (Phase(grid_w - 10.0, 230.0, 1.5, 0.95), Phase(6.0, 231.0, 0.2, 0.9), Phase(4.0, 232.0, 0.1, 0.8))
    return Reading(grid_w, 99.8 + at_s, UTC_S + at_s - 0.2, phases, 1_000_000.0, 2_000.0, latency_s=0.041)
