"""A power on a topic of a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt

from app.checks import running
from tests.conftest import Mosquitto, running_mosquitto
from tests.meters.contract import SILENT_CASES, Case, Rig

TOPIC = "meter/power"
PAYLOADS = {
    Case.MISSING: "{}",
    Case.NULL: '{"p": null, "t": %d, "e": 5}',
    Case.NAN: '{"p": NaN, "t": %d, "e": 5}',
    Case.TEXT: '{"p": "n/a", "t": %d, "e": 5}',
    Case.HTML: "<!doctype html><title>%d</title>",
    Case.RESET: '{"p": 77',
    Case.HUGE: " " * 100_000,
    Case.NOT_FOUND: "",
    Case.RESTART: '{"p": 0, "t": %d, "e": 0}',
}


class Publisher:
    """Publishes again and again what the case says."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self._mosquitto = mosquitto
        self.section = {
            "type": "mqtt", "mqtt": {"host": f"{mosquitto.host}:{mosquitto.port}"}, "topic": TOPIC, "path": "$.p",
            "time_path": "$.t", "import_energy_path": "$.e", "refuse_zeros": True, "interval_s": 0.2,
        }  # fmt: skip
        self._case, self._power_w = Case.SILENCE, 0.0
        self._newest_s = 1000
        self._published = asyncio.Event()

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        self._case, self._power_w = case, power_w
        if case is Case.REFUSED:
            await self._mosquitto.stop()
        elif self._mosquitto.process is None or self._mosquitto.process.returncode is not None:
            await self._mosquitto.start()
        for _ in range(3 if case in SILENT_CASES else 0):
            self._published.clear()
            await self._published.wait()

    async def run(self) -> None:
        """Publish for ever; a broker that is away is waited for."""
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(self._mosquitto.host, self._mosquitto.port) as client:
                    while True:
                        await self._publish(client)
                        await asyncio.sleep(0.1)
            await asyncio.sleep(0.1)

    async def _publish(self, client: aiomqtt.Client) -> None:
        case = self._case
        if case in (Case.SILENCE, Case.REFUSED):
            return
        if case not in SILENT_CASES:
            self._newest_s += 1
        stamp_s = 5 if case is Case.OLD else self._newest_s
        good: dict[str, Any] = {"p": self._power_w, "t": stamp_s, "e": 5}
        template = PAYLOADS.get(case, json.dumps(good))
        await client.publish(TOPIC, template % stamp_s if "%d" in template else template, qos=1)
        self._published.set()


@asynccontextmanager
async def _serve(folder: Path) -> AsyncIterator[Publisher]:
    async with running_mosquitto(folder) as mosquitto:
        publisher = Publisher(mosquitto)
        async with running(publisher.run()):
            yield publisher


RIGS = [
    Rig(
        "mqtt",
        ("mqtt",),
        _serve,
        {
            Case.UNAUTHORISED: "the login is the broker's: tests/test_broker.py",
            Case.FORBIDDEN: "a denied topic is silence",
            Case.BUSY: "a broker has no such answer",
            Case.BROKEN: "a broker has no such answer",
            Case.DRIP: "a message is whole or none",
        },
    )
]
