"""Tibber: homes, logins, currencies, and errors that come with HTTP 200."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError

from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable
from app.prices.tibber import TibberConfig, only_home, parse
from tests.prices.spot_server import HOME, TOKEN, FakeTibber, at, failure, sunny

NOW_S = at("2026-07-01T06:00")
OTHER = "c70dcbe5-4485-4821-933d-a8a86452737b"


@pytest.fixture
async def server() -> AsyncIterator[FakeTibber]:
    async with FakeTibber(NOW_S) as service:
        yield service


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


def answer(*prices: dict[str, Any]) -> dict[str, Any]:
    info = {"priceInfo": {"today": list(prices), "tomorrow": []}}
    return {"data": {"viewer": {"home": {"currentSubscription": info}}}}


def price(energy: Any, total: Any, minute: int = 0, currency: Any = "EUR") -> dict[str, Any]:
    starts = f"2026-07-01T08:{minute:02}:00.000+02:00"
    return {"energy": energy, "total": total, "startsAt": starts, "currency": currency}


@pytest.mark.parametrize(
    ("energy", "total", "spot_c", "total_c"),
    [
        (0.1309, 0.3553, 13.09, 35.53),
        (-0.01, 0.15, -1.0, 15.0),
        (0, 0, 0.0, 0.0),
        (-0.2, -0.04, -20.0, -4.0),
        (1, None, 100.0, None),
    ],
)
def test_money_per_kilowatt_hour_becomes_hundredths(
    energy: Any, total: Any, spot_c: float, total_c: float | None
) -> None:
    first, second = parse(answer(price(energy, total), price(0.5, 0.7, minute=15)), "EUR")
    assert (first.spot_c, first.total_c, first.start_utc_s, first.end_utc_s) == (spot_c, total_c, NOW_S, NOW_S + 900.0)
    assert second.end_utc_s == NOW_S + 1800.0


async def test_the_only_home_is_found_once_and_import_costs_the_total(
    server: FakeTibber, session: aiohttp.ClientSession
) -> None:
    server.homes = {OTHER: False, HOME: True}
    source = server.source(session)
    slots = (await source.fetch()).slots
    await source.fetch()
    (now,) = [slot for slot in slots if slot.start_utc_s == NOW_S]
    assert now.export_value_c == pytest.approx(sunny(NOW_S) / 10.0)
    assert now.import_price_c == pytest.approx(sunny(NOW_S) / 10.0 + 20.0)
    assert [asked["variables"] for asked in server.asked] == [None, {"home": HOME}, {"home": HOME}]


async def test_formulas_know_both_prices(server: FakeTibber, session: aiohttp.ClientSession) -> None:
    source = server.source(session, home_id=HOME, export_value="total - spot", import_price="total * 1.1")
    slots = (await source.fetch()).slots
    assert {round(slot.export_value_c or 0.0, 3) for slot in slots} == {20.0}
    assert len(server.asked) == 1


async def test_several_homes_need_a_choice(server: FakeTibber, session: aiohttp.ClientSession) -> None:
    server.homes = {HOME: True, OTHER: True}
    with pytest.raises(DeviceDataError) as refused:
        await server.source(session).fetch()
    assert str(refused.value) == f"set TIBBER_HOME_ID (price.home_id) to one of the homes: {HOME}, {OTHER}"
    assert (await server.source(session, home_id=OTHER).fetch()).slots


@pytest.mark.parametrize("homes", [{}, {HOME: False}])
async def test_a_home_without_a_contract_has_no_price(
    server: FakeTibber, session: aiohttp.ClientSession, homes: dict[str, bool]
) -> None:
    server.homes = homes
    with pytest.raises(DeviceDataError, match="no home with a current contract"):
        await server.source(session).fetch()


async def test_who_moves_is_found_again(server: FakeTibber, session: aiohttp.ClientSession) -> None:
    source = server.source(session)
    await source.fetch()
    server.homes = {HOME: False, OTHER: True}
    with pytest.raises(DeviceDataError, match=r"no contract for this home: check TIBBER_HOME_ID \(price\.home_id\)"):
        await source.fetch()
    await source.fetch()
    assert server.asked[-1]["variables"] == {"home": OTHER}


async def test_a_wrong_home_is_an_error_in_tibber_s_words(server: FakeTibber, session: aiohttp.ClientSession) -> None:
    with pytest.raises(DeviceUnavailable, match="^Tibber answers with an error: No home found for the given ID$"):
        await server.source(session, home_id="nope").fetch()


@pytest.mark.parametrize("answered", [None, 401, 403])
async def test_a_refused_token_is_told_apart(
    server: FakeTibber, session: aiohttp.ClientSession, answered: int | None
) -> None:
    """Tibber says so with HTTP 200."""
    server.script = [web.Response(status=answered)] if answered else []
    with pytest.raises(DeviceAuthError, match=r"Tibber refuses the login.*: check TIBBER_TOKEN \(price\.token\)"):
        await server.source(session, token="wrong").fetch()


@pytest.mark.parametrize("errors", [["x"], {"message": 5}, [{"message": f"token {TOKEN}\n" + "x" * 500}], "x", [[]], 7])
async def test_errors_are_named_briefly_and_without_the_token(
    server: FakeTibber, session: aiohttp.ClientSession, errors: Any
) -> None:
    server.change = lambda _document: {"errors": errors}
    with pytest.raises(DeviceUnavailable, match="^Tibber answers with an error: ") as named:
        await server.source(session).fetch()
    assert len(str(named.value)) < 140
    assert str(named.value).isprintable()
    assert TOKEN not in str(named.value)
    server.change = lambda _document: failure("busy", "INTERNAL_SERVER_ERROR")
    with pytest.raises(DeviceUnavailable, match="error: busy"):
        await server.source(session).fetch()


async def test_another_currency_is_refused(server: FakeTibber, session: aiohttp.ClientSession) -> None:
    server.currency = "SEK"
    with pytest.raises(DeviceDataError, match=r"^Tibber gives prices in 'SEK', not EUR: set price\.currency$"):
        await server.source(session).fetch()
    source = server.source(session, currency="SEK")
    assert (await source.fetch()).slots
    assert source.currency == "SEK"


@pytest.mark.parametrize(
    "document", [{"data": {"viewer": {}}}, {"data": {"viewer": {"homes": {}}}}, {"data": None}, [], None]
)
def test_an_answer_that_lists_no_homes_is_useless(document: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="list of homes"):
        only_home(document)
    assert list(parse(document, "EUR")) == []


def test_a_contract_without_prices_keeps_what_is_known() -> None:
    """Tibber has such hours."""
    nothing = {"data": {"viewer": {"home": {"currentSubscription": {"priceInfo": None}}}}}
    assert list(parse(nothing, "EUR")) == []


@pytest.mark.parametrize("currency", [None, 7])
def test_a_price_without_currency_is_left_out(currency: Any) -> None:
    assert list(parse(answer(price(0.1, 0.3, currency=currency)), "EUR")) == []


@pytest.mark.parametrize("token", ["", " ", "5K4 MVS", "tok\n", "tök", None, 5])
def test_what_is_no_token_is_refused_without_repeating_it(token: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TibberConfig(type="tibber", token=token)
    (error,) = refused.value.errors()
    assert str(error["ctx"]["error"]).startswith(
        "is empty or no Tibber token: make one at https://developer.tibber.com"
    )


def test_the_token_is_not_shown() -> None:
    config = TibberConfig(type="tibber", token=TOKEN)
    assert TOKEN not in repr(config) + str(config)
    assert config.base_url == "https://api.tibber.com/v1-beta/gql"
