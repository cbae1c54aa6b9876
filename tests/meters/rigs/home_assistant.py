"""Home Assistant, over its WebSocket and where a proxy lets none through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.meters.contract import Case, Rig
from tests.meters.fakes.home_assistant import TOKEN, FakeHomeAssistant
from tests.meters.fakes.web import HABITS, REFUSALS

GRID = "sensor.grid_power"
STATES = {Case.NULL: "unknown", Case.NAN: "nan", Case.TEXT: "n/a"}
STANDS_STILL = "a value that stands still is one of now for as long as it answers"
MISSING = {
    Case.DUPLICATE: STANDS_STILL,
    Case.OLD: STANDS_STILL,
    Case.RESTART: "it tells no counters, and unknown or unavailable after a restart",
}


class _House:
    """An entity that is told again and again."""

    def __init__(self, fake: FakeHomeAssistant) -> None:
        self._fake = fake
        self.section: dict[str, Any] = {
            "type": "home_assistant", "url": fake.url, "token": TOKEN, "entity": GRID,
            "interval_s": 0.2, "timeout_s": 0.5,
        }  # fmt: skip

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        fake = self._fake
        fake.refusal, fake.habit = REFUSALS.get(case.name), HABITS.get(case.name, "")
        fake.token = "another" if case is Case.UNAUTHORISED else TOKEN
        fake.mute = case is Case.SILENCE
        if case is Case.REFUSED:
            await fake.stop()
            return
        await fake.start()
        if case is Case.MISSING:
            await fake.remove(GRID)
        elif case in STATES:
            await fake.set(GRID, STATES[case])
        elif case in (Case.GOOD, Case.EXPORT):
            await fake.set(GRID, power_w)
        elif case is not Case.SILENCE:
            fake.drop()


def _rig(name: str, *, websocket: bool) -> Rig:
    @asynccontextmanager
    async def serve(_folder: Path) -> AsyncIterator[_House]:
        fake = FakeHomeAssistant()
        fake.websocket = websocket
        async with fake.serve():
            yield _House(fake)

    return Rig(name, ("home_assistant",), serve, MISSING)


RIGS = [_rig("home_assistant", websocket=True), _rig("home_assistant asked", websocket=False)]
