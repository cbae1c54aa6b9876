"""The appliances behind the household load: which steps come and go again, and for how long.

A step of the load that comes back with the other sign is an appliance. What is known of it answers two questions that
a law on the grid power alone cannot: how far a step will go, of which the meter has shown the first part; and whether
following it is worth it, as the dead time makes every change of the limit late. A hob that is on for 9 s and off for
11 s is followed with a fast inverter, and left to the grid with a slow one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

SMALLEST_W = 60.0
MOST = 12  # appliances kept in mind
FORGET_S = 900.0
BETTER = 0.85  # another policy must cost this much less to replace the one in use
SHORT_DIP_S = 5.0  # longer ones are never ridden through: the house would export all that time
CAUTION = 0.55  # of what usually follows the first part of a drop, so much is cut at once
ONE_SECOND_MEAN, SLOW_S = 0.9, 2.5  # what follows where a meter shows means of one second; others must show it
LEARN = 0.2  # how fast it is learned what usually follows, per step


class Policy(Enum):
    """What to do about an appliance that cycles."""

    FOLLOW = "follow"
    STAY_LOW = "stay low"
    STAY_HIGH = "stay high"


@dataclass(slots=True)
class Appliance:
    """A step that was seen to come (and go).

    ``since_s``: when it last switched; ``ons_s``/``offs_s``: how long it stayed on and off.
    """

    watts: float
    on: bool
    since_s: float
    ons_s: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    offs_s: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    policy: Policy = Policy.FOLLOW
    stays_s: float | None = None  # how long it usually keeps the state that it is in; None: not known

    def fits(self, step_w: float) -> bool:
        """Whether a step is this one's, by its size."""
        return abs(abs(step_w) - self.watts) <= max(40.0, 0.15 * self.watts)

    def switch(self, step_w: float, at_s: float) -> None:
        """It goes on or off, by the sign of the step."""
        if self.on == (step_w < 0.0):
            (self.ons_s if self.on else self.offs_s).append(at_s - self.since_s)
        self.on, self.since_s = step_w > 0.0, at_s
        self.watts += 0.3 * (abs(step_w) - self.watts)
        kept = self.ons_s if self.on else self.offs_s
        self.stays_s = median(kept) if kept else None

    def due(self, at_s: float) -> bool:
        """Whether it may switch about now."""
        stays_s = self.stays_s
        return stays_s is not None and 0.6 * stays_s - 1.0 <= at_s - self.since_s <= 1.5 * stays_s + 2.0

    def added_w(self, at_s: float) -> float:
        """What its policy adds to the load to plan for, now."""
        stays_s = self.stays_s
        if stays_s is None or at_s - self.since_s > 1.4 * stays_s + 2.0:
            return 0.0  # it does not cycle any more
        if self.policy is Policy.STAY_LOW and self.on:
            return -self.watts
        if self.policy is Policy.STAY_HIGH and not self.on:
            return self.watts
        return 0.0


@dataclass(frozen=True, slots=True)
class Reaction:
    """How late the plant follows: seconds until a cut works, and rise of the power in W/s; what export costs."""

    delay_s: float
    rise_w_per_s: float
    export_weight: float


