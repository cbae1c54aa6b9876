"""Small documents that devices give over HTTP, with every failure as a sentence."""

from __future__ import annotations

import json
import math
from typing import Any

import aiohttp

from app.model import DeviceAuthError, DeviceDataError, DeviceError
from app.outbound import Answer, ask, place

WHEN_BUSY_S = 5.0  # until a device that has had too many requests is asked again, where it does not say
LONGEST_BUSY_S = 120.0


class Busy(DeviceDataError):  # noqa: N818 - a state of the device
    """The device has had too many requests; it is asked again after ``pause_s``."""

    def __init__(self, text: str, pause_s: float) -> None:
        super().__init__(text)
        self.pause_s = pause_s


async def get_json(session: aiohttp.ClientSession, url: str, timeout_s: float, **request: Any) -> Any:
    """GET a small JSON document; keywords and failures are those of `get_body`."""
    return loads(place(url), await get_body(session, url, timeout_s, **request))


async def get_body(
    session: aiohttp.ClientSession,
    url: str,
    timeout_s: float,
    *,
    connect_s: float = 1.0,
    login: str = "username and password",
    **request: Any,
) -> bytes:
    """GET a small document, with every failure as a `DeviceError` that names the URL, without its query.

    ``login``: what to check where it is refused.
    """
    answer = await ask(session, url, timeout_s, connect_s=min(connect_s, timeout_s), **request)
    return body_of(answer, place(url), login)


def body_of(answer: Answer, who: str, login: str = "username and password") -> bytes:
    """The document in an answer. Raises `DeviceError` naming ``who``, and ``login`` where that is refused."""
    if answer.status != 200:
        raise refusal(answer, who, login)
    return answer.body


def document(answer: Answer, who: str, login: str = "username and password") -> Any:
    """The JSON of an answer. Raises `DeviceError` naming ``who``, and ``login`` where that is refused."""
    return loads(who, body_of(answer, who, login))


def refusal(answer: Answer, who: str, login: str = "username and password") -> DeviceError:
    """What an answer without a document means."""
    status = answer.status
    if status in (401, 403):
        scheme = answer.headers.get("WWW-Authenticate", "").partition(" ")[0].capitalize()
        wants = f"; it asks for a {scheme} login" if scheme in ("Basic", "Digest", "Bearer") else ""
        return DeviceAuthError(f"{who} refuses the login (HTTP {status}): check {login}{wants}")
    if 300 <= status < 400:
        return DeviceDataError(f"{who} leads elsewhere (HTTP {status}), which is not followed: check the address")
    if status == 404:
        return DeviceDataError(f"{who} is not there (HTTP 404): check the address and which device this is")
    if status == 429:
        text = answer.headers.get("Retry-After", "")
        wait_s = float(text) if text.isascii() and text.isdecimal() and len(text) < 10 else WHEN_BUSY_S
        return Busy(f"{who} has had too many requests (HTTP 429)", min(wait_s, LONGEST_BUSY_S))
    if status >= 500:
        return DeviceDataError(f"{who} answers HTTP {status}: a fault of the device")
    return DeviceDataError(f"{who} answers HTTP {status}")


def loads(who: str, body: bytes) -> Any:
    """The JSON of a body. Raises `DeviceDataError` naming ``who``."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DeviceDataError(f"{who} does not answer with JSON") from None


def optional(value: Any) -> float | None:
    """A finite number, or None for whatever else a device may send."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON knows no largest integer
        return None
    return number if math.isfinite(number) else None
