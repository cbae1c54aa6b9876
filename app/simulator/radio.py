"""One of OpenDTU's radios: a queue of jobs, one in the air at a time, each waited out to its end. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.simulator.parameters import TRIES


class JobKind(StrEnum):
    """What OpenDTU asks of an inverter. Later duplicates of queries are dropped, limits replace older ones."""

    STATS = "stats"
    INFO = "info"
    READ_LIMIT = "read limit"
    LIMIT = "limit"
    POWER = "power"
    RESTART = "restart"


@dataclass(slots=True)
class Job:
    """One exchange with one inverter: ``value`` is what is sent, ``answer`` what came back.

    ``delivered``: the inverter has got it, whether its answer was ``heard`` or not.
    """

    kind: JobKind
    serial: str
    slot_s: float
    value: Any = None
    tries: int = 0
    delivered: bool = False
    heard: bool = False
    answer: Any = None

    @property
    def subject(self) -> tuple[Any, ...]:
        """Jobs of equal subject supersede each other; limits in watts and in percent do not."""
        return self.kind, self.serial, getattr(self.value, "type_word", None)


class Radio:
    """``exchange(job, now_s)`` does what happens in the air, and returns whether an answer was heard."""

    def __init__(self, exchange: Callable[[Job, float], bool]) -> None:
        self._exchange = exchange
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self.ends_s = math.inf  # when what is in the air has to be over

    @property
    def idle(self) -> bool:
        """Nothing is in the air; something may be waiting."""
        return self._current is None

    def submit(self, job: Job) -> None:
        """Queue a job under the rules of its kind."""
        alike = [waiting for waiting in self._waiting if waiting.subject == job.subject]
        if job.kind is JobKind.LIMIT:
            for older in alike:
                self._waiting.remove(older)
        elif alike and job.kind in (JobKind.STATS, JobKind.INFO, JobKind.READ_LIMIT):
            return
        self._waiting.append(job)

    def supersedes(self, job: Job) -> bool:
        """Whether a job of the same subject is waiting."""
        return any(waiting.subject == job.subject for waiting in self._waiting)

    def finish(self, now_s: float) -> Job | None:
        """The job whose slot has ended for good, if one has; a job nobody answered is sent again, up to 5 times."""
        job = self._current
        if job is None or now_s < self.ends_s - 1e-9:
            return None
        if not job.heard and job.tries < TRIES:
            self._send(job, now_s)
            return None
        self._current, self.ends_s = None, math.inf
        return job

    def start(self, now_s: float) -> None:
        """Send the next job if the air is free."""
        if self._current is None and self._waiting:
            self._current = self._waiting.popleft()
            self._send(self._current, now_s)

    def _send(self, job: Job, now_s: float) -> None:
        job.tries += 1
        job.heard = self._exchange(job, now_s)
        self.ends_s = now_s + job.slot_s
