"""A gateway asked for all that it tells, over HTTP as it speaks it, and what reaches a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from app.access import Access
from app.broker import Address, Broker
from app.enphase import meters
from app.enphase import telemetry as module
from app.enphase.section import EnphaseSection
from app.enphase.sources import PATIENCE_S, REFUSED_S
from app.enphase.telemetry import EnvoyTelemetry
from app.model import EnvoyState
from app.outbound import new_session
from tests.conftest import Mosquitto, until
from tests.enphase.fake_envoy import PATHS, FakeEnvoy

LONG_S = 100_000.0


@asynccontextmanager
async def listening(fake: FakeEnvoy, access: Access, **keys: Any) -> AsyncIterator[EnvoyTelemetry]:
    """Telemetry that asks a gateway, as fast as a test wants it."""
    section = EnphaseSection.model_validate({**fake.login(), **keys})
    fast = section.model_copy(update={"interval_s": 0.05, "slow_interval_s": 0.1})
    telemetry = EnvoyTelemetry(fast, access)
    tasks = [asyncio.ensure_future(edge()) for edge in telemetry.edges().values()]
    try:
        yield telemetry
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORT_EVERY_S", 0.1)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.3)
    monkeypatch.setattr("app.enphase.sources.LONGEST_PAUSE_S", 0.3)
    monkeypatch.setattr("app.enphase.sources.REFUSED_PAUSE_S", 0.1)


def now(telemetry: EnvoyTelemetry) -> EnvoyState:
    return telemetry.state(time.monotonic())


def complete(state: EnvoyState) -> bool:
    lists = (state.microinverters, state.devices, state.battery, state.events, state.software)
    energies = bool(state.meters) and state.meters[0].total.today_wh is not None
    return energies and all(one is not None for one in lists)


@pytest.mark.parametrize("firmware", ["5", "8"])
async def test_everything_that_it_tells_is_known(firmware: str, access: Access) -> None:
    fake = FakeEnvoy(firmware)
    async with fake.gateway.serve(), listening(fake, access) as telemetry:
        await until(lambda: complete(now(telemetry)), what="all documents")
        state = now(telemetry)
        assert (state.serial, state.software) == (fake.gateway.serial, {"5": "D5.0.62", "8": "D8.3.5528"}[firmware])
        assert {meter.kind: round(meter.total.power_w or 0.0, 3) for meter in state.meters} == {
            "pv": 782.5,
            "grid": -36.162,
            "consumption": 746.338,
        }
        assert state.meters[0].total.today_wh == 4200.25
        assert [one.power_w for one in state.microinverters or ()] == [50.0, 60.0, 70.0]
        kinds = [one.kind for one in state.devices or ()]
        assert kinds == ["inverter"] * 3 + ["relay"] + ["battery"] * 2
        assert state.battery is not None
        assert (state.battery.soc_pct, state.battery.power_w) == (62.0, 750.5)
        assert len(state.events or ()) == 10
        assert (state.notes, state.news, telemetry.faults(time.monotonic())) == ((), (), ())
        assert fake.gateway.most_at_once == 1, "one after the other"


@pytest.mark.parametrize("broken", PATHS)
@pytest.mark.parametrize("how", ["missing", "rubbish"])
async def test_one_document_that_fails_does_not_spoil_the_others(broken: str, how: str, access: Access) -> None:
    fake = FakeEnvoy()
    if how == "missing":
        del fake.told[broken]
    else:
        fake.told[broken] = {"devices": [1, {"serial_num": {}}], "aaData": 7, "production": 3, "devices:": [None]}
    parts: dict[str, Callable[[EnvoyState], object]] = {
        "production": lambda s: s.meters and s.meters[0].total.today_wh,
        "inverters": lambda s: s.microinverters,
        "inventory": lambda s: s.devices and any(one.kind == "relay" for one in s.devices),
        "ensemble_inventory": lambda s: s.devices and any(one.kind == "battery" for one in s.devices),
        "power": lambda s: s.battery and s.battery.power_w,
        "secctrl": lambda s: s.battery and s.battery.capacity_wh,
        "events": lambda s: s.events,
    }
    lost = {"ensemble_inventory": {"ensemble_inventory", "power", "secctrl"}}.get(broken, {broken})
    async with fake.gateway.serve(), listening(fake, access) as telemetry:
        await until(lambda: all(part(now(telemetry)) for name, part in parts.items() if name not in lost), what=broken)
        await until(lambda: fake.asked(broken) > 1, what="another try")
        state = now(telemetry)
        assert not [name for name in lost if parts[name](state)]
        wanted = broken in ("production", "inverters", "inventory")
        assert [PATHS[broken].partition("?")[0] in note for note in state.notes] == [True] * wanted
        assert telemetry.faults(time.monotonic()) == ()


async def test_what_is_too_old_is_not_shown_any_more(access: Access) -> None:
    fake = FakeEnvoy()
    async with fake.gateway.serve(), listening(fake, access) as telemetry:
        await until(lambda: complete(now(telemetry)), what="all documents")
    later = telemetry.state(time.monotonic() + LONG_S)
    assert (later.meters, later.microinverters, later.devices, later.battery) == ((), None, None, None)
    assert len(later.events or ()) == 10, "what happened has happened"


async def test_a_clock_that_stands_still_tells_nothing_new(access: Access) -> None:
    fake = FakeEnvoy()
    fake.gateway.tick = 0
    async with fake.gateway.serve(), listening(fake, access) as telemetry:
        await until(lambda: bool(now(telemetry).meters), what="meters")
        first = now(telemetry).meters[0].at_s
        asked = fake.gateway.asked.count(meters.READINGS)
        await until(lambda: fake.gateway.asked.count(meters.READINGS) > asked + 2, what="more answers")
        assert now(telemetry).meters[0].at_s == first
        assert telemetry.state(time.monotonic() + module.STILL_S + 1.0).meters == ()


async def test_an_outage_is_told_when_it_lasts_and_over_when_it_is_over(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEnvoy()
    async with fake.gateway.serve(), listening(fake, access) as telemetry:
        await until(lambda: complete(now(telemetry)), what="all documents")
        async with fake.gateway.away():
            await until(lambda: telemetry.faults(time.monotonic() + PATIENCE_S) != (), what="the fault")
            assert telemetry.faults(time.monotonic()) == (), "it is away for some minutes each night"
            (fault,) = telemetry.faults(time.monotonic() + PATIENCE_S)
            assert fake.gateway.host in fault.text
        await until(lambda: telemetry.faults(time.monotonic() + LONG_S) == (), what="the end of it")
        monkeypatch.setattr(fake.gateway, "fault", "401")
        await until(lambda: telemetry.faults(time.monotonic() + REFUSED_S) != (), what="the refusal")
        (fault,) = telemetry.faults(time.monotonic() + REFUSED_S)
        assert "refuses" in fault.text
        assert fake.gateway.valid not in fault.text


async def test_a_gateway_without_clamps_shows_what_its_inverters_gave(access: Access) -> None:
    fake = FakeEnvoy()
    fake.gateway.meters = []
    fake.told["production"]["production"].pop()
    fake.told["production"]["consumption"] = []
    async with fake.gateway.serve(), listening(fake, access) as telemetry:
        await until(lambda: bool(now(telemetry).meters), what="the production")
        (meter,) = now(telemetry).meters
        assert (meter.kind, meter.total.power_w) == ("pv", 180.0)
        assert meters.READINGS not in fake.gateway.asked


async def test_events_are_news_once_also_over_a_restart(access: Access) -> None:
    fake = FakeEnvoy()
    listed = fake.told["events"]["aaData"]
    async with fake.gateway.serve():
        async with listening(fake, access) as telemetry:
            await until(lambda: bool(now(telemetry).events), what="events")
            listed.insert(0, ["3025", "Gone", "122000000001", "pcu ", "Fri Nov 04, 2022 07:12 AM CET"])
            await until(lambda: bool(now(telemetry).news), what="news")
            assert [event.id for event in now(telemetry).news] == ["3025"]
            await until(lambda: "3025" in (access.data_dir / "envoy-events.json").read_text(), what="the file")
        listed.insert(0, ["3026", "Back", "122000000001", "pcu ", "Fri Nov 04, 2022 07:13 AM CET"])
        async with listening(fake, replace(access, shared={})) as telemetry:
            await until(lambda: bool(now(telemetry).news), what="what happened meanwhile")
            assert [event.id for event in now(telemetry).news] == ["3026"]


async def test_the_four_documents_reach_a_broker_when_they_change(mosquitto: Mosquitto, tmp_path: Path) -> None:
    fake = FakeEnvoy()
    fake.gateway.tick = 0
    broker = Broker(Address("127.0.0.1", mosquitto.port), "test")
    heard: list[aiomqtt.Message] = []
    hear = heard.append

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
            await client.subscribe("sun/#", 1)
            ready.set()
            async for message in client.messages:
                hear(message)

    def told(name: str) -> Callable[[], bool]:
        return lambda: any(message.topic.value == f"sun/envoy/{name}" for message in heard)

    ready = asyncio.Event()
    tasks = [asyncio.create_task(listen()), asyncio.create_task(broker.run())]
    await ready.wait()
    keys = {"publish": {"topic": "sun/envoy", "interval_s": 1}}
    async with new_session() as session, fake.gateway.serve():
        access = Access(session, lambda _config: broker, tmp_path)
        async with listening(fake, access, **keys) as telemetry:
            await until(lambda: complete(now(telemetry)), what="all documents")
            for name in ("meters", "devices", "inverters", "events"):
                await until(told(name), what=name)
            assert not any(message.retain or message.qos for message in heard)
            last = {message.topic.value: json.loads(message.payload) for message in heard}
            assert last["sun/envoy/inverters"] == {
                f"12200000000{i}": {"lastReportDate": 1667471311, "lastReportWatts": 40 + 10 * i} for i in (1, 2, 3)
            }
            assert last["sun/envoy/meters"]["grid"]["power"] == -36.162
            heard.clear()
            fake.told["inverters"][0]["lastReportWatts"] = 55
            await until(told("inverters"), what="the change")
            assert not told("events")(), "only what has changed"
            await mosquitto.stop()
            heard.clear()
            tasks[0].cancel()
            ready.clear()
            await mosquitto.start()
            tasks[0] = asyncio.create_task(listen())
            await ready.wait()
            await until(told("events"), what="all of it for a broker that was away")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
