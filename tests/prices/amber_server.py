"""Amber's API, served: sites, current prices, the bearer token and the rate limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "psk_0123456789abcdef"
SITE = "01J0HOUSEWITHSOLAR"
T0_S = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC, the start of an interval
ESTIMATE_S = 22.5  # how long an interval stays an estimate (median)


def iso(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat().replace("+00:00", "Z")


def interval(channel: str, per_kwh: Any, *, begin_s: float = T0_S, estimate: bool = False, **changes: Any) -> Any:
    """One interval as Amber writes it: five minutes that begin a second late."""
    return {
        "type": "CurrentInterval", "date": "2026-01-01", "duration": 5, "startTime": iso(begin_s + 1),
        "endTime": iso(begin_s + 300), "nemTime": "2026-01-01T10:05:00+10:00", "perKwh": per_kwh, "renewables": 41.2,
        "spotPerKwh": 10.79744, "channelType": channel, "spikeStatus": "none", "descriptor": "neutral",
        "estimate": estimate,
    } | changes  # fmt: skip


def current(feed_in: Any = -10.67878, general: Any = 31.50177, **keys: Any) -> list[Any]:
    """The answer to prices/current, in Amber's order; the defaults are a real pair of prices."""
    return [
        interval("general", general, **keys),
        interval("controlledLoad", 18.5, **keys),
        interval("feedIn", feed_in, **keys),
    ]


def site(site_id: str = SITE, status: str = "active") -> dict[str, Any]:
    return {"id": site_id, "nmi": "3052282872", "network": "Jemena", "status": status, "channels": []}


@dataclass
class FakeAmber:
    """What it answers is set by the test; ``script`` holds answers that come before the usual ones."""

    sites: list[dict[str, Any]] = field(default_factory=lambda: [site()])
    document: Any = field(default_factory=current)
    headers: dict[str, str] = field(default_factory=dict)
    script: list[web.Response | float] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

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

    async def __aexit__(self, *_args: object) -> None:
        await self.close()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Forbidden"}, status=403)
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, web.Response):
                return answer
            await asyncio.sleep(answer)
        known = [f"/v1/sites/{one['id']}/prices/current" for one in self.sites]
        if request.path == "/v1/sites":
            return web.json_response(self.sites, headers=self.headers)
        if request.path not in known:
            return web.json_response({"message": "Site not found"}, status=404)
        return web.json_response(self.document, headers=self.headers)
