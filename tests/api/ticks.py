"""Ticks built by hand: a house on a sunny morning, and what may be wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.model import (
    Ac,
    Account,
    BatteryState,
    Combiner,
    Decision,
    DryContact,
    DryContactSettings,
    EnsembleState,
    EnvoyState,
    Excursion,
    Excursions,
    Fault,
    Gate,
    GatewayState,
    GridRelay,
    InverterState,
    Ledger,
    MeterCollar,
    MeterState,
    Mode,
    Outlook,
    Panel,
    Phase,
    PriceState,
    Reading,
    Settings,
    Snapshot,
    StorageBattery,
    StoreState,
    Tick,
)

UTC_S = 1_750_000_000.0
STORAGE = EnsembleState(
    "enphase at 10.0.0.9",
    98.0,
    soc_pct=61.0,
    power_w=1250.0,
    available_wh=2100.0,
    capacity_wh=3500.0,
    batteries=(
        StorageBattery("122333000001", "iq", 61.0, 1380.0),
        StorageBattery("121900000001", "ac", 25.0, -130.0, "going_to_sleep", 25.0, 30.0),
    ),
    storage_mode="self-consumption",
    reserve_soc_pct=20.0,
    charge_from_grid=False,
    optimised_schedules=True,
    grid=GridRelay("closed", "closed", "multimode-ongrid"),
    dry_contacts=(
        DryContact("NC1", "open", DryContactSettings("Boiler", "soc", 25.0, 70.0, "none", "shed", "shed", True)),
        DryContact("NC2", None, None),
    ),
    collar=MeterCollar("close", "on_grid", "Installed", True),
    combiner=Combiner("READY", True, "0.1.20"),
)


def make_inverter(serial: str = "116180400001", name: str = "Garage", **changes: Any) -> InverterState:
    state = InverterState(
        serial=serial,
        name=name,
        max_w=1500.0,
        min_w=45.0,
        reachable=True,
        producing=True,
        ac=Ac(
            power_w=612.4,
            voltage_v=232.1,
            current_a=2.64,
            frequency_hz=50.01,
            temperature_c=38.6,
            dc_power_w=640.0,
            yield_day_wh=2310.0,
            yield_total_kwh=1204.5,
        ),
        panels=(
            Panel(1, "East", power_w=330.2, voltage_v=34.1, current_a=9.7, yield_day_wh=1200.0),
            Panel(2, None, power_w=309.8, voltage_v=33.7, current_a=9.2, yield_day_wh=1110.0),
        ),
        power_at_s=98.0,
        utc_s=UTC_S - 2.0,
        commanded_w=640.0,
        commanded_at_s=95.0,
        acked_w=640.0,
        acked_at_s=96.0,
        rssi_dbm=-62.0,
    )
    return replace(state, **changes)


def make_tick(
    grid_w: float | None = 14.6,
    *,
    now_s: float = 100.0,
    utc_s: float = UTC_S,
    inverters: tuple[InverterState, ...] | None = None,
    meter: MeterState | None = None,
    gateways: tuple[GatewayState, ...] | None = None,
    price: PriceState | None = None,
    settings: Settings | None = None,
    dry_run: bool = False,
    excursions: Excursions | None = None,
    outside: tuple[Fault, ...] = (),
    outlook: Outlook | None = None,
    ledger: Ledger | None = None,
    stores: tuple[StoreState, ...] = (),
    battery: BatteryState | None = None,
    envoy: EnvoyState | None = None,
    **decision: Any,
) -> Tick:
    inverters = (make_inverter(),) if inverters is None else inverters
    if meter is None:
        phases = (Phase(-120.0, 231.0, 0.6), Phase(80.0, 230.0, 0.4), Phase(54.6, 232.0, 0.3))
        reading = Reading(14.6 if grid_w is None else grid_w, now_s - 0.3, utc_s - 0.3, phases, 1000.0, 20.0, 0.041)
        meter = MeterState(reading, good_in_a_row=9)
    if gateways is None:
        gateways = (GatewayState("OpenDTU", online=True, uptime_s=86_000.0, rssi_dbm=-58.0, seen_at_s=now_s - 2.0),)
    values: dict[str, Any] = {
        "mode": Mode.LIMIT,
        "reason": "holding 15 W of import",
        "grid_w": grid_w,
        "pv_w": 612.4,
        "load_w": None if grid_w is None else 612.4 + grid_w,
        "limit_w": 640.0,
        "setpoint_w": 627.0,
        "target_w": 15.0,
    }
    snapshot = Snapshot(now_s, utc_s, meter, inverters, settings or Settings(), price, gateways, battery=battery)
    decided = Decision(**(values | decision))
    told = {"excursions": excursions, "outside": outside, "outlook": outlook, "ledger": ledger, "stores": stores}
    return Tick(snapshot, decided, dry_run=dry_run, step_s=0.0004, envoy=envoy, **told)  # type: ignore[arg-type]


GATE = Gate(Mode.LIMIT, "export costs 2.0 c/kWh: holding the target", UTC_S - 600.0)
LEDGER = Ledger(
    currency="AUD",
    method="what the sun gave before",
    date="2025-06-15",
    since_utc_s=UTC_S - 86_400.0,
    today=Account(800.0, 120.5, 1400.0, 60.0, 1.2, 2.8),
    total=Account(9800.0, 1120.5, 11_400.0, 660.0, -11.2, 22.8),
)


ACCOUNT = Excursions(
    over_w=50.0,
    longer_s=15.0,
    since_utc_s=UTC_S - 86_400.0,
    current_s=0.0,
    today=2,
    today_over_60_s=1,
    longest_today_s=75.5,
    worst_today_w=412.0,
    beyond_today_wh=23.4,
    unknown_today_s=240.0,
    in_10_min=1,
    in_24_h=3,
    total=17,
    over_60_s=4,
    longest_s=610.0,
    last=Excursion(UTC_S - 900.0, 22.0, 310.0),
)


BATTERY = BatteryState("Cellar", 61.5, -420.0, 98.0, 15.0, 10_000.0, 3000.0)
METER_FAULT = Fault(
    "meter",
    "The meter at 192.168.1.20 does not answer. The inverters are lowered to be safe.",
    "Check the meter's power and network, then run: zero-export doctor meter",
    UTC_S - 75.0,
)
