"""HomeWizard P1 and kWh meters: version 1 of their local API by asking, version 2 over its WebSocket.

Version 2 tells the time of the meter beside each value, so that copies of old values are known as such: a P1 meter
that has lost its smart meter goes on answering, and one that is broken repeats its last value at each new connection.
So no value of a connection is believed before a second, newer one. kWh meters measure themselves, and tell no time.
Its certificate is that of the first contact (`app.pins`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Literal

import aiohttp
from pydantic import Field, model_validator

from app.access import Access
from app.documents import get_json
from app.endpoint import HeaderText
from app.fields import Host
from app.meters.base import About, Emit, Meter, PolledConfig, poll
from app.meters.freshness import DeviceTime
from app.meters.homewizard_data import V1, V2, Measured, parse
from app.meters.jsonsocket import JsonSocket
from app.meters.push import SILENT, keep
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import CertificateChanged, dial
from app.pins import Pin
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

ASK_FOR_S = 60.0  # so long it is asked, before the WebSocket is tried again
FIRST_STEP_S = 5.0  # between two values, until it is known: 1 s with DSMR 5, 10 s before
LONGEST_STEP_S = 20.0
PAIR = "zero-export pair homewizard HOST"


class HomeWizardConfig(PolledConfig):
    """A HomeWizard meter at the grid connection."""

    about = About(
        products="HomeWizard P1 meter, and kWh meters for one and three phases",
        example='type: homewizard\nhost: 192.168.1.20\n# token: "${HOMEWIZARD_TOKEN}"',
        speed="1 s with a smart meter of DSMR 5 and with kWh meters, 10 s with an older one",
        limits=(
            "without a token it is asked over version 1 of the local API, which is switched on in the HomeWizard app "
            "(Settings, Meters, your meter, Local API) and cannot tell how old a value is. With a token it is "
            f"version 2, which can (firmware 6 and later): `{PAIR}` makes one"
        ),
    )

    type: Literal["homewizard"]
    host: Host
    token: HeaderText = Field("", repr=False, description=f"of version 2; `{PAIR}` makes one")
    version: Literal[1, 2] | None = Field(None, description="of the local API; default: 2 with a token, else 1")

    @model_validator(mode="after")
    def _with_its_login(self) -> HomeWizardConfig:
        if self.version == 2 and not self.token:
            raise ValueError(f"version 2 needs a token: {PAIR} makes one")
        return self

    def driver(self, access: Access) -> Meter:
        """The driver of the version."""
        version = self.version or (2 if self.token else 1)
        return HomeWizard(self, access.session) if version == 1 else HomeWizardV2(self, access)


class HomeWizard:
    """Version 1: one request after the other."""

    def __init__(self, config: HomeWizardConfig, session: aiohttp.ClientSession) -> None:
        self.name = f"homewizard at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._session = config, session
        self._public = Redactor(secrets_of(config))

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``."""
        await poll(self.read, self._config.interval_s, emit)

    async def read(self) -> Reading:
        """One reading now. Raises `DeviceError`."""
        started_s = time.monotonic()
        try:
            url = f"http://{self._config.host}/api/v1/data"
            found = parse(await get_json(self._session, url, self._config.timeout_s), V1)
        except DeviceAuthError:
            raise DeviceAuthError(
                f"{self.name} has its local API switched off: switch it on in the HomeWizard app, "
                "under Settings, Meters, your meter, Local API; or give a token"
            ) from None
        except DeviceDataError as error:
            raise _told(error, self.name, self._public) from None
        done_s = time.monotonic()
        return _reading(found, done_s, done_s - started_s)


