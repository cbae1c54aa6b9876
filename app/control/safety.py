"""How far the grid reading may be trusted: fresh, hold (no raise), fail-safe, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from app.control.settings import ControlSettings
from app.model import MeterState, Reading

CHECK_METER = "Check the meter's power and network, then run: zero-export doctor meter"
NEEDS_PHASES = "control.phases: each needs a meter that shows three phases"
WRONG_SIGN = "the step test found that the meter counts the wrong way round"


class Trust(IntEnum):
    """The rungs of the ladder, best first."""

    FRESH = 0
    HOLD = 1
    FAIL_SAFE = 2


@dataclass(frozen=True, slots=True)
class Freshness:
    """A rung, the age of the last good reading (None: never one), why, and what to do."""

    trust: Trust
    age_s: float | None
    reason: str
    next_step: str = CHECK_METER


def wrong_sign(fresh: Freshness) -> Freshness:
    """What a meter of the wrong sign is worth: regulating by it would export all there is."""
    step = "Turn the current clamps or set meter.invert, and restart the controller."
    return Freshness(Trust.FAIL_SAFE, fresh.age_s, WRONG_SIGN, step)


class Ladder:
    """Steps down at once with the age of the last good reading, and up only after several good ones."""

    def __init__(self, settings: ControlSettings, start_s: float) -> None:
        self._settings = settings
        self._start_s = start_s
        self._failed = False

    def assess(self, meter: MeterState, now_s: float) -> Freshness:
        """Judge the reading at ``now_s``."""
        hold_s, fail_s = self.ages(meter.due_s or meter.interval_s)
        reading = meter.reading
        age_s = max(0.0, now_s - reading.at_s) if reading is not None else None
        since_s = age_s if age_s is not None else now_s - self._start_s
        why = f": {meter.fault}" if meter.fault else ""
        if not meter.there:
            return Freshness(Trust.HOLD, None, "there is no grid meter")
        if since_s > fail_s:
            self._failed = True
            return Freshness(Trust.FAIL_SAFE, age_s, f"no grid reading for {since_s:.0f} s{why}")
        if reading is not None and self._settings.phases == "each" and not shows_three_phases(reading):
            self._failed = True
            shown = sum(phase.power_w is not None for phase in reading.phases)
            text = f"{NEEDS_PHASES}: this one shows {shown or 'none'}"
            return Freshness(Trust.FAIL_SAFE, age_s, text, "Use a meter of three phases, or set control.phases: net.")
        if age_s is None:
            return Freshness(Trust.HOLD, None, f"waiting for the first grid reading{why}")
        if self._failed:
            if meter.good_in_a_row < self._settings.good_readings_to_recover:
                return Freshness(Trust.FAIL_SAFE, age_s, "the grid meter is back; waiting for several good readings")
            self._failed = False
        if age_s > hold_s:
            return Freshness(Trust.HOLD, age_s, f"the grid reading is {age_s:.1f} s old{why}")
        return Freshness(Trust.FRESH, age_s, "")

    def ages(self, due_s: float) -> tuple[float, float]:
        """The ages in seconds past which limits are no longer raised, and past which they are failed safe."""
        hold_s = self._settings.stale_hold_s or max(2.0, 1.5 * due_s)
        fail_s = self._settings.stale_fail_safe_s or max(5.0, 3.0 * due_s)
        return hold_s, max(hold_s, fail_s)


def shows_three_phases(reading: Reading) -> bool:
    """Whether a reading tells the power of each of three phases."""
    return len(reading.phases) == 3 and all(
        phase.power_w is not None and math.isfinite(phase.power_w) for phase in reading.phases
    )
