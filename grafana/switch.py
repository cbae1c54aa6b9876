"""The switch: the first panel of the first dashboard."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from parts import GREEN, NEUTRAL, ORANGE, stat
from queries import RECENT, SITE, Json, table

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


def switch() -> Json:
    """The stat that shows whether zero export is on, and is the link that switches it."""
    mapped = {"1": {"text": "ON", "color": GREEN, "index": 0}, "0": {"text": "OFF", "color": ORANGE, "index": 1}}
    unknown = {"match": "null", "result": {"text": "unknown", "color": NEUTRAL, "index": 2}}
    result = stat(
        "Zero Export Status",
        "Whether exports are regulated. Click to switch. Unknown: nothing was recorded in the last five minutes.",
        "none",
        table(TOGGLE_QUERY),
        (NEUTRAL, None),
    )
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
