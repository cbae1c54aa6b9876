"""A web server of a device, at one port for all its life, that can misbehave as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

from aiohttp import web
from multidict import CIMultiDict

from tests.conftest import free_port

REFUSALS = {"FORBIDDEN": 403, "NOT_FOUND": 404, "BUSY": 429, "BROKEN": 500}  # by the name of a case of the contract
HABITS = {"HTML": "page", "DRIP": "drip", "HUGE": "flood", "RESET": "break"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebFake:
    """``refusal``: a status for every request. ``habit``: "hang", "drip", "page", "flood" or "break" instead."""

    def __init__(self) -> None:
        self.port = free_port()
        self.refusal: int | None = None
        self.habit = ""
        self.asked: list[str] = []
        self.headers: list[CIMultiDict[str]] = []
        self._runner: web.AppRunner | None = None
        self._transports: set[asyncio.Transport] = set()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Listen, unless it does."""
        if self._runner is None:
            app = web.Application(middlewares=[self._through])
            self.routes(app.router)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

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
    async def serve(self) -> AsyncIterator[Self]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    @web.middleware
    async def _through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(request.raw_path)
        self.headers.append(CIMultiDict(request.headers))
        transport = request.transport
        if isinstance(transport, asyncio.Transport):
            self._transports.add(transport)
        try:
            if self.refusal is not None:
                return web.Response(status=self.refusal)
            if self.habit:
                return await self._misbehave(request)
            return await handler(request)
        finally:
            if isinstance(transport, asyncio.Transport):
                self._transports.discard(transport)

    async def _misbehave(self, request: web.Request) -> web.StreamResponse:
        if self.habit == "page":
            return web.Response(text="<!doctype html><title>Log in</title>", content_type="text/html")
        if self.habit == "hang":
            await asyncio.sleep(3600)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if self.habit == "break":
            await response.write(b'{"state": "77')
            self.drop()
        with suppress(OSError):
            while True:
                await response.write(b" " if self.habit == "drip" else b" " * 65_536)
                await asyncio.sleep(0.05 if self.habit == "drip" else 0.0)
        return response
