"""What doctor says of a meter: how fast it is, and which way round it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count, cycle
from typing import Any

import aiomqtt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.checks import running
from app.config import Config
from app.meterdoctor import TRY, Heard, check, direction, listen, meters
from app.meters.base import Emit
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from tests.conftest import Mosquitto
from tests.virtualtime import in_no_time


def reading(power_w: float, at_s: float = 0.0) -> Reading:
    return Reading(power_w, at_s, at_s, latency_s=0.04)


class Paced:
    """Asked once a second, it has something new every ``every_s``."""

    name, interval_s = "paced", 1.0

    def __init__(self, every_s: float, fault: DeviceError | None = None) -> None:
        self._every_s, self._fault = every_s, fault

    async def run(self, emit: Emit) -> None:
        for second in count(1):
            emit(self._fault or reading(second // self._every_s, float(second)))
            await asyncio.sleep(1.0)


@pytest.mark.parametrize(
    ("every_s", "status", "text", "step"),
    [
        (1.0, "ok", "a new value every 1.0 s", TRY),
        (2.0, "ok", "a new value every 2.0 s", TRY),
        (4.0, "ok", "every 4.0 s, which is usable", TRY),
        (6.0, "warn", "a new value every 6.0 s", "exported for about 12 s"),
        (10.0, "warn", "a new value every 10.0 s", "exported for about 20 s"),
    ],
)
def test_how_fast_a_meter_is_and_what_that_means(every_s: float, status: str, text: str, step: str) -> None:
    found = check(in_no_time(listen("paced", Paced(every_s))))
    assert (found.status, text in found.detail, step in found.next_step) == (status, True, True)
    assert dict(found.values)["interval_s"] == every_s


def test_a_meter_that_sends_by_itself_answers_in_no_time_that_is_known() -> None:
    found = check(Heard("mqtt", [Reading(float(second), float(second), 0.0) for second in range(3)]))
    assert "answered in" not in found.detail
    assert dict(found.values)["latency_ms"] is None


def test_a_value_that_stands_still_tells_no_speed() -> None:
    heard = in_no_time(listen("paced", Paced(3600.0)))
    heard.ended_s = heard.readings[-1].at_s
    found = check(heard)
    assert found.status == "ok"
    assert "the same value for 2" in found.detail
    assert "Switch something on and run this again" in found.next_step
    assert dict(found.values)["interval_s"] is None


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        (DeviceUnavailable("it is away"), "the address under meter"),
        (DeviceAuthError("it refuses"), "the login under meter"),
        (DeviceDataError("no power there"), "docs/meters.md"),
    ],
)
def test_a_fault_is_told_at_once_with_what_to_look_at(fault: DeviceError, step: str) -> None:
    found = check(in_no_time(listen("paced", Paced(1.0, fault))))
    assert (found.status, found.detail, step in found.next_step) == ("fail", str(fault), True)


def test_a_meter_that_says_nothing_is_told() -> None:
    class Silent(Paced):
        async def run(self, emit: Emit) -> None:
            await asyncio.sleep(1e9)

    found = check(in_no_time(listen("silent", Silent(1.0))))
    assert (found.status, found.detail) == ("fail", "no reading within 25 s")


def test_an_answer_that_takes_long_is_told_with_the_rest() -> None:
    slow = [Reading(float(second), float(second), 0.0, latency_s=0.8) for second in range(3)]
    found = check(Heard("slow", slow))
    assert found.status == "warn"
    assert found.next_step == "It answers slowly: check the WiFi of the meter."
    assert "800 ms" in found.detail


@pytest.mark.parametrize(
    ("power_w", "pv_w", "status", "text"),
    [
        (300.0, None, "ok", ""),
        (-300.0, None, "ok", ""),
        (300.0, 0.0, "ok", "it counts the right way round"),
        (50.0, 0.0, "ok", "either way round is possible"),
        (-300.0, 0.0, "warn", "while the inverters give 0 W"),
        (-50.0, 0.0, "ok", "either way round"),
        (-300.0, 500.0, "ok", "either way round"),
        (300.0, 500.0, "ok", "either way round"),
        (-700.0, 500.0, "warn", "while the inverters give 500 W"),
        (-640.0, 500.0, "ok", "either way round"),
    ],
)
def test_which_way_round_it_counts_as_far_as_that_can_be_known(
    power_w: float, pv_w: float | None, status: str, text: str
) -> None:
    found = direction(power_w, pv_w)
    assert found.status == status
    assert text in found.detail
    assert ("turn it round" in found.next_step) == (status == "warn")
    assert (found.next_step == "") == ("right way" in found.detail)


def configuration(mosquitto: Mosquitto, meter: dict[str, Any] | list[dict[str, Any]]) -> Config:
    return Config.model_validate(
        {
            "mqtt": {"host": mosquitto.host, "port": mosquitto.port},
            "meter": meter,
            "inverters": [{"serial": serial, "max_watt": 600} for serial in ("112180400001", "112180400002")],
        }
    )


async def publish_sun(mosquitto: Mosquitto, *powers_w: float) -> None:
    """As OpenDTU does, again and again."""
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        while True:
            for serial, power_w in zip(("112180400001", "112180400002"), powers_w, strict=False):
                await client.publish(f"solar/{serial}/0/power", f"{power_w:.1f}")
            await asyncio.sleep(0.2)


async def serve(values: Iterator[float]) -> TestServer:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"p": next(values)})

    app = web.Application()
    app.router.add_get("/", answer)
    server = TestServer(app)
    await server.start_server()
    return server


async def test_an_export_that_cannot_be_is_found_with_a_real_broker(mosquitto: Mosquitto) -> None:
    server = await serve(cycle((-800.0, -801.0)))
    meter = {"type": "http_json", "url": f"http://127.0.0.1:{server.port}/", "path": "$.p", "interval_s": 0.2}
    async with running(publish_sun(mosquitto, 100.0, 20.0)):
        (found,) = await meters(configuration(mosquitto, meter))
        both = await meters(configuration(mosquitto, [meter, meter]))
    await server.close()
    assert found.status == "warn"
    assert "while the inverters give 120 W" in found.detail
    assert dict(found.values)["pv_w"] == 120.0
    assert [dict(one.values)["pv_w"] for one in both] == [None, None], "each may see a part of the house"


async def test_an_inverter_that_is_not_heard_leaves_the_sun_unknown(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.meterdoctor.SUN_WAIT_S", 1.0)
    server = await serve(cycle((-800.0, -801.0)))
    meter = {"type": "http_json", "url": f"http://127.0.0.1:{server.port}/", "path": "$.p", "interval_s": 0.2}
    async with running(publish_sun(mosquitto, 100.0)):
        (found,) = await meters(configuration(mosquitto, meter))
    await server.close()
    assert (found.status, found.next_step) == ("ok", TRY)
