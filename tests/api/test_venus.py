"""What Venus OS is told: every message is one that its drivers read, and nothing in it is old or made up."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.api.venus import document
from app.api.venusfeed import VenusFeed
from app.broker import Address, Broker
from app.checks import running
from app.hub import Hub
from app.model import Ac, MeterState, Mode, Phase, Reading
from tests.conftest import Mosquitto, until

from .ticks import METER_FAULT, make_inverter, make_tick

SCHEMAS: dict[str, Any] = {
    part: json.loads((Path(__file__).parent / f"venus-{part}-schema.json").read_text(encoding="utf-8"))
    for part in ("grid", "pv")
}


def problems(told: dict[str, Any]) -> list[str]:
    """What the schemas have against a message, as it arrives."""
    arrived = json.loads(json.dumps(told, allow_nan=False))
    validators = [(part, Draft202012Validator(SCHEMAS[part])) for part in arrived]
    return [f"{part}: {error.message}" for part, one in validators for error in one.iter_errors({part: arrived[part]})]


def metered(*phases: Phase, import_wh: float | None = None) -> MeterState:
    return MeterState(Reading(-120.0, 99.7, 0.0, phases, import_wh))


UNKNOWN = make_inverter(ac=Ac(), power_at_s=None)
ASLEEP = make_inverter("2", reachable=False, power_at_s=None, ac=Ac(yield_total_kwh=10.0), phase=2)
FIRST, SECOND = make_inverter("1", phase=1), make_inverter("2", phase=2)
TICKS = {
    "three phases": make_tick(),
    "one phase": make_tick(-120.0, meter=metered(Phase(-120.0, 231.0, -0.5, 0.98))),
    "a total alone": make_tick(-120.0, meter=metered()),
    "phases without power": make_tick(-120.0, meter=metered(Phase(), Phase(voltage_v=230.0), Phase())),
    "a phase that is not finite": make_tick(-120.0, meter=metered(Phase(math.nan), Phase(1.0), Phase(math.inf))),
    "nothing known": make_tick(None, inverters=(UNKNOWN,), meter=MeterState(), pv_w=None),
    "no inverters": make_tick(inverters=(), pv_w=None),
    "fail-safe": make_tick(None, mode=Mode.FAIL_SAFE, faults=(METER_FAULT,)),
    "numbers that are none": make_tick(math.nan, pv_w=math.inf),
    "night": make_tick(mode=Mode.NIGHT, inverters=(ASLEEP,), pv_w=0.0),
    "phases of inverters": make_tick(inverters=(FIRST, SECOND), pv_w=1224.8),
    "one asleep": make_tick(inverters=(FIRST, ASLEEP), pv_w=612.4),
}


@pytest.mark.parametrize("name", TICKS)
def test_every_message_is_one_that_the_drivers_read(name: str) -> None:
    assert problems(document(TICKS[name])) == []


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("grid", {"voltage": 230.0}),
        ("grid", {"power": None}),
        ("grid", {"power": "12"}),
        ("grid", {"power": 1.0, "L2": {"power": 1.0}}),
        ("grid", {"power": 1.0, "L1": {"voltage": 1.0}}),
        ("pv", {"power": -1.0}),
        ("pv", {"power": 1.0, "energy_reverse": 1.0}),
    ],
)
def test_the_schemas_refuse_what_the_drivers_would(part: str, wrong: dict[str, Any]) -> None:
    assert problems({part: wrong})


def test_the_grid_meter_is_told_whole() -> None:
    phases = {
        "L1": {"power": -120.0, "voltage": 231.0, "current": 0.6},
        "L2": {"power": 80.0, "voltage": 230.0, "current": 0.4},
        "L3": {"power": 54.6, "voltage": 232.0, "current": 0.3},
    }
    total = {"power": 14.6, "voltage": 231.0, "current": 1.3, "energy_forward": 1.0, "energy_reverse": 0.02}
    assert document(make_tick())["grid"] == total | phases
    assert document(TICKS["one phase"])["grid"]["L1"]["power_factor"] == 0.98


@pytest.mark.parametrize("name", ["fail-safe", "nothing known", "numbers that are none"])
def test_a_grid_power_that_is_not_known_is_left_out_and_never_repeated(name: str) -> None:
    assert "grid" not in document(TICKS[name])


def test_phases_are_told_all_or_none() -> None:
    for name in ("a total alone", "phases without power", "a phase that is not finite"):
        assert "L1" not in document(TICKS[name])["grid"], name
        assert document(TICKS[name])["grid"]["power"] == -120.0


def test_the_inverters_are_one_and_are_told_by_phase_where_all_phases_are_known() -> None:
    told = document(TICKS["phases of inverters"])["pv"]
    one = {"power": 612.4, "voltage": 232.1, "current": 2.64, "frequency": 50.01, "energy_forward": 1204.5}
    assert told == {"power": 1224.8, "voltage": 232.1, "current": 5.28, "energy_forward": 2409.0, "L1": one, "L2": one}
    assert "L1" not in document(make_tick(inverters=(FIRST, make_inverter("3"))))["pv"]
    assert "L1" not in document(make_tick(inverters=(FIRST, replace(UNKNOWN, phase=2))))["pv"]
    asleep = document(TICKS["one asleep"])["pv"]
    assert (asleep["L1"]["power"], asleep["L2"]) == (612.4, {"power": 0.0, "energy_forward": 10.0})


def test_a_total_of_energy_is_one_of_all_inverters() -> None:
    silent = make_inverter("2", ac=Ac(power_w=1.0))
    assert "energy_forward" not in document(make_tick(inverters=(FIRST, silent)))["pv"]


def test_without_its_own_grid_meter_it_is_told_of_the_inverters_alone() -> None:
    assert set(document(make_tick(), grid=False)) == {"pv"}


watts = st.none() | st.floats(-1e5, 1e5) | st.just(math.nan)


@given(
    watts, st.none() | st.floats(0, 1e5), st.lists(st.builds(Phase, watts, st.none() | st.floats(0, 500)), max_size=5)
)
def test_no_tick_makes_a_message_that_they_cannot_read(
    grid_w: float | None, pv_w: float | None, phases: list[Phase]
) -> None:
    assert problems(document(make_tick(grid_w, pv_w=pv_w, meter=metered(*phases)))) == []


# -- over MQTT ---------------------------------------------------------------------------------------


@asynccontextmanager
async def fed(mosquitto: Mosquitto, *, grid: bool = True) -> AsyncIterator[tuple[Hub, list[aiomqtt.Message]]]:
    """A feed at work, and what arrives below its topic."""
    broker, hub = Broker(Address(mosquitto.host, mosquitto.port), "fed"), Hub()
    feed = VenusFeed(broker, "zero-export/venus", 2.0, hub, grid=grid)
    heard: list[aiomqtt.Message] = []

    async def listen() -> None:
        async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
            await client.subscribe("zero-export/#")
            listening.set()
            async for message in client.messages:
                heard.append(message)  # noqa: PERF401 - it never ends

    listening = asyncio.Event()
    async with running(broker.run(), listen(), feed.run()):
        await listening.wait()
        await until(lambda: broker.connected)
        yield hub, heard


async def test_each_part_has_a_topic_of_its_own_and_nothing_is_retained(mosquitto: Mosquitto) -> None:
    async with fed(mosquitto) as (hub, heard):
        hub.publish(make_tick(now_s=100.0))
        await until(lambda: len(heard) == 3)
        whole = json.loads(heard[0].payload)
        assert [message.topic.value.removeprefix("zero-export/venus") for message in heard] == ["", "/grid", "/pv"]
        assert json.loads(heard[1].payload) == {"grid": whole["grid"]}
        assert json.loads(heard[2].payload) == {"pv": whole["pv"]}
        assert not any(message.retain or message.qos for message in heard)
        hub.publish(make_tick(None, now_s=103.0, mode=Mode.FAIL_SAFE))
        await until(lambda: len(heard) == 5)
        assert [message.topic.value for message in heard[3:]] == ["zero-export/venus", "zero-export/venus/pv"]
        assert set(json.loads(heard[3].payload)) == {"pv"}


async def test_between_two_messages_lies_the_interval_and_nothing_known_is_silence(mosquitto: Mosquitto) -> None:
    async with fed(mosquitto, grid=False) as (hub, heard):
        for now_s in (100.0, 100.9, 101.8):
            hub.publish(make_tick(now_s=now_s))
            await asyncio.sleep(0.05)
        hub.publish(make_tick(None, now_s=102.7, pv_w=None))
        await asyncio.sleep(0.05)
        hub.publish(make_tick(now_s=104.8, pv_w=7.0))
        await until(lambda: len(heard) == 4)
    assert [json.loads(message.payload)["pv"]["power"] for message in heard] == [612.4, 612.4, 7.0, 7.0]
