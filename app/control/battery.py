"""Room for a battery that regulates by itself: the inverters may give what the house and the battery take.

A battery holds the grid power at about zero, so the meter alone shows neither what it could still take nor what it
gives away: a limit that follows the meter would starve it, and then discharge it to hide the import that is asked for.
So the target is shifted by what the battery can take beyond what it takes, and by what it gives.
"""

from __future__ import annotations

import math
from collections import deque

from app.control.battery_rules import BatteryRules
from app.control.safety import Freshness, Trust
from app.model import BatteryState, Reading, Room, Snapshot

IDLE_W = 50.0  # a battery that gives less does nothing
NEAR = 0.8  # of the most that it takes: from there on an export says at once that it takes no more
GUARD_S, LONG_GUARD_S, GUARD_W = 3.0, 10.0, 40.0  # an export that lasts so long is more than it takes
PROBE_W, PROBE_S, LONGEST_PROBE_S = 50.0, 60.0, 900.0  # how what it can take is tried again, after that was found
TAPER = ((97.0, 200.0), (95.0, 500.0))  # from this charge on (%), so much beyond what it takes now (the seed's figures)
HIDES_S = 600.0  # a battery that made up for an import once would do so again
LASTING_S = 8.0  # room that has been there for so long is given to the sun: less is the house, coming and going
RAISE_W_PER_S, SLOWEST_W_PER_S = 80.0, 10.0  # the battery follows up to 3 s later: so much it exports per W/s meanwhile
SWING_W, SWING_S, SWINGS = 150.0, 120.0, 4  # so many turns of both within so long are two regulators against each other
CALM_S = 600.0
HISTORY = 128


class _Turns:
    """Counts the turning points of a value that moves by at least ``SWING_W`` between them."""

    def __init__(self) -> None:
        self._extreme: float | None = None
        self._up = 0
        self._times: deque[float] = deque(maxlen=16)

    def add(self, value: float, now_s: float) -> None:
        if self._extreme is None:
            self._extreme = value
        elif (self._up >= 0 and value > self._extreme) or (self._up <= 0 and value < self._extreme):
            if self._up or abs(value - self._extreme) >= SWING_W:
                self._up = 1 if value > self._extreme else -1
                self._extreme = value
        elif self._up and abs(value - self._extreme) >= SWING_W:
            self._up, self._extreme = -self._up, value
            self._times.append(now_s)

    def count(self, now_s: float) -> int:
        return sum(now_s - at_s <= SWING_S for at_s in self._times)

    def clear(self) -> None:
        self._times.clear()


