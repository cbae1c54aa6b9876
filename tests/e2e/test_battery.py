"""A battery that somebody publishes over MQTT, through the public surfaces: real process, real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from app.checks import running
from tests.conftest import until
from tests.e2e.conftest import Installation

pytestmark = pytest.mark.e2e
BATTERY = {
    "type": "mqtt", "topic": "cellar", "soc_path": "$.soc", "power_path": "$.power", "interval_s": 1, "stale_s": 5,
    "name": "Cellar", "capacity_wh": 10_000,
}  # fmt: skip


@asynccontextmanager
async def published(place: Installation, values: dict[str, Any]) -> AsyncIterator[None]:
    """What the battery tells, twice a second."""

    async def publish() -> None:
        async with aiomqtt.Client(place.mosquitto.host, place.mosquitto.port) as client:
            while True:
                await client.publish("cellar", json.dumps(values))
                await asyncio.sleep(0.5)

    async with running(publish()):
        yield


async def test_a_battery_is_shown_and_missed_when_it_falls_silent(installation: Installation) -> None:
    place = installation
    place.configure(battery=BATTERY)
    values = {"soc": 61.5, "power": 420.0}
    async with published(place, values):
        await place.app.start()
        shown = (await place.app.when(lambda s: (s["battery"] or {}).get("soc_pct") is not None))["battery"]
        assert (shown["name"], shown["soc_pct"], shown["power_w"], shown["fault"]) == ("Cellar", 61.5, 420.0, None)
        assert (shown["capacity_wh"], shown["interval_s"]) == (10_000.0, 1.0)
        values["power"] = -1300.0
        await place.app.when(lambda s: s["battery"]["power_w"] == -1300.0)
        _, metrics = await place.app.ask("GET", "/metrics")
        assert 'zero_export_battery_power_watts{name="Cellar"} -1300.0' in metrics
    silent = await place.app.when(lambda s: "battery" in [fault["key"] for fault in s["faults"]], 30.0)
    assert silent["battery"]["soc_pct"] == 61.5, "what was known last, with its age"
    assert silent["battery"]["age_s"] > 5.0
    assert "mqtt topic cellar: nothing for 3 s" in silent["battery"]["fault"]
    async with published(place, values):
        await place.app.when(lambda s: "battery" not in [fault["key"] for fault in s["faults"]], 30.0)
    await until(lambda: place.app.logged("battery Cellar is back: 62 %, discharging with 1300 W"))
    assert sum("battery: mqtt topic cellar: nothing for 3 s" in line for line in place.app.log) == 1, "once down"
    assert await place.app.stop() == 0
