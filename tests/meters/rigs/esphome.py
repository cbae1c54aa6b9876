"""An ESPHome device, by its stream and where that is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.checks import running
from tests.meters.contract import Case, Rig
from tests.meters.fakes.esphome import FakeEspHome
from tests.meters.fakes.web import HABITS, REFUSALS

NAME = "Grid Power"
VALUES: dict[Case, Any] = {Case.NULL: None, Case.NAN: float("nan"), Case.TEXT: "n/a", Case.MISSING: ...}
PUBLISHED = (Case.GOOD, Case.EXPORT, *VALUES)
MISSING = {
    Case.DUPLICATE: "its events carry no time of the value",
    Case.OLD: "its events carry no time of the value",
    Case.RESTART: "it tells no counters, and null until something was measured",
}


class _Device:
    """A sensor that publishes again and again."""

    def __init__(self, fake: FakeEspHome) -> None:
        self._fake = fake
        self.section: dict[str, Any] = {
            "type": "esphome", "host": fake.host, "sensor": NAME, "interval_s": 0.5, "timeout_s": 0.5,
        }  # fmt: skip
        self._case, self._value = Case.SILENCE, 0.0

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        fake = self._fake
        fake.refusal, fake.habit = REFUSALS.get(case.name), HABITS.get(case.name, "")
        fake.login = ("me", "secret") if case is Case.UNAUTHORISED else None
        fake.mute = case is Case.SILENCE
        self._case, self._value = case, VALUES.get(case, power_w)
        if case is Case.REFUSED:
            await fake.stop()
            return
        await fake.start()
        if case not in (*PUBLISHED, Case.SILENCE):
            fake.drop()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            if self._case in PUBLISHED:
                await self._fake.publish(NAME, self._value, decimals=2)
            await asyncio.sleep(0.1)


def _rig(name: str, *, stream: bool) -> Rig:
    @asynccontextmanager
    async def serve(_folder: Path) -> AsyncIterator[_Device]:
        fake = FakeEspHome(ping_s=0.2)
        fake.stream = stream
        device = _Device(fake)
        async with fake.serve(), running(device.run()):
            yield device

    return Rig(name, ("esphome",), serve, MISSING)


RIGS = [_rig("esphome", stream=True), _rig("esphome asked", stream=False)]
