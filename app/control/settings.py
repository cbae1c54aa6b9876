"""The constants of one installation, as the core needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.control.battery_rules import BatteryRules
from app.control.gate import PriceRules

EXPORT_WEIGHTS = {"balanced": 2.2, "strict": 8.0, "self_use": 1.0}  # what exporting costs, missing the sun being 1


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Tuning of the law; the field names are those of the `control` section.

    ``dead_time_s``: the shortest and the longest time from a command that left us to its effect on AC
    power. The law acts on what is certain under both, so a wide range costs speed and never stability.
    """

    deadband_w: float = 10.0
    min_command_interval_s: float = 2.5
    cut_interval_s: float = 1.9  # OpenDTU's radio holds a limit for 2.0 s; an earlier one only waits there
    max_raise_w_per_s: float | None = None
    dead_time_s: tuple[float, float] = (0.3, 4.0)
    meter_window_s: float = 1.1  # a reading is the mean of about the last second
    phases: Literal["net", "each"] = "net"
    switch_off: bool = False
    stale_hold_s: float | None = None
    stale_fail_safe_s: float | None = None
    fail_safe_w: float | None = None
    max_grid_w: float = 70_000.0
    export_limit_w: float | None = None
    battery: BatteryRules | None = None
    price: PriceRules = field(default_factory=PriceRules)
    start_grace_s: float = 3.0  # how long to wait for live inverter data before a first, safe command
    good_readings_to_recover: int = 3
    integral_per_s: float = 0.08
    export_weight: float = EXPORT_WEIGHTS["balanced"]
    learned_dead_time_s: Mapping[str, float] = field(default_factory=dict)  # by serial, from earlier runs
