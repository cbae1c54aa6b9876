"""An ESPHome device with web_server: the stream of events, and its sensors over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import unquote

from aiohttp import web

from app.endpoint import basic_login
from tests.meters.fakes.web import WebFake

Firmware = Literal["2023.6", "2026.1", "2026.8"]


class FakeEspHome(WebFake):
    """``stream``: whether it has one to give away; ``mute``: no sensor, no ping. ``ping_s`` is 10 in devices."""

    def __init__(self, firmware: Firmware = "2026.1", ping_s: float = 10.0) -> None:
        super().__init__()
        self.firmware, self._ping_s = firmware, ping_s
        self.stream = True
        self.mute = False
        self.login: tuple[str, str] | None = None
        self.sensors: dict[str, tuple[Any, str, int]] = {}  # by name: value, unit, decimals
        self._clients: set[web.StreamResponse] = set()

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/events", self._events)
        router.add_get("/sensor/{name:.*}", self._sensor)

    @property
    def followed(self) -> bool:
        return bool(self._clients)

    async def publish(self, name: str, value: Any, unit: str = "W", decimals: int = 1) -> None:
        """A sensor has measured; ...: its event tells nothing."""
        self.sensors[name] = value, unit, decimals
        if not self.mute:
            await self.send("state", json.dumps(self._document(name, everything=False)))

    async def send(self, kind: str, data: str) -> None:
        for client in list(self._clients):
            with suppress(OSError, ConnectionError):
                await client.write(_event(kind, data))

    def _document(self, name: str, *, everything: bool) -> dict[str, Any]:
        value, unit, decimals = self.sensors[name]
        old, new = f"sensor-{_object_id(name)}", f"sensor/{name}"
        ids = {"2023.6": {"id": old}, "2026.1": {"name_id": new, "id": old}, "2026.8": {"id": new}}[self.firmware]
        shown = isinstance(value, int | float)
        state = f"{value:.{decimals}f}{' ' if unit else ''}{unit}" if shown and value == value else "NA"
        details = {"domain": "sensor", "name": name, "icon": "", "uom": unit} if everything else {}
        values = {} if value is ... else {"value": value, "state": state}
        return {**ids, **details, **values}

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        if self.login is None or request.headers.get("Authorization") == basic_login(*self.login):
            return None
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="Login Required"'})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        refused = self._refused(request)
        if refused is not None:
            return refused
        if not self.stream:
            return web.Response(status=503)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        with suppress(OSError, ConnectionError):
            if not self.mute:
                await response.write(b"retry: 30000\nid: 1\n" + _event("ping", json.dumps({"title": "Meter"})))
                for name in list(self.sensors):
                    await response.write(_event("state", json.dumps(self._document(name, everything=True))))
            self._clients.add(response)
            try:
                while True:
                    await asyncio.sleep(self._ping_s)
                    if not self.mute:
                        await response.write(_event("ping", json.dumps({"uptime": int(time.time())})))
            finally:
                self._clients.discard(response)
        return response

    async def _sensor(self, request: web.Request) -> web.StreamResponse:
        refused = self._refused(request)
        if refused is not None:
            return refused
        while self.mute:
            await asyncio.sleep(0.05)
        asked = unquote(request.raw_path.removeprefix("/sensor/"))
        for name in self.sensors:
            known = {"2023.6": {_object_id(name)}, "2026.1": {name, _object_id(name)}, "2026.8": {name}}[self.firmware]
            if asked in known:
                return web.json_response(self._document(name, everything=False))
        return web.Response(status=404)


def _event(kind: str, data: str) -> bytes:
    return f"event: {kind}\r\ndata: {data}\r\n\r\n".encode()


def _object_id(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", name.lower())
