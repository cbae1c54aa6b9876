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
from app.model import DeviceAuthError, DeviceDataError, DeviceError, Reading
from app.outbound import ask, place

MAX_POWER_W = 100_000.0  # beyond any house connection: a unit mix-up or a corrupt value
AFTER_REFUSAL_S = 60.0  # devices lock out clients that keep trying
WHEN_BUSY_S = 5.0  # until a device that has had too many requests is asked again, where it does not say
LONGEST_BUSY_S = 120.0
Emit = Callable[[Reading | DeviceError], None]


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


async def poll(read: Callable[[], Awaitable[Reading]], interval_s: float, emit: Emit) -> None:
    """Call ``read`` every ``interval_s``, never overlapping, and emit what it returns or raises.

    After a refused login it waits a minute: devices lock out clients that keep trying.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        pause = interval_s
        try:
            emit(await read())
        except DeviceAuthError as error:
            emit(error)
            pause = 60.0
        except DeviceError as error:
            emit(error)
        due = max(due + pause, loop.time() + 0.05)
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
    """GET a small JSON document, with every failure as a `DeviceError` that names the URL, without its query."""
    answer = await ask(session, url, timeout_s, connect_s=min(1.0, timeout_s), **request)
    who = place(url)
    if answer.status in (401, 403):
        raise DeviceAuthError(f"{who} refuses the login (HTTP {answer.status}): check username and password")
    if 300 <= answer.status < 400:
        raise DeviceDataError(f"{who} leads elsewhere (HTTP {answer.status}), which is not followed: check the address")
    if answer.status != 200:
        raise DeviceDataError(f"{who} answers HTTP {answer.status}")
    return _loads(who, answer.body)


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
