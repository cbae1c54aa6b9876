"""A cloudy day of a house with a GoodWe, in virtual time: what a budget of writes costs, beside the law without one.

``python -m tests.inverters.cloudy_day`` prints the whole day.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

from app.control import Controller, ControlSettings
from app.inverters.goodwe import GoodWeConfig
from app.inverters.goodwe.device import Device
from app.inverters.goodwe.limiter import Limiter
from app.inverters.goodwe.memory import Memory
from app.inverters.goodwe.profiles import Register
from app.kept import Kept
from app.model import Ac, InverterState, MeterState, Reading, Settings, Snapshot

DAWN_H, DUSK_H = 6.0, 20.0
PEAK_W, RATED_W, DEAD_TIME_S = 4600.0, 5000.0, 2.0
MIDNIGHT_UTC_S = 1_700_006_400.0  # 2023-11-15 00:00 UTC


@dataclass
class Weather:
    """Broken clouds, and a household: the same for every law."""

    seed: int = 1
    cloud: float = 1.0
    aim: float = 1.0
    until_s: float = 0.0
    loads: list[tuple[float, float]] = field(default_factory=list)  # until when, watts

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def step(self, at_s: float, dt_s: float) -> tuple[float, float]:
        """Sun and load at a second of the day."""
        if at_s >= self.until_s:
            covered = self.aim > 0.6
            self.aim = self._random.uniform(0.15, 0.5) if covered else self._random.uniform(0.8, 1.0)
            self.until_s = at_s + self._random.expovariate(1.0 / (90.0 if covered else 140.0)) + 10.0
        self.cloud += (self.aim - self.cloud) * min(1.0, dt_s / 6.0)
        hour = at_s / 3600.0
        clear = max(0.0, math.sin(math.pi * (hour - DAWN_H) / (DUSK_H - DAWN_H)))
        for every_s, watts, length_s in ((900.0, 2000.0, 150.0), (500.0, 120.0, 600.0), (2400.0, 1100.0, 1500.0)):
            if self._random.random() < dt_s / every_s and len(self.loads) < 6:
                self.loads.append((at_s + length_s * self._random.uniform(0.5, 1.5), watts))
        self.loads = [one for one in self.loads if one[0] > at_s]
        return PEAK_W * clear * self.cloud, 350.0 + sum(watts for _, watts in self.loads)


class Registers:
    """Stands where the device stands."""

    def __init__(self) -> None:
        self.holds = {291: 0, 256: 100}

    async def held(self, registers: tuple[Register, ...]) -> dict[int, int]:
        return {one.address: self.holds[one.address] for one in registers}

    async def write(self, register: Register, value: int) -> None:
        self.holds[register.address] = value

    @property
    def limit_w(self) -> float:
        return self.holds[256] * RATED_W / 100.0 if self.holds[291] else RATED_W


class Forgetful:
    """Stands where the file stands."""

    def read(self) -> Memory:
        return Memory()

    async def save(self, _memory: Memory) -> None:
        """Not in virtual time."""


@dataclass
class Day:
    """What came of it, in watt hours and writes. ``most_w``: the worst mean export over a minute."""

    writes: int = 0
    export_wh: float = 0.0
    missed_wh: float = 0.0
    used_wh: float = 0.0
    writes_by: list[int] = field(default_factory=list)  # at each full hour

    def __str__(self) -> str:
        return (
            f"{self.writes:5d} writes  export {self.export_wh:6.0f} Wh  "
            f"missed {self.missed_wh:6.0f} Wh  used {self.used_wh:6.0f} Wh"
        )


async def lived(
    *, begin_h: float = 6.0, end_h: float = 20.5, tick_s: float = 1.0, paced: bool = True, seed: int = 1, **keys: Any
) -> Day:
    """A day with the controller. ``paced``: it is told the driver's ``pace_s`` and ``step_w``."""
    now_s, day, weather, registers = begin_h * 3600.0, Day(), Weather(seed), Registers()
    given = {"type": "goodwe", "name": "roof", "host": "127.0.0.1:9", "max_watt": RATED_W, **keys}
    config = GoodWeConfig.model_validate(given)
    limiter = Limiter(
        config, cast(Device, registers), cast(Kept[Memory], Forgetful()), lambda: now_s, lambda: MIDNIGHT_UTC_S + now_s
    )
    await limiter.look()
    controller, limits, pv_w = Controller(ControlSettings()), deque([(now_s, RATED_W)]), 0.0
    while now_s < end_h * 3600.0:
        now_s += tick_s
        sun_w, load_w = weather.step(now_s, tick_s)
        limits.append((now_s, registers.limit_w))
        while len(limits) > 1 and limits[1][0] <= now_s - DEAD_TIME_S:
            limits.popleft()
        pv_w = min(sun_w, limits[0][1])
        hours = tick_s / 3600.0
        day.export_wh += max(0.0, pv_w - load_w) * hours
        day.used_wh += min(pv_w, load_w) * hours
        day.missed_wh += max(0.0, min(sun_w, load_w) - pv_w) * hours
        state = InverterState(
            serial="roof", name="roof", max_w=limiter.max_w, min_w=config.floor_w, reachable=True, producing=True,
            ac=Ac(power_w=pv_w), power_at_s=now_s, utc_s=now_s, data_seq=int(now_s), commanded_w=limiter.commanded_w,
            commanded_at_s=limiter.commanded_at_s, acked_w=limiter.acked_w, acked_at_s=now_s, resets=limiter.resets,
            radio="roof", guardable=False,
            pace_s=limiter.pace_s if paced else 0.0, step_w=limiter.step_w if paced else 0.0,
        )  # fmt: skip
        reading = Reading(load_w - pv_w, now_s, now_s)
        meter = MeterState(reading, None, tick_s, 100)
        decision = controller.step(Snapshot(now_s, now_s, meter, (state,), Settings()))
        for command in decision.commands:
            await limiter.hold(command.limit_w)
        if len(day.writes_by) < (now_s - 3600.0 * begin_h) // 3600.0:
            day.writes_by.append(limiter.writes_today)
    day.writes = limiter.writes_today
    return day


async def _main() -> None:
    for name, keys in (
        ("no pace, no budget", {"paced": False, "writes_per_day": 100_000}),
        ("pace 10 s, no budget", {"writes_per_day": 100_000}),
        *((f"{writes} writes", {"writes_per_day": writes}) for writes in (150, 300, 600, 1000)),
    ):
        day = await lived(**cast(Any, keys))
        print(f"{name:24} {day}  by hour {day.writes_by[-13::2]}")


if __name__ == "__main__":
    asyncio.run(_main())
