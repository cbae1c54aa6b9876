"""Shellys from Gen2 on over their WebSocket: it is used where it stands, and HTTP takes over where it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.meters.shelly import Shelly, ShellyConfig
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import new_session
from app.simulator.devices import FakeShelly
from app.simulator.house import House, HouseConfig
from app.simulator.shelly_bodies import KINDS, Fault
from tests.conftest import until

from .hostile import hostile


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session() as session:
        yield session


@pytest.fixture
def house() -> House:
    house = House(HouseConfig(seed=5))
    house.load_override_w, house.sun_override = 900.0, 0.4
    house.run(30)
    return house


@dataclass
class Running:
    """A driver at work, and what it has emitted."""

    device: Shelly
    outcomes: list[Reading | DeviceError] = field(default_factory=list)

    @property
    def errors(self) -> list[DeviceError]:
        return [one for one in self.outcomes if isinstance(one, DeviceError)]

    async def standing(self) -> None:
        await until(lambda: self.device._standing.rpc is not None, 20.0, "a WebSocket")

    async def reading(self, since: int | None = None) -> Reading:
        """The first one after so many outcomes, by default after those there are."""
        begin = len(self.outcomes) if since is None else since

        def found() -> list[Reading]:
            return [one for one in self.outcomes[begin:] if isinstance(one, Reading)]

        await until(lambda: bool(found()), 20.0, "a reading")
        return found()[0]

    async def error(self) -> DeviceError:
        before = len(self.errors)
        await until(lambda: len(self.errors) > before, 20.0, "an error")
        return self.errors[before]


@asynccontextmanager
async def running(shelly: FakeShelly, session: aiohttp.ClientSession, **keys: Any) -> AsyncIterator[Running]:
    config = ShellyConfig.model_validate(
        {"type": "shelly", "host": shelly.host, "interval_s": 0.2, "timeout_s": 10.0, **keys}
    )
    at_work = Running(Shelly(config, session))
    task = asyncio.create_task(at_work.device.run(at_work.outcomes.append))
    try:
        yield at_work
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("kind", ["pro3em", "pro3em-mono", "proem50", "pmminig3", "1pmg4"])
async def test_one_websocket_carries_everything(kind: str, house: House, session: aiohttp.ClientSession) -> None:
    async with FakeShelly(house, kind) as shelly, running(shelly, session) as meter:
        await meter.standing()
        over_http = shelly.requests - shelly.sockets.frames
        for _ in range(5):
            before_w = (await meter.reading()).power_w
            assert before_w == pytest.approx(house.grid_w, abs=60.0)
        assert shelly.requests - shelly.sockets.frames == over_http
        assert (shelly.sockets.opened, shelly.busiest) == (1, 1)
        assert not meter.errors
        house.load_override_w = 2500.0  # notifications tell of it, and are not needed
        while (await meter.reading()).power_w < before_w + 1000.0:
            assert not meter.errors
    await until(lambda: len(shelly.sockets) == 0, 20.0, "the end of the WebSocket")


@pytest.mark.parametrize("firmware", [1, 2])
async def test_the_login_is_in_the_frames(firmware: int, house: House, session: aiohttp.ClientSession) -> None:
    async with (
        FakeShelly(house, "pro3em", password="sesame", firmware=firmware) as shelly,
        running(shelly, session, password="sesame") as meter,
    ):
        await meter.standing()
        for _ in range(5):
            await meter.reading()
        shelly.forget_nonces()
        for _ in range(5):
            await meter.reading()
        assert not meter.errors
        if shelly.logins is not None and shelly.logins.table is not None:
            assert shelly.logins.table.throttled == 0
            assert shelly.logins.table.issued <= 4


async def test_a_password_that_is_changed_is_told_and_no_way_round_is_tried(
    house: House, session: aiohttp.ClientSession
) -> None:
    async with (
        FakeShelly(house, "pro3em", password="sesame", firmware=2) as shelly,
        running(shelly, session, password="sesame") as meter,
    ):
        await meter.standing()
        assert shelly.logins is not None
        shelly.logins._password = "another"
        error = await meter.error()
        asked = shelly.requests
        assert isinstance(error, DeviceAuthError)
        await asyncio.sleep(1.0)
        assert shelly.requests - asked <= 1, "but for a WebSocket that was just to be tried"


async def test_a_restart_costs_no_reading(house: House, session: aiohttp.ClientSession) -> None:
    async with (
        FakeShelly(house, "pro3em", password="sesame", firmware=2) as shelly,
        running(shelly, session, password="sesame") as meter,
    ):
        await meter.standing()
        shelly.restart()
        await until(lambda: shelly.sockets.opened == 2, 20.0, "another WebSocket")
        await meter.standing()
        await meter.reading()
        assert not meter.errors


async def test_a_websocket_that_is_half_open_is_given_up_for_another(
    house: House, session: aiohttp.ClientSession
) -> None:
    async with FakeShelly(house, "pro3em") as shelly, running(shelly, session, timeout_s=1.0) as meter:
        await meter.standing()
        shelly.sockets.deafen()
        error = await meter.error()
        assert isinstance(error, DeviceUnavailable)
        assert "does not answer within 1 s" in str(error)
        since = meter.outcomes.index(error)
        assert (await meter.reading(since)).power_w == pytest.approx(house.grid_w, abs=60.0)
        await until(lambda: shelly.sockets.opened > 1, 20.0, "another WebSocket")


async def test_http_is_asked_where_no_websocket_is_to_be_had_and_later_one_is(
    house: House, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with FakeShelly(house, "pro3em") as shelly:
        shelly.websockets = False
        async with running(shelly, session) as meter:
            for _ in range(5):
                await meter.reading(0)
            await until(lambda: "it speaks no WebSocket there (HTTP 404)" in caplog.text, 20.0, "the reason")
            shelly.websockets = True
            await meter.standing()
            shelly.websockets = False
            await meter.reading()
            assert not meter.errors
    assert caplog.text.count("is asked over HTTP") == 2
    assert caplog.text.count("is asked over a WebSocket") == 1


async def test_another_profile_is_found_out_at_once(house: House, session: aiohttp.ClientSession) -> None:
    async with FakeShelly(house, "pro3em") as shelly, running(shelly, session) as meter:
        await meter.standing()
        for kind in ("pro3em-mono", "pro3em"):
            shelly.kind = KINDS[kind]
            reading = await meter.reading()
            assert reading.power_w == pytest.approx(house.grid_w, abs=60.0)
            await asyncio.sleep(0.3)
        assert not meter.errors
        assert shelly.sockets.opened == 1


VALUES = [Fault.INVALID, Fault.MISSING, Fault.NULL, Fault.NAN, Fault.TEXT, Fault.GARBAGE, Fault.HTTP_500]


async def test_what_is_no_valid_power_is_an_error_here_too(house: House, session: aiohttp.ClientSession) -> None:
    async with FakeShelly(house, "pro3em") as shelly, running(shelly, session) as meter:
        for fault in VALUES:
            await meter.standing()
            shelly.fault = fault
            await meter.error()
            since = len(meter.outcomes)
            await until(lambda: len(meter.outcomes) > since + 2, 20.0, "outcomes")  # noqa: B023
            assert all(isinstance(one, DeviceDataError) for one in meter.outcomes[since:]), fault
            shelly.fault = None
            await meter.reading()


async def silent(_socket: web.WebSocketResponse) -> None:
    await asyncio.sleep(60.0)


async def chatters(socket: web.WebSocketResponse) -> None:
    while not socket.closed:
        for _ in range(20):
            await socket.send_str('{"method": "NotifyStatus", "params": {}}')
        await asyncio.sleep(0.0)


def says(frame: str | bytes) -> Callable[[web.WebSocketResponse], Awaitable[None]]:
    async def answer(socket: web.WebSocketResponse) -> None:
        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        await asyncio.sleep(60.0)

    return answer


async def leaves(_socket: web.WebSocketResponse) -> None:
    return


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (silent, "does not answer within 0.5 s"),
        (chatters, "nothing but notifications"),
        (leaves, "closed the connection"),
        (says("<html>"), "no JSON objects"),
        (says("[1]"), "no JSON objects"),
        (says("[" * 60_000), "no JSON objects"),
        (says('{"id": 1}'), "neither a result nor an error"),
        (says('{"id": 1, "error": "no"}'), "neither a result nor an error"),
        (says(b"\x00"), "closed the connection"),
        (says("x" * 100_000), "closed the connection"),
        (says('{"id": 1, "error": {"code": -1, "message": "' + "no " * 1000 + '"}}'), "error -1: no no"),
    ],
)
async def test_a_websocket_that_is_none_of_a_shelly_is_left_and_http_asked(
    behaviour: Callable[[web.WebSocketResponse], Awaitable[None]],
    text: str,
    house: House,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with suppress(ConnectionError):
            await behaviour(socket)
        return socket

    async with FakeShelly(house, "pro3em") as shelly:
        monkeypatch.setattr(shelly.sockets, "serve", serve)
        config = ShellyConfig(type="shelly", host=shelly.host, timeout_s=0.5 if behaviour is silent else 10.0)
        with pytest.raises(DeviceUnavailable if "error" not in text[:5] else DeviceError, match=text) as caught:
            await Shelly(config, session)._dial()
        assert len(str(caught.value)) < 300
        async with running(shelly, session) as meter:
            for _ in range(3):
                await meter.reading(0)
            assert not meter.errors


@pytest.mark.parametrize("head", [b"HTTP/1.1 302 Found\r\nLocation: http://%s/rpc\r\n\r\n", b"HTTP/1.1 20"])
async def test_a_handshake_leads_nowhere_else_and_does_not_last(head: bytes, session: aiohttp.ClientSession) -> None:
    async with hostile(b"") as other, hostile(head.replace(b"%s", other.host.encode())) as server:
        config = ShellyConfig(type="shelly", host=server.host, timeout_s=0.5)
        with pytest.raises(DeviceUnavailable):
            await Shelly(config, session)._dial()
        assert server.asked
        assert not other.asked
