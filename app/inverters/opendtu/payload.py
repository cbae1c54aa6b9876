"""The fields that arrive, their names here, and what of them can be believed."""

from __future__ import annotations

import math

AC_FIELDS = {
    "power": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "frequency": "frequency_hz",
    "powerfactor": "power_factor",
    "reactivepower": "reactive_power_var",
    "powerdc": "dc_power_w",
    "temperature": "temperature_c",
    "efficiency": "efficiency_pct",
    "yieldday": "yield_day_wh",
    "yieldtotal": "yield_total_kwh",
}
PANEL_FIELDS = {
    "power": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "yieldday": "yield_day_wh",
    "yieldtotal": "yield_total_kwh",
    "irradiation": "irradiation_pct",
}
STATUS_FIELDS = ("reachable", "producing", "last_update", "limit_relative", "limit_absolute")

_RANGES = {  # generous: what lies outside is a corrupt radio answer, or no inverter's doing
    "current": (-100.0, 100.0),
    "efficiency": (0.0, 200.0),
    "free": (0.0, 1e9),
    "frequency": (0.0, 100.0),
    "irradiation": (0.0, 1000.0),
    "last_update": (0.0, 2.0**32),
    "limit_absolute": (0.0, 6553.5),
    "limit_relative": (0.0, 1000.0),
    "powerfactor": (-2.0, 2.0),
    "producing": (0.0, 1.0),
    "reachable": (0.0, 1.0),
    "rssi": (-200.0, 100.0),
    "temperature": (-60.0, 150.0),
    "uptime": (0.0, 1e10),
    "voltage": (0.0, 1000.0),
    "yieldday": (0.0, 1e6),
    "yieldtotal": (0.0, 1e6),
}
_POWERS = {"power": 0.0, "powerdc": 0.0, "reactivepower": -2.0}  # lower ends in parts of twice the rated power


def number(payload: bytes) -> float | None:
    """A finite number as OpenDTU writes it, or None."""
    if len(payload) > 32 or b"_" in payload:  # Python would read 1_000
        return None
    try:
        value = float(payload)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def plausible(key: str, value: float, max_w: float) -> bool:
    """Whether a field can have this value; corrupt radio answers decode to saturated 16-bit values."""
    if key in _POWERS:
        return min(0.0, _POWERS[key] * max_w) <= value <= 2.0 * max_w
    low, high = _RANGES.get(key, (-math.inf, math.inf))
    return low <= value <= high


def text(payload: bytes, length: int = 60) -> str:
    """Printable text for people: no line breaks or control codes reach a log or a page."""
    decoded = payload[: 4 * length].decode("utf-8", errors="replace")
    return "".join(c if c.isprintable() else " " for c in decoded)[:length].strip()
