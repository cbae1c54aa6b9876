"""Writes the dashboard: ``python grafana/build.py``; with ``--check`` it only says whether the file has drifted."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import price
from parts import (
    BLUE,
    DASHED,
    DATASOURCE,
    GREEN,
    ORANGE,
    PURPLE,
    RECENT,
    RED,
    SITE,
    STEPPED,
    YELLOW,
    Json,
    graph,
    inverters,
    latest,
    peak,
    query,
    site,
    stat,
    style,
    styles,
    switch,
)

TARGET = Path(__file__).parent / "dashboards" / "zero-export.json"
PANEL = (
    'SELECT mean("voltage_v") AS "value" FROM "panel" WHERE "site" = \'${site:raw}\' '
    'AND "serial" =~ /^${inverter:regex}$/ AND $timeFilter '
    'GROUP BY time($__interval), "serial", "channel" fill(null)'
)


def stats() -> list[Json]:
    """The top row: whether it works, and what it yields."""
    today = {"timeFrom": "now/d", "hideTimeOverride": True}
    return [
        switch(),
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
            latest("yield_day_wh", "sum", "$timeFilter"),
            (YELLOW, None),
            **today,
        ),
        stat(
            "Production Total",
            "Energy since the first day, as the selected inverters count it.",
            "kwatth",
            latest("yield_total_kwh", "sum", "$timeFilter"),
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
        stat(
            "Longest Excursion",
            "Today's longest export beyond what is allowed, as the controller counts it (excursions in its "
            "configuration). 0: there was none. Its events are in the measurement event.",
            "s",
            f'SELECT last("excursion_longest_today_s") AS "value" FROM "control" WHERE {SITE} AND {RECENT}',  # noqa: S608
            (GREEN, None),
            (ORANGE, 1.0),
            (RED, 60.0),
        ),
    ]


def grid() -> Json:
    """The product: the power at the meter."""
    return graph(
        "Grid Power",
        "Power at the meter: positive is import, negative is export. Lowest is the strongest export in each step.",
        "watt",
        [
            site("grid", "power_w", "Grid"),
            site("grid", "power_w", "Lowest", "min"),
            site("control", "target_w", "Target", "last"),
        ],
        every="1s",
        gap_s=30,
        styles=[
            style("Grid", BLUE, fillOpacity=15, lineWidth=2),
            style("Lowest", RED),
            style("Target", GREEN, **DASHED, **STEPPED),
        ],
    )


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


def electrical() -> list[Json]:
    """What the inverters and the meter measure."""
    phases = [f"l{i}" for i in (1, 2, 3)]
    return [
        graph(
            "Voltage",
            "AC voltage at each inverter, and of the phases at the meter.",
            "volt",
            [inverters("ac_voltage_v"), *(site("grid", f"{p}_voltage_v", f"Grid {p.upper()}") for p in phases)],
        ),
        graph(
            "Current",
            "AC current of each inverter, and of the phases at the meter.",
            "amp",
            [inverters("ac_current_a"), *(site("grid", f"{p}_current_a", f"Grid {p.upper()}") for p in phases)],
        ),
        graph(
            "Panel DC Voltages",
            "Voltage of each DC input, named by the inverter's serial number and the input.",
            "volt",
            [query(PANEL, alias="[[tag_serial]] DC [[tag_channel]]")],
        ),
        graph("Temperature", "Temperature of each inverter.", "celsius", [inverters("temperature_c")]),
        graph("Power Factor", "Power factor of each inverter.", "none", [inverters("power_factor")]),
        graph("Reactive Power", "Reactive power of each inverter.", "voltampreact", [inverters("reactive_power_var")]),
        graph("Frequency", "Frequency of the grid, as each inverter sees it.", "hertz", [inverters("frequency_hz")]),
        graph("Efficiency", "AC power out of DC power, for each inverter.", "percent", [inverters("efficiency_pct")]),
    ]


def control() -> Json:
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


def laid_out() -> list[Json]:
    """All panels, with ids and places: the stats in one row, the grid over the whole width, pairs, the price."""
    panels: list[Json] = []
    for i, item in enumerate(stats()):
        panels.append({"id": i + 1, "gridPos": {"h": 4, "w": 3, "x": 3 * i, "y": 0}, **item})
    panels.append({"id": 9, "gridPos": {"h": 9, "w": 24, "x": 0, "y": 4}, **grid()})
    for i, item in enumerate([power(), *electrical(), control()]):
        place = {"h": 8, "w": 12, "x": 12 * (i % 2), "y": 13 + 8 * (i // 2)}
        panels.append({"id": 10 + i, "gridPos": place, **item})
    return panels + price.placed(first_id=20, top=53)


def variable(name: str, label: str, about: str, text: str, **more: object) -> Json:
    """A choice at the top, filled from the stored tags."""
    return {
        "name": name,
        "label": label,
        "description": about,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": text,
        "query": {"query": text, "refId": "InfluxVariableQueryEditor-VariableQuery"},
        "refresh": 1,
        "sort": 1,
        "hide": 0,
        "skipUrlSync": False,
        "options": [],
        "regex": "",
        **more,
    }


def dashboard() -> Json:
    """The whole document."""
    sites = 'SHOW TAG VALUES FROM "control" WITH KEY = "site"'
    serials = 'SHOW TAG VALUES FROM "inverter" WITH KEY = "serial" WHERE "site" = \'${site:raw}\''
    home = {"text": "home", "value": "home"}
    every = {"text": ["All"], "value": ["$__all"]}
    choices = [
        variable("site", "Site", "The installation.", sites, multi=False, includeAll=False, current=home),
        variable(
            "inverter",
            "Inverter",
            "The inverters, by serial number.",
            serials,
            multi=True,
            includeAll=True,
            allValue=".*",
            current=every,
        ),
    ]
    return {
        "uid": "zero-export",
        "title": "Zero Export",
        "description": "Written by grafana/build.py: change that file.",
        "tags": ["solar", "zero-export"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "weekStart": "",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "refresh": "5s",
        "liveNow": False,
        "links": [price.link()],
        "annotations": {"list": [price.mode_changes()]},
        "templating": {"list": choices},
        "panels": laid_out(),
    }


def main(arguments: Sequence[str]) -> int:
    """Write the file, or compare it. Returns the exit code."""
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if "--check" not in arguments:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{TARGET} has drifted: run python grafana/build.py\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
