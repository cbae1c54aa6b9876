"""Tibber (Norway, Sweden, Germany, the Netherlands): the prices of a home, by quarter-hours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import aiohttp
from pydantic import Field

from app.fields import Url
from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable
from app.prices.base import Currency, Fetched, Outside, PriceSource, valid_token
from app.prices.formula import TotalFormula
from app.prices.spot import Spot, SpotSection, asked_range, day_ahead_pause_s, ends
from app.prices.timetable import Timetable
from app.prices.web import Document, cents, get_json, utc_s
from app.redact import Redactor, secrets_of

LOGIN = "TIBBER_TOKEN (price.token)"
HOMES = "{ viewer { homes { id currentSubscription { status } } } }"
PRICES = """query ($home: ID!) { viewer { home(id: $home) { currentSubscription {
  priceInfo(resolution: QUARTER_HOURLY) {
    today { total energy startsAt currency } tomorrow { total energy startsAt currency } } } } } }"""


TOKEN = valid_token("Tibber token: make one at https://developer.tibber.com/settings/access-token")


class TibberConfig(SpotSection):
    """An account at Tibber. In the formulas `spot` is the price of the energy alone, `total` what import costs."""

    type: Literal["tibber"]
    token: Annotated[str, TOKEN] = Field(repr=False)
    home_id: str = Field("", description="may be empty where the account has exactly one home with a contract")
    currency: Currency = Field("EUR", description="of your contract: EUR, NOK or SEK")
    export_value: TotalFormula = "spot"
    import_price: TotalFormula | None = "total"
    base_url: Url = "https://api.tibber.com/v1-beta/gql"

    def build(self, session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source for this home."""
        return Tibber(self, session)


class Tibber:
    """Asks for the prices of today and tomorrow."""

    name = "Tibber"

    def __init__(
        self, config: TibberConfig, session: aiohttp.ClientSession, utc: Callable[[], float] = time.time
    ) -> None:
        self._config, self._session, self._utc = config, session, utc
        self._public = Redactor(secrets_of(config))
        self._home_id = config.home_id
        self.currency: str = config.currency

    async def fetch(self) -> Fetched:
        """The prices published."""
        try:
            if not self._home_id:
                self._home_id = only_home((await self._query(HOMES)).data)
            answer = await self._query(PRICES, {"home": self._home_id})
            prices = parse(answer.data, self._config.currency)
            slots = self._config.slots(self.name, asked_range(self._utc()), prices)
            return Fetched(slots, answer.server_utc_s, answer.pause_s)
        except DeviceDataError:
            self._home_id = self._config.home_id  # people move
            raise

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """An hour, less while tomorrow's prices are late."""
        return day_ahead_pause_s(utc_s, known)

    async def _query(self, query: str, variables: dict[str, str] | None = None) -> Document:
        answer = await get_json(
            self._session, self._config.base_url, self.name, login=LOGIN, public=self._public, method="POST",
            headers={"Authorization": f"Bearer {self._config.token}"}, json={"query": query, "variables": variables},
        )  # fmt: skip
        errors = _of(answer.data, "errors")
        if not errors:
            return answer
        first = errors[0] if isinstance(errors, list) else errors
        if _of(first, "extensions", "code") == "UNAUTHENTICATED":  # it comes with HTTP 200
            raise DeviceAuthError(f"Tibber refuses the login: check {LOGIN}")
        said = "".join(sign for sign in str(_of(first, "message")) if sign.isprintable())
        raise DeviceUnavailable(f"Tibber answers with an error: {self._public(said)[:100]}")


def _of(document: Any, *keys: str) -> Any:
    """What lies below a path of keys, None where it ends early."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def only_home(document: Any) -> str:
    """The one home with a contract. Raises `DeviceDataError`, listing them where there are several."""
    homes = _of(document, "data", "viewer", "homes")
    if not isinstance(homes, list):
        raise DeviceUnavailable("Tibber does not answer with a list of homes")
    found = [str(_of(home, "id") or "") for home in homes if _of(home, "currentSubscription") is not None]
    if len(found) > 1:
        raise DeviceDataError(f"set TIBBER_HOME_ID (price.home_id) to one of the homes: {', '.join(found[:10])}")
    if not found or not found[0]:
        raise DeviceDataError("Tibber lists no home with a current contract: check the account in Tibber's app")
    return found[0]


def parse(document: Any, currency: str) -> Iterator[Spot]:
    """The prices of an answer. Raises `DeviceDataError` where there is no contract, or another currency."""
    viewer = _of(document, "data", "viewer")
    if isinstance(viewer, dict) and "home" in viewer and _of(viewer, "home", "currentSubscription") is None:
        raise DeviceDataError("Tibber has no contract for this home: check TIBBER_HOME_ID (price.home_id)")
    info = _of(viewer, "home", "currentSubscription", "priceInfo")
    days = (_of(info, "today"), _of(info, "tomorrow"))
    rows = [(utc_s(_of(row, "startsAt")), row) for day in days if isinstance(day, list) for row in day]
    end_of = ends(start_s for start_s, _ in rows if start_s is not None)
    for start_s, row in rows:
        said, spot_c = _of(row, "currency"), _hundredths(_of(row, "energy"))
        if start_s is None or spot_c is None or not isinstance(said, str):
            continue
        if said != currency:
            raise DeviceDataError(f"Tibber gives prices in {said[:10]!r}, not {currency}: set price.currency")
        yield Spot(start_s, end_of[start_s], spot_c, _hundredths(_of(row, "total")))


def _hundredths(value: Any) -> float | None:
    price = cents(value)
    return None if price is None else round(price * 100.0, 6)
