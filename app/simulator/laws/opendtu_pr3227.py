"""OpenDTU's own zero export as proposed in its pull request 3227 (September 2026), re-implemented from its behaviour.

Inside OpenDTU, every 10 s (recommended by its author; default 30 s, at least 5 s): the limit of the site follows the
grid error at gain 1, capped at what is produced plus the larger of 300 W and 30 %. Against slow meters, upward
corrections are scaled by interval / (meter period + 2 s). It starts from the limit that is in force, keeps what it
commanded for inverters that are out of reach, and lowers all to their minimum when the meter falls silent.

In its favour: an unknown limit at the start counts as 100 % (it would wait for minutes until it is known), the
production is the newest statistics without the second that its sum may be late, and changes that are lost in the steps
of the air are not sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.simulator.laws import Law, Seen, Site

TARGET_W = 15.0  # its default is 0
INTERVAL_S = 10.0
TICK_S = 0.5
LEAST_W = 40.0  # of an inverter; its settings page takes no less
MARGIN_W = 300.0
MARGIN_SHARE = 0.3
RESPONSE_S = 2.0
SILENT_S = 20.0
LEAST_CHANGE_W = 1.0
STEP = 0.001  # of rated power


def opendtu_pr3227(*, target_w: float = TARGET_W, interval_s: float = INTERVAL_S, silent_s: float = SILENT_S) -> Law:
    """The firmware's regulation every ``interval_s``; a meter silent for ``silent_s`` means the minimum."""

    def live(site: Site) -> Iterator[float | None]:
        state = _State(site, target_w, interval_s)
        regulated_s = site.now_s
        while True:
            state.listen()
            if site.now_s - site.grid_at_s > silent_s:
                state.fail_safe()
            elif state.adopt():
                regulated_s = site.now_s
            elif site.now_s - regulated_s >= interval_s - 1e-6:
                regulated_s = site.now_s
                state.regulate()
            yield TICK_S

    return live


@dataclass(slots=True)
class _State:
    """What it remembers: ``limits_w`` as it commanded them, and how often the meter speaks."""

    site: Site
    target_w: float
    interval_s: float
    limits_w: dict[str, float] = field(default_factory=dict)
    heard_s: float | None = None
    period_s: float = 0.0
    safe: bool = False

    def listen(self) -> None:
        """Learn the meter's period."""
        at_s = self.site.grid_at_s
        if self.heard_s is not None and at_s > self.heard_s:
            period_s = at_s - self.heard_s
            self.period_s = (7.0 * self.period_s + period_s) / 8.0 if self.period_s else period_s
        self.heard_s = at_s

    def adopt(self) -> bool:
        """Take over the limits of inverters seen for the first time, and confirm them."""
        self.safe = False
        new = [one for one in self.site.inverters if one.reachable and one.serial not in self.limits_w]
        for one in new:
            self._send(one, one.rated_w if one.limit_w is None else min(one.rated_w, one.limit_w))
        return bool(new)

    def fail_safe(self) -> None:
        """Once, when the meter falls silent: the minimum."""
        if not self.safe:
            for one in self._in_reach():
                self._send(one, _least_w(one))
        self.safe = True

    def regulate(self) -> None:
        """One correction."""
        units = self._in_reach()
        known = [one for one in self.site.inverters if one.serial in self.limits_w]
        if not units:
            return
        nominal_w = sum(one.rated_w for one in known)
        total_w = sum(self.limits_w.values())
        produced_w = sum(one.power_w or 0.0 for one in known)  # also of those out of reach, as last heard
        floor_w = sum(_least_w(one) for one in units)
        cap_w = max(produced_w, floor_w) + max(MARGIN_W, MARGIN_SHARE * produced_w)
        new_w = math.ceil(min(total_w + self._delta_w(), nominal_w, cap_w))
        if abs(new_w - total_w) < LEAST_CHANGE_W:
            return
        fixed_w = total_w - sum(self.limits_w[one.serial] for one in units)
        self._split(units, min(nominal_w - fixed_w, max(0.0, new_w - fixed_w)))

    def _delta_w(self) -> float:
        delta_w = self.site.grid_w - self.target_w
        if delta_w > 0.0 and self.period_s:
            delta_w *= min(1.0, self.interval_s / (self.period_s + RESPONSE_S))
        return delta_w

    def _split(self, units: list[Seen], total_w: float) -> None:
        nominal_w = sum(one.rated_w for one in units)
        for one in units:
            share_w = min(one.rated_w, max(_least_w(one), math.ceil(total_w * one.rated_w / nominal_w)))
            if abs(share_w - self.limits_w[one.serial]) >= max(LEAST_CHANGE_W, STEP * one.rated_w):
                self._send(one, share_w)

    def _send(self, unit: Seen, watts: float) -> None:
        self.limits_w[unit.serial] = watts
        self.site.limit_w(unit.serial, watts)

    def _in_reach(self) -> list[Seen]:
        return [one for one in self.site.inverters if one.reachable and one.serial in self.limits_w]


def _least_w(unit: Seen) -> float:
    return min(unit.rated_w, max(LEAST_W, unit.min_w))
