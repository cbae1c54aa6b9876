"""The series of the page's chart, made fit for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.api.values import number

NAMES = ("grid_w", "pv_w", "load_w", "limit_w", "grid_min_w", "grid_max_w")

Columns = Mapping[str, Sequence[float | None]]


def columns(stored: Columns) -> dict[str, list[float | None]]:
    """One list per series, all as long as ``utc_s``; a series that is not stored is unknown throughout."""
    stamps = stored.get("utc_s", ())
    shown = {"utc_s": [number(stamp) for stamp in stamps]}
    for name in NAMES:
        values = stored.get(name, (None,) * len(stamps))
        shown[name] = [number(value) for value, _ in zip(values, stamps, strict=True)]
    return shown
