"""THE telemetry schema: every measurement, tag and field that is recorded, each defined once.

The projection of a tick, the SQLite tables, the dashboards' check and docs/telemetry.md derive from it.
Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from app.model import EnvoyLine, Excursions, Gate, InverterState, Mode, PriceState, Reading, Rule, Tick

Value = float | str
TEXT = "text"

MODE_NUMBERS = {
    Mode.STARTING: 0.0,
    Mode.LIMIT: 1.0,
    Mode.OPEN: 2.0,
    Mode.SHUTDOWN: 3.0,
    Mode.PAUSED: 4.0,
    Mode.HOLD: 5.0,
    Mode.FAIL_SAFE: 6.0,
    Mode.NIGHT: 7.0,
}

GATE_NUMBERS = {mode: MODE_NUMBERS[mode] for mode in (Mode.LIMIT, Mode.OPEN, Mode.SHUTDOWN)}


@dataclass(frozen=True, slots=True)
class Point:
    """One row of telemetry: what was known at one moment. Numbers are floats, all else is text."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, Value], ...]
    utc_s: float


@dataclass(frozen=True, slots=True)
class Field:
    """One recorded value: its name, its unit (empty for a plain number) and where it comes from."""

    name: str
    unit: str
    about: str
    read: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A table of telemetry. Every point has the tag ``site`` besides ``tags``."""

    name: str
    about: str
    tags: tuple[str, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class GridSample:
    """What a `grid` point is read from."""

    reading: Reading
    age_s: float


@dataclass(frozen=True, slots=True)
class InverterStatus:
    """What the state of an inverter is read from; ``dead_time_s`` as the law reckons with it."""

    state: InverterState
    dead_time_s: float | None


@dataclass(frozen=True, slots=True)
class ControlSample:
    """What a `control` point is read from; ``commands`` counts the limits sent since the point before."""

    tick: Tick
    commands: int
    reason: str | None = None
    toggle_url: str | None = None
    excursions: Excursions | None = None


@dataclass(frozen=True, slots=True)
class PriceSample:
    """What a `price` point is read from."""

    price: PriceState
    gate: Gate | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``kind`` is mode, settings, fault, fault_cleared, excursion or envoy."""

    kind: str
    text: str
    key: str | None = None
    next_step: str | None = None
    length_s: float | None = None
    worst_w: float | None = None


def known(fields: Iterable[Field], source: object) -> tuple[tuple[str, Value], ...]:
    """The fields of ``source`` that are known, as floats and text. What is None or not finite is left out."""
    found: list[tuple[str, Value]] = []
    for field in fields:
        value = field.read(source)
        if isinstance(value, str):
            found.append((field.name, str(value)))
        elif isinstance(value, int | float) and math.isfinite(value):
            found.append((field.name, float(value)))
    return tuple(found)


def _field(name: str, unit: str, about: str, path: str = "") -> Field:
    return Field(name, unit, about, attrgetter(path or name))


def _phase(index: int, name: str, unit: str, about: str) -> Field:
    def read(sample: GridSample) -> object:
        phases = sample.reading.phases
        return getattr(phases[index], name) if index < len(phases) else None

    return Field(f"l{index + 1}_{name}", unit, f"phase {index + 1}: {about}", read)


def _rule_w(which: str) -> Callable[[InverterStatus], float | None]:
    """The export that a rule allows; none for an inverter without rules, and for one that is open."""

    def read(status: InverterStatus) -> float | None:
        rule: Rule | None = getattr(status.state.rule, which, None)
        return rule.export_w if rule is not None else None

    return read


def _dc_w(sample: ControlSample) -> float | None:
    """The sum of what the inverters last reported; None while one that may produce has reported nothing."""
    asked = [state for state in sample.tick.snapshot.inverters if state.reachable is not False]
    asked += [state for state in sample.tick.snapshot.inverters if state.reachable is False and state.data_seq > 0]
    powers = [state.ac.dc_power_w for state in asked]
    known_w = [power_w for power_w in powers if power_w is not None]
    return sum(known_w) if known_w and len(known_w) == len(powers) else None


