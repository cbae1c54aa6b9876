"""What the steps of a test have shown so far, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

from app.control.stepfit import CLEAR, Fit

WANTED, MOST = 3, 6  # steps down
SIGNS = 0.3  # a gain below its negative has the wrong sign
TOO_MUCH = 1.35  # a larger gain is an appliance's
ALIKE_GAIN, ALIKE_S, ALIKE = 0.25, 0.7, 0.5  # steps agree within this, and within half of their dead time


class Look(Enum):
    """What a step looked like."""

    SEEN = "seen"
    UNSEEN = "unseen"  # nothing moved
    UNCLEAR = "unclear"  # too much moved


@dataclass(frozen=True, slots=True)
class Seen:
    """A step of the limit that the meter showed."""

    from_w: float
    to_w: float
    fit: Fit


def look(found: Fit, step_w: float, *, final: bool) -> Look:
    """Judge one step by its fit. Until the last look (``final``) what else moves makes it unclear."""
    clear = found.clarity >= CLEAR and found.unique and abs(found.gain) < TOO_MUCH
    alone = found.left_w <= 0.5 * abs(found.gain * step_w) or found.clarity >= 2.0 * CLEAR
    if clear and (alone or final):
        return Look.SEEN
    return Look.UNSEEN if found.left_w <= 0.5 * abs(step_w) and not clear else Look.UNCLEAR


@dataclass(slots=True)
class Findings:
    """``reported``: the gains by the inverter's own reports. ``phases``: those of the phases, step by step."""

    downs: list[Seen] = field(default_factory=list)
    ups: list[Seen] = field(default_factory=list)
    unseen: int = 0
    unclear: int = 0
    reported: list[float] = field(default_factory=list)
    phases: list[tuple[float, ...]] = field(default_factory=list)
    acknowledged: bool = False

    def add(self, seen: Seen, judged: Look) -> None:
        """Note a step and what it looked like; ups that were not seen tell nothing."""
        down = seen.to_w < seen.from_w
        if judged is Look.SEEN:
            (self.downs if down else self.ups).append(seen)
        elif down and judged is Look.UNSEEN:
            self.unseen += 1
        elif down:
            self.unclear += 1

    @property
    def tried(self) -> int:
        """How many steps down there were."""
        return len(self.downs) + self.unseen + self.unclear

    @property
    def wrong_way(self) -> bool:
        """Down and up again, the meter showed the opposite, and nothing else."""
        steps = [*self.agreeing(), *self.agreeing(up=True)]
        calm = all(seen.fit.left_w <= 0.5 * abs(seen.from_w - seen.to_w) for seen in steps)
        both = 0 < len(self.downs) < len(steps)
        return both and calm and max(seen.fit.gain for seen in steps) < -SIGNS

    @property
    def blind(self) -> bool:
        """Two calm steps, and nothing was seen of them."""
        return self.unseen >= 2 and not self.downs

    @property
    def enough(self) -> bool:
        """There is a verdict."""
        downs, ups = self.agreeing(), self.agreeing(up=True)
        if downs and downs[0].fit.gain < 0.0:
            return self.wrong_way  # what is unusual needs a calm house: appliances may look like it
        nearly = self.tried >= WANTED and len(downs) == WANTED - 1 and len(downs) + len(ups) > WANTED
        return self.blind or len(downs) >= WANTED or nearly

    def agreeing(self, *, up: bool = False) -> list[Seen]:
        """The steps of one direction that tell what most of all steps tell."""
        seen = [*self.downs, *self.ups]
        if not seen:
            return []
        gain = median(one.fit.gain for one in seen)
        dead_time_s = median(one.fit.dead_time_s for one in seen)
        return [
            one
            for one in (self.ups if up else self.downs)
            if abs(one.fit.gain - gain) <= max(ALIKE_GAIN, 0.3 * abs(gain))
            and abs(one.fit.dead_time_s - dead_time_s) <= max(ALIKE_S, ALIKE * dead_time_s)
        ]

    def phase_gains(self) -> Sequence[float]:
        """The usual gain of each phase."""
        return [median(gains) for gains in zip(*self.phases, strict=True)]
