"""The whole controller as Venus OS sees it, and as it must not see itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from app.checks import running
from app.simulator.shelly_bodies import Fault
from tests.api.test_venus import problems
from tests.conftest import Mosquitto, until
from tests.e2e.conftest import Installation
from tests.meters.fakes.venus import FakeVenus

pytestmark = pytest.mark.e2e

Heard = list[tuple[str, dict[str, Any]]]


@asynccontextmanager
async def listening(mosquitto: Mosquitto, topic: str) -> AsyncIterator[Heard]:
    """What is published there, in order."""
    heard: Heard = []

    async def listen() -> None:
        async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
            await client.subscribe(f"{topic}/#")
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                assert not message.retain
                heard.append((message.topic.value, json.loads(message.payload)))

    async with running(listen()):
        yield heard


async def test_the_house_appears_in_venus_and_its_grid_meter_goes_with_our_meter(installation: Installation) -> None:
    place = installation
    place.configure(venus={"topic": "my/venus", "interval_s": 1})
    async with listening(place.mosquitto, "my/venus") as heard:
        await place.app.start()
        await until(
            lambda: sum(topic == "my/venus" and set(told) == {"grid", "pv"} for topic, told in heard) >= 3, 30.0
        )
        whole = [told for topic, told in heard if topic == "my/venus"]
        assert [problem for told in whole for problem in problems(told)] == []
        last = whole[-1]
        assert len(last["grid"].keys() & {"L1", "L2", "L3"}) == 3
        assert last["grid"]["energy_forward"] >= 0.0
        assert last["pv"]["energy_forward"] > 0.0

        place.shelly.fault = Fault.DOWN
        await place.app.when(lambda s: s.get("mode") == "fail_safe")
        heard.clear()
        await until(lambda: len([1 for topic, _ in heard if topic == "my/venus"]) >= 3, 20.0)
        assert {topic for topic, _ in heard} == {"my/venus", "my/venus/pv"}, "no grid power, neither old nor made up"
        place.shelly.fault = None
        await until(lambda: any(topic == "my/venus/grid" for topic, _ in heard), 20.0, "the grid meter is back")
        assert await place.app.stop() == 0
    assert await place.retained("my/venus") is None


async def test_our_own_grid_power_in_a_gx_device_is_never_our_reading(installation: Installation) -> None:
    place, venus = installation, FakeVenus(installation.mosquitto)
    ours = {"ProductName": "MQTT Grid", "Mgmt/ProcessName": "/data/etc/dbus-mqtt-grid/dbus-mqtt-grid.py"}
    await venus.appear(100, **ours, **{"Ac/L1/Power": 200})
    broker = {"host": "127.0.0.1", "port": place.mosquitto.port}
    place.configure(meter={"type": "victron", "mqtt": broker, "instance": 100}, venus=None)
    async with venus.serve(), listening(place.mosquitto, "zero-export/venus") as heard:
        await place.app.start()
        status = await place.app.when(lambda s: "feed back on itself" in str((s.get("meter") or {}).get("fault")))
        assert status["grid_w"] is None
        await place.app.when(lambda s: s["mode"] == "fail_safe")
        assert not [told for _, told in heard if "grid" in told]
        assert await place.app.stop() == 0
