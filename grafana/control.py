"""The row "Control" of the first dashboard: how the limit comes about, and the account of exports."""

from __future__ import annotations

from frame import Line
from parts import (
    BLUE,
    CLEAR,
    DASHED,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    STEPPED,
    band,
    figures,
    graph,
    override,
    steps,
    style,
    words,
)
from queries import Json, last_of, site

NO_YES = {0: ("no", CLEAR), 1: ("yes", GREEN)}
FAULTY = steps((CLEAR, None), (RED, 1.0))


def lines() -> list[Line]:
    """All of it."""
    return [
        Line(8, [setpoint(), trim()]),
        Line(7, [commands(), times(), age()]),
        Line(7, [phases("power_w", "Phases", "Power of each phase at the meter; positive is import.", "watt")]),
        Line(5, [excursions()]),
        Line(7, [beyond(), phases("power_factor", "Phases: Power Factor", "Power factor of each phase.", "none")]),
        Line(6, [switches(), counters()]),
    ]


def setpoint() -> Json:
    """What the controller wants."""
    return graph(
        "Control Setpoint",
        "The ceiling that the control law asks for, the sum of the limits in force, and what they are made from: "
        "the household's power and that of the inverters.",
        "watt",
        [
            site("control", "setpoint_w", "Setpoint"),
            site("control", "limit_w", "Limit in force", "last"),
            site("control", "load_w", "Household"),
            site("control", "pv_w", "Inverters"),
        ],
        every="1s",
        gap_s=30,
        styles=[
            style("Setpoint", PURPLE, lineWidth=2),
            style("Limit in force", RED, **STEPPED),
            style("Household", BLUE),
            style("Inverters", GREEN),
        ],
    )


def trim() -> Json:
    """The feedback on top of what was reckoned."""
    return graph(
        "Error & Trim",
        "Error: grid power minus target. The parts of the trim (PID) that it leads to, and the grid power that "
        "control used: it is not there while the meter is too old.",
        "watt",
        [
            site("control", "error_w", "Error"),
            site("control", "pid_p_w", "P"),
            site("control", "pid_i_w", "I"),
            site("control", "pid_d_w", "D"),
            site("control", "grid_w", "Grid used"),
        ],
        every="1s",
        gap_s=30,
        styles=[style("Error", RED, lineWidth=2), style("Grid used", BLUE, **DASHED)],
    )


def commands() -> Json:
    """How often it speaks to the inverters."""
    return graph(
        "Commands",
        "Limits sent to the inverters, in each step of time.",
        "none",
        [site("control", "commands", "Limits sent", "sum")],
        drawStyle="bars",
        fillOpacity=60,
    )


def times() -> Json:
    """How long things take."""
    return graph(
        "Step & Meter Latency",
        "How long the control step took to compute, and the meter to answer.",
        "ms",
        [site("control", "step_ms", "Step", "max"), site("grid", "latency_ms", "Meter", "max")],
    )


def age() -> Json:
    """How old readings are when they are used."""
    return graph(
        "Age of the Reading",
        "How old the meter's reading was when control used it. With a meter of one value a second, limits are only "
        "lowered from 2 s on, and from 5 s on the inverters go to their fail-safe limits.",
        "s",
        [site("grid", "age_s", "Age", "max")],
        levels=[(GREEN, None), (ORANGE, 2.0), (RED, 5.0)],
    )


def phases(field: str, title: str, about: str, unit: str) -> Json:
    """One line for each phase of the meter."""
    return graph(title, about, unit, [site("grid", f"l{i}_{field}", f"L{i}") for i in (1, 2, 3)])


def excursions() -> Json:
    """Today's account of exports."""
    asked = {"Excursions": "excursions_today", "Beyond": "export_beyond_today_wh", "Unknown": "grid_unknown_today_s"}
    return figures(
        "Today's Account of Excursions",
        "Excursions that began today, all energy beyond what is allowed, and for how long nobody knew whether it was "
        "kept.",
        "none",
        last_of("control", asked),
        (GREEN, None),
        (ORANGE, 1.0),
        overrides=[
            override("Beyond", unit="watth", thresholds=steps((GREEN, None), (ORANGE, 25.0))),
            override("Unknown", unit="s", thresholds=steps((GREEN, None), (ORANGE, 60.0))),
        ],
    )


def beyond() -> Json:
    """The excursion that goes on."""
    return graph(
        "Excursion Going On",
        "For how long export has been beyond what is allowed by now; 0 while it is not.",
        "s",
        [site("control", "excursion_s", "Excursion", "max")],
        styles=[style("Excursion", PURPLE, fillOpacity=15)],
    )


def switches() -> Json:
    """What a person has set, and whether something is wrong."""
    return band(
        "Switches & Faults",
        "Whether zero export is on, whether limits are only computed and not sent (dry run), and the number of faults.",
        [
            site("control", "enabled", "On", "last"),
            site("control", "dry_run", "Dry run", "last"),
            site("control", "faults", "Faults", "max"),
        ],
        NO_YES,
        [override("Faults", mappings=words({0: ("none", CLEAR)}), thresholds=FAULTY)],
    )


def counters() -> Json:
    """The meter's own sums."""
    return graph(
        "The Meter's Counters",
        "Energy imported and exported, as the meter counts it since its first day; not every meter tells.",
        "watth",
        [site("grid", "import_wh", "Imported", "last"), site("grid", "export_wh", "Exported", "last")],
        every="1m",
    )
