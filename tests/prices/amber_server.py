"""Amber's API, served: sites, current prices, the bearer token and the rate limit.

Whatever it is asked and answers is held against the contract, but for what a test makes it say on purpose (`script`,
`document`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from jsonschema import ValidationError

from tests.prices.contract import check_answer, check_question

TOKEN = "psk_0123456789abcdef"
SITE = "01J0HOUSEWITHSOLAR"
T0_S = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC, the start of an interval
NEM = timezone(timedelta(hours=10))  # the market's time, all year
PRICES = "/sites/{siteId}/prices/current"


def iso(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat().replace("+00:00", "Z")


def interval(channel: str, per_kwh: Any, *, begin_s: float = T0_S, minutes: int = 5, **changes: Any) -> Any:
    """One interval as Amber writes it: it begins a second late. ``estimate``: only current ones have it."""
    end_s = begin_s + 60.0 * minutes
    nem = datetime.fromtimestamp(end_s, NEM)
    return {
        "type": "CurrentInterval", "date": (nem - timedelta(seconds=1)).date().isoformat(), "duration": minutes,
        "startTime": iso(begin_s + 1), "endTime": iso(end_s), "nemTime": nem.isoformat(), "perKwh": per_kwh,
        "renewables": 41.2, "spotPerKwh": 10.79744, "channelType": channel, "spikeStatus": "none",
        "descriptor": "neutral",
    } | ({"estimate": False} if "type" not in changes else {}) | changes  # fmt: skip


def current(feed_in: Any = -10.67878, general: Any = 31.50177, **keys: Any) -> list[Any]:
    """The answer to prices/current, in Amber's order; the defaults are a real pair of prices."""
    return [
        interval("general", general, **keys),
        interval("controlledLoad", 18.5, **keys),
        interval("feedIn", feed_in, **keys),
    ]


def forecast(feed_in: Any = -9.0, general: Any = 30.0, **keys: Any) -> list[Any]:
    """One interval of forecast on every channel."""
    return current(feed_in, general, type="ForecastInterval", **keys)


def site(site_id: str = SITE, status: str = "active") -> dict[str, Any]:
    channels = [
        {"identifier": f"{letter}1", "type": kind, "tariff": "A100"}
        for letter, kind in (("E", "general"), ("B", "feedIn"))
    ]
    return {
        "id": site_id, "nmi": "3052282872", "network": "Jemena", "status": status, "channels": channels,
        "activeFrom": "2024-01-01", "intervalLength": 5,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of an HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeAmber:
    """What it answers is set by the test; ``script`` holds answers that come before the usual ones,
    and events that hold them up.

    ``checked``: its own answers have to be as the contract says; ``problems``: what was not. ``market`` answers
    instead, where there is one.
    """

    sites: list[dict[str, Any]] = field(default_factory=lambda: [site()])
    document: Any = field(default_factory=current)
    headers: dict[str, str] = field(default_factory=dict)
    script: list[web.Response | asyncio.Event] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    checked: bool = True
    market: Callable[[], Answer] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}/v1"

    async def close(self) -> None:
        await self._server.close()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(self, kind: object, *_args: object) -> None:
        await self.close()
        if kind is None:
            assert self.problems == [], "the contract is broken"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Forbidden"}, status=403)
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, web.Response):
                return answer
            await answer.wait()
        known = [f"/v1/sites/{one['id']}/prices/current" for one in self.sites]
        if request.path == "/v1/sites":
            return self._json("/sites", self.sites, request)
        if request.path not in known:
            return web.json_response({"message": "Site not found"}, status=404)
        if self.market is None:
            return self._json(PRICES, self.document, request)
        told = self.market()
        if told.status == 200 and told.body[:1] == b"[":
            self._check(PRICES, json.loads(told.body), request)
        return web.Response(status=told.status, body=told.body, headers=told.headers, content_type="application/json")

    def _json(self, path: str, body: Any, request: web.Request) -> web.Response:
        self._check(path, json.loads(json.dumps(body)), request)
        return web.json_response(body, headers=self.headers)

    def _check(self, path: str, body: Any, request: web.Request) -> None:
        """Problems are told at the end: what is raised here, the server would turn into a status."""
        if not self.checked:
            return
        try:
            check_question(path, dict(request.query))
            check_answer(path, body)
        except (AssertionError, ValueError, ValidationError) as problem:
            self.problems.append(str(problem)[:1000])
