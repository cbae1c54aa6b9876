"""Any meter with a URL: where the power stands, in which unit, and what is refused."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from app.meters.http_json import HttpJson, HttpJsonConfig, parse
from app.meters.slot import MeterSlot, combine
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading


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


def test_several_matches_need_to_be_wanted() -> None:
    with pytest.raises(DeviceDataError, match="2 values"):
        parse({"p": [1, 2]}, config(path="$.p[*]"))


@pytest.mark.parametrize(
    "keys", [{}, {"import_path": "$.in"}, {"path": "$.p", "export_path": "$.out"}, {"path": "$.["}]
)
def test_a_configuration_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)


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

        assert (await at("/power", bearer_token="t0ken").read()).power_w == 42.0
        assert (await at("/power", username="u", password="p").read()).power_w == 42.0
        assert seen == ["Bearer t0ken", "Basic dTpw"]
        with pytest.raises(DeviceAuthError, match="401"):
            await at("/denied").read()
        for path, text in {"/moved": "HTTP 302", "/huge": "more than", "/html": "not answer with JSON"}.items():
            with pytest.raises(DeviceDataError, match=text):
                await at(path).read()
        meter = at("/power")
        await server.close()
        with pytest.raises(DeviceUnavailable, match="cannot reach"):
            await meter.read()


def reading(power_w: float, at_s: float, **keys: Any) -> Reading:
    return Reading(power_w, at_s, at_s, **keys)


def test_several_meters_are_summed_when_all_have_answered() -> None:
    one, other = reading(100.0, 10.0, import_wh=5.0), reading(-30.0, 10.4, import_wh=6.0)
    total = combine([one, other], 2.0)
    assert total is not None
    assert (total.power_w, total.at_s, total.import_wh, total.export_wh) == (70.0, 10.0, 11.0, None)
    assert combine([one, None], 2.0) is None
    assert combine([one, reading(1.0, 13.0)], 2.0) is None


async def test_a_failed_meter_resets_the_count_of_good_readings() -> None:
    class Scripted:
        name, interval_s = "scripted", 1.0

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
