"""Values as every surface shows them: what is unknown is None, and NaN never appears. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def number(value: float | None, digits: int = 3) -> float | None:
    """A finite number with a few decimals, or None."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits) + 0.0  # adding zero turns -0.0 into 0.0


def iso(utc_s: float | None) -> str | None:
    """A Unix time stamp as ISO 8601 in UTC, None where it is no date."""
    if utc_s is None:
        return None
    try:
        stamp = datetime.fromtimestamp(utc_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_s(at_s: float | None, now_s: float) -> float | None:
    """Seconds since a monotonic time, never negative; None where there is none."""
    return None if at_s is None else number(max(0.0, now_s - at_s))


def on_off(enabled: bool) -> str:
    """The word that HTTP and MQTT use."""
    return "on" if enabled else "off"
