"""Documents that are asked again and again, each at its own pace, and how long their last answer may be shown."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.model import DeviceAuthError, DeviceError, DeviceUnavailable, Fault

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3600.0  # for a document that this firmware, or this login, does not have
REFUSED_PAUSE_S = 60.0  # a login that is refused is not tried often
PATIENCE_S = 300.0  # a gateway is away for some minutes each night
REFUSED_S = 30.0  # a login that is refused does not come back by waiting
NEXT_STEP = "Check the gateway's power and network, and the keys of the section enphase in config.yaml."
T = TypeVar("T")


@dataclass(slots=True)
class Held(Generic[T]):
    """The last answer of a kind, and until when it is news."""

    value: T | None = None
    until_s: float = 0.0

    def hold(self, value: T, until_s: float) -> None:
        """Keep a new one."""
        self.value, self.until_s = value, until_s

    def at(self, now_s: float) -> T | None:
        """The answer, None once it is too old."""
        return self.value if now_s < self.until_s else None


@dataclass(slots=True)
class Trouble:
    """Why a gateway tells nothing at all, and since when; told in the log once, and once that it is over."""

    error: DeviceError | None = None
    since_s: float = 0.0
    since_utc_s: float = 0.0

    def begins(self, error: DeviceError, now_s: float, utc_s: float) -> None:
        """It does not answer, or does not let us in."""
        if self.error is None:
            self.since_s, self.since_utc_s = now_s, utc_s
            if isinstance(error, DeviceUnavailable):
                log.warning("%s; trying again until it is back", error)
        self.error = error

    def ends(self) -> None:
        """It has told something."""
        if isinstance(self.error, DeviceUnavailable):
            log.info("the Enphase gateway answers again")
        self.error = None

    def fault(self, now_s: float) -> Fault | None:
        """The fault, once it has lasted for long enough."""
        patience_s = REFUSED_S if isinstance(self.error, DeviceAuthError) else PATIENCE_S
        if self.error is None or now_s - self.since_s < patience_s:
            return None
        return Fault("enphase", f"The Enphase gateway tells nothing: {self.error}.", NEXT_STEP, self.since_utc_s)


@dataclass(slots=True)
class Source:
    """One thing that a gateway can tell. ``what`` it is, in words; ``ask`` fetches it.

    ``needed``: every gateway has it, so that people want to know when it cannot be had. ``note``: why not, now.
    """

    what: str
    every_s: float
    ask: Callable[[], Awaitable[None]]
    needed: bool = True
    longest_s: float = LONGEST_PAUSE_S
    due_s: float = 0.0
    note: str | None = None
    _failures: int = 0
    _logged: bool = False

    def done(self, now_s: float) -> None:
        """It was told."""
        if self._logged:
            log.info("%s: told again", self.what)
        self.note, self._failures, self._logged = None, 0, False
        self.due_s = now_s + self.every_s

    def failed(self, error: DeviceError, now_s: float) -> None:
        """It was not; it is asked again ever later."""
        if self.needed and not self._logged and not isinstance(error, DeviceUnavailable):
            log.warning("%s: %s", self.what, error)
            self._logged = True
        self.note = str(error)
        pause_s = min(self.every_s * 2.0 ** min(self._failures, 12), max(self.every_s, self.longest_s))
        self.due_s = now_s + (max(pause_s, REFUSED_PAUSE_S) if isinstance(error, DeviceAuthError) else pause_s)
        self._failures += 1
