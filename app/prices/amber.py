"""Amber Electric (Australia): a price every five minutes, first estimated, then confirmed."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import aiohttp
from pydantic import BeforeValidator, Field

from app.fields import Section, Url
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, PriceState
from app.outbound import ask
from app.prices.base import PriceSource
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
POLL_S = 30.0
GRACE_S = 45.0  # how long the next interval may be on its way
REFUSED_S = 300.0  # only a person can mend a token
MAX_RESET_S = 900.0
MAX_INTERVAL_S = 3600.0
MAX_PRICE_C = 100_000.0  # fifty times the market's cap: a corrupt value
EPOCH = datetime.fromtimestamp(0, UTC)


def _valid_token(value: Any) -> str:
    """The message does not repeat the value: it may be a mistyped secret."""
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("is empty or no Amber token (psk_…): make one at https://app.amber.com.au/developers")
    return value


class AmberConfig(Section):
    """An account at Amber Electric. Prices are cents per kWh."""

    type: Literal["amber"]
    token: Annotated[str, BeforeValidator(_valid_token)] = Field(repr=False)
    site_id: str = Field("", description="may be empty where the account has exactly one active site")
    export_threshold_c: float = Field(0.0, ge=0, le=1000, description="export only while it earns more than this")
    base_url: Url = "https://api.amber.com.au/v1"

    def build(self, session: aiohttp.ClientSession) -> PriceSource:
        """The source for this account."""
        return Amber(self, session)


@dataclass(frozen=True, slots=True)
class Offer:
    """The normalised prices of one interval."""

    price: PriceState
    from_utc_s: float
    until_utc_s: float

    def at(self, utc_s: float) -> PriceState:
        """The price of a moment. After its end it serves a little longer, as no more than an estimate."""
        if utc_s < self.from_utc_s:
            return PriceState(fault="Amber's current price begins in the future: check the clock of this computer")
        if utc_s > self.until_utc_s + GRACE_S:
            ended = datetime.fromtimestamp(self.until_utc_s, UTC)
            return PriceState(fault=f"Amber's last price ended at {ended:%H:%M} UTC")
        return replace(self.price, estimated=self.price.estimated or utc_s >= self.until_utc_s)


class Amber:
    """Asks for the current price about every 30 s, as far as the rate limit allows."""

    def __init__(
        self, config: AmberConfig, session: aiohttp.ClientSession, *, utc: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._session = session
        self._utc = utc
        self._public = Redactor(secrets_of(config))
        self._site_id = config.site_id
        self._offer: Offer | None = None
        self._fault: str | None = None
        self._failures = 0
        self._pace_s = POLL_S

    def state(self) -> PriceState:
        """The price of now: the last answer for as long as it holds, even when later questions fail."""
        known = self._offer.at(self._utc()) if self._offer is not None else PriceState()
        return replace(known, fault=self._fault or known.fault)

    async def run(self) -> None:
        """Ask for ever, off the round seconds at which everybody asks."""
        while True:
            wait_s = await self.update()
            await asyncio.sleep(wait_s + random.uniform(0.0, 2.0))  # noqa: S311 - jitter, no secret

    async def update(self) -> float:
        """Ask once; the seconds until the next question."""
        try:
            if not self._site_id:
                self._site_id = active_site(await self._get("/sites"))
            self._offer = parse(await self._get(f"/sites/{quote(self._site_id, safe='')}/prices/current"))
        except DeviceError as error:
            return self._failed(error)
        if self._fault is not None:
            log.info("Amber is back")
        self._fault, self._failures = None, 0
        return self._pace_s

    def _failed(self, error: DeviceError) -> float:
        sentence = self._public(str(error))
        if self._fault is None:
            log.warning("%s", sentence)
        self._fault = sentence
        self._failures += 1
        if isinstance(error, DeviceDataError):  # Amber has answered, and there is no price for us in it
            self._offer, self._site_id = None, self._config.site_id
        if isinstance(error, DeviceAuthError):
            return REFUSED_S
        if isinstance(error, _Busy) and error.wait_s is not None:
            return error.wait_s
        return min(300.0 if isinstance(error, _Busy) else 60.0, 10.0 * 2.0 ** min(self._failures - 1, 8))

    async def _get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self._config.token}"}
        try:
            answer = await ask(self._session, self._config.base_url + path, TIMEOUT_S, who="Amber", headers=headers)
        except DeviceDataError as error:  # that is none of Amber's answers: what is known stays
            raise DeviceUnavailable(str(error)) from None
        _check(answer.status, answer.headers)
        self._pace_s = pace_s(answer.headers)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise DeviceUnavailable("Amber does not answer with JSON") from None


class _Busy(DeviceUnavailable):
    """Too many requests; ``wait_s`` where Amber says for how long."""

    def __init__(self, wait_s: float | None) -> None:
        super().__init__("Amber answers that there are too many requests (HTTP 429)")
        self.wait_s = wait_s


def _check(status: int, headers: Mapping[str, str]) -> None:
    if status in (401, 403):
        raise DeviceAuthError(f"Amber refuses the token (HTTP {status}): check AMBER_TOKEN (price.token)")
    if status == 404:
        raise DeviceDataError("Amber does not know this site (HTTP 404): check AMBER_SITE_ID (price.site_id)")
    if status == 429:
        reset_s = _number(headers, "RateLimit-Reset")
        raise _Busy(None if reset_s is None else min(reset_s, MAX_RESET_S) + 2.0)
    if status != 200:
        raise DeviceUnavailable(f"Amber answers HTTP {status}")


def pace_s(headers: Mapping[str, str]) -> float:
    """Seconds to the next question, such that the allowance lasts until it is renewed."""
    remaining, reset_s = _number(headers, "RateLimit-Remaining"), _number(headers, "RateLimit-Reset")
    if remaining is None or reset_s is None:
        return POLL_S
    reset_s = min(reset_s, MAX_RESET_S)
    return max(POLL_S, reset_s + 2.0 if remaining < 1.0 else reset_s / remaining)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name, "")
    return float(text) if text.isdecimal() else None


def parse(document: Any) -> Offer:
    """The current intervals, found by their channel. Raises `DeviceDataError` where there is none for export."""
    feed_in = _current(document, "feedIn")
    cost_c = _cents(feed_in)
    if cost_c is None:
        raise DeviceDataError("Amber gives no feed-in price: check in Amber's app that export is set up for this site")
    begin_s, end_s = _utc_s(feed_in.get("startTime")), _utc_s(feed_in.get("endTime"))
    if not 0.0 < end_s - begin_s <= MAX_INTERVAL_S:
        raise DeviceDataError("Amber's feed-in price has no valid start and end")
    price = PriceState(
        export_value_c=0.0 - cost_c,  # Amber's sign: negative is paid to you. Subtracted, 0 does not become -0
        import_price_c=_cents(_current(document, "general")),
        estimated=feed_in.get("estimate") is not False,
        valid_until_utc_s=end_s,
    )
    return Offer(price, begin_s // 60.0 * 60.0, end_s)  # intervals begin a second late, at hh:mm:01


def _current(document: Any, channel: str) -> dict[str, Any]:
    for item in document if isinstance(document, list) else ():
        if isinstance(item, dict) and (item.get("type"), item.get("channelType")) == ("CurrentInterval", channel):
            return item
    return {}


def _cents(interval: dict[str, Any]) -> float | None:
    value = interval.get("perKwh")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_PRICE_C:
        return None
    return float(value)


def _utc_s(moment: Any) -> float:
    """Unix time of an ISO time stamp; NaN for whatever else a service may send."""
    try:
        return (datetime.fromisoformat(moment) - EPOCH).total_seconds()
    except (TypeError, ValueError):  # no text, no time stamp, or one without a time zone
        return float("nan")


def active_site(document: Any) -> str:
    """The account's one active site. Raises `DeviceDataError`, listing them where there are several."""
    sites = [site for site in document if isinstance(site, dict)] if isinstance(document, list) else []
    active = [str(site.get("id") or "") for site in sites if site.get("status") == "active"]
    if len(active) > 1:
        raise DeviceDataError(f"set AMBER_SITE_ID (price.site_id) to one of the active sites: {', '.join(active[:10])}")
    if not active or not active[0]:
        raise DeviceDataError("Amber lists no active site for this token: check the account in Amber's app")
    return active[0]
