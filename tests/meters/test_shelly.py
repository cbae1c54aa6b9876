"""The Shelly driver against devices that speak each generation's protocol, with their logins and faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from app.meters.shelly import Shelly, ShellyConfig
from app.meters.shelly.parse import parse_em, parse_em1, parse_em_counters, parse_gen1, parse_switch
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading
from app.simulator.devices import FakeShelly
from app.simulator.house import House, HouseConfig
from app.simulator.shelly_bodies import Fault
from tests.conftest import until

THREE_PHASES = ["gen1-3em", "pro3em", "pro3em-mono"]
GRID_ON_CHANNEL_0 = ["gen1-em", "proem50"]
SINGLE = ["pmminig3", "1pmg4"]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def house() -> House:
    house = House(HouseConfig(seed=5))
    house.load_override_w, house.sun_override = 900.0, 0.4
    house.run(30)
    return house


def meter(shelly: FakeShelly, session: aiohttp.ClientSession, **keys: Any) -> Shelly:
    return Shelly(ShellyConfig(type="shelly", host=shelly.host, **keys), session)


@pytest.mark.parametrize("kind", THREE_PHASES)
async def test_a_three_phase_meter_gives_the_net_power_and_its_phases(
    kind: str, house: House, session: aiohttp.ClientSession
) -> None:
    async with FakeShelly(house, kind) as shelly:
        reading = await meter(shelly, session).read()
    assert reading.power_w == pytest.approx(house.grid_w, abs=40.0)
    assert len(reading.phases) == 3
    assert sum(phase.power_w or 0.0 for phase in reading.phases) == pytest.approx(reading.power_w, abs=0.5)
    for phase in reading.phases:
        assert phase.voltage_v == pytest.approx(230.0, abs=15.0)
        assert phase.current_a is not None
        assert phase.power_factor is not None


@pytest.mark.parametrize("kind", GRID_ON_CHANNEL_0)
async def test_a_two_channel_meter_reads_the_chosen_channel(
    kind: str, house: House, session: aiohttp.ClientSession
) -> None:
    async with FakeShelly(house, kind) as shelly:
        grid = await meter(shelly, session).read()
        sun = await meter(shelly, session, channel=1).read()
        both = await meter(shelly, session, channel=[0, 1]).read()
    assert grid.power_w == pytest.approx(house.grid_w, abs=40.0)
    assert abs(sun.power_w) == pytest.approx(house.pv_w, abs=40.0)
    assert both.power_w == pytest.approx(grid.power_w + sun.power_w, abs=40.0)
    assert len(both.phases) == 2


@pytest.mark.parametrize("kind", SINGLE)
async def test_a_single_phase_meter_with_a_sign_is_read(
    kind: str, house: House, session: aiohttp.ClientSession
) -> None:
    house.sun_override = 0.9
    house.run(60)
    async with FakeShelly(house, kind) as shelly:
        reading = await meter(shelly, session).read()
        assert reading.power_w == pytest.approx(house.grid_w, abs=60.0)
        assert reading.power_w < -100.0, "it knows export"
        assert reading.export_wh == pytest.approx(sum(house.meter.sample.export_wh), abs=1.0)
        assert reading.import_wh == pytest.approx(sum(house.meter.sample.import_wh), abs=1.0)


@pytest.mark.parametrize("kind", ["plugs", "gen1-plug"])
async def test_a_meter_without_a_sign_is_refused_and_left_alone_for_a_moment(
    kind: str, house: House, session: aiohttp.ClientSession
) -> None:
    now_s = 0.0
    async with FakeShelly(house, kind) as shelly:
        device = Shelly(ShellyConfig(type="shelly", host=shelly.host), session, clock=lambda: now_s)
        for _ in range(3):
            with pytest.raises(DeviceDataError, match="measures without a sign .* cannot see export: use an EM"):
                await device.read()
        asked = shelly.requests
        assert asked <= 6
        now_s = 6.0
        with pytest.raises(DeviceDataError, match="without a sign"):
            await device.read()
        assert shelly.requests > asked


@pytest.mark.parametrize("kind", ["pro3em", "pro3em-mono"])
async def test_errors_of_the_device_refuse_its_values_or_stand_in_the_log_once(
    kind: str, house: House, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    key = "b" if kind == "pro3em" else ""
    async with FakeShelly(house, kind) as shelly:
        device = meter(shelly, session)
        for bad in ("power_meter_failure", "ct_type_not_set"):
            shelly.errors = {key: [bad]}
            with pytest.raises(DeviceDataError, match=bad):
                await device.read()
        for tolerable in ("out_of_range:act_power", "phase_sequence", "no_load"):
            shelly.errors = {key: [tolerable]}
            for _ in range(3):
                assert (await device.read()).power_w == pytest.approx(house.grid_w, abs=60.0)
    assert caplog.text.count("out_of_range:act_power") == 1
    assert caplog.text.count("phase_sequence") == 1
    assert "no_load" not in caplog.text


async def test_an_error_of_a_phase_that_is_not_used_does_no_harm(house: House, session: aiohttp.ClientSession) -> None:
    async with FakeShelly(house, "pro3em") as shelly:
        shelly.errors = {"b": ["power_meter_failure"], "n": ["ct_type_not_set"]}
        assert len((await meter(shelly, session, channel=[0, 2]).read()).phases) == 2
        with pytest.raises(DeviceDataError, match="b_errors"):
            await meter(shelly, session, channel=[0, 1]).read()


@pytest.mark.parametrize(
    ("kind", "reverse", "text"),
    [("pro3em", {"a": True, "b": False}, "turns a around"), ("1pmg4", True, "turns channel 0 around")],
)
async def test_a_clamp_that_the_device_turns_around_is_told_once_and_not_turned_again(
    kind: str, reverse: Any, text: str, house: House, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with FakeShelly(house, kind) as shelly:
        shelly.reverse = reverse
        device = meter(shelly, session)
        for _ in range(2):
            assert (await device.read()).power_w == pytest.approx(house.grid_w, abs=60.0)
            device._device = None
    assert caplog.text.count(text) == 1


@pytest.mark.parametrize("kind", THREE_PHASES + GRID_ON_CHANNEL_0)
async def test_the_devices_own_energy_counters_come_with_the_reading(
    kind: str, house: House, session: aiohttp.ClientSession
) -> None:
    readings: list[Reading | DeviceError] = []
    async with FakeShelly(house, kind) as shelly:
        task = asyncio.create_task(meter(shelly, session, interval_s=0.2).run(readings.append))
        await until(lambda: any(isinstance(r, Reading) and r.import_wh is not None for r in readings), 8.0, "counters")
        task.cancel()
    last = readings[-1]
    assert isinstance(last, Reading)
    assert last.import_wh is not None
    assert last.export_wh is not None
    assert last.import_wh > last.export_wh > 0.0


async def test_counters_are_those_of_the_chosen_phases(house: House, session: aiohttp.ClientSession) -> None:
    """The power of one phase beside the counters of all would be two different things."""
    async with (
        FakeShelly(house, "pro3em") as shelly,
        session.get(f"http://{shelly.host}/rpc/EMData.GetStatus?id=0") as answer,
    ):
        data = await answer.json()
    assert parse_em_counters(data, None) == (data["total_act"], data["total_act_ret"])
    assert parse_em_counters(data, (1,)) == (data["b_total_act_energy"], data["b_total_act_ret_energy"])
    both = data["a_total_act_energy"] + data["c_total_act_energy"]
    assert parse_em_counters(data, (0, 2))[0] == pytest.approx(both)
    assert parse_em_counters({}, (0,)) == (None, None)


@pytest.mark.parametrize("kind", THREE_PHASES + GRID_ON_CHANNEL_0)
@pytest.mark.parametrize("fault", [Fault.INVALID, Fault.MISSING, Fault.NULL, Fault.NAN, Fault.TEXT, Fault.GARBAGE])
async def test_what_is_no_valid_power_is_an_error_and_never_0(
    kind: str, fault: Fault, house: House, session: aiohttp.ClientSession
) -> None:
    async with FakeShelly(house, kind) as shelly:
        device = meter(shelly, session)
        await device.read()
        shelly.fault = fault
        with pytest.raises(DeviceDataError):
            await device.read()
        shelly.fault = None
        assert (await device.read()).power_w == pytest.approx(house.grid_w, abs=60.0)


async def test_what_the_device_is_stands_in_the_log_once(
    house: House, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while it answers with a fault every second, and is asked again every time what it is."""
    caplog.set_level("INFO")
    async with FakeShelly(house, "pro3em") as shelly:
        device = meter(shelly, session)
        shelly.fault = Fault.INVALID
        for _ in range(3):
            with pytest.raises(DeviceDataError):
                await device.read()
    assert caplog.text.count("is a SPEM") == 1


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANG, Fault.HTTP_500])
async def test_a_device_that_does_not_answer_is_named_with_the_time_it_was_given(
    fault: Fault, house: House, session: aiohttp.ClientSession
) -> None:
    async with FakeShelly(house, "pro3em") as shelly:
        device = meter(shelly, session, timeout_s=0.3)
        await device.read()
        shelly.fault = fault
        with pytest.raises(DeviceError, match=shelly.host):
            await device.read()


