"""A HomeWizard meter: version 1 over HTTP, or version 2 over TLS with its WebSocket and the button for a token."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.conftest import free_port

FOLDER = Path(__file__).parent.parent / "fixtures" / "homewizard"
TOKEN = "0123456789ABCDEF0123456789ABCDEF"
START = datetime(2024, 6, 28, 14, 12, 34)


def fixture(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


@dataclass
class FakeHomeWizard:
    """Its values may be changed at any time.

    ``step_s``: how far the meter's clock goes per value; 0 is a smart meter that is gone. ``replays``: it sends one
    copy at each connection, and no more. ``refusal``: a status for everything. ``ws_refusal``: for the WebSocket alone.
    ``raw``: sent as it is instead of values. ``deaf``: takes everything and says nothing.
    """

    version: int = 2
    document: Any = field(default_factory=lambda: fixture("v2-p1"))
    step_s: float = 1.0
    every_s: float = 0.1
    stamped: bool = True
    replays: bool = False
    refusal: int | None = None
    ws_refusal: int | None = None
    raw: str | None = None
    deaf: bool = False
    pressed: bool = False
    valid: str = TOKEN
    asked: list[str] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    now: datetime = START
    connections: int = 0
    told: int = 0
    _runner: web.AppRunner | None = None
    _transports: set[asyncio.Transport] = field(default_factory=set)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, certificate: str = "one") -> None:
        """Listen, always at the same port."""
        if self._runner is not None:
            return
        context = None
        if self.version == 2:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(FOLDER / f"{certificate}.pem")
        app = web.Application(middlewares=[self._through])
        app.router.add_get("/api", self._about)
        app.router.add_get("/api/v1/data", self._v1)
        app.router.add_post("/api/user", self._user)
        app.router.add_get("/api/measurement", self._measurement)
        app.router.add_get("/api/ws", self._socket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def stop(self) -> None:
        """Be gone, as without power."""
        self.drop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def drop(self) -> None:
        """Break all connections."""
        for transport in list(self._transports):
            transport.abort()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeHomeWizard]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    def value(self, *, ticks: bool = True) -> Any:
        """The document of now."""
        self.told += 1
        if ticks:
            self.now += timedelta(seconds=self.step_s)
        if not isinstance(self.document, dict) or self.version == 1 or not self.stamped:
            return self.document
        return {**self.document, "timestamp": self.now.isoformat()}

    @web.middleware
    async def _through(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._transports.add(transport)
        try:
            if self.deaf:
                await asyncio.sleep(3600)
            if self.refusal is not None:
                return web.json_response({"error": "refused"}, status=self.refusal)
            response: web.StreamResponse = await handler(request)
            return response
        finally:
            self._transports.discard(transport)

    async def _about(self, request: web.Request) -> web.Response:
        if self.version == 2:
            return web.json_response({"error": "user:unauthorized"}, status=401)
        about = {"product_type": "HWE-P1", "product_name": "P1 Meter", "serial": "5c2fafaabbcc"}
        return web.json_response({**about, "firmware_version": "5.18", "api_version": "v1"})

    async def _v1(self, request: web.Request) -> web.Response:
        return self._told()

    async def _measurement(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.valid}":
            return web.json_response({"error": "user:unauthorized"}, status=401)
        if request.headers.get("X-Api-Version") != "2":
            return web.json_response({"error": "request:api-version"}, status=400)
        return self._told()

    def _told(self) -> web.Response:
        text = self.raw if self.raw is not None else json.dumps(self.value())
        return web.Response(text=text, content_type="application/json")

    async def _user(self, request: web.Request) -> web.Response:
        self.said.append(await request.json())
        if not self.pressed:
            return web.json_response({"error": "user:creation-not-enabled"}, status=403)
        return web.json_response({"token": self.valid, "name": self.said[-1]["name"]})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.ws_refusal is not None:
            return web.Response(status=self.ws_refusal)
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with suppress(ConnectionError):
            await socket.send_json({"type": "authorization_requested", "data": {"api_version": "2.0.0"}})
            said = await socket.receive_json()
            if said != {"type": "authorization", "data": self.valid}:
                await socket.send_json({"type": "error", "data": {"message": "user:unauthorized"}})
                return socket
            await socket.send_json({"type": "authorized"})
            assert await socket.receive_json() == {"type": "subscribe", "data": "measurement"}
            answers = asyncio.create_task(self._answers(socket))
            try:
                await self._push(socket)
            finally:
                answers.cancel()
        return socket

    async def _push(self, socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "measurement", "data": self.value()})
        while not socket.closed:
            await asyncio.sleep(self.every_s)
            if self.raw is not None:
                await socket.send_str(self.raw)
            elif not self.replays and not self.deaf:
                await socket.send_json({"type": "measurement", "data": self.value()})

    async def _answers(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.said.append(json.loads(message.data))
                if self.stamped or self.deaf:  # one without a clock does not send again what stands still
                    continue
                await socket.send_json({"type": "measurement", "data": self.value(ticks=False)})
