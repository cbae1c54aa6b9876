"""A Shelly without a network, for virtual time: its login is that of the simulator, its watts are those of a clock."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from app.model import DeviceUnavailable
from app.outbound import Answer
from app.simulator.shelly_logins import Logins, Refusal

REALM = "shellypro3em-02005e100002"
PASSWORD = "sesame"
ANSWERS_IN_S = 0.04
SILENT_S = 1.0  # until a request that nobody answers is given up


def power_at(now_s: float) -> float:
    """What it measures then: another value each second."""
    return float(int(now_s) * 37 % 2000 - 700)


class MemoryShelly:
    """A three-phase meter. ``up`` False: nobody answers. ``welcome`` False: no WebSocket is opened."""

    def __init__(self, clock: Callable[[], float], firmware: int) -> None:
        self.clock = clock
        self.logins = Logins(REALM, PASSWORD, firmware)
        self.up = self.welcome = True
        self.sockets: list[MemorySocket] = []
        self.requests: Counter[int] = Counter()  # by minute, both ways
        self.paths: Counter[str] = Counter()
        self.connections: Counter[int] = Counter()  # by minute
        self.at_once = self.most_at_once = 0  # connections that stand
        self.booted_s = clock() - 1000.0

    def restart(self) -> None:
        """It breaks all connections, and knows no nonce of before."""
        self.logins.forget()
        self.booted_s = self.clock()
        for socket in self.sockets:
            socket.end()

    def half_open(self) -> None:
        """Its WebSockets say nothing any more."""
        for socket in self.sockets:
            socket.deaf = True

    async def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        if not self.up:
            await asyncio.sleep(SILENT_S)
            raise DeviceUnavailable("does not answer")
        self.count(path)
        self.connect(1)
        try:
            await asyncio.sleep(ANSWERS_IN_S)
        finally:
            self.connect(-1)
        if path == "/shelly":
            return _answer({"mac": "x", "gen": 2, "auth_en": True, "model": "SPEM-003CEBEU", "profile": "triphase"})
        refusal = self.logins.http(headers.get("Authorization", ""), "GET", path, self.clock())
        if refusal is not None:
            told = {"WWW-Authenticate": self.logins.header(refusal)} if refusal.status == 401 else {}
            return Answer(refusal.status, told, b"")
        result = self.result(path.removeprefix("/rpc/").partition("?")[0])
        return Answer(404, {}, b"") if result is None else _answer(result)

    async def open(self) -> MemorySocket:
        if not self.up:
            await asyncio.sleep(SILENT_S)
        if not self.up or not self.welcome:
            raise DeviceUnavailable("speaks no WebSocket")
        self.connect(1)
        socket = MemorySocket(self)
        self.sockets.append(socket)
        return socket

    def connect(self, change: int) -> None:
        self.at_once += change
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.connections[int(self.clock() // 60)] += change > 0

    def count(self, what: str) -> None:
        self.requests[int(self.clock() // 60)] += 1
        self.paths[what] += 1

    def result(self, method: str) -> Any:
        match method:
            case "EM.GetStatus":
                return {"id": 0, "total_act_power": power_at(self.clock())}
            case "EMData.GetStatus":
                return {"id": 0, "total_act": self.clock(), "total_act_ret": 5.0}
            case "Sys.GetStatus":
                return {"uptime": int(self.clock() - self.booted_s)}
            case "Shelly.GetDeviceInfo":
                return {"id": REALM}
        return None


class MemorySocket:
    """One WebSocket."""

    def __init__(self, shelly: MemoryShelly) -> None:
        self._shelly = shelly
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        self.deaf = self._ended = self._closed = False

    def end(self) -> None:
        self._ended = True
        self._frames.put_nowait(None)

    async def send(self, text: str) -> None:
        if self._ended:
            raise DeviceUnavailable("it closed the connection")
        if self.deaf or not self._shelly.up:
            return
        frame = json.loads(text)
        self._shelly.count(frame["method"])
        answer: dict[str, Any] = {"id": frame["id"], "src": REALM, "dst": frame["src"]}
        refusal = self._refusal(frame)
        if refusal is not None:
            answer["error"] = {"code": refusal.status, "message": self._shelly.logins.message(refusal)}
        elif (result := self._shelly.result(frame["method"])) is not None:
            answer["result"] = result
        else:
            answer["error"] = {"code": 404, "message": "No handler"}
        await asyncio.sleep(ANSWERS_IN_S)
        self._frames.put_nowait(json.dumps(answer))

    def _refusal(self, frame: dict[str, Any]) -> Refusal | None:
        if frame["method"] == "Shelly.GetDeviceInfo":
            return None
        return self._shelly.logins.frame(frame.get("auth"), self._shelly.clock())

    async def receive(self) -> str | None:
        return await self._frames.get()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._shelly.connect(-1)
            self._shelly.sockets.remove(self)


def _answer(document: Any) -> Answer:
    return Answer(200, {}, json.dumps(document).encode())
