"""Documents that are asked again and again, each at its own pace, and how long their last answer may be shown."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.model import DeviceAuthError, DeviceError

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3600.0  # for a document that this firmware, or this login, does not have
REFUSED_PAUSE_S = 60.0  # a login that is refused is not tried often
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

    def done(self, now_s: float) -> None:
        """It was told."""
        if self.note is not None and self.needed:
            log.info("%s: told again", self.what)
        self.note, self._failures = None, 0
        self.due_s = now_s + self.every_s

    def failed(self, error: DeviceError, now_s: float) -> None:
        """It was not; it is asked again ever later."""
        if self.note is None and self.needed:
            log.warning("%s: %s", self.what, error)
        self.note = str(error)
        pause_s = min(self.every_s * 2.0 ** min(self._failures, 12), max(self.every_s, self.longest_s))
        self.due_s = now_s + (max(pause_s, REFUSED_PAUSE_S) if isinstance(error, DeviceAuthError) else pause_s)
        self._failures += 1
