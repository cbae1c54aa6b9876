"""Shelly energy meters as the network sees them: Gen1 and Gen2+ over HTTP, with their logins."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from types import TracebackType
from typing import Any, Self
from urllib.request import parse_http_list, parse_keqv_list

from aiohttp import web

from app.simulator import shelly_bodies as bodies
from app.simulator.house import House
from app.simulator.meter import MeterSample
from app.simulator.shelly_bodies import KINDS, Fault

NONCE_VALID_S = 3600.0
LOOK_EVERY_S = 0.05


def _sha256(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


class FakeShelly:
    """``async with FakeShelly(house, kind="pro3em") as shelly: … shelly.host …`` serves the house's meter.

    ``fault`` can be set at any time (`Fault`, or its value as text), ``delay_s`` goes with ``slow``. ``requests``
    counts what was asked. Gen1 logins are Basic with ``username``, later ones Digest with the user ``admin``.
    """

    def __init__(
        self,
        house: House,
        kind: str = "gen1-3em",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        username: str = "admin",
        password: str | None = None,
    ) -> None:
        self.house = house
        self.kind = KINDS[kind]
        self.delay_s = 3.0
        self.requests = 0
        self._fault: Fault | None = None
        self._frozen: tuple[MeterSample, float, float] | None = None
        self._address = (host, port)
        self._login = (username, password)
        self._nonces: dict[str, float] = {}
        self._runner: web.AppRunner | None = None

    @property
    def host(self) -> str:
        """``name:port``, as a configuration wants it."""
        return f"{self._address[0]}:{self._address[1]}"

    @property
    def fault(self) -> Fault | None:
        """How it fails now; None while it works."""
        return self._fault

    @fault.setter
    def fault(self, value: Fault | str | None) -> None:
        self._frozen = None
        self._fault = None if value is None else Fault(value)
        self._frozen = self._now() if self._fault is Fault.FROZEN else None

    def forget_nonces(self) -> None:
        """Make every login challenge again, as after an hour or a restart."""
        self._nonces.clear()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, *self._address)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._address = (self._address[0], self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Every request ends here: Shellys close the connection after each answer."""
        self.requests += 1
        if self._fault is Fault.DOWN and request.transport is not None:
            request.transport.abort()
        await self._stall(request)
        response = self._answer(request)
        response.force_close()
        return response

    async def _stall(self, request: web.Request) -> None:
        """Keep the client waiting while the fault says so, or until it has left."""
        begun_s = time.monotonic()
        while self._fault in (Fault.HANG, Fault.SLOW) and request.transport is not None:
            if self._fault is Fault.SLOW and time.monotonic() - begun_s >= self.delay_s:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def _answer(self, request: web.Request) -> web.Response:
        if self._fault is Fault.HTTP_500:
            return web.Response(status=500, text="Internal Server Error")
        if self._fault is Fault.THROTTLED:
            return web.Response(status=429, text="Too Many Requests")
        if self._fault is Fault.GARBAGE:
            return web.Response(text="\x00\x7f<html>{]", content_type="application/json")
        if request.path in ("/shelly", "/rpc/Shelly.GetDeviceInfo"):
            return web.json_response(bodies.identity(self.kind, auth=bool(self._login[1])))
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self.kind.generation == 1:
            return self._gen1(request.path)
        return self._rpc(request.path.removeprefix("/rpc/"), request.query.get("id", "0"))

    def _now(self) -> tuple[MeterSample, float, float]:
        """What it measures, its clock and its uptime."""
        if self._frozen is not None:
            return self._frozen
        self.house.follow(asyncio.get_running_loop().time())
        return self.house.meter.sample, time.time(), 86_400.0 + self.house.now_s

    def _gen1(self, path: str) -> web.Response:
        sample, utc_s, uptime_s = self._now()
        body = bodies.gen1_status(self.kind, sample, utc_s, uptime_s)
        numbers = [f"/emeter/{number}" for number in range(self.kind.channels)]
        if path in numbers:
            body = body["emeters"][numbers.index(path)]
        elif path != "/status":
            return web.Response(status=404, text="Not Found")
        return web.json_response(bodies.spoil(body, self._fault))

    def _rpc(self, method: str, number: str) -> web.Response:
        sample, utc_s, uptime_s = self._now()
        parts = bodies.components(self.kind, sample)
        component = method.removesuffix(".GetStatus").lower()
        if method == "Shelly.GetStatus":
            body: dict[str, Any] = {"sys": {"mac": bodies.MAC, "unixtime": int(utc_s), "uptime": int(uptime_s)}} | parts
        elif f"{component}:{number}" in parts:
            body = parts[f"{component}:{number}"]
        elif f"{component}:0" in parts:
            return _error(404, -105, f"Argument 'id', value {number} not found!")
        else:
            return _error(404, 404, f"No handler for {method}")
        return web.json_response(bodies.spoil(body, self._fault))

    # Logins.

    def _refusal(self, request: web.Request) -> web.Response | None:
        username, password = self._login
        if not password:
            return None
        given = request.headers.get("Authorization", "")
        if self.kind.generation == 1:
            wanted = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
            if secrets.compare_digest(given.encode(), wanted.encode()):
                return None
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="admin"'})
        if self._digest_is_right(request, given.removeprefix("Digest "), password):
            return None
        return self._challenge()

    def _challenge(self) -> web.Response:
        nonce = base64.b64encode(secrets.token_bytes(32)).decode()
        self._nonces[nonce] = time.monotonic()
        realm = bodies.device_id(self.kind)
        header = f'Digest qop="auth", realm="{realm}", nonce="{nonce}", algorithm=SHA-256'
        return web.Response(status=401, headers={"WWW-Authenticate": header})

    def _digest_is_right(self, request: web.Request, given: str, password: str) -> bool:
        fields = parse_keqv_list(parse_http_list(given)) if "=" in given else {}
        nonce = fields.get("nonce", "")
        if time.monotonic() - self._nonces.get(nonce, float("-inf")) > NONCE_VALID_S:
            return False
        user = _sha256("admin", bodies.device_id(self.kind), password)
        uri = _sha256(request.method, request.path_qs)
        wanted = _sha256(user, nonce, fields.get("nc", ""), fields.get("cnonce", ""), "auth", uri)
        return fields.get("username") == "admin" and secrets.compare_digest(fields.get("response", ""), wanted)


def _error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)
