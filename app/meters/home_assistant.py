"""Entities of a Home Assistant: over its WebSocket (``subscribe_entities``), or by asking where that is refused.

Home Assistant tells a value when it changes, and says nothing while it stands still. So it is pinged: the values that
it has told are those of now for as long as it answers, since everything it says comes in order.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import aiohttp
from pydantic import Field, StringConstraints, model_validator

from app.access import Access
from app.endpoint import HeaderText
from app.fields import Url
from app.meters.base import About, Emit, Meter, PolledConfig
from app.meters.home_assistant_states import SUBSCRIPTION, Entity, Talk, apply, mapping, state_of, value_of
from app.meters.push import SILENT, Closed, Wanted, keep
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import ask, dial, place
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

ASK_FOR_S = 60.0  # so long it is asked, before the WebSocket is tried again
EntityId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$", max_length=255)]


class HomeAssistantConfig(PolledConfig):
    """Power sensors of a Home Assistant."""

    about = About(
        products="any power sensor of Home Assistant: one that is signed, import and export, or one per phase",
        example='type: home_assistant\nurl: http://192.168.1.20:8123\ntoken: "${HA_TOKEN}"\nentity: sensor.grid_power',
        speed="as the sensor behind it, and some hundredths of a second more",
        limits=(
            "the token is a long-lived one, made at the bottom of your profile; in an add-on, "
            "url: http://supervisor/core and the token ${SUPERVISOR_TOKEN}. A value that stands still is believed "
            "for as long as Home Assistant answers: where its integration does not notice that the device is gone, "
            "give max_age_s"
        ),
    )

    type: Literal["home_assistant"]
    url: Url = Field(description="as in the browser, without what follows the port")
    token: HeaderText = Field(min_length=1, repr=False, description="a long-lived access token")
    entity: EntityId | None = Field(None, description="the sensor of the power; positive is import")
    import_entity: EntityId | None = Field(None, description="where import and export have a sensor each")
    export_entity: EntityId | None = None
    phase_entities: tuple[EntityId, ...] = Field((), max_length=3, description="where each phase has a sensor")
    max_age_s: float | None = Field(
        None, gt=0, le=86_400, description="a value that has not changed for so long is not believed; default: it is"
    )
    interval_s: float = Field(1.0, ge=0.2, le=60, description="seconds between two signs of life")
    timeout_s: float = Field(3.0, gt=0, le=10, description="give up on one answer after this many seconds")

    @model_validator(mode="after")
    def _some_entity(self) -> HomeAssistantConfig:
        self.wanted.checked("entity")
        return self

    @property
    def wanted(self) -> Wanted:
        """The entities that make up the power."""
        return Wanted(self.entity, self.import_entity, self.export_entity, self.phase_entities)

    def driver(self, access: Access) -> Meter:
        """The driver for these entities."""
        return HomeAssistant(self, access.session)


class HomeAssistant:
    """Follows some entities."""

    def __init__(
        self, config: HomeAssistantConfig, session: aiohttp.ClientSession, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = f"home assistant at {place(config.url)}"
        self.interval_s = config.interval_s
        self._config, self._session, self._clock = config, session, clock
        self._wanted = config.wanted
        self._public = Redactor(secrets_of(config))
        self._known: dict[str, Entity] = {}
        self._updated_s: dict[str, tuple[float, float]] = {}  # by entity: its own stamp, and when that was for us
        self._asking, self._asked_s = False, -math.inf
        self._good = False  # whether this connection has brought a reading

    async def run(self, emit: Emit) -> None:
        """Emit whenever a value changes, and once per interval that it is still the same."""
        await keep(lambda: self._connect(emit), emit, self._public)

    async def _connect(self, emit: Emit) -> None:
        self._good = False
        try:
            socket = await dial(self._session, f"{self._config.url}/api/websocket", self._config.timeout_s)
        except DeviceUnavailable as why:
            await self._ask_instead(emit, str(why))
            return
        try:
            await self._log_in(socket)
            self._tell_way(asking=False)
            await self._follow(socket, emit)
        except Closed:
            if not self._good:
                raise
        finally:
            await socket.close()

    # -- WebSocket -----------------------------------------------------------------------------------

    async def _log_in(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        hello = await self._answer(socket)
        if hello.get("type") == "auth_required":
            await self._send(socket, {"type": "auth", "access_token": self._config.token})
            hello = await self._answer(socket)
        if hello.get("type") == "auth_invalid":
            raise self._refused(str(hello.get("message"))[:80])
        if hello.get("type") != "auth_ok":
            raise DeviceDataError(f"{self.name}: what answers there is no Home Assistant: check meter.url")

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse, emit: Emit) -> None:
        """Take in what it sends until it sends nothing more."""
        subscription = {"id": SUBSCRIPTION, "type": "subscribe_entities", "entity_ids": list(self._wanted.names)}
        await self._send(socket, subscription)
        self._known = {}
        talk = Talk(self._wanted, self._config.interval_s, self._clock())
        while True:
            now_s = self._clock()
            if now_s >= talk.heard_s + talk.silent_s:
                raise DeviceUnavailable(f"{self.name} has said nothing for {talk.silent_s:.0f} s, and answers no ping")
            if now_s >= talk.ping_s:
                talk.number, talk.ping_s = talk.number + 1, now_s + self._config.interval_s
                await self._send(socket, {"id": talk.number, "type": "ping"})
            if now_s >= talk.due_s:
                talk.due_s = math.inf
                self._tell(emit, talk.heard_s)
            message = await self._receive(socket, talk.wake_s - self._clock())
            if message is not None:
                talk.heard_s = self._clock()
                self._take(message, talk)

    def _take(self, message: Mapping[str, Any], talk: Talk) -> None:
        match message.get("type"):
            case "event" if message.get("id") == SUBSCRIPTION:
                before, after = self._known, apply(self._known, message.get("event"))
                self._known = {name: after[name] for name in self._wanted.names if name in after}
                self._note(live=talk.told)
                talk.changed(before, self._known)
            case "result" if message.get("success") is not True:
                error = message.get("error")
                said = error.get("message") if isinstance(error, dict) else error
                raise DeviceDataError(
                    f"{self.name} refuses to tell of {', '.join(self._wanted.names)}: {str(said)[:80]}"
                )
            case "pong":
                if not talk.told:  # it answers in order
                    raise DeviceDataError(f"{self.name} does not tell the entities that were asked for")
                if talk.due_s == math.inf:
                    talk.due_s = talk.heard_s

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse) -> Mapping[str, Any]:
        message = await self._receive(socket, self._config.timeout_s)
        if message is None:
            raise DeviceUnavailable(f"{self.name} does not answer within {self._config.timeout_s:g} s")
        return message

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse, timeout_s: float) -> Mapping[str, Any] | None:
        """The next message; None: not in time."""
        try:
            message = await socket.receive(max(0.001, timeout_s))
        except TimeoutError:
            return None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise Closed(f"{self.name} closed the connection")
        try:
            return mapping(json.loads(message.data), "a message")
        except (ValueError, RecursionError):
            raise DeviceDataError(f"{self.name} sends what is no JSON") from None

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, message: Mapping[str, Any]) -> None:
        try:
            await socket.send_json(message)
        except (aiohttp.ClientError, OSError):
            raise Closed(f"{self.name} closed the connection") from None

    # -- without a WebSocket -------------------------------------------------------------------------

    async def _ask_instead(self, emit: Emit, why: str) -> None:
        until_s = self._clock() + ASK_FOR_S
        while self._clock() < until_s:
            started_s = self._clock()
            try:
                emit(await self.read())
                self._tell_way(asking=True, why=why)
            except DeviceDataError as error:
                error.args = (self._public(str(error)),)
                emit(error)
            await asyncio.sleep(max(0.05, self._config.interval_s - (self._clock() - started_s)))

    async def read(self) -> Reading:
        """One reading now, by asking for it. Raises `DeviceError`."""
        started_s = self._clock()
        try:
            found = {name: await self._state(name) for name in self._wanted.names}
            self._known = {name: entity for name, entity in found.items() if entity is not None}
            now_s = self._clock()
            self._note(live=now_s - self._asked_s < SILENT * self._config.interval_s)
            self._asked_s = now_s
            return self._reading(now_s, now_s - started_s)
        except DeviceError as error:  # it may quote what the server says, and the server knows our token
            error.args = (self._public(str(error)),)
            raise

    async def _state(self, name: str) -> Entity | None:
        url, timeout_s = f"{self._config.url}/api/states/{name}", self._config.timeout_s
        headers = {"Authorization": f"Bearer {self._config.token}"}
        answer = await ask(self._session, url, timeout_s, connect_s=min(1.0, timeout_s), headers=headers)
        if answer.status in (401, 403):
            raise self._refused(f"HTTP {answer.status}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise DeviceDataError(f"{place(url)} answers HTTP {answer.status}: check meter.url")
        try:
            return state_of(json.loads(answer.body))
        except (ValueError, RecursionError):
            raise DeviceDataError(f"{place(url)} does not answer with JSON: check meter.url") from None

    # -- what is known -------------------------------------------------------------------------------

    def _note(self, *, live: bool) -> None:
        """Remember when values were updated. ``live``: whatever is new is of this moment, and not of some time ago."""
        now_s, utc_s = self._clock(), time.time()
        for name in self._wanted.names:
            stamp_s = self._known[name].updated_utc_s if name in self._known else None
            if stamp_s is not None and self._updated_s.get(name, (None, 0.0))[0] != stamp_s:
                self._updated_s[name] = stamp_s, now_s if live else now_s - max(0.0, utc_s - stamp_s)

    def _tell(self, emit: Emit, at_s: float) -> None:
        try:
            emit(self._reading(at_s))
            self._good = True
        except DeviceError as error:
            emit(error.saying(self._public(str(error))))

    def _reading(self, at_s: float, latency_s: float | None = None) -> Reading:
        values_w = {name: value_of(name, self._known.get(name)) for name in self._wanted.names}
        for name in self._wanted.names if self._config.max_age_s is not None else ():
            age_s = at_s - self._updated_s.get(name, (0.0, -math.inf))[1]
            if age_s > (self._config.max_age_s or 0.0):
                raise DeviceDataError(
                    f"{name} has been the same for {age_s:.0f} s, longer than max_age_s: look at its device"
                )
        power_w, phases = self._wanted.power(values_w)
        utc_s = time.time() - (self._clock() - at_s)
        return Reading(power_w, at_s, utc_s, phases, latency_s=latency_s)

    def _refused(self, said: str) -> DeviceAuthError:
        return DeviceAuthError(
            f"{self.name} refuses the token ({said}): make a long-lived access token in your profile there, "
            "and put it into meter.token"
        )

    def _tell_way(self, *, asking: bool, why: str = "") -> None:
        if asking != self._asking:
            self._asking = asking
            how = f"asked over HTTP, since there is no WebSocket: {why}" if asking else "followed over its WebSocket"
            log.info("%s is %s", self.name, self._public(how))
