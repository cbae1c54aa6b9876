"""A day with Amber in virtual time: what the gate did, held against what was settled.

``python -m tests.prices.day --seed 3`` prints the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from app.control.gate import PriceGate
from app.model import MeterState, Mode, Settings, Snapshot
from app.prices.amber import AmberConfig
from app.prices.feed import JITTER_S, PriceFeed
from tests.prices.amber_server import SITE, TOKEN
from tests.prices.market import INTERVAL_S, START_S, Market

HYSTERESIS_C = 0.5  # the default for Amber
NOWHERE = "http://127.0.0.1:1/v1"


class InProcess:
    """Stands where the HTTP session stands: asks the market without a network."""

    def __init__(self, market: Market, clock: Clock) -> None:
        self._market, self._clock = market, clock

    @asynccontextmanager
    async def request(self, *_args: object, **_options: object) -> AsyncIterator[Any]:
        answer = self._market.answer(self._clock.utc_s)

        async def whole() -> AsyncIterator[bytes]:
            yield answer.body

        content = SimpleNamespace(iter_any=whole)
        yield SimpleNamespace(status=answer.status, headers=answer.headers, cookies={}, content=content)


@dataclass
class Clock:
    """Both clocks of the computer."""

    utc_s: float = START_S

    @property
    def monotonic_s(self) -> float:
        return self.utc_s - START_S + 1000.0


@dataclass
class Change:
    """One interval as it was lived. ``wrong_s``: in the mode that its settled price does not ask for."""

    confirmable: bool
    confirmed_after_s: float | None = None
    open_wrong_s: float = 0.0
    closed_wrong_s: float = 0.0

    @property
    def wrong_s(self) -> float:
        return self.open_wrong_s + self.closed_wrong_s


@dataclass
class Day:
    """The figures."""

    market: Market
    changes: list[Change]
    releases: int = 0
    releases_unconfirmed: int = 0
    lived_s: float = 0.0
    calls_s: list[float] = field(default_factory=list)

    @property
    def undisturbed(self) -> list[Change]:
        """The intervals whose price was published, while the service answered every question."""
        return [
            change for number, change in enumerate(self.changes) if change.confirmable and not self._disturbed(number)
        ]

    def _disturbed(self, number: int) -> bool:
        """Whether a question of this interval failed, or the last one before it: a back-off reaches into it."""
        begin_s = START_S + number * INTERVAL_S
        before_s = max((at_s for at_s in self.calls_s if at_s < begin_s), default=begin_s)
        return any(before_s <= at_s < begin_s + INTERVAL_S for at_s in self.market.failed_s)

    @property
    def confirm_s(self) -> list[float]:
        """From the beginning of an undisturbed interval until its confirmed price was in use."""
        return [change.confirmed_after_s for change in self.undisturbed if change.confirmed_after_s is not None]

    def calls_in(self, window_s: float) -> list[int]:
        """For each call: how many there were in the window that ends with it."""
        return [sum(at_s - window_s < one <= at_s for one in self.calls_s) for at_s in self.calls_s]

    @property
    def least_gap_s(self) -> float:
        """The shortest time between two calls."""
        return min(later_s - one_s for one_s, later_s in zip(self.calls_s, self.calls_s[1:], strict=False))

    def table(self) -> str:
        """The figures, for people."""
        confirm_s, calls = self.confirm_s, self.calls_in(INTERVAL_S)
        hours = self.lived_s / 3600.0
        worst_s = max(change.wrong_s for change in self.undisturbed)
        per_h = {name: sum(getattr(one, name) for one in self.changes) / hours for name in ("open_wrong_s", "wrong_s")}
        calm_per_h = sum(one.wrong_s for one in self.undisturbed) / max(1, len(self.undisturbed)) * 12.0
        median_s, most_s = statistics.median(confirm_s), max(confirm_s)
        p95_s = statistics.quantiles(confirm_s, n=20)[-1]
        rows = [
            ("intervals, undisturbed ones", f"{len(self.changes)}, {len(self.undisturbed)}"),
            ("calls in 300 s: most, median", f"{max(calls)}, {statistics.median(calls):g}"),
            ("least time between calls", f"{self.least_gap_s:.1f} s"),
            ("confirmed price in use after: median, p95, most", f"{median_s:.1f} s, {p95_s:.1f} s, {most_s:.1f} s"),
            ("wrong mode, most in an undisturbed interval", f"{worst_s:.0f} s"),
            ("wrong mode per hour, undisturbed", f"{calm_per_h:.0f} s"),
            ("the same with all troubles", f"{per_h['wrong_s']:.0f} s"),
            ("exporting at a cost per hour, with all troubles", f"{per_h['open_wrong_s']:.0f} s"),
            ("releases, of them on an unconfirmed price", f"{self.releases}, {self.releases_unconfirmed}"),
        ]
        return "\n".join(f"{name:<50} {value}" for name, value in rows)


async def live(market: Market, feed: PriceFeed, clock: Clock, config: AmberConfig, seconds: float) -> Day:
    """The feed asks when it wants to, and the gate looks once a second, as in the controller."""
    rng = random.Random(market.seed + 1)
    gate, before = PriceGate(config.rules), Mode.LIMIT
    day = Day(market, [Change(one.delay_s is not None) for one in market.intervals[: int(seconds // INTERVAL_S)]])
    next_s = clock.utc_s
    for second in range(int(seconds)):
        while next_s <= START_S + second:
            clock.utc_s = next_s
            day.calls_s.append(next_s)
            next_s += await feed.update() + rng.uniform(0.0, JITTER_S)
        clock.utc_s = START_S + second
        state = feed.state()
        answer = gate.step(Snapshot(clock.monotonic_s, clock.utc_s, MeterState(), (), Settings(), state))
        assert answer is not None
        number = market.number(clock.utc_s)
        value_c = market.intervals[number].value_c
        _account(day.changes[number], value_c, answer.mode, second % INTERVAL_S, confirmed=not state.estimated)
        if answer.mode is Mode.OPEN and before is Mode.LIMIT:
            day.releases += 1
            day.releases_unconfirmed += number not in market.told
        before = answer.mode
    day.lived_s = seconds
    return day


def _account(change: Change, value_c: float, mode: Mode, since_s: float, *, confirmed: bool) -> None:
    """One more second. Nobody is right or wrong within the hysteresis."""
    if confirmed and change.confirmed_after_s is None:
        change.confirmed_after_s = since_s
    if value_c <= 0.0 and mode is Mode.OPEN:
        change.open_wrong_s += 1.0
    elif value_c > HYSTERESIS_C and mode is Mode.LIMIT:
        change.closed_wrong_s += 1.0


async def in_process(seed: int, hours: float = 24.0) -> Day:
    """A day without a network."""
    market, clock = Market(seed, hours), Clock()
    session = cast(aiohttp.ClientSession, InProcess(market, clock))
    return await with_session(market, clock, session, NOWHERE, hours * 3600.0)


async def with_session(
    market: Market, clock: Clock, session: aiohttp.ClientSession, base_url: str, seconds: float
) -> Day:
    """A day with whatever asks for us."""
    config = AmberConfig(type="amber", token=TOKEN, site_id=SITE, base_url=base_url)
    feed = PriceFeed(
        config.build(session, cast(Any, None)),
        config.max_stale_s,
        utc=lambda: clock.utc_s,
        monotonic=lambda: clock.monotonic_s,
    )
    return await live(market, feed, clock, config, seconds)


def main() -> None:
    """Print the figures of a day."""
    logging.disable()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--hours", type=float, default=24.0)
    asked = parser.parse_args()
    print(asyncio.run(in_process(asked.seed, asked.hours)).table())


if __name__ == "__main__":
    main()
