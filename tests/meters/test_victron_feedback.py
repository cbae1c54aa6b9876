"""A GX device that shows our own grid power: it is no reading, wherever it has it from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker import Address, Broker
from app.checks import running
from app.meters.victron import VictronConfig, VictronMqtt
from app.meters.victron_services import WHERE, GridServices
from app.model import DeviceDataError
from tests.conftest import Mosquitto, until
from tests.meters.fakes.venus import FakeVenus
from tests.meters.followed import Followed, following

OURS = {"ProductName": "MQTT Grid", "Mgmt/ProcessName": "/data/etc/dbus-mqtt-grid/dbus-mqtt-grid.py"}
EM24 = {"ProductName": "Carlo Gavazzi EM24 Ethernet Energy Meter", "Mgmt/ProcessName": "dbus-modbus-client.py"}
POWERS = {"Ac/L1/Power": 7, "Ac/L2/Power": None, "Ac/L3/Power": None}


@asynccontextmanager
async def followed(mosquitto: Mosquitto, *, wary: bool = True, **keys: Any) -> AsyncIterator[Followed]:
    section = VictronConfig(type="victron", host="192.168.1.20", interval_s=0.5, **keys)
    broker = Broker(Address(mosquitto.host, mosquitto.port), "tested")
    async with running(broker.run()), following(VictronMqtt(section, broker, wary=wary)) as heard:
        yield heard


async def test_our_own_message_is_never_a_reading(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    await venus.appear(100, **OURS)
    async with venus.serve(), followed(mosquitto) as heard:
        error = await heard.says("it would feed back on itself")
        assert isinstance(error, DeviceDataError)
        for word in ("grid meter 100", "MQTT Grid", "venus.grid", "meter.instance", "victron at"):
            assert word in str(error)
        before = len(heard.errors)
        await until(lambda: len(heard.errors) >= before + 2)
        assert not heard.readings


async def test_it_is_noticed_when_it_comes_later_and_over_when_it_has_gone(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    await venus.appear(40, **EM24)
    async with venus.serve(), followed(mosquitto) as heard:
        await heard.reads(42.0)
        await venus.appear(100, **OURS)
        await heard.says("it would feed back on itself")
        heard.forget()
        await venus.disappear(100)
        await venus.set(L1=43)
        await heard.reads(43.0)


async def test_a_meter_that_is_named_is_read_beside_our_own(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    await venus.appear(100, **OURS, **POWERS | {"Ac/L1/Power": 42})
    await venus.appear(40, **EM24, **POWERS)
    async with venus.serve(), followed(mosquitto, instance=40) as heard:
        await heard.reads(7.0)
        await venus.appear(40, **{"Ac/L1/Power": -9})
        await heard.reads(-9.0)
        await until(lambda: (f"R/{venus.portal}/grid/40/Ac/L1/Power", b"") in venus.asked)
        assert heard.powers_w == {7.0, -9.0}
    async with venus.serve(), followed(mosquitto, instance=100) as heard:
        await heard.says("it would feed back on itself")
        assert not heard.readings


async def test_who_publishes_no_grid_power_may_read_any_meter(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    await venus.appear(100, **OURS)
    async with venus.serve(), followed(mosquitto, wary=False) as heard:
        await heard.reads(42.0)


async def test_a_device_without_a_grid_meter_of_its_own_is_read(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    async with venus.serve(), followed(mosquitto) as heard:
        await heard.reads(42.0)


@given(st.lists(st.tuples(st.text("0123456789a-", max_size=4), st.sampled_from(WHERE), st.binary(max_size=40))))
def test_no_name_makes_it_fail_but_with_a_sentence(messages: list[tuple[str, str, bytes]]) -> None:
    services = GridServices(None)
    for instance, path, payload in messages:
        services.take(f"N/c0619ab12345/grid/{instance}/{path}", payload)
    try:
        services.check()
    except DeviceDataError as error:
        assert "feed back" in str(error)  # noqa: PT017 - hardly any raises


def test_names_are_bounded() -> None:
    services = GridServices(None)
    for instance in range(1000):
        services.take(f"N/p/grid/{instance}/ProductName", b'{"value": "%s"}' % (b"x" * 10_000))
    services.take("N/p/grid/7/ProductName", b'{"value": "MQTT Grid"}')
    with pytest.raises(DeviceDataError, match="grid meter 7 "):
        services.check()
    services.forget()
    services.check()
