"""An Enphase gateway: firmware 4 and 5 over http with a digest login, 7 and 8 over https with tokens and sessions.

Other modules extend it by a table of their own::

    FakeGateway("8", handlers={"/ivp/ss/dpel": answer, "PUT /installer/agf/set_profile.json": switch})

A handler takes the request and gives a document (answered as JSON), text, or a whole response; it may be async. Who may
ask for what is in `INSTALLERS`; a path that nobody is asked a login for, in `OPEN`.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.conftest import free_port
from tests.meters.fakes.digest import DigestDoor

FOLDER = Path(__file__).parent / "fixtures"
SERIAL = "122012345678"
SOFTWARE = {"4": "R4.10.35", "5": "D5.0.62", "7": "D7.6.175", "8": "D8.3.5528"}
OPEN = ("/info", "/home")
INSTALLERS = (
    "/stream/meter",
    "/installer/agf/",
    "/ivp/ss/dpel",
    "/ivp/mod/603980032/mode/power",
    "/ivp/peb/devstatus",
)
SESSION_S = 600.0
Handler = Callable[[web.Request], Any]


def fixture(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def token(
    until_s: float = 2e9, *, role: str = "owner", serial: str = SERIAL, made_s: float | None = None, **claims: Any
) -> str:
    """As Enphase makes them; nobody here looks at the signature."""
    said = {"aud": serial, "enphaseUser": role, "exp": int(until_s), "jti": secrets.token_hex(4), **claims}
    if made_s is not None:
        said["iat"] = int(made_s)
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"typ": "JWT", "alg": "ES256"}, said)
    ]
    return ".".join((*encoded, "c2lnbmF0dXJlLXNpZ25hdHVyZQ"))


def said_by(text: str) -> dict[str, Any]:
    """The claims of a token; empty: it is none."""
    with suppress(IndexError, ValueError):
        part = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims if isinstance(claims, dict) else {}
    return {}


@dataclass
class FakeGateway:
    """``meters`` and ``readings`` may be changed at any time; ``tick``: how far a request moves their clock.

    Faults: ``fault`` is "reset", "401", "403", "503", "html" or "" and holds for all but ``/info``; ``slow_s`` delays
    each answer; ``later_s`` sets its clock forward; ``revoked`` tokens are refused; ``strict``: a token alone does not
    do, there has to be a session; `away` is an outage. ``stream`` is "live", "silent" (it stays open and says nothing),
    "repeats" (the same values again) or "buffered" (five at a time).
    """

    firmware: str = "7"
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    serial: str = SERIAL
    meters: Any = field(default_factory=lambda: fixture("meters"))
    readings: Any = field(default_factory=lambda: fixture("readings"))
    tick: int = 1
    fault: str = ""
    slow_s: float = 0.0
    later_s: float = 0.0
    strict: bool = False
    wrong_role: int = 401
    sockets: int = 4
    stream: str = "live"
    stream_s: float = 0.1
    certificate: str = "one"
    port: int = field(default_factory=free_port)
    valid: str = ""
    revoked: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    sessions: dict[str, tuple[str, float]] = field(default_factory=dict)
    at_once: int = 0
    most_at_once: int = 0
    turned_away: int = 0
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        self.valid = self.valid or token(serial=self.serial)
        self.passwords = {"envoy": self.serial[-6:], "installer": "made-of-serial"}
        self.doors = {name: DigestDoor(name, word, "MD5", "enphaseenergy.com") for name, word in self.passwords.items()}
        self.doors["installer"]._counts = self.doors["envoy"]._counts

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def has_tokens(self) -> bool:
        return int(self.firmware) >= 7

    @property
    def now_s(self) -> float:
        return time.time() + self.later_s

    @property
    def grid(self) -> dict[str, Any]:
        """The row of the grid clamps."""
        row: dict[str, Any] = self.readings[1]
        return row

    @property
    def documents(self) -> Mapping[str, Handler]:
        return {
            "/info": self._info,
            "/auth/check_jwt": self._check_jwt,
            "/ivp/meters": lambda _request: self.meters,
            "/ivp/meters/readings": self._read,
            "/stream/meter": self._stream,
            **self.handlers,
        }

    @asynccontextmanager
    async def serve(self, certificate: str = "") -> AsyncIterator[FakeGateway]:
        """Listen, at the same port when it is done again."""
        self.certificate = certificate or self.certificate
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Its daily outage: nobody listens, and whoever was connected is not any more."""
        await self.stop()
        try:
            yield
        finally:
            await self.start()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        made = server.connection_made

        def connection_made(handler: Any, transport: Any) -> None:
            made(handler, transport)
            if len(server.connections) > self.sockets:
                self.turned_away += 1
                transport.abort()

        server.connection_made = connection_made  # type: ignore[method-assign]
        tls = None
        if self.has_tokens:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(FOLDER / f"{self.certificate}.pem")
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self.sessions.clear()

    def forget_sessions(self) -> None:
        """As when it has restarted, or somebody of a higher role has come."""
        self.sessions.clear()

    def role_of(self, text: str) -> str | None:
        """The role of a token that it takes."""
        claims = said_by(text)
        good = claims.get("aud") == self.serial and claims.get("exp", 0) > self.now_s and text not in self.revoked
        return str(claims.get("enphaseUser")) if good else None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.method != "GET":
            self.sent.append((request.method, request.path, await request.read()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.slow_s)
            return await self._respond(request)
        finally:
            self.at_once -= 1

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if request.path not in OPEN:
            refusal = self._faulty(request) or self._refusal(request)
            if refusal is not None:
                return refusal
        documents = self.documents
        handler = documents.get(f"{request.method} {request.path}", documents.get(request.path))
        if handler is None:
            return web.Response(status=404, text='{"err":"404 - Not Found"}')
        answer = handler(request)
        if isawaitable(answer):
            answer = await answer
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)

    def _faulty(self, request: web.Request) -> web.Response | None:
        match self.fault:
            case "reset":
                assert request.transport is not None
                request.transport.abort()
                return web.Response(status=500)
            case "401" | "403" | "503":
                return web.Response(status=int(self.fault), text="<html>sorry</html>")
            case "html":
                return web.Response(text="<html>Enphase is starting</html>", content_type="text/html")
        return None

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.has_tokens:
            role = self._visitor(request)
            if role is None:
                return web.Response(status=401, text="<html>401 Authorization Required</html>")
        else:
            given = request.headers.get("Authorization", "")
            role = "installer" if 'username="installer"' in given else "envoy"
            refused = self.doors[role].refusal(request)
            if refused is not None:
                return refused
        if role != "installer" and request.path.startswith(INSTALLERS):
            return web.Response(status=self.wrong_role, text='{"message": "not with this role"}')
        return None

    def _visitor(self, request: web.Request) -> str | None:
        """The role of who asks."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        role = self.role_of(given)
        opened = request.cookies.get("sessionId", "")
        session = self.sessions.get(opened)
        alive = session is not None and self.now_s - session[1] < SESSION_S
        if session is not None:
            self.sessions[opened] = (session[0], self.now_s)
        if self.strict and request.path != "/auth/check_jwt" and not alive:
            return None
        return role

    def _check_jwt(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        role, opened = self.role_of(given) or "owner", secrets.token_urlsafe(16)
        if role == "installer":
            self.sessions = {key: one for key, one in self.sessions.items() if one[0] == "installer"}
        self.sessions[opened] = (role, self.now_s)
        answer = web.Response(text="<!DOCTYPE html><h2>Valid token.</h2>", content_type="text/html")
        answer.set_cookie("sessionId", opened, path="/", secure=True)
        return answer

    def _info(self, _request: web.Request) -> web.Response:
        body = (
            "<?xml version='1.0' encoding='UTF-8'?><envoy_info><time>1700000000</time><device>"
            f"<sn>{self.serial}</sn><pn>800-00654-r08</pn><software>{SOFTWARE[self.firmware]}</software>"
            "<euaid>4c8675</euaid><seqnum>0</seqnum><apiver>1</apiver><imeter>true</imeter></device>"
            + (f"<web-tokens>{str(self.has_tokens).lower()}</web-tokens></envoy_info>")
        )
        return web.Response(text=body, content_type="text/xml")

    def _read(self, _request: web.Request) -> Any:
        if self.tick and isinstance(self.readings, list):
            for row in self.readings:
                row["timestamp"] += self.tick
        return copy.deepcopy(self.readings)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        waiting: list[bytes] = []
        while True:
            await asyncio.sleep(self.stream_s)
            if self.stream == "silent":
                continue
            if self.stream != "repeats":
                self.grid["activePower"] = round(self.grid["activePower"] + 0.001, 3)
            waiting.append(b"data: " + json.dumps(self._event()).encode() + b"\n\n")
            if len(waiting) >= (5 if self.stream == "buffered" else 1):
                await answer.write(b"".join(waiting))
                waiting.clear()

    def _event(self) -> dict[str, Any]:
        """Three phases, as many as there are; the others show zeros."""
        empty = {"p": 0.0, "q": 0.0, "s": 0.0, "v": 0.0, "i": 0.0, "pf": 0.0, "f": 0.0}
        grid = self.grid
        channels = grid["channels"] or [grid]
        total_w, shown_w = grid["activePower"], sum(one["activePower"] for one in channels)
        phases = [
            {"p": one["activePower"], "q": 0.0, "s": 0.0, "v": one["voltage"], "i": one["current"],
             "pf": one["pwrFactor"], "f": 50.0}
            for one in channels
        ]  # fmt: skip
        phases[0]["p"] = round(phases[0]["p"] + total_w - shown_w, 3)
        phases += [empty] * (3 - len(phases))
        named = dict(zip(("ph-a", "ph-b", "ph-c"), phases, strict=False))
        nothing = dict.fromkeys(("ph-a", "ph-b", "ph-c"), empty)
        return {"production": nothing, "net-consumption": named, "total-consumption": nothing}
