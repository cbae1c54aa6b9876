"""Room for a battery that regulates by itself: the inverters may give what the house and the battery take.

A battery holds the grid power at about zero, so the meter alone shows neither what it could still take nor what it
gives away: a limit that follows the meter would starve it, and then discharge it to hide the import that is asked for.
So the law plans for another load: that of the house alone, and all that the battery would take. The house is what the
observer finds, less what the battery takes; of all that the battery's old reports allow, it is taken to have the load
nearest to the one before.
"""

from __future__ import annotations

import math
from collections import deque

from app.control.battery_rules import BatteryRules
from app.control.household import Load
from app.control.safety import Freshness, Trust
from app.control.turns import Fight
from app.model import BatteryState, Reading, Room, Snapshot

LEFT_W = 15.0  # an export that it would take if it could
IDLE_W = 50.0  # a battery that gives less does nothing
STEADY_W = 50.0  # between two reports: it does the same
ACTS_W, ACTS_S = 40.0, 4.0  # a battery takes more only after such an export, gives more after such an import, so late
NEAR, GUARD_S, LONG_GUARD_S = 0.8, 3.0, 6.0  # an export that lasts so long is more than it takes; sooner near its most
PROBE_W, PROBE_S, LONGEST_PROBE_S = 100.0, 10.0, 900.0  # how more than it was found to take is tried
MOST_GROWTH = 2.0  # from one report to the next: a charge that falls by more at once is a mistake
TAPER = ((97.0, 200.0), (95.0, 500.0))  # from this charge on (%), so much beyond what it takes now (the seed's figures)
HIDES_S = 600.0  # a battery that made up for an import once would do so again
PROMPT_S, RAISE_W_PER_S, UNSEEN_W_PER_S, SLOWEST_W_PER_S = 5.0, 400.0, 80.0, 10.0  # slower where reports are seldom
# It moved by so much within so long, and the grid power did not: that is what its regulator aims at.
MOVED_W, MOVED_S, SAME_W, OWN_W = 60.0, 20.0, 20.0, 100.0
HISTORY = 128


