"""The meter goes away, stammers or lies: the real controller, seen from the wire."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from app.simulator.shelly_bodies import Fault
from tests.faults.proxy import Break
from tests.faults.scorecard import Card, at_least, full, within
from tests.faults.site import Site
from tests.faults.together import row, together

pytestmark = pytest.mark.e2e

IN_TIME_S = within(6.0)
HERTZ = at_least(0.9)


async def lost(site: Site, card: Card, at_s: float, *, what: str = "", hertz: float = HERTZ) -> None:
    """The meter is gone since ``at_s``: the fail-safe limits go out in time, nothing is accepted, ticks go on."""
    safe_s = await site.failed_safe(at_s, 15.0)
    delay_s = safe_s - site.last_good_s(at_s)
    await asyncio.sleep(0.5)
    accepted, rate = site.accepted(at_s), site.tick_rate_hz(at_s)
    card(f"{what}{delay_s:.1f} s, {accepted} accepted, {rate:.2f} Hz", delay_s <= IN_TIME_S and accepted == 0)
    assert rate >= hertz
    assert site.seen[-1].mode == "fail_safe"
    assert "meter" in site.seen[-1].faults


@row(2)
async def a_closed_port(site: Site, card: Card) -> None:
    await site.started()
    at_s = time.monotonic()
    await site.proxy.fail(Break.REFUSE)
    await lost(site, card, at_s)


@row(3)
async def a_black_hole(site: Site, card: Card) -> None:
    await site.started()
    at_s = time.monotonic()
    await site.proxy.fail(Break.BLACK_HOLE)
    await lost(site, card, at_s)


@row(4)
async def a_dripping_answer(site: Site, card: Card) -> None:
    await site.started()
    at_s = time.monotonic()
    await site.proxy.fail(Break.DRIP)
    await lost(site, card, at_s)


async def test_the_meter_goes_away(tmp_path: Path) -> None:
    await together(tmp_path, a_closed_port, a_black_hole, a_dripping_answer)


@pytest.mark.long
@pytest.mark.row(3)
@pytest.mark.parametrize("how", [Break.RESET, Break.HALF_CLOSE])
async def test_connections_that_end_early(site: Site, card: Card, how: Break) -> None:
    await site.started()
    at_s = time.monotonic()
    await site.proxy.fail(how)
    await lost(site, card, at_s, what=f"{how.value}: ")


@pytest.mark.long
@pytest.mark.row(3)
async def test_answers_that_come_too_late(site: Site, card: Card) -> None:
    await site.started()
    at_s = time.monotonic()
    site.proxy.latency_s = 1.0  # a second there and a second back, more than the time-out
    await lost(site, card, at_s, what="2 s late: ")


def answer(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


EM = {f"{letter}_act_power": 5.0 for letter in "abc"} | {f"{letter}_voltage": 230.0 for letter in "abc"}
EM |= {"id": 0, "total_act_power": 15.0}
NO_PHASE = {key: value for key, value in EM.items() if not key.startswith("b_")}
INCOMPLETE: dict[str, web.Response | Fault] = {
    "`{}`": answer(b"{}"),
    "no power": Fault.MISSING,
    "a phase missing": answer(json.dumps(NO_PHASE).encode()),
    "errors": Fault.INVALID,
    "500": Fault.HTTP_500,
    "401 with JSON": answer(json.dumps(EM).encode(), 401),  # the last one: it is asked again a minute later
}
IMPOSSIBLE: dict[str, web.Response | Fault] = {
    "NaN": Fault.NAN,
    "Infinity": answer(json.dumps(EM | {"total_act_power": float("inf")}).encode()),
    "1e9": answer(json.dumps(EM | {"total_act_power": 1e9, "a_act_power": 1e9}).encode()),
    "text": Fault.TEXT,
    "null": Fault.NULL,
    "no JSON": Fault.GARBAGE,
    "10 MB": answer(b'{"id": 0, "x": "' + b"a" * 10_000_000 + b'", "total_act_power": 15.0}'),
    "deep": answer(b"[" * 60_000),
}


async def rubbish(site: Site, card: Card, kinds: dict[str, web.Response | Fault]) -> None:
    """Each kind of answer: none is accepted. The first (all of them in the long form) from a regulated house."""
    await site.regulating()
    for number, (name, kind) in enumerate(kinds.items()):
        if number and full():
            spoil(site, None)
            await site.regulating()
        at_s = time.monotonic()
        spoil(site, kind)
        if number == 0 or full():
            await lost(site, card, at_s, what=f"{name}: ")
            continue
        await asked_again(site, 0 if "401" in name else 4)
        assert site.seen[-1].mode == "fail_safe"
        card(f"{name}: {site.accepted(at_s)} accepted", site.accepted(at_s) == 0)
    assert not site.app.logged("Traceback")


async def asked_again(site: Site, count: int) -> None:
    """Wait until the meter has been asked once and some more times."""
    before = site.place.shelly.requests
    await site.until(lambda: site.place.shelly.requests > before + count, 8.0, "more requests")
    await asyncio.sleep(0.3)


def spoil(site: Site, kind: web.Response | Fault | None) -> None:
    """Have the meter answer every question about its power like this; what is no fault of its own, over HTTP only."""
    shelly = site.place.shelly
    shelly.websockets = not isinstance(kind, web.Response)
    shelly.fault = kind if isinstance(kind, Fault) else None
    shelly.__dict__.pop("_answer", None)
    if isinstance(kind, web.Response):
        honest, body, status = shelly._answer, kind.body, kind.status

        def spoilt(request: web.Request) -> web.Response:
            if request.path == "/shelly":
                return honest(request)
            assert isinstance(body, bytes)
            return answer(body, status)

        shelly.__dict__["_answer"] = spoilt


@row(5)
async def incomplete_and_invalid_answers(site: Site, card: Card) -> None:
    await rubbish(site, card, INCOMPLETE)


@row(6)
async def impossible_answers(site: Site, card: Card) -> None:
    await site.regulating()
    before_mb = site.memory_mb()
    await rubbish(site, card, IMPOSSIBLE)
    more_mb = site.memory_mb() - before_mb
    card(f"memory {more_mb:+.0f} MB", more_mb <= 10.0)


@row(8)
async def a_single_spike_costs_little_sun(site: Site, card: Card) -> None:
    site.house.load_override_w = 1200.0
    await site.regulating()
    before_w = site.house.pv_w
    count = len(site.limits())
    spoil(site, answer(json.dumps(EM | {"total_act_power": -8000.0, "a_act_power": -8010.0}).encode()))
    at_s = time.monotonic()
    await asyncio.sleep(0.8)  # a Shelly makes a new value every second, and is asked twice
    spoil(site, None)
    await asyncio.sleep(0.7)
    low_w, back_s = site.house.pv_w, at_s
    async for now_s in every(0.1, 25.0):
        low_w = min(low_w, site.house.pv_w)
        if site.house.pv_w < 0.9 * before_w:
            back_s = now_s
        elif now_s - at_s > 8.0:
            break
    delay_s = back_s - at_s
    cuts = sum(float(item.payload) < 0.8 * before_w for item in site.limits()[count:])
    card(f"lowest {low_w / before_w:.0%}, 90 % back after {delay_s:.1f} s, {cuts} cuts", delay_s <= within(20.0))


async def every(pause_s: float, seconds: float) -> AsyncIterator[float]:
    """The time, again and again."""
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s:
        yield now_s
        await asyncio.sleep(pause_s)


@row(9)
async def a_flapping_meter(site: Site, card: Card) -> None:
    """Half of the requests fail, in runs of random length, while the load moves a little every 10 s."""
    await site.regulating()
    rng, seconds = random.Random(9), 60.0 if full() else 18.0
    at_s = time.monotonic()
    async for now_s in every(0.0, seconds):
        site.house.load_override_w = 600.0 + 120.0 * (int((now_s - at_s) / 10.0) % 2)
        await site.proxy.fail(Break.REFUSE)
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        await site.proxy.fail(None)
        await asyncio.sleep(rng.uniform(0.3, 1.5))
    spent_s = time.monotonic() - at_s
    sent = site.limits(at_s)
    per_minute = len(sent) / spent_s * 60.0
    raised = stale_raises(site, at_s)
    card(f"{per_minute:.0f} commands a minute, {raised} raises on a stale reading", per_minute <= 20 and raised == 0)
    assert site.tick_rate_hz(at_s) >= HERTZ


def stale_raises(site: Site, since_s: float, hold_s: float = 2.0) -> int:
    """Limits that were raised while the last reading was too old for that."""
    last: dict[str, float] = {}
    count = 0
    for item in site.limits():
        watts = float(item.payload)
        if item.at_s >= since_s and watts > last.get(item.serial, 1e9) + 0.1:
            count += item.at_s - site.last_good_s(item.at_s) > hold_s + 0.3
        last[item.serial] = watts
    return count


async def test_the_meter_lies_and_stammers(tmp_path: Path) -> None:
    await together(
        tmp_path, incomplete_and_invalid_answers, impossible_answers, a_single_spike_costs_little_sun, a_flapping_meter
    )


@pytest.mark.long
@pytest.mark.row(7)
async def test_a_frozen_meter(site: Site, card: Card) -> None:
    """It answers, always the same; then the sun moves."""
    await site.regulating()
    site.place.shelly.fault = Fault.FROZEN
    await asyncio.sleep(5.0)
    at_s = time.monotonic()
    site.house.sun_override = 0.1
    await site.until(lambda: site.seen[-1].mode == "fail_safe", 60.0, "fail-safe")
    delay_s = time.monotonic() - at_s
    card(f"real process: {delay_s:.0f} s", delay_s <= within(45.0))
