"""The fourth dashboard: what an Enphase gateway tells of its meters, micro-inverters, devices and batteries."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from frame import ENVOY, Line, dashboard, laid_out, site_choice
from parts import GREEN, ORANGE, STEPPED, band, graph, listing, override, stat, words
from queries import RANGE, RECENT, SITE, Json, query

YES_NO = {0: ("no", ORANGE), 1: ("yes", GREEN)}
ALL = "\"phase\" = 'all'"
PHASES = "\"phase\" != 'all'"
KINDS = {"pv": "Sun", "grid": "Grid", "consumption": "House"}
SLOW_S = 3600  # the gateway hears its devices every few minutes


def build() -> Json:
    """The whole document."""
    about = "What an Enphase gateway tells: its meters by phase, each micro-inverter, its devices and its batteries."
    panels = laid_out(
        Line(4, [now(kind) for kind in KINDS] + [charge()]),
        Line(9, [power(), powers()]),
        "Micro-inverters and devices",
        Line(9, [reports()]),
        Line(9, [inverters(), devices()]),
        Line(8, [states()]),
        "Batteries",
        Line(7, [battery(), battery_charge()]),
        "Meters, in detail",
        Line(7, [of_each("voltage_v", "Meter Voltages", "Voltage of each phase.", "volt"), *_currents()]),
        Line(7, [*_other_powers()]),
        Line(7, [*_quality()]),
        Line(7, [*_energies()]),
    )
    return dashboard(ENVOY, about, panels, since="now-6h", refresh="30s", choices=[site_choice()])


def now(kind: str) -> Json:
    """What one meter measures."""
    name = KINDS[kind]
    which = f"{SITE} AND {ALL} AND \"kind\" = '{kind}'"
    text = f'SELECT last("power_w") AS "value" FROM "envoy_meter" WHERE {which} AND {RECENT}'
    told = "Positive is import." if kind == "grid" else "All phases together."
    return stat(
        f"Enphase {name}", f"Power that the gateway's {kind} meter measures now. {told}", "watt", text, (GREEN, None)
    )


def charge() -> Json:
    """How full the batteries are."""
    text = f'SELECT last("soc_pct") AS "value" FROM "envoy_battery" WHERE {SITE} AND {RANGE}'
    return stat("Battery Charge", "State of charge of all batteries, as told last.", "percent", text, (GREEN, None))


def power() -> Json:
    """All phases together."""
    return graph(
        "Enphase Power",
        "Power of each meter of the gateway, all phases together; at the grid positive is import.",
        "watt",
        [meters("power_w", "[[tag_kind]]", ALL)],
    )


def powers() -> Json:
    """Phase by phase."""
    return of_each("power_w", "Enphase Power by Phase", "Power of each phase of each meter.", "watt")


def of_each(field: str, title: str, about: str, unit: str) -> Json:
    """A line for each phase of each meter."""
    return graph(title, about, unit, [meters(field, "[[tag_kind]] [[tag_phase]]", PHASES)])


def meters(field: str, name: str, which: str, function: str = "mean") -> Json:
    """Lines of the meters."""
    text = (
        f'SELECT {function}("{field}") AS "value" FROM "envoy_meter" WHERE {SITE} AND {which} AND {RANGE} '
        'GROUP BY time($__interval), "kind", "phase" fill(null)'
    )
    return query(text, alias=name)


def _currents() -> list[Json]:
    return [of_each("current_a", "Meter Currents", "Current of each phase.", "amp")]


def _other_powers() -> list[Json]:
    return [
        of_each("reactive_power_var", "Meter Reactive Power", "Reactive power of each phase.", "voltampreact"),
        of_each("apparent_power_va", "Meter Apparent Power", "Apparent power of each phase.", "voltamp"),
    ]


def _quality() -> list[Json]:
    return [
        of_each("power_factor", "Meter Power Factor", "Power factor of each phase.", "none"),
        of_each("frequency_hz", "Meter Frequency", "Frequency, as each phase sees it.", "hertz"),
    ]


def _energies() -> list[Json]:
    days = "Energy of today, as the gateway reports it about every 15 minutes; it counts no days at the grid."
    since = "Energy since the first day: as the gateway reports it, and the meters' own counters of both directions."
    counted = {"lifetime_wh": "reported", "forward_wh": "forward", "reverse_wh": "reverse"}
    lines = [meters(field, f"[[tag_kind]] {name}", ALL, "last") for field, name in counted.items()]
    today = [meters("today_wh", "[[tag_kind]]", ALL, "last")]
    return [
        graph("Energy Today by Meter", days, "watth", today, every="1m", gap_s=SLOW_S),
        graph("Energy Counted by Meter", since, "watth", lines, every="1m", gap_s=SLOW_S),
    ]


def reports() -> Json:
    """What each micro-inverter reported."""
    text = (
        f'SELECT last("power_w") AS "value" FROM "microinverter" WHERE {SITE} AND {RANGE} '
        'GROUP BY time($__interval), "serial" fill(null)'
    )
    return graph(
        "Reports of Micro-inverters",
        "Power that each micro-inverter reported, at the time of the report: every few minutes by day.",
        "watt",
        [query(text, alias="[[tag_serial]]")],
        every="1m",
        gap_s=SLOW_S,
        **STEPPED,
    )


def inverters() -> Json:
    """One row for each micro-inverter."""
    text = (
        f'SELECT last("power_w") AS "Power", last("reported_utc_s") * 1000 AS "Reported" FROM "microinverter" '
        f'WHERE {SITE} AND {RANGE} GROUP BY "serial"'
    )
    looks = [override("Power", unit="watt"), override("Reported", unit="dateTimeAsLocal")]
    return listing(
        "Last Report of Each",
        "The last report of each micro-inverter within the range.",
        text,
        looks,
        ordered={"serial": "Serial", "Power": "Power", "Reported": "Reported"},
    )


def devices() -> Json:
    """One row for each device."""
    asked = {
        "Well": "ok",
        "Producing": "producing",
        "Reached": "communicating",
        "Provisioned": "provisioned",
        "Operating": "operating",
        "Relay closed": "relay_closed",
        "Says": "status",
    }
    columns = ", ".join(f'last("{field}") AS "{name}"' for name, field in asked.items())
    text = f'SELECT {columns} FROM "envoy_device" WHERE {SITE} AND {RANGE} GROUP BY "serial", "kind"'
    yes_no = {"mappings": words(YES_NO), "custom__cellOptions": {"type": "color-text"}}
    return listing(
        "Devices",
        "How the gateway knows each device: micro-inverters, batteries and relays.",
        text,
        [override(name, **yes_no) for name in asked if name != "Says"],
        ordered={"serial": "Serial", "kind": "Device", **{name: name for name in asked}},
    )


def states() -> Json:
    """Whether each device can be reached."""
    text = (
        f'SELECT last("communicating") AS "value" FROM "envoy_device" WHERE {SITE} AND {RANGE} '
        'GROUP BY time($__interval), "kind", "serial" fill(null)'
    )
    return band(
        "Reached by the Gateway",
        "Whether the gateway hears each device. Micro-inverters sleep at night.",
        [query(text, alias="[[tag_kind]] [[tag_serial]]")],
        YES_NO,
        every="1m",
    )


def battery() -> Json:
    """What goes in and out."""
    return _of_batteries("Battery Power", "Power of all batteries; positive is charging.", "watt", "power_w")


def battery_charge() -> Json:
    """How full they are, and what they can hold."""
    return _of_batteries(
        "Battery Charge & Size", "State of charge of all batteries, and what they can hold.", "percent", "soc_pct"
    )


def _of_batteries(title: str, about: str, unit: str, field: str) -> Json:
    lines = {field: title}
    if field == "soc_pct":
        lines |= {"capacity_wh": "Size"}
    targets = [
        query(
            f'SELECT last("{name}") AS "{shown}" FROM "envoy_battery" WHERE {SITE} AND {RANGE} '
            "GROUP BY time($__interval) fill(null)",
            alias=shown,
        )
        for name, shown in lines.items()
    ]
    looks = [override("Size", unit="watth")] if field == "soc_pct" else []
    return graph(title, about, unit, targets, every="1m", gap_s=SLOW_S, styles=looks)
