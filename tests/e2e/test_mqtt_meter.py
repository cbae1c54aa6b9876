"""A meter that somebody publishes over MQTT, through the public surfaces: real process, real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiomqtt
import pytest

from tests.conftest import until
from tests.e2e.conftest import Installation, held

pytestmark = pytest.mark.e2e
TOPIC = "tele/meter/SENSOR"


@asynccontextmanager
async def published(place: Installation, *, retain: bool = False) -> AsyncIterator[None]:
    """What the house takes from the grid, once a second, as a reading head tells it."""

    async def publish() -> None:
        async with aiomqtt.Client(place.mosquitto.host, place.mosquitto.port) as client:
            while True:
                place.house.follow(asyncio.get_running_loop().time())
                message = json.dumps({"SML": {"Power_curr": round(place.house.grid_w)}})
                await client.publish(TOPIC, message, retain=retain)
                await asyncio.sleep(1.0)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_house_is_regulated_by_an_mqtt_meter_and_failed_safe_without_it(installation: Installation) -> None:
    place = installation
    place.configure(meter={"type": "mqtt", "topic": TOPIC, "path": "$.SML.Power_curr", "interval_s": 1})
    async with published(place, retain=True):
        await place.app.start()
        await place.app.when(lambda s: s["mode"] == "limit")
        await held(place)
        place.house.load_override_w = 1100.0
        await until(lambda: place.house.grid_w > 200.0, 10, "the kettle is seen by the house")
        await held(place)
    status = await place.app.when(lambda s: s["mode"] not in ("limit", "hold"), 30.0)
    assert f"mqtt topic {TOPIC}" in json.dumps(status), "it is told which meter is silent"
    await place.app.stop()
    await place.app.start()  # and the retained copy, which is of unknown age, is no reading
    status = await place.app.when(lambda s: "retained copy of unknown age" in json.dumps(s), 30.0)
    assert status["mode"] != "limit"
    assert status["grid_w"] is None
