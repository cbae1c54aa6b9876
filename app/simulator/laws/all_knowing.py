"""No product: a law that is told what the house takes and what its battery would take, and has the same radio as all.

It shows how much of what is beyond the deadbeat reference is the radio's, which serves one inverter after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.simulator.trial import Plant

TARGET_W = 15.0
LOOK_S = 0.1
LEAST_CUT_W, LEAST_RAISE_W = 15.0, 30.0  # as ours


def all_knowing(plant: Plant) -> Iterator[float | None]:
    """With each reading the load that it is of is known, and what the battery would take at that moment."""
    house = plant.house
    loads_w: deque[float] = deque(maxlen=round((house.config.meter.window_s + house.config.meter.latency_s) / LOOK_S))
    averaged = round(house.config.meter.window_s / LOOK_S)
    given_w, shown_s = float("inf"), -1.0
    while True:
        loads_w.append(sum(house.load_w))
        if plant.grid_at_s != shown_s:
            shown_s = plant.grid_at_s
            wants_w = house.battery.wants_w if house.battery is not None else 0.0
            goal_w = fmean(list(loads_w)[:averaged]) + wants_w - TARGET_W
            if not -LEAST_CUT_W <= goal_w - given_w <= LEAST_RAISE_W:
                given_w = goal_w
                rated_w = sum(one.rated_w for one in plant.published)
                for one in plant.published:
                    plant.limit_w(one.serial, min(one.rated_w, max(one.min_w, goal_w * one.rated_w / rated_w)))
        yield LOOK_S
