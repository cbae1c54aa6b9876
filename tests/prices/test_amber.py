"""Amber over real HTTP: logins, sites, every status, the rate limit, and what stays known meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from app.prices import web as module
from app.prices.amber import AmberConfig
from app.prices.feed import PriceFeed
from tests.prices.amber_server import SITE, T0_S, TOKEN, FakeAmber, current, forecast, interval, site


class House:
    """Our side, with a clock that the test moves."""

    def __init__(self, server: FakeAmber, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.utc_s = T0_S + 30.0
        self.connect()

    def connect(self, **keys: Any) -> PriceFeed:
        config = AmberConfig(
            **({"type": "amber", "token": TOKEN, "base_url": self.server.base_url, "max_stale_s": 900.0} | keys)
        )
        source = config.build(self.session, cast(Any, None))
        self.feed = PriceFeed(source, config.max_stale_s, utc=lambda: self.utc_s, monotonic=lambda: self.utc_s - T0_S)
        self.server.headers = self.date()
        return self.feed

    def date(self, behind_s: float = 0.0) -> dict[str, str]:
        """The clock of the service, by how much ours is ahead."""
        return {"Date": formatdate(self.utc_s - behind_s, usegmt=True)}

    def fails(self, *statuses: int, **headers: str) -> None:
        self.server.script = [web.Response(status=status, headers=headers) for status in statuses]

    @property
    def earns_c(self) -> float | None:
        return self.feed.state().export_value_c

    @property
    def fault(self) -> str:
        return self.feed.state().fault or ""


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with FakeAmber() as server, aiohttp.ClientSession() as session:
        yield House(server, session)


async def test_the_site_is_found_once_and_its_price_is_read(house: House) -> None:
    assert house.earns_c is None
    waits = [await house.feed.update() for _ in range(2)]
    assert waits == [271.0, 271.0], "a second into the next interval, as this one is confirmed"
    state = house.feed.state()
    assert (state.export_value_c, state.import_price_c, state.estimated) == (10.67878, 31.50177, False)
    assert (state.valid_until_utc_s, state.fault, state.currency) == (T0_S + 300.0, None, "AUD")
    prices = f"/v1/sites/{SITE}/prices/current"
    assert house.server.asked == ["/v1/sites", prices, prices]


async def test_a_configured_site_is_not_looked_up(house: House) -> None:
    house.server.sites = [site(), site("OTHER")]
    await house.connect(site_id="OTHER").update()
    assert house.earns_c == 10.67878
    assert house.server.asked == ["/v1/sites/OTHER/prices/current"]


async def test_several_sites_need_a_choice_and_a_wrong_one_is_told(house: House) -> None:
    house.server.sites = [site(), site("OTHER")]
    await house.feed.update()
    assert house.fault == f"set AMBER_SITE_ID (price.site_id) to one of the active sites: {SITE}, OTHER"
    await house.connect(site_id="../NOWHERE").update()
    assert "HTTP 404" in house.fault
    assert "AMBER_SITE_ID (price.site_id)" in house.fault


async def test_a_site_that_is_replaced_is_found_again(house: House) -> None:
    await house.feed.update()
    house.server.sites = [site("NEW")]
    await house.feed.update()
    assert (house.earns_c, "404" in house.fault) == (None, True)
    await house.feed.update()
    assert (house.earns_c, house.fault) == (10.67878, "")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_not_tried_again_soon(house: House, status: int) -> None:
    house.fails(status)
    assert await house.feed.update() == 3600.0
    assert f"Amber refuses the login (HTTP {status}): check AMBER_TOKEN (price.token)" in house.fault
    assert (house.feed.state().refused, TOKEN in house.fault) == (True, False)
    await house.feed.update()
    assert (house.feed.state().refused, house.earns_c) == (False, 10.67878), "good tokens have been refused, too"


async def test_too_many_requests_wait_as_long_as_amber_says(house: House) -> None:
    house.fails(429, **{"RateLimit-Reset": "41", "RateLimit-Remaining": "0"})
    assert await house.feed.update() == 43.0
    assert "too many requests" in house.fault


async def test_the_other_header_for_it_is_known_too(house: House) -> None:
    house.fails(429, **{"Retry-After": "17"})
    assert await house.feed.update() == 19.0


async def test_a_429_of_the_gateway_says_nothing_and_is_backed_off(house: House) -> None:
    """It comes without any rate limit header."""
    house.fails(*9 * [429], **{"x-amzn-ErrorType": "TooManyRequestsException"})
    waits = [await house.feed.update() for _ in range(10)]
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0, 271.0]
    house.fails(429)
    assert await house.feed.update() == 10.0, "after a success the back-off begins anew"


@pytest.mark.parametrize(
    ("remaining", "reset", "wait_s"),
    [
        ("49", "300", 3.0),
        ("3", "270", 90.0),
        ("0", "120", 122.0),
        ("0", "99999999", 902.0),
        ("many", "-5", 3.0),
        ("0", "²", 3.0),
    ],
)
async def test_the_remaining_allowance_is_spread(house: House, remaining: str, reset: str, wait_s: float) -> None:
    """An estimate would be asked for again within 3 s."""
    house.utc_s = T0_S + 21.0
    house.server.document = current(estimate=True)
    house.server.headers = house.date() | {
        "RateLimit-Limit": "50", "RateLimit-Remaining": remaining, "RateLimit-Reset": reset,
        "RateLimit-Policy": "50;w=300",
    }  # fmt: skip
    assert await house.feed.update() == wait_s


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (web.Response(status=500, text='{"message": "Internal server error"}'), "Amber answers HTTP 500"),
        (web.Response(status=502), "Amber answers HTTP 502"),
        (web.Response(status=302, headers={"Location": "/v1/sites"}), "Amber answers HTTP 302"),
        (web.Response(text="<html>"), "does not answer with JSON"),
        (web.Response(body=b'["\xff"]'), "does not answer with JSON"),
        (web.Response(text="[" * 60_000), "does not answer with JSON"),
        (web.Response(text="[" + "9" * 60_000 + "]"), "does not answer with JSON"),
        (web.Response(text="[" + "1," * 5_000_000 + "1]"), "more than 65536 bytes"),
        (web.json_response([]), "knows no current feed-in price"),
        (web.json_response(current("-10.67")), "knows no current feed-in price"),
        (web.json_response(current(float("nan"))), "knows no current feed-in price"),
        (web.json_response(current(type="ActualInterval")), "knows no current feed-in price"),
    ],
)
async def test_a_useless_answer_leaves_the_last_price_in_use(house: House, answer: web.Response, text: str) -> None:
    await house.feed.update()
    house.server.script = [answer]
    assert await house.feed.update() == 10.0
    assert (house.earns_c, text in house.fault) == (10.67878, True)
    assert not house.feed.state().estimated
    house.utc_s = T0_S + 301.0
    assert (house.earns_c, house.feed.state().estimated) == (10.67878, True), "over: good enough to keep on"
    house.utc_s = T0_S + 300.0 + 901.0
    assert (house.earns_c, text in house.fault) == (None, True)
    begin_s = T0_S + 1200.0
    house.server.document, house.server.headers = current(begin_s=begin_s), house.date()
    await house.feed.update()
    assert (house.earns_c, house.fault) == (10.67878, "")


async def test_an_hour_of_forecast_serves_through_an_outage(house: House) -> None:
    house.server.document = current() + [
        one for number in range(1, 13) for one in forecast(-float(number), begin_s=T0_S + 300.0 * number)
    ]
    await house.feed.update()
    house.fails(503)
    house.utc_s = T0_S + 12.5 * 300.0
    await house.feed.update()
    assert (house.earns_c, house.feed.state().estimated) == (12.0, True)
    house.utc_s = T0_S + 13 * 300.0 + 901.0
    assert house.earns_c is None


async def test_an_unreachable_amber_is_asked_less_often(house: House) -> None:
    await house.server.close()
    assert [await house.feed.update() for _ in range(5)] == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert "cannot reach Amber" in house.fault


async def test_a_silent_amber_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    house.server.script = [asyncio.Event()]
    assert await house.feed.update() == 10.0
    assert house.fault == "Amber does not answer within 0.1 s"


async def test_an_answer_without_feed_in_makes_the_price_unknown_at_once(house: House) -> None:
    await house.feed.update()
    house.server.document = [interval("general", 30.0)]
    await house.feed.update()
    assert (house.earns_c, "no feed-in price" in house.fault) == (None, True)


async def test_an_estimate_gives_way_to_the_confirmed_price_and_never_the_other_way(house: House) -> None:
    for feed_in, estimate, known in (
        (-4.0, True, (4.0, True)),
        (3.5, False, (-3.5, False)),
        (-9.0, True, (-3.5, False)),
    ):
        house.server.document = current(feed_in, estimate=estimate)
        await house.feed.update()
        assert (house.earns_c, house.feed.state().estimated) == known


@pytest.mark.parametrize(("ahead_s", "words"), [(300.0, "300 s ahead of"), (-300.0, "300 s behind")])
async def test_a_wrong_clock_makes_the_price_unknown(house: House, ahead_s: float, words: str) -> None:
    """A price that is five minutes off is that of another interval."""
    house.server.headers = house.date(behind_s=ahead_s)
    house.server.document = current(begin_s=T0_S - 300.0) + forecast() + forecast(begin_s=T0_S + 300.0)
    await house.feed.update()
    assert (house.earns_c, words in house.fault, "network time" in house.fault) == (None, True, True)
    house.server.headers = house.date(behind_s=20.0)
    await house.feed.update()
    assert house.earns_c is not None


async def test_what_a_cache_has_kept_does_not_look_like_a_wrong_clock(house: House) -> None:
    house.server.headers = house.date(behind_s=60.0) | {"Age": "60"}
    await house.feed.update()
    assert (house.earns_c, house.fault) == (10.67878, "")


async def test_asked_around_the_publication_and_ever_less_often(house: House) -> None:
    """Never confirmed: at these seconds of the interval, and no later than the next one begins."""
    house.server.document = current(estimate=True)
    asked: list[float] = []
    house.utc_s = T0_S + 1.0
    while house.utc_s < T0_S + 300.0:
        asked.append(house.utc_s - T0_S)
        house.server.headers = house.date()
        house.utc_s += await house.feed.update()
    assert asked == [1.0, 18.0, 21.0, 24.0, 27.0, 30.0, 33.0, 36.0, 51.0, 66.0, 81.0, 141.0, 201.0, 261.0]
    assert house.utc_s == T0_S + 301.0


@pytest.mark.parametrize("token", ["", " ", "psk_1 2", "psk_1\n", "psk_ä", None, 5])
def test_what_is_no_token_is_refused_without_repeating_it(token: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        AmberConfig(type="amber", token=token)
    (error,) = refused.value.errors()
    assert str(error["ctx"]["error"]).startswith("is empty or no Amber token")


def test_the_token_is_not_shown() -> None:
    config = AmberConfig(type="amber", token=TOKEN)
    assert TOKEN not in repr(config) + str(config)
    assert config.base_url == "https://api.amber.com.au/v1"
    assert TOKEN not in repr(config.build(cast(Any, None), cast(Any, None)))


@pytest.mark.parametrize(
    "keys", [{"base_url": "api.amber.com.au"}, {"export_threshold_c": -1001}, {"treshold": 1}, {"at_threshold": "open"}]
)
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AmberConfig(**({"type": "amber", "token": TOKEN} | keys))
