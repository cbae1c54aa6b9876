"""A GX device at a real Mosquitto and over Modbus: phases, keep-alives, and what is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.access import Access
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import running
from app.fields import BrokerConfig
from app.meters import victron_grid, victron_gx
from app.meters.victron import VictronConfig, VictronModbus, VictronMqtt
from app.meters.victron_grid import Grid, parse, registers
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading
from app.outbound import new_session
from tests.conftest import Mosquitto, until
from tests.meters.fakes.venus import FakeModbus, FakeVenus
from tests.meters.followed import Followed, following


def config(**keys: Any) -> VictronConfig:
    return VictronConfig(type="victron", **({"host": "192.168.1.20", "interval_s": 0.5} | keys))


@asynccontextmanager
async def followed(mosquitto: Mosquitto, **keys: Any) -> AsyncIterator[Followed]:
    broker = Broker(Address(mosquitto.host, mosquitto.port), "tested")
    meter = VictronMqtt(config(**keys), broker)
    async with running(broker.run()), following(meter) as heard:
        yield heard


# -- MQTT --------------------------------------------------------------------------------------------


async def test_the_phases_are_summed_and_followed(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=260.5, L2=-565, L3=137.5)
    async with venus.serve(), followed(mosquitto) as heard:
        reading = await heard.reads(-167.0)
        assert reading.phases == (Phase(260.5), Phase(-565.0), Phase(137.5))
        await venus.set(L2=0)
        await heard.reads(398.0)
    assert venus.asked[0] == (f"R/{venus.portal}/keepalive", b"")


async def test_one_phase_is_enough_where_there_is_one(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    async with venus.serve(), followed(mosquitto) as heard:
        reading = await heard.reads(42.0)
    assert reading.phases == (Phase(42.0),)


async def test_a_value_that_stands_still_is_asked_for_and_is_one_of_now(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    async with venus.serve(), followed(mosquitto) as heard:
        await until(lambda: len(heard.readings) >= 4)
        moments = [reading.at_s for reading in heard.readings]
        assert moments == sorted(set(moments))
    assert (f"R/{venus.portal}/system/0/Ac/Grid/L1/Power", b"") in venus.asked
    assert not [error for error in heard.errors if "no grid power" in str(error)]


async def test_it_is_kept_alive_without_having_everything_published(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(victron_gx, "KEEPALIVE_S", 0.5)
    venus = FakeVenus(mosquitto)
    await venus.set(L1=42)
    async with venus.serve(), followed(mosquitto):
        await until(lambda: len([1 for topic, _ in venus.asked if topic.endswith("keepalive")]) >= 4)
    kept = [payload for topic, payload in venus.asked if topic.endswith("keepalive")]
    assert kept[0] == b""
    assert set(kept[1:]) == {b'{"keepalive-options": ["suppress-republish"]}'}


async def test_a_phase_that_is_lost_is_a_fault_and_never_left_out(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=1, L2=2, L3=4)
    async with venus.serve(), followed(mosquitto) as heard:
        await heard.reads(7.0)
        await venus.set(L3=None)
        error = await heard.says("no power on L3")
        assert isinstance(error, DeviceDataError)
        assert heard.powers_w == {7.0}
        await venus.set(L3=8)
        await heard.reads(11.0)


async def test_a_meter_that_is_gone_is_a_fault(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=1, L2=2, L3=4)
    async with venus.serve(), followed(mosquitto) as heard:
        await heard.reads(7.0)
        await venus.vanish()
        await heard.says("no grid power: its grid meter is away")
        before = len(heard.errors)
        await until(lambda: len(heard.errors) >= before + 2)
        assert all(isinstance(error, DeviceDataError) for error in heard.errors)
        assert heard.powers_w == {7.0}
        venus.gone = False
        await venus.set(L1=8)
        await heard.reads(14.0)


async def test_a_device_without_a_meter_is_told(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    async with venus.serve(), followed(mosquitto) as heard:
        await heard.says("no grid power: its grid meter is away, or was never set up")
        assert not heard.readings
        await venus.set(L1=8)
        await heard.reads(8.0)


async def test_all_phases_are_waited_for_where_they_are_counted(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=1, L2=2)
    async with venus.serve(), followed(mosquitto, phases=3) as heard:
        await heard.says("no power on L3")
        assert not heard.readings
        await venus.set(L3=4)
        await heard.reads(7.0)


@pytest.mark.parametrize(
    "payload", ["12", "{}", "<html>", '{"value": "5 W"}', '{"value": 1e9}', '{"value": NaN}', b"\xff"]
)
async def test_a_message_that_is_none_is_a_fault(mosquitto: Mosquitto, payload: str | bytes) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=1)
    async with venus.serve(), followed(mosquitto, interval_s=5.0) as heard:
        await heard.reads(1.0)
        await venus.send("L1", payload)
        await until(lambda: any("L1" in str(error) for error in heard.errors))
        await venus.set(L1=2)
        await heard.reads(2.0)
    assert heard.powers_w == {1.0, 2.0}


async def test_several_devices_have_to_be_told_apart(mosquitto: Mosquitto) -> None:
    one, other = FakeVenus(mosquitto, "c0619ab00001"), FakeVenus(mosquitto, "c0619ab00002")
    await one.set(L1=1)
    await other.set(L1=2)
    async with one.serve(), other.serve():
        async with followed(mosquitto) as heard:
            error = await heard.says("several GX devices at this broker")
            assert "c0619ab00001" in str(error)
            assert "meter.portal_id" in str(error)
            assert not heard.readings
        async with followed(mosquitto, portal_id="c0619ab00002") as heard:
            await heard.reads(2.0)
            assert heard.powers_w == {2.0}


async def test_a_device_that_is_not_there_is_told_and_so_is_a_broker(mosquitto: Mosquitto) -> None:
    async with followed(mosquitto) as heard:
        await heard.says("no GX device is heard at this broker")
        await mosquitto.stop()
        await heard.says("MQTT broker")
        venus = FakeVenus(mosquitto)
        await venus.set(L1=5)
        await mosquitto.start()
        async with venus.serve():
            await heard.reads(5.0)


async def test_a_device_that_falls_silent_is_a_fault(mosquitto: Mosquitto) -> None:
    venus = FakeVenus(mosquitto)
    await venus.set(L1=5)
    async with venus.serve(), followed(mosquitto) as heard:
        await heard.reads(5.0)
        venus.mute = True
        assert isinstance(await heard.says("tells no grid power"), DeviceUnavailable)
        venus.mute = False
        await venus.set(L1=6)
        await heard.reads(6.0)


async def test_the_broker_is_that_of_the_device_unless_another_is_named(tmp_path: Any) -> None:
    own = Broker(Address("127.0.0.1", 9), "own")
    for keys, address in (
        ({}, Address("192.168.1.20", 1883)),
        ({"host": "venus.local:1884"}, Address("venus.local", 1884)),
        ({"mqtt": {"host": "10.0.0.1", "username": "u", "password": "p"}}, Address("10.0.0.1", 1883, "u", "p")),
    ):
        brokers = Brokers(own, BrokerConfig(), "x")
        async with new_session() as session:
            config(**keys).driver(Access(session, brokers.at, tmp_path))
        assert [broker.address for broker in brokers.others] == [address]


# -- Modbus ------------------------------------------------------------------------------------------


@asynccontextmanager
async def asked(gx: FakeModbus, **keys: Any) -> AsyncIterator[Followed]:
    section = config(host=f"127.0.0.1:{gx.port}", transport="modbus", timeout_s=0.5, **{"interval_s": 0.2} | keys)
    async with following(VictronModbus(section)) as heard:
        yield heard


async def test_the_registers_are_signed_and_summed() -> None:
    gx = FakeModbus()
    gx.powers = [260, -565, 137]
    async with gx.serve(), asked(gx) as heard:
        reading = await heard.reads(-168.0)
        assert reading.phases == (Phase(260.0), Phase(-565.0), Phase(137.0))
        gx.powers = [1, 0, 0]
        await heard.reads(1.0)
    assert set(gx.asked) == {(100, 4, 820, 3)}


async def test_zeros_all_over_are_no_reading() -> None:
    gx = FakeModbus()
    gx.powers = [5, 0, 0]
    async with gx.serve(), asked(gx, phases=1) as heard:
        await heard.reads(5.0)
        gx.powers = [0, 0, 0]
        await heard.says("0 W on every phase")
        gx.powers = [-5, 0, 0]
        await heard.reads(-5.0)
    assert heard.powers_w == {5.0, -5.0}


@pytest.mark.parametrize("habit", ["hang", "reset", "drip", "flood"])
async def test_a_device_that_does_not_answer_well_is_unavailable(habit: str) -> None:
    gx = FakeModbus()
    gx.powers = [5, 0, 0]
    async with gx.serve(), asked(gx) as heard:
        await heard.reads(5.0)
        gx.habit = habit
        error = await heard.says("victron at")
        assert isinstance(error, DeviceUnavailable)
        gx.habit, gx.powers = "", [6, 0, 0]
        gx.drop()
        await heard.reads(6.0)


async def test_exceptions_and_restarts_are_outlived() -> None:
    gx = FakeModbus()
    gx.powers = [5, 0, 0]
    async with asked(gx) as heard:
        await heard.says("whether Modbus TCP is switched on")
        async with gx.serve():
            await heard.reads(5.0)
            gx.error = 11
            assert isinstance(await heard.says("gateway target failed"), DeviceUnavailable)
            gx.error, gx.powers = None, [6, 0, 0]
            await heard.reads(6.0)


# -- pure --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "count", "text"),
    [
        ([0x7FFF, 0, 0], 3, "end of its register"),
        ([0x8000, 0, 0], 3, "end of its register"),
        ([1, 2], 3, "2 registers came"),
        ([], 3, "0 registers came"),
        ([-1, 0, 0], 3, "registers came"),
    ],
)
def test_registers_that_are_no_power_are_refused(raw: list[int], count: int, text: str) -> None:
    with pytest.raises(DeviceDataError, match=text):
        registers(raw, count)


def told(grid: Grid, now_s: float, **phases: str) -> Reading | DeviceError | None:
    for name, payload in phases.items():
        grid.take(name, payload.encode(), now_s)
    return grid.outcome(now_s)


def test_phases_are_waited_for_until_it_is_known_which_there_are() -> None:
    grid = Grid(None)
    assert told(grid, 10.0, L1='{"value": 5}') is None
    assert grid.names == ("L1", "L2", "L3")
    reading = told(grid, 10.0 + 2.0 * victron_grid.LEARN_S, L1='{"value": 6}')
    assert isinstance(reading, Reading)
    assert (reading.power_w, reading.at_s) == (6.0, 10.0 + 2.0 * victron_grid.LEARN_S)
    assert isinstance(told(grid, 20.0, L2='{"value": 1}'), Reading)
    assert isinstance(told(grid, 21.0, L2='{"value": null}'), DeviceDataError)


def test_a_phase_that_is_not_told_any_more_is_not_believed_for_ever() -> None:
    grid = Grid(None)
    assert isinstance(told(grid, 0.5, L1='{"value": 5}', L2='{"value": 5}', L3='{"value": null}'), Reading)
    assert grid.old(0.4) == ()
    assert grid.old(1.0) == ("L1", "L2")
    assert isinstance(told(grid, victron_grid.LONGEST_S, L1='{"value": 6}'), Reading)
    error = told(grid, victron_grid.LONGEST_S + 1.0, L1='{"value": 6}')
    assert isinstance(error, DeviceUnavailable)
    assert "L2 has not been told" in str(error)


def test_nothing_is_said_twice() -> None:
    grid = Grid(1)
    assert isinstance(told(grid, 1.0, L1='{"value": 5}'), Reading)
    assert told(grid, 2.0) is None
    assert not grid.take("L4", b"{}", 3.0)


@given(st.binary(max_size=40))
def test_no_message_makes_the_parser_fail_but_with_a_sentence(payload: bytes) -> None:
    try:
        parse(payload, "L1")
    except DeviceDataError as error:
        assert "L1" in str(error)  # noqa: PT017 - most payloads raise, some do not


@pytest.mark.parametrize(
    "keys",
    [
        {"host": None},
        {"host": None, "transport": "modbus"},
        {"transport": "modbus", "portal_id": "c0619ab12345"},
        {"transport": "modbus", "mqtt": {"host": "a"}},
        {"portal_id": "+"},
        {"portal_id": "a/b"},
        {"phases": 4},
    ],
)
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)
