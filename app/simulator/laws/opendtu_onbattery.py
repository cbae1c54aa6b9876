"""The dynamic power limiter of OpenDTU-OnBattery (March 2026) for solar inverters, re-implemented from its behaviour.

Inside OpenDTU, as soon as its gates open: no command pending; statistics of every inverter newer than its last
acknowledged command; a meter value more than 2 s newer than these; a back-off of 0.1 to 1 s while nothing changes.
Then the wanted output is what the inverters feed plus the grid error. Reductions go first to the inverter that can give
up most, increases to the one that has most room: none where no tracker delivers its share of the limit. A silent meter
means the base load. ``overscaling`` (off by default) raises limits to make up for shaded trackers where the inverter
does not do so itself; on unshaded roofs it acts on old statistics, and oscillates.

In its favour: every meter value is noticed at once (by default it asks every 10 s), statistics count from when they
were asked for, a limit that is in force and obeyed is not repeated, and its maxima are the ratings (800 W).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.simulator.laws import Law, Seen, Site

TARGET_W = 15.0  # its default is 0
HYSTERESIS_W = 0.0
BASE_LOAD_W = 100.0
TICK_S = 0.1
METER_LAG_S, METER_SILENT_S = 2.0, 30.0
BACKOFF_S, BACKOFF_MOST_S = 0.128, 1.024
FAILED_S = 12.0  # five tries of 2 s, and a place in the queue; then a new limit is worked out
DELIVERS, DELIVERS_LOW, LOW_INCREASE, LOW_SCALING = 0.97, 0.8, 0.15, 0.16  # of its share; low: of rated power
SCALING_FROM_W, STEP, OBEYS = 20.0, 0.001, 1.05  # per tracker; of rated power; of a limit


def opendtu_onbattery(
    *, target_w: float = TARGET_W, hysteresis_w: float = HYSTERESIS_W, overscaling: bool = False
) -> Law:
    """The limiter, importing ``target_w``; errors below ``hysteresis_w`` are left alone."""
    return lambda site: _Limiter(site, target_w, hysteresis_w, overscaling).run()


@dataclass(slots=True)
class _Limiter:
    site: Site
    target_w: float
    hysteresis_w: float
    overscaling: bool
    sent_s: dict[str, float] = field(default_factory=dict)
    stats_s: dict[str, float] = field(default_factory=dict)

    def run(self) -> Iterator[float | None]:
        """Look at the gates all the time."""
        backoff_s, calculated_s = 0.0, float("-inf")
        while True:
            yield TICK_S
            units = [one for one in self.site.inverters if one.reachable]
            if not units or self._pending(units):
                continue
            since_s = self._statistics_s(units)
            silent = self.site.now_s - self.site.grid_at_s > METER_SILENT_S
            if since_s is None or (not silent and self.site.grid_at_s <= since_s + METER_LAG_S):
                continue
            if self.site.now_s - calculated_s >= backoff_s:
                calculated_s = self.site.now_s
                sent = self._calculate(units, silent=silent)
                backoff_s = BACKOFF_S if sent else min(BACKOFF_MOST_S, 2.0 * backoff_s)

    def _pending(self, units: Sequence[Seen]) -> bool:
        """Whether to wait for answers; inverters whose limit is unknown are sent their minimum first."""
        for one in units:
            if one.limit_w is None and one.serial not in self.sent_s:
                self._send(one, one.min_w)
        young_s = self.site.now_s - FAILED_S
        return any(not one.acked and self.sent_s.get(one.serial, young_s) > young_s for one in units)

    def _statistics_s(self, units: Sequence[Seen]) -> float | None:
        """The time of each inverter's first statistics since its last acknowledged command; the latest of these."""
        for one in units:
            if self.stats_s.get(one.serial, one.acked_at_s) < one.acked_at_s:
                del self.stats_s[one.serial]
            if one.power_at_s is None or one.power_at_s < one.acked_at_s or one.limit_w is None:
                return None
            self.stats_s.setdefault(one.serial, one.power_at_s)
        return max(self.stats_s[one.serial] for one in units)

    def _calculate(self, units: list[Seen], *, silent: bool) -> bool:
        """Share the wanted output out; whether anything was sent."""
        feeding_w = sum(_power_w(one) for one in units)
        wanted_w = BASE_LOAD_W if silent else feeding_w + round(self.site.grid_w) - self.target_w
        wanted_w = min(max(0.0, wanted_w), sum(one.rated_w for one in units))
        hysteresis_w = self.hysteresis_w if wanted_w > 0.0 else 0.0
        rest_w, down = abs(wanted_w - feeding_w), wanted_w < feeding_w
        room, before = _reducible_w if down else _increasable_w, dict(self.sent_s)
        for one in sorted(units, key=room, reverse=True):
            if rest_w < max(1.0, hysteresis_w) or room(one) < hysteresis_w:
                continue
            part_w, by_power = min(rest_w, room(one)), down or self._scales(one)
            self._output(one, (_power_w(one) if by_power else one.limit_w or 0.0) + (-part_w if down else part_w))
            rest_w -= part_w
        return before != self.sent_s

    def _output(self, unit: Seen, watts: float) -> None:
        watts = min(unit.rated_w, max(unit.min_w, watts))
        watts = _scaled_w(unit, watts) if self._scales(unit) else watts
        same = unit.limit_w is not None and abs(watts - unit.limit_w) < STEP * unit.rated_w
        if not same or _power_w(unit) > OBEYS * watts:
            self._send(unit, watts)

    def _scales(self, unit: Seen) -> bool:
        return self.overscaling and not unit.pdl

    def _send(self, unit: Seen, watts: float) -> None:
        self.sent_s[unit.serial] = self.site.now_s
        self.site.limit_pct(unit.serial, watts / unit.rated_w * 100.0)


