"""The five-second integrator, as in the widely forked script `nulleinspeisung.py` of Selbstbau-PV (May 2023).

Every 5 s the new limit is the old one plus what the house imports too much, clamped. No deadband, no memory: the old
limit is what OpenDTU shows, so a lost command is never built upon.

In its favour: the script knows one inverter, here it splits the sum over several by their rating. Limits that OpenDTU
does not know yet count as 100 % (the script would count -1 W), and changes too small for the steps in which limits are
shown are not sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.simulator.laws import Law, Seen, Site

LOOP_S = 5.0
TARGET_W = 15.0  # the script's own is 5
LEAST_CHANGE = 0.002  # of rated power; OpenDTU cuts what it shows to 0.1 %


def integrator(*, target_w: float = TARGET_W, loop_s: float = LOOP_S) -> Law:
    """The script, importing ``target_w`` and sleeping ``loop_s`` between its corrections."""

    def live(site: Site) -> Iterator[float | None]:
        while True:
            units = [one for one in site.inverters if one.reachable]
            if units:
                old_w = sum(known_limit_w(one) for one in units)
                split_by_rating(site, units, old_w + site.grid_w - target_w)
            yield loop_s

    return live


def known_limit_w(unit: Seen) -> float:
    """The limit that OpenDTU shows, in whole watts; rated power while it shows none."""
    return float(int(unit.rated_w if unit.limit_w is None else unit.limit_w))


def split_by_rating(site: Site, units: Sequence[Seen], total_w: float) -> None:
    """Send each inverter its share by rated power, within its own bounds, unless it has that limit already."""
    rated_w = sum(one.rated_w for one in units)
    for one in units:
        share_w = min(one.rated_w, max(one.min_w, total_w * one.rated_w / rated_w))
        if not one.acked or abs(share_w - known_limit_w(one)) >= LEAST_CHANGE * one.rated_w:
            site.limit_w(one.serial, share_w)
