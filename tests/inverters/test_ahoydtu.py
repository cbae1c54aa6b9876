"""What the driver believes of AhoyDTU's messages, what it sends, and what it does not believe."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app import inverters
from app.access import Access
from app.broker import Address, Broker
from app.config import Config
from app.fields import BrokerConfig
from app.inverters.opendtu import OpenDtuConfig, OpenDtuInverterConfig
from app.simulator.models import MODELS
from tests.closed_loop import UTC_0
from tests.inverters.ahoy import AC, NAME, OTHER, PANEL, SERIAL, AhoyDesk, section
from tests.inverters.test_bad_input import GARBAGE, numbers, payloads

LIMIT = "ctrl/limit/0"


def two() -> AhoyDesk:
    return AhoyDesk((section(), section(OTHER, 1, max_watt=800)))


async def commanded(watts: float = 400.0, **keys: Any) -> AhoyDesk:
    """A desk whose driver has sent one limit."""
    desk = AhoyDesk(**keys)
    desk.burst()
    assert await desk.driver.set_limit(NAME, watts)
    return desk


# -- what comes in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_objects", [False, True], ids=["topics", "JSON"])
def test_a_live_burst_becomes_typed_state(as_objects: bool) -> None:
    desk = AhoyDesk()
    if as_objects:
        desk.hear(f"{NAME}/last_success", f"{UTC_0 + 99.5:.0f}")
        for channel, fields in ((1, PANEL), (0, AC)):
            values = {key: float(value) for key, value in fields.items()}
            desk.hear(f"{NAME}/ch{channel}", json.dumps({"ts": 1} | values))
        desk.hear(f"{NAME}/radio_stat", "{}")
    else:
        desk.burst()
    desk.hear(f"{NAME}/ch0/rssi", "-71")
    desk.hear(f"{NAME}/available", "2")
    state = desk.state
    assert (state.serial, state.name, state.reachable, state.producing, state.rssi_dbm) == (NAME, NAME, True, True, -71)
    ac = state.ac
    assert (ac.power_w, ac.voltage_v, ac.current_a, ac.frequency_hz) == (393.4, 231.2, 1.7, 50.02)
    assert (ac.power_factor, ac.reactive_power_var, ac.dc_power_w, ac.temperature_c) == (0.999, -4.2, 414.1, 41.3)
    assert (ac.efficiency_pct, ac.yield_day_wh, ac.yield_total_kwh) == (95.0, 1650.0, 3301.2)
    (panel,) = state.panels
    assert (panel.channel, panel.power_w, panel.voltage_v, panel.irradiation_pct) == (1, 103.9, 37.1, 25.98)
    assert state.power_at_s == pytest.approx(99.5, abs=1.0)
    assert state.data_seq == 1
    assert desk.driver.dropped == 0


def test_retained_copies_prove_nothing() -> None:
    desk = AhoyDesk()
    desk.hear("mqtt", "connected", retain=True)
    desk.hear(f"{NAME}/available", "2", retain=True)
    desk.hear(f"{NAME}/ack_pwr_limit", "600.0", retain=True)
    desk.hear(f"{NAME}/ch0/active_PowerLimit", "40", retain=True)
    desk.burst(retain=True)
    state = desk.state
    assert (state.power_at_s, state.ac.power_w, state.acked_w, state.acked_pct, state.data_seq) == (None,) * 4 + (0,)
    assert (state.reachable, state.producing, state.resets) == (True, None, 0), "AhoyDTU is there, and that is its word"
    assert desk.driver.gateway().seen_at_s is None


def test_the_end_of_a_burst_that_gets_lost_ends_it_all_the_same() -> None:
    desk = AhoyDesk()
    desk.burst(end=False)
    assert desk.state.data_seq == 0
    desk.now_s += 1.0
    assert desk.state.data_seq == 1
    desk.hear(f"{NAME}/radio_stat", "{}")
    assert desk.state.data_seq == 1


@pytest.mark.parametrize(
    ("status", "reachable", "producing"),
    [("0", False, False), ("1", True, False), ("2", True, True), ("3", True, False), ("4", False, False)],
)
def test_the_statuses_of_ahoydtu(status: str, reachable: bool, producing: bool) -> None:
    desk = AhoyDesk()
    desk.hear("mqtt", "connected", retain=True)
    desk.hear(f"{NAME}/available", status)
    assert (desk.state.reachable, desk.state.producing) == (reachable, producing)


def test_zeros_that_stand_for_an_inverter_that_is_heard_no_more_are_no_measurement() -> None:
    desk = AhoyDesk()
    desk.burst(last_success="1700000099")
    desk.now_s = 400.0
    zeros: dict[str, Any] = dict.fromkeys((*AC, *PANEL), "0")
    for last_success in ("1700000099", "0"):
        desk.burst(**(zeros | {"last_success": last_success}))
    state = desk.state
    assert (state.ac.power_w, state.ac.voltage_v, state.resets) == (393.4, 231.2, 0)
    assert state.power_at_s is not None
    assert state.power_at_s < 101.0
    desk.burst(**zeros)  # it has answered: it gives nothing indeed
    assert desk.state.ac.power_w == 0.0
    assert desk.state.producing is False


def test_an_inverter_that_falls_silent_is_away_before_ahoydtu_says_so() -> None:
    desk = AhoyDesk()
    desk.burst()
    desk.hear(f"{NAME}/available", "2")
    desk.now_s += 119.0
    assert desk.state.reachable is True
    desk.now_s += 2.0
    assert desk.state.reachable is False
    desk.burst()
    assert (desk.state.reachable, desk.state.resets) == (True, 1), "and what limit it has nobody knows"


def test_a_broker_that_was_away_is_no_silence_of_the_inverter() -> None:
    desk = AhoyDesk()
    desk.burst()
    desk.hear(f"{NAME}/available", "2")
    desk.disconnect()
    assert desk.state.reachable is None
    desk.now_s += 500.0
    desk.hear("mqtt", "connected", retain=True)
    assert desk.state.reachable is True


@pytest.mark.parametrize(
    ("topic", "payloads_"),
    [
        ("uptime", ["500", "3"]),
        ("mqtt", ["not connected", "connected"]),
        ("mqtt", ["connected"]),
        (f"{NAME}/available", ["4", "2"]),
        (f"{NAME}/ch0/YieldDay", ["1700", "0"]),
        (f"{NAME}/last_success", ["1700000150", "1700000300"]),
    ],
)
def test_whatever_may_have_lost_the_limit_counts_as_a_reset(topic: str, payloads_: list[str]) -> None:
    desk = AhoyDesk()
    desk.burst()
    for payload in payloads_:
        desk.hear(topic, payload)
    assert desk.state.resets == 1


def test_ahoydtu_away_or_silent() -> None:
    desk = AhoyDesk()
    gateway = desk.driver.gateway
    desk.now_s += 70.0
    assert gateway().fault is None, "it tells of itself once a minute"
    desk.now_s += 10.0
    assert "Nothing heard from AhoyDTU under inverter/" in (gateway().fault or "")
    desk.burst()
    assert gateway().fault is None
    desk.now_s += 151.0
    assert "AhoyDTU has been silent for 151 s" in (gateway().fault or "")
    desk.hear("mqtt", "not connected")
    assert "offline" in (gateway().fault or "")
    assert desk.state.reachable is False


def test_what_it_tells_of_itself() -> None:
    desk = AhoyDesk()
    for topic, value in (("uptime", "61"), ("wifi_rssi", "-61"), ("free_heap", "142336"), ("cpu_temp", "48.30")):
        desk.hear(topic, value)
    gateway = desk.driver.gateway()
    assert (gateway.name, gateway.online, gateway.uptime_s) == ("AhoyDTU", True, 61.0)
    assert (gateway.rssi_dbm, gateway.heap_free_b, gateway.temperature_c, gateway.data_seq) == (
        -61.0,
        142336.0,
        48.3,
        1,
    )


def test_the_part_number_tells_the_rated_power_for_every_model() -> None:
    for model in MODELS.values():
        desk = AhoyDesk()
        desk.hear(f"{NAME}/hardware", json.dumps({"part": model.part, "version": "256"}), retain=True)
        assert desk.state.rated_w == model.rated_w, model
    desk.hear(f"{NAME}/hardware", json.dumps({"part": 0xF1011010 - 2**32}))  # it prints a signed number
    assert desk.state.rated_w == 600.0
    desk.hear(f"{NAME}/hardware", json.dumps({"part": 124097}))
    assert desk.state.rated_w == 600.0


# -- what goes out, and what comes back ----------------------------------------------------------------


async def test_a_limit_goes_out_in_watts_to_the_number_within_the_range_and_never_retained() -> None:
    desk = AhoyDesk((section(OTHER, 7),))
    for limit_w in (432.16, 9999.0, 1.0):
        assert await desk.driver.set_limit(OTHER, limit_w)
    topic = "inverter/ctrl/limit/7"
    assert desk.sent == [(topic, "432.2W", False), (topic, "1500.0W", False), (topic, "45.0W", False)]
    assert (desk.state.commanded_w, desk.state.commanded_at_s) == (45.0, 100.0)
    assert desk.driver.will(OTHER, 1.0) == (topic, "45.0W"), "exactly what the same limit would be"
    assert await desk.driver.set_power(OTHER, on=False)
    assert desk.sent[-1] == ("inverter/ctrl/power/7", "0", False)
    assert (desk.state.power_on, desk.state.foreign, desk.state.resets) == (False, None, 0)
    with pytest.raises(ValueError, match="nan"):
        await desk.driver.set_limit(OTHER, math.nan)


@pytest.mark.parametrize("payload", ["400.0", "399.0", "true"], ids=["now", "before 0.8.39", "long ago"])
async def test_an_acknowledgement_is_that_of_our_limit(payload: str) -> None:
    desk = await commanded()
    assert desk.state.acked_at_s is None
    desk.now_s += 1.0
    desk.hear(f"{NAME}/ack_pwr_limit", payload)
    state = desk.state
    assert state.acked_w == pytest.approx(400.0, abs=1.0)
    assert (state.acked_at_s, state.foreign, state.resets) == (101.0, None, 0)
    desk.now_s += 15.0
    desk.burst()
    assert desk.state.acked_at_s == 116.0, "nothing else was acknowledged since"


async def test_the_read_back_tells_percent_and_outvotes_no_acknowledgement() -> None:
    desk = await commanded()
    desk.hear(f"{NAME}/ch0/active_PowerLimit", "26.6")
    assert (desk.state.acked_w, desk.state.acked_pct) == (None, 26.6)
    desk.hear(f"{NAME}/ack_pwr_limit", "400.0")
    desk.hear(f"{NAME}/active_PowerLimit", "100")  # new HMS firmware: the persistent one
    assert (desk.state.acked_w, desk.state.acked_pct) == (400.0, 100.0)


async def test_a_limit_set_on_ahoydtus_own_page_is_noticed_by_its_acknowledgement() -> None:
    desk = await commanded()
    desk.hear(f"{NAME}/ack_pwr_limit", "400.0")
    desk.now_s += 60.0
    desk.hear(f"{NAME}/ack_pwr_limit", "70.0")  # per cent or watts: nobody can tell
    state = desk.state
    assert (state.foreign, state.foreign_at_s, state.resets) == ("ack_pwr_limit: 70.0", 160.0, 1)
    assert state.acked_w is None


async def test_late_acknowledgements_of_earlier_limits_and_of_our_will_are_ours() -> None:
    desk = await commanded()
    desk.driver.will(NAME, 45.0)
    await desk.driver.set_limit(NAME, 300.0)
    for payload in ("400.0", "300.0", "45.0"):
        desk.hear(f"{NAME}/ack_pwr_limit", payload)
    assert desk.state.foreign is None
    assert desk.state.acked_w == 45.0


def test_an_inverter_that_we_do_not_command_is_everybodys() -> None:
    desk = AhoyDesk()
    desk.hear(LIMIT, "70")
    desk.hear(f"{NAME}/ack_pwr_limit", "70.0")
    assert (desk.state.foreign, desk.state.resets, desk.state.acked_w) == (None, 0, None)


@pytest.mark.parametrize(
    ("topic", "payload", "told"),
    [
        (LIMIT, "500W", "limit: 500W"),
        (LIMIT, "400.0", "limit: 400.0"),  # the same number, in percent
        ("ctrl/power/0", "0", "power: 0"),
        ("ctrl/restart/0", "1", "restart: 1"),
    ],
)
async def test_what_others_command_is_told_and_costs_the_limit(topic: str, payload: str, told: str) -> None:
    desk = await commanded()
    desk.hear(topic, payload)
    assert (desk.state.foreign, desk.state.resets) == (told, 1)


async def test_our_will_costs_the_limit_and_is_not_foreign() -> None:
    desk = await commanded()
    desk.driver.will(NAME, 45.0)
    desk.hear(LIMIT, "45.0W")
    assert (desk.state.foreign, desk.state.resets) == (None, 1)


async def test_a_retained_command_is_told_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """AhoyDTU obeys it again with every reconnection."""
    monkeypatch.setattr("app.inverters.hoymiles.retained.LOOK_S", 0.01)
    monkeypatch.setattr("app.inverters.hoymiles.retained.ANSWER_S", 0.01)
    desk = AhoyDesk()
    desk.hear(LIMIT, "100", retain=True)
    await desk.driver.set_limit(NAME, 400.0)
    assert desk.state.foreign == "limit: 100, retained"
    await asyncio.sleep(0.1)
    assert [sent for sent in desk.sent if sent[2]] == [(f"inverter/{LIMIT}", "", True)]
    assert desk.replayed == [f"inverter/{LIMIT}"]


async def test_a_limit_that_nobody_gets_is_missed() -> None:
    desk = await commanded(echoes=False)
    desk.now_s += 11.0
    assert desk.state.undelivered_since_s == 100.0
    desk = await commanded(echoes=False)
    desk.hear(f"{NAME}/ack_pwr_limit", "400.0")
    desk.now_s += 11.0
    assert desk.state.undelivered_since_s is None, "AhoyDTU has it"


# -- hostile input -------------------------------------------------------------------------------------

TOPICS = sorted(topic.removeprefix("inverter/") for topic in two().handlers)
WORDS = ("mqtt", "/available", "/radio_stat", "/hardware", "/ack_pwr_limit")
FIELDS = [topic for topic in TOPICS if not topic.startswith("ctrl/") and not topic.endswith(WORDS)]
documents = st.dictionaries(
    st.sampled_from([*AC, *PANEL, "part", "ts"]),
    st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=5), st.lists(st.integers())),
).map(lambda value: json.dumps(value).encode())
messages = st.lists(
    st.tuples(st.sampled_from(TOPICS), st.one_of(payloads, documents), st.booleans(), st.floats(0, 90)), max_size=40
)


@given(messages)
@settings(max_examples=150, deadline=None)
def test_nothing_that_arrives_breaks_anything_or_becomes_an_impossible_value(
    heard: list[tuple[str, bytes, bool, float]],
) -> None:
    desk = two()
    desk.burst()
    asyncio.run(desk.driver.set_limit(NAME, 400.0))
    for topic, payload, retain, wait_s in heard:
        desk.now_s += wait_s
        asyncio.run(said(desk, topic, payload, retain))
        states = desk.driver.states()
        assert all(math.isfinite(value) for value in numbers((states, desk.driver.gateway())))
        assert all(0.0 <= (state.ac.power_w or 0.0) <= 2.0 * state.max_w for state in states)
        assert all(state.power_at_s is None or state.power_at_s <= desk.now_s for state in states)
        assert all(
            state.foreign is None or (state.foreign.isprintable() and len(state.foreign) < 70) for state in states
        )


async def said(desk: AhoyDesk, topic: str, payload: bytes, retain: bool) -> None:
    desk.hear(topic, payload, retain=retain)


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("topic", FIELDS)
def test_each_bad_field_is_dropped_and_counted(topic: str, retain: bool) -> None:
    desk = two()
    desk.burst()
    desk.burst(OTHER)
    before = desk.driver.states(), desk.driver.gateway()
    bad = [payload for payload in GARBAGE if not (topic[-4:-1] == "/ch" and payload == b"{}")]
    for payload in bad:
        desk.hear(topic, payload, retain=retain)
    assert (desk.driver.states(), desk.driver.gateway()) == before
    assert desk.driver.dropped == len(bad)


def test_words_that_ahoydtu_does_not_use_change_nothing() -> None:
    desk = AhoyDesk()
    desk.burst()
    before = dataclasses.replace(desk.state)
    for topic in ("mqtt", f"{NAME}/available", f"{NAME}/ack_pwr_limit"):
        for payload in GARBAGE:
            desk.hear(topic, payload)
    dropped = 3 * len(GARBAGE) - 1  # "true" was an acknowledgement once
    assert desk.state == before
    assert desk.driver.dropped == dropped
    for topic in TOPICS:
        desk.hear(topic, b"")
    assert desk.driver.dropped == dropped, "a topic that was cleared is no bad input"


# -- configuration -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"name": ""}, "at least 1 character"),
        ({"name": "a/b"}, "cannot be a part of a topic"),
        ({"name": "#"}, "cannot be a part of a topic"),
        ({"name": "total"}, "topics of its own"),
        ({"id": -1}, "greater than or equal to 0"),
        ({"serial": "11xxxxxxxxxx"}, "placeholder"),
        ({"serial": "12"}, "not a serial number"),
        ({"min_watt": 2000}, "above max_watt"),
        ({"max_watt": 7000}, "less than or equal to 6553.5"),
        ({"typo": 1}, "Extra inputs"),
    ],
)
def test_an_inverter_that_cannot_be_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        section(**keys)


def config(*sections: dict[str, Any]) -> Config:
    return Config.model_validate({"meter": {"type": "shelly", "host": "10.0.0.9"}, "inverters": list(sections)})


def one(name: str = NAME, number: int = 0, **keys: Any) -> dict[str, Any]:
    return {"type": "ahoydtu", "name": name, "id": number, "max_watt": 600} | keys


def test_two_inverters_are_not_one() -> None:
    with pytest.raises(ValidationError, match="id 0 of the AhoyDTU inverter is there twice"):
        config(one(), one(OTHER))
    with pytest.raises(ValidationError, match="Roof"):
        config(one(serial=SERIAL), one(number=1))
    assert len(config(one(), one(OTHER, topic_prefix="barn")).inverters) == 2


def test_serial_and_minimum_are_those_of_hoymiles() -> None:
    with_serial = section(serial="138280400001")
    assert (with_serial.id, with_serial.three_phase, section().id, section().three_phase) == (
        "138280400001",
        True,
        NAME,
        False,
    )
    assert (section().floor_w, section(max_watt=400).floor_w, section(min_watt=33.31).floor_w) == (45.0, 20.0, 33.4)


def test_one_driver_for_all_behind_one_ahoydtu_each_with_a_radio_of_its_own() -> None:
    elsewhere = BrokerConfig(host="10.0.0.3")
    made: dict[BrokerConfig | None, Broker] = {}
    access = Access(
        cast(Any, None),
        lambda mqtt: made.setdefault(mqtt, Broker(Address.of(mqtt or BrokerConfig()), "x")),
        Path(),
    )
    drivers = inverters.build(
        [
            section(),
            OpenDtuInverterConfig(serial=SERIAL, max_watt=600),
            section(OTHER, 1, serial="116480400001"),
            section("Barn", 0, topic_prefix="barn"),
            section("Shed", 0, mqtt=elsewhere),
        ],
        OpenDtuConfig(),
        access,
    )
    assert [[state.name for state in driver.states()] for driver in drivers] == [
        [SERIAL],
        [NAME, OTHER],
        ["Barn"],
        ["Shed"],
    ]
    radios = [state.radio for driver in drivers for state in driver.states()]
    assert radios == ["nrf", "AhoyDTU nrf", "AhoyDTU cmt", "AhoyDTU barn nrf", "AhoyDTU at 10.0.0.3 nrf"]
    assert [driver.broker for driver in drivers] == [made[None]] * 3 + [made[elsewhere]]
    assert len({gateway.name for driver in drivers if (gateway := driver.gateway())}) == 4
