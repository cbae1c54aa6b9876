"""Whose a command is, and whether ours come back."""

from __future__ import annotations

import asyncio

import pytest

from tests.inverters.desk import OTHER, SERIAL, Desk

LIMIT = f"{SERIAL}/cmd/limit_nonpersistent_absolute"


async def commanded(watts: float = 400.0, *, echoes: bool = True) -> Desk:
    """A desk whose driver has sent one limit."""
    desk = Desk(echoes=echoes)
    desk.burst()
    await desk.driver.set_limit(SERIAL, watts)
    return desk


async def test_our_own_commands_are_not_foreign_however_often_they_are_sent() -> None:
    desk = await commanded()
    for watts in (400.0, 400.0, 500.0, 400.0):
        desk.now_s += 3.0
        await desk.driver.set_limit(SERIAL, watts)
        await desk.driver.set_power(SERIAL, on=True)
    assert desk.state.foreign is None
    assert desk.state.resets == 0


async def test_a_message_that_is_delivered_twice_is_not_foreign() -> None:
    desk = await commanded()
    desk.hear(LIMIT, "400.0")
    assert desk.state.foreign is None
    assert desk.state.resets == 0


@pytest.mark.parametrize(
    ("command", "payload", "told"),
    [
        ("limit_nonpersistent_absolute", "500", "limit_nonpersistent_absolute: 500"),
        ("limit_nonpersistent_relative", "100", "limit_nonpersistent_relative: 100"),
        ("limit_persistent_absolute", "1500", "limit_persistent_absolute: 1500"),
        ("limit_persistent_relative", "nan", "limit_persistent_relative: nan"),
        ("power", "0", "power: 0"),
        ("restart", "1", "restart: 1"),
        ("power", b"\x00\x1b[31m\n" + b"x" * 9000, "power: [31m"),
    ],
)
async def test_what_others_command_is_told_and_costs_the_limit(command: str, payload: str | bytes, told: str) -> None:
    desk = await commanded()
    desk.now_s = 200.0
    desk.hear(f"{SERIAL}/cmd/{command}", payload)
    state = desk.state
    assert state.foreign is not None
    assert state.foreign.startswith(told)
    assert len(state.foreign) <= len(command) + 42
    assert state.foreign.isprintable()
    assert (state.foreign_at_s, state.resets) == (200.0, 1)


async def test_our_own_value_from_somebody_else_is_foreign_too() -> None:
    desk = await commanded()
    desk.now_s += 5.0
    desk.hear(LIMIT, "400.0")
    assert desk.state.foreign == "limit_nonpersistent_absolute: 400.0"


async def test_an_old_value_of_ours_is_not_ours_for_ever() -> None:
    desk = Desk(echoes=False)  # as if it were lost on the way back
    await desk.driver.set_limit(SERIAL, 400.0)
    desk.now_s += 60.0
    desk.hear(LIMIT, "400.0")
    assert desk.state.foreign is not None


async def test_an_inverter_that_we_do_not_command_is_everybodys() -> None:
    """In a dry run, while the doctor looks, and before the first command."""
    desk = Desk((SERIAL, OTHER))
    await desk.driver.set_limit(OTHER, 400.0)
    desk.hear(LIMIT, "500")
    desk.hear(LIMIT, "500", retain=True)
    await asyncio.sleep(0)
    assert desk.state.foreign is None
    assert desk.state.resets == 0
    assert [topic for topic, payload, retain in desk.sent if retain] == []


async def test_our_will_costs_the_limit_and_is_not_foreign() -> None:
    desk = await commanded()
    topic, payload = desk.driver.will(SERIAL, 45.0)
    assert (topic, payload) == (f"solar/{LIMIT}", "45.0")
    desk.hear(LIMIT, payload)
    assert desk.state.foreign is None
    assert desk.state.resets == 1


@pytest.mark.parametrize(("watts", "payload"), [(45.0, "45.0"), (0.0, "45.0"), (99_999.0, "1500.0"), (432.16, "432.2")])
async def test_a_will_is_exactly_what_the_same_limit_would_be(watts: float, payload: str) -> None:
    desk = await commanded(watts)
    assert desk.driver.will(SERIAL, watts) == desk.sent[-1][:2] == (f"solar/{LIMIT}", payload)
    with pytest.raises(ValueError, match="inf"):
        desk.driver.will(SERIAL, float("inf"))


async def test_a_limit_that_comes_out_of_a_frozen_broker_minutes_later_costs_the_limit() -> None:
    """Nobody had reckoned with it any more: the limit in force is not the one that was sent since."""
    desk = Desk(broker_says=False)
    assert not await desk.driver.set_limit(SERIAL, 900.0)
    desk.broker_says = True
    desk.now_s += 120.0
    assert await desk.driver.set_limit(SERIAL, 300.0)
    assert desk.state.resets == 0
    desk.hear(LIMIT, "900.0")
    assert desk.state.foreign is None
    assert desk.state.resets == 1


async def test_two_limits_in_quick_succession_come_back_in_order() -> None:
    desk = Desk(echoes=False)
    await desk.driver.set_limit(SERIAL, 400.0)
    await desk.driver.set_limit(SERIAL, 300.0)
    desk.hear(LIMIT, "400.0")
    desk.hear(LIMIT, "300.0")
    assert desk.state.resets == 0
    assert desk.state.foreign is None


