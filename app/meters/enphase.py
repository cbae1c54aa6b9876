"""The grid clamps of an Enphase IQ Gateway or Envoy-S Metered (``/ivp/meters``, ``/ivp/meters/readings``).

Firmware 7 and later: https with a certificate of its own, and a token. Before: http, and a digest login. Rows of meters
that are switched off go on showing numbers, so what a meter is for and whether it is enabled is read first, and again
from time to time. The time stamp of a row tells whether its value is new.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from app.access import Access
from app.digestlogin import DigestLogin
from app.documents import get_json, optional
from app.endpoint import HeaderText
from app.fields import Host
from app.meters.base import About, Emit, Meter, PolledConfig, poll, watts
from app.meters.freshness import DeviceTime, time_stamp
from app.model import DeviceAuthError, DeviceDataError, DeviceError, Phase, Reading
from app.outbound import CertificateChanged
from app.pins import Pin
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 600.0  # at which meters there are
LONGEST_PAUSE_S = 30.0  # between requests to a gateway that does not answer: it has few sockets, and falls over
TOKENS = "https://entrez.enphaseenergy.com"


class EnphaseConfig(PolledConfig):
    """An Enphase gateway with consumption clamps at the grid connection."""

    about = About(
        products="Enphase IQ Gateway and Envoy-S Metered, with consumption clamps set up as net-consumption",
        example='type: enphase\nhost: 192.168.1.20\ntoken: "${ENPHASE_TOKEN}"',
        speed="2 s, where the gateway keeps up",
        limits=(
            f"firmware 7 and later needs a token, made at {TOKENS} and valid for a year (an installer's for 12 hours); "
            "before that, the password, which is the last six digits of the serial number. /production.json, where "
            "firmware 8.3.5433 shows the net as the total consumption, is not read. Once a day the gateway is away for "
            "a while"
        ),
    )

    type: Literal["enphase"]
    host: Host
    token: HeaderText = Field("", repr=False, description="firmware 7 and later")
    token_file: Path | None = Field(None, description="a file that holds the token; read again when it is refused")
    username: str = Field("envoy", pattern="^[^:]+$", description="firmware before 7")
    password: str = Field("", repr=False, description="firmware before 7")
    certificate: Literal["first", "any"] = Field(
        "first", description="first: the one of the first contact, kept in data_dir; any: whoever answers is believed"
    )
    interval_s: float = Field(2.0, ge=1.0, le=60, description="seconds between two requests")
    timeout_s: float = Field(3.0, gt=0, le=10, description="give up on one request after this many seconds")

    @model_validator(mode="after")
    def _one_login(self) -> EnphaseConfig:
        given = (bool(self.token), self.token_file is not None, bool(self.password))
        if sum(given) != 1:
            raise ValueError("give one of token, token_file (firmware 7 and later) and password (before)")
        return self

    def driver(self, access: Access) -> Meter:
        """The driver for this gateway."""
        return Enphase(self, access)


@dataclass(frozen=True, slots=True)
class Clamps:
    """The meter at the grid connection. ``phases``: how many of its channels mean something; 0: not known."""

    eid: int
    phases: int
    status: str


class Enphase:
    """Polls one gateway."""

    def __init__(self, config: EnphaseConfig, access: Access) -> None:
        self.name = f"enphase at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._session = config, access.session
        self._public = Redactor(secrets_of(config))
        self._token = config.token
        self._digest = DigestLogin(config.username, config.password) if config.password else None
        self._pin = Pin(access.data_dir, config.host)
        self._time = DeviceTime()
        self._clamps: Clamps | None = None
        self._looked_s = 0.0
        self._told = "normal"

    async def run(self, emit: Emit) -> None:
        """Emit a reading whenever the gateway has a new one."""
        await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)

    async def read(self) -> Reading | None:
        """One reading now; None: the gateway has nothing new. Raises `DeviceError`."""
        try:
            clamps = await self._find()
            started_s = time.monotonic()
            row = readings_of(await self._get("/ivp/meters/readings"), clamps)
            done_s = time.monotonic()
            at_s = self._time.moment(time_stamp(row.get("timestamp"), "timestamp"), done_s)
            if at_s is None:
                return None
            return parse(row, clamps, at_s, time.time() - (done_s - at_s), done_s - started_s)
        except DeviceError as error:  # it may quote what the gateway says, and the gateway knows our login
            if isinstance(error, DeviceDataError):
                self._clamps = None
            text = str(error)
            error.args = (self._public(text if self._config.host in text else f"{self.name}: {text}"),)
            raise

    async def _find(self) -> Clamps:
        if self._clamps is None or time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._clamps = find(await self._get("/ivp/meters"))
            self._looked_s = time.monotonic()
            if self._clamps.status != self._told:
                self._told = self._clamps.status
                log.warning("%s says of its grid clamps: %s", self.name, self._told)
        return self._clamps

    async def _get(self, path: str) -> Any:
        config = self._config
        if self._digest is not None:
            login = "password, the last six digits of the serial number; firmware 7 and later needs a token"
            return await self._digest.get_json(
                self._session, f"http://{config.host}{path}", config.timeout_s, login=login
            )
        if not self._token:
            self._token = await self._from_file()
        try:
            return await get_json(
                self._session,
                f"https://{config.host}{path}",
                config.timeout_s,
                connect_s=config.timeout_s,  # its TLS takes its time
                login=advice(self._token, time.time()),
                headers={"Authorization": f"Bearer {self._token}"},
                ssl=False if config.certificate == "any" else await self._pin.get(config.timeout_s),
            )
        except CertificateChanged as error:
            raise self._pin.changed(error) from None
        except DeviceAuthError:
            self._token = config.token
            raise

    async def _from_file(self) -> str:
        path = self._config.token_file
        try:
            token = (await asyncio.to_thread(path.read_text)).strip() if path is not None else ""
        except (OSError, UnicodeError):
            raise DeviceAuthError(f"{self.name}: cannot read token_file {path}") from None
        if not token or not token.isascii() or not token.isprintable():
            raise DeviceAuthError(f"{self.name}: token_file {path} holds no token")
        self._public = Redactor({*secrets_of(self._config), token})
        return token


def find(meters: Any) -> Clamps:
    """The clamps at the grid connection, out of ``/ivp/meters``. Raises `DeviceDataError` where there are none."""
    rows = _rows(meters, "/ivp/meters")
    grid = [row for row in rows if row.get("measurementType") == "net-consumption"]
    enabled = [row for row in grid if row.get("state") == "enabled"]
    if len(enabled) != 1 or optional(enabled[0].get("eid")) is None:
        there = ", ".join(f"{str(row.get('measurementType'))[:20]} {str(row.get('state'))[:10]}" for row in rows[:6])
        raise DeviceDataError(
            f"no enabled net-consumption meter (there is: {there or 'none'}): the consumption clamps have to sit at "
            "the grid connection, and the installer has to set them up as that"
        )
    row = enabled[0]
    status = str(row.get("meteringStatus", "normal"))[:40]
    if status == "not-metering":
        raise DeviceDataError("the gateway says that its grid clamps do not measure (meteringStatus: not-metering)")
    flags = row.get("statusFlags")
    told = ", ".join(str(flag)[:40] for flag in flags[:6]) if isinstance(flags, list) else ""
    phases = row.get("phaseCount")
    counted = phases if isinstance(phases, int) and phases in (1, 2, 3) else 0
    return Clamps(int(row["eid"]), counted, f"{status} ({told})" if told else status)


def readings_of(readings: Any, clamps: Clamps) -> dict[str, Any]:
    """The row of the clamps, out of ``/ivp/meters/readings``."""
    found = [row for row in _rows(readings, "/ivp/meters/readings") if row.get("eid") == clamps.eid]
    if len(found) != 1:
        raise DeviceDataError(f"/ivp/meters/readings has {len(found) or 'no'} rows of the grid meter, eid {clamps.eid}")
    return found[0]


def parse(row: dict[str, Any], clamps: Clamps, at_s: float, utc_s: float, latency_s: float) -> Reading:
    """A reading out of its row; watts, positive is import. Raises `DeviceDataError`."""
    power_w = watts(row.get("activePower"), "activePower")
    channels = row.get("channels")
    used = channels[: clamps.phases] if isinstance(channels, list) else []  # others show noise, or another meter
    phases = tuple(
        Phase(*(optional(channel.get(key)) for key in ("activePower", "voltage", "current", "pwrFactor")))
        for channel in used
        if isinstance(channel, dict)
    )
    powers = [phase.power_w for phase in phases if phase.power_w is not None]
    if len(powers) < len(phases) or abs(sum(powers) - power_w) > 10.0 + 0.05 * abs(power_w):
        phases = ()
    imported, exported = (optional(row.get(key)) for key in ("actEnergyDlvd", "actEnergyRcvd"))
    return Reading(power_w, at_s, utc_s, phases, imported, exported, latency_s)


def advice(token: str, utc_s: float) -> str:
    """What to check where the token is refused; it says itself how long it is valid."""
    try:
        part = token.split(".")[1]
        until_s = float(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])
        day = datetime.fromtimestamp(until_s, UTC).date().isoformat()
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return f"token: this is none, make one at {TOKENS}"
    if until_s < utc_s:
        return f"token: it ran out on {day}, make a new one at {TOKENS}"
    return f"token: is it of this gateway? (it is valid until {day}; {TOKENS} makes new ones)"


def _rows(document: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise DeviceDataError(f"{what} is no list of meters")
    return document
