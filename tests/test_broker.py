"""One connection to a real broker that dies, freezes, comes back, and is flooded."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import pytest

from app.broker import Address, Broker, Message
from app.checks import running
from tests.conftest import Mosquitto, until

pytestmark = pytest.mark.e2e

BEAT = "zeropower/state/heartbeat"


def broker_at(mosquitto: Mosquitto, will: tuple[str, str] | None = None) -> Broker:
    return Broker(Address(mosquitto.host, mosquitto.port), "tested", will, heartbeat_topic=BEAT)


@asynccontextmanager
async def listening(mosquitto: Mosquitto, topic_filter: str) -> AsyncIterator[list[tuple[str, str, bool]]]:
    """Everything that anybody publishes below a filter: topic, payload, retained."""
    heard: list[tuple[str, str, bool]] = []

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload.decode() if isinstance(message.payload, bytes) else ""
            heard.append((str(message.topic), payload, message.retain))

    async with aiomqtt.Client(mosquitto.host, mosquitto.port, timeout=60) as client:
        await client.subscribe(topic_filter, qos=1)
        task = asyncio.create_task(listen(client))
        try:
            yield heard
        finally:
            task.cancel()


@asynccontextmanager
async def frozen(mosquitto: Mosquitto) -> AsyncIterator[None]:
    """Inside, the broker's process stands still: connections stay, and nothing is answered."""
    assert mosquitto.process is not None
    mosquitto.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        mosquitto.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("offset_s", [0.1, 0.5, 0.95])
async def test_a_frozen_broker_is_noticed_within_3_s_and_found_again_within_3_s(
    mosquitto: Mosquitto, offset_s: float
) -> None:
    broker = broker_at(mosquitto)
    lost: list[float] = []
    broker.on_disconnect(lambda: lost.append(time.monotonic()))
    async with running(broker.run()):
        await until(lambda: broker.connected)
        await asyncio.sleep(offset_s)
        async with frozen(mosquitto):
            await until(lambda: not broker.connected and broker.fault, 3.0)
            assert broker.fault == f"the MQTT broker at {broker.address} is connected and does not answer"
            assert len(lost) == 1
            assert not await broker.publish("x", "y", qos=1)
            await asyncio.sleep(3.0)
            assert not broker.connected
            assert broker.fault == f"the MQTT broker at {broker.address} is connected and does not answer"
        await until(lambda: broker.connected and broker.fault is None, 3.0)
        assert await broker.publish("x", "y", qos=1)


async def test_a_killed_broker_is_found_again_within_2_s_of_its_return(mosquitto: Mosquitto) -> None:
    broker = broker_at(mosquitto)
    async with running(broker.run()):
        await until(lambda: broker.connected)
        await mosquitto.stop()
        await until(lambda: broker.fault, 1.0)
        assert not broker.connected
        await asyncio.sleep(5.0)
        await mosquitto.start()
        await until(lambda: broker.connected, 2.0)


async def test_a_broker_that_is_frozen_from_the_start_is_told_from_one_that_is_not_there(mosquitto: Mosquitto) -> None:
    broker = broker_at(mosquitto)
    async with frozen(mosquitto), running(broker.run()):
        await until(lambda: broker.fault, 3.0)
        assert "does not answer" in str(broker.fault)


async def test_a_limit_that_a_frozen_broker_does_not_take_is_not_sent(mosquitto: Mosquitto) -> None:
    broker = Broker(Address(mosquitto.host, mosquitto.port), "tested")
    async with running(broker.run()):
        await until(lambda: broker.connected)
        async with frozen(mosquitto):
            started_s = time.monotonic()
            assert not await broker.publish("x", "y", qos=1, timeout_s=0.5)
            assert 0.5 <= time.monotonic() - started_s < 5.0


async def test_the_heartbeat_is_the_time_once_a_second_and_not_kept(mosquitto: Mosquitto) -> None:
    broker = broker_at(mosquitto)
    async with listening(mosquitto, BEAT) as heard, running(broker.run()):
        await until(lambda: len(heard) >= 3, 6.0)
    assert all(abs(float(payload) - time.time()) < 10.0 for _, payload, _ in heard)
    async with listening(mosquitto, BEAT) as kept:
        await asyncio.sleep(0.2)
    assert kept == []


async def test_a_cancelled_connection_says_goodbye_whenever_that_happens(mosquitto: Mosquitto) -> None:
    dice = random.Random(4)
    async with listening(mosquitto, "will/#") as heard:
        for _ in range(40):
            task = asyncio.create_task(broker_at(mosquitto, ("will/tested", "gone")).run())
            await asyncio.sleep(dice.choice([0.0, 0.001, 0.002, 0.004, 0.01, 0.03]))
            task.cancel()
            await asyncio.wait({task}, timeout=5.0)
            assert task.cancelled()
        await asyncio.sleep(0.5)
        assert heard == []


async def test_a_killed_connection_leaves_its_will(mosquitto: Mosquitto) -> None:
    broker = Broker(Address(mosquitto.host, mosquitto.port), "tested", ("will/tested", "gone"), retain_will=False)
    async with listening(mosquitto, "will/#") as heard, running(broker.run()):
        await until(lambda: broker.connected)
        thief = Broker(broker.address, "tested")
        async with running(thief.run()):
            await until(lambda: heard, 2.0)
    assert heard[0] == ("will/tested", "gone", False)


async def test_messages_reach_whom_they_match_and_a_bug_there_costs_nothing(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    broker = broker_at(mosquitto)
    heard: list[str] = []

    def broken(message: Message) -> None:
        raise KeyError(message.topic)

    broker.subscribe("a/b", broken)
    broker.subscribe("a/b", lambda message: heard.append(f"exact {message.topic}"))
    broker.subscribe("a/+", lambda message: heard.append(f"wild {message.topic}"))
    async with running(broker.run()):
        await until(lambda: broker.connected)
        for topic in ("a/b", "a/c", "b/b"):
            assert await broker.publish(topic, "x", qos=1)
        await until(lambda: len(heard) >= 3)
        assert sorted(set(heard)) == ["exact a/b", "wild a/b", "wild a/c"]
        assert broker.connected
    assert len([one for one in caplog.records if one.levelno >= logging.ERROR]) == 1


async def test_a_retained_message_can_be_had_once_more(mosquitto: Mosquitto) -> None:
    broker = broker_at(mosquitto)
    heard: list[Message] = []
    broker.subscribe("kept", heard.append)
    async with running(broker.run()):
        await until(lambda: broker.connected)
        await broker.publish("kept", "x", qos=1, retain=True)
        await until(lambda: heard == [Message("kept", b"x", False)])
        await broker.replay("kept")
        await until(lambda: heard[1:] == [Message("kept", b"x", True)])


async def test_a_connection_that_comes_after_another_waits_for_it(mosquitto: Mosquitto) -> None:
    first = broker_at(mosquitto)
    second = Broker(first.address, "second", after=first)
    async with running(second.run()):
        await asyncio.sleep(0.3)
        assert not second.connected
        async with running(first.run()):
            await until(lambda: second.connected, 2.0)


async def test_two_that_push_each_other_out_do_not_fill_the_log(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, other = broker_at(mosquitto), broker_at(mosquitto)
    async with running(one.run()), running(other.run()):
        await asyncio.sleep(6.0)
    assert len([record for record in caplog.records if record.name == "app.broker"]) <= 6
