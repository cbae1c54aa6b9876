"""Energy-Charts (Fraunhofer ISE): the day-ahead prices of Europe's bidding zones. No account is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import aiohttp
from pydantic import Field

from app.fields import Url
from app.model import DeviceUnavailable
from app.prices.base import Fetched, Outside, PriceSource
from app.prices.spot import (
    Spot,
    SpotSection,
    asked_range,
    day_ahead_pause_s,
    ends,
    is_euro_per_mwh,
    spot_of_mwh,
    unix_s,
    written,
)
from app.prices.timetable import Timetable
from app.prices.web import get_json
from app.redact import Redactor, secrets_of

Zone = Annotated[str, written("[A-Z]{2}[A-Za-z0-9-]{0,20}", "bidding zone: write it like DE-LU, AT or NO2")]


class EnergyChartsConfig(SpotSection):
    """Prices of the exchange, in cents per kWh; in EUR for every zone."""

    type: Literal["energy_charts"]
    zone: Zone = Field("DE-LU", description="AT BE CH CZ DE-LU DK1 DK2 FR HU IT-North NL NO2 PL SE4 SI and others")
    base_url: Url = "https://api.energy-charts.info"

    def build(self, session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source for this zone."""
        return EnergyCharts(self, session)


class EnergyCharts:
    """Asks for the prices of today and of the days after."""

    name = "Energy-Charts"
    currency = "EUR"

    def __init__(
        self, config: EnergyChartsConfig, session: aiohttp.ClientSession, utc: Callable[[], float] = time.time
    ) -> None:
        self._config, self._session, self._utc = config, session, utc
        self._public = Redactor(secrets_of(config))
        self._who = f"{self.name} (zone {config.zone})"

    async def fetch(self) -> Fetched:
        """The prices published."""
        asked = asked_range(self._utc())
        first, last = (f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}" for at_s in (asked[0], asked[1] - 1.0))
        url = f"{self._config.base_url}/price?bzn={self._config.zone}&start={first}&end={last}"
        answer = await get_json(self._session, url, self._who, login="price.zone", public=self._public)
        slots = self._config.slots(self._who, asked, parse(answer.data))
        return Fetched(slots, answer.server_utc_s, answer.pause_s)

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """An hour, less while tomorrow's prices are late."""
        return day_ahead_pause_s(utc_s, known)


def parse(document: Any) -> Iterator[Spot]:
    """The prices of an answer; where one is missing there is a hole. Raises `DeviceUnavailable` for another unit."""
    answer = document if isinstance(document, dict) else {}
    unit, times, prices = (answer.get(key) for key in ("unit", "unix_seconds", "price"))
    if not isinstance(times, list) or not isinstance(prices, list) or len(times) != len(prices):
        raise DeviceUnavailable("Energy-Charts does not answer with a list of prices")
    if not is_euro_per_mwh(unit) and unit != "No Unit":  # which it said for years of the same prices
        raise DeviceUnavailable(f"Energy-Charts gives prices in {str(unit)[:30]!r}, not in EUR / MWh")
    starts = [unix_s(value) for value in times]
    end_of = ends(start for start in starts if start is not None)
    for start_s, value in zip(starts, prices, strict=True):
        spot_c = spot_of_mwh(value)
        if start_s is not None and spot_c is not None:
            yield Spot(start_s, end_of[start_s], spot_c)
