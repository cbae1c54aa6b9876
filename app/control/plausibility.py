"""Which grid readings may be believed. What is not believed does not exist for the law: the last good one ages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from app.control.settings import ControlSettings
from app.model import InverterState, MeterState, Reading

JUMP_W = 5000.0  # more than this, up and within one reading, is believed when the next one agrees
AGREES = 0.3  # of the jump
FED_SHARE, FED_SPARE_W = 1.1, 300.0  # an export beyond all inverters' rated power by this much is not theirs
FROZEN_S, FROZEN_INTERVALS = 10.0, 3.0  # not one digit has changed for so long
FROZEN_W = 100.0  # while what the inverters report has moved by this much
REPORT_LAG_S = 3.0  # an inverter's report may be this much older than it says


class Plausibility:
    """Told each state of the meter, it answers with the one that the law may act on."""

    def __init__(self, settings: ControlSettings) -> None:
        self._max_w = settings.max_grid_w
        self._seen: Reading | None = None  # the newest one, believed or not
        self._good: Reading | None = None
        self._good_in_a_row = 0
        self._pending: Reading | None = None  # a surprise that the next reading may confirm
        self._doubt: str | None = None
        self._phases = 0  # how many the meter has shown
        self._same: Reading | None = None  # the first of those that do not differ in a digit
        self._fed: dict[str, tuple[float, float]] = {}  # since then, by serial: the first report and the last one
        self._frozen: str | None = None
        self.rejected = 0

    def judge(self, meter: MeterState, inverters: Sequence[InverterState]) -> MeterState:
        """The meter as far as it can be believed."""
        reading = meter.reading
        if reading is None:
            return meter
        if reading is not self._seen:
            self._take(reading, meter.interval_s, inverters)
            self._seen = reading
        if self._doubt is None and self._good is reading:
            return meter if meter.good_in_a_row <= self._good_in_a_row else self._state(meter)
        return self._state(meter)

    def _state(self, meter: MeterState) -> MeterState:
        good = min(meter.good_in_a_row, self._good_in_a_row)
        return replace(meter, reading=self._good, fault=meter.fault or self._doubt, good_in_a_row=good)

    def _take(self, reading: Reading, interval_s: float, inverters: Sequence[InverterState]) -> None:
        self._compare(reading, interval_s, inverters)
        self._doubt = self._frozen or self._impossible(reading) or self._surprising(reading, interval_s, inverters)
        if self._doubt is None:
            self._good, self._pending = reading, None
            self._good_in_a_row += 1
            return
        self.rejected += 1
        self._good_in_a_row = 0
        if self._frozen:
            self._good = self._same  # so old is the last thing that it really told

    def _impossible(self, reading: Reading) -> str | None:
        """What cannot be, however often it is repeated."""
        if not math.isfinite(reading.power_w) or abs(reading.power_w) > self._max_w:
            return f"the meter shows {reading.power_w:.0f} W, more than a house connection carries (control.max_grid_w)"
        shown = sum(phase.power_w is not None for phase in reading.phases)
        if shown < self._phases:
            return f"the meter shows {shown} of {self._phases} phases (if that is meant, restart the controller)"
        self._phases = shown
        return None

    def _surprising(self, reading: Reading, interval_s: float, inverters: Sequence[InverterState]) -> str | None:
        """What may be, and is more likely a spike: believed when a second reading says the same."""
        before, pending = self._good, self._pending
        fed_w = FED_SHARE * sum(state.max_w for state in inverters) + FED_SPARE_W
        jump_w = reading.power_w - before.power_w if before is not None else 0.0
        recent = before is not None and reading.at_s - before.at_s < max(10.0, 5.0 * interval_s)
        too_much = reading.power_w < -fed_w and not (before is not None and before.power_w < -fed_w)
        if not too_much and not (recent and jump_w > JUMP_W):
            return None
        self._pending = reading
        if pending is not None and abs(reading.power_w - pending.power_w) <= AGREES * max(abs(jump_w), JUMP_W):
            return None
        if too_much:
            return f"the meter shows an export of {-reading.power_w:.0f} W, more than all inverters can feed"
        return f"the meter jumped by {jump_w:.0f} W: waiting for a second reading that says the same"

    # -- frozen ----------------------------------------------------------------------------------------

    def _compare(self, reading: Reading, interval_s: float, inverters: Sequence[InverterState]) -> None:
        """Frozen is a meter that shows the same to the digit while the inverters' power moves."""
        same = self._same
        if same is None or (same.power_w, same.phases) != (reading.power_w, reading.phases):
            self._same, self._frozen = reading, None
            self._fed.clear()
            return
        for state in inverters:
            if state.power_at_s is None or state.ac.power_w is None or state.power_at_s < same.at_s + REPORT_LAG_S:
                continue
            first_w, _ = self._fed.get(state.serial, (state.ac.power_w, 0.0))
            self._fed[state.serial] = first_w, state.ac.power_w
        moved_w = sum(last_w - first_w for first_w, last_w in self._fed.values())
        lasts = reading.at_s - same.at_s >= max(FROZEN_S, FROZEN_INTERVALS * interval_s)
        if self._frozen is None and lasts and abs(moved_w) > FROZEN_W:
            self._frozen = (
                f"the meter stays at {reading.power_w:g} W to the digit while the inverters moved {moved_w:.0f} W"
            )
