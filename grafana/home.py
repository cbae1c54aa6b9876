"""The first dashboard: whether it works, and what the controller does."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

import battery
import control
import price
import recording
from frame import ENERGY, HOME, INVERTERS, Line, dashboard, laid_out, panel_link, site_choice
from parts import (
    BLUE,
    DASHED,
    GREEN,
    NEUTRAL,
    ORANGE,
    PURPLE,
    RED,
    STEPPED,
    YELLOW,
    band,
    graph,
    listing,
    override,
    stat,
    style,
    words,
)
from queries import RANGE, SITE, Json, last, last_of, site, table
from switch import switch

MODES = {
    0: ("starting", PURPLE),
    1: ("holds the target", GREEN),
    2: ("open", YELLOW),
    3: ("shut down", "semi-dark-red"),
    4: ("paused", ORANGE),
    5: ("holds back", "light-orange"),
    6: ("fail-safe", RED),
    7: ("night", BLUE),
}
KINDS = {
    "fault": RED,
    "fault_cleared": GREEN,
    "excursion": PURPLE,
    "mode": BLUE,
    "settings": ORANGE,
}


def build() -> Json:
    """The whole document."""
    about = "Is it working? The switch, the powers of now, and what the controller does and why."
    panels = laid_out(
        Line(4, top()),
        Line(3, [why()]),
        Line(10, [powers()]),
        Line(3, [modes()]),
        "Control",
        *control.lines(),
        "Price",
        *price.lines(),
        "Battery",
        *battery.lines(),
        "Events",
        Line(10, [happened()]),
        "Recording",
        *recording.lines(),
    )
    return dashboard(HOME, about, panels, since="now-1h", refresh="5s", choices=[site_choice()])


def top() -> list[Json]:
    """The first row: whether it works."""
    return [
        switch(),
        stat(
            "Grid Now",
            "Power at the meter: positive is import, negative is export. A dash: unknown for five minutes.",
            "watt",
            last("grid", "power_w"),
            (ORANGE, None),
            (GREEN, -50.0),
        ),
        stat(
            "Sun Now",
            "What all inverters together give now. The link beside the title leads to each of them.",
            "watt",
            last("control", "pv_w"),
            (YELLOW, None),
            links=[panel_link("Inverters and panels", INVERTERS)],
        ),
        stat("Limit Now", "The sum of the limits in force.", "watt", last("control", "limit_w"), (BLUE, None)),
        stat(
            "Exported Today",
            "Energy exported today. The link beside the title leads to days and months.",
            "watth",
            last("ledger", "today_export_wh"),
            (GREEN, None),
            (ORANGE, 100.0),
            (RED, 500.0),
            links=[panel_link("Energy and money", ENERGY)],
        ),
        stat(
            "Worst Excursion",
            "Most power exported today beyond what is allowed, in excursions as the controller counts them.",
            "watt",
            last("control", "excursion_worst_today_w"),
            (GREEN, None),
            (ORANGE, 50.0),
            (RED, 500.0),
        ),
        stat(
            "Longest Excursion",
            "Today's longest export beyond what is allowed, as the controller counts it (excursions in its "
            "configuration). 0: there was none.",
            "s",
            last("control", "excursion_longest_today_s"),
            (GREEN, None),
            (ORANGE, 1.0),
            (RED, 60.0),
        ),
        stat(
            "Faults",
            "How many things are wrong now. Which ones, and what to do, stands below in Events.",
            "none",
            last("control", "faults"),
            (GREEN, None),
            (RED, 1.0),
            mappings=words({0: ("none", GREEN)}),
        ),
    ]


def why() -> Json:
    """The mode in the controller's own words."""
    text = last_of("control", {"reason": "reason"})
    about = "What the controller says it is doing now. A dash: it has not recorded anything for five minutes."
    item = stat("Why", about, "none", table(text), (NEUTRAL, None), fields="/^reason$/")
    item["options"]["text"] = {"valueSize": 20}
    return item


def powers() -> Json:
    """The product: the power at the meter, and what makes it."""
    return graph(
        "Grid Power, Sun, House & Limit",
        "Power at the meter: positive is import, negative is export. Lowest is the strongest export in each step. "
        "The limit caps the sun so that the grid stays at its target.",
        "watt",
        [
            site("grid", "power_w", "Grid"),
            site("grid", "power_w", "Lowest", "min"),
            site("control", "pv_w", "Sun"),
            site("control", "load_w", "House"),
            site("control", "limit_w", "Limit", "last"),
            site("control", "target_w", "Target", "last"),
        ],
        every="1s",
        gap_s=30,
        styles=[
            style("Grid", BLUE, fillOpacity=15, lineWidth=2),
            style("Lowest", RED),
            style("Sun", YELLOW, lineWidth=2),
            style("House", PURPLE),
            style("Limit", ORANGE, **STEPPED),
            style("Target", GREEN, **DASHED, **STEPPED),
        ],
    )


def modes() -> Json:
    """What it does, as a band."""
    return band(
        "Mode",
        "What the controller does. Holds back: the meter is late, and limits only go down. Fail-safe: it is gone.",
        [site("control", "mode_number", "Mode", "last")],
        MODES,
    )


def happened() -> Json:
    """The last two hundred events of the chosen time."""
    text = (
        'SELECT "kind" AS "What", "text" AS "In words", "next_step" AS "What to do", "length_s" AS "Length", '
        f'"worst_w" AS "Worst", "key" AS "Key" FROM "event" WHERE {SITE} AND {RANGE} ORDER BY time DESC LIMIT 200'
    )
    kinds = {kind: {"text": kind.replace("_", " "), "color": color} for kind, color in KINDS.items()}
    columns = [
        override("Time", custom__width=170),
        override(
            "What",
            custom__width=110,
            mappings=[{"type": "value", "options": kinds}],
            custom__cellOptions={"type": "color-text"},
        ),
        override("In words", custom__minWidth=260),
        override("What to do", custom__minWidth=200),
        override("Length", unit="s", custom__width=90),
        override("Worst", unit="watt", custom__width=90),
        override("Key", custom__width=150),
    ]
    about = "Modes, settings, faults with what to do about them, and excursions that are over; newest first."
    return listing("Events", about, text, columns, newest="Time")
