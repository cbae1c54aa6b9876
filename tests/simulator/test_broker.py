"""What we rely on in an MQTT broker, on the embedded one and on the one that people run."""

from __future__ import annotations

import asyncio
import socket

import aiomqtt


def client(port: int, **options: object) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", port, **options)  # type: ignore[arg-type]


async def heard(listener: aiomqtt.Client, seconds: float = 0.3) -> list[tuple[str, bytes, bool]]:
    messages = []
    try:
        async with asyncio.timeout(seconds):
            async for message in listener.messages:
                assert isinstance(message.payload, bytes)
                messages.append((str(message.topic), message.payload, message.retain))
    except TimeoutError:
        pass
    return messages


async def test_retained_messages_are_marked_on_replay_only_and_can_be_cleared(broker_port: int) -> None:
    async with client(broker_port) as talker, client(broker_port) as early, client(broker_port) as late:
        await early.subscribe("solar/#")
        await talker.publish("solar/dtu/status", "online", retain=True, qos=1)
        assert await heard(early) == [("solar/dtu/status", b"online", False)]
        assert await heard(late) == [], "nobody gets what it did not subscribe to"
        await late.subscribe("solar/+/status")
        assert await heard(late) == [("solar/dtu/status", b"online", True)]
        await talker.publish("solar/dtu/status", "", retain=True, qos=1)
        async with client(broker_port) as last:
            await last.subscribe("solar/#")
            assert await heard(last) == []


async def test_wildcards_keep_their_levels(broker_port: int) -> None:
    async with client(broker_port) as talker, client(broker_port) as listener:
        await listener.subscribe("solar/+/cmd/power")
        for topic in ("solar/1/cmd/power", "solar/1/cmd/restart", "solar/1/2/cmd/power", "other/1/cmd/power"):
            await talker.publish(topic, "1")
        assert [topic for topic, _, _ in await heard(listener)] == ["solar/1/cmd/power"]


async def test_messages_keep_their_order(broker_port: int) -> None:
    async with client(broker_port) as talker, client(broker_port) as listener:
        await listener.subscribe("burst/#")
        for number in range(200):
            await talker.publish("burst/a", str(number))
        assert [int(payload) for _, payload, _ in await heard(listener, 0.6)] == list(range(200))


async def test_the_will_comes_after_a_broken_connection_and_not_after_a_goodbye(broker_port: int) -> None:
    will = aiomqtt.Will("will/limit", "50", qos=1, retain=False)
    async with client(broker_port) as listener:
        await listener.subscribe("will/#", qos=1)
        async with client(broker_port, will=will):
            pass
        assert await heard(listener) == []
        doomed = client(broker_port, will=will)
        await doomed.__aenter__()
        wire = doomed._client.socket()
        assert isinstance(wire, socket.socket)
        wire.shutdown(socket.SHUT_RDWR)
        assert await heard(listener) == [("will/limit", b"50", False)]


async def test_a_quiet_client_within_its_keep_alive_is_not_taken_for_dead(broker_port: int) -> None:
    will = aiomqtt.Will("will/limit", "50", qos=1, retain=False)
    async with client(broker_port) as listener, client(broker_port, will=will, keepalive=1):
        await listener.subscribe("will/#")
        assert await heard(listener, 2.5) == []
