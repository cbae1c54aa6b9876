"""What holds for every source of day-ahead prices: time zones, outages, broken answers, and how often it asks."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.model import DeviceError, DeviceUnavailable, PriceSlot
from app.prices import awattar, energy_charts, octopus, tibber
from app.prices import web as outside
from app.prices.base import Busy, Fetched, PriceSource
from app.prices.feed import PriceFeed
from app.prices.spot import DAY_S, HOUR_S, SpotSection, asked_range, day_ahead_pause_s
from app.prices.timetable import Timetable
from tests.prices.spot_server import (
    FakeAwattar,
    FakeEnergyCharts,
    FakeOctopus,
    FakeService,
    FakeTibber,
    at,
    midnight,
    sunny,
)

MORNING_S = at("2026-07-01T06:00")
LENGTH_S = {FakeEnergyCharts: 900.0, FakeAwattar: 3600.0, FakeTibber: 900.0, FakeOctopus: 1800.0}
SERVICES = list(LENGTH_S)


class House:
    """One service, our source for it, and what we know of its prices."""

    def __init__(self, service: FakeService, session: aiohttp.ClientSession) -> None:
        self.service, self.session = service, session
        self.source = self.connect()

    def connect(self, **keys: Any) -> PriceSource:
        self.source = self.service.source(self.session, **keys)
        now = lambda: self.service.now_s  # noqa: E731
        self.feed = PriceFeed(self.source, 900.0, utc=now, monotonic=now, jitter_s=0.0)
        return self.source

    async def fetch(self) -> Fetched:
        return await self.source.fetch()

    def earned_c(self, utc_s: float) -> float:
        """What the market says about a moment; Octopus has the same numbers in pence per kWh."""
        length_s = LENGTH_S[type(self.service)]
        price = sunny(utc_s // length_s * length_s)
        return price if isinstance(self.service, FakeOctopus) else price / 10.0


@pytest.fixture(params=SERVICES, ids=lambda kind: kind.__name__[4:])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with request.param(MORNING_S) as service, aiohttp.ClientSession() as session:
        yield House(service, session)


async def test_what_the_market_pays_is_known_and_final(house: House) -> None:
    fetched = await house.fetch()
    assert fetched.server_utc_s == MORNING_S
    assert all(slot.confirmed for slot in fetched.slots)
    for hours in (0.0, 5.5, 15.99):
        (slot,) = [one for one in fetched.slots if one.start_utc_s <= MORNING_S + hours * HOUR_S < one.end_utc_s]
        assert slot.export_value_c == pytest.approx(house.earned_c(MORNING_S + hours * HOUR_S), abs=1e-9)
        assert slot.end_utc_s - slot.start_utc_s == LENGTH_S[type(house.service)]


async def test_formulas_are_applied(house: House) -> None:
    house.connect(export_value="7.94 if spot >= 0 else 0", import_price="spot * 1.19 + 16.2")
    slots = (await house.fetch()).slots
    assert {slot.export_value_c for slot in slots} == {7.94, 0.0}
    assert not any(math.copysign(1.0, slot.export_value_c or 0.0) < 0.0 for slot in slots), "no -0.0"
    first = slots[0]
    assert first.import_price_c == pytest.approx(house.earned_c(first.start_utc_s) * 1.19 + 16.2)


async def test_a_formula_without_result_makes_the_price_unknown(house: House) -> None:
    house.connect(export_value="1 / (spot - spot)")
    await house.feed.update()
    assert (house.feed.state().export_value_c, house.feed.state().estimated) == (None, False)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-28", 24), ("2026-03-29", 23), ("2026-07-01", 24), ("2026-10-25", 25), ("2026-12-31", 24)],
)
async def test_every_moment_of_a_day_has_its_price_also_when_the_clocks_change(
    house: House, day: str, hours: int
) -> None:
    begin_s = midnight(at(f"{day}T12:00"))
    assert midnight(begin_s, 1) - begin_s == hours * HOUR_S
    for asked_s in (begin_s, begin_s + 60.0, begin_s + 6.5 * HOUR_S, midnight(begin_s, 1) - 1.0):
        house.service.now_s = asked_s
        known = Timetable("", "", 0.0)
        known.merge((await house.fetch()).slots, asked_s)
        quarters = [asked_s + after_s for after_s in range(0, int(midnight(begin_s, 1) - asked_s), 900)]
        assert [known.at(one).export_value_c for one in quarters] == pytest.approx(
            [house.earned_c(one) for one in quarters], abs=1e-9
        )
        assert not any(known.at(one).estimated for one in quarters)


async def test_an_outage_of_six_hours_changes_nothing(house: House) -> None:
    await house.feed.update()
    house.service.status = 503
    for minutes in range(0, 360, 7):
        house.service.now_s = MORNING_S + minutes * 60.0
        await house.feed.update()
        state = house.feed.state()
        assert state.export_value_c == pytest.approx(house.earned_c(house.service.now_s), abs=1e-9)
        assert (state.estimated, "HTTP 503" in str(state.fault)) == (False, True)
    house.service.status = 200
    await house.feed.update()
    assert house.feed.state().fault is None


async def test_over_a_day_it_asks_seldom_and_knows_tomorrow_soon(house: House) -> None:
    """Prices come out at noon UTC here; the busiest day is one on which they never do."""
    house.service.now_s = at("2026-07-01T00:01")
    learned_s = 0.0
    while house.service.now_s < at("2026-07-02T00:01"):
        wait_s = await house.feed.update()
        if not learned_s and house.feed.around()[-1].end_utc_s > midnight(MORNING_S, 1) + HOUR_S:
            learned_s = house.service.now_s
        house.service.now_s += wait_s
    assert learned_s - at("2026-07-01T12:00") <= 900.0 + 3600.0
    assert len(house.service.asked) <= 30


def test_on_a_day_without_news_it_asks_at_most_sixty_times() -> None:
    known, now_s, asked = Timetable("", "", 0.0), at("2026-07-01T00:00"), 0
    known.merge([PriceSlot(now_s, at("2026-07-01T22:00"), 1.0, None, confirmed=True)], now_s)
    pauses = set()
    while now_s < at("2026-07-02T00:00"):
        pauses.add(pause_s := day_ahead_pause_s(now_s, known))
        now_s, asked = now_s + pause_s, asked + 1
    assert (asked, pauses) == (60, {900.0, 3600.0})
    assert day_ahead_pause_s(at("2026-07-02T00:05"), known) == 900.0, "and no price is left: today's are late"
    known.merge([PriceSlot(at("2026-07-01T22:00"), at("2026-07-02T22:00"), 1.0, None, confirmed=True)], now_s)
    assert {day_ahead_pause_s(at("2026-07-01T12:00") + hours * HOUR_S, known) for hours in range(20)} == {3600.0}


BROKEN: dict[str, dict[str, Any]] = {
    "an error": {"status": 500, "text": "Internal Server Error"},
    "not found": {"status": 404, "text": '{"detail": "no content available"}'},  # Energy-Charts: while data is late
    "a bad gateway": {"status": 502, "text": "<html>"},
    "a redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1/"}},
    "HTML": {"text": "<html><body>Maintenance</body></html>", "content_type": "text/html"},
    "nothing": {},
    "no text": {"body": b"\xff\xfe\x00"},
    "10 MB": {"body": b"[" + b"1," * 5_000_000 + b"1]"},
    "packed": {"body": b"{}", "headers": {"Content-Encoding": "gzip"}},
    "deep": {"text": "[" * 60_000},
    **{text: {"text": text} for text in ("[]", "{}", "null", "7", '"x"', "NaN", "[[]]")},
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_answer_is_named_and_what_is_known_stays(house: House, what: str) -> None:
    await house.feed.update()
    before = house.feed.state()
    house.service.script = [web.Response(**BROKEN[what])]
    await house.feed.update()
    state = house.feed.state()
    assert (state.export_value_c, state.estimated, state.refused) == (before.export_value_c, False, False)
    assert str(state.fault).startswith((house.source.name, f"cannot reach {house.source.name}"))
    house.service.script = [web.Response(**BROKEN[what])]
    with pytest.raises(DeviceUnavailable):
        await house.fetch()


async def test_too_many_requests_wait_as_long_as_the_service_says(house: House) -> None:
    house.service.script = [web.Response(status=429, headers={"Retry-After": "600"}), web.Response(status=429)]
    with pytest.raises(Busy) as told:
        await house.fetch()
    with pytest.raises(Busy) as untold:
        await house.fetch()
    assert (told.value.wait_s, untold.value.wait_s) == (602.0, None)
    house.service.script = [web.Response(status=429, headers={"Retry-After": "600"})]
    assert await house.feed.update() == 602.0


async def test_a_silent_or_absent_service_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "TIMEOUT_S", 0.1)
    house.service.script = [0.5]
    with pytest.raises(DeviceUnavailable, match=r"does not answer within 0\.1 s"):
        await house.fetch()
    await house.service.close()
    with pytest.raises(DeviceUnavailable, match=f"cannot reach {house.source.name}"):
        await house.fetch()


@pytest.mark.parametrize("value", [None, "81.23", True, float("nan"), float("inf"), 1e300, 10**400, [], {}])
async def test_what_is_no_price_leaves_a_hole(house: House, value: Any) -> None:
    hole_s = MORNING_S + HOUR_S
    house.service.mwh = lambda start_s: value if hole_s <= start_s < hole_s + HOUR_S else sunny(start_s)
    known = Timetable("", "", 0.0)
    known.merge((await house.fetch()).slots, MORNING_S)
    assert known.slot(hole_s) is None
    assert known.slot(hole_s + HOUR_S - 1.0) is None
    assert known.slot(hole_s - 1.0) is not None
    assert known.slot(hole_s + HOUR_S) is not None
    assert known.at(hole_s + 60.0).export_value_c is None


async def test_without_a_single_price_the_answer_is_useless(house: House) -> None:
    house.service.mwh = lambda _start_s: None
    with pytest.raises(DeviceUnavailable, match="gives no prices for today"):
        await house.fetch()


def parts(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a document; of a list its ends are enough."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path] + [deeper for key, value in list(inner)[:6] for deeper in parts(value, (*path, key))]


JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 1e18, -1e308, 10**400, float("nan"), float("inf"), "", "x", "7.5", "EUR", [], {}, [[]],
    "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2026-07-01T06:00:00", "2026-07-01T06:00:00Z",
)  # fmt: skip


def understood(kind: type[FakeService], document: Any) -> tuple[PriceSlot, ...]:
    """The slots that a document is made of."""
    asked = asked_range(MORNING_S)
    section = SpotSection()
    if kind is FakeOctopus:
        return section.slots("It", asked, octopus.joined(octopus.rates(document, asked), []))
    if kind is FakeTibber:
        return section.slots("It", asked, tibber.parse(document, "EUR"))
    return section.slots("It", asked, (energy_charts if kind is FakeEnergyCharts else awattar).parse(document))


async def test_documents_with_any_part_spoilt_raise_nothing_else(house: House) -> None:
    kept: list[Any] = []

    def keep(document: Any) -> Any:
        kept.append(document)
        return document

    house.service.change = keep
    await house.fetch()
    kind, spoilt = type(house.service), 0
    for path, junk in itertools.product(parts(kept[-1]), JUNK):
        try:
            slots = understood(kind, replaced(kept[-1], path, junk))
        except DeviceError:
            spoilt += 1
            continue
        assert all(MORNING_S - 3 * DAY_S < one.start_utc_s < one.end_utc_s < MORNING_S + 5 * DAY_S for one in slots)
        assert all(one.export_value_c is None or math.isfinite(one.export_value_c) for one in slots)
    assert spoilt > 20


def replaced(document: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    copied = copy.copy(document)
    copied[path[0]] = replaced(document[path[0]], path[1:], junk)
    return copied
