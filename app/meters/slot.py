"""Where the latest reading waits for the control loop; several meters are summed here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from app.meters.base import Emit, Meter
from app.model import DeviceError, MeterState, Reading

log = logging.getLogger(__name__)


class Timed(Meter, Protocol):
    """A meter of which is known how often a reading comes."""

    @property
    def due_s(self) -> float:
        """As `Corrected.due_s`."""


class MeterSlot:
    """The state of the grid meter, and the event that wakes the loop when a reading or a fault arrives."""

    def __init__(self, meters: Sequence[Timed]) -> None:
        self._meters = meters
        self._parts: list[Reading | None] = [None] * len(meters)
        self._faults: list[str | None] = [None] * len(meters)
        self._reading: Reading | None = None
        self._good_in_a_row = 0
        self.arrived = asyncio.Event()

    @property
    def interval_s(self) -> float:
        """How often the slowest of them has something new."""
        return max((meter.interval_s for meter in self._meters), default=1.0)

    @property
    def due_s(self) -> float:
        """How often a reading of the slowest of them comes."""
        return max((meter.due_s for meter in self._meters), default=1.0)

    @property
    def state(self) -> MeterState:
        """What is known now."""
        fault = "; ".join(fault for fault in self._faults if fault) or None
        there = bool(self._meters)
        return MeterState(self._reading, fault, self.interval_s, self._good_in_a_row, self.due_s, there)

    async def run(self) -> None:
        """Run all meters for ever, also where there is none."""
        if not self._meters:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for index, meter in enumerate(self._meters):
                group.create_task(self._run(index, meter), name=meter.name)

    async def _run(self, index: int, meter: Meter) -> None:
        try:
            await meter.run(self._emitter(index))
        except Exception as error:  # a bug; whoever runs us tells the rest, and starts us again
            self._reject(index, DeviceError(f"{meter.name}: its driver has failed ({type(error).__name__})"))
            raise

    def _emitter(self, index: int) -> Emit:
        def emit(outcome: Reading | DeviceError) -> None:
            if isinstance(outcome, Reading):
                self._accept(index, outcome)
            else:
                self._reject(index, outcome)

        return emit

    def _accept(self, index: int, reading: Reading) -> None:
        if self._faults[index] is not None:
            log.info("%s is back: %.0f W", self._meters[index].name, reading.power_w)
            self._faults[index] = None
        self._parts[index] = reading
        total = combine(self._parts, 2.0 * self.due_s)
        if total is not None and (self._reading is None or total.at_s > self._reading.at_s):
            self._reading = total
            self._good_in_a_row += 1
            self.arrived.set()

    def _reject(self, index: int, error: DeviceError) -> None:
        if self._faults[index] is None:
            log.warning("%s: %s", self._meters[index].name, error)
        self._faults[index] = str(error)
        self._good_in_a_row = 0
        self.arrived.set()


def combine(parts: Sequence[Reading | None], longest_gap_s: float) -> Reading | None:
    """The sum of several meters, as old as the oldest; None until all have answered at about the same time."""
    readings = [part for part in parts if part is not None]
    if len(readings) < len(parts):
        return None
    if len(readings) == 1:
        return readings[0]
    oldest = min(readings, key=lambda r: r.at_s)
    if max(reading.at_s for reading in readings) - oldest.at_s > longest_gap_s:
        return None
    whole = all(reading.phases for reading in readings)  # else those of one would pass for those of the sum
    return Reading(
        power_w=sum(reading.power_w for reading in readings),
        at_s=oldest.at_s,
        utc_s=oldest.utc_s,
        phases=tuple(phase for reading in readings for phase in reading.phases) if whole else (),
        import_wh=_total([reading.import_wh for reading in readings]),
        export_wh=_total([reading.export_wh for reading in readings]),
        latency_s=max((one.latency_s for one in readings if one.latency_s is not None), default=None),
    )


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
