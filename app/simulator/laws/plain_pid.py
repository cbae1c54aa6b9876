"""A plain PID controller made with simple-pid, the way its own documentation shows: the naive use.

The controlled value is the grid power, the output the limit of the site between the inverters' minima and their
ratings, split by rating. The library clamps its integral to these limits and does nothing else against windup.

In its favour: loop and gains are those of a careful user, the best that a search found for dead times of 1 to 3 s
(stable at both; 5 s and 0.2 per second are worse in both energies), the first output is the full rating that the
inverters start with, and changes too small for the steps of the air are not sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from simple_pid import PID

from app.simulator.laws import Law, Site
from app.simulator.laws.integrator import split_by_rating

LOOP_S = 3.0
TARGET_W = 15.0
KP = 0.1
KI_PER_S = 0.15


def plain_pid(
    *, target_w: float = TARGET_W, loop_s: float = LOOP_S, kp: float = KP, ki_per_s: float = KI_PER_S, kd_s: float = 0.0
) -> Law:
    """A PID on the grid power around ``target_w``, computed every ``loop_s``."""

    def live(site: Site) -> Iterator[float | None]:
        # More output means less import: all gains are negative.
        pid = PID(-kp, -ki_per_s, -kd_s, setpoint=target_w, sample_time=None, time_fn=lambda: 0.0)
        pid.set_auto_mode(False)
        while True:
            units = [one for one in site.inverters if one.reachable]
            if units:
                most_w = sum(one.rated_w for one in units)
                pid.output_limits = (sum(one.min_w for one in units), most_w)
                if not pid.auto_mode:
                    pid.set_auto_mode(True, last_output=most_w)
                split_by_rating(site, units, float(pid(site.grid_w, dt=loop_s) or 0.0))
            yield loop_s

    return live
