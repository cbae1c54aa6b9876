"""Drivers that keep a connection, against servers that are broken or hostile: a fault, no memory, no secret gone."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from pydantic import TypeAdapter

from app.access import Access
from app.broker import Address, Broker
from app.brokers import Brokers
from app.fields import BrokerConfig
from app.meters import MeterConfig, build
from app.outbound import new_session
from tests.conftest import until
from tests.meters.fakes.esphome import FakeEspHome
from tests.meters.fakes.web import WebFake

from .followed import Followed, following
from .hostile import CHUNKED, ENDLESS, NEVER_DONE, NONSENSE, TOO_MUCH, Behaviour, hostile, page, sends

SECRET = "CANARY-secret-1"
SECTIONS: dict[str, dict[str, Any]] = {
    "home_assistant": {"url": "http://{at}", "token": SECRET, "entity": "sensor.p"},
    "esphome": {"host": "{at}", "username": "me", "password": SECRET, "sensor": "p"},
}
BEHAVIOURS: dict[str, Behaviour | bytes] = {**NEVER_DONE, **TOO_MUCH, **NONSENSE}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
PACKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n"
STREAMS: dict[str, Behaviour | bytes] = {
    "a line without end": sends(b"x" * 65_536, times=ENDLESS, then=STREAM),
    "an event without end": sends(b"data: x\n" * 8192, times=ENDLESS, then=STREAM),
    "events without end": sends(b"event: log\ndata: x\n\n" * 3000, times=ENDLESS, then=STREAM),
    "empty lines without end": sends(b"\n" * 65_536, times=ENDLESS, then=STREAM),
    "states of others without end": sends(
        b"event: state\ndata: " + json.dumps({"id": "sensor-q", "value": 5, "state": "5 W"}).encode() + b"\n\n",
        every_s=0.01,
        times=ENDLESS,
        then=STREAM,
    ),
    "states that are none": sends(b"event: state\ndata: [[[[\n\n", every_s=0.01, times=ENDLESS, then=STREAM),
    "a packed stream": sends(b"\x1f\x8b", then=PACKED),
    "a stream that breaks off": STREAM + b"event: state\ndata: {",
    "a chunk that breaks off": CHUNKED.replace(b"application/json", b"text/event-stream") + b"ff\r\nevent",
}


@asynccontextmanager
async def followed(kind: str, at: str, folder: Path) -> AsyncIterator[Followed]:
    keys = {key: value.replace("{at}", at) for key, value in SECTIONS[kind].items()}
    section = TypeAdapter(MeterConfig).validate_python({"type": kind, "interval_s": 0.2, "timeout_s": 0.5, **keys})
    brokers = Brokers(Broker(Address("127.0.0.1", 9), "own"), BrokerConfig(), "x")
    async with new_session() as session, following(build(section, Access(session, brokers.at, folder))) as heard:
        yield heard


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


async def fault(heard: Followed) -> str:
    """What it says: a sentence, without our secrets, and no reading."""
    await until(lambda: heard.errors, what="a fault")
    assert not heard.readings
    said = str(heard.errors[0])
    assert 20 < len(said) < 400
    assert SECRET not in said
    return said


@pytest.mark.parametrize("kind", SECTIONS)
@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_whatever_a_server_does_is_a_fault_and_not_kept(name: str, kind: str, tmp_path: Path) -> None:
    async with hostile(BEHAVIOURS[name]) as server, followed(kind, server.host, tmp_path) as heard:
        with little_memory():
            await fault(heard)
    assert server.asked


@pytest.mark.parametrize("name", STREAMS)
async def test_whatever_a_stream_does_is_a_fault_and_not_kept(name: str, tmp_path: Path) -> None:
    async with hostile(STREAMS[name]) as server, followed("esphome", server.host, tmp_path) as heard:
        with little_memory():
            await fault(heard)


@pytest.mark.parametrize("kind", SECTIONS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_takes_no_login_elsewhere(status: int, kind: str, tmp_path: Path) -> None:
    async with hostile(page(b"{}")) as other:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: http://{other.host}/\r\nContent-Length: 0\r\n\r\n"
        async with hostile(head.encode()) as server, followed(kind, server.host, tmp_path) as heard:
            assert str(status) in await fault(heard)
        assert other.asked == []


@pytest.mark.parametrize("kind", SECTIONS)
async def test_cookies_are_not_kept(kind: str, tmp_path: Path) -> None:
    answer = b"HTTP/1.1 404 No\r\nSet-Cookie: spy=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with hostile(answer) as server, followed(kind, server.host, tmp_path) as heard:
        await until(lambda: len(heard.errors) >= 2)
    assert b"cookie" not in b"".join(server.asked).lower()


class RudeHomeAssistant(WebFake):
    """Opens the WebSocket, and then sends ``text`` so many times."""

    def __init__(self, text: str, times: int = 1, *, admits: bool = False) -> None:
        super().__init__()
        self._text, self._times, self._admits = text, times, admits

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/websocket", self._websocket)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with suppress(OSError, ConnectionError):
            if self._admits:
                await socket.send_json({"type": "auth_required"})
                await socket.receive()
                await socket.send_json({"type": "auth_ok"})
            for _ in range(self._times):
                await socket.send_str(self._text)
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        return socket


@pytest.mark.parametrize(
    ("text", "times", "admits"),
    [
        ("x" * 1_000_000, 1, False),
        ("x" * 1_000_000, 1, True),
        ('{"type": "auth_required"}', 1, False),
        ('{"type": "hello"}', 1, False),
        ('{"type": "auth_invalid", "message": "CANARY-secret-1 is wrong"}', 1, False),
        ('{"id": 1, "type": "event", "event": {"a": {"sensor.p": {"s": null}}}}', 1, True),
        ('{"id": 1, "type": "event", "event": {"a": {"sensor.p": {"s": "CANARY-secret-1"}}}}', 1, True),
        ('{"type": "event"}', 100_000, True),
        ("[" * 60_000, 1, True),
    ],
)
async def test_whatever_a_websocket_says_is_a_fault_and_not_kept(
    text: str, times: int, admits: bool, tmp_path: Path
) -> None:
    rude = RudeHomeAssistant(text, times, admits=admits)
    async with rude.serve(), followed("home_assistant", rude.host, tmp_path) as heard:
        with little_memory():
            await fault(heard)


async def test_what_a_device_repeats_of_our_login_is_not_told(tmp_path: Path) -> None:
    fake = FakeEspHome()
    async with fake.serve(), followed("esphome", fake.host, tmp_path) as heard:
        await until(lambda: fake.followed)
        state = json.dumps({"id": "sensor-p", "value": None, "state": SECRET})
        async with asyncio.timeout(30.0):
            while not heard.errors:
                await fake.send("state", state)
                await asyncio.sleep(0.05)
        await heard.says("***")
        assert SECRET not in "".join(map(str, heard.errors))