class Appliances:
    """Told every load estimate, it answers with the load to plan for."""

    def __init__(self) -> None:
        self.known: list[Appliance] = []
        self._follows: float | None = None  # the second reading of a step adds so much to what the first one showed
        self._at_s = 0.0
        self.forget()

    def forget(self) -> None:
        """The load was lost sight of."""
        self.known.clear()
        self._level_w: float | None = None
        self._before_w = 0.0
        self._lowest_w = float("inf")
        self._moving_since_s: float | None = None
        self._first_w: float | None = None

    def plan_w(self, load_w: float, at_s: float, reaction: Reaction) -> float:
        """Take in a load estimate; the load that the inverters should be ready for."""
        self._lowest_w = min(load_w, self._lowest_w + 0.1)  # forgotten within the hour
        if self._follows is None and self._level_w is not None:
            self._follows = ONE_SECOND_MEAN if at_s - self._at_s < SLOW_S else 0.0
        self._at_s = at_s
        begins = self._track(load_w, at_s, reaction)
        moved_w, first_w = load_w - self._before_w, self._first_w
        if first_w is not None:
            follows = self._follows or 0.0
            self._follows = follows + LEARN * (max(0.0, min(1.5, moved_w / first_w)) - follows)
        self._first_w = moved_w if begins and abs(moved_w) > 2.0 * SMALLEST_W else None
        self._before_w = load_w
        if self._moving_since_s is not None and self._level_w is not None:
            load_w = self._complete(load_w, self._level_w, at_s, begins=begins)
        return max(0.0, load_w + sum(one.added_w(at_s) for one in self.known))

    def _complete(self, load_w: float, level_w: float, at_s: float, *, begins: bool) -> float:
        """The load that a step under way will lead to."""
        moved_w = load_w - level_w
        going = moved_w < 0.0
        due = [
            one
            for one in self.known
            if one.on == going
            and one.due(at_s)
            and max(SMALLEST_W, 0.2 * one.watts) <= abs(moved_w) <= one.watts + 40.0
        ]
        if due:
            one = min(due, key=lambda one: one.watts)
            if one.added_w(at_s) or one.policy is not Policy.FOLLOW:
                return level_w
            return level_w - one.watts if going else level_w + one.watts
        if going and begins and -moved_w > 100.0:
            return max(min(load_w, self._lowest_w), load_w + CAUTION * (self._follows or 0.0) * moved_w)
        return load_w

    def _track(self, load_w: float, at_s: float, reaction: Reaction) -> bool:
        """Follow the level that the load keeps between steps; True where a step has just begun."""
        if self._level_w is None:
            self._level_w = load_w
            return False
        noise_w = max(30.0, 0.03 * load_w)
        if self._moving_since_s is None:
            if abs(load_w - self._level_w) > noise_w:
                self._moving_since_s = at_s
                return True
            self._level_w += 0.2 * (load_w - self._level_w)
            return False
        moved_w, last_w = self._before_w - self._level_w, load_w - self._before_w
        if abs(last_w) <= noise_w:
            self._switch(load_w - self._level_w, self._moving_since_s, reaction)
            self._level_w, self._moving_since_s = load_w, None
        elif moved_w * last_w < 0.0:  # it turned round
            self._switch(moved_w, self._moving_since_s, reaction)
            self._level_w, self._moving_since_s = self._before_w, at_s
            return True
        return False

    def _switch(self, step_w: float, at_s: float, reaction: Reaction) -> None:
        """A step is complete: one of the appliances has switched."""
        self.known = [one for one in self.known if at_s - one.since_s < FORGET_S]
        if abs(step_w) < SMALLEST_W:
            return
        fitting = [one for one in self.known if one.fits(step_w)]
        if fitting:
            one = min(fitting, key=lambda one: (one.on == (step_w > 0.0), abs(one.watts - abs(step_w))))
            one.switch(step_w, at_s)
            one.policy = choose(one, reaction)
        elif step_w > 0.0:
            self.known = [*self.known[-MOST + 1 :], Appliance(step_w, True, at_s)]


def choose(one: Appliance, reaction: Reaction) -> Policy:
    """The policy that costs least per cycle, by how long the appliance is on and off."""
    if len(one.ons_s) < 2 or not one.offs_s:
        return Policy.FOLLOW
    on_s, off_s = median(one.ons_s), median(one.offs_s)
    up_s = reaction.delay_s + one.watts / (2.0 * reaction.rise_w_per_s)
    costs = {
        Policy.FOLLOW: reaction.export_weight * min(reaction.delay_s, off_s) + min(up_s, on_s),
        Policy.STAY_LOW: on_s,
        Policy.STAY_HIGH: reaction.export_weight * off_s if off_s < SHORT_DIP_S else float("inf"),
    }
    best = min(costs, key=lambda policy: costs[policy])
    return best if costs[best] < BETTER * costs[one.policy] else one.policy
