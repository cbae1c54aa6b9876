"""A day with Amber: late, wrong, broken and refused answers, midnight and the end of summer time on the way."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from tests.conftest import local_time
from tests.prices.amber_server import FakeAmber
from tests.prices.day import Clock, Day, in_process, with_session
from tests.prices.market import DELAYS_S, START_S, Market, delay_s


@pytest.fixture(autouse=True)
def sydney() -> Iterator[None]:
    """The house's own time, for whatever might use it."""
    with local_time("Australia/Sydney"):
        yield


def held(day: Day) -> None:
    """What has to be true of any day."""
    assert day.releases_unconfirmed == 0
    assert max(day.calls_in(300.0)) <= 25
    assert day.least_gap_s >= 3.0
    assert max(change.wrong_s for change in day.undisturbed) <= 60.0
    assert statistics.median(day.confirm_s) <= 35.0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_day_holds_what_is_promised(seed: int) -> None:
    day = await in_process(seed)
    held(day)
    assert (day.releases > 20, len(day.undisturbed) > 150) == (True, True), "it was a day worth living"
    costly_s = sum(change.open_wrong_s for change in day.changes)
    assert costly_s / 24.0 <= 60.0, "seconds per hour of exporting at a cost, all troubles included"


async def test_the_first_hours_over_http() -> None:
    """The same over a real connection, every body held against the contract."""
    market, clock = Market(3), Clock()
    async with FakeAmber(market=lambda: market.answer(clock.utc_s)) as server, aiohttp.ClientSession() as session:
        day = await with_session(market, clock, session, server.base_url, 2.5 * 3600.0)
    held(day)


def test_the_day_is_the_one_meant() -> None:
    """It crosses midnight and the end of summer time, and the delays are those published."""
    here = [datetime.fromtimestamp(START_S + hours * 3600.0, ZoneInfo("Australia/Sydney")) for hours in (0, 24)]
    assert here[0].utcoffset() != here[1].utcoffset()
    assert here[0].date() != here[1].date()
    assert [delay_s(share) for share, _ in DELAYS_S] == pytest.approx([delay for _, delay in DELAYS_S])
    kinds = {trouble.kind for trouble in Market(3).troubles}
    assert kinds >= {"429", "429 of the gateway", "500", "503", "only actuals", "no feed-in", "HTML"}
    estimates = [one for one in Market(3).intervals if one.estimate_c * one.value_c < 0.0]
    assert len(estimates) > 15, "estimates of the wrong sign"
