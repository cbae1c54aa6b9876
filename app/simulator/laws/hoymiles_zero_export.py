"""HoymilesZeroExport by reserve85, version 1.104, with OpenDTU, re-implemented from its documented behaviour.

It watches the meter every second for a loop of 20 s, then corrects its set-point at gain 1 (big cuts at 0.8). Import
above a maximum point is answered at once with 100 %, export below a minimum point (if switched on) at once with a full
cut; then it sleeps for the rest of the loop. Limits go out as whole percent, one inverter after the other, each waited
for up to 10 s. With no inverter in reach it pauses.

By default it regulates to 75 W of export, with the maximum point 75 W above. That distance is kept for other targets;
the script itself would move a maximum point left at its default of 0 W to the same place.

In its favour: the minimum is what the inverters need, rounded up to whole percent (default 5 %), a loop that ended in
an urgent cut is not followed by a second correction from the same reading, and equal percents are not sent again.
Left out: batteries, and MAX_DIFFERENCE_BETWEEN_LIMIT_AND_OUTPUTPOWER, which is off by default.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from app.simulator.laws import Law, Seen, Site

TARGET_W = 15.0  # its default is -75
TOLERANCE_W = 25.0
MAX_POINT_ABOVE_W = 75.0
MIN_POINT_BELOW_W = 525.0  # its default is -600 W, for a target of -75 W
LOOP_S, POLL_S = 20.0, 1.0
JUMP_PCT = 100.0  # 0: no jump
SLOW_LIMIT_PCT, SLOW_FACTOR_PCT = 20.0, 20.0
ACK_POLL_S, ACK_TIMEOUT_S = 0.5, 10.0
POWER_ON_S, CROSS_CHECK_PCT = 10.0, 5.0


def hoymiles_zero_export(
    *,
    target_w: float = TARGET_W,
    tolerance_w: float = TOLERANCE_W,
    max_point_w: float | None = None,
    min_point_w: float | None = None,
    loop_s: float = LOOP_S,
    jump_pct: float = JUMP_PCT,
    fast_decrease: bool = False,
) -> Law:
    """The script with the keys of its `Config.ini`; the points default to their usual distance from the target."""
    most_w = target_w + MAX_POINT_ABOVE_W if max_point_w is None else max_point_w
    if most_w < target_w + tolerance_w:
        most_w = target_w + tolerance_w + 50.0  # as the script does
    least_w = target_w - MIN_POINT_BELOW_W if min_point_w is None else min_point_w
    points_w = (least_w if fast_decrease else -math.inf, most_w)
    return lambda site: _Script(site, target_w, tolerance_w, points_w, loop_s, jump_pct).run()


@dataclass(slots=True)
class _Script:
    site: Site
    target_w: float
    tolerance_w: float
    points_w: tuple[float, float]
    loop_s: float
    jump_pct: float
    setpoint_w: float = 0.0
    most_w: float = 0.0
    units: list[Seen] = field(default_factory=list)
    sent_w: int | None = None
    sent_pct: dict[str, int] = field(default_factory=dict)
    unacked: set[str] = field(default_factory=set)

    def run(self) -> Iterator[float | None]:
        """Initialise, then loop for ever."""
        self._look()
        yield POWER_ON_S * len(self.units)
        yield from self._command(0.0)
        while True:
            self._look()
            if not self.units:
                self.sent_w = None
                yield self.loop_s
                continue
            grid_w = yield from self._watch()
            if grid_w is not None:
                yield from self._command(self._corrected_w(grid_w - self.target_w))

    def _look(self) -> None:
        """See who can be reached; whoever was away is sent its limit anew."""
        self.units = [one for one in self.site.inverters if one.reachable]
        self.most_w = sum(one.rated_w for one in self.units)
        here = {one.serial for one in self.units}
        if here != self.sent_pct.keys():
            self.sent_w = None
        self.sent_pct = {serial: pct for serial, pct in self.sent_pct.items() if serial in here}
        self.unacked &= here

    def _watch(self) -> Generator[float, None, float | None]:
        """Poll the meter for one loop: its last value, or None if something urgent has been answered instead."""
        polls, grid_w = int(self.loop_s / POLL_S), 0.0
        for poll in range(polls):
            grid_w = float(int(self.site.grid_w))
            if not self.points_w[0] <= grid_w <= self.points_w[1]:
                new_w, jump_w = self.setpoint_w + grid_w - self.target_w, self.most_w * self.jump_pct / 100.0
                if grid_w > self.target_w and jump_w > 0.0 and (jump_w > self.setpoint_w or self.jump_pct == JUMP_PCT):
                    new_w = jump_w
                yield from self._command(new_w)
                yield float(int((polls - poll) * POLL_S))
                return None
            yield POLL_S
        return grid_w

    def _corrected_w(self, error_w: float) -> float:
        """The set-point after a loop in which nothing was urgent."""
        at_most = self.setpoint_w >= self.most_w
        if error_w > self.tolerance_w and not at_most:
            return self.setpoint_w + error_w
        if error_w >= -self.tolerance_w:
            return self.setpoint_w
        slow = -error_w > self.most_w * SLOW_LIMIT_PCT / 100.0
        base_w = self._power_w() if at_most else self.setpoint_w
        return base_w + error_w * (1.0 - SLOW_FACTOR_PCT / 100.0 if slow else 1.0)

    def _command(self, setpoint_w: float) -> Generator[float, None, None]:
        """Send a set-point, inverter by inverter in proportion to their ranges, unless all took it before."""
        least_w = sum(_least_pct(one) * one.rated_w / 100.0 for one in self.units)
        self.setpoint_w = min(self.most_w, max(least_w, setpoint_w))
        settled = int(self.setpoint_w) == self.sent_w and not self.unacked
        self.sent_w = int(self.setpoint_w)
        share = (self.sent_w - least_w) / (self.most_w - least_w) if self.most_w > least_w else 0.0
        for one in self.units:
            least_pct = _least_pct(one)
            pct = max(least_pct, int(least_pct + (100 - least_pct) * share + 1e-6))
            shown_pct = pct if one.limit_w is None else one.limit_w / one.rated_w * 100.0
            if settled and abs(shown_pct - pct) > CROSS_CHECK_PCT:
                self.site.limit_pct(one.serial, pct)
            elif not settled and (pct != self.sent_pct.get(one.serial) or one.serial in self.unacked):
                self.sent_pct[one.serial] = pct
                self.site.limit_pct(one.serial, pct)
                yield from self._wait_for_ack(one.serial)

    def _wait_for_ack(self, serial: str) -> Generator[float, None, None]:
        give_up_s = self.site.now_s + ACK_TIMEOUT_S
        self.unacked.add(serial)
        while serial in self.unacked and self.site.now_s < give_up_s:
            yield ACK_POLL_S
            self.unacked -= {one.serial for one in self.site.inverters if one.acked}

    def _power_w(self) -> float:
        return sum(int(one.power_w or 0.0) for one in self.site.inverters if one.serial in self.sent_pct)


def _least_pct(unit: Seen) -> int:
    return math.ceil(unit.min_w / unit.rated_w * 100.0 - 1e-6)
