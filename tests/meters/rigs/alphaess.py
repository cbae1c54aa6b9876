"""AlphaESS's cloud as a meter. Its login is no HTTP login: what is refused comes as a code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.meters.contract import Case, Rig
from tests.meters.fakes.alphaess import FakeCloud
from tests.meters.fakes.web import HABITS, REFUSALS

VALUES: dict[Case, Any] = {Case.MISSING: ..., Case.NULL: None, Case.NAN: float("nan"), Case.TEXT: "n/a"}
NO_TIME = dict.fromkeys((Case.DUPLICATE, Case.OLD), "its answers carry no time of the value")


class _Cloud(FakeCloud):
    """One that behaves as the contract says."""

    def __init__(self) -> None:
        super().__init__()
        self.section = {"type": "alphaess", **self.login, "interval_s": 0.2, "timeout_s": 0.5}

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        system = self.system
        system.changes = {"pgrid": VALUES[case]} if case in VALUES else {}
        system.battery_w, system.grid_w = 0.0, power_w
        self.nothing = case is Case.RESTART
        self.code = 6007 if case is Case.UNAUTHORISED else None
        self.refusal = REFUSALS.get(case.name)
        self.habit = "hang" if case is Case.SILENCE else HABITS.get(case.name, "")
        await (self.stop() if case is Case.REFUSED else self.start())


@asynccontextmanager
async def _serve(_folder: Path) -> AsyncIterator[_Cloud]:
    async with _Cloud().serve() as cloud:
        yield cloud


RIGS = [
    Rig(
        "alphaess",
        ("alphaess",),
        _serve,
        NO_TIME,
        quick={
            "app.alphaess.config.SHORTEST_S": 0.1,
            "app.alphaess.refusals.LASTING_PAUSE_S": 0.3,
            "app.alphaess.refusals.LONGEST_PAUSE_S": 0.4,
            "app.alphaess.refusals.LONGEST_BUSY_S": 0.4,
        },
    )
]
