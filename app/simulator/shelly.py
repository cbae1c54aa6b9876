"""Shelly energy meters as the network sees them: Gen1 over HTTP, later ones over HTTP and WebSockets, with logins."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from app.simulator import shelly_bodies as bodies
from app.simulator.house import House
from app.simulator.meter import MeterSample
from app.simulator.shelly_bodies import KINDS, Fault
from app.simulator.shelly_logins import Logins
from app.simulator.shelly_socket import RpcError, Sockets

LOOK_EVERY_S = 0.05
CHANNELS = 6  # requests at once; what comes on top is not even answered
VERSIONS = {1: "1.6.1", 2: "2.0.0"}


class FakeShelly:
    """``async with FakeShelly(house, kind="pro3em") as shelly: … shelly.host …`` serves the house's meter.

    ``fault`` can be set at any time (`Fault`, or its value as text), ``delay_s`` goes with ``slow``. So can ``errors``
    (by phase: ``{"a": ["out_of_range:act_power"]}``), ``reverse`` (as in its configuration), ``kind`` (another profile)
    and ``websockets`` (False: none is opened, and those that are end). ``requests`` counts what was asked, either way.
    Gen1 logins are Basic with ``username``, later ones Digest with the user ``admin``, as ``firmware`` 1 or 2 has it.
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
        firmware: int = 1,
    ) -> None:
        self.house = house
        self.kind = KINDS[kind]
        self.delay_s = 3.0
        self.requests = self.busiest = 0
        self.errors: dict[str, list[str]] = {}
        self.reverse: dict[str, bool] | bool = {} if self.kind.triphase else False
        self.sockets = Sockets(self)
        self._fault: Fault | None = None
        self._frozen: tuple[MeterSample, float, float] | None = None
        self._address = (host, port)
        self._login = (username, password)
        self._version = VERSIONS[firmware]
        self.logins = Logins(bodies.device_id(self.kind), password, firmware) if password else None
        self._busy = 0
        self._booted_s = -86_400.0  # on the clock of the house
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
        self._frozen = self.now() if self._fault is Fault.FROZEN else None
        if self._fault is Fault.DOWN:
            self.sockets.abort()

    @property
    def websockets(self) -> bool:
        """Whether it opens WebSockets."""
        return self.sockets.welcome

    @websockets.setter
    def websockets(self, value: bool) -> None:
        self.sockets.welcome = value
        if not value:
            self.sockets.abort()

    def forget_nonces(self) -> None:
        """Make every login challenge again, as after an hour or a restart."""
        if self.logins is not None:
            self.logins.forget()

    def restart(self) -> None:
        """Break all connections, and begin anew."""
        self._booted_s = self.house.now_s
        self.forget_nonces()
        self.sockets.abort()

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
        self.sockets.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    def answered(self) -> None:
        """Called after each answer."""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Every request ends here: Shellys close the connection after each answer."""
        if self.sockets.wanted(request):
            return await self.sockets.serve(request)
        self.requests += 1
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            if (self._fault is Fault.DOWN or self._busy > CHANNELS) and request.transport is not None:
                request.transport.abort()
            await self.stall(request.transport)
            response = self._answer(request)
        finally:
            self._busy -= 1
        response.force_close()
        self.answered()
        return response

    async def stall(self, transport: asyncio.BaseTransport | None) -> None:
        """Keep the client waiting while the fault says so, or until it has left."""
        begun_s = time.monotonic()
        while self._fault in (Fault.HANG, Fault.SLOW) and transport is not None and not transport.is_closing():
            if self._fault is Fault.SLOW and time.monotonic() - begun_s >= self.delay_s:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def _answer(self, request: web.Request) -> web.Response:
        if self._fault is Fault.HTTP_500:
            return web.Response(status=500, text="Internal Server Error")
        if self._fault is Fault.THROTTLED:
            return web.Response(status=429, text="Too Many Requests")
        if self._fault is Fault.GARBAGE:
            return web.Response(text=bodies.GARBAGE, content_type="application/json")
        if request.path == "/shelly":
            return web.json_response(self._identity())
        method = request.path.removeprefix("/rpc/")
        refusal = None if method == "Shelly.GetDeviceInfo" else self._refusal(request)
        if refusal is not None:
            return refusal
        if self.kind.generation == 1:
            return self._gen1(request.path)
        try:
            return web.json_response(self.result(method, request.query.get("id", "0")))
        except RpcError as error:
            return web.json_response({"code": error.code, "message": error.message}, status=404)

    def now(self) -> tuple[MeterSample, float, float]:
        """What it measures, its clock and its uptime."""
        if self._frozen is not None:
            return self._frozen
        self.house.follow(asyncio.get_running_loop().time())
        return self.house.meter.sample, time.time(), self.house.now_s - self._booted_s

    def result(self, method: str, number: str) -> Any:
        """What a method results in. Raises `RpcError`."""
        sample, utc_s, uptime_s = self.now()
        parts = bodies.components(self.kind, sample)
        component, _, verb = method.partition(".")
        key = f"{component.lower()}:{number}"
        system = {"mac": bodies.MAC, "unixtime": int(utc_s), "uptime": int(uptime_s)}
        if method == "Shelly.GetDeviceInfo":
            return self._identity()
        if method == "Shelly.GetStatus":
            return bodies.spoil({"sys": system} | parts, self._fault)
        if method == "Sys.GetStatus":
            return system
        if f"{component.lower()}:0" not in parts or verb not in ("GetStatus", "GetConfig"):
            raise RpcError(404, f"No handler for {method}")
        if key not in parts:
            raise RpcError(-105, f"Argument 'id', value {number} not found!")
        if verb == "GetConfig":
            return {"id": int(number), "name": None, "reverse": self.reverse}
        return bodies.spoil(bodies.grumble(parts[key], self.errors), self._fault)

    def _identity(self) -> bodies.Body:
        return bodies.identity(self.kind, auth=bool(self._login[1]), version=self._version)

    def _gen1(self, path: str) -> web.Response:
        body = bodies.gen1_status(self.kind, *self.now())
        numbers = [f"/emeter/{number}" for number in range(self.kind.channels)]
        if path in numbers and "emeters" in body:
            body = body["emeters"][numbers.index(path)]
        elif path != "/status":
            return web.Response(status=404, text="Not Found")
        return web.json_response(bodies.spoil(body, self._fault))

    def _refusal(self, request: web.Request) -> web.Response | None:
        username, password = self._login
        given = request.headers.get("Authorization", "")
        if self.logins is None:
            return None
        if self.kind.generation == 1:
            wanted = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
            if secrets.compare_digest(given.encode(), wanted.encode()):
                return None
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="admin"'})
        refusal = self.logins.http(given, request.method, request.path_qs, time.monotonic())
        if refusal is None:
            return None
        challenge = {"WWW-Authenticate": self.logins.header(refusal)} if refusal.status == 401 else {}
        return web.Response(status=refusal.status, headers=challenge)