def _excursion(name: str, unit: str, about: str, attribute: str) -> Field:
    read = attrgetter(attribute)
    return Field(name, unit, about, lambda s: None if s.excursions is None else read(s.excursions))


def _gate(attribute: str) -> Callable[[Any], object]:
    read = attrgetter(attribute)
    return lambda sample: None if sample.gate is None else read(sample.gate)


def _milliseconds(name: str, about: str, path: str) -> Field:
    seconds = attrgetter(path)
    return Field(name, "ms", about, lambda sample: None if (s := seconds(sample)) is None else s * 1000.0)


GRID = (
    _field("power_w", "W", "grid power, sum of the phases; positive is import, negative is export", "reading.power_w"),
    _field("import_wh", "Wh", "import counted by the meter since its first day", "reading.import_wh"),
    _field("export_wh", "Wh", "export counted by the meter since its first day", "reading.export_wh"),
    _milliseconds("latency_ms", "time that the meter took to answer", "reading.latency_s"),
    _field("age_s", "s", "age of the reading when control used it"),
    *(
        _phase(index, name, unit, about)
        for index in range(3)
        for name, unit, about in (
            ("power_w", "W", "power; positive is import"),
            ("voltage_v", "V", "voltage"),
            ("current_a", "A", "current"),
            ("power_factor", "", "power factor"),
        )
    ),
)
INVERTER_SAMPLE = (
    _field("ac_power_w", "W", "AC power", "ac.power_w"),
    _field("ac_voltage_v", "V", "AC voltage", "ac.voltage_v"),
    _field("ac_current_a", "A", "AC current", "ac.current_a"),
    _field("frequency_hz", "Hz", "AC frequency", "ac.frequency_hz"),
    _field("power_factor", "", "power factor", "ac.power_factor"),
    _field("reactive_power_var", "var", "reactive power", "ac.reactive_power_var"),
    _field("dc_power_w", "W", "DC power of all inputs", "ac.dc_power_w"),
    _field("temperature_c", "°C", "temperature of the inverter", "ac.temperature_c"),
    _field("efficiency_pct", "%", "AC power out of DC power", "ac.efficiency_pct"),
    _field("yield_day_wh", "Wh", "energy of today, as the inverter counts it", "ac.yield_day_wh"),
    _field("yield_total_kwh", "kWh", "energy since the inverter's first day", "ac.yield_total_kwh"),
)
INVERTER_STATE = (
    _field("limit_w", "W", "limit that the gateway shows as acknowledged", "state.acked_w"),
    _field("limit_pct", "%", "the same limit in percent of the rated power", "state.acked_pct"),
    _field("limit_commanded_w", "W", "limit last sent", "state.commanded_w"),
    _field("reachable", "", "1 while the gateway reaches the inverter, else 0", "state.reachable"),
    _field("producing", "", "1 while the inverter produces, else 0", "state.producing"),
    _field("enabled", "", "1 where the inverter may be commanded, else 0", "state.enabled"),
    _field("resets", "", "events after which the limit had to be taken as lost, since the start", "state.resets"),
    _field("rssi_dbm", "dBm", "signal strength between gateway and inverter", "state.rssi_dbm"),
    _field("dead_time_s", "s", "time from a limit to its effect that the law reckons with"),
    _field("guarded", "", "1 while the broker holds its dead-man limit, else 0", "state.guarded"),
    Field(
        "rule_export_w",
        "W",
        "export that the rule of a slow inverter allows; none while it is open",
        _rule_w("accepted"),
    ),
    Field("rule_shown_w", "W", "the same, as the inverter shows it", _rule_w("shown")),
    _field("writes_today", "", "limits written today to a memory that wears out", "state.writes_today"),
)
PANEL = (
    _field("power_w", "W", "DC power of one input"),
    _field("voltage_v", "V", "DC voltage"),
    _field("current_a", "A", "DC current"),
    _field("yield_day_wh", "Wh", "energy of today"),
    _field("yield_total_kwh", "kWh", "energy since the first day"),
    _field("irradiation_pct", "%", "power in percent of the panel's rated power"),
)
DTU = (
    _field("online", "", "1 while the gateway is online, else 0"),
    _field("uptime_s", "s", "time since the gateway's start"),
    _field("rssi_dbm", "dBm", "signal strength of its WiFi"),
    _field("temperature_c", "°C", "temperature of its processor"),
    _field("heap_free_b", "B", "free memory"),
)
CONTROL = (
    _field("enabled", "", "1 while zero export is on, 0 while it is paused", "tick.snapshot.settings.enabled"),
    _field("dry_run", "", "1 while limits are computed and not sent", "tick.dry_run"),
    _field("mode", TEXT, "what the controller does: " + ", ".join(MODE_NUMBERS), "tick.decision.mode"),
    Field(
        "mode_number",
        "",
        "the mode as a number: " + ", ".join(f"{number:.0f} {mode}" for mode, number in MODE_NUMBERS.items()),
        lambda sample: MODE_NUMBERS[sample.tick.decision.mode],
    ),
    _field("reason", TEXT, "why, in plain words; written when it changes and once a minute"),
    _field("target_w", "W", "grid power that is regulated to", "tick.decision.target_w"),
    _field("grid_w", "W", "grid power that control used", "tick.decision.grid_w"),
    _field("pv_w", "W", "AC power of all inverters", "tick.decision.pv_w"),
    Field("dc_w", "W", "DC power of all inverters", _dc_w),
    _field("load_w", "W", "estimated power of the household", "tick.decision.load_w"),
    _field("setpoint_w", "W", "ceiling of the site that the law asks for", "tick.decision.setpoint_w"),
    _field("limit_w", "W", "sum of the limits in force", "tick.decision.limit_w"),
    _field("error_w", "W", "grid power minus target", "tick.decision.error_w"),
    _field("pid_p_w", "W", "proportional part of the trim", "tick.decision.trim_p_w"),
    _field("pid_i_w", "W", "integral part of the trim", "tick.decision.trim_i_w"),
    _field("pid_d_w", "W", "derivative part of the trim", "tick.decision.trim_d_w"),
    _field("commands", "", "limits sent since the point before"),
    Field("faults", "", "number of faults", lambda sample: len(sample.tick.faults)),
    _milliseconds("step_ms", "duration of the control step", "tick.step_s"),
    _field("toggle_url", TEXT, "signed link that switches to the other state; written on changes and once a minute"),
    _excursion(
        "excursion_s", "s", "for how long export has been beyond what is allowed by now, 0 while it is not", "current_s"
    ),
    _excursion("excursions_today", "", "excursions that began today; this and the next on changes", "today"),
    _excursion("excursion_longest_today_s", "s", "length of the longest of today", "longest_today_s"),
    _excursion("excursion_worst_today_w", "W", "most power beyond what is allowed, of those of today", "worst_today_w"),
    _excursion("export_beyond_today_wh", "Wh", "all energy of today beyond what is allowed", "beyond_today_wh"),
    _excursion("grid_unknown_today_s", "s", "for how long today nobody knew whether it is kept", "unknown_today_s"),
)
PRICE = (
    _field("export_value_c", "ct/kWh", "what one exported kWh earns; negative means it costs", "price.export_value_c"),
    _field("import_price_c", "ct/kWh", "price of one imported kWh", "price.import_price_c"),
    _field("estimated", "", "1 while the price is an estimate, else 0", "price.estimated"),
    _field("valid_until_utc_s", "s", "Unix time at which the price ends", "price.valid_until_utc_s"),
    Field("gate", TEXT, "what the price, or somebody in its place, asks for: limit, open, shutdown", _gate("mode")),
    Field(
        "gate_number",
        "",
        "the same as a number: " + ", ".join(f"{number:.0f} {mode}" for mode, number in GATE_NUMBERS.items()),
        lambda sample: None if sample.gate is None else GATE_NUMBERS[sample.gate.mode],
    ),
    Field("by_hand", "", "1 while somebody decides in the price's place, else 0", _gate("by_hand")),
)
FORECAST = (
    _field("export_value_c", "ct/kWh", "what one exported kWh earns; negative means it costs"),
    _field("import_price_c", "ct/kWh", "price of one imported kWh"),
    _field("confirmed", "", "1 where the price is final, 0 for an estimate or a forecast"),
)
ACCOUNT = (
    _field("import_wh", "Wh", "imported energy"),
    _field("export_wh", "Wh", "exported energy"),
    _field("pv_wh", "Wh", "energy of all inverters"),
    _field("self_used_wh", "Wh", "of it what the house has used"),
    _field("load_wh", "Wh", "energy of the household"),
    _field("curtailed_wh", "Wh", "energy that the sun would have given, estimated"),
    _field("uncertain_s", "s", "time held back without any estimate"),
    _field("earned_c", "ct", "earned by export, negative where it cost"),
    _field("saved_c", "ct", "saved by holding back, negative where feeding in would have paid"),
)
LEDGER = tuple(
    _field(f"{span}_{field.name}", field.unit, f"{field.about}, {words}", f"{span}.{field.name}")
    for span, words in (("today", "today"), ("month", "this month"), ("total", "since counting began"))
    for field in ACCOUNT
)
BATTERY = (
    _field("soc_pct", "%", "state of charge"),
    _field("power_w", "W", "power; positive while it charges, negative while it discharges"),
)
ENVOY_METER = (
    _field("power_w", "W", "power; at the grid positive is import"),
    _field("current_a", "A", "current"),
    _field("voltage_v", "V", "voltage; of all phases together: their sum"),
    _field("reactive_power_var", "var", "reactive power"),
    _field("apparent_power_va", "VA", "apparent power"),
    _field("power_factor", "", "power factor"),
    _field("frequency_hz", "Hz", "frequency"),
    _field("today_wh", "Wh", "energy of today, as the gateway reports it"),
    _field("lifetime_wh", "Wh", "energy since the first day, as the gateway reports it"),
    _field("forward_wh", "Wh", "the meter's own counter of positive power: at the grid, import"),
    _field("reverse_wh", "Wh", "the meter's own counter of negative power: at the grid, export"),
)
MICROINVERTER = (
    _field("power_w", "W", "power that the micro-inverter reported last"),
    _field("reported_utc_s", "s", "Unix time of that report"),
)
ENVOY_DEVICE = (
    Field(
        "ok",
        "",
        "1 while the gateway says that all is well, else 0",
        lambda device: _WELL in device.status if device.status else None,
    ),
    Field("status", TEXT, "what the gateway says of it", lambda device: ", ".join(device.status) or None),
    _field("producing", "", "1 while it produces, else 0"),
    _field("communicating", "", "1 while the gateway hears it, else 0"),
    _field("provisioned", "", "1 where it belongs to this gateway, else 0"),
    _field("operating", "", "1 while it operates, else 0"),
    Field("relay_closed", "", "of a relay: 1 while it is closed, else 0", lambda device: _closed(device.relay)),
)
ENVOY_BATTERY = (
    _field("soc_pct", "%", "state of charge of all batteries"),
    _field("power_w", "W", "power of all batteries; positive is charging"),
    _field("capacity_wh", "Wh", "energy that they can hold"),
)
STORE = (
    _field("written", "", "points kept for good since the start"),
    _field("pending", "", "points that wait"),
    _field("oldest_s", "s", "for how long the oldest of them has waited"),
    _field("spool_b", "B", "what waits on the disk"),
    _field("spool_used_pct", "%", "the same in percent of what may wait there"),
    _field("dropped", "", "points lost for want of room since the start"),
    _field("refused", "", "points that the store cannot use, since the start"),
)
EVENT = (
    _field("kind", TEXT, "mode, settings, fault, fault_cleared, excursion or envoy; doctor where that tried InfluxDB"),
    _field("text", TEXT, "what happened, in plain words"),
    _field("key", TEXT, "stable name of the mode or fault"),
    _field("next_step", TEXT, "what to do about a fault"),
    _field("length_s", "s", "length of an excursion that is over"),
    _field("worst_w", "W", "most power beyond what is allowed in it"),
)


