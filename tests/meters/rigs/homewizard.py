"""HomeWizard meters: version 1 over HTTP, version 2 over its WebSocket and, where that is refused, over HTTPS."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conftest import until
from tests.meters.contract import SILENT_CASES, Case, Rig
from tests.meters.fakes.homewizard import START, TOKEN, FakeHomeWizard
from tests.meters.rigs.http import http_rig

STATUSES = {Case.UNAUTHORISED: 401, Case.FORBIDDEN: 403, Case.NOT_FOUND: 404, Case.BUSY: 429, Case.BROKEN: 500}
INSTEAD = {Case.NULL: None, Case.NAN: float("nan"), Case.TEXT: "n/a", Case.RESTART: 0}
DRIPPING = "a message of a WebSocket is whole or none; over HTTPS it is asked with the same bounds as version 1"


def _v1(power: Any, _stamp_s: float) -> Mapping[str, Any]:
    energy_kwh = 0 if power == 0 else 12.5
    counters = {"total_power_import_kwh": energy_kwh, "total_power_export_kwh": energy_kwh}
    return {"/api/v1/data": {"active_power_w": power, **counters}}


class Device:
    """Version 2, on a WebSocket or without one."""

    def __init__(self, *, websocket: bool) -> None:
        self.fake = FakeHomeWizard(ws_refusal=None if websocket else 503)
        self._websocket = websocket
        self.section = {
            "type": "homewizard",
            "host": self.fake.host,
            "token": TOKEN,
            "interval_s": 0.2,
            "timeout_s": 1.0,
        }

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        fake = self.fake
        fake.deaf, fake.raw, fake.refusal, fake.step_s, fake.valid = case is Case.SILENCE, None, None, 1.0, TOKEN
        fake.document = {"power_w": power_w, "energy_import_kwh": 12.5, "energy_export_kwh": 12.5}
        await (fake.stop() if case is Case.REFUSED else fake.start())
        if case in STATUSES:
            fake.refusal = STATUSES[case]
            fake.drop()
        elif case is Case.MISSING:
            del fake.document["power_w"]
        elif case in INSTEAD:
            fake.document["power_w"] = INSTEAD[case]
            if case is Case.RESTART:
                fake.document |= {"energy_import_kwh": 0, "energy_export_kwh": 0}
        elif case is Case.HTML:
            fake.raw = "<!doctype html><title>Log in</title>"
        elif case is Case.HUGE:
            fake.raw = json.dumps({"type": "measurement", "data": {"power_w": 77, "x": "y" * 100_000}})
        elif case is Case.RESET:
            fake.raw = '{"type": "measurement", "data": {"power_w": 77'
        elif case in SILENT_CASES:
            fake.step_s = 0.0
            if case is Case.OLD:
                fake.now = START
            told = fake.told
            await until(lambda: fake.told >= told + 4)


def _rig(name: str, *, websocket: bool) -> Rig:
    @asynccontextmanager
    async def serve(_folder: Path) -> AsyncIterator[Device]:
        device = Device(websocket=websocket)
        try:
            yield device
        finally:
            await device.fake.stop()

    quick = {
        "app.meters.homewizard.ASK_FOR_S": 1.0,
        "app.meters.homewizard.FIRST_STEP_S": 0.3,
        "app.meters.push.LONGEST_PAUSE_S": 0.5,
    }
    return Rig(name, ("homewizard",), serve, {Case.DRIP: DRIPPING}, quick)


RIGS = [
    http_rig(
        "homewizard v1",
        {"type": "homewizard", "host": "{at}"},
        _v1,
        dict.fromkeys((Case.DUPLICATE, Case.OLD), "version 1 tells no time of its value"),
    ),
    _rig("homewizard v2", websocket=True),
    _rig("homewizard v2 asked", websocket=False),
]
