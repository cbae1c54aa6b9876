"""The event stream: every tick, as JSON, to readers that never hold anything up."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from app.api import events

from .conftest import Build, House
from .ticks import make_tick


async def next_event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            line = await response.content.readline()
            if line.startswith(b"data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found
            assert line, "the stream has ended"


async def test_the_latest_state_comes_at_once_and_then_every_tick(house: House) -> None:
    async with house.client.get(house.url + "/api/events") as response:
        assert response.content_type == "text/event-stream"
        assert (await next_event(response))["grid_w"] == 14.6
        for grid_w in (20.0, -35.5, None):
            house.hub.publish(make_tick(grid_w))
            assert (await next_event(response))["grid_w"] == grid_w


async def test_an_event_is_what_the_status_says(house: House) -> None:
    async with house.client.get(house.url + "/api/events") as response:
        event = await next_event(response)
    _, status = await house.ask("GET", "/api/status")
    assert event == status


async def test_before_the_first_tick_the_state_is_starting(build: Build) -> None:
    house = await build()
    async with house.client.get(house.url + "/api/events") as response:
        assert (await next_event(response))["mode"] == "starting"


async def test_a_silent_stream_has_a_heartbeat(build: Build) -> None:
    house = await build(heartbeat_s=0.05)
    async with house.client.get(house.url + "/api/events") as response, asyncio.timeout(30):
        await next_event(response)
        assert await response.content.readline() == b"\n"
        for _ in range(2):
            assert (await response.content.readline()).startswith(b":")
            await response.content.readline()


async def test_too_many_readers_are_told_to_come_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_READERS", 2)
    first = await house.client.get(house.url + "/api/events")
    second = await house.client.get(house.url + "/api/events")
    response, data = await house.ask("GET", "/api/events")
    assert (response.status, response.headers["Retry-After"]) == (503, "10")
    assert "close other pages" in data["error"]
    second.close()
    house.hub.publish(make_tick())  # the next write finds that it has gone
    async with asyncio.timeout(30):
        while house.server.readers > 1:
            await asyncio.sleep(0.01)
            house.hub.publish(make_tick())
    async with house.client.get(house.url + "/api/events") as third:
        await next_event(third)
    first.close()


async def test_a_reader_that_sleeps_misses_ticks_and_blocks_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STUCK_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port, limit=1024)
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: pi\r\n\r\n")
    await reader.readuntil(b"data: ")
    long = make_tick(reason="x" * 200_000)
    async with house.client.get(house.url + "/api/events") as awake, asyncio.timeout(20):
        await next_event(awake)
        while house.server.readers > 1:  # until the one that never reads is let go
            house.hub.publish(make_tick(reason=long.decision.reason))
            house.hub.publish(make_tick(77.0))
            while (await next_event(awake))["grid_w"] != 77.0:
                pass
            await asyncio.sleep(0)
        rest = b""
        with suppress(ConnectionError):
            while more := await reader.read(65536):
                rest = more
        assert not rest.endswith(b"0\r\n\r\n"), "it was cut off, and not waited for"
    writer.close()


async def test_stopping_ends_every_stream_at_once(house: House) -> None:
    async with house.client.get(house.url + "/api/events") as response:
        await next_event(response)
        async with asyncio.timeout(1.5):
            await house.server.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()  # there is an end
