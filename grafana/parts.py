"""The panels of the dashboards, without ids and places: `frame` gives them those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from queries import Json, query, table

BLUE, GREEN, ORANGE, RED, YELLOW, PURPLE = "blue", "green", "orange", "red", "yellow", "purple"
NEUTRAL = "text"  # the theme's own, dark on light and light on dark
CLEAR = "transparent"
DASHED: Json = {"lineStyle": {"fill": "dash", "dash": [8, 6]}}
STEPPED: Json = {"lineInterpolation": "stepAfter"}
LIMITS_SHOWN: Json = {"thresholdsStyle": {"mode": "dashed"}}
Level = tuple[str, float | None]
Words = Mapping[int, tuple[str, str]]


def panel(kind: str, title: str, about: str, unit: str, targets: Sequence[Json], **more: Any) -> Json:
    """What every panel has."""
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "mappings": [], "thresholds": steps((GREEN, None))}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": targets[0]["datasource"],
        "targets": [{"refId": "ABCDEFGHIJKLMNOP"[i], **target} for i, target in enumerate(targets)],
        "fieldConfig": {"defaults": {**defaults, **more.pop("defaults", {})}, "overrides": more.pop("overrides", [])},
        "transparent": False,
        **more,
    }


def steps(*levels: Level) -> Json:
    """Colours from a value on; the first has none."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in levels]}


def words(meanings: Words) -> list[Json]:
    """Numbers that stand for words."""
    shown = {
        str(number): {"text": text, "color": color, "index": i}
        for i, (number, (text, color)) in enumerate(meanings.items())
    }
    return [{"type": "value", "options": shown}]


def stat(title: str, about: str, unit: str, asked: str | Json, *levels: Level, **more: Any) -> Json:
    """One number. Nothing known is shown as a dash. ``decimals``, ``mappings``: of it; ``text``: it is none."""
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": more.pop("fields", "")},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    defaults = {"color": {"mode": "thresholds"}, "thresholds": steps(*levels), "noValue": "–"}
    defaults |= {key: more.pop(key) for key in ("decimals", "mappings") if key in more}
    target = query(asked) if isinstance(asked, str) else asked
    return panel("stat", title, about, unit, [target], defaults=defaults, options=options, **more)


def figures(title: str, about: str, unit: str, text: str, *levels: Level, **more: Any) -> Json:
    """Several numbers of one query, each with its name."""
    result = stat(title, about, unit, table(text), *levels, **more)
    result["options"] |= {"textMode": "value_and_name"}  # orientation auto: as many in a row as fit
    return result


def graph(
    title: str,
    about: str,
    unit: str,
    targets: Sequence[Json],
    *,
    levels: Sequence[Level] = (),
    every: str = "5s",
    gap_s: int = 120,
    styles: Sequence[Json] = (),
    **custom: Any,
) -> Json:
    """Lines over time. A gap longer than ``gap_s`` stays a gap. ``levels`` are drawn as dashed lines."""
    more = {key: custom.pop(key) for key in ("timeFrom", "hideTimeOverride") if key in custom}
    drawn = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 0,
        "showPoints": "never",
        "spanNulls": gap_s * 1000,
        **(LIMITS_SHOWN if levels else {}),
        **custom,
    }
    defaults = {"custom": drawn, **({"thresholds": steps(*levels)} if levels else {})}
    options = {"legend": legend(), "tooltip": {"mode": "multi", "sort": "none"}}
    return panel(
        "timeseries",
        title,
        about,
        unit,
        targets,
        interval=every,
        options=options,
        defaults=defaults,
        overrides=list(styles),
        **more,
    )


def band(
    title: str,
    about: str,
    targets: Sequence[Json],
    meanings: Words,
    styles: Sequence[Json] = (),
    *,
    every: str = "5s",
) -> Json:
    """States over time, in words."""
    return panel(
        "state-timeline",
        title,
        about,
        "none",
        targets,
        interval=every,
        defaults={
            "custom": {"fillOpacity": 70, "lineWidth": 0, "spanNulls": 300_000},
            "mappings": words(meanings),
            "color": {"mode": "thresholds"},
            "thresholds": steps((NEUTRAL, None)),
        },
        overrides=list(styles),
        options={
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": legend(shown=False),
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def bars(title: str, about: str, unit: str, asked: Json, looks: Sequence[Json], **more: Any) -> Json:
    """Bars side by side for each month, from a query in the form of a table."""
    return panel(
        "barchart",
        title,
        about,
        unit,
        [asked],
        defaults={"custom": {"fillOpacity": 70, "lineWidth": 1, "gradientMode": "none"}},
        overrides=[override("Time", unit="time:MMM YYYY"), *looks],
        options={
            "xField": "Time",
            "orientation": "auto",
            "barWidth": 0.9,
            "groupWidth": 0.8,
            "stacking": "none",
            "showValue": "never",
            "fullHighlight": False,
            "xTickLabelMaxLength": 0,
            "xTickLabelRotation": 0,
            "legend": legend(),
            "tooltip": {"mode": "multi", "sort": "none"},
        },
        **more,
    )


def listing(
    title: str,
    about: str,
    text: str,
    columns: Sequence[Json],
    *,
    newest: str | None = None,
    ordered: Mapping[str, str] | None = None,
) -> Json:
    """A table; ``newest``: the column of times to sort by. ``ordered``: its columns and what to call them, no times.

    Where tags are grouped by, their columns come in any order, so that these need it.
    """
    order = {
        "id": "organize",
        "options": {
            "excludeByName": {"Time": True, "time": True},
            "indexByName": {name: i for i, name in enumerate(ordered or {})},
            "renameByName": {name: shown for name, shown in (ordered or {}).items() if name != shown},
        },
    }
    return panel(
        "table",
        title,
        about,
        "none",
        [table(text)],
        defaults={
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
            "noValue": "–",
        },
        overrides=list(columns),
        options={
            "cellHeight": "sm",
            "frameIndex": 0,
            "showHeader": True,
            "sortBy": [{"displayName": newest, "desc": True}] if newest else [],
        },
        **({"transformations": [order]} if ordered else {}),
    )


def legend(*, shown: bool = True) -> Json:
    """Names below the picture."""
    return {"displayMode": "list", "placement": "bottom", "showLegend": shown, "calcs": []}


def override(name: str, **properties: Any) -> Json:
    """What is other for one named line or column; ``custom__width`` stands for ``custom.width``."""
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def style(name: str, color: str, **custom: Any) -> Json:
    """How one named line looks."""
    result = override(name, color={"mode": "fixed", "fixedColor": color})
    return {**result, "properties": result["properties"] + _properties(custom)}


def styles(pattern: str, **custom: Any) -> Json:
    """How all lines look whose names match."""
    return {"matcher": {"id": "byRegexp", "options": pattern}, "properties": _properties(custom)}


def _properties(custom: Json) -> list[Json]:
    return [{"id": f"custom.{key}", "value": value} for key, value in custom.items()]
