"""Octopus Energy (Great Britain): the rates of an export tariff, and of an import tariff beside it. Needs no key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

import aiohttp
from pydantic import Field

from app.fields import Url
from app.model import DeviceUnavailable
from app.prices.base import Fetched, Outside, PriceSource
from app.prices.formula import TotalFormula
from app.prices.spot import Spot, SpotSection, asked_range, day_ahead_pause_s, written
from app.prices.timetable import Timetable
from app.prices.web import Document, cents, get_json, utc_s
from app.redact import Redactor, secrets_of

LOGIN = "price.export_product, price.import_product and price.region"
PAGE = 1500  # the most that it gives at once; three days are some 150
Product = Annotated[str, written("[A-Z0-9-]{3,60}", "product code: it looks like AGILE-OUTGOING-19-05-13")]
Region = Annotated[str, written("[A-HJ-NP]", "region: it is the last letter of your tariff code, such as C for London")]


class OctopusConfig(SpotSection):
    """Rates in pence per kWh, including VAT. In the formulas `spot` is the export rate and `total` the import rate."""

    type: Literal["octopus"]
    region: Region = Field(description="the last letter of your tariff code, such as C for London")
    export_product: Product = "AGILE-OUTGOING-19-05-13"
    import_product: Product | None = None
    export_value: TotalFormula = "spot"
    import_price: TotalFormula | None = "total"
    base_url: Url = "https://api.octopus.energy"

    def build(self, session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source for these tariffs."""
        return Octopus(self, session)


class Rate(NamedTuple):
    """What a kWh is worth for a while, in pence."""

    start_utc_s: float
    end_utc_s: float
    pence: float


class Octopus:
    """Asks for the rates of today and of the days after."""

    name = "Octopus"
    currency = "GBP"

    def __init__(
        self, config: OctopusConfig, session: aiohttp.ClientSession, utc: Callable[[], float] = time.time
    ) -> None:
        self._config, self._session, self._utc = config, session, utc
        self._public = Redactor(secrets_of(config))

    async def fetch(self) -> Fetched:
        """The rates published."""
        config, asked = self._config, asked_range(self._utc())
        export = await self._rates(config.export_product, asked)
        paid = rates(export.data, asked)
        costs = []
        if config.import_product is not None:
            costs = rates((await self._rates(config.import_product, asked)).data, asked)
        return Fetched(config.slots(self.name, asked, joined(paid, costs)), export.server_utc_s, export.pause_s)

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """An hour, less while tomorrow's rates are late."""
        return day_ahead_pause_s(utc_s, known)

    async def _rates(self, product: str, asked: tuple[float, float]) -> Document:
        first, last = (f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%MZ}" for at_s in asked)
        url = (
            f"{self._config.base_url}/v1/products/{product}/electricity-tariffs/E-1R-{product}-{self._config.region}"
            f"/standard-unit-rates/?period_from={first}&period_to={last}&page_size={PAGE}"
        )
        return await get_json(self._session, url, f"{self.name} ({product})", login=LOGIN, public=self._public)


def rates(document: Any, asked: tuple[float, float]) -> list[Rate]:
    """The rates of an answer within the range asked for; those without an end last until its end."""
    rows = document.get("results") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise DeviceUnavailable("Octopus does not answer with a list of rates")
    found = []
    for row in rows:
        if not isinstance(row, dict) or row.get("payment_method") == "NON_DIRECT_DEBIT":  # dearer, and seldom
            continue
        begin_s, pence = utc_s(row.get("valid_from")), cents(row.get("value_inc_vat"))
        end_s = asked[1] if row.get("valid_to") is None else utc_s(row.get("valid_to"))
        if begin_s is not None and end_s is not None and pence is not None:
            found.append(Rate(max(begin_s, asked[0]), min(end_s, asked[1]), pence))
    return [rate for rate in found if rate.start_utc_s < rate.end_utc_s]


def joined(paid: list[Rate], costs: list[Rate]) -> Iterator[Spot]:
    """Both prices of every interval in which neither changes; where import has none, it is unknown."""
    edges = sorted({edge for rate in (*paid, *costs) for edge in (rate.start_utc_s, rate.end_utc_s)})
    for start_s, end_s in pairwise(edges):
        earns = _at(paid, start_s)
        if earns is not None:
            yield Spot(start_s, end_s, earns, _at(costs, start_s))


def _at(known: list[Rate], at_s: float) -> float | None:
    return next((rate.pence for rate in known if rate.start_utc_s <= at_s < rate.end_utc_s), None)
