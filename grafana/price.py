"""The row "Price" of the dashboard: what export earns, what the gate makes of it, and what that was worth."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from parts import (
    BLUE,
    DASHED,
    DATASOURCE,
    GREEN,
    GREY,
    ORANGE,
    RECENT,
    RED,
    SITE,
    STEPPED,
    YELLOW,
    Json,
    graph,
    panel,
    site,
    stat,
    steps,
    style,
)

PER_KWH = "suffix:ct/kWh"
AHEAD = "/d/zero-export?from=now-6h&to=now%2B24h"  # a bare + would be read as a space
LONGEST_SLOT_S = 24 * 3600  # of a weekly timetable; a spot market's are an hour at most
GATES = {"1": ("Hold the target", GREY), "2": ("Export", GREEN), "3": ("Shut down", RED)}


def link() -> Json:
    """The way to the prices to come, at the top of the dashboard."""
    return {
        "title": "Next 24 h",
        "tooltip": "From six hours ago to 24 hours ahead: the prices that are known already",
        "type": "link",
        "icon": "dashboard",
        "url": AHEAD,
        "includeVars": True,
        "keepTime": False,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
    }


def mode_changes() -> Json:
    """Each change of the controller's mode, as a mark in all graphs."""
    return {
        "name": "Mode changes",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": BLUE,
        "query": f'SELECT "text" FROM "event" WHERE {SITE} AND "kind" = \'mode\' AND $timeFilter',
        "rawQuery": True,
        "textColumn": "text",
        "titleColumn": "",
        "tagsColumn": "",
        "timeEndColumn": "",
    }


def row() -> Json:
    """The heading."""
    return {"type": "row", "title": "Price", "collapsed": False, "panels": []}


def figures() -> list[Json]:
    """The price of now, and the ledger."""
    return [
        stat(
            "Export Earns",
            "What one exported kWh earns now, in hundredths of the currency. Negative: it costs.",
            PER_KWH,
            _last("price", "export_value_c"),
            (RED, None),
            (ORANGE, 0.0),
            (GREEN, 0.01),
        ),
        stat(
            "Import Costs",
            "What one imported kWh costs now, in hundredths of the currency. Negative: you are paid for it.",
            PER_KWH,
            _last("price", "import_price_c"),
            (GREEN, None),
            (BLUE, 0.0),
        ),
        stat("Exported Today", "Energy exported today.", "watth", _last("ledger", "today_export_wh"), (BLUE, None)),
        _money(
            "Export Earned Today",
            "What today's export has earned, in the currency of the price. Negative: it has cost.",
            "today_earned_c",
        ),
        stat(
            "Curtailed Today",
            "About how much more the sun would have given today. The web page says how it is estimated.",
            "watth",
            _last("ledger", "today_curtailed_wh"),
            (YELLOW, None),
        ),
        _money(
            "Saved Today",
            "What holding the inverters back has saved today, in the currency of the price, compared with letting "
            "them feed in. Negative: feeding in would have paid.",
            "today_saved_c",
        ),
        stat(
            "Curtailed in Total",
            "About how much more the sun would have given since counting began.",
            "watth",
            _last("ledger", "total_curtailed_wh"),
            (YELLOW, None),
        ),
        _money(
            "Saved in Total",
            "What holding the inverters back has saved since counting began, in the currency of the price.",
            "total_saved_c",
        ),
    ]


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
    """What the price asked for, as a band."""
    names = {key: {"text": text, "color": color, "index": int(key)} for key, (text, color) in GATES.items()}
    hands = {
        "0": {"text": "price", "color": "transparent", "index": 0},
        "1": {"text": "by hand", "color": YELLOW, "index": 1},
    }
    return panel(
        "state-timeline",
        "Gate",
        "What the price asks for: export, hold the target, or shut down; and when somebody decided in its place.",
        "none",
        [site("price", "gate_number", "Gate", "last"), site("price", "by_hand", "By hand", "max")],
        interval="1m",
        defaults={
            "custom": {"fillOpacity": 70, "lineWidth": 0, "spanNulls": 300_000},
            "mappings": [{"type": "value", "options": names}],
            "color": {"mode": "thresholds"},
            "thresholds": steps((GREY, None)),
        },
        overrides=[
            {
                "matcher": {"id": "byName", "options": "By hand"},
                "properties": [{"id": "mappings", "value": [{"type": "value", "options": hands}]}],
            }
        ],
        options={
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def placed(first_id: int, top: int) -> list[Json]:
    """The whole row from a height on."""
    panels = [{"id": first_id, "gridPos": {"h": 1, "w": 24, "x": 0, "y": top}, **row()}]
    for i, item in enumerate(figures()):
        panels.append({"id": first_id + 1 + i, "gridPos": {"h": 4, "w": 3, "x": 3 * i, "y": top + 1}, **item})
    panels.append({"id": first_id + 9, "gridPos": {"h": 9, "w": 24, "x": 0, "y": top + 5}, **prices()})
    panels.append({"id": first_id + 10, "gridPos": {"h": 5, "w": 24, "x": 0, "y": top + 14}, **gate()})
    return panels


def _last(measurement: str, field: str, factor: str = "") -> str:
    return f'SELECT last("{field}"){factor} AS "value" FROM "{measurement}" WHERE {SITE} AND {RECENT}'


def _money(title: str, about: str, field: str) -> Json:
    """Hundredths, shown as the currency itself; which one that is, is not recorded."""
    item = stat(title, about, "none", _last("ledger", field, " / 100"), (RED, None), (GREEN, 0.0))
    item["fieldConfig"]["defaults"]["decimals"] = 2
    return item
