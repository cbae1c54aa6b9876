"""A meter on MQTT topics, at a real Mosquitto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest
from pydantic import ValidationError

from app.broker import Address, Broker, Message
from app.checks import running
from app.meters.mqtt import MqttMeter, MqttMeterConfig, parse
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Reading
from tests.conftest import Mosquitto, until


def config(**keys: Any) -> MqttMeterConfig:
    return MqttMeterConfig(type="mqtt", **({"topic": "meter/power"} | keys))


@asynccontextmanager
async def listening(mosquitto: Mosquitto, **keys: Any) -> AsyncIterator[list[Reading | DeviceError]]:
    broker = Broker(Address(mosquitto.host, mosquitto.port), "tested")
    meter, heard = MqttMeter(config(**keys), broker), list[Reading | DeviceError]()
    async with running(meter.run(heard.append), broker.run()):
        await until(lambda: broker.connected)
        yield heard


async def publish(mosquitto: Mosquitto, topic: str, payload: str, *, retain: bool = False) -> None:
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        await client.publish(topic, payload, qos=1, retain=retain)


@pytest.mark.parametrize(
    ("payload", "keys", "power_w"),
    [
        ("-71.5", {}, -71.5),
        ("1,2 kW", {}, 1200.0),
        ('"5 W"', {}, 5.0),
        ('{"SML": {"Power_curr": -894}}', {"path": "$.SML.Power_curr"}, -894.0),
        ('{"p": [1, 2, -4]}', {"phase_paths": ["$.p[0]", "$.p[1]", "$.p[2]"]}, -1.0),
        ('{"in": 0, "out": 3.5}', {"import_path": "$.in", "export_path": "$.out", "unit": "kW"}, -3500.0),
    ],
)
async def test_a_live_message_is_a_reading(mosquitto: Mosquitto, payload: str, keys: Any, power_w: float) -> None:
    async with listening(mosquitto, **keys) as heard:
        await publish(mosquitto, "meter/power", payload)
        await until(lambda: heard)
    assert isinstance(heard[0], Reading)
    assert heard[0].power_w == power_w


async def test_a_retained_copy_is_of_unknown_age_and_never_used(mosquitto: Mosquitto) -> None:
    await publish(mosquitto, "meter/power", "500", retain=True)
    async with listening(mosquitto, interval_s=0.2) as heard:
        await until(lambda: heard)
    assert isinstance(heard[0], DeviceUnavailable)
    assert "only a retained copy" in str(heard[0])


async def test_two_topics_are_one_power_once_both_are_heard(mosquitto: Mosquitto) -> None:
    keys = {"topic": None, "import_topic": "m/in", "export_topic": "m/out"}
    async with listening(mosquitto, **keys) as heard:
        await publish(mosquitto, "m/in", "0")
        await asyncio.sleep(0.2)
        assert heard == []
        await publish(mosquitto, "m/out", "250")
        await until(lambda: heard)
    assert isinstance(heard[0], Reading)
    assert heard[0].power_w == -250.0


class Unconnected(Broker):
    """A connection whose messages the test hands over."""

    def __init__(self) -> None:
        super().__init__(Address("127.0.0.1", 1), "tested")

    def bring(self, topic: str, payload: str) -> None:
        for handler in self._exact[topic]:
            handler(Message(topic, payload.encode(), retain=False))


async def test_the_halves_of_one_power_are_never_told_before_both_have_changed() -> None:
    broker, heard = Unconnected(), list[Reading | DeviceError]()
    meter = MqttMeter(MqttMeterConfig(type="mqtt", import_topic="in", export_topic="out"), broker)
    async with running(meter.run(heard.append)):
        for imported, exported in (("500", "0"), ("0", "300"), ("200", "0")):
            count = len(heard)
            broker.bring("in", imported)
            broker.bring("out", exported)
            await until(lambda count=count: len(heard) > count)
    assert [found.power_w for found in heard if isinstance(found, Reading)] == [500.0, -300.0, 200.0]


async def test_of_a_flood_only_the_newest_is_told() -> None:
    broker, heard = Unconnected(), list[Reading | DeviceError]()
    meter = MqttMeter(config(), broker)
    async with running(meter.run(heard.append)):
        for number in range(10_000):
            broker.bring("meter/power", str(number) if number % 3 else "n/a")
        await until(lambda: heard)
    assert len(heard) == 1
    assert isinstance(heard[0], DeviceDataError), "9999 is divisible by 3"


async def test_one_of_two_topics_alone_is_no_reading(mosquitto: Mosquitto) -> None:
    keys = {"topic": None, "import_topic": "m/in", "export_topic": "m/out", "interval_s": 0.2}
    async with listening(mosquitto, **keys) as heard:
        await publish(mosquitto, "m/out", "250")
        await asyncio.sleep(0.5)
        await publish(mosquitto, "m/in", "10")
        await until(lambda: heard)
    assert not [one for one in heard if isinstance(one, Reading)]


async def test_silence_is_told_and_so_is_a_broker_that_is_gone(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, interval_s=0.2) as heard:
        await until(lambda: heard)
        assert "nothing for 1 s" in str(heard[0])
        await mosquitto.stop()
        await until(lambda: "MQTT broker" in str(heard[-1]))


@pytest.mark.parametrize("payload", [b"", b" ", b"null", b"on", b"5 VA", b"NaN", b"[1]", b"{}", b"\xff", b"9" * 70_000])
def test_what_is_no_power_is_refused_and_never_0(payload: bytes) -> None:
    with pytest.raises(DeviceDataError):
        parse(payload, config())


@pytest.mark.parametrize(
    "keys",
    [
        {"topic": None},
        {"topic": None, "import_topic": "a"},
        {"import_topic": "a", "export_topic": "b"},
        {"topic": "a/#"},
        {"import_path": "$.a"},
        {"topic": None, "import_topic": "a", "export_topic": "b", "phase_paths": ["$.p"]},
    ],
)
def test_topics_that_do_not_go_together_are_refused(keys: Any) -> None:
    with pytest.raises(ValidationError):
        config(**keys)
