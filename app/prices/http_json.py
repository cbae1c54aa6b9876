"""Any service that answers a GET with JSON: the URL, and where in the answer the prices stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import aiohttp
from pydantic import Field

from app.endpoint import Endpoint
from app.jsonpath import JsonPath
from app.model import DeviceUnavailable
from app.outbound import place
from app.prices.base import Fetched, Outside, PriceSource
from app.prices.shape import Shape, Trail, read
from app.prices.timetable import Timetable
from app.prices.web import get_json
from app.redact import Redactor, secrets_of

SHORTEST_S = 10.0
VALID = 2.5  # times the interval: one answer may be lost
LOGIN = "price.url and the login below it"


class HttpJsonPriceConfig(Shape, Endpoint):
    """Prices behind a URL, of now or of a list of times."""

    type: Literal["http_json"]
    export_value: JsonPath = Field(description="JSONPath of what one exported kWh earns, negative if you pay")
    interval_s: float = Field(60.0, ge=SHORTEST_S, le=3600, description="seconds between two requests")

    def build(self, session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source for this URL."""
        return HttpJsonPrice(self, session)


class HttpJsonPrice:
    """Asks one URL."""

    def __init__(
        self, config: HttpJsonPriceConfig, session: aiohttp.ClientSession, utc: Callable[[], float] = time.time
    ) -> None:
        self.name = f"http_json at {place(config.url)}"
        self.currency = config.currency
        self._config, self._session, self._utc = config, session, utc
        self._public = Redactor(secrets_of(config))
        self._trail = Trail()

    async def fetch(self) -> Fetched:
        """What the URL answers now."""
        config = self._config
        answer = await get_json(
            self._session, config.url, self.name, login=LOGIN, public=self._public, headers=config.request_headers
        )
        try:
            slots = read(answer.data, config, self._utc(), VALID * config.interval_s)
        except DeviceUnavailable as error:  # it may quote what the server says, and the server knows our login
            raise DeviceUnavailable(self._public(f"{self.name}: {error}")) from None
        if config.slots is None:
            slots = self._trail.add(slots[0])
        return Fetched(slots, answer.server_utc_s if config.timed else None, answer.pause_s)

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """The interval, or less where the price ends before that."""
        slot = known.slot(utc_s)
        interval_s = self._config.interval_s
        return interval_s if slot is None else max(SHORTEST_S, min(interval_s, slot.end_utc_s + 1.0 - utc_s))
