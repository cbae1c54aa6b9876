"""A driver that runs, and what it has said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.meters.base import Meter
from app.model import DeviceError, Reading
from tests.conftest import until


@dataclass
class Followed:
    """The outcomes of a driver, in order."""

    outcomes: list[Reading | DeviceError] = field(default_factory=list)

    @property
    def readings(self) -> list[Reading]:
        return [one for one in self.outcomes if isinstance(one, Reading)]

    @property
    def powers_w(self) -> set[float]:
        return {reading.power_w for reading in self.readings}

    @property
    def errors(self) -> list[DeviceError]:
        return [one for one in self.outcomes if isinstance(one, DeviceError)]

    async def reads(self, power_w: float) -> Reading:
        """Wait until it says this power, now or later."""
        await until(lambda: power_w in self.powers_w, 10.0, f"{power_w} W; it said {self.outcomes[-3:]}")
        return next(reading for reading in self.readings if reading.power_w == power_w)

    async def says(self, text: str) -> DeviceError:
        """Wait until it says this, now or later."""
        await until(lambda: any(text in str(e) for e in self.errors), 10.0, f"{text!r}; it said {self.outcomes[-3:]}")
        return next(error for error in self.errors if text in str(error))

    def forget(self) -> None:
        self.outcomes.clear()


@asynccontextmanager
async def following(meter: Meter) -> AsyncIterator[Followed]:
    """The driver at work; it may not end by itself."""
    followed = Followed()
    task = asyncio.create_task(meter.run(followed.outcomes.append))
    try:
        yield followed
        assert not task.done(), "a driver runs for ever"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
