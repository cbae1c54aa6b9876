"""Services with day-ahead prices, served over HTTP: Energy-Charts, aWATTar, Tibber and Octopus, each in its own words.

They share one market, which publishes the prices of a Central European day at noon UTC of the day before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate
from typing import Any, ClassVar, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.prices.awattar import Awattar, AwattarConfig
from app.prices.base import PriceSource
from app.prices.energy_charts import EnergyCharts, EnergyChartsConfig
from app.prices.octopus import Octopus, OctopusConfig
from app.prices.tibber import Tibber, TibberConfig

TOKEN = "5K4MVS-OjfWhK_4yrjOlFe1F6kJXPVf7eQYggo8ebAE"
HOME = "96a14971-525a-4420-aae9-e5aedaa129ff"
OUTGOING = "AGILE-OUTGOING-19-05-13"
DAY_S, QUARTER_S = 86_400.0, 900.0
SUMMER = (1_774_746_000.0, 1_792_890_000.0)  # 2026-03-29 and 2026-10-25, both 01:00 UTC


def at(text: str) -> float:
    """Unix time of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def zone(utc_s: float) -> timezone:
    return timezone(timedelta(hours=2 if SUMMER[0] <= utc_s < SUMMER[1] else 1))


def midnight(utc_s: float, days: int = 0) -> float:
    """The start of the Central European day of a moment, or of one near it."""
    local = datetime.fromtimestamp(utc_s, zone(utc_s)).replace(hour=0, minute=0, second=0, microsecond=0)
    naive = local.replace(tzinfo=UTC) + timedelta(days=days)
    guess_s = naive.timestamp() - 3600.0
    return guess_s if zone(guess_s) == timezone(timedelta(hours=1)) else guess_s - 3600.0


def sunny(utc_s: float) -> float:
    """EUR/MWh, different in every quarter of an hour of two days; below 0 around noon."""
    quarter = utc_s // QUARTER_S % 192
    return round(-42.5 + quarter / 100 if 10 <= utc_s % DAY_S / 3600.0 < 14 else 81.23 + quarter / 10, 2)


class FakeService:
    """What it answers follows from the market; ``script`` holds answers that come before that."""

    path: ClassVar[str] = ""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.mwh: Callable[[float], Any] = sunny
        self.script: list[web.Response | float] = []
        self.status = 200  # another one is all that it answers
        self.asked: list[Any] = []
        self.change: Callable[[Any], Any] = lambda answer: answer

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}{self.path}"

    @property
    def published_s(self) -> float:
        """Until when prices are known."""
        return midnight(self.now_s, 2 if self.now_s % DAY_S >= 12 * 3600.0 else 1)

    def source(self, session: aiohttp.ClientSession, **keys: Any) -> PriceSource:
        """Ours, with this service's clock."""
        raise NotImplementedError

    def respond(self, request: web.Request, body: Any) -> Any:
        """The document, or a response that is none."""
        raise NotImplementedError

    async def close(self) -> None:
        await self._server.close()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.method == "POST" else None
        self.asked.append(body or request.path_qs)
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, web.Response):
                return answer
            await asyncio.sleep(answer)
        document = web.Response(status=self.status) if self.status != 200 else self.respond(request, body)
        if isinstance(document, web.Response):
            return document
        return web.json_response(self.change(document), headers={"Date": formatdate(self.now_s, usegmt=True)})

    def slots(self, begin_s: float, end_s: float, step_s: float = QUARTER_S) -> Iterator[float]:
        """The starts of what is published in a range."""
        while begin_s < min(end_s, self.published_s):
            yield begin_s
            begin_s += step_s


class FakeEnergyCharts(FakeService):
    """A list of times, and one of prices; whole days of Central Europe; 404 where there is nothing."""

    zones = ("DE-LU", "AT", "SE4")

    def source(self, session: aiohttp.ClientSession, **keys: Any) -> PriceSource:
        config = EnergyChartsConfig(**({"type": "energy_charts", "base_url": self.base_url} | keys))
        return EnergyCharts(config, session, lambda: self.now_s)

    def respond(self, request: web.Request, _body: Any) -> Any:
        if request.path != "/price":
            return web.json_response({"detail": "Not Found"}, status=404)
        if request.query["bzn"] not in self.zones:
            return web.json_response({"detail": "Bad Request"}, status=400)
        first, last = (at(request.query[key]) for key in ("start", "end"))
        starts = list(self.slots(midnight(first), midnight(last, 1)))
        if not starts:
            return web.json_response({"detail": "no content available"}, status=404)
        return {
            "license_info": "CC BY 4.0 (creativecommons.org/licenses/by/4.0) from Bundesnetzagentur | SMARD.de",
            "unix_seconds": [int(start_s) for start_s in starts],
            "price": [self.mwh(start_s) for start_s in starts],
            "unit": "EUR / MWh",
            "deprecated": False,
        }


class FakeAwattar(FakeService):
    """One object per hour, in milliseconds."""

    def source(self, session: aiohttp.ClientSession, **keys: Any) -> PriceSource:
        config = AwattarConfig(**({"type": "awattar", "base_url": self.base_url} | keys))
        return Awattar(config, session, lambda: self.now_s)

    def respond(self, request: web.Request, _body: Any) -> Any:
        if request.path != "/v1/marketdata":
            return web.Response(status=404, text="<html>")
        begin_s, end_s = (float(request.query[key]) / 1000.0 for key in ("start", "end"))
        hours = self.slots(begin_s, end_s, 3600.0)
        return {"object": "list", "data": [self.hour(start_s) for start_s in hours], "url": "/at/v1/marketdata"}

    def hour(self, start_s: float) -> dict[str, Any]:
        milliseconds = int(start_s * 1000)
        return {
            "start_timestamp": milliseconds, "end_timestamp": milliseconds + 3_600_000,
            "marketprice": self.mwh(start_s), "unit": "Eur/MWh",
        }  # fmt: skip


