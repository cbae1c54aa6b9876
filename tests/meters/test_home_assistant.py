"""Entities of a Home Assistant: what is believed and for how long, what is refused and how that is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.meters import base
from app.meters.home_assistant import HomeAssistant, HomeAssistantConfig
from app.meters.home_assistant_states import Entity, Talk, apply, state_of, value_of
from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable, Phase
from app.outbound import new_session
from tests.conftest import until
from tests.meters.fakes.home_assistant import TOKEN, FakeHomeAssistant
from tests.meters.followed import Followed, following

GRID, IN, OUT = "sensor.grid_power", "sensor.power_in", "sensor.power_out"


def config(url: str = "http://192.168.1.20:8123", **keys: Any) -> HomeAssistantConfig:
    if not {"import_entity", "export_entity", "phase_entities"} & set(keys):
        keys = {"entity": GRID} | keys
    return HomeAssistantConfig(type="home_assistant", **({"url": url, "token": TOKEN, "interval_s": 0.2} | keys))


@asynccontextmanager
async def followed(fake: FakeHomeAssistant, **keys: Any) -> AsyncIterator[Followed]:
    async with (
        fake.serve(),
        new_session() as session,
        following(HomeAssistant(config(fake.url, **keys), session)) as heard,
    ):
        yield heard


# -- what is believed --------------------------------------------------------------------------------


async def test_a_change_is_a_reading() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "321.5")
    async with followed(fake) as heard:
        await heard.reads(321.5)
        await fake.set(GRID, "-654.25")
        await heard.reads(-654.25)
    assert [command["type"] for command in fake.commands[:2]] == ["auth", "subscribe_entities"]
    assert fake.commands[1]["entity_ids"] == [GRID]
    assert not heard.errors


async def test_a_value_that_stands_still_is_one_of_now_for_as_long_as_it_answers() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await until(lambda: len(heard.readings) >= 5)
        moments = [reading.at_s for reading in heard.readings]
        assert moments == sorted(set(moments))
        fake.mute = True
        await heard.says("answers no ping")
        last = heard.readings[-1]
        assert all(reading.at_s <= last.at_s for reading in heard.readings)
    assert heard.powers_w == {5.0}
    assert not any(isinstance(one, type(last)) for one in heard.outcomes[heard.outcomes.index(heard.errors[0]) :])


async def test_silence_is_torn_down_and_it_comes_back() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        fake.mute = True
        await heard.says("answers no ping")
        fake.mute = False
        await fake.set(GRID, "6")
        await heard.reads(6.0)


async def test_a_connection_that_breaks_and_is_back_is_no_fault() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        fake.drop()
        await until(lambda: fake.asked.count("/api/websocket") == 2)
        await fake.set(GRID, "6")
        await heard.reads(6.0)
    assert not heard.errors


async def test_a_restart_is_outlived() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        await fake.stop()
        await until(lambda: len(heard.errors) >= 2)
        assert all(isinstance(error, DeviceUnavailable) for error in heard.errors)
        await fake.set(GRID, "7")
        await fake.start()
        await heard.reads(7.0)


@pytest.mark.parametrize(
    ("state", "unit", "power_w"), [("1.25", "kW", 1250.0), ("0.002", "MW", 2000.0), ("5e-1", "W", 0.5)]
)
async def test_the_unit_is_that_of_the_attributes(state: str, unit: str, power_w: float) -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, state, unit)
    async with followed(fake) as heard:
        await heard.reads(power_w)


async def test_a_unit_that_changes_is_followed() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "2", "kW")
    async with followed(fake) as heard:
        await heard.reads(2000.0)
        await fake.set(GRID, "2", "W")
        await heard.reads(2.0)
        await fake.set(GRID, "2", None)
        await heard.says("has no unit")
        await fake.set(GRID, "3", "W")
        await heard.reads(3.0)


async def test_phases_are_summed_and_shown() -> None:
    fake = FakeHomeAssistant()
    names = [f"sensor.l{number}" for number in (1, 2, 3)]
    for name, power in zip(names, ("100", "-30.5", "0.2"), strict=True):
        await fake.set(name, power, "kW" if power == "0.2" else "W")
    async with followed(fake, phase_entities=tuple(names)) as heard:
        reading = await heard.reads(269.5)
    assert reading.phases == (Phase(100.0), Phase(-30.5), Phase(200.0))


async def test_import_and_export_are_one_power_once_both_are_known() -> None:
    fake = FakeHomeAssistant()
    await fake.set(IN, "0")
    async with followed(fake, import_entity=IN, export_entity=OUT) as heard:
        await heard.says(f"{OUT} does not exist")
        assert not heard.readings
        await fake.set(OUT, "250")
        await heard.reads(-250.0)


async def test_import_and_export_are_never_of_two_instants() -> None:
    fake = FakeHomeAssistant()
    await fake.set(IN, "0")
    await fake.set(OUT, "300")
    async with followed(fake, import_entity=IN, export_entity=OUT, interval_s=30.0) as heard:
        await heard.reads(-300.0)
        await fake.set(IN, "500")  # and a moment later
        await asyncio.sleep(0.5)
        await fake.set(OUT, "0")
        await heard.reads(500.0)
    assert heard.powers_w == {-300.0, 500.0}


async def test_both_of_a_pair_may_flow_where_phases_are_not_netted() -> None:
    fake = FakeHomeAssistant()
    await fake.set(IN, "500")
    await fake.set(OUT, "300")
    async with followed(fake, import_entity=IN, export_entity=OUT) as heard:
        await heard.reads(200.0)
        await fake.set(IN, "400")
        await heard.reads(100.0)


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "unit", "text"),
    [
        ("unavailable", "W", f"{GRID} is unavailable: Home Assistant has lost the device"),
        ("unknown", "W", f"{GRID} is unknown"),
        ("on", "W", f"{GRID} is 'on', not a number"),
        ("", "W", f"{GRID} is '', not a number"),
        ("1_000", "W", f"{GRID} is '1_000'"),
        ("nan", "W", "not a number of watts"),
        ("inf", "W", "not a number of watts"),
        ("5000000", "W", "no house connection"),
        ("5", None, f"{GRID} has no unit"),
        ("5", "kWh", f"{GRID} is an energy (kWh)"),
        ("5", "A", f"{GRID} is in A, which is no unit of power"),
        ("5", "w", f"{GRID} is in w"),
    ],
)
async def test_what_is_no_power_is_told_and_never_0(state: str, unit: str | None, text: str) -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, state, unit)
    async with followed(fake) as heard:
        error = await heard.says(text)
        assert isinstance(error, DeviceDataError)
        assert not heard.readings
        await fake.set(GRID, "42")
        await heard.reads(42.0)


async def test_an_entity_that_is_removed_is_missed() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        await fake.remove(GRID)
        await heard.says(f"{GRID} does not exist in Home Assistant")
        last = len(heard.readings)
        await until(lambda: len(heard.errors) >= 3)
        assert len(heard.readings) == last


async def test_a_token_that_is_refused_is_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert base.AFTER_REFUSAL_S >= 60.0
    monkeypatch.setattr(base, "AFTER_REFUSAL_S", 3600.0)
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    fake.token = "another"
    async with followed(fake) as heard:
        error = await heard.says("refuses the token")
        await asyncio.sleep(1.0)
        assert len(fake.asked) == 1
    assert isinstance(error, DeviceAuthError)
    assert "meter.token" in str(error)
    assert TOKEN not in str(error)


async def test_what_is_too_old_is_not_believed_where_that_is_asked_for() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5", at_s=time.time() - 500.0)
    async with followed(fake, max_age_s=60.0) as heard:
        error = await heard.says(f"{GRID} has been the same for 5")
        assert isinstance(error, DeviceDataError)
        await fake.set(GRID, "6", at_s=time.time() - 300.0)  # its clock is wrong, and goes on all the same
        await heard.reads(6.0)


async def test_what_has_come_is_too_old_in_the_end() -> None:
    fake = FakeHomeAssistant()
    async with followed(fake, max_age_s=1.0) as heard:
        await until(lambda: fake.followed)
        await fake.set(GRID, "5")
        await heard.reads(5.0)
        await heard.says("has been the same for 1 s")
        await fake.set(GRID, "6")
        await heard.reads(6.0)


@pytest.mark.parametrize("text", ["[]", "null", "{", "[" * 50_000, '{"id":1,"type":"event","event":{"a":{"x":3}}}'])
async def test_a_message_that_is_none_ends_the_connection_with_a_sentence(text: str) -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        await fake.raw(text)
        await until(lambda: heard.errors)
        await fake.set(GRID, "6")
        await heard.reads(6.0)
    assert isinstance(heard.errors[0], DeviceDataError)


async def test_a_refused_subscription_is_told() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        await fake.raw('{"id":1,"type":"result","success":false,"error":{"code":"x","message":"Unknown command."}}')
        await heard.says("Unknown command")


# -- without a WebSocket -----------------------------------------------------------------------------


async def test_it_is_asked_where_there_is_no_websocket() -> None:
    fake = FakeHomeAssistant(base="/core")  # as the supervisor of add-ons has it
    fake.websocket = False
    await fake.set(GRID, "1.5", "kW")
    async with followed(fake) as heard:
        await heard.reads(1500.0)
        await fake.set(GRID, "unavailable")
        await heard.says("is unavailable")
        await fake.set(GRID, "-2")
        await heard.reads(-2.0)
        await fake.remove(GRID)
        await heard.says("does not exist")
    assert f"/core/api/states/{GRID}" in fake.asked


async def test_asking_is_refused_in_the_same_words() -> None:
    fake = FakeHomeAssistant()
    fake.websocket, fake.token = False, "another"
    async with followed(fake) as heard:
        assert isinstance(await heard.says("refuses the token (HTTP 401)"), DeviceAuthError)


async def test_asking_knows_ages_too() -> None:
    fake = FakeHomeAssistant()
    fake.websocket = False
    await fake.set(GRID, "5", at_s=time.time() - 500.0)
    async with followed(fake, max_age_s=60.0) as heard:
        await heard.says("has been the same for 5")
        await fake.set(GRID, "6", at_s=time.time() - 300.0)  # its clock is wrong, and goes on all the same
        await heard.reads(6.0)


# -- pure --------------------------------------------------------------------------------------------


def test_a_diff_keeps_what_it_does_not_tell() -> None:
    known = apply({}, {"a": {GRID: {"s": "5", "a": {"unit_of_measurement": "W"}, "lc": 10.0}}})
    assert known == {GRID: Entity("5", "W", 10.0)}
    known = apply(known, {"c": {GRID: {"+": {"lu": 11.0}}, "sensor.other": {"+": {"s": "1"}}}})
    assert known == {GRID: Entity("5", "W", 11.0)}
    known = apply(known, {"c": {GRID: {"+": {"s": "6", "lc": 12.0}, "-": {"a": ["icon"]}}}})
    assert known == {GRID: Entity("6", "W", 12.0)}
    assert apply(known, {"c": {GRID: {"-": {"a": ["unit_of_measurement"]}}}}) == {GRID: Entity("6", "", 12.0)}
    assert apply(known, {"r": [GRID]}) == {}
    assert known == {GRID: Entity("6", "W", 12.0)}


async def test_a_server_that_closes_at_the_login_is_told_each_time() -> None:
    fake = FakeHomeAssistant()
    await fake.set(GRID, "5")
    async with followed(fake) as heard:
        await heard.reads(5.0)
        fake.closing = True
        fake.drop()
        await until(lambda: len(heard.errors) >= 2)
        assert all("closed the connection" in str(error) for error in heard.errors)


def test_a_pair_waits_for_its_other_half_only_where_that_matters() -> None:
    talk = Talk(config(import_entity=IN, export_entity=OUT).wanted, 1.0, 0.0)
    states = {IN: Entity("0", "W"), OUT: Entity("300", "W")}
    talk.changed({}, states)
    assert talk.due_s == 0.0
    talk.due_s, talk.heard_s = float("inf"), 10.0
    talk.changed(states, states | {OUT: Entity("200", "W")})
    assert talk.due_s == 10.2
    talk.due_s = float("inf")
    talk.changed(states, states | {IN: Entity("5", "W")})
    assert talk.due_s == 11.0
    talk.changed(states, {IN: Entity("5", "W"), OUT: Entity("0", "W")})
    assert talk.due_s == 10.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "c", "r", "+", "-", "s", "lu", "lc", GRID, "state", "attributes", "last_updated"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_event_makes_the_parser_fail_but_with_a_sentence(document: object) -> None:
    for parse in (lambda: apply({GRID: Entity("5", "W", 1.0)}, document).values(), lambda: [state_of(document)]):
        with suppress(DeviceDataError):
            for entity in parse():
                value_of(GRID, entity)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"entity": None}, "give entity"),
        ({"import_entity": IN}, "together"),
        ({"entity": GRID, "import_entity": IN, "export_entity": OUT}, "give entity"),
        ({"import_entity": IN, "export_entity": IN}, "twice"),
        ({"entity": "grid power"}, "pattern"),
        ({"url": "192.168.1.20"}, "not a URL"),
        ({"token": ""}, "token"),
        ({"phase_entities": (GRID, IN, OUT, "sensor.x")}, "phase_entities"),
    ],
)
def test_a_section_that_cannot_work_is_refused(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        config(**keys)
