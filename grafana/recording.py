"""The row "Recording" of the first dashboard: where telemetry goes, and whether it arrives."""

# ruff: noqa: S608 - these are Grafana's queries, made of our own names

from __future__ import annotations

from frame import Line
from parts import GREEN, ORANGE, RED, graph, listing, override, steps
from queries import RECENT, SITE, Json, named


def lines() -> list[Line]:
    """All of it."""
    return [Line(5, [stores()]), Line(7, [waiting(), spool()])]


def stores() -> Json:
    """How each store stands now."""
    asked = {
        "Written": "written",
        "Waiting": "pending",
        "Oldest": "oldest_s",
        "On disk": "spool_b",
        "Spool": "spool_used_pct",
        "Dropped": "dropped",
        "Refused": "refused",
    }
    columns = ", ".join(f'last("{field}") AS "{name}"' for name, field in asked.items())
    lost = {"custom__cellOptions": {"type": "color-text"}, "thresholds": steps((GREEN, None), (RED, 1.0))}
    return listing(
        "Stores",
        "Each store of telemetry since the program's start: points kept, points that wait and for how long the "
        "oldest has, what waits on the disk, and points that were lost (for want of room) or refused.",
        f'SELECT {columns} FROM "store" WHERE {SITE} AND {RECENT} GROUP BY "name"',
        [
            override("Oldest", unit="s"),
            override("On disk", unit="bytes"),
            override("Spool", unit="percent"),
            override("Dropped", **lost),
            override("Refused", **lost),
        ],
        ordered={"name": "Store", **{name: name for name in asked}},
    )


def waiting() -> Json:
    """Points that a store has not taken yet."""
    return graph(
        "Waiting Points",
        "Points that wait for each store. They go out in their order when it takes points again.",
        "short",
        [named("store", "name", "pending", "[[tag_name]]", "max")],
        every="1m",
        gap_s=300,
    )


def spool() -> Json:
    """How much of the disk's share is taken."""
    return graph(
        "Spool",
        "How full the room on the disk is that waiting points may take. When it is full, the oldest give way.",
        "percent",
        [named("store", "name", "spool_used_pct", "[[tag_name]]", "max")],
        levels=[(GREEN, None), (ORANGE, 80.0), (RED, 95.0)],
        every="1m",
        gap_s=300,
    )
