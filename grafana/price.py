"""The row "Price" of the first dashboard: what export earns, and what the gate makes of it."""

from __future__ import annotations

from frame import Line
from parts import BLUE, CLEAR, DASHED, GREEN, ORANGE, RED, STEPPED, YELLOW, band, graph, override, stat, style, words
from queries import Json, last, site

PER_KWH = "suffix:ct/kWh"
LONGEST_SLOT_S = 24 * 3600  # of a weekly timetable; a spot market's are an hour at most
GATES = {1: ("Hold the target", BLUE), 2: ("Export", GREEN), 3: ("Shut down", RED)}


def lines() -> list[Line]:
    """All of it."""
    return [Line(4, figures()), Line(9, [prices()]), Line(6, [gate()])]


def figures() -> list[Json]:
    """The price of now, and what the gate has done today."""
    return [
        stat(
            "Export Earns",
            "What one exported kWh earns now, in hundredths of the currency. Negative: it costs.",
            PER_KWH,
            last("price", "export_value_c"),
            (RED, None),
            (ORANGE, 0.0),
            (GREEN, 0.01),
        ),
        stat(
            "Import Costs",
            "What one imported kWh costs now, in hundredths of the currency. Negative: you are paid for it.",
            PER_KWH,
            last("price", "import_price_c"),
            (GREEN, None),
            (BLUE, 0.0),
        ),
        stat(
            "Price Ends",
            "When the price that is in force ends.",
            "dateTimeFromNow",
            last("price", "valid_until_utc_s", " * 1000"),
            (BLUE, None),
        ),
        money(
            "Export Earned Today",
            "What today's export has earned, in the currency of the price. Negative: it has cost.",
            "today_earned_c",
        ),
        stat(
            "Curtailed Today",
            "About how much more the sun would have given today. The web page says how it is estimated.",
            "watth",
            last("ledger", "today_curtailed_wh"),
            (YELLOW, None),
        ),
        money(
            "Saved Today",
            "What holding the inverters back has saved today, in the currency of the price, compared with letting "
            "them feed in. Negative: feeding in would have paid.",
            "today_saved_c",
        ),
    ]


def money(title: str, about: str, field: str) -> Json:
    """Hundredths, shown as the currency itself; which one that is, is not recorded."""
    return stat(title, about, "none", last("ledger", field, " / 100"), (RED, None), (GREEN, -0.005), decimals=2)


def prices() -> Json:
    """Export and import, in force and ahead."""
    return graph(
        "Price",
        "Solid: the prices in force. Dashed: those known for each interval, also ahead. To see the hours to come, "
        "choose a range that ends in the future, as the link Next 24 h at the top does.",
        PER_KWH,
        [
            site("price", "export_value_c", "Export earns", "last"),
            site("price", "import_price_c", "Import costs", "last"),
            site("forecast", "export_value_c", "Export, ahead", "last"),
            site("forecast", "import_price_c", "Import, ahead", "last"),
        ],
        every="1m",
        gap_s=LONGEST_SLOT_S,
        styles=[
            style("Export earns", ORANGE, lineWidth=2, fillOpacity=15, spanNulls=300_000),
            style("Import costs", BLUE, lineWidth=2, spanNulls=300_000),
            style("Export, ahead", ORANGE, **DASHED),
            style("Import, ahead", BLUE, **DASHED),
        ],
        **STEPPED,
    )


def gate() -> Json:
    """What the price asked for, and how sure it was."""
    hands = words({0: ("price", CLEAR), 1: ("by hand", YELLOW)})
    sure = words({0: ("final", CLEAR), 1: ("estimate", YELLOW)})
    ahead = words({0: ("forecast", YELLOW), 1: ("final", CLEAR)})
    return band(
        "Gate",
        "What the price asks for: export, hold the target, or shut down; when somebody decided in its place; and "
        "whether the price in force, and each one known, is final.",
        [
            site("price", "gate_number", "Gate", "last"),
            site("price", "by_hand", "By hand", "max"),
            site("price", "estimated", "In force", "max"),
            site("forecast", "confirmed", "Known", "min"),
        ],
        GATES,
        [
            override("By hand", mappings=hands),
            override("In force", mappings=sure),
            override("Known", mappings=ahead, custom__spanNulls=LONGEST_SLOT_S * 1000),
        ],
        every="1m",
    )
