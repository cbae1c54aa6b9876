"""Amber Electric (Australia): a price every five minutes, first estimated, then confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

import aiohttp
from pydantic import Field

from app.fields import Url
from app.model import DeviceDataError, DeviceUnavailable, PriceSlot
from app.prices.base import Fetched, Outside, PriceSection, PriceSource, valid_token
from app.prices.timetable import Timetable
from app.prices.web import Document, cents, get_json, utc_s
from app.redact import Redactor, secrets_of

INTERVAL_S = 300.0
AHEAD = 12  # intervals of forecast: an hour
LONGEST_INTERVAL_S = 3600.0
# A new interval is an estimate until the market has published: 17 to 37 s after its start, half of them within 22.5 s
# (100 observations, amber-express). Asked at these times after its start, until confirmed; then ever less often.
ASKED_S = (1.0, 18.0, 21.0, 23.0, 25.0, 28.0, 31.0, 36.0, 51.0, 66.0, 81.0)
LATER_S = 60.0
LOGIN = "AMBER_TOKEN (price.token) and AMBER_SITE_ID (price.site_id)"


TOKEN = valid_token("Amber token (psk_…): make one at https://app.amber.com.au/developers")


class AmberConfig(PriceSection):
    """An account at Amber Electric. Prices are cents per kWh."""

    type: Literal["amber"]
    token: Annotated[str, TOKEN] = Field(repr=False)
    site_id: str = Field("", description="may be empty where the account has exactly one active site")
    resolution: Literal[5, 30] = Field(5, description="minutes; Amber ignores it for sites that it bills by 5 minutes")
    base_url: Url = "https://api.amber.com.au/v1"
    hysteresis_c: float = Field(0.5, ge=0, le=1000, description="open only when it earns so much more than that")

    def build(self, session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source for this account."""
        return Amber(self, session)


class Amber:
    """Asks around the start of each interval until its price is confirmed."""

    name = "Amber"
    currency = "AUD"

    def __init__(self, config: AmberConfig, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._session = session
        self._public = Redactor(secrets_of(config))
        self._site_id = config.site_id

    async def fetch(self) -> Fetched:
        """The current interval and an hour of forecast."""
        try:
            if not self._site_id:
                self._site_id = active_site((await self._get("/sites")).data)
            query = f"next={AHEAD}&previous=0&resolution={self._config.resolution}"
            answer = await self._get(f"/sites/{quote(self._site_id, safe='')}/prices/current?{query}")
            return Fetched(parse(answer.data), answer.server_utc_s, answer.pause_s)
        except DeviceDataError:
            self._site_id = self._config.site_id  # it may have been replaced
            raise

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """Until the next interval once this one is confirmed; before, until the price is likely to be."""
        slot = known.slot(utc_s)
        if slot is not None and slot.confirmed:
            return slot.end_utc_s + ASKED_S[0] - utc_s
        begin_s = utc_s // INTERVAL_S * INTERVAL_S if slot is None else slot.start_utc_s
        end_s = begin_s + INTERVAL_S if slot is None else slot.end_utc_s
        since_s = utc_s - begin_s
        later_s = min(LATER_S, end_s + ASKED_S[0] - utc_s)  # not beyond the next interval's beginning
        return next((after_s - since_s for after_s in ASKED_S if after_s > since_s + 0.5), later_s)

    async def _get(self, path: str) -> Document:
        headers = {"Authorization": f"Bearer {self._config.token}"}
        url = self._config.base_url + path
        return await get_json(
            self._session, url, "Amber", login=LOGIN, public=self._public, forgets=True, headers=headers
        )


def parse(document: Any) -> tuple[PriceSlot, ...]:
    """The intervals from now on, each with the prices of its own channels.

    Raises `DeviceDataError` where the site has no export channel, and `DeviceUnavailable` where nothing is about now.
    """
    intervals = [item for item in document if isinstance(item, dict)] if isinstance(document, list) else []
    if intervals and not any(item.get("channelType") == "feedIn" for item in intervals):
        raise DeviceDataError("Amber gives no feed-in price: check in Amber's app that export is set up for this site")
    costs: dict[tuple[float, float], float] = {}
    imports: dict[tuple[float, float], float] = {}
    settled: dict[tuple[float, float], bool] = {}
    for when, item in _usable(intervals):
        price_c = cents(item.get("perKwh"))
        if price_c is None:
            continue
        if item["channelType"] == "general":
            imports.setdefault(when, price_c)
        elif item["channelType"] == "feedIn":  # the worst of several; never the controlled load, which is neither
            costs[when] = max(price_c, costs.get(when, price_c))
            confirmed = item["type"] == "CurrentInterval" and item.get("estimate") is False
            settled[when] = settled.get(when, True) and confirmed
    slots = [
        PriceSlot(*when, 0.0 - cost_c, imports.get(when), settled[when])  # Amber's sign: negative is paid to you;
        for when, cost_c in costs.items()  # subtracted, 0 does not become -0
    ]
    if not slots:
        raise DeviceUnavailable("Amber knows no current feed-in price")
    return tuple(slots)


def _usable(intervals: list[dict[str, Any]]) -> Iterator[tuple[tuple[float, float], dict[str, Any]]]:
    """Those from now on whose times can be; an interval begins a second late, at hh:mm:01, which would leave a hole."""
    for item in intervals:
        begin_s, end_s = utc_s(item.get("startTime")), utc_s(item.get("endTime"))
        if item.get("type") not in ("CurrentInterval", "ForecastInterval") or begin_s is None or end_s is None:
            continue
        begin_s = begin_s // 60.0 * 60.0
        if 0.0 < end_s - begin_s <= LONGEST_INTERVAL_S and item.get("channelType") in ("general", "feedIn"):
            yield (begin_s, end_s), item


def active_site(document: Any) -> str:
    """The account's one active site. Raises `DeviceDataError`, listing them where there are several."""
    sites = [site for site in document if isinstance(site, dict)] if isinstance(document, list) else []
    active = [str(site.get("id") or "") for site in sites if site.get("status") == "active"]
    if len(active) > 1:
        raise DeviceDataError(f"set AMBER_SITE_ID (price.site_id) to one of the active sites: {', '.join(active[:10])}")
    if not active or not active[0]:
        raise DeviceDataError("Amber lists no active site for this token: check the account in Amber's app")
    return active[0]
