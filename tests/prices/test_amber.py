"""Amber over real HTTP: logins, sites, every status, the rate limit, and what stays known meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from app.prices import amber as module
from app.prices.amber import Amber, AmberConfig
from tests.prices.amber_server import SITE, T0_S, TOKEN, FakeAmber, current, interval, site


class House:
    """Our side, with a clock that the test moves."""

    def __init__(self, server: FakeAmber, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.utc_s = T0_S + 30.0
        self.amber = self.connect()

    def connect(self, **keys: Any) -> Amber:
        config = AmberConfig(**({"type": "amber", "token": TOKEN, "base_url": self.server.base_url} | keys))
        self.amber = Amber(config, self.session, utc=lambda: self.utc_s)
        return self.amber

    @property
    def earns_c(self) -> float | None:
        return self.amber.state().export_value_c

    @property
    def fault(self) -> str:
        return self.amber.state().fault or ""


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with FakeAmber() as server, aiohttp.ClientSession() as session:
        yield House(server, session)


async def test_the_site_is_found_once_and_its_price_is_read(house: House) -> None:
    assert house.amber.state().export_value_c is None
    assert [await house.amber.update() for _ in range(2)] == [30.0, 30.0]
    state = house.amber.state()
    assert (state.export_value_c, state.import_price_c, state.estimated) == (10.67878, 31.50177, False)
    assert (state.valid_until_utc_s, state.fault) == (T0_S + 300.0, None)
    prices = f"/v1/sites/{SITE}/prices/current"
    assert house.server.asked == ["/v1/sites", prices, prices]


async def test_a_configured_site_is_not_looked_up(house: House) -> None:
    house.server.sites = [site(), site("OTHER")]
    await house.connect(site_id="OTHER").update()
    assert house.earns_c == 10.67878
    assert house.server.asked == ["/v1/sites/OTHER/prices/current"]


async def test_several_sites_need_a_choice_and_a_wrong_one_is_told(house: House) -> None:
    house.server.sites = [site(), site("OTHER")]
    await house.amber.update()
    assert house.fault == f"set AMBER_SITE_ID (price.site_id) to one of the active sites: {SITE}, OTHER"
    await house.connect(site_id="../NOWHERE").update()
    assert "does not know this site (HTTP 404): check AMBER_SITE_ID" in house.fault


async def test_a_site_that_is_replaced_is_found_again(house: House) -> None:
    await house.amber.update()
    house.server.sites = [site(status="closed"), site("NEW")]
    house.server.script = [web.Response(status=404)]
    await house.amber.update()
    assert (house.earns_c, "404" in house.fault) == (None, True)
    await house.amber.update()
    assert (house.earns_c, house.fault) == (10.67878, "")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_not_tried_again_soon(house: House, status: int) -> None:
    house.server.script = [web.Response(status=status)]
    assert await house.amber.update() == 300.0
    assert house.fault == f"Amber refuses the token (HTTP {status}): check AMBER_TOKEN (price.token)"
    assert TOKEN not in house.fault


async def test_too_many_requests_wait_as_long_as_amber_says(house: House) -> None:
    house.server.script = [web.Response(status=429, headers={"RateLimit-Reset": "41", "RateLimit-Remaining": "0"})]
    assert await house.amber.update() == 43.0
    assert "too many requests" in house.fault


async def test_a_429_of_the_gateway_says_nothing_and_is_backed_off(house: House) -> None:
    """It comes without any rate limit header."""
    gateway = {"x-amzn-ErrorType": "TooManyRequestsException"}
    house.server.script = [web.Response(status=429, headers=gateway) for _ in range(9)]
    waits = [await house.amber.update() for _ in range(10)]
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0, 30.0]
    house.server.script = [web.Response(status=429)]
    assert await house.amber.update() == 10.0, "after a success the back-off begins anew"


async def test_the_remaining_allowance_is_spread(house: House) -> None:
    house.server.headers = {
        "RateLimit-Limit": "50", "RateLimit-Remaining": "3", "RateLimit-Reset": "270", "RateLimit-Policy": "50;w=300",
    }  # fmt: skip
    assert await house.amber.update() == 90.0


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (web.Response(status=500, text='{"message": "Internal server error"}'), "Amber answers HTTP 500"),
        (web.Response(status=502), "Amber answers HTTP 502"),
        (web.Response(status=302, headers={"Location": "/v1/sites"}), "Amber answers HTTP 302"),
        (web.Response(text="<html>"), "does not answer with JSON"),
        (web.Response(body=b'["\xff"]'), "does not answer with JSON"),
        (web.Response(text="[" * 60_000), "does not answer with JSON"),
        (web.Response(text="[" + "1," * 50_000 + "1]"), "more than 65536 bytes"),
    ],
)
async def test_an_outage_leaves_the_last_price_until_it_ends(house: House, answer: web.Response, text: str) -> None:
    await house.amber.update()
    house.server.script = [answer]
    assert await house.amber.update() == 10.0
    assert (house.earns_c, text in house.fault) == (10.67878, True)
    house.utc_s = T0_S + 346.0
    assert (house.earns_c, text in house.fault) == (None, True)
    house.server.document = current(begin_s=T0_S + 300.0)
    await house.amber.update()
    assert (house.earns_c, house.fault) == (10.67878, "")


async def test_an_unreachable_amber_is_asked_less_often(house: House) -> None:
    await house.server.close()
    assert [await house.amber.update() for _ in range(5)] == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert "cannot reach Amber" in house.fault


async def test_a_silent_amber_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    house.server.script = [1.0]
    assert await house.amber.update() == 10.0
    assert house.fault == "Amber does not answer within 0.1 s"


async def test_an_answer_without_feed_in_makes_the_price_unknown_at_once(house: House) -> None:
    await house.amber.update()
    house.server.document = [interval("general", 30.0)]
    await house.amber.update()
    assert (house.earns_c, "no feed-in price" in house.fault) == (None, True)


async def test_an_estimate_gives_way_to_the_confirmed_price(house: House) -> None:
    house.server.document = current(-4.0, estimate=True)
    await house.amber.update()
    assert house.amber.state().estimated
    house.server.document = current(3.5)
    await house.amber.update()
    assert (house.earns_c, house.amber.state().estimated) == (-3.5, False)


async def test_it_runs_for_ever_and_logs_once_down_and_once_up(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_sleep, pauses = asyncio.sleep, list[float]()

    async def no_sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0.001)

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    house.server.script = [web.Response(status=503) for _ in range(3)]
    with caplog.at_level(logging.DEBUG):
        task = asyncio.create_task(house.amber.run())
        async with asyncio.timeout(5):
            while len(pauses) < 6:
                await real_sleep(0.005)
        task.cancel()
    ours = [record.getMessage() for record in caplog.records if record.name == "app.prices.amber"]
    assert ours == ["Amber answers HTTP 503", "Amber is back"]
    assert all(low <= pause <= low + 2.0 for pause, low in zip(pauses, (10, 20, 40, 30, 30), strict=False))
    assert TOKEN not in caplog.text


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
    assert TOKEN not in repr(config.build(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [{"base_url": "api.amber.com.au"}, {"export_threshold_c": -1}, {"treshold": 1}])
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AmberConfig(**({"type": "amber", "token": TOKEN} | keys))
