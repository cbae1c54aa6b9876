"""The queries of the dashboards.

InfluxQL only, so that they work on InfluxDB 1.x, 2.x and 3. Numbers over several inverters are sums of each one's last
value or mean (a subquery), never a mean over all points. OpenDTU asks inverters one after the other, and InfluxQL does
not fill in subqueries (previous gives wrong sums, linear does nothing), so lines of the whole site come from `control`,
which holds every inverter's last value each second.
"""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

RAW = {"type": "influxdb", "uid": "zero-export-influxdb"}
LASTING = {"type": "influxdb", "uid": "zero-export-lasting"}  # the bucket of what is kept for good
KEPT = frozenset(("minute", "day", "month"))  # the measurements that are there
SITE = "\"site\" = '${site:raw}'"
INVERTER = SITE + ' AND "serial" =~ /^${inverter:regex}$/'
RECENT = "time > now() - 5m"  # what is older is not the state of now
RANGE = "$timeFilter"
EACH = 'GROUP BY time($__interval), "serial", "name" fill(null)'
EACH_INPUT = 'GROUP BY time($__interval), "serial", "channel" fill(null)'


def query(text: str, *, alias: str = "", result: str = "time_series", source: Json = RAW) -> Json:
    """A target in raw InfluxQL; the panel numbers it."""
    return {"datasource": source, "query": text, "rawQuery": True, "alias": alias, "resultFormat": result}


def table(text: str, source: Json = RAW) -> Json:
    """The same with its columns side by side, named as in the query; tags that are grouped by are columns too."""
    return query(text, result="table", source=source)


def site(measurement: str, field: str, name: str, function: str = "mean") -> Json:
    """One line for the site."""
    text = (
        f'SELECT {function}("{field}") AS "{name}" FROM "{measurement}" WHERE {SITE} AND {RANGE} '
        "GROUP BY time($__interval) fill(null)"
    )
    return query(text, alias=name, source=LASTING if measurement in KEPT else RAW)


def inverters(field: str, name: str = "[[tag_name]]", function: str = "mean") -> Json:
    """One line per selected inverter."""
    text = f'SELECT {function}("{field}") AS "value" FROM "inverter" WHERE {INVERTER} AND {RANGE} {EACH}'
    return query(text, alias=name)


def inputs(field: str) -> Json:
    """One line per DC input of the selected inverters."""
    text = f'SELECT mean("{field}") AS "value" FROM "panel" WHERE {INVERTER} AND {RANGE} {EACH_INPUT}'
    return query(text, alias="[[tag_serial]] DC [[tag_channel]]")


def named(measurement: str, tag: str, field: str, name: str, function: str = "last") -> Json:
    """One line per thing of the site that has a name: a gateway, a store."""
    text = (
        f'SELECT {function}("{field}") AS "value" FROM "{measurement}" WHERE {SITE} AND {RANGE} '
        f'GROUP BY time($__interval), "{tag}" fill(null)'
    )
    return query(text, alias=name)


def last(measurement: str, field: str, factor: str = "") -> str:
    """One number: what is known of now."""
    return f'SELECT last("{field}"){factor} AS "value" FROM "{measurement}" WHERE {SITE} AND {RECENT}'


def last_of(measurement: str, columns: Mapping[str, str], factor: str = "") -> str:
    """Several at once: what is known of now, by the names to show."""
    asked = ", ".join(f'last("{field}"){factor} AS "{name}"' for name, field in columns.items())
    return f'SELECT {asked} FROM "{measurement}" WHERE {SITE} AND {RECENT}'


def latest(field: str, reducer: str, when: str) -> str:
    """One number over the selected inverters' last values."""
    inner = f'SELECT last("{field}") AS "value" FROM "inverter" WHERE {INVERTER} AND {when} GROUP BY "serial"'
    return f'SELECT {reducer}("value") AS "value" FROM ({inner})'


def peak(field: str) -> str:
    """The highest one-minute mean of the selected inverters together."""
    each = (
        f'SELECT mean("{field}") AS "each" FROM "inverter" WHERE {INVERTER} AND {RANGE} '
        'GROUP BY time(1m), "serial" fill(none)'
    )
    total = f'SELECT sum("each") AS "total" FROM ({each}) WHERE {RANGE} GROUP BY time(1m)'
    return f'SELECT max("total") AS "value" FROM ({total})'


def events(kind: str, more: str = "", columns: str = '"text", "key"') -> str:
    """What happened, for marks in the graphs."""
    return f'SELECT {columns} FROM "event" WHERE {SITE} AND "kind" = \'{kind}\'{more} AND {RANGE}'
