"""Asking for a step test over HTTP: who may, one at a time, and what is told of it."""

from __future__ import annotations

import pytest

from app.model import Progress, StepTestReport, StepTestRequest

from .conftest import CHROME, Build, House
from .ticks import make_tick

PATH, SERIAL = "/api/step-test", "116180400001"
BODY = {"json": {"serial": SERIAL}}


async def test_before_anybody_asked_there_is_none(house: House) -> None:
    response, data = await house.ask("GET", PATH)
    assert (response.status, data) == (200, {"step_test": None})


async def test_a_test_is_asked_for_and_followed_to_its_end(house: House) -> None:
    response, data = await house.ask("POST", PATH, **BODY)
    assert (response.status, data["step_test"]["state"]) == (202, "running")
    assert house.tests.request == StepTestRequest(SERIAL, 1)
    house.tests.take(StepTestReport(1, SERIAL, "Garage", Progress.RUNNING, "step 1 of 3: 640 W -> 480 W", step=1))
    _, data = await house.ask("GET", PATH)
    assert (data["step_test"]["name"], data["step_test"]["step"]) == ("Garage", 1)
    ended = house.tests.take(StepTestReport(1, SERIAL, "Garage", Progress.FAILED, "too dark", "Wait for the sun."))
    assert ended is not None
    assert house.tests.request is None, "and the next one may come"
    _, data = await house.ask("GET", PATH)
    assert (data["step_test"]["state"], data["step_test"]["next_step"]) == ("failed", "Wait for the sun.")


async def test_one_at_a_time(house: House) -> None:
    await house.ask("POST", PATH, **BODY)
    response, data = await house.ask("POST", PATH, **BODY)
    assert response.status == 409
    assert "is running" in data["error"]


async def test_a_running_test_can_be_called_off(house: House) -> None:
    await house.ask("POST", PATH, **BODY)
    response, data = await house.ask("DELETE", PATH)
    assert (response.status, data["step_test"]["state"]) == (200, "failed")
    assert house.tests.request is None
    late = StepTestReport(1, SERIAL, "Garage", Progress.RUNNING, "step 1 of 3")
    assert house.tests.take(late) is None
    assert house.tests.report is not late


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"json": {"serial": "112180400009"}}, 409, "is no inverter that may be commanded"),
        ({"json": {}}, 400, "does not name a serial"),
        ({"json": {"serial": SERIAL, "watts": 3}}, 400, "and nothing else"),
        ({"json": {"serial": 116180400001}}, 400, "is no text"),
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400, "is not JSON"),
        ({"data": "x"}, 415, "application/json"),
        ({**BODY, "headers": {"Host": "evil.example"}}, 421, "is not known here"),
        ({**BODY, "headers": CHROME}, 403, "another page"),
        ({**BODY, "headers": CHROME | {"Origin": "http://evil.example"}}, 403, "another page"),
    ],
)
async def test_what_is_refused_starts_nothing(
    house: House, request_: dict[str, object], status: int, said: str
) -> None:
    response, data = await house.ask("POST", PATH, **request_)
    assert response.status == status
    assert said in data["error"]
    assert house.tests.request is None


async def test_with_a_token_nobody_starts_or_ends_one_without_it(build: Build) -> None:
    house = await build(token="sunshine")
    assert (await house.ask("POST", PATH, **BODY))[0].status == 401
    assert house.tests.request is None
    with_token = {"headers": {"Authorization": "Bearer sunshine"}}
    assert (await house.ask("POST", PATH, **BODY, **with_token))[0].status == 202
    assert (await house.ask("DELETE", PATH))[0].status == 401
    assert house.tests.request is not None
    assert (await house.ask("GET", PATH))[0].status == 200, "looking is free"


async def test_the_status_shows_the_dead_times_and_the_test(house: House) -> None:
    report = StepTestReport(1, SERIAL, "Garage", Progress.RUNNING, "step 2 of 3", step=2, steps=3)
    house.hub.publish(make_tick(dead_times=((SERIAL, 1.414),), step_test=report))
    _, data = await house.ask("GET", "/api/status")
    assert data["inverters"][0]["dead_time_s"] == 1.41
    assert data["step_test"]["text"] == "step 2 of 3"
