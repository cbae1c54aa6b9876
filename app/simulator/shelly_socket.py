"""The WebSockets of a Shelly: calls as frames, and notifications when a value has moved far enough."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from app.simulator import shelly_bodies as bodies
from app.simulator.shelly_bodies import Fault

if TYPE_CHECKING:
    from app.simulator.shelly import FakeShelly

NOTIFY_EVERY_S = 0.25
MOVED_W, MOVED_SHARE = 10.0, 0.05  # both, before a new power is told


class RpcError(Exception):
    """A call that fails."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Sockets:
    """Those of one device. ``opened`` and ``frames`` count; ``welcome`` False: the address is not found."""

    def __init__(self, shelly: FakeShelly) -> None:
        self._shelly = shelly
        self._open: list[web.WebSocketResponse] = []
        self._transports: dict[int, asyncio.Transport] = {}
        self._deaf: set[int] = set()
        self.welcome = True
        self.opened = self.frames = 0

    def __len__(self) -> int:
        return len(self._open)

    def wanted(self, request: web.Request) -> bool:
        """Whether a request asks for a WebSocket and gets one."""
        asked = request.path == "/rpc" and request.headers.get("Upgrade", "").lower() == "websocket"
        return asked and self.welcome and self._shelly.kind.generation > 1 and self._shelly.fault is not Fault.DOWN

    def abort(self) -> None:
        """End all of them, as a restart does."""
        for transport in self._transports.values():
            transport.abort()

    def deafen(self) -> None:
        """Leave all of them half open: nothing comes any more, and new ones work."""
        self._deaf |= {id(socket) for socket in self._open}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One WebSocket, until it ends."""
        await self._shelly.stall(request.transport)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with self._listed(socket, request.transport):
            notifying = asyncio.create_task(self._notify(socket))
            try:
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        await self._take(socket, request, message.data)
            finally:
                notifying.cancel()
        return socket

    @contextmanager
    def _listed(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> Iterator[None]:
        self.opened += 1
        self._open.append(socket)
        if transport is not None:
            self._transports[id(socket)] = transport
        try:
            yield
        finally:
            self._open.remove(socket)
            self._transports.pop(id(socket), None)
            self._deaf.discard(id(socket))

    async def _take(self, socket: web.WebSocketResponse, request: web.Request, text: str) -> None:
        shelly = self._shelly
        shelly.requests += 1
        self.frames += 1
        await shelly.stall(request.transport)
        if id(socket) in self._deaf:
            return
        answer = bodies.GARBAGE if shelly.fault is Fault.GARBAGE else json.dumps(self._answer(json.loads(text)))
        with suppress(ConnectionError):
            await socket.send_str(answer)
        shelly.answered()

    def _answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        answer = {"id": frame["id"], "src": bodies.device_id(self._shelly.kind), "dst": frame["src"]}
        try:
            self._admit(frame)
            return answer | {"result": self._shelly.result(frame["method"], str(frame.get("params", {}).get("id", 0)))}
        except RpcError as error:
            return answer | {"error": {"code": error.code, "message": error.message}}

    def _admit(self, frame: dict[str, Any]) -> None:
        shelly = self._shelly
        if shelly.fault is Fault.HTTP_500:
            raise RpcError(-1, "Internal Server Error")
        if shelly.fault is Fault.THROTTLED:
            raise RpcError(429, "Too many failed authentication attempts")
        if shelly.logins is not None and frame["method"] != "Shelly.GetDeviceInfo":
            refusal = shelly.logins.frame(frame.get("auth"), time.monotonic())
            if refusal is not None:
                raise RpcError(refusal.status, shelly.logins.message(refusal))

    async def _notify(self, socket: web.WebSocketResponse) -> None:
        """Everything first, then what has moved: nobody can tell from these how things stand."""
        told: dict[str, float] = {}
        method = "NotifyFullStatus"
        while not socket.closed:
            await asyncio.sleep(NOTIFY_EVERY_S)
            if self._shelly.fault in (Fault.HANG, Fault.SLOW) or id(socket) in self._deaf:
                continue
            sample, utc_s, _ = self._shelly.now()
            parts = bodies.components(self._shelly.kind, sample)
            moved = {key: part for key, part in parts.items() if _moved(told, key, part)}
            if moved:
                frame = {"src": bodies.device_id(self._shelly.kind), "dst": "user", "method": method}
                with suppress(ConnectionError):
                    await socket.send_str(json.dumps(frame | {"params": {"ts": round(utc_s, 2)} | moved}))
                method = "NotifyStatus"


def _moved(told: dict[str, float], key: str, part: dict[str, Any]) -> bool:
    """Whether the power of a component is far enough from what was told last; it is told then."""
    power_w = next((part[name] for name in ("total_act_power", "act_power", "apower") if name in part), None)
    if power_w is None:
        return False
    last_w = told.get(key)
    if last_w is not None and (abs(power_w - last_w) < MOVED_W or abs(power_w - last_w) < MOVED_SHARE * abs(last_w)):
        return False
    told[key] = power_w
    return True
