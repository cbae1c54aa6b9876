"""Octopus: rates of two tariffs that change at different times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from app.model import DeviceUnavailable
from app.prices.octopus import OctopusConfig, Rate, joined, rates
from tests.prices.spot_server import OUTGOING, FakeOctopus, at, rate, sunny

NOW_S = at("2026-07-01T06:00")
ASKED = (at("2026-07-01"), at("2026-07-04"))


@pytest.fixture
async def server() -> AsyncIterator[FakeOctopus]:
    async with FakeOctopus(NOW_S) as service:
        yield service


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


@pytest.mark.parametrize("pence", [9.9, -3.0, 0, 0.0, 15])
def test_a_positive_rate_is_paid_to_you(pence: float) -> None:
    (found,) = rates({"results": [rate(pence, NOW_S, NOW_S + 1800.0)]}, ASKED)
    assert found == (NOW_S, NOW_S + 1800.0, pence)


def test_a_rate_without_end_lasts_until_the_end_of_what_was_asked() -> None:
    rows = [rate(15.0, at("2024-10-26"), None), rate(8.0, at("2023-01-01"), at("2024-10-26"))]
    assert rates({"results": rows}, ASKED) == [(*ASKED, 15.0)]
    assert rates({"results": [rate(15.0, at("2024-10-26"), at("2027-01-01"))]}, ASKED) == [(*ASKED, 15.0)]


def test_of_two_ways_to_pay_it_is_direct_debit() -> None:
    rows = [rate(27.8, ASKED[0], None, "NON_DIRECT_DEBIT"), rate(26.4, ASKED[0], None, "DIRECT_DEBIT")]
    assert [one.pence for one in rates({"results": rows}, ASKED)] == [26.4]
    assert [one.pence for one in rates({"results": rows[::-1]}, ASKED)] == [26.4]


def test_an_interval_is_split_where_the_other_price_changes() -> None:
    paid = [Rate(0.0, 100.0, 15.0), Rate(200.0, 300.0, 16.0)]
    costs = [Rate(-50.0, 40.0, 7.0), Rate(40.0, 250.0, 30.0)]
    assert [(one.start_utc_s, one.end_utc_s, one.spot_c, one.total_c) for one in joined(paid, costs)] == [
        (0.0, 40.0, 15.0, 7.0), (40.0, 100.0, 15.0, 30.0), (200.0, 250.0, 16.0, 30.0), (250.0, 300.0, 16.0, None),
    ]  # fmt: skip


async def test_the_export_tariff_alone_leaves_the_import_price_unknown(
    server: FakeOctopus, session: aiohttp.ClientSession
) -> None:
    slots = (await server.source(session).fetch()).slots
    assert {slot.import_price_c for slot in slots} == {None}
    assert server.asked == [
        f"/v1/products/{OUTGOING}/electricity-tariffs/E-1R-{OUTGOING}-C/standard-unit-rates/"
        "?period_from=2026-07-01T00:00Z&period_to=2026-07-04T00:00Z&page_size=1500"
    ]


async def test_with_a_fixed_import_tariff_every_half_hour_has_both_prices(
    server: FakeOctopus, session: aiohttp.ClientSession
) -> None:
    slots = (await server.source(session, import_product="VAR-22-11-01").fetch()).slots
    (now,) = [slot for slot in slots if slot.start_utc_s == NOW_S]
    assert (now.export_value_c, now.import_price_c, now.end_utc_s) == (sunny(NOW_S), 26.381355, NOW_S + 1800.0)
    assert {slot.import_price_c for slot in slots} == {26.381355}


async def test_a_fixed_export_tariff_follows_a_changing_import_tariff(
    server: FakeOctopus, session: aiohttp.ClientSession
) -> None:
    keys = {"export_product": "OUTGOING-VAR-24-10-26", "import_product": "AGILE-24-10-01"}
    slots = (await server.source(session, **keys).fetch()).slots
    (now,) = [slot for slot in slots if slot.start_utc_s <= NOW_S < slot.end_utc_s]
    assert (now.start_utc_s, now.export_value_c, now.import_price_c) == (NOW_S, 15.0, sunny(NOW_S))
    assert slots[-1].end_utc_s == ASKED[1], "export goes on where import is not known yet"
    assert slots[-1].import_price_c is None


@pytest.mark.parametrize("keys", [{"export_product": "NOPE-1"}, {"import_product": "NOPE-1"}, {"region": "D"}])
async def test_an_unknown_product_or_region_is_named(
    server: FakeOctopus, session: aiohttp.ClientSession, keys: dict[str, Any]
) -> None:
    with pytest.raises(DeviceUnavailable, match=r"^Octopus \(.*\(HTTP 404\): check price\.export_product, .*region$"):
        await server.source(session, **keys).fetch()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"region": "I"}, "'I' is no region: it is the last letter of your tariff code"),
        ({"region": "c"}, "'c' is no region"),
        ({"region": "_C"}, "'_C' is no region"),
        ({"export_product": "../x"}, "'../x' is no product code: it looks like AGILE-OUTGOING-19-05-13"),
        ({"import_product": ""}, "'' is no product code"),
        ({"api_key": "x"}, "Extra inputs"),
    ],
)
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any], problem: str) -> None:
    assert OctopusConfig(type="octopus", region="C").base_url == "https://api.octopus.energy"
    with pytest.raises(ValidationError, match=problem):
        OctopusConfig.model_validate({"type": "octopus", "region": "C"} | keys)
