"""What all meters share, around every driver: sign, scale, factors per phase, bounds, and the measured pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.meters.base import MAX_POWER_W, Emit, Meter
from app.meters.pace import LONGEST_DUE_S, Pace
from app.model import DeviceDataError, DeviceError, Phase, Reading


@dataclass(frozen=True, slots=True)
class Correction:
    """How a meter's values are put right. ``factor`` is negative where it counts export as positive."""

    factor: float = 1.0
    phase_factors: tuple[float, ...] | None = None


class Corrected:
    """A meter whose readings are corrected, plausible and in order; how fast it is, is measured."""

    def __init__(self, meter: Meter, correction: Correction, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = meter.name
        self._meter, self._correction, self._clock = meter, correction, clock
        self._pace = Pace(meter.interval_s)
        self._readings = Pace(meter.interval_s, LONGEST_DUE_S)
        self._last_s = float("-inf")

    @property
    def interval_s(self) -> float:
        """How often it has something new."""
        return self._pace.interval_s

    @property
    def due_s(self) -> float:
        """How often a reading comes, the same value once more included: by that, an outage is noticed."""
        return self._readings.interval_s

    async def run(self, emit: Emit) -> None:
        """Emit for ever; a reading that is no newer than the one before is left out."""

        def corrected(outcome: Reading | DeviceError) -> None:
            found = self.take(outcome)
            if found is not None:
                emit(found)

        await self._meter.run(corrected)

    def take(self, outcome: Reading | DeviceError) -> Reading | DeviceError | None:
        """What becomes of one outcome of the driver; None: it is old."""
        if not isinstance(outcome, Reading):
            return self._failed(outcome)
        try:
            reading = correct(outcome, self._correction)
        except DeviceError as error:
            return self._failed(error.saying(f"{self.name}: {error}"))
        if reading.at_s <= self._last_s:
            return None
        reading = replace(reading, at_s=min(reading.at_s, self._clock()))
        self._last_s = reading.at_s
        self._pace.add((reading.power_w, reading.phases), reading.at_s)
        self._readings.add(reading.at_s, reading.at_s)
        return reading

    def _failed(self, error: DeviceError) -> DeviceError:
        self._pace.interrupted()
        self._readings.interrupted()
        return error


def correct(reading: Reading, correction: Correction) -> Reading:
    """A reading put right. Raises `DeviceDataError` for one that cannot be."""
    factor, factors = correction.factor, correction.phase_factors
    if factors is not None:
        powers = [phase.power_w for phase in reading.phases]
        if len(powers) != len(factors) or None in powers:
            shown = sum(power_w is not None for power_w in powers)
            raise DeviceDataError(f"phase_factors has {len(factors)} factors, and the meter shows {shown} phases")
        phases = tuple(_phase(phase, factor * one) for phase, one in zip(reading.phases, factors, strict=True))
        power_w = sum(phase.power_w or 0.0 for phase in phases)
        reading = replace(reading, power_w=power_w, phases=phases, import_wh=None, export_wh=None)
    elif factor != 1.0:
        counters = (reading.import_wh, reading.export_wh)
        imported, exported = counters if factor > 0.0 else counters[::-1]
        reading = replace(
            reading,
            power_w=factor * reading.power_w,
            phases=tuple(_phase(phase, factor) for phase in reading.phases),
            import_wh=None if imported is None else abs(factor) * imported,
            export_wh=None if exported is None else abs(factor) * exported,
        )
    if not abs(reading.power_w) <= MAX_POWER_W:
        raise DeviceDataError(f"{reading.power_w:g} W is more than any house connection carries")
    return reading


def _phase(phase: Phase, factor: float) -> Phase:
    return replace(phase, power_w=None if phase.power_w is None else factor * phase.power_w)
