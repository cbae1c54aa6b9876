"""The parts of the dashboard: queries and panels. `build` puts them together.

InfluxQL only, so that it works on InfluxDB 1.x, 2.x and 3. Numbers over several inverters are sums of each one's last
value or mean (a subquery), never a mean over all points. OpenDTU asks inverters one after the other, and InfluxQL does
not fill in subqueries (previous gives wrong sums, linear does nothing), so lines of the whole site come from `control`,
which holds every inverter's last value each second.
"""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "influxdb", "uid": "zero-export-influxdb"}
SITE = "\"site\" = '${site:raw}'"
INVERTER = SITE + ' AND "serial" =~ /^${inverter:regex}$/'
RECENT = "time > now() - 5m"  # what is older is not the state of now
EACH = 'GROUP BY time($__interval), "serial", "name" fill(null)'
BLUE, GREEN, ORANGE, RED, YELLOW, PURPLE, GREY = "blue", "green", "orange", "red", "yellow", "purple", "#8e8e8e"

# The link of the switch is the signed URL that the controller stores as text. Grafana puts it in only where the
# panel shows rows: a reduced value has no row, and then ${__data.fields...} stays as it is (grafana 11.6:
# packages/grafana-data/src/field/fieldDisplay.ts gives valueRowIndex only with reduceOptions.values; scenes'
# packages/scenes/src/variables/macros/dataMacros.ts returns the match without one). So: values, one row, and both
# fields in one frame, which is what the format "table" gives (pkg/tsdb/influxdb/influxql, transformRowsForTable).
# ":raw", because a link's default format runs encodeURI over the value and would turn %3A into %253A
# (fieldOverrides.ts getLinksSupplier, scenes' formatRegistry.ts). A single link of a stat panel needs no "one click"
# option: DataLinksContextMenu.tsx makes the panel itself the <a>, and no target keeps it in this tab.
TOGGLE_LINK = {"title": "Switch zero export on or off", "url": "${__data.fields.toggle_url:raw}", "targetBlank": False}
TOGGLE_QUERY = (
    f'SELECT last("enabled") AS "enabled", last("toggle_url") AS "toggle_url" FROM "control" WHERE {SITE} AND {RECENT}'
)


def latest(field: str, reducer: str, when: str) -> str:
    """One number over the selected inverters' last values."""
    inner = f'SELECT last("{field}") AS "value" FROM "inverter" WHERE {INVERTER} AND {when} GROUP BY "serial"'
    return f'SELECT {reducer}("value") AS "value" FROM ({inner})'


def peak(field: str) -> str:
    """The highest one-minute mean of the selected inverters together."""
    each = (
        f'SELECT mean("{field}") AS "each" FROM "inverter" WHERE {INVERTER} AND $timeFilter '
        'GROUP BY time(1m), "serial" fill(none)'
    )
    total = f'SELECT sum("each") AS "total" FROM ({each}) WHERE $timeFilter GROUP BY time(1m)'
    return f'SELECT max("total") AS "value" FROM ({total})'


def inverters(field: str, name: str = "[[tag_name]]") -> Json:
    """One line per selected inverter."""
    return query(
        f'SELECT mean("{field}") AS "value" FROM "inverter" WHERE {INVERTER} AND $timeFilter {EACH}', alias=name
    )


def site(measurement: str, field: str, name: str, function: str = "mean") -> Json:
    """One line for the site."""
    text = (
        f'SELECT {function}("{field}") AS "{name}" FROM "{measurement}" WHERE {SITE} AND $timeFilter '
        "GROUP BY time($__interval) fill(null)"
    )
    return query(text, alias=name)


def query(text: str, *, alias: str = "", result: str = "time_series") -> Json:
    """A target in raw InfluxQL; the panel numbers it."""
    return {"datasource": DATASOURCE, "query": text, "rawQuery": True, "alias": alias, "resultFormat": result}


def panel(kind: str, title: str, about: str, unit: str, targets: Sequence[Json], **more: Any) -> Json:
    """What every panel has; `laid_out` gives it an id and a place."""
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "mappings": [], "thresholds": steps((GREEN, None))}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "targets": [{"refId": "ABCDEFGHIJ"[i], **target} for i, target in enumerate(targets)],
        "fieldConfig": {"defaults": {**defaults, **more.pop("defaults", {})}, "overrides": more.pop("overrides", [])},
        "transparent": False,
        **more,
    }


def steps(*levels: tuple[str, float | None]) -> Json:
    """Colours from a value on; the first has none."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in levels]}


def stat(title: str, about: str, unit: str, text: str, *levels: tuple[str, float | None], **more: Any) -> Json:
    """One number. Nothing known is shown as a dash."""
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "textMode": "value",
        "wideLayout": True,
    }
    defaults = {"color": {"mode": "thresholds"}, "thresholds": steps(*levels), "noValue": "–"}
    return panel("stat", title, about, unit, [query(text)], defaults=defaults, options=options, **more)


def switch() -> Json:
    """The stat that shows whether zero export is on, and is the link that switches it."""
    mapped = {"1": {"text": "ON", "color": GREEN, "index": 0}, "0": {"text": "OFF", "color": ORANGE, "index": 1}}
    unknown = {"match": "null", "result": {"text": "unknown", "color": GREY, "index": 2}}
    result = stat(
        "Zero Export Status",
        "Whether exports are regulated. Click to switch. Unknown: nothing was recorded in the last five minutes.",
        "none",
        TOGGLE_QUERY,
        (GREY, None),
    )
    result["targets"][0]["resultFormat"] = "table"
    result["options"] |= {
        "colorMode": "background",
        "reduceOptions": {"values": True, "limit": 1, "calcs": ["lastNotNull"], "fields": "/^enabled$/"},
    }
    result["fieldConfig"]["defaults"] |= {
        "mappings": [{"type": "value", "options": mapped}, {"type": "special", "options": unknown}],
        "noValue": "unknown",
        "links": [TOGGLE_LINK],
    }
    # A link that is not there must not become the word that stands for an unknown state.
    bare = [{"id": "mappings", "value": []}, {"id": "noValue", "value": ""}]
    result["fieldConfig"]["overrides"] = [{"matcher": {"id": "byName", "options": "toggle_url"}, "properties": bare}]
    return result


def graph(
    title: str,
    about: str,
    unit: str,
    targets: Sequence[Json],
    *,
    every: str = "5s",
    gap_s: int = 120,
    styles: Sequence[Json] = (),
    **custom: Any,
) -> Json:
    """Lines over time. A gap longer than ``gap_s`` stays a gap."""
    drawn = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 0,
        "showPoints": "never",
        "spanNulls": gap_s * 1000,
        **custom,
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    return panel(
        "timeseries",
        title,
        about,
        unit,
        targets,
        interval=every,
        options=options,
        defaults={"custom": drawn},
        overrides=list(styles),
    )


def style(name: str, color: str, **custom: Any) -> Json:
    """How one named line looks."""
    properties = [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties + _properties(custom)}


def styles(pattern: str, **custom: Any) -> Json:
    """How all lines look whose names match."""
    return {"matcher": {"id": "byRegexp", "options": pattern}, "properties": _properties(custom)}


def _properties(custom: Json) -> list[Json]:
    return [{"id": f"custom.{key}", "value": value} for key, value in custom.items()]


DASHED = {"lineStyle": {"fill": "dash", "dash": [8, 6]}}
STEPPED = {"lineInterpolation": "stepAfter"}