class BatteryRoom:
    """Told battery, meter and load again and again, it answers with the room that the battery leaves to the sun."""

    def __init__(self, rules: BatteryRules) -> None:
        self._rules = rules
        self._loads: deque[tuple[float, Load]] = deque(maxlen=HISTORY)  # of house and battery together
        self._house_w: float | None = None
        self._at_s, self._power_w, self._steady = -math.inf, 0.0, False  # the last report
        self._exported_s = self._imported_s = -math.inf  # when the meter last showed what a battery acts on
        self._export_s: float | None = None  # since when it has not taken what was too much
        self._limit_w = math.inf
        self._grid_w: list[float] = []  # since the last report
        self._full = 0  # so many reports in a row have shown it at its most
        self._own_w = 0.0  # what its regulator holds the grid at
        self._rested = (-math.inf, 0.0, 0.0)  # when, its power, and that of the grid
        self._most = _Most()
        self._hid_s = -math.inf
        self._stubborn = False  # it exports of its own accord, and regulates nothing
        self._fight = Fight()

    def step(
        self, now_s: float, battery: BatteryState, reading: Reading, load: Load, limit_w: float, target_w: float
    ) -> Room:
        """``load``: what house and battery take together; ``limit_w``: the sum of the limits in force."""
        new = not self._loads or reading.at_s > self._loads[-1][0]
        if new:
            self._loads.append((reading.at_s, load))
        if not fresh(battery, self._rules, now_s) or battery.power_w is None or battery.at_s is None:
            self._at_s, self._house_w, self._export_s = -math.inf, None, None
            return Room(target_w, None, lost=True)
        known_w = self._known_w(battery)
        self._most.at(battery.soc_pct)
        if new:
            self._look(reading, limit_w, target_w)
        if battery.at_s > self._at_s:
            self._report(battery.power_w, battery.at_s, battery.interval_s)
            self._fight.look(now_s, battery.power_w, limit_w, self._house_w or 0.0)
        elif new:
            self._follow(reading.at_s, load, battery.interval_s)
        house_w = max(0.0, self._house_w or 0.0)
        gives = self._steady and self._power_w < -IDLE_W
        prompt = battery.interval_s <= PROMPT_S
        if self._too_much(reading, known_w, prompt=prompt):
            self._stubborn = gives
            if not gives:
                self._most.found(max(self._power_w, load.watts - house_w), now_s)
        if gives:
            self._hid_s = now_s
            self._most.emptied()
        takes_w = self._takes_w(now_s, battery.soc_pct, known_w, leap=not prompt)
        room_w = house_w + takes_w - load.watts
        room_w = min(0.0, room_w) if self._stubborn else room_w
        rate = self._fight.share * (RAISE_W_PER_S if prompt else UNSEEN_W_PER_S)
        return Room(
            self._base_w(now_s, battery, target_w),
            room_w,
            battery_w=load.watts + room_w - house_w,
            raise_w_per_s=max(SLOWEST_W_PER_S, rate),
            swings=self._fight.slowed,
        )

    # -- what the house takes ------------------------------------------------------------------------

    def _look(self, reading: Reading, limit_w: float, target_w: float) -> None:
        """What the meter shows that a battery acts on, or should have acted on."""
        power_w, at_s = reading.power_w, reading.at_s
        self._grid_w.append(power_w)
        if power_w < self._own_w - ACTS_W:
            self._exported_s = at_s
        if power_w > self._own_w + ACTS_W:
            self._imported_s = at_s
        if power_w >= min(0.0, target_w, self._own_w) - ACTS_W:
            self._export_s, self._stubborn = None, False
        elif self._export_s is None or limit_w > self._limit_w + ACTS_W:
            self._export_s = at_s  # while the sun is given more, the battery is always a little late
        self._limit_w = limit_w

    def _report(self, power_w: float, at_s: float, late_s: float) -> None:
        """What a report tells of the house: it may be ``late_s`` older than it seems, and so may the loads."""
        before_w = power_w if self._at_s == -math.inf else self._power_w
        now = self._loads[-1][1]
        past = [load for seen_s, load in self._loads if late_s > PROMPT_S and at_s - late_s - 1.0 <= seen_s]
        if self._house_w is None:
            self._house_w = now.low_w - power_w
        self._allow(
            min(load.low_w for load in [now, *past]) - max(before_w, power_w), now.high_w - min(before_w, power_w)
        )
        self._steady = abs(power_w - before_w) < STEADY_W
        if power_w > before_w + STEADY_W:
            self._export_s = None  # it follows
        self._at_s, self._power_w = at_s, power_w
        grid_w, self._grid_w = self._grid_w, []
        if grid_w and self._steady:
            self._rest(at_s, power_w, sum(grid_w) / len(grid_w))
        full = self._steady and late_s <= PROMPT_S and max(grid_w or [0.0]) < self._own_w - LEFT_W
        self._full = self._full + 1 if full else 0
        self._most.reported(power_w, full=self._full >= 2)

    def _follow(self, at_s: float, load: Load, late_s: float) -> None:
        """What a reading tells of the house since the last report: the battery only moves when it has a reason to."""
        since_s = min(at_s, self._at_s) - late_s if late_s > PROMPT_S else at_s
        takes_more = self._exported_s >= since_s - ACTS_S
        gives_more = self._imported_s >= since_s - ACTS_S
        low_w, high_w = load.low_w - self._power_w, load.high_w - self._power_w
        self._allow(-math.inf if takes_more else low_w, math.inf if gives_more and not takes_more else high_w)

    def _allow(self, low_w: float, high_w: float) -> None:
        if self._house_w is not None:
            self._house_w = min(max(self._house_w, low_w), high_w)

    def _rest(self, at_s: float, power_w: float, grid_w: float) -> None:
        """Learn what its own regulator aims at: an export that stays when the battery moves is not too much sun."""
        then_s, then_w, there_w = self._rested
        if at_s - then_s < MOVED_S and abs(power_w - then_w) < MOVED_W:
            return
        if at_s - then_s < MOVED_S and abs(grid_w - there_w) < SAME_W:
            self._own_w = max(-OWN_W, min(OWN_W, 0.5 * (grid_w + there_w)))
        self._rested = (at_s, power_w, grid_w)

    # -- what the battery takes ----------------------------------------------------------------------

    def _known_w(self, battery: BatteryState) -> float | None:
        """The most that it takes, where somebody says so; how full it is has to be known for that."""
        return None if battery.soc_pct is None else battery.max_charge_w

    def _too_much(self, reading: Reading, known_w: float | None, *, prompt: bool) -> bool:
        """Whether an export has lasted for so long that the battery takes no more than it does."""
        most_w = self._most.watts if self._most.watts is not None else known_w
        near = prompt and (most_w is None or self._power_w >= NEAR * most_w)
        too_much = self._export_s is not None and reading.at_s - self._export_s >= (GUARD_S if near else LONG_GUARD_S)
        if too_much:
            self._export_s = None
        return too_much

    def _takes_w(self, now_s: float, soc_pct: float | None, known_w: float | None, *, leap: bool) -> float:
        """The most that it would take now."""
        rules, charges_w = self._rules, max(0.0, self._power_w)
        if not rules.allow_charge or (soc_pct is not None and soc_pct >= rules.full_soc_pct):
            return charges_w
        low = rules.auto_charge_below_soc is not None and (soc_pct or 0.0) < rules.auto_charge_below_soc
        begin_w = rules.auto_charge_w if low and charges_w < IDLE_W else 0.0
        takes_w = min(self._most.now_w(now_s, charges_w, begin_w, known_w, leap=leap), rules.auto_charge_max_w)
        if rules.taper and soc_pct is not None:
            takes_w = min([takes_w, *(charges_w + beyond_w for from_pct, beyond_w in TAPER if soc_pct >= from_pct)])
        return max(0.0, takes_w)

    def _base_w(self, now_s: float, battery: BatteryState, target_w: float) -> float:
        """The target and the import that is wanted beside it; none that the battery would make up for."""
        if now_s - self._hid_s < HIDES_S:
            return min(0.0, target_w)
        full = battery.soc_pct is not None and battery.soc_pct >= self._rules.full_soc_pct
        return target_w + (self._rules.bias_full_w if full else self._rules.bias_w)


