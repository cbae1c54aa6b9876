"""An OpenDTU house with an Enphase gateway beside it: all that it tells is shown, and control does not care."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from tests.e2e.conftest import Installation, until
from tests.enphase.fake_envoy import FakeEnvoy

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def hearing(port: int, topics: str) -> AsyncIterator[dict[str, Any]]:
    """The last document on each topic."""
    heard: dict[str, Any] = {}

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(topics)
            ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                heard[message.topic.value] = json.loads(message.payload)

    ready = asyncio.Event()
    task = asyncio.create_task(listen())
    await ready.wait()
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_the_gateway_tells_is_recorded_shown_and_published(installation: Installation) -> None:
    fake = FakeEnvoy("8", now=True)
    async with (
        installation as place,
        fake.gateway.serve(),
        hearing(place.mosquitto.port, "enphase/envoy-s/#") as heard,
    ):
        place.configure(enphase={**fake.login(), "interval_s": 1, "publish": {"interval_s": 1}})
        await place.app.start()
        status = await place.app.when(lambda s: bool(s["enphase"] and s["enphase"]["battery"]))
        meters = {meter["kind"]: meter["power_w"] for meter in status["enphase"]["meters"]}
        assert meters == {"pv": 782.5, "grid": -36.162, "consumption": 746.338}
        assert [one["power_w"] for one in status["enphase"]["microinverters"]] == [50.0, 60.0, 70.0]
        assert status["grid_w"] != -36.162, "control has a meter of its own"
        await until(lambda: len(heard) == 4, what="the four documents")
        assert heard["enphase/envoy-s/meters"]["grid"]["L1"]["power_appearent"] == 127.5
        assert heard["enphase/envoy-s/devices"]["relais"]["122100000001"]["relay"] == "closed"
        _, metrics = await place.app.ask("GET", "/metrics")
        assert 'zero_export_envoy_power_watts{kind="pv",phase="L3"} 2.5\n' in metrics
        async with fake.gateway.away():
            await place.app.when(lambda s: not s["enphase"]["meters"] or s["enphase"]["meters"][0]["age_s"] > 3.0)
            status = await place.app.when(lambda s: s["mode"] == "limit" and s["ages"]["meter_s"] < 2.0)
            assert "enphase" not in [fault["key"] for fault in status["faults"]]
        await place.app.when(lambda s: (s["enphase"]["meters"] or [{"age_s": 99}])[0]["age_s"] < 3.0, 60.0)
        assert await place.app.stop() == 0
        database = sqlite3.connect(place.folder / "data" / "telemetry.db")
        counts = {
            name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("envoy_meter", "microinverter", "envoy_device", "envoy_battery")
        }
        database.close()
        assert counts["envoy_meter"] >= 24
        assert (counts["microinverter"], counts["envoy_device"]) == (3, 6)
        assert counts["envoy_battery"] == 1
        assert fake.gateway.valid not in "".join(place.app.log)
