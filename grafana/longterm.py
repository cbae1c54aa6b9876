"""The row of the third dashboard with the power of long times, which is kept minute by minute."""

from __future__ import annotations

from frame import Line
from parts import BLUE, ORANGE, PURPLE, RED, STEPPED, YELLOW, graph, style
from queries import Json, site

GAP_S = 600
ENERGIES = {"Imported": "import_wh", "Exported": "export_wh", "Sun": "pv_wh", "House": "load_wh"}
POWERS = {"Grid": "grid", "Sun": "pv", "House": "load", "Limit": "limit"}
COLORS = {"Grid": BLUE, "Sun": YELLOW, "House": PURPLE, "Limit": ORANGE, "Imported": BLUE, "Exported": RED}


def lines() -> list[Line]:
    """All of it."""
    return [
        Line(9, [means()]),
        Line(8, [extremes("Grid"), extremes("Sun")]),
        Line(8, [extremes("House"), extremes("Limit")]),
        Line(8, [energy(), known()]),
    ]


def means() -> Json:
    """All powers in one picture."""
    return graph(
        "Power",
        "Mean power at the grid (positive: import), of all inverters, of the household, and the sum of the limits.",
        "watt",
        [site("minute", f"{field}_w", name) for name, field in POWERS.items()],
        every="1m",
        gap_s=GAP_S,
        styles=[
            style("Grid", BLUE, fillOpacity=15, lineWidth=2),
            style("Sun", YELLOW, lineWidth=2),
            style("House", PURPLE),
            style("Limit", ORANGE, **STEPPED),
        ],
    )


def extremes(name: str) -> Json:
    """One power with its lowest and highest values, which a mean hides."""
    field = POWERS[name]
    return graph(
        f"{name}: Lowest, Mean & Highest",
        "The lowest and the highest value within each step of time, and the mean. A mean hides what is short.",
        "watt",
        [
            site("minute", f"{field}_min_w", "Lowest", "min"),
            site("minute", f"{field}_w", "Mean"),
            site("minute", f"{field}_max_w", "Highest", "max"),
        ],
        every="1m",
        gap_s=GAP_S,
        styles=[
            style("Lowest", COLORS[name]),
            style("Mean", COLORS[name], lineWidth=2),
            style("Highest", COLORS[name], fillBelowTo="Lowest", fillOpacity=15),
        ],
    )


def energy() -> Json:
    """What each step of time adds up to."""
    return graph(
        "Energy in Each Step",
        "Imported and exported energy, that of all inverters and that of the household, in each step of time.",
        "watth",
        [site("minute", field, name, "sum") for name, field in ENERGIES.items()],
        every="1m",
        gap_s=GAP_S,
        styles=[style(name, COLORS[name]) for name in ENERGIES],
    )


def known() -> Json:
    """What is missing is not filled in."""
    return graph(
        "How Much Is Known",
        "Of each minute the seconds in which each power was known. What was unknown counts into no mean and no energy.",
        "s",
        [site("minute", f"{field}_s", name) for name, field in POWERS.items()],
        every="1m",
        gap_s=GAP_S,
        styles=[style(name, COLORS[name]) for name in POWERS],
    )
