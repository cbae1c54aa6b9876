"""Asking price services over HTTP, with what they all have in common: statuses, rate limits, JSON, their clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable
from app.outbound import ask
from app.prices.base import EARLIEST_S, LATEST_S, MAX_PRICE_C, Busy
from app.redact import Redactor

TIMEOUT_S = 10.0
MAX_RESET_S = 900.0
SPARE = 0.3  # of an allowance: with less left, what is left is spread over the time to its renewal
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON answer. ``server_utc_s``: the service's clock; ``pause_s``: the least until the next question."""

    data: Any
    server_utc_s: float | None
    pause_s: float


async def get_json(
    session: aiohttp.ClientSession,
    url: str,
    who: str,
    *,
    login: str,
    public: Redactor,
    forgets: bool = False,
    **request: Any,
) -> Document:
    """Ask ``who``; ``login`` is what to check where it refuses us. Raises `DeviceError` in sentences without secrets.

    A wrong answer is `DeviceUnavailable`, which leaves what is known as it is. So is a 404, which a service that starts
    or is late answers as well; with ``forgets`` it is `DeviceDataError`.
    """
    try:
        answer = await ask(session, url, TIMEOUT_S, who=who, **request)
    except DeviceError as error:
        raise DeviceUnavailable(public(str(error))) from None
    _check(answer.status, answer.headers, who, login, forgets=forgets)
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise DeviceUnavailable(f"{who} does not answer with JSON") from None
    return Document(data, _server_utc_s(answer.headers), _pause_s(answer.headers))


def _check(status: int, headers: Mapping[str, str], who: str, login: str, *, forgets: bool) -> None:
    if status in (401, 403):
        raise DeviceAuthError(f"{who} refuses the login (HTTP {status}): check {login}")
    if status == 404:
        kind = DeviceDataError if forgets else DeviceUnavailable
        raise kind(f"{who} does not know what is asked for (HTTP 404): check {login}")
    if status == 429:
        wait_s = _number(headers, "RateLimit-Reset") or _number(headers, "Retry-After")
        raise Busy(who, None if wait_s is None else min(wait_s, MAX_RESET_S) + 2.0)
    if status in (400, 422):
        raise DeviceUnavailable(f"{who} does not understand what is asked for (HTTP {status}): check {login}")
    if status != 200:
        raise DeviceUnavailable(f"{who} answers HTTP {status}")


def _pause_s(headers: Mapping[str, str]) -> float:
    """Such that the allowance lasts until it is renewed; 0 where there is plenty, or nothing is said about it."""
    limit, remaining = _number(headers, "RateLimit-Limit"), _number(headers, "RateLimit-Remaining")
    reset_s = _number(headers, "RateLimit-Reset")
    if remaining is None or reset_s is None or (limit is not None and remaining > SPARE * limit):
        return 0.0
    reset_s = min(reset_s, MAX_RESET_S)
    return reset_s + 2.0 if remaining < 1.0 else reset_s / remaining


def _server_utc_s(headers: Mapping[str, str]) -> float | None:
    """The time that the service shows; what a cache has kept is older by its ``Age``."""
    try:
        sent = parsedate_to_datetime(headers.get("Date", ""))
        sent_s = (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp()  # -0000 is UTC as well
    except (TypeError, ValueError, OverflowError):
        return None
    return sent_s + (_number(headers, "Age") or 0.0)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name, "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def cents(value: Any) -> float | None:
    """A price that can be one: a finite number of sensible size; None for whatever else a service may send."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= MAX_PRICE_C else None


def utc_s(moment: Any) -> float | None:
    """Unix time of an ISO time stamp with a time zone; None for whatever else a service may send."""
    try:
        at_s = (datetime.fromisoformat(moment) - EPOCH).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return at_s if EARLIEST_S <= at_s <= LATEST_S else None
