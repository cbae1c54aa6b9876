"""A day of Amber's market, invented from a seed, as its API would tell it at each moment: late, wrong and broken.

Published prices come as late as 100 of them were observed to (amber-express): 17.1 to 37.1 s, half within 22.5 s.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from bisect import bisect
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from tests.prices.amber_server import Answer, current, forecast

INTERVAL_S = 300.0
START_S = 1_775_282_400.0  # 2026-04-04 06:00 UTC: in Sydney, midnight and the end of summer time follow
DELAYS_S = ((0.0, 17.1), (0.1, 19.4), (0.5, 22.5), (0.9, 29.4), (0.95, 30.2), (1.0, 37.1))  # share of prices, delay
WRONG_SIGN, NEVER_CONFIRMED, LATE = 0.10, 0.04, 0.10
ALLOWANCE, WINDOW_S = 50, 300.0


@dataclass(frozen=True, slots=True)
class Interval:
    """What will be settled, and what is said of it before. ``delay_s``: None, where it stays an estimate."""

    value_c: float
    estimate_c: float
    forecast_c: float
    delay_s: float | None
    late_s: float  # so long the answer is still about the interval before


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the service for a while."""

    kind: str
    begin_s: float
    end_s: float


@dataclass
class Market:
    """The service; time is what ``answer`` is told. ``prices_c``: what is settled in each interval, not invented."""

    seed: int
    hours: float = 24.0
    prices_c: tuple[float, ...] = ()
    intervals: list[Interval] = field(init=False)
    troubles: list[Trouble] = field(init=False)
    asked_s: list[float] = field(init=False, default_factory=list)
    told: set[int] = field(init=False, default_factory=set)  # intervals whose confirmed price it has given away
    failed_s: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        phase = rng.uniform(0.0, 6.28)
        settled_c = itertools.chain(self.prices_c, itertools.repeat(None))
        numbers = range(round(self.hours * 12) + 24)
        self.intervals = [
            _interval(rng, number, phase, value_c) for number, value_c in zip(numbers, settled_c, strict=False)
        ]
        self.troubles = list(_troubles(rng, self.hours))

    def number(self, utc_s: float) -> int:
        return int((utc_s - START_S) // INTERVAL_S)

    def trouble(self, utc_s: float) -> str | None:
        return next((one.kind for one in self.troubles if one.begin_s <= utc_s - START_S < one.end_s), None)

    def answer(self, utc_s: float) -> Answer:
        """What a GET of prices/current with ``next=12`` gets."""
        remaining = ALLOWANCE - 1 - sum(asked_s > utc_s - WINDOW_S for asked_s in self.asked_s[-ALLOWANCE:])
        self.asked_s.append(utc_s)
        trouble = self.trouble(utc_s) if remaining >= 0 else "429"
        if trouble is not None:
            self.failed_s.append(utc_s)
            return self._broken(trouble, utc_s)
        headers = _date(utc_s) | {
            "RateLimit-Limit": str(ALLOWANCE), "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(math.ceil(WINDOW_S - utc_s % WINDOW_S)), "RateLimit-Policy": "50;w=300",
        }  # fmt: skip
        return Answer(200, headers, json.dumps(self.document(utc_s)).encode())

    def document(self, utc_s: float) -> list[Any]:
        """The current interval and an hour of forecast."""
        number = self.number(utc_s)
        if number and utc_s - self._begin_s(number) < self.intervals[number].late_s:
            number -= 1
        one = self.intervals[number]
        estimate = one.delay_s is None or utc_s < self._begin_s(number) + one.delay_s
        if not estimate and number == self.number(utc_s):
            self.told.add(number)
        value_c = one.estimate_c if estimate else one.value_c
        told = current(-value_c, 20.0 + value_c, begin_s=self._begin_s(number), estimate=estimate)
        for ahead in range(number + 1, number + 13):
            value_c = self.intervals[ahead].forecast_c
            told += forecast(-value_c, 20.0 + value_c, begin_s=self._begin_s(ahead))
        return told

    def _begin_s(self, number: int) -> float:
        return START_S + number * INTERVAL_S

    def _broken(self, kind: str, utc_s: float) -> Answer:
        match kind:
            case "429":
                return Answer(429, _date(utc_s) | {"RateLimit-Remaining": "0", "RateLimit-Reset": "20"}, b"")
            case "429 of the gateway":
                return Answer(429, {"x-amzn-ErrorType": "TooManyRequestsException"}, b"")
            case "only actuals":
                then = current(5.0, begin_s=self._begin_s(self.number(utc_s) - 1), type="ActualInterval")
                return Answer(200, _date(utc_s), json.dumps(then).encode())
            case "no feed-in":
                here = current(begin_s=self._begin_s(self.number(utc_s)))[:2]
                return Answer(200, _date(utc_s), json.dumps(here).encode())
            case "HTML":
                return Answer(200, _date(utc_s), b"<html>Down for maintenance</html>")
        return Answer(int(kind), _date(utc_s), b'{"message": "Internal server error"}')


def delay_s(share: float) -> float:
    """The publication delay that this share of the prices does not exceed."""
    place = min(bisect(DELAYS_S, (share, math.inf)), len(DELAYS_S) - 1)
    (share_0, delay_0), (share_1, delay_1) = DELAYS_S[place - 1], DELAYS_S[place]
    return delay_0 + (delay_1 - delay_0) * (share - share_0) / (share_1 - share_0)


def _interval(rng: random.Random, number: int, phase: float, settled_c: float | None) -> Interval:
    value_c = 0.0 if number % 40 == 7 else 5.0 * math.sin(phase + number / 4.0) + rng.gauss(0.0, 2.0)
    value_c = rng.choice((-1.0, 1.0)) * 150.0 if rng.random() < 0.01 else value_c
    value_c = value_c if settled_c is None else settled_c
    wrong = rng.random() < WRONG_SIGN
    return Interval(
        value_c=value_c,
        estimate_c=-value_c if wrong else value_c + rng.gauss(0.0, 0.5),
        forecast_c=value_c + rng.gauss(0.0, 3.0),
        delay_s=None if rng.random() < NEVER_CONFIRMED else delay_s(rng.random()),
        late_s=rng.uniform(1.0, 12.0) if rng.random() < LATE else 0.0,
    )


def _troubles(rng: random.Random, hours: float) -> list[Trouble]:
    """A burst of some kind every hour or so, and three hours without any answer in the middle of the day."""
    found = [Trouble("503", 0.55 * hours * 3600.0, 0.55 * hours * 3600.0 + hours / 8.0 * 3600.0)]
    kinds = ("429", "429 of the gateway", "500", "502", "only actuals", "no feed-in", "HTML")
    for hour in range(1, int(hours)):
        begin_s = (hour + rng.random() * 0.8) * 3600.0
        found.append(Trouble(kinds[hour % len(kinds)], begin_s, begin_s + rng.choice((5.0, 20.0, 60.0, 400.0))))
    return found


def _date(utc_s: float) -> dict[str, str]:
    return {"Date": formatdate(utc_s, usegmt=True)}
