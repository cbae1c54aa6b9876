"""The second dashboard: each inverter and each DC input, the radio link and the gateway."""

from __future__ import annotations

import electrical
import radio
from frame import INVERTERS, Line, dashboard, inverter_choice, laid_out, site_choice
from parts import BLUE, DASHED, GREEN, ORANGE, PURPLE, RED, STEPPED, YELLOW, graph, stat, style, styles
from queries import RANGE, RECENT, Json, inverters, latest, peak, site


def build() -> Json:
    """The whole document."""
    about = "Each inverter and each DC input: powers, limits, what they measure, the radio link, and the gateway."
    panels = laid_out(
        Line(4, stats()),
        Line(6, [radio.now()]),
        "Power",
        Line(9, [power()]),
        Line(8, [setpoint(), percent()]),
        "DC inputs",
        *electrical.inputs_lines(),
        "AC side",
        *electrical.lines(),
        "Radio and gateway",
        *radio.lines(),
    )
    choices = [site_choice(), inverter_choice()]
    return dashboard(INVERTERS, about, panels, since="now-6h", refresh="10s", choices=choices)


def stats() -> list[Json]:
    """What the chosen inverters yield."""
    today = {"timeFrom": "now/d", "hideTimeOverride": True}
    return [
        stat(
            "Power AC",
            "What the selected inverters feed in now. A dash: none of them has reported for five minutes.",
            "watt",
            latest("ac_power_w", "sum", RECENT),
            (GREEN, None),
        ),
        stat(
            "Temperature",
            "The warmest of the selected inverters now.",
            "celsius",
            latest("temperature_c", "max", RECENT),
            (GREEN, None),
            (ORANGE, 60.0),
            (RED, 75.0),
        ),
        stat(
            "Production Today",
            "Energy of today, as the selected inverters count it. They start again at 0 when they restart.",
            "watth",
            latest("yield_day_wh", "sum", RANGE),
            (YELLOW, None),
            **today,
        ),
        stat(
            "Production Total",
            "Energy since the first day, as the selected inverters count it.",
            "kwatth",
            latest("yield_total_kwh", "sum", RANGE),
            (YELLOW, None),
            timeFrom="7d",
            hideTimeOverride=True,
        ),
        stat(
            "Peak Power AC",
            "Today's highest mean over one minute, all selected inverters together.",
            "watt",
            peak("ac_power_w"),
            (BLUE, None),
            **today,
        ),
        stat(
            "Peak Power DC",
            "Today's highest mean over one minute on the DC side, all selected inverters together.",
            "watt",
            peak("dc_power_w"),
            (BLUE, None),
            **today,
        ),
    ]


def power() -> Json:
    """What the inverters do, and what they may do."""
    return graph(
        "AC+DC Power & Limit",
        "All: the whole site, with the sum of the limits in force. By name: the selected inverters, with the limit "
        "that the gateway shows as acknowledged.",
        "watt",
        [
            site("control", "pv_w", "All AC"),
            site("control", "dc_w", "All DC"),
            site("control", "limit_w", "All limits", "last"),
            inverters("ac_power_w", "[[tag_name]] AC"),
            inverters("dc_power_w", "[[tag_name]] DC"),
            inverters("limit_w", "[[tag_name]] limit"),
        ],
        styles=[
            style("All AC", GREEN, fillOpacity=15, lineWidth=2),
            style("All DC", YELLOW, lineWidth=2),
            style("All limits", RED, lineWidth=2, **STEPPED),
            styles("/ limit$/", **STEPPED, **DASHED),
            styles("/ DC$/", **DASHED),
        ],
    )


def setpoint() -> Json:
    """What each inverter was told, beside what the site wants."""
    return graph(
        "Setpoint & Commands",
        "The ceiling of the whole site that the control law asks for; by name the limit last sent to each selected "
        "inverter, and the one that the gateway shows as acknowledged.",
        "watt",
        [
            site("control", "setpoint_w", "Setpoint"),
            inverters("limit_commanded_w", "[[tag_name]] sent", "last"),
            inverters("limit_w", "[[tag_name]] acknowledged", "last"),
        ],
        styles=[
            style("Setpoint", PURPLE, lineWidth=2),
            styles("/ sent$/", **STEPPED),
            styles("/ acknowledged$/", **STEPPED, **DASHED),
        ],
    )


def percent() -> Json:
    """Limits as OpenDTU shows them."""
    return graph(
        "Limit in Percent",
        "The acknowledged limit of each selected inverter, in percent of its rated power.",
        "percent",
        [inverters("limit_pct", function="last")],
        **STEPPED,
    )
