"""The driver: finds out what the device is, asks it twice per interval, and keeps to what it can take."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from app.documents import document
from app.endpoint import basic_login
from app.meters.base import Emit, poll, when_new
from app.meters.shelly.config import ShellyConfig
from app.meters.shelly.device import Device, Gen1Device, rpc_device
from app.meters.shelly.login import LeftAlone, Login
from app.meters.shelly.parse import UNKNOWN, Unsuitable
from app.meters.shelly.rpc import HttpRpc, NoSuchComponent
from app.meters.shelly.uptime import Uptime
from app.meters.shelly.websocket import Lost, Silent, SocketRpc, Standing
from app.meters.shelly.wire import Network, Wire
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import place
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

COUNTER_INTERVAL_S, FIRST_COUNTER_PAUSE_S = 30.0, 2.0
UNSUITABLE_S = 5.0  # what cannot serve is not asked again sooner
MOST_TOLD = 32  # a device that keeps inventing complaints does not fill the log


class Shelly:
    """One device, one request at a time; what it is, is found out again after it was away."""

    def __init__(
        self,
        config: ShellyConfig,
        session: aiohttp.ClientSession,
        *,
        wire: Wire | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"shelly at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._clock = config, clock
        self._wire = wire or Network(session, config.host, config.timeout_s)
        self._login = Login(config.password, self.name)
        self._socket_nonce = self._login.nonce()
        self._http = HttpRpc(self._wire, config.host, self._login, clock)
        self._standing = Standing(self._dial, self.name, clock)
        self._lock = asyncio.Lock()
        self._public = Redactor(secrets_of(config))
        self._uptime = Uptime(2.5 * max(1.0, config.interval_s))
        self._device: Device | None = None
        self._unsuitable: tuple[float, Unsuitable] | None = None
        self._counters = UNKNOWN
        self._told: set[str] = set()

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``, soon after the device has made it."""
        interval_s = self._config.interval_s
        async with asyncio.TaskGroup() as group:
            asking = poll(self.read, interval_s / 2.0, when_new(emit, interval_s))
            group.create_task(asking, name=f"{self.name}: power")
            group.create_task(self._follow_counters(), name=f"{self.name}: counters")
            group.create_task(self._standing.run(), name=f"{self.name}: WebSocket")

    async def read(self) -> Reading:
        """One reading now. Raises `DeviceError`."""
        try:
            device = self._device or await self._identify()
            started_s = self._clock()
            try:
                power_w, phases, counters = await device.measure()
            except NoSuchComponent:  # its profile has been changed
                device = await self._identify()
                power_w, phases, counters = await device.measure()
        except DeviceError as error:  # it may quote what the device says, and the device knows our login
            await self._failed(error)
            raise error.saying(self._public(str(error))) from None
        done_s = self._clock()
        if counters != UNKNOWN:
            self._counters = counters
        imported, exported = self._counters
        return Reading(
            power_w=power_w,
            at_s=done_s,
            utc_s=time.time(),
            phases=phases,
            import_wh=imported,
            export_wh=exported,
            latency_s=done_s - started_s,
        )

    async def _failed(self, error: DeviceError) -> None:
        """What a failure says about the device: most that it may be another one when it is back."""
        gone = isinstance(error, DeviceUnavailable | DeviceAuthError | NoSuchComponent | Unsuitable)
        if not gone or isinstance(error, LeftAlone):
            return
        self._device = None
        self._uptime.forget()
        await self._standing.drop(self._public(str(error)))
        if isinstance(error, Unsuitable):
            self._unsuitable = self._unsuitable or (self._clock() + UNSUITABLE_S, error)

    async def _follow_counters(self) -> None:
        pause_s = FIRST_COUNTER_PAUSE_S
        while True:
            await asyncio.sleep(pause_s)
            if self._device is None or isinstance(self._device, Gen1Device):
                continue
            pause_s = min(COUNTER_INTERVAL_S, 2.0 * pause_s)
            try:
                counters = await self._device.counters()
                if counters != UNKNOWN:
                    self._counters, pause_s = counters, COUNTER_INTERVAL_S
                self._look_at_uptime(await self._call("Sys.GetStatus"))
            except DeviceError as error:
                log.debug("no counters from %s: %s", self.name, self._public(str(error)))

    # -- identification ------------------------------------------------------------------------------

    async def _identify(self) -> Device:
        if self._unsuitable is not None and self._clock() < self._unsuitable[0]:
            raise Unsuitable(str(self._unsuitable[1]))
        self._device = self._unsuitable = None
        about = await self._get("/shelly", {})
        if not isinstance(about, dict) or "mac" not in about:
            raise DeviceDataError(f"{self._config.host} answers, but is no Shelly: check meter.host")
        needs_login = bool(about.get("auth") or about.get("auth_en"))
        if needs_login and not self._config.password:
            raise DeviceAuthError(f"the Shelly at {self._config.host} asks for a password: set meter.password")
        model = about.get("model") or about.get("app") or about.get("type") or "Shelly of unknown model"
        self._tell(f"is a {str(model)[:40]}")
        self._device = device = await self._kind(about, str(model)[:40], needs_login=needs_login)
        return device

    async def _kind(self, about: dict[str, Any], model: str, *, needs_login: bool) -> Device:
        channels = self._config.channel
        if "gen" not in about:
            return Gen1Device(lambda: self._status(needs_login=needs_login), channels)
        who = f"the {model} at {self._config.host}"
        found = await rpc_device(self._call, about, channels, who, self._tell)
        self._standing.want()
        return found

    # -- requests ------------------------------------------------------------------------------------

    async def _status(self, *, needs_login: bool) -> Any:
        """``/status`` of Gen1."""
        login = basic_login(self._config.username, self._config.password)
        status = await self._get("/status", {"Authorization": login} if needs_login else {})
        self._look_at_uptime(status)
        return status

    async def _get(self, path: str, headers: dict[str, str]) -> Any:
        async with self._lock:
            answer = await self._wire.get(path, headers)
        who = place(f"http://{self._config.host}{path}")
        if answer.status == 404:
            raise NoSuchComponent(f"{who} answers HTTP 404")
        return document(answer, who)

    async def _call(self, method: str, number: int | None = None) -> Any:
        """Call a method over the WebSocket where it stands, else over HTTP."""
        async with self._lock:
            rpc = self._standing.rpc
            if rpc is not None:
                try:
                    return await rpc.call(method, number)
                except (Lost, Silent) as error:  # by a restart, perhaps: what it is has to be found out again
                    self._device = None
                    await self._standing.drop(str(error))
                    if isinstance(error, Silent):
                        raise
            return await self._http.call(method, number)

    async def _dial(self) -> SocketRpc:
        """A WebSocket that answers."""
        socket = await self._wire.open()
        timeout_s = self._config.timeout_s
        rpc = SocketRpc(socket, self.name, self._login, self._socket_nonce, timeout_s, self._clock)
        try:
            await rpc.greet()
        except BaseException:
            await rpc.close()
            raise
        return rpc

    def _look_at_uptime(self, status: Any) -> None:
        uptime = status.get("uptime") if isinstance(status, dict) else None
        if self._uptime.restarted(uptime, self._clock()):
            log.info("%s has restarted", self.name)
            self._device = None

    def _tell(self, what: str) -> None:
        """Once each."""
        if what not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(what)
            log.info("%s %s", self.name, self._public(what))