@pytest.mark.parametrize(("kind", "firmware"), [("gen1-3em", 1), ("pro3em", 1), ("pro3em", 2), ("proem50", 2)])
async def test_a_password_is_used_and_a_wrong_one_is_told(
    kind: str, firmware: int, house: House, session: aiohttp.ClientSession
) -> None:
    async with FakeShelly(house, kind, password="sesame", firmware=firmware) as shelly:
        device = meter(shelly, session, password="sesame")
        for _ in range(3):
            assert (await device.read()).power_w == pytest.approx(house.grid_w, abs=60.0)
        shelly.forget_nonces()
        await device.read()
        with pytest.raises(DeviceAuthError, match="meter.password"):
            await meter(shelly, session).read()
        with pytest.raises(DeviceAuthError, match="check username and password"):
            await meter(shelly, session, password="wrong").read()


async def test_throttled_logins_recover(house: House, session: aiohttp.ClientSession) -> None:
    now_s = 0.0
    async with FakeShelly(house, "pro3em", password="sesame") as shelly:
        config = ShellyConfig(type="shelly", host=shelly.host, password="sesame")
        device = Shelly(config, session, clock=lambda: now_s)
        await device.read()
        shelly.fault = Fault.THROTTLED
        with pytest.raises(DeviceUnavailable, match="throttling"):
            await device.read()
        shelly.fault = None
        asked = shelly.requests
        with pytest.raises(DeviceUnavailable, match="throttling"):
            await device.read()
        assert shelly.requests == asked, "it is left alone"
        now_s = 2.6
        await device.read()


