"""Sensors of an ESPHome device with ``web_server``: its stream of events, or asking where that is refused.

A sensor is called by its name (``sensor/Grid Power``: firmware 2026.1 and later) or by the id that is made of it
(``sensor-grid_power``); the stream of firmware between tells both. Every value that a sensor publishes is an event,
also when it is the same as before. What is sent at the beginning of a stream are values of unknown age.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import aiohttp
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from app.access import Access
from app.endpoint import basic_login
from app.fields import Host
from app.meters.base import About, Emit, Meter, PolledConfig
from app.meters.esphome_states import PING_S, Heard, document_of, object_id, value_of
from app.meters.pace import Pace
from app.meters.push import SILENT, Closed, Wanted, keep
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import Answer, ask, listen
from app.redact import Redactor, secrets_of
from app.sse import Event, Events

log = logging.getLogger(__name__)

ASK_FOR_S = 60.0  # so long it is asked, before the stream is tried again


def _bare(value: str) -> str:
    return re.sub(r"^sensor[-/]", "", value)


Sensor = Annotated[str, StringConstraints(min_length=1, max_length=120), AfterValidator(_bare)]


class EspHomeConfig(PolledConfig):
    """Power sensors of an ESPHome device."""

    about = About(
        products="anything with ESPHome and its web_server: SML and P1 readers, pulse counters, own builds",
        example="type: esphome\nhost: 192.168.1.20\nsensor: Grid Power",
        speed="as the sensor publishes (update_interval)",
        limits=(
            "the sensor has a unit, W or kW. One that publishes changes only (filter delta) needs the filter "
            "heartbeat as well: what is silent is not believed. A sensor of a sub-device is named Device/Sensor, "
            "from firmware 2026.1.3 on. Where the device refuses its stream it is asked for the value, and cannot tell "
            "how old that is"
        ),
    )

    type: Literal["esphome"]
    host: Host
    sensor: Sensor | None = Field(None, description="name or id of the sensor of the power; positive is import")
    import_sensor: Sensor | None = Field(None, description="where import and export have a sensor each")
    export_sensor: Sensor | None = None
    phase_sensors: tuple[Sensor, ...] = Field((), max_length=3, description="where each phase has a sensor")
    username: str = Field("", pattern="^[^:]*$", description="where web_server has auth")
    password: str = Field("", repr=False)
    interval_s: float = Field(1.0, ge=0.2, le=60, description="how often the sensor publishes at best")
    timeout_s: float = Field(3.0, gt=0, le=10, description="give up on one answer after this many seconds")

    @model_validator(mode="after")
    def _some_sensor(self) -> EspHomeConfig:
        self.wanted.checked("sensor")
        return self

    @property
    def wanted(self) -> Wanted:
        """The sensors that make up the power."""
        return Wanted(self.sensor, self.import_sensor, self.export_sensor, self.phase_sensors)

    def driver(self, access: Access) -> Meter:
        """The driver for these sensors."""
        return EspHome(self, access.session)


class EspHome:
    """Follows some sensors of one device."""

    def __init__(
        self, config: EspHomeConfig, session: aiohttp.ClientSession, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = f"esphome at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._session, self._clock = config, session, clock
        self._wanted = config.wanted
        self._public = Redactor(secrets_of(config))
        self._pace = Pace(config.interval_s)
        self._basic = False  # whether it asked for that login
        self._digest: aiohttp.DigestAuthMiddleware | None = None
        self._asking = False

    async def run(self, emit: Emit) -> None:
        """Emit whenever the sensors have published, and that they do not."""
        await keep(lambda: self._connect(emit), emit, self._public)

    async def _connect(self, emit: Emit) -> None:
        why = await self._stream(emit)
        if why is not None:
            await self._ask_instead(emit, why)

    # -- the stream ----------------------------------------------------------------------------------

    async def _stream(self, emit: Emit) -> str | None:
        """Follow the stream to its end; returns why there is none, where it is refused."""
        url = f"http://{self._config.host}/events"
        for _ in range(2):
            async with listen(self._session, url, self._config.timeout_s, **self._login()) as response:
                if response.status == 401 and self._wants_basic(response.headers):
                    continue
                if response.status in (401, 403):
                    raise self._refused(response.status)
                if response.status != 200:
                    return f"{self.name} answers /events with HTTP {response.status}"
                if response.content_type != "text/event-stream" or "Content-Encoding" in response.headers:
                    return f"{self.name} answers /events with something else"
                self._tell_way(asking=False)
                await self._follow(response, emit)
                return None
        raise self._refused(401)

    async def _follow(self, response: aiohttp.ClientResponse, emit: Emit) -> None:
        events, heard = Events(), Heard(self._wanted, self._clock())
        chunks = response.content.iter_any()
        reading = asyncio.ensure_future(anext(chunks))
        try:
            while True:
                now_s = self._clock()
                silent_s = SILENT * self._pace.interval_s
                if now_s - heard.alive_s >= max(silent_s, 1.2 * PING_S):
                    raise DeviceUnavailable(f"{self.name} has sent nothing for {now_s - heard.alive_s:.0f} s")
                if now_s - heard.told_s >= silent_s:
                    heard.told_s = now_s
                    emit(heard.silence(self.name, now_s))
                await asyncio.wait({reading}, timeout=max(0.01, heard.told_s + silent_s - now_s))
                if reading.done():
                    chunk = reading.result()
                    reading = asyncio.ensure_future(anext(chunks))
                    heard.alive_s = self._clock()
                    for event in events.feed(chunk):
                        self._take(event, heard, emit)
        except (StopAsyncIteration, aiohttp.ClientError, OSError):
            if not heard.good:
                raise Closed(f"{self.name} closed the connection") from None
        except ValueError as error:
            raise DeviceDataError(f"{self.name} sends {error}") from None
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _take(self, event: Event, heard: Heard, emit: Emit) -> None:
        if event.kind != "state":
            return
        try:
            document = document_of(event.data)
            name = heard.find(document)
            if name is None:
                return
            value_w = value_of(document, f"{self.name}: {name}")
            power = heard.take(name, value_w, self._clock(), old="name" in document)
        except DeviceError as error:
            heard.told_s = self._clock()
            emit(error.saying(self._public(str(error))))
            return
        if power is not None:
            at_s, power_w, phases = power
            heard.told_s, heard.good = self._clock(), True
            self._pace.add(at_s, at_s)
            emit(Reading(power_w, at_s, time.time() - (self._clock() - at_s), phases))

    # -- without the stream --------------------------------------------------------------------------

    async def _ask_instead(self, emit: Emit, why: str) -> None:
        until_s = self._clock() + ASK_FOR_S
        while self._clock() < until_s:
            started_s = self._clock()
            try:
                emit(await self.read())
                self._tell_way(asking=True, why=why)
            except DeviceDataError as error:
                emit(error)
            await asyncio.sleep(max(0.05, self._config.interval_s - (self._clock() - started_s)))

    async def read(self) -> Reading:
        """One reading now, by asking for it. Raises `DeviceError`."""
        started_s = self._clock()
        try:
            values_w = {name: await self._value(name) for name in self._wanted.names}
            power_w, phases = self._wanted.power(values_w)
        except DeviceError as error:  # it may quote what the device says, and the device knows our login
            error.args = (self._public(str(error)),)
            raise
        now_s = self._clock()
        return Reading(power_w, now_s, time.time(), phases, latency_s=now_s - started_s)

    async def _value(self, name: str) -> float:
        tried = list(dict.fromkeys((quote(name, safe="/"), quote(object_id(name), safe="/"))))
        for path in tried:
            answer = await self._get(f"/sensor/{path}")
            if answer.status == 200:
                return value_of(document_of(answer.body.decode("utf-8", "replace")), f"{self.name}: {name}")
            if answer.status != 404:
                raise DeviceDataError(f"{self.name} answers /sensor/{path} with HTTP {answer.status}")
        raise DeviceDataError(
            f"{self.name} has neither /sensor/{' nor /sensor/'.join(tried)} (HTTP 404): firmware 2026.1 and later "
            "knows a sensor by its name, as in its YAML, older ones by the id made of it; check meter.sensor"
        )

    async def _get(self, path: str) -> Answer:
        url, timeout_s = f"http://{self._config.host}{path}", self._config.timeout_s
        for _ in range(2):
            answer = await ask(self._session, url, timeout_s, connect_s=min(1.0, timeout_s), **self._login())
            if answer.status != 401 or not self._wants_basic(answer.headers):
                break
        if answer.status in (401, 403):
            raise self._refused(answer.status)
        return answer

    # -- the login -----------------------------------------------------------------------------------

    def _login(self) -> dict[str, Any]:
        """The login of the kind that it asked for; a password is never sent readably where it did not ask for that."""
        config = self._config
        if not config.username:
            return {}
        if self._basic:
            return {"headers": {"Authorization": basic_login(config.username, config.password)}}
        if self._digest is None:
            self._digest = aiohttp.DigestAuthMiddleware(config.username, config.password)
        return {"middlewares": (self._digest,)}

    def _wants_basic(self, headers: Mapping[str, str]) -> bool:
        """Whether it asks for the other login than the one that was tried."""
        scheme = headers.get("WWW-Authenticate", "").partition(" ")[0].lower()
        if not self._config.username or (scheme == "basic") == self._basic:
            return False
        self._basic = scheme == "basic"
        return True

    def _refused(self, status: int) -> DeviceAuthError:
        self._digest = None
        return DeviceAuthError(
            f"{self.name} refuses the login (HTTP {status}): give meter.username and meter.password as in auth of its "
            "web_server"
        )

    def _tell_way(self, *, asking: bool, why: str = "") -> None:
        if asking != self._asking:
            self._asking = asking
            how = f"asked for its value, since there is no stream: {why}" if asking else "followed by its stream"
            log.info("%s is %s", self.name, self._public(how))
