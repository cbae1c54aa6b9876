"""Any price service with a URL: where the prices stand, how long they hold, and what is refused, over real HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.model import DeviceAuthError, DeviceError, DeviceUnavailable, PriceSlot, PriceState
from app.prices import web as prices_web
from app.prices.feed import PriceFeed
from app.prices.http_json import HttpJsonPrice, HttpJsonPriceConfig
from app.prices.shape import MOST_ENTRIES, read
from tests.conftest import free_port
from tests.meters.hostile import NONSENSE, TOO_MUCH, hostile

NOW_S = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
SECRET = "CANARY-secret-1"
ONE = {"export_value": "$.price"}
MANY = {"slots": "$.prices[*]", "start": "$.from", "export_value": "$.price"}


def config(**keys: Any) -> HttpJsonPriceConfig:
    given = {"type": "http_json", "url": "http://10.0.0.9/prices", "currency": "EUR", **(keys or ONE)}
    return HttpJsonPriceConfig.model_validate(given)


def one(document: Any, **keys: Any) -> PriceSlot:
    (slot,) = read(document, config(**(ONE | keys)), NOW_S, 150.0)
    return slot


def many(entries: list[Any], **keys: Any) -> list[tuple[float, float, float | None]]:
    """Start and end from now on, and the price."""
    slots = read({"prices": entries}, config(**(MANY | keys)), NOW_S, 150.0)
    return [(slot.start_utc_s - NOW_S, slot.end_utc_s - NOW_S, slot.export_value_c) for slot in slots]


class Service:
    """A server whose answer the test sets, our side of it, and a clock that the test moves."""

    server: BaseTestServer
    session: aiohttp.ClientSession

    def __init__(self) -> None:
        self.answer: Any = {"price": 8.5}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.utc_s = NOW_S

    def source(self, **keys: Any) -> HttpJsonPrice:
        url = f"http://127.0.0.1:{self.server.port}/prices?key={SECRET}"
        self.price = HttpJsonPrice(config(**({"url": url} | (keys or ONE))), self.session, utc=lambda: self.utc_s)
        return self.price

    def feed(self, **keys: Any) -> PriceFeed:
        return PriceFeed(self.source(**keys), 45.0, utc=lambda: self.utc_s, monotonic=lambda: self.utc_s)

    async def _serve(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers.get("Authorization", ""))
        if isinstance(self.answer, str):
            return web.Response(status=self.status, text=self.answer, headers=self.headers)
        return web.json_response(self.answer, status=self.status, headers=self.headers)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    place = Service()
    app = web.Application()
    app.router.add_get("/{path:.*}", place._serve)
    async with TestServer(app) as place.server, aiohttp.ClientSession() as place.session:
        yield place


class TestOnePrice:
    @pytest.mark.parametrize(
        ("document", "keys", "price_c"),
        [
            ({"price": -3.25}, {}, -3.25),
            ({"price": 0}, {}, 0.0),
            ({"price": -0.0}, {}, 0.0),
            ({"price": 0.0825}, {"factor": 100}, 8.25),
            ({"price": 82.5}, {"factor": 0.1}, 8.25),
            ({"price": -8.25}, {"factor": -1}, 8.25),
            ({"price": 0}, {"factor": -1}, 0.0),
            ({"data": [{"now": {"v": 5}}]}, {"export_value": "$.data[0].now.v"}, 5.0),
            (4.5, {"export_value": "$"}, 4.5),
        ],
    )
    def test_it_is_found_and_scaled(self, document: Any, keys: dict[str, Any], price_c: float) -> None:
        slot = one(document, **keys)
        assert slot.export_value_c == pytest.approx(price_c)
        assert str(slot.export_value_c)[0] != "-" or price_c < 0.0
        assert (slot.start_utc_s, slot.end_utc_s, slot.confirmed) == (NOW_S, NOW_S + 150.0, True)

    def test_a_price_in_euros_is_exactly_what_it_is_in_cents(self) -> None:
        """Else 7 cents would be more than a threshold of 7 cents."""
        euros = [(number / 100, float(number)) for number in range(-300, 300)]
        assert [one({"price": euro}, factor=100).export_value_c for euro, _ in euros] == [cent for _, cent in euros]

    def test_import_keeps_its_sign_where_export_is_told_as_a_cost(self) -> None:
        slot = one({"price": -0.08, "buy": 0.31}, factor=-100, import_price="$.buy")
        assert slot.export_value_c == pytest.approx(8.0)
        assert slot.import_price_c == pytest.approx(31.0)

    @pytest.mark.parametrize("buy", [None, "31", float("nan"), [31], True, 10**400])
    def test_an_import_price_that_is_none_is_unknown(self, buy: Any) -> None:
        slot = one({"price": 8, "buy": buy}, import_price="$.buy")
        assert (slot.export_value_c, slot.import_price_c) == (8.0, None)

    @pytest.mark.parametrize(
        ("until", "holds_s"),
        [
            ("2027-01-15T08:15:00Z", 900.0),
            ("2027-01-15T09:15:00+01:00", 900.0),
            (NOW_S + 900, 900.0),
            (int(NOW_S + 900) * 1000, 900.0),
        ],
    )
    def test_it_may_say_how_long_it_holds(self, until: Any, holds_s: float) -> None:
        slot = one({"price": 8, "until": until}, valid_until="$.until")
        assert slot.end_utc_s - NOW_S == holds_s

    @pytest.mark.parametrize(
        ("flag", "confirmed"), [(False, True), (True, False), (None, False), ("false", False), (0, False)]
    )
    def test_only_a_plain_false_says_that_it_is_no_estimate(self, flag: Any, confirmed: bool) -> None:
        assert one({"price": 8, "guess": flag}, estimated="$.guess").confirmed is confirmed
        assert one({"price": 8}, estimated="$.guess").confirmed is False

    @pytest.mark.parametrize(
        ("document", "keys", "text"),
        [
            ({}, {}, "nothing at $.price"),
            ([1, 2], {}, "nothing at $.price"),
            (None, {}, "nothing at $.price"),
            ({"price": None}, {}, "$.price is None, no price"),
            ({"price": "12.3"}, {}, "$.price is '12.3', a text: send a number without quotes"),
            ({"price": "12,3"}, {}, "a text"),
            ({"price": "x" * 500}, {}, "a text"),
            ({"price": True}, {}, "$.price is True, no price"),
            ({"price": float("nan")}, {}, "$.price is nan, no price"),
            ({"price": float("inf")}, {}, "$.price is inf, no price"),
            ({"price": 10**400}, {}, "no price"),
            ({"price": 200_000}, {}, "$.price is 200000, no price"),
            ({"price": 5000}, {"factor": 100}, "$.price is 5000, no price"),
            ({"price": {"now": 5}}, {}, "$.price is a group of 1, no price"),
            ({"price": [5, 6]}, {"export_value": "$.price[*]"}, "2 values at $.price[*]: name one"),
            ({"price": 8}, {"valid_until": "$.u"}, "nothing at $.u"),
            ({"price": 8, "u": "2027-01-15T09:00:00"}, {"valid_until": "$.u"}, "no ISO time with a time zone"),
            ({"price": 8, "u": "soon"}, {"valid_until": "$.u"}, "$.u is 'soon', no ISO time"),
            ({"price": 8, "u": 10**400}, {"valid_until": "$.u"}, "no Unix time"),
            ({"price": 8, "u": True}, {"valid_until": "$.u"}, "no Unix time"),
            ({"price": 8, "u": NOW_S}, {"valid_until": "$.u"}, "its price ended at 2027-01-15 08:00 UTC"),
        ],
    )
    def test_what_is_no_price_is_named(self, document: Any, keys: dict[str, Any], text: str) -> None:
        with pytest.raises(DeviceUnavailable) as refused:
            one(document, **keys)
        assert text in str(refused.value)
        assert len(str(refused.value)) < 200


class TestManyPrices:
    def test_each_ends_where_the_next_starts_in_whatever_order(self) -> None:
        entries = [
            {"from": NOW_S + 1800, "price": 3},
            {"from": NOW_S, "price": 1},
            {"from": NOW_S + 900, "price": -2},
        ]
        assert many(entries) == [(1800.0, 2700.0, 3.0), (0.0, 900.0, 1.0), (900.0, 1800.0, -2.0)]

    def test_their_ends_may_be_told(self) -> None:
        entries = [{"from": "2027-01-15T08:00:00Z", "to": "2027-01-15T08:30:00Z", "price": 1}]
        assert many(entries, end="$.to") == [(0.0, 1800.0, 1.0)]

    def test_pairs_of_time_and_price_do_too(self) -> None:
        document = [[int(NOW_S) * 1000, 81.5], [int(NOW_S + 3600) * 1000, -2.0]]
        shape = config(slots="$[*]", start="$[0]", export_value="$[1]", factor=0.1)
        assert [slot.export_value_c for slot in read(document, shape, NOW_S, 150.0)] == [pytest.approx(8.15), -0.2]

    @pytest.mark.parametrize("bad", [None, "5", float("nan"), {}])
    def test_those_without_a_price_leave_a_hole_and_no_zero(self, bad: Any) -> None:
        entries = [
            {"from": NOW_S, "price": 1},
            {"from": NOW_S + 900, "price": bad},
            {"from": NOW_S + 1800, "price": 3},
        ]
        assert many(entries) == [(0.0, 900.0, 1.0), (1800.0, 2700.0, 3.0)]

    def test_those_without_a_time_are_left_out(self) -> None:
        entries = [None, 7, {"price": 5}, {"from": "noon", "price": 5}, {"from": NOW_S, "price": 1}]
        assert many(entries) == [(0.0, 150.0, 1.0)]
        backwards = [{"from": NOW_S + 9, "to": NOW_S, "price": 5}, {"from": NOW_S, "to": NOW_S + 9, "price": 1}]
        assert many(backwards, end="$.to") == [(0.0, 9.0, 1.0)]

    @pytest.mark.parametrize(
        ("document", "text"),
        [
            ({}, "no price in the 0 entries at $.prices[*]"),
            ({"prices": []}, "no price in the 0 entries"),
            ({"prices": [{"from": NOW_S, "cost": 1}]}, "one of them: nothing at $.price"),
            ({"prices": [{"at": NOW_S, "price": 1}]}, "one of them: nothing at $.from"),
            ({"prices": [{"from": "2027-01-15 09:00", "price": 1}]}, "no ISO time with a time zone"),
            ({"prices": [0] * (MOST_ENTRIES + 1)}, "more than 500 are not read"),
        ],
    )
    def test_a_list_without_any_price_is_named(self, document: Any, text: str) -> None:
        with pytest.raises(DeviceUnavailable, match="entries") as refused:
            read(document, config(**MANY), NOW_S, 150.0)
        assert text in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(NOW_S),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["price", "prices", "from", "until"]) | st.text(max_size=3), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_no_document_makes_it_fail_but_with_a_sentence(document: Any) -> None:
    for shape in (config(), config(valid_until="$.until", **ONE), config(**MANY), config(**MANY, end="$.until")):
        with suppress(DeviceUnavailable):
            for slot in read(document, shape, NOW_S, 150.0):
                assert slot.end_utc_s > slot.start_utc_s
                assert slot.export_value_c is not None
                assert abs(slot.export_value_c) <= 100_000.0


class TestConfiguration:
    @pytest.mark.parametrize(
        ("keys", "text"),
        [
            ({}, "export_value"),
            (ONE | {"url": "http://u:p@10.0.0.9/"}, "put it into username and password"),
            (ONE | {"url": "http://192.168.x.x/prices"}, "is not a URL"),
            (ONE | {"export_value": "$.["}, "is not a JSONPath"),
            (ONE | {"currency": "Euro"}, "currency"),
            (ONE | {"factor": 0}, "makes every price 0"),
            (ONE | {"interval_s": 5}, "interval_s"),
            (ONE | {"start": "$.from"}, "start and end belong to slots"),
            ({"slots": "$[*]", "export_value": "$.price"}, "give start too"),
            (MANY | {"valid_until": "$.u"}, "with slots, use end"),
            (ONE | {"bearer_token": "a\nb"}, "a header cannot carry it"),
        ],
    )
    def test_what_cannot_work_is_refused(self, keys: dict[str, Any], text: str) -> None:
        given = {"type": "http_json", "url": "http://10.0.0.9/prices", "currency": "EUR"} | keys
        with pytest.raises(ValidationError) as refused:
            HttpJsonPriceConfig.model_validate(given)
        assert text in str(refused.value)

    def test_the_logins_are_not_shown(self) -> None:
        shown = repr(config(**ONE, password=SECRET, bearer_token=SECRET, headers={"X-Key": SECRET}))
        assert SECRET not in shown

    def test_it_opens_only_for_more_than_nothing_and_without_hysteresis(self) -> None:
        rules = config().rules
        assert (rules.export_threshold_c, rules.hysteresis_c, rules.at_threshold) == (0.0, 0.0, "limit")


class TestOverHttp:
    async def test_the_price_is_known_until_a_lost_answer_or_two(self, service: Service) -> None:
        feed = service.feed()
        assert await feed.update() == 60.0
        assert feed.state() == PriceState(8.5, None, False, NOW_S + 150.0, currency="EUR")
        service.status = 503
        service.utc_s += 60.0
        await feed.update()
        assert (feed.state().export_value_c, feed.state().estimated) == (8.5, False)
        assert "answers HTTP 503" in str(feed.state().fault)
        service.utc_s += 100.0
        assert (feed.state().export_value_c, feed.state().estimated) == (8.5, True)
        service.utc_s += 60.0
        assert feed.state().export_value_c is None

    async def test_the_newest_word_counts_although_it_is_an_estimate(self, service: Service) -> None:
        feed = service.feed(**ONE, estimated="$.guess")
        service.answer = {"price": 8.0, "guess": False}
        await feed.update()
        service.utc_s += 60.0
        service.answer = {"price": -3.0, "guess": True}
        await feed.update()
        assert (feed.state().export_value_c, feed.state().estimated) == (-3.0, True)
        service.utc_s += 60.0
        service.answer = {"price": 8.0, "guess": False}
        await feed.update()
        assert (feed.state().export_value_c, feed.state().estimated) == (8.0, False)
        past = [(slot.start_utc_s - NOW_S, slot.export_value_c) for slot in feed.around()]
        assert past == [(0.0, 8.0), (60.0, -3.0), (120.0, 8.0)]

    async def test_a_price_that_stays_is_one_slot(self, service: Service) -> None:
        feed = service.feed()
        for _ in range(5):
            await feed.update()
            service.utc_s += 60.0
        (slot,) = feed.around()
        assert (slot.start_utc_s, slot.end_utc_s) == (NOW_S, NOW_S + 240.0 + 150.0)

    async def test_a_restless_price_does_not_fill_the_memory(self, service: Service) -> None:
        feed = service.feed(**ONE, interval_s=10)
        for number in range(200):
            service.answer = {"price": number % 7}
            await feed.update()
            service.utc_s += 10.0
        assert len(feed.around()) == 1
        assert feed.state().export_value_c == 199 % 7

    async def test_it_asks_again_as_soon_as_a_price_ends(self, service: Service) -> None:
        feed = service.feed(**ONE, valid_until="$.until")
        service.answer = {"price": 8, "until": NOW_S + 30.0}
        service.headers = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}
        assert await feed.update() == 31.0
        service.answer["until"] = NOW_S + 3.0
        assert await feed.update() == 10.0, "but not without end"

    async def test_a_clock_that_differs_matters_only_where_times_are_told(self, service: Service) -> None:
        service.headers = {"Date": "Fri, 15 Jan 2027 07:00:00 GMT"}
        service.answer = {"price": 8, "until": NOW_S + 900.0}
        plain, timed = service.feed(), service.feed(**ONE, valid_until="$.until")
        await plain.update()
        await timed.update()
        assert plain.state().export_value_c == 8.0
        assert timed.state().export_value_c is None
        assert "this computer's clock is 3600 s ahead" in str(timed.state().fault)

    async def test_logins_are_sent_and_a_refusal_is_told_without_them(self, service: Service) -> None:
        await service.source(**ONE, bearer_token=SECRET).fetch()
        await service.source(**ONE, username="u", password=SECRET).fetch()
        login = base64.b64encode(f"u:{SECRET}".encode()).decode()
        assert service.asked == [f"Bearer {SECRET}", f"Basic {login}"]
        for status in (401, 403):
            service.status = status
            with pytest.raises(DeviceAuthError, match="refuses the login") as refused:
                await service.source(**ONE, bearer_token=SECRET).fetch()
            assert str(refused.value).endswith("check price.url and the login below it")
            assert SECRET not in str(refused.value)

    async def test_what_it_repeats_of_our_login_is_not_told(self, service: Service) -> None:
        service.answer = {"price": SECRET}
        with pytest.raises(DeviceUnavailable, match=r"\*\*\*"):
            await service.source().fetch()

    @pytest.mark.parametrize(
        ("status", "answer", "kind", "text"),
        [
            (404, {}, DeviceUnavailable, "does not know what is asked for (HTTP 404): check price.url"),
            (429, {}, DeviceUnavailable, "too many requests (HTTP 429)"),
            (500, {}, DeviceUnavailable, "answers HTTP 500"),
            (302, {}, DeviceUnavailable, "answers HTTP 302"),
            (200, "<!doctype html>", DeviceUnavailable, "does not answer with JSON"),
            (200, "", DeviceUnavailable, "does not answer with JSON"),
            (200, '{"price": NaN}', DeviceUnavailable, "$.price is nan, no price"),
            (200, '{"price": 1e999}', DeviceUnavailable, "$.price is inf, no price"),
            (200, {"price": "8.5"}, DeviceUnavailable, "a text: send a number without quotes"),
            (200, {"cost": 8.5}, DeviceUnavailable, "nothing at $.price"),
            (200, "[" + "1," * 5_000_000 + "1]", DeviceUnavailable, "answers more than 65536 bytes"),
        ],
    )
    async def test_every_bad_answer_is_a_sentence_that_names_the_service(
        self, service: Service, status: int, answer: Any, kind: type[DeviceError], text: str
    ) -> None:
        service.status, service.answer = status, answer
        with pytest.raises(kind) as refused:
            await service.source().fetch()
        said = str(refused.value)
        assert said.startswith(f"http_json at http://127.0.0.1:{service.server.port}/prices")
        assert text in said
        assert SECRET not in said

    @pytest.mark.parametrize("name", [*NONSENSE, "10 MB", "a body without end", "a packed 20 MB"])
    async def test_nothing_but_a_sentence_comes_of_a_hostile_server(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prices_web, "TIMEOUT_S", 2.0)
        async with hostile((NONSENSE | TOO_MUCH)[name]) as server, aiohttp.ClientSession() as session:
            for keys in (ONE, MANY):
                shape = config(url=f"http://{server.host}/", bearer_token=SECRET, **keys)
                with pytest.raises(DeviceError) as refused:
                    await HttpJsonPrice(shape, session).fetch()
                assert len(str(refused.value)) < 300

    async def test_nobody_there(self) -> None:
        async with aiohttp.ClientSession() as session:
            source = HttpJsonPrice(config(url=f"http://127.0.0.1:{free_port()}/", **ONE), session)
            with pytest.raises(DeviceUnavailable, match="cannot reach http_json at .*: connection refused"):
                await source.fetch()