class HomeWizardV2:
    """Version 2: its WebSocket, or asking where that is refused or tells nothing new."""

    def __init__(self, config: HomeWizardConfig, access: Access) -> None:
        self.name = f"homewizard at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._session = config, access.session
        self._pin = Pin(access.data_dir, config.host)
        self._public = Redactor(secrets_of(config))
        self._time = DeviceTime()
        self._good = self._asking = False

    async def run(self, emit: Emit) -> None:
        """Emit each new value."""
        await keep(lambda: self._connect(emit), emit, self._public)

    async def _connect(self, emit: Emit) -> None:
        self._good, self._time = False, DeviceTime()
        try:
            await self._follow(emit)
        except CertificateChanged as error:
            raise self._pin.changed(error) from None
        except DeviceAuthError:
            raise
        except DeviceError as why:
            if self._good:
                raise
            await self._ask_instead(emit, str(why))

    # -- WebSocket -----------------------------------------------------------------------------------

    async def _follow(self, emit: Emit) -> None:
        """Take in what it sends until it sends nothing more. Raises `DeviceError`."""
        timeout_s = self._config.timeout_s
        pin = await self._pin.get(timeout_s)
        url = f"wss://{self._config.host}/api/ws"
        socket = JsonSocket(await dial(self._session, url, timeout_s, ssl=pin), self.name)
        try:
            await self._log_in(socket)
            heard_s = new_s = time.monotonic()
            step_s, heard = FIRST_STEP_S, 0
            while True:
                quiet_s = max(self._config.interval_s, step_s)
                message = await socket.receive(quiet_s)
                now_s = time.monotonic()
                if message is not None and message.get("type") == "measurement":
                    heard_s, heard = now_s, heard + 1
                    if self._take(emit, message.get("data"), now_s, first=heard == 1):
                        step_s, new_s = min(LONGEST_STEP_S, now_s - new_s), now_s
                elif now_s - heard_s > SILENT * quiet_s:
                    raise DeviceUnavailable(f"{self.name} has told no value for {now_s - heard_s:.0f} s")
                elif message is None:  # a value that stands still is not sent again by itself
                    await socket.send({"type": "measurement"})
                else:
                    self._refuse_error(message)
        finally:
            await socket.close()

    async def _log_in(self, socket: JsonSocket) -> None:
        hello = await socket.answer(self._config.timeout_s)
        if hello.get("type") != "authorization_requested":
            raise DeviceDataError(f"{self.name}: what answers there is no HomeWizard meter: check meter.host")
        await socket.send({"type": "authorization", "data": self._config.token})
        answer = await socket.answer(self._config.timeout_s)
        if answer.get("type") != "authorized":
            self._refuse_error(answer)
            raise DeviceDataError(f"{self.name} does not answer to its login")
        await socket.send({"type": "subscribe", "data": "measurement"})

    def _take(self, emit: Emit, data: Any, now_s: float, *, first: bool) -> bool:
        """Emit what a message tells; whether it was a new value."""
        try:
            found = parse(data, V2)
            at_s = self._moment(found, now_s)
        except DeviceDataError as error:
            emit(_told(error, self.name, self._public))
            return False
        if at_s is None or first:
            return False
        self._good = True
        self._tell_way(asking=False)
        emit(_reading(found, at_s, None))
        return True

    def _moment(self, found: Measured, now_s: float) -> float | None:
        return now_s if found.stamp_s is None else self._time.moment(found.stamp_s, now_s)

    def _refuse_error(self, message: dict[str, Any]) -> None:
        if message.get("type") == "error":
            data = message.get("data")
            said = str(data.get("message") if isinstance(data, dict) else data)[:80]
            if "unauthorized" in said:
                raise DeviceAuthError(f"{self.name} refuses the token ({said}): {PAIR} makes a new one")
            raise DeviceDataError(f"{self.name} says: {said}")

    # -- without a WebSocket -------------------------------------------------------------------------

    async def _ask_instead(self, emit: Emit, why: str) -> None:
        self._time = DeviceTime()
        until_s = time.monotonic() + ASK_FOR_S
        while time.monotonic() < until_s:
            started_s = time.monotonic()
            try:
                reading = await self.read()
                if reading is not None:
                    emit(reading)
                    self._tell_way(asking=True, why=why)
            except DeviceDataError as error:
                emit(error)
            await asyncio.sleep(max(0.05, self._config.interval_s - (time.monotonic() - started_s)))

    async def read(self) -> Reading | None:
        """One reading now, by asking; None: the meter has nothing new. Raises `DeviceError`."""
        config = self._config
        started_s = time.monotonic()
        try:
            document = await get_json(
                self._session,
                f"https://{config.host}/api/measurement",
                config.timeout_s,
                connect_s=config.timeout_s,
                login=f"token; {PAIR} makes a new one",
                headers={"Authorization": f"Bearer {config.token}", "X-Api-Version": "2"},
                ssl=await self._pin.get(config.timeout_s),
            )
            found = parse(document, V2)
            done_s = time.monotonic()
            at_s = self._moment(found, done_s)
        except CertificateChanged as error:
            raise self._pin.changed(error) from None
        except DeviceDataError as error:
            raise _told(error, self.name, self._public) from None
        return None if at_s is None else _reading(found, at_s, done_s - started_s)

    def _tell_way(self, *, asking: bool, why: str = "") -> None:
        if asking != self._asking:
            self._asking = asking
            how = f"asked, since its WebSocket tells nothing: {why}" if asking else "followed over its WebSocket"
            log.info("%s is %s", self.name, self._public(how))


def _reading(found: Measured, at_s: float, latency_s: float | None) -> Reading:
    utc_s = time.time() - (time.monotonic() - at_s)
    return Reading(found.power_w, at_s, utc_s, found.phases, found.import_wh, found.export_wh, latency_s)


def _told(error: DeviceDataError, name: str, public: Redactor) -> DeviceDataError:
    """The same as it may be shown, with the name of the meter where it does not say it."""
    text = str(error)
    error.args = (public(text if name.rpartition(" ")[2] in text else f"{name}: {text}"),)
    return error
