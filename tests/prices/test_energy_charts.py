"""Energy-Charts and aWATTar: units, zones, holes, and what they say when there is nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from app.model import DeviceUnavailable
from app.prices import awattar, energy_charts
from app.prices.awattar import AwattarConfig
from app.prices.base import Outside
from app.prices.energy_charts import EnergyChartsConfig, parse
from tests.prices.spot_server import DAY_S, FakeAwattar, FakeEnergyCharts, at

NOW_S = at("2026-07-01T06:00")


@pytest.fixture
async def server() -> AsyncIterator[FakeEnergyCharts]:
    async with FakeEnergyCharts(NOW_S) as service:
        yield service


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


def document(prices: list[Any], unit: Any = "EUR / MWh", step_s: int = 900, **keys: Any) -> dict[str, Any]:
    return {"unix_seconds": [int(NOW_S) + step_s * n for n in range(len(prices))], "price": prices, "unit": unit} | keys


@pytest.mark.parametrize(
    ("mwh", "cents"),
    [
        (93.91, 9.391),
        (-42.5, -4.25),
        (0, 0.0),
        (0.0, 0.0),
        (-0.01, -0.001),
        (81.23, 8.123),
        (4000, 400.0),
        (-500, -50.0),
    ],
)
def test_euros_per_megawatt_hour_become_cents_per_kilowatt_hour(mwh: float, cents: float) -> None:
    first, _ = parse(document([mwh, 1.0]))
    assert (first.spot_c, first.start_utc_s, first.end_utc_s) == (cents, NOW_S, NOW_S + 900.0)
    rows = [{"start_timestamp": NOW_S * 1000, "end_timestamp": NOW_S * 1000 + 3_600_000, "marketprice": mwh}]
    (hour,) = awattar.parse({"data": [rows[0] | {"unit": "Eur/MWh"}]})
    assert (hour.spot_c, hour.start_utc_s, hour.end_utc_s) == (cents, NOW_S, NOW_S + 3600.0)


@pytest.mark.parametrize("unit", ["EUR / MWh", "EUR/MWh", "Eur/MWh", "€/MWh", "eur / mwh", "No Unit"])
def test_the_unit_is_checked_however_it_is_written(unit: str) -> None:
    assert len(list(parse(document([1.0, 2.0], unit)))) == 2


@pytest.mark.parametrize(
    "unit", [None, "", "ct/kWh", "EUR / kWh", "GBP / MWh", "SEK / MWh", 7, ["EUR / MWh"], "x" * 99]
)
def test_another_unit_is_refused_by_name(unit: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="Energy-Charts gives prices in .*, not in EUR / MWh") as refused:
        list(parse(document([1.0], unit)))
    assert len(str(refused.value)) < 100
    with pytest.raises(DeviceUnavailable, match="aWATTar gives prices in .*, not in Eur/MWh"):
        list(awattar.parse({"data": [{"start_timestamp": 1, "end_timestamp": 2, "marketprice": 1.0, "unit": unit}]}))


@pytest.mark.parametrize(("step_s", "length_s"), [(900, 900.0), (1800, 1800.0), (3600, 3600.0), (7200, 3600.0)])
def test_an_interval_is_as_long_as_the_distance_of_two_times_and_no_longer_than_an_hour(
    step_s: int, length_s: float
) -> None:
    slots = list(parse(document([1.0, 2.0, 3.0], step_s=step_s)))
    assert [slot.end_utc_s - slot.start_utc_s for slot in slots] == [length_s] * 3


def test_a_time_that_is_missing_leaves_a_hole_and_so_does_a_price() -> None:
    times = [int(NOW_S) + 900 * n for n in (0, 1, 2, 5, 6)]
    slots = list(parse(document([1.0, None, 3.0, 4.0, 5.0], unix_seconds=times)))
    assert [(slot.start_utc_s - NOW_S, slot.end_utc_s - NOW_S) for slot in slots] == [
        (0.0, 900.0), (1800.0, 2700.0), (4500.0, 5400.0), (5400.0, 6300.0),
    ]  # fmt: skip


def test_times_in_any_order_and_a_single_one_are_understood() -> None:
    times = [int(NOW_S) + 3600 * n for n in (2, 0, 1)]
    assert {(slot.start_utc_s, slot.spot_c) for slot in parse(document([30.0, 10.0, 20.0], unix_seconds=times))} == {
        (NOW_S, 1.0), (NOW_S + 3600.0, 2.0), (NOW_S + 7200.0, 3.0),
    }  # fmt: skip
    (only,) = parse(document([10.0]))
    assert only.end_utc_s - only.start_utc_s == 900.0


@pytest.mark.parametrize("keys", [{"price": [1.0]}, {"unix_seconds": "x"}, {"price": None}, {"unix_seconds": {}}])
def test_lists_that_do_not_fit_together_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(DeviceUnavailable, match="does not answer with a list of prices"):
        list(parse(document([1.0, 2.0], **keys)))


async def test_it_asks_for_whole_days_of_its_zone(server: FakeEnergyCharts, session: aiohttp.ClientSession) -> None:
    await server.source(session, zone="AT").fetch()
    server.now_s = at("2026-07-01T05:59")  # just after midnight in a zone six hours away it is still the day before
    await server.source(session).fetch()
    assert server.asked == [
        "/price?bzn=AT&start=2026-07-01&end=2026-07-03", "/price?bzn=DE-LU&start=2026-06-30&end=2026-07-03",
    ]  # fmt: skip


async def test_an_unknown_zone_is_named(server: FakeEnergyCharts, session: aiohttp.ClientSession) -> None:
    with pytest.raises(
        DeviceUnavailable, match=r"^Energy-Charts \(zone XX\) does not understand .* \(HTTP 400\): check price.zone$"
    ):
        await server.source(session, zone="XX").fetch()


async def test_awattar_is_asked_in_milliseconds_in_its_country(session: aiohttp.ClientSession) -> None:
    async with FakeAwattar(NOW_S) as service:
        await service.source(session, country="at").fetch()
        begin_s = at("2026-07-01")
        assert service.asked == [f"/v1/marketdata?start={begin_s * 1000:.0f}&end={(begin_s + 3 * DAY_S) * 1000:.0f}"]
        with pytest.raises(DeviceUnavailable, match=r"aWATTar does not know .* \(HTTP 404\): check price\.base_url"):
            await service.source(session, base_url=f"{service.base_url}/v2").fetch()


@pytest.mark.parametrize(
    "keys",
    [
        {"start_timestamp": None}, {"end_timestamp": "x"}, {"end_timestamp": 0}, {"end_timestamp": NOW_S * 1000},
        {"end_timestamp": NOW_S * 1000 + 7_200_000}, {"start_timestamp": -5}, {"marketprice": "7.5"},
    ],
)  # fmt: skip
def test_an_hour_that_cannot_be_is_left_out(keys: dict[str, Any]) -> None:
    row = {
        "start_timestamp": NOW_S * 1000,
        "end_timestamp": NOW_S * 1000 + 3_600_000,
        "marketprice": 1.0,
        "unit": "Eur/MWh",
    }
    assert len(list(awattar.parse({"data": [row]}))) == 1
    assert not list(awattar.parse({"data": [row | keys, None, 7]}))


async def test_the_addresses_are_those_of_the_services(session: aiohttp.ClientSession) -> None:
    assert EnergyChartsConfig(type="energy_charts").base_url == "https://api.energy-charts.info"
    nothing: Any = None
    for country in ("de", "at"):
        source = AwattarConfig(type="awattar", country=country).build(session, Outside(nothing))
        assert isinstance(source, awattar.Awattar)
        assert source.base_url == f"https://api.awattar.{country}"
    assert isinstance(
        EnergyChartsConfig(type="energy_charts").build(session, Outside(nothing)), energy_charts.EnergyCharts
    )


@pytest.mark.parametrize("zone", ["AT", "DE-LU", "DK1", "IT-North", "NO2NSL", "IT-Centre-South"])
def test_zones_are_written_as_the_service_writes_them(zone: str) -> None:
    assert EnergyChartsConfig(type="energy_charts", zone=zone).zone == zone


@pytest.mark.parametrize("zone", ["de", "", "DE&x=1", "D", "DE LU", "DE-LU\n", "10Y1001A1001A82H"])
def test_what_is_no_zone_is_named(zone: str) -> None:
    with pytest.raises(ValidationError, match="is no bidding zone: write it like DE-LU, AT or NO2"):
        EnergyChartsConfig(type="energy_charts", zone=zone)


@pytest.mark.parametrize("keys", [{"export_value": "total"}, {"import_price": ""}, {"zon": "AT"}, {"base_url": "x"}])
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    for config, name in ((EnergyChartsConfig, "energy_charts"), (AwattarConfig, "awattar")):
        with pytest.raises(ValidationError):
            config.model_validate({"type": name} | keys)
    with pytest.raises(ValidationError):
        AwattarConfig.model_validate({"type": "awattar", "country": "ch"})
