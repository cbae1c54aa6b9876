"""Sensors of an ESPHome device: found by both kinds of names, live values only, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.checks import running
from app.meters import base
from app.meters.esphome import EspHome, EspHomeConfig
from app.meters.esphome_states import Heard, document_of, value_of
from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable
from app.outbound import new_session
from app.sse import Event, Events
from tests.conftest import until
from tests.meters.fakes.digest import DigestDoor
from tests.meters.fakes.esphome import FakeEspHome, Firmware
from tests.meters.followed import Followed, following

GRID = "Grid Power"
PASSWORD = "CANARY-web-password"


def config(host: str = "192.168.1.20", **keys: Any) -> EspHomeConfig:
    if not {"import_sensor", "export_sensor", "phase_sensors"} & set(keys):
        keys = {"sensor": GRID} | keys
    return EspHomeConfig(type="esphome", **({"host": host, "interval_s": 0.5, "timeout_s": 2.0} | keys))


@asynccontextmanager
async def followed(fake: FakeEspHome, **keys: Any) -> AsyncIterator[Followed]:
    async with (
        fake.serve(),
        new_session() as session,
        following(EspHome(config(fake.host, **keys), session)) as heard,
    ):
        yield heard


async def publishing(fake: FakeEspHome, name: str, value: Any, unit: str = "W") -> None:
    while True:
        await fake.publish(name, value, unit)
        await asyncio.sleep(0.1)


async def until_followed(fake: FakeEspHome) -> None:
    await until(lambda: fake.followed)


# -- what is believed --------------------------------------------------------------------------------


@pytest.mark.parametrize("firmware", ["2023.6", "2026.1", "2026.8"])
@pytest.mark.parametrize("sensor", [GRID, "grid_power", "sensor-grid_power", "sensor/Grid Power"])
async def test_a_sensor_is_found_by_its_name_and_by_its_id(firmware: Firmware, sensor: str) -> None:
    fake = FakeEspHome(firmware)
    async with followed(fake, sensor=sensor) as heard:
        await until_followed(fake)
        await fake.publish("Grid Power Import", 1.0)
        await fake.publish(GRID, -71.34)
        await heard.reads(-71.34)
        await fake.publish(GRID, -71.34)
        await until(lambda: len(heard.readings) == 2)
    assert heard.powers_w == {-71.34}


async def test_what_the_stream_begins_with_is_of_unknown_age() -> None:
    fake = FakeEspHome()
    await fake.publish(GRID, 500.0)
    async with followed(fake) as heard:
        await heard.says(f"{GRID} has published nothing")
        assert not heard.readings
        await fake.publish(GRID, 500.0)
        await heard.reads(500.0)


async def test_a_sensor_that_is_silent_is_told_although_the_device_is_alive() -> None:
    fake = FakeEspHome(ping_s=0.1)
    async with followed(fake) as heard:
        await until_followed(fake)
        await fake.publish(GRID, 5.0)
        await heard.reads(5.0)
        error = await heard.says("has published nothing")
    assert isinstance(error, DeviceUnavailable)
    assert len(heard.readings) == 1
    assert len([path for path in fake.asked if path == "/events"]) == 1


@pytest.mark.parametrize(("value", "unit", "power_w"), [(1.25, "kW", 1250.0), (-0.5, "kW", -500.0), (3e-3, "MW", 3e3)])
async def test_the_unit_stands_in_the_state(value: float, unit: str, power_w: float) -> None:
    fake = FakeEspHome()
    async with followed(fake) as heard:
        await until_followed(fake)
        await fake.publish(GRID, value, unit)
        await heard.reads(power_w)


async def test_import_and_export_are_one_power_once_both_have_published() -> None:
    fake = FakeEspHome()
    async with followed(fake, import_sensor="Power Consumed", export_sensor="Power Produced") as heard:
        await until_followed(fake)
        await fake.publish("Power Consumed", 0.0, "kW")
        await fake.publish("Power Produced", 0.25, "kW")
        await heard.reads(-250.0)
        await fake.publish("Power Consumed", 0.5, "kW")
        await heard.says("Power Produced has published nothing")
        await fake.publish("Power Produced", 0.0, "kW")
        await heard.reads(500.0)
    assert heard.powers_w == {-250.0, 500.0}


async def test_a_device_that_says_nothing_at_all_is_left_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.meters.esphome.PING_S", 0.5)
    fake = FakeEspHome()
    async with followed(fake) as heard:
        await until_followed(fake)
        fake.mute = True
        await heard.says("has sent nothing for")
        fake.mute = False
        async with running(publishing(fake, GRID, 7.0)):
            await heard.reads(7.0)


async def test_a_stream_that_breaks_and_is_back_is_no_fault() -> None:
    fake = FakeEspHome()
    async with followed(fake, interval_s=30.0) as heard:
        await until_followed(fake)
        await fake.publish(GRID, 5.0)
        await heard.reads(5.0)
        fake.drop()
        await until(lambda: fake.asked.count("/events") == 2 and fake.followed)
        await fake.publish(GRID, 6.0)
        await fake.publish(GRID, 6.0)
        await heard.reads(6.0)
    assert not heard.errors


async def test_a_restart_is_outlived() -> None:
    fake = FakeEspHome()
    async with followed(fake) as heard, running(publishing(fake, GRID, 5.0)):
        await heard.reads(5.0)
        await fake.stop()
        heard.forget()
        await until(lambda: len(heard.errors) >= 2)
        assert all(isinstance(error, DeviceUnavailable) for error in heard.errors)
        await fake.start()
        await heard.reads(5.0)


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "W", "has no value (NA)"),
        (float("nan"), "W", "has no value (NA)"),
        ("on", "W", "has no value"),
        (5.0, "", "has no unit, and may be W or kW"),
        (5.0, "kWh", "is an energy (kWh)"),
        (5.0, "V", "is in V, which is no unit of power"),
        (5e6, "W", "no house connection"),
    ],
)
async def test_what_is_no_power_is_told_and_never_0(value: Any, unit: str, text: str) -> None:
    fake = FakeEspHome()
    async with followed(fake) as heard:
        await until_followed(fake)
        await fake.publish(GRID, value, unit)
        error = await heard.says(text)
        assert isinstance(error, DeviceDataError)
        assert GRID in str(error)
        assert not heard.readings
        await fake.publish(GRID, 42.0)
        await heard.reads(42.0)


async def test_a_sensor_that_is_not_there_is_missed_and_the_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.meters.esphome_states.LISTED_S", 1.0)
    fake = FakeEspHome()
    await fake.publish("Power total", 5.0)
    await fake.publish("Voltage", 230.0, "V")
    async with followed(fake) as heard:
        error = await heard.says("has no sensor Grid Power; it has Power total")
    assert isinstance(error, DeviceDataError)
    assert "Voltage" not in str(error)


# -- without the stream ------------------------------------------------------------------------------


@pytest.mark.parametrize("firmware", ["2023.6", "2026.1", "2026.8"])
async def test_it_is_asked_where_the_stream_is_refused(firmware: Firmware) -> None:
    fake = FakeEspHome(firmware)
    fake.stream = False
    await fake.publish(GRID, 1.5, "kW")
    async with followed(fake) as heard:
        await heard.reads(1500.0)
        await fake.publish(GRID, None)
        await heard.says("has no value")
        await fake.publish(GRID, -3.0)
        await heard.reads(-3.0)


async def test_a_name_that_is_not_found_is_told_in_both_forms() -> None:
    fake = FakeEspHome()
    fake.stream = False
    async with followed(fake) as heard:
        error = await heard.says("HTTP 404")
    assert "/sensor/Grid%20Power" in str(error)
    assert "/sensor/grid_power" in str(error)


# -- the login ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_a_basic_login_is_sent_where_it_is_asked_for(stream: bool) -> None:
    fake = FakeEspHome()
    fake.stream, fake.login = stream, ("me", PASSWORD)
    async with (
        followed(fake, username="me", password=PASSWORD) as heard,
        running(publishing(fake, GRID, 5.0)),
    ):
        await heard.reads(5.0)
    assert "Authorization" not in fake.headers[0]


class DigestEspHome(FakeEspHome):
    door = DigestDoor("me", PASSWORD, "MD5")

    def _refused(self, request: Any) -> Any:
        return self.door.refusal(request)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_digest_login_never_shows_the_password(stream: bool) -> None:
    fake = DigestEspHome()
    fake.stream = stream
    async with (
        followed(fake, username="me", password=PASSWORD) as heard,
        running(publishing(fake, GRID, 5.0)),
    ):
        await heard.reads(5.0)
    assert not [headers for headers in fake.headers if headers.get("Authorization", "").startswith("Basic")]


@pytest.mark.parametrize("keys", [{}, {"username": "me", "password": "CANARY-wrong"}])
async def test_a_login_that_is_refused_is_not_tried_again_at_once(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "AFTER_REFUSAL_S", 3600.0)
    fake = FakeEspHome()
    fake.login = ("me", PASSWORD)
    async with followed(fake, **keys) as heard:
        error = await heard.says("refuses the login")
        before = len(fake.asked)
        await asyncio.sleep(1.0)
        assert len(fake.asked) == before
    assert isinstance(error, DeviceAuthError)
    assert "CANARY" not in str(error)


# -- pure --------------------------------------------------------------------------------------------


def test_events_come_in_pieces_of_any_size() -> None:
    text = b"retry: 30000\r\nid: 1\r\nevent: ping\r\ndata: {}\r\n\r\n"
    text += b": comment\n\nevent: state\ndata: a\ndata: b\n\ndata:c\n\n"
    wanted = [Event("ping", "{}"), Event("state", "a\nb"), Event("message", "c")]
    for size in (1, 2, 7, len(text)):
        events = Events()
        assert [e for i in range(0, len(text), size) for e in events.feed(text[i : i + size])] == wanted


def test_an_event_without_end_is_given_up() -> None:
    def flood(events: Events, piece: bytes) -> None:
        for _ in range(1000):
            events.feed(piece)

    for piece in (b"x" * 1000, b"data: x\n" * 100):
        with pytest.raises(ValueError, match="an event of more than"):
            flood(Events(), piece)


def test_sensors_of_a_sub_device_are_told_apart() -> None:
    heard = Heard(config(sensor="Power").wanted, 0.0)
    assert heard.find({"name_id": "sensor/Garage/Power", "id": "sensor-power"}) is None
    assert heard.find({"name_id": "sensor/Power", "id": "sensor-power"}) == "Power"
    assert Heard(config(sensor="Garage/Power").wanted, 0.0).find({"id": "sensor/Garage/Power"}) == "Garage/Power"
    assert heard.find({"id": "text_sensor-power"}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.dictionaries(st.sampled_from(["id", "name_id", "value", "state", "name"]), inner, max_size=5),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["id", "name_id", "value", "state", "name"]), JSON))
def test_no_event_makes_the_parser_fail_but_with_a_sentence(document: dict[str, Any]) -> None:
    with suppress(DeviceDataError):
        Heard(config().wanted, 0.0).find(document)
        value_of(document, "it")


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "[" * 60_000])
def test_a_state_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(DeviceDataError):
        document_of(text)


@pytest.mark.parametrize(
    "keys",
    [
        {"sensor": None},
        {"sensor": ""},
        {"import_sensor": "a"},
        {"sensor": "a", "phase_sensors": ("b",)},
        {"phase_sensors": ("a", "a")},
        {"username": "a:b"},
    ],
)
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)
