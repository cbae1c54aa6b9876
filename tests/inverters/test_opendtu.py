"""What the driver believes of OpenDTU's messages, and what it does not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.inverters.opendtu import OpenDtuInverterConfig
from tests.inverters.desk import OTHER, SERIAL, Desk


def test_a_live_burst_becomes_typed_state() -> None:
    desk = Desk()
    desk.burst()
    state = desk.state
    assert (state.name, state.reachable, state.producing, state.rssi_dbm) == ("Roof", True, True, -80.0)
    assert state.ac.power_w == 393.4
    assert state.ac.voltage_v == 231.2
    assert state.ac.current_a == 1.7
    assert state.ac.frequency_hz == 50.02
    assert state.ac.power_factor == 0.999
    assert state.ac.reactive_power_var == -4.2
    assert state.ac.dc_power_w == 414.1
    assert state.ac.temperature_c == 41.3
    assert state.ac.efficiency_pct == 95.0
    assert (state.ac.yield_day_wh, state.ac.yield_total_kwh) == (1650.0, 3301.204)
    assert (state.acked_w, state.acked_pct, state.rated_w) == (600.0, 40.0, 1500.0)
    (panel,) = state.panels
    assert (panel.channel, panel.power_w, panel.irradiation_pct, panel.yield_day_wh) == (1, 103.9, 25.98, 412.0)
    assert state.power_at_s == pytest.approx(99.5, abs=1.0)
    assert state.data_seq == 1


def test_retained_copies_prove_nothing() -> None:
    desk = Desk()
    desk.burst(retain=True)
    state = desk.state
    assert state.name == "Roof"
    assert state.power_at_s is None
    assert state.ac.power_w is None
    assert state.acked_w is None
    assert state.data_seq == 0
    assert state.reachable is None
    desk.hear("dtu/status", "online", retain=True)
    assert desk.state.reachable is True  # OpenDTU is there, and that is what it said last
    assert desk.driver.gateway().seen_at_s is None


def test_the_sample_is_dated_by_opendtus_own_clock_where_the_clocks_agree() -> None:
    desk = Desk()
    desk.burst(age_s=4.0)
    assert desk.state.power_at_s == pytest.approx(96.0, abs=1.0)
    desk.now_s = 110.0
    desk.burst(age_s=-500.0)  # its clock is minutes ahead: the arrival has to do
    assert desk.state.power_at_s == pytest.approx(110.0)


def test_zeros_published_for_an_unreachable_inverter_are_no_measurement() -> None:
    desk = Desk()
    desk.burst()
    desk.now_s = 120.0
    desk.burst(reachable="0", power="0.0")
    state = desk.state
    assert state.reachable is False
    assert state.ac.power_w == 393.4
    assert state.power_at_s is not None
    assert state.power_at_s < 101.0


@pytest.mark.parametrize("payload", ["nan", "inf", "", "abc", b"\xff\xfe", "1" * 50, "6553.5", "-5"])
def test_garbage_is_dropped_field_by_field(payload: str | bytes) -> None:
    desk = Desk()
    desk.burst()
    desk.hear(f"{SERIAL}/0/power", payload)
    desk.hear(f"{SERIAL}/0/temperature", "42.0")
    assert desk.state.ac.power_w == 393.4
    assert desk.state.ac.temperature_c == 42.0


@pytest.mark.parametrize(
    ("what", "topic", "payloads"),
    [
        ("DTU restart", "dtu/uptime", ["500", "3"]),
        ("DTU back", "dtu/status", ["offline", "online"]),
        ("DTU reconnected", "dtu/status", ["online"]),
        ("reachable again", f"{SERIAL}/status/reachable", ["0", "1"]),
        ("inverter restart", f"{SERIAL}/0/yieldday", ["1700", "0"]),
        ("long silence", f"{SERIAL}/status/last_update", ["1700000100", "1700000300"]),
    ],
)
def test_whatever_may_have_lost_the_limit_counts_as_a_reset(what: str, topic: str, payloads: list[str]) -> None:
    desk = Desk()
    desk.burst()
    assert desk.state.resets == 0
    for payload in payloads:
        desk.hear(topic, payload)
    assert desk.state.resets == 1, what


def test_an_offline_opendtu_makes_its_inverters_unreachable() -> None:
    desk = Desk()
    desk.burst()
    desk.hear("dtu/status", "offline")
    assert desk.state.reachable is False
    assert "offline" in (desk.driver.gateway().fault or "")


def test_without_the_broker_nothing_is_known_of_opendtu() -> None:
    desk = Desk()
    desk.burst()
    desk.disconnect()
    assert desk.state.reachable is None
    desk.hear("dtu/uptime", "130")
    assert desk.state.reachable is True


def test_a_silent_opendtu_is_noticed_although_it_is_still_connected() -> None:
    desk = Desk()
    desk.hear("dtu/status", "online", retain=True)
    assert desk.driver.gateway().fault is None
    desk.now_s += 16.0
    assert "Nothing heard" in (desk.driver.gateway().fault or "")
    desk.burst()
    assert desk.driver.gateway().fault is None
    desk.now_s += 31.0
    assert "silent for 31 s" in (desk.driver.gateway().fault or "")


async def test_while_opendtu_onbatterys_own_limiter_is_on_nothing_is_commanded() -> None:
    desk = Desk((SERIAL, OTHER))
    desk.burst()
    await desk.driver.set_limit(SERIAL, 400.0)
    assert desk.state.enabled
    desk.hear("powerlimiter/status/mode", "0")
    state, gateway = desk.state, desk.driver.gateway()
    assert (state.enabled, state.reachable, state.ac.power_w) == (False, True, 393.4), "read and shown"
    assert state.refused is not None
    assert "own power limiter is on" in state.refused
    assert (gateway.fault, state.note) == (state.refused, state.refused)
    assert "switch it off" in gateway.next_step
    desk.sent.clear()
    assert not await desk.driver.set_limit(SERIAL, 300.0)
    assert not await desk.driver.set_power(SERIAL, on=False)
    assert desk.sent == []
    before = desk.state.resets
    desk.hear("powerlimiter/status/mode", "1")
    assert (desk.state.enabled, desk.state.refused, desk.driver.gateway().fault) == (True, None, None)
    assert desk.state.resets == before + 1, "it has left limits of its own behind"
    assert await desk.driver.set_limit(SERIAL, 300.0)


@pytest.mark.parametrize(("mode", "refused"), [("0", True), ("1", False), ("2", True)])
def test_the_modes_of_its_limiter(mode: str, refused: bool) -> None:
    desk = Desk()
    desk.burst()
    desk.hear("powerlimiter/status/mode", mode, retain=True)
    assert (desk.state.refused is not None) is refused


def test_a_mode_that_is_not_repeated_is_a_leftover() -> None:
    """The limiter is disabled in its settings, or another firmware is installed: the broker still keeps the topic."""
    desk = Desk()
    desk.hear("powerlimiter/status/mode", "0", retain=True)
    for _ in range(2):
        desk.burst()
        assert desk.state.refused
    desk.burst()
    assert desk.state.refused is None
    desk.disconnect()
    desk.hear("powerlimiter/status/mode", "0", retain=True)
    desk.burst()
    assert desk.state.refused is None, "a copy of what is known to be over"
    for _ in range(10):
        desk.burst()
        desk.hear("powerlimiter/status/mode", "0")
        assert desk.state.refused


async def test_doctor_tells_that_its_limiter_is_on() -> None:
    desk = Desk()
    desk.burst()
    desk.hear("powerlimiter/status/mode", "0")
    first, second = await desk.driver.examine()
    assert (first.status, "own power limiter" in first.detail, "switch it off" in first.next_step) == (
        "fail",
        True,
        True,
    )
    assert second.status == "ok"


def test_an_inverter_that_the_configuration_disables_is_refused_by_nobody_else() -> None:
    desk = Desk(enabled=False)
    desk.burst()
    desk.hear("powerlimiter/status/mode", "0")
    assert (desk.state.enabled, desk.state.refused) == (False, None)


async def test_a_limit_goes_out_as_a_plain_decimal_within_the_range_and_never_retained() -> None:
    desk = Desk()
    for limit_w in (432.16, 9999.0, 1.0):
        assert await desk.driver.set_limit(SERIAL, limit_w)
    topic = f"solar/{SERIAL}/cmd/limit_nonpersistent_absolute"
    assert desk.sent == [(topic, "432.2", False), (topic, "1500.0", False), (topic, "45.0", False)]
    assert (desk.state.commanded_w, desk.state.commanded_at_s) == (45.0, 100.0)
    with pytest.raises(ValueError, match="nan"):
        await desk.driver.set_limit(SERIAL, float("nan"))


async def test_a_limit_that_did_not_leave_is_not_remembered_as_sent() -> None:
    desk = Desk(broker_says=False)
    assert not await desk.driver.set_limit(SERIAL, 300.0)
    assert desk.state.commanded_w is None


async def test_switching_is_one_digit_never_retained_and_remembered_until_a_restart() -> None:
    desk = Desk()
    desk.burst()
    before = desk.state
    assert before.power_on is None
    assert await desk.driver.set_power(SERIAL, on=False)
    after = desk.state
    assert (after.power_on, after.powered_at_s) == (False, 100.0)
    assert await desk.driver.set_power(SERIAL, on=True)
    topic = f"solar/{SERIAL}/cmd/power"
    assert desk.sent == [(topic, "0", False), (topic, "1", False)]
    assert await desk.driver.set_power(SERIAL, on=False)
    desk.hear(f"{SERIAL}/0/yieldday", "0")  # it has restarted: nobody knows
    assert desk.state.power_on is None


async def test_a_switch_that_did_not_leave_is_not_remembered() -> None:
    desk = Desk(broker_says=False)
    assert not await desk.driver.set_power(SERIAL, on=False)
    assert desk.state.power_on is None


def test_each_inverter_keeps_its_own_state() -> None:
    desk = Desk((SERIAL, OTHER))
    desk.burst(OTHER, power="80.0")
    first, second = desk.driver.states()
    assert first.ac.power_w is None
    assert second.ac.power_w == 80.0


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"serial": "11xxxxxxxxxx"}, "placeholder"),
        ({"serial": "1161"}, "12 digits"),
        ({"min_watt": 2000}, "above max_watt"),
        ({"max_watt": 0}, "greater than 0"),
        ({"max_watt": 7000}, "less than or equal to 6553.5"),
        ({"typo": 1}, "not permitted"),
    ],
)
def test_an_inverter_that_cannot_be_is_refused(keys: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        OpenDtuInverterConfig.model_validate({"serial": SERIAL, "max_watt": 1500} | keys)


def test_a_serial_without_quotes_is_understood() -> None:
    assert OpenDtuInverterConfig.model_validate({"serial": 116180400001, "max_watt": 600}).serial == SERIAL


@pytest.mark.parametrize(("max_w", "floor_w"), [(1500, 45.0), (400, 20.0), (15, 15.0)])
def test_the_default_minimum(max_w: float, floor_w: float) -> None:
    assert OpenDtuInverterConfig(serial=SERIAL, max_watt=max_w).floor_w == pytest.approx(floor_w)


@pytest.mark.parametrize("group", ["\u00b2", "\u0667", "9", "9" * 5000])
def test_a_channel_that_does_not_exist_is_ignored(group: str) -> None:
    """A retained one would otherwise break every connection, or fill the memory."""
    desk = Desk()
    desk.hear(f"{SERIAL}/{group}/name", "x", retain=True)
    desk.hear(f"{SERIAL}/{group}/power", "7")
    assert desk.state.panels == ()


def test_limits_have_one_decimal_and_so_has_their_range() -> None:
    inverter = OpenDtuInverterConfig(serial=SERIAL, max_watt=1333.37, min_watt=33.31)
    assert (inverter.floor_w, inverter.max_watt) == (33.4, 1333.3)
