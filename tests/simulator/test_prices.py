"""The price day of the demo, as its service tells it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from app.demo import _priced
from app.model import PriceState
from app.prices.feed import PriceFeed
from app.prices.http_json import HttpJsonPrice, HttpJsonPriceConfig
from app.simulator.parameters import SunConfig
from app.simulator.prices import AHEAD, BEHIND, ESTIMATE_S, FakePrices, entry

NOW_S = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.utc_s = NOW_S

    def __call__(self) -> float:
        return self.utc_s


def feed_of(prices: FakePrices, session: aiohttp.ClientSession, clock: Clock) -> PriceFeed:
    """Our side, configured as the demo does it."""
    config = HttpJsonPriceConfig.model_validate(_priced(prices.url)["price"])
    return PriceFeed(HttpJsonPrice(config, session, clock), 45.0, utc=clock, monotonic=clock)


def day(speed: float, seconds: float, every_s: float) -> list[tuple[float, float]]:
    """Seconds since the start, and what export earns: whenever that changes its sign."""
    clock = Clock()
    prices = FakePrices(SunConfig(speed=speed), utc=clock)
    found: list[tuple[float, float]] = []
    for number in range(int(seconds / every_s)):
        clock.utc_s = NOW_S + number * every_s
        earns_c = float(prices.entries()[BEHIND]["export_value_c"])
        if not found or (earns_c < 0.0) != (found[-1][1] < 0.0):
            found.append((number * every_s, earns_c))
    return found


@pytest.mark.parametrize("speed", [1.0, 7.0, 30.0, 60.0, 3600.0])
def test_slots_follow_each_other_exactly_and_stay_the_same(speed: float) -> None:
    clock = Clock()
    prices = FakePrices(SunConfig(speed=speed), utc=clock)
    seen: dict[str, Any] = {}
    for _ in range(3):
        entries = prices.entries()
        assert len(entries) == BEHIND + 1 + AHEAD
        assert all(one["end"] == other["start"] for one, other in pairwise(entries))
        for one in entries:
            assert seen.setdefault(one["start"], one["export_value_c"]) == one["export_value_c"]
        clock.utc_s += 1234.5
    assert len(seen) > BEHIND + 1 + AHEAD


def test_at_its_own_pace_the_demo_stays_closed_for_two_hours() -> None:
    changes = day(1.0, 8 * 3600.0, 60.0)
    assert [(at_s / 3600.0 + 10.75, earns_c < 0.0) for at_s, earns_c in changes] == [
        (10.75, True), (13.0, False), (16.0, True), (18.0, False),
    ]  # fmt: skip


def test_sixty_times_faster_it_opens_within_three_minutes_and_closes_again() -> None:
    (_, before_c), (opens_s, _), (closes_s, _), (again_s, _) = day(60.0, 600.0, 1.0)
    assert before_c < 0.0
    assert 120.0 <= opens_s <= 150.0
    assert (closes_s - opens_s, again_s - closes_s) == (180.0, 120.0)


def test_for_a_while_even_import_is_paid_for() -> None:
    entries = FakePrices(SunConfig(), utc=lambda: NOW_S).entries()
    both = [one for one in entries if one["import_price_c"] < 0.0]
    assert both
    assert all(one["export_value_c"] < 0.0 for one in both)
    assert max(one["export_value_c"] for one in entries) == 14.0


async def test_a_new_price_is_an_estimate_and_then_confirmed() -> None:
    clock = Clock()
    async with FakePrices(SunConfig(speed=60.0), utc=clock) as prices, aiohttp.ClientSession() as session:
        feed = feed_of(prices, session, clock)
        clock.utc_s = begin_s = NOW_S + 15.0  # 11:00 of the sun's day
        assert await feed.update() == 10.0, "asked again soon"
        assert feed.state() == PriceState(-6.0, -1.5, True, begin_s + 60.0, currency="EUR")
        clock.utc_s += ESTIMATE_S + 1.0
        await feed.update()
        assert feed.state() == PriceState(-6.0, -1.5, False, begin_s + 60.0, currency="EUR")
        clock.utc_s = begin_s + 60.0
        assert feed.state() == PriceState(-3.0, 7.0, True, begin_s + 120.0, currency="EUR"), (
            "known before, as an estimate"
        )


async def test_a_script_takes_the_place_of_the_day() -> None:
    clock = Clock()
    script: list[dict[str, Any]] = [entry(NOW_S - 60.0, NOW_S + 60.0, 8.5, 31.0)]
    async with FakePrices(SunConfig(), script, clock) as prices, aiohttp.ClientSession() as session:
        feed = feed_of(prices, session, clock)
        await feed.update()
        assert feed.state() == PriceState(8.5, 31.0, False, NOW_S + 60.0, currency="EUR")
        clock.utc_s += 61.0
        prices.script = [entry(NOW_S + 60.0, NOW_S + 120.0, -3.0, 20.0, estimated=True)]
        await feed.update()
        assert (feed.state().export_value_c, feed.state().estimated) == (-3.0, True)
