"""What the dashboards share: where panels stand, the choices at the top, the marks in the graphs and the links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parts import BLUE, GREEN, ORANGE, PURPLE, RED, YELLOW
from queries import RAW, Json, events

HOME, INVERTERS, ENERGY, ENVOY = "zero-export", "zero-export-inverters", "zero-export-energy", "zero-export-enphase"
TITLES = {
    HOME: "Zero Export",
    INVERTERS: "Zero Export: Inverters & Panels",
    ENERGY: "Zero Export: Energy & Money",
    ENVOY: "Zero Export: Enphase",
}
COLUMNS = 24
ENERGY_RANGE = "from=now-30d%2Fd&to=now"
AHEAD = "from=now-6h&to=now%2B24h"  # a bare + would be read as a space


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, all of one height, which share the width alike."""

    height: int
    panels: Sequence[Json]


def laid_out(*rows: str | Line) -> list[Json]:
    """All panels with ids and places, from top to bottom; a text is a heading. Phones show them in this order."""
    found: list[Json] = []
    top = 0
    for row in rows:
        height, panels = (1, [_heading(row)]) if isinstance(row, str) else (row.height, row.panels)
        edges = [COLUMNS * i // len(panels) for i in range(len(panels) + 1)]
        for item, left, right in zip(panels, edges, edges[1:], strict=False):
            place = {"h": height, "w": right - left, "x": left, "y": top}
            found.append({"id": len(found) + 1, "gridPos": place, **item})
        top += height
    return found


def dashboard(uid: str, about: str, panels: list[Json], *, since: str, refresh: str, choices: Sequence[Json]) -> Json:
    """The whole document."""
    return {
        "uid": uid,
        "title": TITLES[uid],
        "description": f"{about} Written by grafana/build.py: change what it is made from there.",
        "tags": ["solar", "zero-export"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "weekStart": "",
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "refresh": refresh,
        "liveNow": False,
        "links": links(uid),
        "annotations": {"list": marks()},
        "templating": {"list": list(choices)},
        "panels": panels,
    }


def links(uid: str) -> list[Json]:
    """The ways to the other dashboards. The energy of days needs weeks, so that way neither takes nor gives hours."""
    found = []
    for other, about in (
        (HOME, "Is it working?"),
        (INVERTERS, "Each inverter and each DC input"),
        (ENERGY, "Days, months and what they were worth"),
        (ENVOY, "What an Enphase gateway tells, where there is one"),
    ):
        if other != uid:
            chosen = f"/d/{other}?{ENERGY_RANGE}" if other == ENERGY else f"/d/{other}"
            found.append(_link(TITLES[other], about, chosen, keep_time=ENERGY not in (uid, other)))
    if uid == HOME:
        about = "From six hours ago to 24 hours ahead: the prices that are known already"
        found.append(_link("Next 24 h", about, f"/d/{HOME}?{AHEAD}", keep_time=False))
    return found


def panel_link(title: str, uid: str) -> Json:
    """A way from one panel to another dashboard, for the same site."""
    chosen = f"/d/{uid}?{ENERGY_RANGE}" if uid == ENERGY else f"/d/{uid}"
    return _link(title, title, chosen, keep_time=uid != ENERGY)


def marks() -> list[Json]:
    """What happened, as marks in all graphs."""
    priced = "/^(open|shutdown)$/"
    return [
        _mark("Mode changes", BLUE, events("mode", f' AND "key" !~ {priced}')),
        _mark("Price gate", YELLOW, events("mode", f' AND "key" =~ {priced}')),
        _mark("Faults", RED, events("fault")),
        _mark("Faults over", GREEN, events("fault_cleared")),
        _mark("Excursions", PURPLE, events("excursion")),
        _mark("Settings", ORANGE, events("settings", columns='"text"'), tags=""),  # these have no key
    ]


def site_choice() -> Json:
    """Which installation."""
    text = 'SHOW TAG VALUES FROM "control" WITH KEY = "site"'
    home = {"text": "home", "value": "home"}
    return _choice("site", "Site", "The installation.", text, multi=False, includeAll=False, current=home)


def inverter_choice() -> Json:
    """Which inverters of it."""
    text = 'SHOW TAG VALUES FROM "inverter" WITH KEY = "serial" WHERE "site" = \'${site:raw}\''
    every = {"text": ["All"], "value": ["$__all"]}
    about = "The inverters, by serial number."
    return _choice("inverter", "Inverter", about, text, multi=True, includeAll=True, allValue=".*", current=every)


def _heading(text: str) -> Json:
    return {"type": "row", "title": text, "collapsed": False, "panels": []}


def _link(title: str, about: str, url: str, *, keep_time: bool) -> Json:
    return {
        "title": title,
        "tooltip": about,
        "type": "link",
        "icon": "dashboard",
        "url": url,
        "includeVars": True,
        "keepTime": keep_time,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
    }


def _mark(name: str, color: str, text: str, tags: str = "key") -> Json:
    return {
        "name": name,
        "datasource": RAW,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "query": text,
        "rawQuery": True,
        "textColumn": "text",
        "titleColumn": "",
        "tagsColumn": tags,
        "timeEndColumn": "",
    }


def _choice(name: str, label: str, about: str, text: str, **more: object) -> Json:
    """A choice at the top, filled from the stored tags."""
    return {
        "name": name,
        "label": label,
        "description": about,
        "type": "query",
        "datasource": RAW,
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
