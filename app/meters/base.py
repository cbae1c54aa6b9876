"""What a meter driver is, and what every polled one shares."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import aiohttp
from pydantic import Field, field_validator

from app.broker import Broker
from app.fields import BrokerConfig, Section
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import Answer, ask, place

MAX_POWER_W = 100_000.0  # beyond any house connection: a unit mix-up or a corrupt value
AFTER_REFUSAL_S = 60.0  # devices lock out clients that keep trying
WHEN_BUSY_S = 5.0  # until a device that has had too many requests is asked again, where it does not say
LONGEST_BUSY_S = 120.0
Emit = Callable[[Reading | DeviceError], None]


class Busy(DeviceDataError):  # noqa: N818 - a state of the device
    """The device has had too many requests; it is asked again after ``pause_s``."""

    def __init__(self, text: str, pause_s: float) -> None:
        super().__init__(text)
        self.pause_s = pause_s


@dataclass(frozen=True, slots=True)
class Access:
    """What a meter may use of the program. ``broker``: the connection to the broker of its section, or to ours."""

    session: aiohttp.ClientSession
    broker: Callable[[BrokerConfig | None], Broker]
    data_dir: Path


@dataclass(frozen=True, slots=True)
class About:
    """What docs/meters.md says of a type: which products, the lines to configure it, how fast, and its limits."""

    products: str
    example: str
    speed: str
    limits: str = ""


class MeterSection(Section):
    """Keys of every meter."""

    about: ClassVar[About]

    invert: bool = Field(False, description="true where the meter counts export as positive")
    scale: float = Field(1.0, gt=0, le=10_000, description="its values are multiplied by this")
    phase_factors: tuple[float, ...] | None = Field(
        None, description="one factor per phase, such as [1, -1, 1] where one clamp is turned; the power is their sum"
    )

    @field_validator("phase_factors")
    @classmethod
    def _some(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (not 1 <= len(value) <= 3 or not all(0.0 < abs(one) <= 10_000.0 for one in value)):
            raise ValueError(f"{list(value)} are no factors: one to three numbers, none of them 0")
        return value

    def driver(self, access: Access) -> Meter:
        """The driver of this type."""
        raise NotImplementedError(type(self).__name__)


class PolledConfig(MeterSection):
    """Keys of every meter that is asked for its value."""

    interval_s: float = Field(1.0, ge=0.2, le=60, description="seconds between two requests")
    timeout_s: float = Field(1.5, gt=0, le=10, description="give up on one request after this many seconds")


class Meter(Protocol):
    """A source of readings. ``run`` never returns; it emits each reading or the fault instead of one."""

    name: str

    @property
    def interval_s(self) -> float:
        """How often it is expected to have something new."""

    async def run(self, emit: Emit) -> None:
        """Emit for ever; raises nothing that a device can cause."""


async def poll(
    read: Callable[[], Awaitable[Reading | None]], interval_s: float, emit: Emit, *, longest_s: float = 0.0
) -> None:
    """Call ``read`` every ``interval_s``, never overlapping, and emit what it returns or raises; None: nothing new.

    After a refused login and too many requests it waits. With ``longest_s`` it also waits twice as long, up to that,
    after each request in a row that was not answered: for devices that break down under too many.
    """
    loop = asyncio.get_running_loop()
    due, unanswered_s = loop.time(), interval_s
    while True:
        pause_s = interval_s
        try:
            reading = await read()
            unanswered_s = interval_s
            if reading is not None:
                emit(reading)
        except DeviceError as error:
            emit(error)
            match error:
                case DeviceAuthError():
                    due, pause_s = loop.time(), max(interval_s, AFTER_REFUSAL_S)
                case Busy():
                    pause_s = max(interval_s, error.pause_s)
                case DeviceUnavailable():
                    unanswered_s = max(interval_s, min(longest_s, 2.0 * unanswered_s))
                    pause_s = unanswered_s
        due = max(due + pause_s, loop.time() + 0.05)
        await asyncio.sleep(due - loop.time())


def when_new(emit: Emit, interval_s: float) -> Emit:
    """Pass on a reading when it shows another power than the last one, or when a new one is due at the latest.

    A device that makes a new value every ``interval_s`` is asked more often, so that it is seen soon after it is made.
    """
    last: Reading | None = None

    def maybe(outcome: Reading | DeviceError) -> None:
        nonlocal last
        if isinstance(outcome, Reading):
            unchanged = last is not None and (outcome.power_w, outcome.phases) == (last.power_w, last.phases)
            if unchanged and last is not None and outcome.at_s - last.at_s < 1.4 * interval_s:
                return
            last = outcome
        emit(outcome)

    return maybe


async def get_json(session: aiohttp.ClientSession, url: str, timeout_s: float, **request: Any) -> Any:
    """GET a small JSON document; keywords and failures are those of `get_body`."""
    return _loads(place(url), await get_body(session, url, timeout_s, **request))


async def get_body(
    session: aiohttp.ClientSession,
    url: str,
    timeout_s: float,
    *,
    connect_s: float = 1.0,
    login: str = "username and password",
    **request: Any,
) -> bytes:
    """GET a small document, with every failure as a `DeviceError` that names the URL, without its query.

    ``login``: what to check where it is refused.
    """
    answer = await ask(session, url, timeout_s, connect_s=min(connect_s, timeout_s), **request)
    return body_of(answer, place(url), login)


def body_of(answer: Answer, who: str, login: str = "username and password") -> bytes:
    """The document in an answer. Raises `DeviceError` naming ``who``, and ``login`` where that is refused."""
    if answer.status != 200:
        raise _refused(answer, who, login)
    return answer.body


def document(answer: Answer, who: str) -> Any:
    """The JSON of an answer. Raises `DeviceError` naming ``who``."""
    return _loads(who, body_of(answer, who))


def _refused(answer: Answer, who: str, login: str) -> DeviceError:
    """What an answer without a document means."""
    status = answer.status
    if status in (401, 403):
        scheme = answer.headers.get("WWW-Authenticate", "").partition(" ")[0].capitalize()
        wants = f"; it asks for a {scheme} login" if scheme in ("Basic", "Digest", "Bearer") else ""
        return DeviceAuthError(f"{who} refuses the login (HTTP {status}): check {login}{wants}")
    if 300 <= status < 400:
        return DeviceDataError(f"{who} leads elsewhere (HTTP {status}), which is not followed: check the address")
    if status == 404:
        return DeviceDataError(f"{who} is not there (HTTP 404): check the address and which device this is")
    if status == 429:
        text = answer.headers.get("Retry-After", "")
        wait_s = float(text) if text.isascii() and text.isdecimal() and len(text) < 10 else WHEN_BUSY_S
        return Busy(f"{who} has had too many requests (HTTP 429)", min(wait_s, LONGEST_BUSY_S))
    if status >= 500:
        return DeviceDataError(f"{who} answers HTTP {status}: a fault of the device")
    return DeviceDataError(f"{who} answers HTTP {status}")


def _loads(who: str, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DeviceDataError(f"{who} does not answer with JSON") from None


def watts(value: Any, what: str) -> float:
    """A power that may be used: a finite number of plausible size. Raises `DeviceDataError` naming ``what``."""
    power_w = optional(value)
    if power_w is None:
        raise DeviceDataError(f"{what} is {str(value)[:40]!r}, not a number of watts")
    if abs(power_w) > MAX_POWER_W:
        raise DeviceDataError(f"{what} is {power_w:g} W, which no house connection carries")
    return power_w


def optional(value: Any) -> float | None:
    """A finite number, or None for whatever else a device may send."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON knows no largest integer
        return None
    return number if math.isfinite(number) else None
