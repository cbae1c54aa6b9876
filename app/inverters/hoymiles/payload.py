"""What of the fields that arrive can be believed."""

from __future__ import annotations

import math

MOST_CHANNELS = 6

_RANGES = {  # by their names here; generous: what lies outside is a corrupt radio answer, or no inverter's doing
    "current_a": (-100.0, 100.0),
    "efficiency_pct": (0.0, 200.0),
    "frequency_hz": (0.0, 100.0),
    "heap_free_b": (0.0, 1e9),
    "irradiation_pct": (0.0, 1000.0),
    "limit_pct": (0.0, 1000.0),
    "limit_w": (0.0, 6553.5),
    "power_factor": (-2.0, 2.0),
    "producing": (0.0, 1.0),
    "reachable": (0.0, 1.0),
    "rssi_dbm": (-200.0, 100.0),
    "temperature_c": (-60.0, 150.0),
    "updated_utc_s": (0.0, 2.0**32),
    "uptime_s": (0.0, 1e10),
    "voltage_v": (0.0, 1000.0),
    "yield_day_wh": (0.0, 1e6),
    "yield_total_kwh": (0.0, 1e6),
}
_POWERS = {
    "power_w": 0.0,
    "dc_power_w": 0.0,
    "reactive_power_var": -2.0,
}  # lower ends in parts of twice the rated power


def number(payload: bytes) -> float | None:
    """A finite number as a microcontroller writes it, or None."""
    if len(payload) > 32 or b"_" in payload:  # Python would read 1_000
        return None
    try:
        value = float(payload)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def plausible(name: str, value: float, max_w: float) -> bool:
    """Whether a field can have this value; corrupt radio answers decode to saturated 16-bit values."""
    if name in _POWERS:
        return min(0.0, _POWERS[name] * max_w) <= value <= 2.0 * max_w
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    return low <= value <= high


def text(payload: bytes, length: int = 60) -> str:
    """Printable text for people: no line breaks or control codes reach a log or a page."""
    decoded = payload[: 4 * length].decode("utf-8", errors="replace")
    return "".join(c if c.isprintable() else " " for c in decoded)[:length].strip()
