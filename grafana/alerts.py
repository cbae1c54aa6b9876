"""The alert rules: what somebody should be told of. Each is one query, its last value, and a threshold.

A rule asks for all sites at once and gets one series for each: Grafana has no choices at the top here. Nothing in it
has a dollar sign, since some parts of such a file have variables put in, and others not: the time is now(), and texts
take ``.Labels`` and ``.Values`` as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import yaml
from frame import HOME, INVERTERS
from queries import RAW, Json

HEAD = """\
# Written by grafana/build.py from grafana/alerts.py: change that file. Grafana takes it in when it starts, with or
# without anybody to tell: docs/grafana.md says how to be told.
"""
FAIL_SAFE = 6  # control.mode_number
EXPORT_WH, UNKNOWN_PCT, SPOOL_PCT, DAYLIGHT_W = 25.0, 50.0, 80.0, 20.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert. ``panel``: the uid and title of where to look. ``silence``: what it means that nothing comes."""

    uid: str
    title: str
    about: str
    next_step: str
    query: str
    fires: tuple[Literal["gt", "lt", "within_range"], *tuple[float, ...]]
    lasts: str
    severity: Literal["critical", "warning"]
    panel: tuple[str, str]
    looks_back_s: int
    silence: Literal["OK", "Alerting"] = "OK"


RULES = (
    Rule(
        "zero-export-exported",
        "Exported more than is allowed",
        '{{ .Labels.site }}: {{ printf "%.0f" .Values.B.Value }} Wh beyond what is allowed in the last 15 minutes.',
        "Look at the faults in Events, and for what feeds in besides the inverters that are commanded.",
        'SELECT sum("wh") AS "value" FROM (SELECT non_negative_difference("export_beyond_today_wh") AS "wh" '
        'FROM "control" WHERE time > now() - 15m AND time <= now() GROUP BY "site") '
        'WHERE time > now() - 15m AND time <= now() GROUP BY "site"',
        ("gt", EXPORT_WH),
        "0s",
        "critical",
        (HOME, "Grid Power, Sun, House & Limit"),
        900,
    ),
    Rule(
        "zero-export-meter",
        "Meter stale",
        '{{ .Labels.site }}: the grid power was unknown for {{ printf "%.0f" .Values.B.Value }} % of the last 5 '
        "minutes.",
        "Check the meter's power and network; zero-export doctor meter tries it once.",
        'SELECT 100 * (count("mode_number") - count("grid_w")) / count("mode_number") AS "value" FROM "control" '
        'WHERE time > now() - 5m AND time <= now() GROUP BY "site" fill(0)',
        ("gt", UNKNOWN_PCT),
        "0s",
        "critical",
        (HOME, "Age of the Reading"),
        300,
    ),
    Rule(
        "zero-export-fail-safe",
        "In fail-safe",
        "{{ .Labels.site }}: the inverters have been at their fail-safe limits for 5 minutes.",
        "Look at the faults in Events; most often it is the meter.",
        'SELECT last("mode_number") AS "value" FROM "control" WHERE time > now() - 1m AND time <= now() '
        'GROUP BY "site"',
        ("within_range", FAIL_SAFE - 0.5, FAIL_SAFE + 0.5),
        "5m",
        "critical",
        (HOME, "Mode"),
        60,
    ),
    # Of an inverter that cannot be reached, what it gave last; at dusk that is next to nothing before it falls asleep.
    Rule(
        "zero-export-unreachable",
        "Inverter unreachable by day",
        "{{ .Labels.site }}: {{ .Labels.name }} ({{ .Labels.serial }}) cannot be reached; it last gave "
        '{{ printf "%.0f" .Values.B.Value }} W.',
        "Check the radio link between OpenDTU and the inverter, and whether OpenDTU is on.",
        'SELECT (1 - last("reachable")) * last("ac_power_w") AS "value" FROM "inverter" '
        'WHERE time > now() - 6h AND time <= now() GROUP BY "site", "serial", "name"',
        ("gt", DAYLIGHT_W),
        "10m",
        "warning",
        (INVERTERS, "Reached, Producing, Commanded, Guarded"),
        21_600,
    ),
    Rule(
        "zero-export-spool",
        "Spool fills up",
        '{{ .Labels.site }}: the spool of {{ .Labels.name }} is full to {{ printf "%.0f" .Values.B.Value }} %; when '
        "it is full, the oldest points are lost.",
        "Look at the fault influxdb in Events; zero-export doctor telemetry tries it once.",
        'SELECT last("spool_used_pct") AS "value" FROM "store" WHERE time > now() - 15m AND time <= now() '
        'GROUP BY "site", "name"',
        ("gt", SPOOL_PCT),
        "5m",
        "warning",
        (HOME, "Spool"),
        900,
    ),
    # Of two stretches the mean, since the last one has just begun. A site counts as known for a day.
    Rule(
        "zero-export-silent",
        "No data",
        "{{ if .Labels.site }}{{ .Labels.site }}: {{ end }}nothing has been recorded for 5 to 10 minutes, or the "
        "database does not answer.",
        "Check that the controller and InfluxDB run: docker compose ps, docker compose logs app influxdb.",
        'SELECT moving_average(count("mode_number"), 2) AS "value" FROM "control" '
        'WHERE time > now() - 1d AND time <= now() GROUP BY time(5m), "site" fill(0)',
        ("lt", 0.5),
        "2m",
        "critical",
        (HOME, "Stores"),
        86_400,
        silence="Alerting",
    ),
)


def text(dashboards: Sequence[Json]) -> str:
    """The provisioning file."""
    places = {(board["uid"], panel["title"]): panel["id"] for board in dashboards for panel in board["panels"]}
    group = {
        "orgId": 1,
        "name": "zero-export",
        "folder": "Zero Export",
        "interval": "1m",
        "rules": [_rule(rule, places[rule.panel]) for rule in RULES],
    }
    document = {"apiVersion": 1, "groups": [group]}
    return HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _rule(rule: Rule, panel_id: int) -> Json:
    kind, *bounds = rule.fires
    over = {"evaluator": {"type": kind, "params": bounds}}
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "for": rule.lasts,
        "noDataState": rule.silence,
        "execErrState": rule.silence,
        "dashboardUid": rule.panel[0],
        "panelId": panel_id,
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.about, "description": rule.next_step},
        "data": [
            _asked(rule),
            _computed("B", {"type": "reduce", "expression": "A", "reducer": "last"}, rule),
            _computed("C", {"type": "threshold", "expression": "B", "conditions": [over]}, rule),
        ],
    }


def _asked(rule: Rule) -> Json:
    model = {
        "refId": "A",
        "query": rule.query,
        "rawQuery": True,
        "resultFormat": "time_series",
        "intervalMs": 1000,
        "maxDataPoints": 1000,
    }
    return {"refId": "A", "relativeTimeRange": _range(rule), "datasourceUid": RAW["uid"], "model": model}


def _computed(name: str, model: Json, rule: Rule) -> Json:
    datasource = {"type": "__expr__", "uid": "__expr__"}
    filled = {"refId": name, "datasource": datasource, **model}
    return {"refId": name, "relativeTimeRange": _range(rule), "datasourceUid": "__expr__", "model": filled}


def _range(rule: Rule) -> Json:
    return {"from": rule.looks_back_s, "to": 0}