async def test_a_will_may_have_fired_while_we_were_away() -> None:
    desk = Desk((SERIAL, OTHER))
    await desk.connect()
    await desk.driver.set_limit(SERIAL, 400.0)
    desk.disconnect()
    await desk.connect()
    assert [state.resets for state in desk.driver.states()] == [1, 0], "the other one was never commanded"


# -- what the broker keeps -----------------------------------------------------------------------------


async def test_a_retained_command_is_told_removed_and_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.inverters.hoymiles.retained.LOOK_S", 0.01)
    monkeypatch.setattr("app.inverters.hoymiles.retained.ANSWER_S", 0.01)
    desk = Desk()
    desk.hear(f"{SERIAL}/cmd/limit_persistent_relative", "100", retain=True)  # before our first command
    await desk.driver.set_limit(SERIAL, 400.0)
    assert desk.state.foreign == "limit_persistent_relative: 100, retained"
    await asyncio.sleep(0.1)
    cleared = (f"solar/{SERIAL}/cmd/limit_persistent_relative", "", True)
    assert [sent for sent in desk.sent if sent[2]] == [cleared]
    assert desk.replayed == [f"solar/{SERIAL}/cmd/limit_persistent_relative"]


async def test_one_that_the_broker_does_not_let_us_remove_stays_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.inverters.hoymiles.retained.LOOK_S", 0.01)
    monkeypatch.setattr("app.inverters.hoymiles.retained.ANSWER_S", 0.01)
    desk = await commanded()
    topic = f"{SERIAL}/cmd/power"

    async def replay(_topic: str) -> None:
        desk.now_s += 16.0
        if len(desk.replayed) < 3:
            desk.replayed.append(_topic)
            desk.hear(topic, "0", retain=True)

    desk.__dict__["replay"] = replay
    desk.echoes = False  # it acknowledges the clearing, and does not do it
    desk.hear(topic, "0", retain=True)
    await asyncio.sleep(0.2)
    assert desk.state.foreign == "power: 0, retained"
    assert desk.state.foreign_at_s is not None
    assert desk.state.foreign_at_s >= 148.0, "told again with every look"
    assert desk.state.resets == 1, "and the limit lost once"


async def test_a_live_foreign_command_is_looked_for_at_the_broker_once_in_a_while() -> None:
    desk = await commanded()
    for _ in range(50):
        desk.hear(LIMIT, "900")
        await asyncio.sleep(0)
    assert desk.replayed == [f"solar/{LIMIT}"]
    assert desk.state.resets == 50


async def test_clearing_a_topic_is_no_command() -> None:
    desk = await commanded()
    desk.hear(LIMIT, "")
    assert desk.state.foreign is None
    assert desk.state.resets == 0


# -- does it arrive at all? ----------------------------------------------------------------------------


async def test_a_limit_that_others_of_ours_came_back_before_is_missed_after_3_s() -> None:
    desk = await commanded()
    desk.echoes = False
    desk.now_s = 150.0
    await desk.driver.set_limit(SERIAL, 300.0)
    desk.now_s = 152.9
    assert desk.state.undelivered_since_s is None
    desk.now_s = 153.1
    assert desk.state.undelivered_since_s == 150.0
    desk.now_s = 160.0
    await desk.driver.set_limit(SERIAL, 310.0)
    assert desk.state.undelivered_since_s == 150.0, "the next one is no better"
    desk.echoes = True
    await desk.driver.set_limit(SERIAL, 320.0)
    assert desk.state.undelivered_since_s is None


async def test_where_none_ever_came_back_opendtu_gets_the_time_to_show_it() -> None:
    desk = await commanded(echoes=False)
    desk.now_s += 10.0
    assert desk.state.undelivered_since_s is None
    desk.now_s += 1.0
    assert desk.state.undelivered_since_s == 100.0


async def test_where_opendtu_shows_what_we_do_not_hear_we_are_deaf_and_nothing_is_wrong() -> None:
    desk = await commanded(echoes=False)
    desk.now_s += 5.0
    desk.burst(limit_absolute="400.00", limit_relative="26.60")
    for watts in (500.0, 450.0):
        desk.now_s += 60.0
        await desk.driver.set_limit(SERIAL, watts)
        desk.now_s += 60.0
        assert desk.state.undelivered_since_s is None


async def test_a_limit_that_was_shown_before_it_was_sent_proves_nothing() -> None:
    """The fail-safe limit of the run before is still in force, and our first command is the same."""
    desk = await commanded(600.0, echoes=False)
    desk.now_s += 5.0
    desk.burst()
    desk.now_s += 20.0
    assert desk.state.undelivered_since_s is None, "it has what it should have"
    await desk.driver.set_limit(SERIAL, 500.0)
    desk.now_s += 11.0
    assert desk.state.undelivered_since_s is not None


async def test_nothing_is_judged_across_a_reconnect_or_when_it_did_not_leave() -> None:
    desk = await commanded(echoes=False)
    desk.disconnect()
    desk.now_s += 100.0
    assert desk.state.undelivered_since_s is None
    desk.broker_says = False
    assert not await desk.driver.set_limit(SERIAL, 300.0)
    desk.now_s += 100.0
    assert desk.state.undelivered_since_s is None


async def test_nothing_leaves_before_we_are_subscribed() -> None:
    desk = Desk(connected=False)
    assert not await desk.driver.set_limit(SERIAL, 300.0)
    assert not await desk.driver.set_power(SERIAL, on=True)
    assert desk.sent == []


def test_what_is_guarded_is_told() -> None:
    desk = Desk((SERIAL, OTHER))
    assert [state.guarded for state in desk.driver.states(frozenset({OTHER}))] == [False, True]
