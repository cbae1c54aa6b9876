"""The third dashboard: energy and money by days and months, ratios, and the power of long times."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import longterm
from frame import ENERGY, Line, dashboard, laid_out, site_choice
from parts import BLUE, GREEN, NEUTRAL, ORANGE, PURPLE, RED, YELLOW, bars, figures, graph, override, style
from queries import LASTING, RANGE, RECENT, SITE, Json, query, table

ENERGIES = {
    "Sun": '"{}pv_wh"',
    "Used of it": '"{}self_used_wh"',
    "Exported": '"{}export_wh"',
    "Imported": '"{}import_wh"',
    "House": '"{}load_wh"',
    "Curtailed": '"{}curtailed_wh"',
}
MONEY = {"Earned": '"{}earned_c" / 100', "Saved": '"{}saved_c" / 100'}
UNCERTAIN = {"Without an estimate": '"{}uncertain_s"'}
RATIOS = {
    "Self-consumption": '100 * "{0}self_used_wh" / "{0}pv_wh"',
    "Autarky": '100 * "{0}self_used_wh" / "{0}load_wh"',
}
SPANS = {"today": "Today", "month": "This Month", "total": "In Total"}
RATIOS_MEAN = (
    "Self-consumption: how much of the sun's energy the house has used. Autarky: how much of the house's energy came "
    "from the sun."
)
MONEY_MEANS = (
    "In the currency of the price. Earned: by export; negative: it cost. Saved: by holding the inverters back; "
    "negative: feeding in would have paid."
)
STACKED: Json = {
    "drawStyle": "bars",
    "barAlignment": 1,
    "fillOpacity": 60,
    "stacking": {"mode": "normal", "group": "A"},
}
DOTTED: Json = {"showPoints": "always", "gap_s": 3 * 86_400}


def build() -> Json:
    """The whole document."""
    about = "What the sun gave and where it went, by days and months, and what it was worth."
    panels = laid_out(
        Line(6, [energies(span) for span in SPANS]),
        Line(4, [ratios(span) for span in SPANS]),
        Line(4, [money(span) for span in SPANS]),
        "Days",
        Line(9, [sun(), house()]),
        Line(8, [worth(), shares()]),
        Line(7, [whole()]),
        "Months",
        Line(9, [months()]),
        Line(8, [monthly_worth(), monthly_shares()]),
        "Power, minute by minute",
        *longterm.lines(),
    )
    return dashboard(ENERGY, about, panels, since="now-30d/d", refresh="1m", choices=[site_choice()])


def so_far(span: str, columns: Mapping[str, str]) -> str:
    """What the ledger says now."""
    asked = ", ".join(f'{_lasts(text.format(f"{span}_"))} AS "{name}"' for name, text in columns.items())
    return f'SELECT {asked} FROM "ledger" WHERE {SITE} AND {RECENT}'


def each(measurement: str, columns: Mapping[str, str]) -> str:
    """The points themselves: one per local day or month, at its beginning, so that there is nothing to group."""
    asked = ", ".join(f'{text.format("")} AS "{name}"' for name, text in columns.items())
    return f'SELECT {asked} FROM "{measurement}" WHERE {SITE} AND {RANGE}'


def daily(title: str, about: str, unit: str, columns: Mapping[str, str], looks: Sequence[Json], **more: Any) -> Json:
    """A graph of days. The first one of a range that begins within it is left out."""
    asked = query(each("day", columns), alias="[[col]]", source=LASTING)
    return graph(title, about, unit, [asked], styles=looks, every="1h", **more)


def monthly(title: str, about: str, unit: str, columns: Mapping[str, str], looks: Sequence[Json]) -> Json:
    """Bars of the last twelve months, side by side."""
    asked = table(each("month", columns), LASTING)
    return bars(title, f"{about} The last twelve months.", unit, asked, looks, timeFrom="now-1y/M")


def energies(span: str) -> Json:
    """Where the energy came from and went."""
    return figures(
        f"Energy {SPANS[span]}",
        "What the inverters gave, what of it the house used and what was exported; what was imported, what the house "
        "used in all, and about how much more the sun would have given.",
        "watth",
        so_far(span, ENERGIES),
        (BLUE, None),
    )


def ratios(span: str) -> Json:
    """How much of the sun was used, and how much of the use was sun."""
    asked, levels = so_far(span, RATIOS), ((ORANGE, None), (GREEN, 50.0))
    return figures(f"Ratios {SPANS[span]}", RATIOS_MEAN, "percent", asked, *levels, decimals=0)


def money(span: str) -> Json:
    """Which currency it is, is not recorded."""
    plain = override("Without an estimate", unit="s", color={"mode": "fixed", "fixedColor": NEUTRAL}, decimals=0)
    return figures(
        f"Money {SPANS[span]}",
        f"{MONEY_MEANS} And for how long the inverters were held back and nothing could be estimated.",
        "none",
        so_far(span, MONEY | UNCERTAIN),
        (RED, None),
        (GREEN, -0.005),
        decimals=2,
        overrides=[plain],
    )


def sun() -> Json:
    """Stacked: together they are what the sun could have given."""
    return daily(
        "The Sun's Energy, by Days",
        "What the house used of it, what was exported, and about how much was held back. The first two together are "
        "what the inverters gave.",
        "watth",
        {name: ENERGIES[name] for name in ("Used of it", "Exported", "Curtailed")},
        [style("Used of it", GREEN), style("Exported", ORANGE), style("Curtailed", YELLOW)],
        **STACKED,
    )


def house() -> Json:
    """Stacked: together they are what the house used."""
    return daily(
        "The House's Energy, by Days",
        "What it used from the sun, and what was imported. Both together are all that the house used.",
        "watth",
        {"From the sun": ENERGIES["Used of it"], "Imported": ENERGIES["Imported"]},
        [style("From the sun", GREEN), style("Imported", BLUE)],
        **STACKED,
    )


def worth() -> Json:
    """Money by days."""
    looks = [style("Earned", ORANGE), style("Saved", GREEN)]
    return daily("Money, by Days", MONEY_MEANS, "none", MONEY, looks, **STACKED)


def shares() -> Json:
    """The ratios by days."""
    looks = [style("Self-consumption", YELLOW), style("Autarky", GREEN)]
    return daily("Self-consumption & Autarky, by Days", RATIOS_MEAN, "percent", RATIOS, looks, **DOTTED)


def whole() -> Json:
    """The sums, and how sure the curtailed energy is."""
    return daily(
        "Sun, House & Time without an Estimate, by Days",
        "All that the inverters gave and all that the house used; and, on the right scale, the time in which the "
        "inverters were held back and nobody could say by how much.",
        "watth",
        {name: ENERGIES[name] for name in ("Sun", "House")} | UNCERTAIN,
        [
            style("Sun", YELLOW),
            style("House", PURPLE),
            override(
                "Without an estimate",
                unit="s",
                color={"mode": "fixed", "fixedColor": NEUTRAL},
                custom__axisPlacement="right",
            ),
        ],
        **DOTTED,
    )


def months() -> Json:
    """All energies."""
    colors = (YELLOW, GREEN, ORANGE, BLUE, PURPLE, "light-yellow")
    return monthly(
        "Energy, by Months",
        "What the inverters gave, what of it the house used and what was exported; what was imported, what the house "
        "used in all, and about how much more the sun would have given.",
        "watth",
        ENERGIES,
        [style(name, color) for name, color in zip(ENERGIES, colors, strict=True)],
    )


def monthly_worth() -> Json:
    """Money by months."""
    return monthly("Money, by Months", MONEY_MEANS, "none", MONEY, [style("Earned", ORANGE), style("Saved", GREEN)])


def monthly_shares() -> Json:
    """The ratios by months, and how sure the curtailed energy is."""
    right = override("Without an estimate", unit="s", custom__axisPlacement="right")
    looks = [style("Self-consumption", YELLOW), style("Autarky", GREEN), right]
    about = f"{RATIOS_MEAN} On the right scale the time held back without any estimate."
    return monthly("Ratios, by Months", about, "percent", RATIOS | UNCERTAIN, looks)


def _lasts(text: str) -> str:
    """Each field as its last value."""
    return "".join(f'last("{part}")' if i % 2 else part for i, part in enumerate(text.split('"')))
