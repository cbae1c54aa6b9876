"""The methods of a Shelly from Gen2 on, called over HTTP, with a login where it wants one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from app.documents import document
from app.meters.shelly.digest import challenge_of_header, header
from app.meters.shelly.login import Challenged, Login, Throttled, Use, signed
from app.meters.shelly.wire import Wire
from app.model import DeviceDataError
from app.outbound import place


class NoSuchComponent(DeviceDataError):  # noqa: N818 - an answer as good as another
    """The device has no such method, or no such channel: it is not what it was taken for, or not any more."""


class HttpRpc:
    """Calls over HTTP: one connection each."""

    def __init__(self, wire: Wire, host: str, login: Login, clock: Callable[[], float]) -> None:
        self._wire, self._host, self._login, self._clock = wire, host, login, clock
        self._nonce = login.nonce()

    async def call(self, method: str, number: int | None = None) -> Any:
        """The result of one call."""
        path = f"/rpc/{method}" + ("" if number is None else f"?id={number}")
        return await signed(self._login, self._nonce, self._clock, partial(self._ask, path))

    async def _ask(self, path: str, use: Use | None) -> Any:
        headers = {}
        if use is not None:
            headers["Authorization"] = header(use.challenge, use.nc, use.cnonce, self._login.password, "GET", path)
        answer = await self._wire.get(path, headers)
        who = place(f"http://{self._host}{path}")
        if answer.status == 401:
            raise Challenged(challenge_of_header(answer.headers.get("WWW-Authenticate", "")))
        if answer.status == 429:
            raise Throttled
        if answer.status == 404:
            raise NoSuchComponent(f"{who} answers HTTP 404")
        return document(answer, who)