_WELL = "envoy.global.ok"


def envoy_phase(line: EnvoyLine) -> str:
    """What a phase is called in tags and labels."""
    return f"L{line.phase}" if line.phase else "all"


def _closed(relay: str | None) -> bool | None:
    return {"closed": True, "open": False, "opened": False}.get(relay or "")


def _quantity(name: str, about: str) -> tuple[Field, ...]:
    return (
        _field(f"{name}_w", "W", f"mean {about}"),
        _field(f"{name}_min_w", "W", f"lowest {about}"),
        _field(f"{name}_max_w", "W", f"highest {about}"),
        _field(f"{name}_s", "s", f"how much of the minute the {about} was known"),
    )


MINUTE = (
    *_quantity("grid", "grid power"),
    *_quantity("pv", "power of all inverters"),
    *_quantity("load", "power of the household"),
    *_quantity("limit", "sum of the limits"),
    _field("import_wh", "Wh", "imported energy"),
    _field("export_wh", "Wh", "exported energy"),
    _field("pv_wh", "Wh", "energy of all inverters"),
    _field("load_wh", "Wh", "energy of the household"),
)

SCHEMA = (
    Measurement("grid", "The grid meter: one point per new reading.", (), GRID),
    Measurement(
        "inverter",
        "Each inverter: a point with what it measures per answer of it, and one with limits and state per change.",
        ("serial", "name"),
        INVERTER_SAMPLE + INVERTER_STATE,
    ),
    Measurement("panel", "Each DC input: one point per answer of the inverter.", ("serial", "channel"), PANEL),
    Measurement("dtu", "The gateway to the inverters (OpenDTU): one point per status of it.", ("name",), DTU),
    Measurement("battery", "The battery: one point per report of it.", ("name",), BATTERY),
    Measurement("control", "What the controller decided, about once a second.", (), CONTROL),
    Measurement("price", "The price of now and what is made of it: one point per change, and one a minute.", (), PRICE),
    Measurement(
        "forecast",
        "The prices known, each at its start: also those to come, whose time stamps are in the future.",
        (),
        FORECAST,
    ),
    Measurement("ledger", "Energy and money at the grid: one point a minute.", (), LEDGER),
    Measurement("store", "Each store of telemetry: one point a minute.", ("name",), STORE),
    Measurement(
        "envoy_meter",
        "Each meter of an Enphase gateway (kind: pv, grid, consumption), all its phases together (phase: all) and each "
        "(L1, L2, L3): one point per new reading.",
        ("kind", "phase"),
        ENVOY_METER,
    ),
    Measurement(
        "microinverter",
        "Each Enphase micro-inverter: one point per report of it, at the time of the report.",
        ("serial",),
        MICROINVERTER,
    ),
    Measurement(
        "envoy_device",
        "How an Enphase gateway knows each device (kind: inverter, battery, relay): one point per change, and one in "
        "ten minutes.",
        ("serial", "kind"),
        ENVOY_DEVICE,
    ),
    Measurement("envoy_battery", "The batteries of an Enphase gateway: one point per answer.", (), ENVOY_BATTERY),
    Measurement(
        "event",
        "What changed: mode, settings and faults; each excursion when it is over; and what an Enphase gateway noted.",
        (),
        EVENT,
    ),
    Measurement("minute", "The minute that starts at the time stamp, kept for good. Gaps are not filled.", (), MINUTE),
    Measurement("day", "The local day that starts at the time stamp, so far; kept for good.", (), ACCOUNT),
    Measurement("month", "The local month that starts at the time stamp, so far; kept for good.", (), ACCOUNT),
)
MEASUREMENTS = {measurement.name: measurement for measurement in SCHEMA}
REPLACED = frozenset(("forecast", "minute", "day", "month"))  # a later point takes the place of one at its time
LASTING = frozenset(("minute", "day", "month"))  # kept for good
RAW = tuple(measurement for measurement in SCHEMA if measurement.name not in LASTING)
