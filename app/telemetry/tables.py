"""The tables of the SQLite file, and what of them others get to see. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.telemetry.points import LASTING, MEASUREMENTS, MINUTE, TEXT, Measurement
from app.telemetry.rollup import NAMES, Values

COARSE_S = 900  # the step of MINUTE_15, from which long series are read
SIGNED = "toggle_url"  # a link that switches: whoever may look at a table must not get it
MINUTE_15 = Measurement(
    "minute_15", "The quarter of an hour that starts at the time stamp, from its minutes; SQLite only.", (), MINUTE
)
TABLES = {**MEASUREMENTS, MINUTE_15.name: MINUTE_15}
KEYED = LASTING | {MINUTE_15.name}  # by site and time; the others have an index on their time
SERIES = (*(f"{name}_w" for name in NAMES), "grid_min_w", "grid_max_w")
Row = tuple[float, Values]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an exported table."""

    name: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table: time stamp in milliseconds, then its columns. ``after``: where it goes on, if it does."""

    rows: list[tuple[object, ...]]
    after: tuple[int, int] | None


def columns_of(table: str) -> tuple[Column, ...]:
    """What `Archive.page` gives besides the time stamp."""
    measurement = TABLES[table]
    tags = [Column(tag, is_text=True) for tag in ("site", *measurement.tags)]
    return (
        *tags,
        *(Column(one.name, is_text=one.unit == TEXT) for one in measurement.fields if one.name != SIGNED),
    )


class UnreadableError(Exception):
    """The store cannot be read now."""
