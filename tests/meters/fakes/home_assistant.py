"""Home Assistant: its WebSocket with compressed events, and the states over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from tests.meters.fakes.web import WebFake

TOKEN = "CANARY-long-lived-token"


class FakeHomeAssistant(WebFake):
    """``mute``: it takes everything and says nothing more. ``websocket`` False: a proxy before it lets none through."""

    def __init__(self, base: str = "") -> None:
        super().__init__()
        self._base = base
        self.token = TOKEN
        self.mute = False
        self.websocket = True
        self.closing = False  # before the login
        self.commands: list[dict[str, Any]] = []
        self.states: dict[str, dict[str, Any]] = {}
        self._subscribers: dict[web.WebSocketResponse, tuple[int, set[str]]] = {}

    @property
    def url(self) -> str:
        return f"http://{self.host}{self._base}"

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(f"{self._base}/api/websocket", self._websocket)
        router.add_get(f"{self._base}/api/states/{{entity}}", self._state)

    # -- what happens in the house -------------------------------------------------------------------

    async def set(self, entity: str, state: object, unit: str | None = "W", *, at_s: float | None = None) -> None:
        """The integration tells a value; where it is the same as before, nobody hears of it."""
        now_s = time.time() if at_s is None else at_s
        old = self.states.get(entity)
        attributes = {"device_class": "power"} | ({} if unit is None else {"unit_of_measurement": unit})
        new = {"s": str(state), "a": attributes, "c": "01", "lc": now_s}
        if old is None:
            self.states[entity] = new
            await self._send(entity, {"a": {entity: new}})
            return
        if old["s"] == new["s"] and old["a"] == attributes:
            return
        added: dict[str, Any] = {"c": "02"}
        if old["s"] != new["s"]:
            added |= {"s": new["s"], "lc": now_s}
        else:
            new["lc"], new["lu"] = old["lc"], now_s
            added["lu"] = now_s
        if fresh := {key: value for key, value in attributes.items() if old["a"].get(key) != value}:
            added["a"] = fresh
        gone = sorted(set(old["a"]) - set(attributes))
        self.states[entity] = new
        await self._send(entity, {"c": {entity: {"+": added} | ({"-": {"a": gone}} if gone else {})}})

    async def remove(self, entity: str) -> None:
        if self.states.pop(entity, None) is not None:
            await self._send(entity, {"r": [entity]})

    async def raw(self, text: str) -> None:
        """Send something to whoever is there."""
        for socket in list(self._subscribers):
            with suppress(OSError, ConnectionError):
                await socket.send_str(text)

    @property
    def followed(self) -> bool:
        return bool(self._subscribers)

    # -- what it says --------------------------------------------------------------------------------

    async def _send(self, entity: str, event: dict[str, Any]) -> None:
        for socket, (number, entities) in list(self._subscribers.items()):
            if entity in entities and not self.mute:
                with suppress(OSError, ConnectionError):
                    await socket.send_json({"id": number, "type": "event", "event": event})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not self.websocket:
            return web.Response(status=400)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.closing:
            await socket.close()
            return socket
        await socket.send_json({"type": "auth_required", "ha_version": "2026.11.1"})
        try:
            if await self._admitted(socket):
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        await self._command(socket, json.loads(message.data))
        finally:
            self._subscribers.pop(socket, None)
        return socket

    async def _admitted(self, socket: web.WebSocketResponse) -> bool:
        message = await socket.receive_json()
        self.commands.append({"type": message["type"]})
        while self.mute:
            await asyncio.sleep(0.05)
        if message.get("access_token") != self.token:
            await socket.send_json({"type": "auth_invalid", "message": "Invalid access token or password"})
            await socket.close()
            return False
        await socket.send_json({"type": "auth_ok", "ha_version": "2026.11.1"})
        return True

    async def _command(self, socket: web.WebSocketResponse, command: dict[str, Any]) -> None:
        self.commands.append(command)
        if self.mute:
            return
        match command["type"]:
            case "ping":
                await socket.send_json({"id": command["id"], "type": "pong"})
            case "subscribe_entities":
                entities = set(command["entity_ids"])
                self._subscribers[socket] = command["id"], entities
                await socket.send_json({"id": command["id"], "type": "result", "success": True, "result": None})
                states = {entity: state for entity, state in self.states.items() if entity in entities}
                await socket.send_json({"id": command["id"], "type": "event", "event": {"a": states}})

    async def _state(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="401: Unauthorized")
        while self.mute:
            await asyncio.sleep(0.05)
        entity = request.match_info["entity"]
        if entity not in self.states:
            return web.json_response({"message": "Entity not found."}, status=404)
        state = self.states[entity]
        changed, updated = (
            datetime.fromtimestamp(at_s, UTC).isoformat() for at_s in (state["lc"], state.get("lu", state["lc"]))
        )
        document = {"entity_id": entity, "state": state["s"], "attributes": state["a"]}
        return web.json_response(document | {"last_changed": changed, "last_updated": updated})
