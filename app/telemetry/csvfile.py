"""Rows of the store as CSV (RFC 4180): times in UTC, units as the names of the columns have them. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from app.telemetry.tables import columns_of


def header(table: str) -> str:
    """The first line."""
    return _written([["utc", *(column.name for column in columns_of(table))]])


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows of a page: their time stamp in milliseconds first. What is unknown is empty."""
    return _written((utc_text(row[0]), *row[1:]) for row in rows)


def utc_text(utc_ms: object) -> str:
    """A time stamp as ISO 8601; one that is no date stays a number."""
    if isinstance(utc_ms, int):
        try:
            stamp = datetime.fromtimestamp(utc_ms / 1000.0, UTC)
        except (ValueError, OverflowError, OSError):
            return str(utc_ms)
        return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(utc_ms)


def _written(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