class _Most:
    """The most that a battery takes, as it has been found, and a little more now and then."""

    def __init__(self) -> None:
        self.watts: float | None = None
        self._left_pct: float | None = None
        self._probe_w, self._pause_s, self._found_s = PROBE_W, PROBE_S, -math.inf

    def at(self, soc_pct: float | None) -> None:
        """It is so full: what it takes shrinks and grows with what is left to fill."""
        left_pct = None if soc_pct is None else max(0.1, 100.0 - soc_pct)
        if self.watts is not None and self._left_pct is not None and left_pct is not None:
            self.watts *= min(MOST_GROWTH, left_pct / self._left_pct)
        self._left_pct = left_pct

    def emptied(self) -> None:
        """It has given something: it is worth trying whether it takes that again."""
        self._pause_s, self._found_s = PROBE_S, -math.inf

    def found(self, takes_w: float, now_s: float) -> None:
        """It takes no more than that."""
        self.watts = max(0.0, takes_w if self.watts is None else min(self.watts, takes_w))
        if now_s - self._found_s >= self._pause_s:  # it was tried in vain; what comes later is the same export
            self._pause_s = min(LONGEST_PROBE_S, 2.0 * self._pause_s)
        self._probe_w, self._found_s = PROBE_W, now_s

    def reported(self, power_w: float, *, full: bool) -> None:
        """``full``: it takes no more than now."""
        if self.watts is None:
            return
        if full:
            self.watts = max(0.0, min(self.watts, power_w))
        elif power_w > self.watts + 0.5 * PROBE_W:
            self.watts, self._probe_w, self._pause_s, self._found_s = power_w, 4.0 * self._probe_w, PROBE_S, -math.inf

    def now_w(
        self, now_s: float, charges_w: float, begin_w: float, known_w: float | None, *, leap: bool = False
    ) -> float:
        """What to reckon with. Where nothing is known it is tried: what it takes now and more, at least ``begin_w``.

        ``leap``: what is known is tried at once, since answers to small steps would come too late.
        """
        if self.watts is None and known_w is not None:
            return known_w
        self.watts = max(self.watts or 0.0, charges_w)
        probing = now_s - self._found_s >= self._pause_s
        if probing and leap and known_w is not None:
            return known_w
        most_w = self.watts + (max(self._probe_w, begin_w) if probing else 0.0)
        return most_w if known_w is None else min(most_w, known_w)


def fresh(battery: BatteryState, rules: BatteryRules, now_s: float) -> bool:
    """Whether the data of a battery can be used."""
    told = battery.at_s is not None and battery.power_w is not None and math.isfinite(battery.power_w)
    return told and now_s - (battery.at_s or 0.0) <= rules.stale_s


def lost_data(snapshot: Snapshot) -> Freshness:
    """What the strict rule makes of a battery that does not tell any more."""
    battery = snapshot.battery
    age_s = None if battery is None or battery.at_s is None else snapshot.now_s - battery.at_s
    what = "no data of the battery so far" if age_s is None else f"no data of the battery for {age_s:.0f} s"
    return Freshness(Trust.FAIL_SAFE, age_s, f"{what} (battery.strict)", "Run: zero-export doctor battery")
