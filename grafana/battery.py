"""The row "Battery" of the first dashboard: how full it is, and what it takes and gives."""

from __future__ import annotations

from frame import Line
from parts import BLUE, GREEN, graph, style
from queries import Json, site


def lines() -> list[Line]:
    """All of it; empty without a battery."""
    return [Line(7, [power(), charge()])]


def power() -> Json:
    """What it takes and gives."""
    return graph(
        "Battery Power",
        "Power of the battery: positive while it charges, negative while it discharges.",
        "watt",
        [site("battery", "power_w", "Battery")],
        styles=[style("Battery", BLUE, fillOpacity=15)],
    )


def charge() -> Json:
    """How full it is."""
    return graph(
        "Battery Charge",
        "State of charge of the battery, as what tells of it counts it.",
        "percent",
        [site("battery", "soc_pct", "Charge")],
        styles=[style("Charge", GREEN)],
    )
