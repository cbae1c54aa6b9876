"""How the inverters stand now, the radio link to them, and the gateway."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from frame import INVERTERS, Line
from parts import GREEN, ORANGE, RED, STEPPED, band, graph, listing, override, steps, words
from queries import INVERTER, RECENT, Json, inverters, named

YES_NO = {0: ("no", ORANGE), 1: ("yes", GREEN)}
WEAK_DBM, POOR_DBM = -80.0, -90.0
ONE = f"/d/{INVERTERS}?${{site:queryparam}}&var-inverter=${{__data.fields.Serial}}&${{__url_time_range}}"


def now() -> Json:
    """One row for each inverter."""
    asked = {
        "AC": "ac_power_w",
        "DC": "dc_power_w",
        "Limit": "limit_w",
        "Temperature": "temperature_c",
        "Today": "yield_day_wh",
        "Total": "yield_total_kwh",
        "Reached": "reachable",
        "Producing": "producing",
        "Signal": "rssi_dbm",
        "Dead time": "dead_time_s",
    }
    columns = ", ".join(f'last("{field}") AS "{name}"' for name, field in asked.items())
    text = f'SELECT {columns} FROM "inverter" WHERE {INVERTER} AND {RECENT} GROUP BY "serial", "name"'
    yes_no = {"mappings": words(YES_NO), "custom__cellOptions": {"type": "color-text"}}
    warm = steps((GREEN, None), (ORANGE, 60.0), (RED, 75.0))
    return listing(
        "Inverters Now",
        "What is known of each selected inverter, from the last five minutes. A click on a name shows it alone.",
        text,
        [
            override(
                "Inverter",
                links=[{"title": "This inverter alone", "url": ONE, "targetBlank": False}],
                custom__minWidth=120,
            ),
            override("AC", unit="watt"),
            override("DC", unit="watt"),
            override("Limit", unit="watt"),
            override("Temperature", unit="celsius", thresholds=warm, custom__cellOptions={"type": "color-text"}),
            override("Today", unit="watth"),
            override("Total", unit="kwatth"),
            override("Reached", **yes_no),
            override("Producing", **yes_no),
            override("Signal", unit="dBm"),
            override("Dead time", unit="s"),
        ],
        ordered={"name": "Inverter", **{name: name for name in asked}, "serial": "Serial"},
    )


def lines() -> list[Line]:
    """The link and the gateway."""
    return [
        Line(7, [states()]),
        Line(8, [signal(), dead_time(), resets()]),
        Line(7, [rules(), writes()]),
        Line(4, [gateway()]),
        Line(7, [wifi(), gateway_temperature()]),
        Line(7, [uptime(), memory()]),
    ]


def states() -> Json:
    """Whether each one can be reached, and is held."""
    return band(
        "Reached, Producing, Commanded, Guarded",
        "Whether the gateway reaches each selected inverter, whether it produces, whether it may be commanded, and "
        "whether the broker holds its dead-man limit.",
        [
            inverters("reachable", "[[tag_name]] reached", "last"),
            inverters("producing", "[[tag_name]] producing", "last"),
            inverters("enabled", "[[tag_name]] commanded", "last"),
            inverters("guarded", "[[tag_name]] guarded", "last"),
        ],
        YES_NO,
    )


def rules() -> Json:
    """What slow inverters keep to by themselves."""
    return graph(
        "Export Rules",
        "The export that each slow inverter allows by its rule, as given and as it shows it; no value: it is open.",
        "watt",
        [
            inverters("rule_export_w", "[[tag_name]] given", "last"),
            inverters("rule_shown_w", "[[tag_name]] shown", "last"),
        ],
        gap_s=300,
    )


def writes() -> Json:
    """What wears a memory out."""
    return graph(
        "Writes Today",
        "Limits written today to inverters whose memory wears out.",
        "short",
        [inverters("writes_today", "[[tag_name]]", "last")],
        gap_s=300,
    )


def signal() -> Json:
    """The strength of the radio link."""
    return graph(
        "Radio Signal",
        "Signal strength between gateway and inverter. The weaker, the more commands get lost.",
        "dBm",
        [inverters("rssi_dbm", function="last")],
        levels=[(RED, None), (ORANGE, POOR_DBM), (GREEN, WEAK_DBM)],
        gap_s=300,
    )


def dead_time() -> Json:
    """What the law has learned."""
    return graph(
        "Dead Time",
        "Time from a limit to its effect, as the control law has learned it for each selected inverter.",
        "s",
        [inverters("dead_time_s", function="last")],
        gap_s=300,
        **STEPPED,
    )


def resets() -> Json:
    """Events after which a limit had to be taken as lost."""
    return graph(
        "Resets",
        "Events after which the limit of an inverter had to be taken as lost, since the program's start: it or the "
        "gateway restarted, or it came back.",
        "short",
        [inverters("resets", function="max")],
        gap_s=300,
        **STEPPED,
    )


def gateway() -> Json:
    """Whether the gateway is there."""
    return band(
        "Gateway",
        "Whether each gateway (OpenDTU) is online.",
        [named("dtu", "name", "online", "[[tag_name]]")],
        {0: ("offline", RED), 1: ("online", GREEN)},
    )


def wifi() -> Json:
    """The gateway's own link."""
    return graph(
        "Gateway WiFi Signal",
        "Signal strength of the gateway's WiFi.",
        "dBm",
        [named("dtu", "name", "rssi_dbm", "[[tag_name]]")],
        levels=[(RED, None), (ORANGE, POOR_DBM), (GREEN, WEAK_DBM)],
        gap_s=300,
    )


def gateway_temperature() -> Json:
    """How warm its processor is."""
    return graph(
        "Gateway Temperature",
        "Temperature of the gateway's processor.",
        "celsius",
        [named("dtu", "name", "temperature_c", "[[tag_name]]")],
        gap_s=300,
    )


def uptime() -> Json:
    """A fall to 0 is a restart."""
    return graph(
        "Gateway Uptime",
        "Time since the gateway's start. Where the line falls to 0, it has restarted.",
        "s",
        [named("dtu", "name", "uptime_s", "[[tag_name]]")],
        gap_s=300,
    )


def memory() -> Json:
    """What it has left."""
    return graph(
        "Gateway Free Memory",
        "Free memory of the gateway. Where it shrinks for days, a restart is near.",
        "bytes",
        [named("dtu", "name", "heap_free_b", "[[tag_name]]", "min")],
        gap_s=300,
    )
