"""Whatever arrives on the topics that we listen to: dropped field by field, counted, and never an exception."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inverters.desk import OTHER, SERIAL, Desk

TOPICS = sorted(topic.removeprefix("solar/") for topic in Desk((SERIAL, OTHER)).handlers)
NUMBERS = [topic for topic in TOPICS if "/cmd/" not in topic and not topic.endswith(("name", "mode", "dtu/status"))]
GARBAGE = [
    b"\x00\xff\xfe\x80", b"nan", b"-nan", b"inf", b"-Infinity", b"1e999", b"-1e999", b"1e300", b"9" * 400, b"1_0",
    b"0x10", b"{}", b"[" * 5000, b"true", "½ 🛑".encode(), b"1,5", b"--1", b"1 2", b"x" * 200_000, b"\n\r\x1b[2J", b".",
]  # fmt: skip
payloads = st.one_of(
    st.sampled_from(GARBAGE),
    st.binary(max_size=60),
    st.floats().map(lambda value: repr(value).encode()),
    st.integers().map(lambda value: str(value).encode()),
    st.text(max_size=40).map(lambda value: value.encode("utf-8", errors="replace")),
)
messages = st.lists(st.tuples(st.sampled_from(TOPICS), payloads, st.booleans(), st.floats(0, 90)), max_size=40)


def numbers(thing: Any) -> Iterator[float]:
    """Every number in a state."""
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield from numbers(getattr(thing, field.name))
    elif isinstance(thing, tuple):
        for item in thing:
            yield from numbers(item)
    elif isinstance(thing, float):
        yield thing


@given(messages)
@settings(max_examples=300, deadline=None)
def test_nothing_that_arrives_breaks_anything_or_becomes_an_impossible_value(
    heard: list[tuple[str, bytes, bool, float]],
) -> None:
    desk = Desk((SERIAL, OTHER))
    desk.burst()
    for topic, payload, retain, wait_s in heard:
        desk.now_s += wait_s
        desk.hear(topic, payload, retain=retain)
        states = desk.driver.states()
        assert all(math.isfinite(value) for value in numbers((states, desk.driver.gateway())))
        assert all(0.0 <= (state.ac.power_w or 0.0) <= 2.0 * state.max_w for state in states)
        assert all(
            panel.power_w is None or 0.0 <= panel.power_w <= 3000.0 for state in states for panel in state.panels
        )
        assert all(state.name.isprintable() and len(state.name) <= 60 for state in states)
        assert all(state.power_at_s is None or state.power_at_s <= desk.now_s for state in states)


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("topic", NUMBERS)
def test_each_bad_field_is_dropped_and_counted(topic: str, retain: bool) -> None:
    desk = Desk((SERIAL, OTHER))
    desk.burst()
    desk.burst(OTHER)
    before = dataclasses.replace(desk.state, data_seq=0), desk.driver.gateway()
    for payload in GARBAGE:
        desk.hear(topic, payload, retain=retain)
    assert (dataclasses.replace(desk.state, data_seq=0), desk.driver.gateway()) == before
    assert desk.driver.dropped == len(GARBAGE)


@pytest.mark.parametrize("topic", ["dtu/status", "powerlimiter/status/mode"])
def test_words_that_opendtu_does_not_use_change_nothing(topic: str) -> None:
    desk = Desk()
    desk.burst()
    for payload in GARBAGE:
        desk.hear(topic, payload)
    assert desk.driver.gateway().online is True
    assert desk.driver.gateway().fault is None
    assert desk.driver.dropped == len(GARBAGE)


def test_a_topic_that_was_cleared_is_no_bad_input() -> None:
    desk = Desk((SERIAL, OTHER))
    for topic in TOPICS:
        desk.hear(topic, b"")
    assert desk.driver.dropped == 0


def test_a_flood_of_garbage_is_a_handful_of_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk()
    desk.burst()
    for number in range(3000):
        desk.hear(f"{SERIAL}/0/power", f"garbage {number}")
        desk.hear("dtu/uptime", str(5000 - number))  # each a restart, so it seems
        desk.hear(f"{SERIAL}/status/last_update", str(100_000 * number))
    assert desk.driver.dropped == 3000
    assert len(caplog.records) <= 5
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_only_known_topics_are_asked_for() -> None:
    """What others publish beside them costs the broker something, and us nothing."""
    assert len(TOPICS) == 2 * (2 + 5 + 11 + 6 * 7 + 6) + 6
    assert len(TOPICS) == len(set(TOPICS))
