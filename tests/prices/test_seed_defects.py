"""What other price gates get wrong: each was seen in a public program, and must not happen here."""

from __future__ import annotations

from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web

from app.model import Mode
from tests.prices.amber_server import T0_S, FakeAmber, current, forecast
from tests.prices.test_amber import House
from tests.prices.test_closed_loop import CAP_W, PricedHouse


async def test_a_failed_poll_keeps_the_last_good_price() -> None:
    """There: one failure stores an empty snapshot, stamped now; the time-out for stale prices never holds anything."""
    async with FakeAmber() as server, aiohttp.ClientSession() as session:
        house = House(server, session)
        await house.feed.update()
        for failure in (web.Response(status=500), web.Response(text="<html>"), web.Response(status=429)):
            server.script = [failure]
            house.utc_s += 60.0
            await house.feed.update()
            assert (house.earns_c, house.feed.state().estimated) == (10.67878, False)
        house.utc_s = T0_S + 300.0 + 899.0
        assert (house.earns_c, house.feed.state().estimated) == (10.67878, True)


@pytest.mark.parametrize("estimate", [True, False])
@pytest.mark.parametrize("ahead", [True, False])
async def test_an_interval_that_is_already_over_causes_no_hot_loop(estimate: bool, ahead: bool) -> None:
    """There: the next poll is due at the end of the interval; where that is past, there is no pause at all."""
    async with FakeAmber() as server, aiohttp.ClientSession() as session:
        house = House(server, session)
        later = [one for number in range(1, 13) for one in forecast(begin_s=T0_S + 300.0 * number)]
        server.checked = False  # the same body again and again
        server.document = current(estimate=estimate) + (later if ahead else [])
        house.utc_s = T0_S + 299.0
        asked = []
        while house.utc_s < T0_S + 1200.0:
            asked.append(house.utc_s)
            server.headers = house.date()
            house.utc_s += await house.feed.update()
        assert min(b - a for a, b in pairwise(asked)) >= 3.0
        assert max(sum(a - 300.0 < b <= a for b in asked) for a in asked) <= 25


@pytest.mark.parametrize("per_kwh", [-99.0, 99.0])
async def test_the_controlled_load_never_overwrites_the_general_price(per_kwh: float) -> None:
    """There: whatever is not feed-in is taken as the import price, and the last one wins."""
    async with FakeAmber() as server, aiohttp.ClientSession() as session:
        house = House(server, session)
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
            document = current()
            document[1]["perKwh"] = per_kwh
            server.document = [document[place] for place in order]
            await house.feed.update()
            assert (house.earns_c, house.feed.state().import_price_c) == (10.67878, 31.50177)


def test_the_fail_safe_is_reached_at_once_and_not_smoothed() -> None:
    """There: smoothing makes the first write a fifth of the way, and a throttle keeps the second one back for ever."""
    house = PricedHouse(export_limit_w=CAP_W)
    house.amber_says(-10.7)
    house.run(60)
    house.house.load_override_w = 1500.0  # a limit was just raised: spacing must not hold the fail-safe back
    house.run(2)
    house.meter_answers = False
    before = len(house.decisions)
    while house.last.mode is not Mode.FAIL_SAFE:
        house.run(1)
        assert len(house.decisions) < before + 10
    assert house.last.limit_w == pytest.approx(house.least_w), "in the very step that finds the meter dead"
    assert {command.serial for command in house.last.commands} == {state.serial for state in house.driver.states()}
    house.run(8)  # one radio, two inverters
    assert [inverter.limit_w for inverter in house.house.inverters] == [
        pytest.approx(state.min_w, abs=1.0) for state in house.driver.states()
    ]