class FakeTibber(FakeService):
    """GraphQL; errors come with HTTP 200. Import costs 20 cents on top of the energy."""

    path = "/v1-beta/gql"
    currency = "EUR"

    def __init__(self, now_s: float) -> None:
        super().__init__(now_s)
        self.homes: dict[str, bool] = {HOME: True}  # and whether it has a contract

    def source(self, session: aiohttp.ClientSession, **keys: Any) -> PriceSource:
        config = TibberConfig(**({"type": "tibber", "base_url": self.base_url, "token": TOKEN} | keys))
        return Tibber(config, session, lambda: self.now_s)

    def respond(self, request: web.Request, body: Any) -> Any:
        if (request.method, request.path) != ("POST", self.path):
            return web.Response(status=404)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return failure("Invalid token", "UNAUTHENTICATED")
        if "homes" in body["query"]:
            homes = [{"id": key, "currentSubscription": contract(known)} for key, known in self.homes.items()]
            return {"data": {"viewer": {"homes": homes}}}
        assert "priceInfo(resolution: QUARTER_HOURLY)" in body["query"]
        home = body["variables"]["home"]
        if home not in self.homes:
            return failure("No home found for the given ID", "NOT_FOUND") | {"data": {"viewer": {"home": None}}}
        info = {"priceInfo": {"today": self.day(0), "tomorrow": self.day(1)}}
        return {"data": {"viewer": {"home": {"currentSubscription": info if self.homes[home] else None}}}}

    def day(self, days: int) -> list[dict[str, Any]]:
        return [
            self.price(start_s) for start_s in self.slots(midnight(self.now_s, days), midnight(self.now_s, days + 1))
        ]

    def price(self, start_s: float) -> dict[str, Any]:
        energy = self.mwh(start_s)
        known = isinstance(energy, float)
        return {
            "total": round(energy / 1000.0 + 0.2, 5) if known else energy,
            "energy": round(energy / 1000.0, 5) if known else energy,
            "startsAt": datetime.fromtimestamp(start_s, zone(start_s)).isoformat(timespec="milliseconds"),
            "currency": self.currency,
        }


def contract(known: bool) -> dict[str, str] | None:
    return {"status": "running"} if known else None


def failure(message: str, code: str) -> dict[str, Any]:
    error = {"message": message, "locations": [{"line": 1, "column": 3}], "path": ["viewer"]}
    return {"errors": [error | {"extensions": {"code": code}}], "data": None}


class FakeOctopus(FakeService):
    """Rates, the newest first. Of two products: one that changes every half-hour, and a fixed one."""

    fixed: ClassVar[dict[str, float]] = {"OUTGOING-VAR-24-10-26": 15.0, "VAR-22-11-01": 26.381355}

    def source(self, session: aiohttp.ClientSession, **keys: Any) -> PriceSource:
        config = OctopusConfig(**({"type": "octopus", "base_url": self.base_url, "region": "C"} | keys))
        return Octopus(config, session, lambda: self.now_s)

    def respond(self, request: web.Request, _body: Any) -> Any:
        form = r"/v1/products/([A-Z0-9-]+)/electricity-tariffs/E-1R-\1-C/standard-unit-rates/"
        match = re.fullmatch(form, request.path)
        if match is None or match[1] not in {OUTGOING, "AGILE-24-10-01", *self.fixed}:
            return web.json_response({"detail": "Not found."}, status=404)
        begin_s, end_s = (
            datetime.fromisoformat(request.query[key]).timestamp() for key in ("period_from", "period_to")
        )
        rows = self.fixed_rows(match[1]) if match[1] in self.fixed else self.rows(begin_s, end_s)
        rows = rows[: int(request.query.get("page_size", "100"))]
        return {"count": len(rows), "next": None, "previous": None, "results": rows}

    def rows(self, begin_s: float, end_s: float) -> list[dict[str, Any]]:
        starts = list(self.slots(begin_s, end_s, 1800.0))
        return [rate(self.mwh(start_s), start_s, start_s + 1800.0) for start_s in reversed(starts)]

    def fixed_rows(self, product: str) -> list[dict[str, Any]]:
        pence, since_s = self.fixed[product], at("2026-01-01")
        if product.startswith("OUTGOING"):
            return [rate(pence, since_s, None)]
        return [
            rate(pence, since_s, None, "DIRECT_DEBIT"),
            rate(pence + 1.5, since_s, None, "NON_DIRECT_DEBIT"),
            rate(pence - 2.0, since_s - 90 * DAY_S, since_s, "DIRECT_DEBIT"),
        ]


def rate(pence: Any, begin_s: float, end_s: float | None, paid_by: str | None = None) -> dict[str, Any]:
    return {
        "value_exc_vat": pence, "value_inc_vat": pence, "valid_from": iso(begin_s),
        "valid_to": None if end_s is None else iso(end_s), "payment_method": paid_by,
    }  # fmt: skip


def iso(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
