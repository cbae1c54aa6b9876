"""Any number of plausible inverters for demos and tests. Pure."""

from __future__ import annotations

from app.simulator.models import MODELS
from app.simulator.parameters import InverterConfig

_ORDER = (
    ("HM-1500-4T", "Roof south"),
    ("HM-800-2T", "Garage"),
    ("HMS-2000-4T", "Roof west"),
    ("HM-400-1T", "Balcony"),
    ("HMT-2250-6T", "Barn"),
)
MOST = 20


def fleet(count: int, dead_time_s: float = 1.0) -> tuple[InverterConfig, ...]:
    """The first ``count`` (1 to 20) inverters: two on the HM radio first, then a mixture."""
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} inverters: 1 to {MOST} can be simulated")
    return tuple(_one(number, dead_time_s) for number in range(count))


def _one(number: int, dead_time_s: float) -> InverterConfig:
    model, name = _ORDER[number % len(_ORDER)]
    return InverterConfig(
        serial=f"{MODELS[model].serial_prefix}{80400001 + number}",
        name=name if number < len(_ORDER) else f"{name} {number // len(_ORDER) + 1}",
        model=model,
        phase=number % 3,
        dead_time_s=dead_time_s,
    )