class BatteryRoom:
    """Told battery, meter and load again and again, it answers with the target that leaves the battery its room."""

    def __init__(self, rules: BatteryRules) -> None:
        self._rules = rules
        self._loads: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self._at_s = -math.inf  # of the last report, and what was seen then
        self._load_then_w = 0.0
        self._power_w = 0.0
        self._room_w = 0.0
        self._most_w: float | None = None  # that it has been found to take
        self._probe_s, self._probed_s = PROBE_S, -math.inf
        self._export_s: float | None = None  # since when it has not taken what was too much
        self._rooms: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self._hid_s = -math.inf
        self._battery, self._limits, self._house = _Turns(), _Turns(), _Turns()
        self._share, self._slowed_s = 1.0, -math.inf  # of the room that is given at once

    def step(
        self, now_s: float, battery: BatteryState, reading: Reading, load_w: float, limit_w: float, target_w: float
    ) -> Room:
        """``load_w``: what house and battery take together; ``limit_w``: the sum of the limits in force."""
        if not self._loads or reading.at_s > self._loads[-1][0]:
            self._loads.append((reading.at_s, load_w))
        if not fresh(battery, self._rules, now_s) or battery.power_w is None or battery.at_s is None:
            self._at_s = -math.inf
            return Room(target_w, None, lost=True)
        if battery.at_s > self._at_s:
            self._report(now_s, battery, battery.power_w, battery.at_s, limit_w)
        taken_since_w = max(0.0, load_w - self._load_then_w)
        self._watch(reading, taken_since_w, battery.max_charge_w, target_w)
        room_w = max(0.0, self._room_w - taken_since_w)
        self._rooms.append((now_s, room_w))
        while self._rooms[0][0] < now_s - LASTING_S:
            self._rooms.popleft()
        lasting_w = min(one_w for _, one_w in self._rooms)
        rate = max(SLOWEST_W_PER_S, self._share * RAISE_W_PER_S)
        return Room(
            self._base_w(now_s, battery, target_w) - room_w, room_w, room_w - lasting_w, rate, swings=self.slowed
        )

    @property
    def slowed(self) -> bool:
        """Two regulators have been found to work against each other."""
        return self._share < 1.0

    def _report(self, now_s: float, battery: BatteryState, power_w: float, at_s: float, limit_w: float) -> None:
        """Reckon with a new report."""
        self._at_s, self._power_w = at_s, power_w
        self._load_then_w = _least(self._loads, at_s, battery.interval_s)
        self._battery.add(power_w, now_s)
        self._limits.add(limit_w, now_s)
        self._house.add(self._load_then_w - power_w, now_s)
        turns = min(self._battery.count(now_s), self._limits.count(now_s)) - self._house.count(now_s)
        if turns >= SWINGS:  # and the house has not turned as often: it is none that follows its load
            self._share, self._slowed_s = 0.5 * self._share, now_s
            self._battery.clear()
            self._limits.clear()
        elif self._share < 1.0 and now_s - self._slowed_s > CALM_S:
            self._share, self._slowed_s = min(1.0, 2.0 * self._share), now_s
        if self._most_w is not None and power_w > self._most_w + PROBE_W:
            self._most_w, self._probe_s = None, PROBE_S  # it takes more again
        gives_w, takes_w = max(0.0, -power_w), max(0.0, power_w)
        if gives_w > IDLE_W:
            self._hid_s = now_s
        self._room_w = self._headroom_w(now_s, battery.soc_pct, takes_w, battery.max_charge_w) + gives_w

    def _headroom_w(self, now_s: float, soc_pct: float | None, takes_w: float, most_w: float | None) -> float:
        """What it can take beyond what it takes."""
        rules = self._rules
        if not rules.allow_charge or (soc_pct is not None and soc_pct >= rules.full_soc_pct):
            return 0.0
        room_w = (rules.auto_charge_max_w if most_w is None else most_w) - takes_w
        if soc_pct is None:
            room_w = min(room_w, PROBE_W)
        elif rules.auto_charge_below_soc is not None:
            begins_w = rules.auto_charge_w - takes_w if soc_pct < rules.auto_charge_below_soc else 0.0
            room_w = min(room_w, max(begins_w, 2.0 * PROBE_W))
        if rules.taper and soc_pct is not None:
            room_w = min([room_w, *(beyond_w for from_pct, beyond_w in TAPER if soc_pct >= from_pct)])
        if self._most_w is not None:
            room_w = min(room_w, self._most_w + self._probe_w(now_s) - takes_w)
        return max(0.0, room_w)

    def _probe_w(self, now_s: float) -> float:
        """A little more than was found, now and then, and more and more seldom."""
        if now_s - self._probed_s < self._probe_s:
            return 0.0
        self._probed_s, self._probe_s = now_s, min(LONGEST_PROBE_S, 2.0 * self._probe_s)
        return PROBE_W

    def _watch(self, reading: Reading, taken_since_w: float, most_w: float | None, target_w: float) -> None:
        """Conclude from an export that lasts that it takes no more than it does."""
        takes_w = self._power_w + taken_since_w
        if (
            reading.power_w >= min(0.0, target_w) - GUARD_W or takes_w < -IDLE_W
        ):  # below, it is the battery that exports
            self._export_s = None
            return
        self._export_s = reading.at_s if self._export_s is None else self._export_s
        known_w = most_w if self._most_w is None else self._most_w
        near = known_w is None or takes_w >= NEAR * known_w
        if reading.at_s - self._export_s >= (GUARD_S if near else LONG_GUARD_S):
            self._most_w = max(0.0, takes_w if self._most_w is None else min(self._most_w, takes_w))
            self._room_w, self._probed_s, self._export_s = 0.0, reading.at_s, None

    def _base_w(self, now_s: float, battery: BatteryState, target_w: float) -> float:
        """The target and the import that is wanted beside it; none that the battery would make up for."""
        if now_s - self._hid_s < HIDES_S:
            return min(0.0, target_w)
        full = battery.soc_pct is not None and battery.soc_pct >= self._rules.full_soc_pct
        return target_w + (self._rules.bias_full_w if full else self._rules.bias_w)


def fresh(battery: BatteryState, rules: BatteryRules, now_s: float) -> bool:
    """Whether the data of a battery can be used."""
    return battery.at_s is not None and battery.power_w is not None and now_s - battery.at_s <= rules.stale_s


def lost_data(snapshot: Snapshot) -> Freshness:
    """What the strict rule makes of a battery that does not tell any more."""
    battery = snapshot.battery
    age_s = None if battery is None or battery.at_s is None else snapshot.now_s - battery.at_s
    what = "no data of the battery so far" if age_s is None else f"no data of the battery for {age_s:.0f} s"
    return Freshness(Trust.FAIL_SAFE, age_s, f"{what} (battery.strict)", "Run: zero-export doctor battery")


def _least(loads: deque[tuple[float, float]], at_s: float, late_s: float) -> float:
    """The least load around a moment that may have been ``late_s`` earlier than it says."""
    near = [load_w for seen_s, load_w in loads if at_s - late_s <= seen_s <= at_s + 0.5]
    return min(near, default=min(loads, key=lambda one: abs(one[0] - at_s))[1])
