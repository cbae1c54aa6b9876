"""The price fails while export is open: Amber over real HTTP, in virtual time, its feed and the gate unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.control.gate import PriceGate
from app.control.settings import ControlSettings
from app.model import MeterState, Mode, Settings, Snapshot
from tests.faults.scorecard import Card
from tests.prices.amber_server import T0_S, FakeAmber, current, interval
from tests.prices.test_amber import House

END_S = T0_S + 300.0
Answers = Callable[[], web.Response]


def status(code: int, **headers: str) -> Answers:
    return lambda: web.Response(status=code, headers=headers)


def body(document: Any) -> Answers:
    return lambda: web.Response(text=json.dumps(document), content_type="application/json")


CASES: dict[str, Answers | None] = {
    "refused connection": None,
    "500": status(500),
    "429 with headers": status(429, **{"RateLimit-Reset": "290", "RateLimit-Remaining": "0"}),
    "429 without": status(429),
    "401": status(401),
    "403": status(403),
    "404": status(404),
    "HTML": lambda: web.Response(text="<html>", content_type="text/html"),
    "10 MB": lambda: web.Response(body=b"[" + b" " * 10_000_000 + b"]"),
    "only what was": body(current(type="ActualInterval", begin_s=T0_S - 300.0)),
    "the last interval again": body(current()),
    "NaN": lambda: web.Response(text=json.dumps(current(float("nan"), begin_s=END_S))),
    "a text": body(current("-10.7", begin_s=END_S)),
    "no feed-in": body([interval("general", 30.0, begin_s=END_S)]),
    "it costs": body(current(4.0, begin_s=END_S)),
    "it may cost": body(current(4.0, begin_s=END_S, estimate=True)),
}


async def closes_s(answers: Answers | None) -> float:
    """From the end of the last good price to the closed gate."""
    async with FakeAmber(checked=False) as server, aiohttp.ClientSession() as session:
        house = House(server, session)
        feed, gate = house.connect(max_stale_s=45.0), PriceGate(ControlSettings().price)
        due_s = house.utc_s + await feed.update()

        def mode() -> Mode:
            now = Snapshot(house.utc_s - T0_S, house.utc_s, MeterState(), (), Settings(), feed.state())
            decided = gate.step(now)
            assert decided is not None
            return decided.mode

        assert mode() is Mode.OPEN
        if answers is None:
            await server.close()
        while mode() is Mode.OPEN and house.utc_s < END_S + 900.0:
            house.utc_s += 1.0
            if house.utc_s >= due_s:
                answer = web.Response() if answers is None else answers()
                answer.headers.update(house.date())  # else it shows the real time
                server.script = [answer]
                due_s = house.utc_s + await feed.update()
        return house.utc_s - END_S


@pytest.mark.row(35)
async def test_export_closes_soon_after_the_last_good_price(card: Card) -> None:
    found = {name: await closes_s(answers) for name, answers in CASES.items()}
    late = max(found, key=lambda name: found[name])
    card(f"{len(found)} cases: closed at most {found[late]:.0f} s after it ({late})", found[late] <= 60.0)