async def test_a_changed_profile_is_found_out_again(house: House, session: aiohttp.ClientSession) -> None:
    async with FakeShelly(house, "pro3em") as shelly:
        device = meter(shelly, session)
        await device.read()
        for kind in ("pro3em-mono", "pro3em"):
            shelly.kind = FakeShelly(house, kind).kind
            assert (await device.read()).power_w == pytest.approx(house.grid_w, abs=60.0)


async def test_a_gen1_clock_that_stands_is_told_and_a_restart_is_not_taken_for_that(
    house: House, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    now_s = 0.0
    async with FakeShelly(house, "gen1-3em") as shelly:
        device = Shelly(ShellyConfig(type="shelly", host=shelly.host), session, clock=lambda: now_s)
        await device.read()
        shelly.fault = Fault.FROZEN
        await device.read()
        now_s = 2.0
        await device.read()
        now_s = 3.0
        with pytest.raises(DeviceDataError, match="the clock of the Shelly stands"):
            await device.read()
        shelly.fault = None
        shelly.restart()
        await device.read()
    assert caplog.text.count("has restarted") == 1


async def test_a_web_server_that_is_no_shelly_is_called_that(session: aiohttp.ClientSession) -> None:
    async def hello(_request: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    app.router.add_get("/shelly", hello)
    async with TestServer(app) as server:
        device = Shelly(ShellyConfig(type="shelly", host=f"127.0.0.1:{server.port}"), session)
        with pytest.raises(DeviceDataError, match="is no Shelly"):
            await device.read()


def test_a_gen1_em_exporting_is_negative() -> None:
    status = {
        "emeters": [
            {
                "power": -620.34,
                "pf": -0.66,
                "voltage": 235.68,
                "is_valid": True,
                "total": 401472.9,
                "total_returned": 653673.7,
            },
            {"power": 0.0, "is_valid": True},
        ]
    }
    power_w, phases, counters = parse_gen1(status, None)
    assert power_w == -620.34
    assert phases == (Phase(-620.34, 235.68, None, -0.66),)
    assert counters == (401472.9, 653673.7)


@pytest.mark.parametrize(
    ("em1", "text"),
    [
        ({"id": 1}, "act_power of channel 1 is 'None'"),
        ({"id": 0, "act_power": 10**400}, "not a number"),
        ({"id": 0, "act_power": 5.0, "errors": ["power_meter_failure"]}, "power_meter_failure"),
        ({"id": 0, "act_power": 1e9}, "no house connection carries"),
        ({"id": 0, "act_power": True}, "True"),
        ([], "no JSON object"),
    ],
)
def test_an_unusable_channel_is_named(em1: Any, text: str) -> None:
    with pytest.raises(DeviceDataError, match=text):
        parse_em1([em1])


def test_phases_that_do_not_sum_to_the_total_are_refused() -> None:
    em = {"a_act_power": 100.0, "b_act_power": 0.0, "c_act_power": 0.0, "total_act_power": 900.0}
    with pytest.raises(DeviceDataError, match="phases sum to 100 W"):
        parse_em(em, None)


@pytest.mark.parametrize("channels", [None, (0, 1)])
def test_a_phase_that_is_missing_is_no_phase_without_power(channels: tuple[int, ...] | None) -> None:
    with pytest.raises(DeviceDataError, match="EM.GetStatus has"):
        parse_em({"a_act_power": 5.0, "c_act_power": 5.0, "total_act_power": 10.0}, channels)


def test_a_meter_that_gives_only_the_sum_has_no_phases() -> None:
    assert parse_em({"total_act_power": -5.5}, None) == (-5.5, ())


def test_energy_that_came_back_is_taken_off_the_other_counter() -> None:
    """A reversed 1PM, and the Plus Plug S, which has no such counter and no sign."""
    status = {"id": 0, "apower": -350, "aenergy": {"total": 10000}, "ret_aenergy": {"total": 4000}}
    assert parse_switch([status]) == (-350.0, (Phase(-350.0),), (6000.0, 4000.0))
    plug = {"id": 0, "apower": 2.7, "voltage": 227.9, "current": 0.121, "output": True, "aenergy": {"total": 7258.589}}
    with pytest.raises(DeviceDataError, match="no ret_aenergy"):
        parse_switch([plug])
    assert parse_switch([plug | {"ret_aenergy": None}])[2] == (None, None)


def test_a_meter_that_gives_only_powers_is_enough() -> None:
    em = {"a_act_power": 120.5, "b_act_power": -300.2, "c_act_power": 12.0, "total_act_power": -167.75}
    power_w, phases = parse_em(em, None)
    assert power_w == -167.75
    assert phases[1] == Phase(-300.2, None, None, None)
    assert parse_em(em, (1,))[0] == -300.2


@pytest.mark.parametrize("channel", [[], [0, 0], [4], -1])
def test_a_channel_that_cannot_be_is_refused(channel: Any) -> None:
    with pytest.raises(ValidationError, match="choice of channels"):
        ShellyConfig(type="shelly", host="10.0.0.2", channel=channel)
