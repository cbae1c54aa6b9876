"""What a meter driver is, and what every polled one shares."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import Field, field_validator

from app.access import Access
from app.documents import Busy, optional
from app.fields import Section
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading

MAX_POWER_W = 100_000.0  # beyond any house connection: a unit mix-up or a corrupt value
AFTER_REFUSAL_S = 60.0  # devices lock out clients that keep trying
Emit = Callable[[Reading | DeviceError], None]
T = TypeVar("T")


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
    read: Callable[[], Awaitable[T | None]],
    interval_s: float,
    emit: Callable[[T | DeviceError], None],
    *,
    longest_s: float = 0.0,
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


def watts(value: Any, what: str) -> float:
    """A power that may be used: a finite number of plausible size. Raises `DeviceDataError` naming ``what``."""
    power_w = optional(value)
    if power_w is None:
        raise DeviceDataError(f"{what} is {str(value)[:40]!r}, not a number of watts")
    if abs(power_w) > MAX_POWER_W:
        raise DeviceDataError(f"{what} is {power_w:g} W, which no house connection carries")
    return power_w
