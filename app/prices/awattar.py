"""aWATTar (Germany, Austria): the day-ahead prices of the exchange. No account; 100 questions a day are fair use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import aiohttp
from pydantic import Field

from app.fields import Url
from app.model import DeviceUnavailable
from app.prices.base import Fetched, Outside, PriceSource
from app.prices.spot import (
    LONGEST_SLOT_S,
    Spot,
    SpotSection,
    asked_range,
    day_ahead_pause_s,
    is_euro_per_mwh,
    spot_of_mwh,
    unix_s,
)
from app.prices.timetable import Timetable
from app.prices.web import get_json
from app.redact import Redactor, secrets_of


class AwattarConfig(SpotSection):
    """Prices of the exchange, in cents per kWh."""

    type: Literal["awattar"]
    country: Literal["de", "at"] = "de"
    base_url: Url | None = Field(None, description="https://api.awattar.de or .at, according to the country")

    def build(self, session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source for this country."""
        return Awattar(self, session)


class Awattar:
    """Asks for the prices of today and of the days after."""

    name = "aWATTar"
    currency = "EUR"

    def __init__(
        self, config: AwattarConfig, session: aiohttp.ClientSession, utc: Callable[[], float] = time.time
    ) -> None:
        self._config, self._session, self._utc = config, session, utc
        self._public = Redactor(secrets_of(config))
        self.base_url = config.base_url or f"https://api.awattar.{config.country}"

    async def fetch(self) -> Fetched:
        """The prices published."""
        asked = asked_range(self._utc())
        url = f"{self.base_url}/v1/marketdata?start={asked[0] * 1000:.0f}&end={asked[1] * 1000:.0f}"
        answer = await get_json(self._session, url, self.name, login="price.base_url", public=self._public)
        return Fetched(self._config.slots(self.name, asked, parse(answer.data)), answer.server_utc_s, answer.pause_s)

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """An hour, less while tomorrow's prices are late."""
        return day_ahead_pause_s(utc_s, known)


def parse(document: Any) -> Iterator[Spot]:
    """The prices of an answer. Raises `DeviceUnavailable` for another unit."""
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise DeviceUnavailable("aWATTar does not answer with a list of prices")
    for row in rows:
        if not isinstance(row, dict):
            continue
        if not is_euro_per_mwh(row.get("unit")):
            raise DeviceUnavailable(f"aWATTar gives prices in {str(row.get('unit'))[:30]!r}, not in Eur/MWh")
        start_s, end_s = unix_s(row.get("start_timestamp"), 1000.0), unix_s(row.get("end_timestamp"), 1000.0)
        spot_c = spot_of_mwh(row.get("marketprice"))
        if start_s is None or end_s is None or spot_c is None or not 0.0 < end_s - start_s <= LONGEST_SLOT_S:
            continue
        yield Spot(start_s, end_s, spot_c)
