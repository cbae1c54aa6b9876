"""The load of the household, on all phases together or on one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXPORT_W, STUBBORN_READINGS = 25.0, 2.5  # so much export, unchanged for so long after a cut should have ended it
LONGEST_CUT_S = 60.0
RELAX_S = 30.0  # what nothing but the calm of the household speaks for is given up within about so long
SMALLEST_STEP_W = 60.0  # a smaller step is not told from the house's own noise


@dataclass(frozen=True, slots=True)
class Span:
    """Bounds of a power in watts, and what it is where nothing speaks against what was reported last."""

    low_w: float
    high_w: float
    nominal_w: float

    def part(self, share: float) -> Span:
        """So much of it."""
        return self if share == 1.0 else Span(share * self.low_w, share * self.high_w, share * self.nominal_w)

    def where(self, power_w: float) -> float:
        """Where a power lies: 0 at its nominal value, 1 at its upper bound, -1 at its lower one."""
        room_w = self.high_w - self.nominal_w if power_w > self.nominal_w else self.nominal_w - self.low_w
        return max(-1.0, min(1.0, (power_w - self.nominal_w) / room_w)) if room_w > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is taken, in watts: most likely, and at least and at most, whatever was taken before."""

    watts: float
    low_w: float
    high_w: float


def joined(spans: Sequence[Span]) -> Span:
    """What holds under each of these; the first one's nominal value."""
    return Span(min(span.low_w for span in spans), max(span.high_w for span in spans), spans[0].nominal_w)


def total(spans: Sequence[Span]) -> Span:
    """The sum of several powers."""
    return Span(
        sum(span.low_w for span in spans), sum(span.high_w for span in spans), sum(span.nominal_w for span in spans)
    )


@dataclass(frozen=True, slots=True)
class Plant:
    """What feeds a household now: when the last cut went on air, how late a command works, how fast the power rises.

    ``moving``: a command is in flight.
    """

    cut_s: float
    delay_s: float
    rise_w_per_s: float
    moving: bool


class Household:
    """Told each grid power with the bounds of what feeds it, it knows what it takes."""

    def __init__(self) -> None:
        self.load_w: float | None = None
        self.bounds_w = (0.0, 0.0)  # between which the load lies, whatever it had before
        self._pv_w: float | None = None
        self._before: tuple[float, float] | None = None  # the last reading: when, and its power
        self._export_since_s: float | None = None

    def estimate(self, at_s: float, power_w: float, feeds: Span, plant: Plant) -> float:
        """Take in a reading; what most likely feeds the household in watts, within ``feeds``."""
        self._pv_w = self._likely_w(at_s, power_w, feeds, plant)
        self.load_w = power_w + self._pv_w
        self.bounds_w = (power_w + feeds.low_w, power_w + feeds.high_w)
        return self._pv_w

    def _likely_w(self, at_s: float, power_w: float, feeds: Span, plant: Plant) -> float:
        """What the inverters most likely give, between these bounds: what leaves the household as it was.

        Unless that has not ended an export: then they give the least that they may, and a limit that is not felt
        explains it.
        """
        before, self._before = self._before, (at_s, power_w)
        if self.load_w is None or self._pv_w is None or before is None:
            return feeds.low_w
        moved = abs(power_w - before[1]) > SMALLEST_STEP_W
        if power_w > -EXPORT_W or moved or self._export_since_s is None:
            self._export_since_s = at_s
        cut_s, passed_s = plant.cut_s, at_s - before[0]
        patience_s = plant.delay_s + STUBBORN_READINGS * passed_s
        if patience_s < at_s - max(self._export_since_s, cut_s) < at_s - cut_s + 1.0 < LONGEST_CUT_S:
            return feeds.low_w
        rise_w = plant.rise_w_per_s * passed_s + SMALLEST_STEP_W
        calm_w = min(self._pv_w + rise_w, self.load_w - power_w)
        if not plant.moving:
            calm_w += min(1.0, passed_s / RELAX_S) * (feeds.nominal_w - calm_w)
        return min(feeds.high_w, max(feeds.low_w, calm_w))
