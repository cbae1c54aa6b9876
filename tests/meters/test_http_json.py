"""Any meter with a URL: where the power stands, in which unit, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from app.documents import Busy
from app.meters.base import poll
from app.meters.http_json import HttpJson, HttpJsonConfig, parse
from app.meters.slot import MeterSlot, combine
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading
from app.outbound import new_session
from tests.meters.fakes.digest import DigestDoor
from tests.virtualtime import in_no_time


def config(**keys: Any) -> HttpJsonConfig:
    return HttpJsonConfig(type="http_json", url="http://10.0.0.9/meter", **keys)


@pytest.mark.parametrize(
    ("keys", "document", "power_w"),
    [
        ({"path": "$.power"}, {"power": -12.5}, -12.5),
        ({"path": "$['em:0'].total_act_power"}, {"em:0": {"total_act_power": 7}}, 7.0),
        ({"path": "$.Datas[3][2]"}, {"Datas": [[], [], [], [0, 1, 55.5]]}, 55.5),
        ({"path": "$.values[?(@.obis=='16.7.0')].v"}, {"values": [{"obis": "16.7.0", "v": 331}]}, 331.0),
        ({"path": "$.p", "unit": "kW"}, {"p": 1.25}, 1250.0),
        ({"path": "$.p"}, {"p": "123.4 W"}, 123.4),
        ({"path": "$.p"}, {"p": "-1,5 kW"}, -1500.0),
        ({"path": "$.p"}, {"p": " +250mW "}, 0.25),
        ({"path": ["$.a", "$.b", "$.c"]}, {"a": 1, "b": "2 W", "c": -5}, -2.0),
        ({"import_path": ["$.i1", "$.i2"], "export_path": "$.e"}, {"i1": 1, "i2": 2, "e": 5}, -2.0),
        ({"path": "$.p", "unit_path": "$.u"}, {"p": 2, "u": "kW"}, 2000.0),
        ({"phase_paths": ["$.a", "$.b"]}, {"a": 20, "b": -5}, 15.0),
        ({"path": "$.phases[*].p", "sum": True}, {"phases": [{"p": 1}, {"p": 2}, {"p": -5}]}, -2.0),
        ({"import_path": "$.in", "export_path": "$.out"}, {"in": 0, "out": 250}, -250.0),
    ],
)
def test_the_power_is_found(keys: dict[str, Any], document: Any, power_w: float) -> None:
    assert parse(document, config(**keys)).power_w == pytest.approx(power_w)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "nothing at"),
        ({"power": None}, "None"),
        ({"power": "off"}, "'off'"),
        ({"power": "5 VA"}, "'5 VA'"),
        ({"power": "1.2 MW"}, "'1.2 MW'"),
        ({"power": "1.234,5 W"}, "not a power"),
        ({"power": "0x10"}, "not a power"),
        ({"power": "NaN"}, "not a power"),
        ({"power": ""}, "not a power"),
        ({"power": [5]}, "not a number"),
        ({"power": True}, "True"),
        ({"power": 10**400}, "not a number"),
        ({"power": float("nan")}, "nan"),
        ({"power": 5e6}, "no house connection"),
        ([1, 2], "nothing at"),
    ],
)
def test_what_is_no_power_is_refused(document: Any, text: str) -> None:
    with pytest.raises(DeviceDataError, match=text):
        parse(document, config(path="$.power"))


def test_one_of_several_paths_that_is_missing_is_an_error() -> None:
    with pytest.raises(DeviceDataError, match=r"nothing at \$\.b"):
        parse({"a": 1}, config(path=["$.a", "$.b"]))


def test_a_power_that_is_counted_apart_is_never_negative() -> None:
    with pytest.raises(DeviceDataError, match="never negative"):
        parse({"in": -5, "out": 0}, config(import_path="$.in", export_path="$.out"))


def test_several_matches_need_to_be_wanted() -> None:
    with pytest.raises(DeviceDataError, match="2 values"):
        parse({"p": [1, 2]}, config(path="$.p[*]"))


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"path": []},
        {"path": ["$.p", "$.["]},
        {"import_path": "$.in"},
        {"path": "$.p", "export_path": "$.out"},
        {"path": "$.["},
        {"path": "$.p", "refuse_zeros": True},
        {"path": "$.p", "login": "digest"},
        {"path": "$.p", "login": "digest", "username": "a:b", "password": "x"},
        {"path": "$.p", "login": "query", "bearer_token": "x"},
        {"path": "$.p", "login": "ntlm"},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)


async def power_w(meter: HttpJson) -> float | None:
    reading = await meter.read()
    return None if reading is None else reading.power_w


async def test_logins_statuses_sizes_and_redirects_over_real_http() -> None:
    seen: list[str] = []

    async def power(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"p": 42}, content_type="text/plain")

    async def moved(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/power")

    async def other(request: web.Request) -> web.Response:
        texts = {"huge": "[" + "1," * 200_000 + "1]", "html": "<html>"}
        what = request.match_info["what"]
        return web.Response(text=texts[what]) if what in texts else web.Response(status=401)

    app = web.Application()
    app.router.add_get("/power", power)
    app.router.add_get("/moved", moved)
    app.router.add_get("/{what}", other)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:

        def at(path: str, **keys: Any) -> HttpJson:
            url = f"http://127.0.0.1:{server.port}{path}"
            return HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.p", **keys), session)

        for keys in (
            {"bearer_token": "t0ken"},
            {"username": "u", "password": "p"},
            {"headers": {"Authorization": "Key x"}},
            {},
        ):
            assert await power_w(at("/power", **keys)) == 42.0
        assert seen == ["Bearer t0ken", "Basic dTpw", "Key x", ""]
        with pytest.raises(DeviceAuthError, match="401"):
            await at("/denied").read()
        for path, text in {"/moved": "HTTP 302", "/huge": "more than", "/html": "not answer with JSON"}.items():
            with pytest.raises(DeviceDataError, match=text):
                await at(path).read()
        meter = at("/power")
        await server.close()
        with pytest.raises(DeviceUnavailable, match="cannot reach"):
            await meter.read()


@asynccontextmanager
async def behind(door: DigestDoor, **keys: Any) -> AsyncIterator[HttpJson]:
    """A meter that knows the password, and one that answers it."""

    async def power(request: web.Request) -> web.Response:
        return door.refusal(request) or web.json_response({"p": 42})

    app = web.Application()
    app.router.add_get("/{path:.*}", power)
    async with TestServer(app) as server, new_session() as session:
        url = f"http://127.0.0.1:{server.port}/a%23b/meter?x=%C3%BC"
        known = {"username": "root", "password": 'pa"ss ü', "login": "digest"} | keys
        yield HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.p", **known), session)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_digest_login_needs_one_challenge(algorithm: str) -> None:
    door = DigestDoor("root", 'pa"ss ü', algorithm)
    async with behind(door) as meter:
        for _ in range(5):
            assert await power_w(meter) == 42.0
        assert door.challenges == 1
        door.forget()
        assert await power_w(meter) == 42.0, "a challenge that has run out is asked for again"
        assert door.challenges == 2
        assert await asyncio.gather(*(power_w(meter) for _ in range(4))) == [42.0] * 4
        assert door.challenges == 2, "one at a time, so that the count of uses goes up by one"


async def test_a_device_that_throws_out_challenges_and_says_busy_is_asked_afresh() -> None:
    door = DigestDoor("root", 'pa"ss ü', throttled=True)
    async with behind(door) as meter:
        assert await power_w(meter) == 42.0
        door.forget()
        with pytest.raises(Busy) as caught:
            await meter.read()
        assert caught.value.pause_s == 1.0
        assert await power_w(meter) == 42.0


async def test_a_wrong_password_and_another_kind_of_login_are_told_apart() -> None:
    door = DigestDoor("root", "other")
    async with behind(door) as meter:
        with pytest.raises(DeviceAuthError, match="check username and password"):
            await meter.read()
    async with behind(door, login="basic") as meter:
        with pytest.raises(DeviceAuthError, match="it asks for a Digest login"):
            await meter.read()


async def test_a_challenge_that_is_none_is_a_refusal_and_is_not_kept() -> None:
    answers = [401, 200]

    async def answer(_request: web.Request) -> web.Response:
        if answers.pop(0) == 200:
            return web.json_response({"p": 1})
        challenge = 'Digest realm="x", nonce="y", algorithm=ROT13'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, new_session() as session:
        keys = {"username": "u", "password": "p", "login": "digest"}
        url = f"http://127.0.0.1:{server.port}/"
        meter = HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.p", **keys), session)
        with pytest.raises(DeviceAuthError, match="ROT13"):
            await meter.read()
        assert await power_w(meter) == 1.0


@pytest.mark.parametrize(
    ("status", "headers", "text", "pause_s"),
    [
        (404, {}, r"/meter is not there \(HTTP 404\): check the address", None),
        (500, {}, "HTTP 500: a fault of the device", None),
        (503, {}, "HTTP 503", None),
        (400, {}, "HTTP 400", None),
        (429, {}, "too many requests", 5.0),
        (429, {"Retry-After": "7"}, "too many requests", 7.0),
        (429, {"Retry-After": "86400"}, "too many requests", 120.0),
        (429, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, "too many requests", 5.0),
    ],
)
async def test_statuses_have_their_names(status: int, headers: dict[str, str], text: str, pause_s: float) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text='{"p": 1}')

    app = web.Application()
    app.router.add_get("/meter", answer)
    async with TestServer(app) as server, new_session() as session:
        url = f"http://127.0.0.1:{server.port}/meter"
        with pytest.raises(DeviceDataError, match=text) as caught:
            await HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.p"), session).read()
    assert getattr(caught.value, "pause_s", None) == pause_s


async def test_a_value_is_new_when_its_time_has_advanced() -> None:
    stamps = [100, 100, 103, 103, 102, 104]

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"p": 42, "t": f"{stamps.pop(0)}000000000"})

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, new_session() as session:
        url = f"http://127.0.0.1:{server.port}/"
        meter = HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.p", time_path="$.t"), session)
        assert [await power_w(meter) for _ in range(6)] == [None, None, 42.0, None, None, 42.0]


async def polled(*outcomes: Reading | DeviceError | None, longest_s: float = 0.0) -> list[float]:
    """The pauses after each of these."""
    loop, begun, left = asyncio.get_running_loop(), list[float](), list(outcomes)

    async def read() -> Reading | None:
        begun.append(loop.time())
        if not left:
            raise StopAsyncIteration
        outcome = left.pop(0)
        if isinstance(outcome, DeviceError):
            raise outcome
        return outcome

    told: list[Reading | DeviceError] = []
    with pytest.raises(StopAsyncIteration):
        await poll(read, 1.0, told.append, longest_s=longest_s)
    assert told == [outcome for outcome in outcomes if outcome is not None]
    return [round(later - sooner, 2) for sooner, later in pairwise(begun)]


def test_how_long_a_device_is_left_alone() -> None:
    """In virtual time."""
    away = DeviceUnavailable("away")

    def pauses(*outcomes: Reading | DeviceError | None, longest_s: float = 0.0) -> list[float]:
        return in_no_time(polled(*outcomes, longest_s=longest_s))

    assert pauses(reading(1.0, 1.0), None, away, away) == [1.0, 1.0, 1.0, 1.0]
    assert pauses(DeviceAuthError("no"), Busy("busy", 7.0), Busy("busy", 0.0)) == [60.0, 7.0, 1.0]
    assert pauses(away, away, away, away, None, away, longest_s=6.0) == [2.0, 4.0, 6.0, 6.0, 1.0, 2.0]


def reading(power_w: float, at_s: float, **keys: Any) -> Reading:
    return Reading(power_w, at_s, at_s, **keys)


def test_several_meters_are_summed_when_all_have_answered() -> None:
    one, other = reading(100.0, 10.0, import_wh=5.0), reading(-30.0, 10.4, import_wh=6.0)
    total = combine([one, other], 2.0)
    assert total is not None
    assert (total.power_w, total.at_s, total.import_wh, total.export_wh) == (70.0, 10.0, 11.0, None)
    assert total.latency_s is None, "not known is not 0"
    three = reading(60.0, 10.0, phases=(Phase(10.0), Phase(20.0), Phase(30.0)))
    for parts, phases in (([three, one], ()), ([three, three], (*three.phases, *three.phases))):
        total = combine(parts, 2.0)
        assert total is not None
        assert total.phases == phases
    assert combine([one, None], 2.0) is None
    assert combine([one, reading(1.0, 13.0)], 2.0) is None


async def test_a_failed_meter_resets_the_count_of_good_readings() -> None:
    class Scripted:
        name, interval_s, due_s = "scripted", 1.0, 1.0

        async def run(self, emit: Any) -> None:
            for outcome in (reading(1.0, 1.0), reading(2.0, 2.0), DeviceError("gone"), reading(3.0, 3.0)):
                emit(outcome)
                states.append(slot.state)

    states: list[Any] = []
    slot = MeterSlot([Scripted()])
    await slot.run()
    assert [state.good_in_a_row for state in states] == [1, 2, 0, 1]
    assert states[2].fault == "gone"
    assert states[2].reading.power_w == 2.0
    assert states[3].fault is None