def _power_w(unit: Seen) -> float:
    return float(int(unit.power_w or 0.0))


def _share_w(unit: Seen, limit_w: float, low: float) -> float:
    """What each tracker has to deliver at this limit to count as held back by it."""
    return limit_w / unit.mppts * (DELIVERS if limit_w > low * unit.rated_w else DELIVERS_LOW)


def _reducible_w(unit: Seen) -> float:
    return max(0.0, _power_w(unit) - unit.min_w)


def _increasable_w(unit: Seen) -> float:
    limit_w, power_w = unit.limit_w or 0.0, _power_w(unit)
    if power_w == 0.0:
        return unit.rated_w
    held_w = [watts for watts in unit.mppt_w if watts >= _share_w(unit, limit_w, LOW_INCREASE)]
    headroom_w = (unit.rated_w - limit_w) * (1.0 if unit.pdl else len(held_w) / unit.mppts)
    trackers_w = sum(unit.rated_w / unit.mppts - watts for watts in held_w)
    return max(0.0, min(unit.rated_w - power_w, headroom_w, trackers_w))


def _scaled_w(unit: Seen, wanted_w: float) -> float:
    """The limit at which the trackers in the sun make up for those in the shade."""
    limit_w, power_w = unit.limit_w or 0.0, _power_w(unit)
    if unit.mppts == 1 or power_w == 0.0 or limit_w < unit.mppts * SCALING_FROM_W:
        return wanted_w
    shaded_w = [watts for watts in unit.mppt_w if watts < _share_w(unit, limit_w, LOW_SCALING)]
    then_shaded_w = [watts for watts in unit.mppt_w if watts < _share_w(unit, wanted_w, LOW_SCALING)]
    all_shaded = len(shaded_w) == unit.mppts
    if not shaded_w or not then_shaded_w or (all_shaded and wanted_w >= limit_w):
        return wanted_w
    if all_shaded and (wanted_w >= power_w or len(then_shaded_w) == unit.mppts):
        return limit_w
    dark_w = then_shaded_w if all_shaded else shaded_w
    return max(wanted_w, min(unit.rated_w, (wanted_w - sum(dark_w)) / (unit.mppts - len(dark_w)) * unit.mppts))
