"""The served answers are Amber's: its description accepts them, and its own SDK reads in them what we read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from amberelectric.api.amber_api import AmberApi
from amberelectric.api_client import ApiClient
from amberelectric.configuration import Configuration
from amberelectric.models.current_interval import CurrentInterval
from jsonschema import ValidationError

from app.model import PriceSlot
from app.prices.amber import active_site, parse
from tests.prices.amber_server import PRICES, SITE, T0_S, TOKEN, FakeAmber, current, forecast, interval, iso
from tests.prices.contract import check_answer, check_question
from tests.prices.market import START_S, Market

EXTRAS = {"range": {"min": -3.0, "max": 40.5}, "advancedPrice": {"low": -7.1, "predicted": -11.1, "high": -14.9}}
TARIFF = {"period": "solarSponge", "season": "summer", "demandWindow": True}


@pytest.mark.parametrize(
    "body",
    [
        [],
        current() + forecast(begin_s=T0_S + 300.0) + forecast(begin_s=T0_S + 1800.0, minutes=30),
        current(type="ActualInterval"),
        current(estimate=True, tariffInformation=TARIFF, **EXTRAS),
        current(tariffInformation=None, range=None, advancedPrice=None, minutes=30),
    ],
)
def test_what_amber_says_is_within_its_contract(body: list[Any]) -> None:
    check_answer(PRICES, body)


@pytest.mark.parametrize(
    "change",
    [
        {"perKwh": "3"},
        {"perKwh": None},
        {"estimate": None},
        {"duration": 7},
        {"channelType": "battery"},
        {"type": "Past"},
    ],
)
def test_the_contract_can_be_broken(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check_answer(PRICES, [interval("feedIn", -3.0, **change)])
    silent = interval("feedIn", -3.0)
    del silent["estimate"]
    with pytest.raises(ValidationError):
        check_answer(PRICES, [silent])
    with pytest.raises(ValidationError):
        check_question(PRICES, {"resolution": "7"})


def test_reality_s_statuses_are_known_and_others_are_not() -> None:
    for status in (401, 403, 404, 429, 500):
        check_answer(PRICES, None, status)
    with pytest.raises(AssertionError):
        check_answer(PRICES, None, 418)


async def test_the_server_knows_when_it_breaks_the_contract() -> None:
    async with FakeAmber(document=[{}]) as server, aiohttp.ClientSession() as session:
        url = f"{server.base_url}/sites/{SITE}/prices/current"
        async with session.get(url, headers={"Authorization": f"Bearer {TOKEN}"}):
            assert len(server.problems) == 1
        server.problems.clear()


async def both(server: FakeAmber) -> tuple[str, list[Any], tuple[PriceSlot, ...]]:
    """The same answers, read by the SDK and by us: the site, the SDK's intervals, our slots."""

    api = AmberApi(ApiClient(Configuration(host=server.base_url, access_token=TOKEN)))
    (home,) = await asyncio.to_thread(api.get_sites)
    theirs = await asyncio.to_thread(api.get_current_prices, home.id, next=12, previous=0, resolution=5)
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.get(f"{server.base_url}/sites", headers=headers) as answer:
            assert active_site(await answer.json()) == home.id
        url = f"{server.base_url}/sites/{home.id}/prices/current?next=12&previous=0&resolution=5"
        async with session.get(url, headers=headers) as answer:
            return home.id, [one.actual_instance for one in theirs], parse(await answer.json())


def agree(theirs: list[Any], ours: tuple[PriceSlot, ...]) -> None:
    """Every interval of theirs is one of ours: times, signs, channels, and whether it is confirmed."""
    read = {
        (one.channel_type.value, one.start_time.timestamp() - 1.0): one
        for one in theirs
        if one.type != "ActualInterval"
    }
    assert {begin_s for _, begin_s in read} == {slot.start_utc_s for slot in ours}
    for slot in ours:
        feed_in, general = read["feedIn", slot.start_utc_s], read["general", slot.start_utc_s]
        assert slot.end_utc_s == feed_in.end_time.timestamp() == slot.start_utc_s + 60.0 * feed_in.duration
        assert slot.export_value_c == -feed_in.per_kwh
        assert slot.import_price_c == general.per_kwh
        assert slot.confirmed is (isinstance(feed_in, CurrentInterval) and not feed_in.estimate)


@pytest.mark.parametrize("feed_in", [-10.67878, 2.13572, 0.0, -0.0, 1750.0])
@pytest.mark.parametrize("estimate", [True, False])
async def test_the_official_sdk_reads_the_same(feed_in: float, estimate: bool) -> None:
    document = current(feed_in, estimate=estimate, tariffInformation=TARIFF, **EXTRAS)
    document += forecast(feed_in + 1.0, begin_s=T0_S + 300.0, **EXTRAS)
    document += forecast(feed_in - 1.0, begin_s=T0_S + 1800.0, minutes=30)
    async with FakeAmber(document=document) as server:
        found, theirs, ours = await both(server)
    assert (found, len(theirs), len(ours)) == (SITE, 9, 3)
    agree(theirs, ours)


async def test_it_reads_the_same_at_every_moment_of_a_morning() -> None:
    market, clock = Market(5), [START_S]
    async with FakeAmber(market=lambda: market.answer(clock[0])) as server:
        confirmed = 0
        for number in range(8):
            for since_s in (1.0, 40.0):
                clock[0] = START_S + 300.0 * number + since_s
                _, theirs, ours = await both(server)
                agree(theirs, ours)
                confirmed += sum(slot.confirmed for slot in ours)
    assert confirmed >= 6


def test_the_bodies_are_what_travels() -> None:
    """A second late, in UTC with a Z; the market's time is the interval's end, ten hours ahead all year."""
    first = json.loads(json.dumps(current()))[0]
    assert (first["startTime"], first["endTime"]) == ("2026-01-01T00:00:01Z", "2026-01-01T00:05:00Z")
    assert (first["nemTime"], iso(T0_S)) == ("2026-01-01T10:05:00+10:00", "2026-01-01T00:00:00Z")
