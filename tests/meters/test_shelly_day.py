"""A day with a Shelly that wants a login, in virtual time: nonces run out, it restarts, it is away, it half listens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import aiohttp
import pytest

from app.meters.shelly import Shelly, ShellyConfig
from app.model import DeviceAuthError, DeviceError, DeviceUnavailable, Reading
from tests.meters.fakes.shelly import PASSWORD, MemoryShelly, power_at
from tests.virtual import in_virtual_time

HOUR_S = 3600.0
NO_SESSION = cast(aiohttp.ClientSession, None)
Outcomes = list[tuple[float, Reading | DeviceError]]


@asynccontextmanager
async def running(shelly: MemoryShelly, password: str = PASSWORD) -> AsyncIterator[Outcomes]:
    """The driver, asking once a second; what it emits, and when."""
    config = ShellyConfig(type="shelly", host="10.0.0.9", password=password, interval_s=2.0)
    outcomes: Outcomes = []
    driver = Shelly(config, NO_SESSION, wire=shelly, clock=shelly.clock)
    task = asyncio.create_task(driver.run(lambda outcome: outcomes.append((shelly.clock(), outcome))))
    try:
        yield outcomes
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def readings(outcomes: Outcomes, since_s: float = 0.0) -> list[Reading]:
    return [one for at_s, one in outcomes if isinstance(one, Reading) and at_s >= since_s]


def errors(outcomes: Outcomes, since_s: float = 0.0) -> list[DeviceError]:
    return [one for at_s, one in outcomes if isinstance(one, DeviceError) and at_s >= since_s]


def device(firmware: int) -> MemoryShelly:
    return MemoryShelly(asyncio.get_running_loop().time, firmware)


async def trouble(shelly: MemoryShelly, rng: random.Random) -> float:
    """One hour with something in it; how long nobody could have answered."""
    await asyncio.sleep(rng.uniform(600.0, 2400.0))
    what = rng.choice(["restart", "two restarts", "away", "gone over night", "half open", "no WebSocket", "nothing"])
    away_s = 0.0
    match what:
        case "restart":
            shelly.restart()
        case "two restarts":
            shelly.restart()
            await asyncio.sleep(rng.uniform(1.0, 30.0))
            shelly.restart()
        case "away" | "gone over night":
            away_s = rng.uniform(1.0, 40.0) if what == "away" else 900.0
            shelly.up = False
            shelly.half_open()
            await asyncio.sleep(away_s)
            shelly.up = True
            shelly.restart()
        case "half open":
            shelly.half_open()
        case "no WebSocket":
            shelly.welcome = False
            shelly.restart()
            await asyncio.sleep(900.0)
            shelly.welcome = True
    return away_s


@pytest.mark.parametrize(("firmware", "websocket", "hours"), [(1, True, 6), (2, True, 24), (2, False, 6)])
def test_a_day_of_restarts_and_outages_costs_few_requests_few_nonces_and_no_throttling(
    firmware: int, websocket: bool, hours: int
) -> None:
    async def scenario() -> None:
        shelly, rng = device(firmware), random.Random(firmware)
        begun_s, away_s = shelly.clock(), 0.0
        async with running(shelly) as outcomes:
            while shelly.clock() - begun_s < hours * HOUR_S:
                if not websocket:
                    shelly.welcome = False
                away_s += await trouble(shelly, rng)
        seconds = shelly.clock() - begun_s
        taken = readings(outcomes)
        assert len(taken) > 0.97 * (seconds - away_s)
        assert all(one.power_w in (power_at(one.at_s), power_at(one.at_s - 1.0)) for one in taken)
        assert max(shelly.requests.values()) <= 90  # one a second, the counters, and after a restart what it is
        assert shelly.most_at_once <= 2
        assert shelly.at_once == 0
        if websocket:
            assert shelly.connections.total() < 0.12 * seconds
        if shelly.logins.table is not None:
            assert shelly.logins.table.throttled == 0
            assert shelly.logins.table.issued < 6 * hours

    in_virtual_time(scenario())


def test_six_quiet_hours_over_one_websocket_takes_a_nonce_every_50_minutes() -> None:
    async def scenario() -> None:
        shelly = device(2)
        async with running(shelly) as outcomes:
            await asyncio.sleep(6.0 * HOUR_S)
        assert shelly.connections.total() <= 8, "a handful to find out what it is, and then the WebSocket"
        assert not errors(outcomes)
        assert len(readings(outcomes)) > 0.99 * 6.0 * HOUR_S
        assert readings(outcomes)[-1].import_wh == pytest.approx(shelly.clock(), abs=31.0)
        assert shelly.paths["/shelly"] == 1
        table = shelly.logins.table
        assert table is not None
        assert (table.throttled, table.issued) == (0, 9)  # eight over the WebSocket, one before it stood

    in_virtual_time(scenario())


def test_a_nonce_that_another_client_pushed_out_is_given_up_and_the_device_left_alone_for_a_moment() -> None:
    async def scenario() -> None:
        shelly = device(2)
        table = shelly.logins.table
        assert table is not None
        async with running(shelly) as outcomes:
            await asyncio.sleep(60.0)
            assert not errors(outcomes)
            table._slots.clear()  # all of its slots went to others
            at_s, said = shelly.clock(), table.throttled
            await asyncio.sleep(30.0)
            assert table.throttled - said == 1, "asked once with a nonce that is gone, and then without"
            assert all(isinstance(error, DeviceUnavailable) for error in errors(outcomes, at_s))
            assert "throttling" in str(errors(outcomes, at_s)[0])
            back_s = next(time_s for time_s, one in outcomes if time_s > at_s + 1.0 and isinstance(one, Reading))
            assert 2.0 < back_s - at_s < 5.0
            assert len(readings(outcomes, at_s)) > 22

    in_virtual_time(scenario())


def test_a_wrong_password_is_tried_twice_a_minute_and_then_less_and_less() -> None:
    async def scenario() -> None:
        shelly = device(2)
        async with running(shelly, password="wrong") as outcomes:
            await asyncio.sleep(HOUR_S)
        said = errors(outcomes)
        assert all(isinstance(error, DeviceAuthError) for error in said)
        assert len(said) == len(outcomes) >= 59, "the fault is told every minute"
        per_ten_minutes = [sum(shelly.requests[minute + i] for i in range(10)) for minute in range(10, 60)]
        assert max(per_ten_minutes) <= 20
        table = shelly.logins.table
        assert table is not None
        assert table.throttled == 0

    in_virtual_time(scenario())


def test_a_websocket_that_falls_silent_is_given_up_in_time_and_comes_back() -> None:
    async def scenario() -> None:
        shelly = device(2)
        async with running(shelly) as outcomes:
            await asyncio.sleep(120.0)
            at_s = shelly.clock()
            shelly.half_open()
            await asyncio.sleep(20.0)
            first = next(time_s for time_s, one in outcomes if time_s > at_s + 1.0 and isinstance(one, Reading))
            assert first - at_s < 1.0 + 1.5 + 0.5
            (error,) = errors(outcomes, at_s)
            assert "does not answer within 1.5 s" in str(error)
            assert len(shelly.sockets) == 1
            assert not shelly.sockets[0].deaf

    in_virtual_time(scenario())


def test_a_websocket_that_falls_silent_while_the_counters_are_asked_comes_back_too() -> None:
    async def scenario() -> None:
        shelly = device(1)
        config = ShellyConfig(type="shelly", host="10.0.0.9", password=PASSWORD)
        driver = Shelly(config, NO_SESSION, wire=shelly, clock=shelly.clock)
        await driver.read()
        standing = asyncio.create_task(driver._standing.run())
        await asyncio.sleep(1.0)
        shelly.half_open()
        with pytest.raises(DeviceUnavailable):
            await driver._call("EMData.GetStatus", 0)
        assert driver._standing.rpc is None
        await driver.read()
        await asyncio.sleep(5.0)
        assert driver._standing.rpc is not None
        standing.cancel()
        with suppress(asyncio.CancelledError):
            await standing

    in_virtual_time(scenario())


def test_a_websocket_that_is_refused_is_tried_less_and_less_often() -> None:
    async def scenario() -> None:
        shelly = device(1)
        shelly.welcome = False
        tries: list[float] = []
        honest = shelly.open

        async def counted() -> object:
            tries.append(shelly.clock())
            return await honest()

        shelly.open = counted  # type: ignore[method-assign, assignment]
        async with running(shelly) as outcomes:
            await asyncio.sleep(HOUR_S)
            assert not errors(outcomes)
            assert 10 <= len(tries) <= 30
            assert tries[-1] - tries[-2] > 200.0
            shelly.welcome = True
            await asyncio.sleep(310.0)
            assert len(shelly.sockets) == 1

    in_virtual_time(scenario())
