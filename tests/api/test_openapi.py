"""The description is complete, and every answer keeps to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.api.openapi import openapi
from app.model import Ac, EnsembleState, MeterState, Mode, PriceState, Progress, Step, StepResult, StepTestReport

from .conftest import Build, House
from .ticks import METER_FAULT, STORAGE, make_inverter, make_tick

DOCUMENT = openapi("1.2.3")
FOUND = StepResult("ok", "well", "", 0.98, 0.97, 1.4, (1.3, 1.5), None, 300.0, 2, (Step(640.0, 480.0, 0.98, 1.4),))
DONE = StepTestReport(1, "116180400001", "Garage", Progress.DONE, "well", step=3, steps=3, result=FOUND)


def validate(schema: dict[str, Any], data: Any) -> None:
    whole = schema | {"components": DOCUMENT["components"]}
    Draft202012Validator.check_schema(whole)
    Draft202012Validator(whole).validate(data)


def answer(path: str, method: str, status: int) -> dict[str, Any]:
    content: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]["responses"][str(status)]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


async def test_every_route_is_described_and_nothing_else(house: House) -> None:
    served = {
        (route.method.lower(), (route.resource.canonical if route.resource else ""))
        for route in house.server.application().router.routes()
        if route.method != "HEAD"
    }
    described = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert served == described


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    names = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert names == set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize(
    "tick",
    [
        None,
        make_tick(),
        make_tick(None, mode=Mode.FAIL_SAFE, meter=MeterState(fault="gone"), faults=(METER_FAULT,), dry_run=True),
        make_tick(inverters=(make_inverter(ac=Ac(), panels=(), note="lost", reachable=None),), gateways=()),
        replace(make_tick(), ensemble=STORAGE),
        replace(make_tick(), ensemble=EnsembleState("enphase", fault="gone")),
        make_tick(step_test=DONE, dead_times=(("116180400001", 1.4),)),
        make_tick(mode=Mode.OPEN, price=PriceState(4.0, 30.0, False, 1.75e9, None), target_w=None),
    ],
)
async def test_the_status_keeps_to_it(build: Build, tick: Any) -> None:
    house = await build()
    if tick is not None:
        house.hub.publish(tick)
    response, data = await house.ask("GET", "/api/status")
    validate(answer("/api/status", "get", response.status), data)


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("GET", "/api/toggle", {}),
        ("POST", "/api/toggle", {}),
        ("GET", "/api/toggle?state=x", {}),
        ("GET", "/api/toggle?redirect=//evil.example", {}),
        ("GET", "/api/toggle", {"headers": {"Host": "evil.example"}}),
        ("GET", "/api/toggle", {"headers": {"Purpose": "prefetch"}}),
        ("POST", "/api/toggle", {"headers": {"Origin": "http://evil.example"}}),
        ("PUT", "/api/settings", {"json": {"enabled": True, "target_point_w": 10}}),
        ("POST", "/api/settings", {"json": {"target_point_w": 10}}),
        ("PUT", "/api/settings", {"json": {"target_point_w": "10"}}),
        ("PUT", "/api/settings", {"data": "x"}),
        ("PUT", "/api/settings", {"data": "x" * 5000, "headers": {"Content-Type": "application/json"}}),
        ("GET", "/api/history", {}),
        ("GET", "/api/history?seconds=0", {}),
        ("GET", "/api/step-test", {}),
        ("POST", "/api/step-test", {"json": {"serial": "116180400001"}}),
        ("POST", "/api/step-test", {"json": {"serial": 7}}),
        ("POST", "/api/step-test", {"json": {"serial": "112180400009"}}),
        ("POST", "/api/step-test", {"data": "x"}),
        ("DELETE", "/api/step-test", {}),
        ("DELETE", "/api/step-test", {"headers": {"Origin": "http://evil.example"}}),
        ("GET", "/healthz", {}),
        ("GET", "/openapi.json", {}),
    ],
)
async def test_every_answer_keeps_to_it(house: House, method: str, path: str, request_: dict[str, Any]) -> None:
    response, data = await house.ask(method, path, **request_)
    validate(answer(path.partition("?")[0], method, response.status), data)


async def test_a_token_refusal_and_a_stalled_loop_keep_to_it(build: Build) -> None:
    house = await build(token="sunshine")
    response, data = await house.ask("GET", "/api/toggle")
    validate(answer("/api/toggle", "get", response.status), data)
    response, data = await house.ask("GET", "/healthz")
    assert response.status == 503
    validate(answer("/healthz", "get", response.status), data)


def test_what_a_change_may_be() -> None:
    schema = DOCUMENT["components"]["schemas"]["Change"]
    check = Draft202012Validator(schema).is_valid
    assert check({"enabled": True})
    assert check({"target_point_w": -20.5})
    assert not check({})
    assert not check({"enabled": "on"})
    assert not check({"target_point_w": 100_001})
    assert not check({"enabled": True, "other": 1})
