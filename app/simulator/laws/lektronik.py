"""The controller of lektronik/Solar-Panel-Smart-Metering-Zero-Export-Compliance, re-implemented from its behaviour.

It integrates the grid error at gain 1 from its own last set-point, and sleeps 5 s after each change. When the
inverters feed less than 85 % of the set-point while the house exports, it starts from their power instead; while the
house imports, it lets the set-point climb on purpose. It never asks whether a limit arrived.

In its favour: it is enabled from the start (it starts paused), it sees the inverters' power at once (it waits for
MQTT, up to 5 s later), and `min_watt_percent` is what the inverters need. Numbers are cut to whole watts as it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.simulator.laws import NEW_READING, Law, Seen, Site

TARGET_W = 15.0
TOLERANCE_W = 15.0
MIN_POINT_W = 0.0  # exporting more than this is cut at full gain
SLOW_LIMIT_PCT = 50.0  # of the rated sum: larger cuts are softened ...
SLOW_FACTOR_PCT = 50.0  # ... by this share of themselves
SATURATED_SHARE = 0.85
START_S = 6.0
SETTLE_S = 5.0
LOOP_S = 1.0


@dataclass(frozen=True, slots=True)
class _Settings:
    target_w: float
    tolerance_w: float
    min_point_w: float
    slow_limit_pct: float
    slow_factor_pct: float
    fast_decrease: bool

    def setpoint(self, last_w: int, grid_w: float, power_w: float, low_w: int, high_w: int) -> int:
        """The new set-point of the site."""
        error_w = grid_w - self.target_w
        saturated = power_w < SATURATED_SHARE * last_w and error_w < 0.0
        base_w = power_w if saturated else float(last_w)
        if grid_w < self.min_point_w and self.fast_decrease:
            return _clamp(int(base_w + error_w), low_w, high_w)
        if abs(error_w) <= self.tolerance_w:
            return last_w
        new_w = int(base_w + int(error_w))
        change_w = abs(base_w - new_w)
        if error_w < 0.0 and change_w > int(high_w * self.slow_limit_pct / 100.0):
            new_w += int(change_w * self.slow_factor_pct / 100.0)
        return _clamp(new_w, low_w, high_w)


def lektronik(
    *,
    target_w: float = TARGET_W,
    tolerance_w: float = TOLERANCE_W,
    min_point_w: float = MIN_POINT_W,
    slow_limit_pct: float = SLOW_LIMIT_PCT,
    slow_factor_pct: float = SLOW_FACTOR_PCT,
    fast_decrease: bool = True,
    settle_s: float = SETTLE_S,
) -> Law:
    """The controller with the keys of its `config.yaml`; ``settle_s`` is what it sleeps after a change."""
    settings = _Settings(target_w, tolerance_w, min_point_w, slow_limit_pct, slow_factor_pct, fast_decrease)

    def live(site: Site) -> Iterator[float | None]:
        setpoint_w, sent_w = 0, -1
        yield START_S
        while True:
            units = [one for one in site.inverters if one.reachable]
            if not units:
                yield LOOP_S
                continue
            power_w = sum(one.power_w or 0.0 for one in units)
            low_w, high_w = sum(int(one.min_w) for one in units), sum(int(one.rated_w) for one in units)
            setpoint_w = settings.setpoint(setpoint_w, site.grid_w, power_w, low_w, high_w)
            if setpoint_w == sent_w:
                yield NEW_READING  # it asks the meter again and again without a pause
                continue
            _send(site, units, setpoint_w, high_w)
            sent_w = setpoint_w
            yield settle_s

    return live


def _send(site: Site, units: list[Seen], setpoint_w: int, high_w: int) -> None:
    for one in units:
        share_w = int(setpoint_w * one.rated_w / high_w)
        site.limit_w(one.serial, min(one.rated_w, max(one.min_w, share_w)))


def _clamp(value_w: int, low_w: int, high_w: int) -> int:
    return max(low_w, min(high_w, value_w))
