"""OpenDTU's inner workings, in virtual time."""

from __future__ import annotations

import pytest

from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.link import Link
from app.simulator.parameters import DtuConfig, InverterConfig, SunConfig
from app.simulator.payload import parse_number

ABSOLUTE = "limit_nonpersistent_absolute"
RELATIVE = "limit_nonpersistent_relative"


def home(*inverters: InverterConfig, loss: float = 0.0, poll_interval_s: float = 5.0) -> House:
    dtu = DtuConfig(loss=loss, poll_interval_s=poll_interval_s)
    return House(HouseConfig(dtu=dtu, sun=SunConfig(clouds=False), inverters=inverters or fleet(1)))


def settled(house: House) -> list[Link]:
    """Run until every inverter has told its part number."""
    while not all(link.info_known for link in house.dtu.links.values()):
        house.step()
    house.run(3.0)
    return list(house.dtu.links.values())


def until_shown(house: House, link: Link, percent: float) -> float:
    """Seconds until the echo shows it."""
    begin_s = house.now_s
    while link.limit_pct != percent:
        house.step()
        assert house.now_s - begin_s < 60.0
    return house.now_s - begin_s


def test_the_inverter_has_the_limit_long_before_the_echo_shows_it() -> None:
    house = home()
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(1.8)
    assert house.inverters[0].limit_w == 300.0
    assert link.limit_pct is None
    assert until_shown(house, link, 20.0) == pytest.approx(0.3, abs=0.2)


def test_every_limit_holds_the_radio_for_two_seconds_so_the_third_inverter_waits_its_turn() -> None:
    house = home(*(InverterConfig(serial=f"11618040000{n}") for n in range(3)), poll_interval_s=60.0)
    links = settled(house)
    for link in links:
        house.dtu.receive(link.serial, RELATIVE, "50")
    house.run(4.0)
    assert [link.limit_pct == 50.0 for link in links] == [True, False, False]
    house.run(2.3)
    assert all(link.limit_pct == 50.0 for link in links)


def test_the_two_radios_work_side_by_side() -> None:
    house = home(
        InverterConfig(serial="116180400001"),
        InverterConfig(serial="116480400002", model="HMS-2000-4T"),
        poll_interval_s=60.0,
    )
    links = settled(house)
    for link in links:
        house.dtu.receive(link.serial, RELATIVE, "50")
    house.run(2.3)
    assert all(link.limit_pct == 50.0 for link in links)


def test_a_newer_limit_replaces_the_waiting_one_but_not_the_one_in_the_air() -> None:
    house = home()
    link = settled(house)[0]
    seen = set()
    for watts in ("300", "600", "900", "450"):
        house.dtu.receive(link.serial, ABSOLUTE, watts)
        house.step()
    for _ in range(100):
        house.step()
        seen.add(link.limit_pct)
    assert seen == {None, 20.0, 30.0}


@pytest.mark.parametrize(("watts", "shown"), [("333", 22.2), ("334.4", 22.2), ("1500", 100.0), ("1.4", 0.0)])
def test_the_echo_is_cut_to_a_tenth_of_a_percent(watts: str, shown: float) -> None:
    house = home()
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, watts)
    until_shown(house, link, shown)


def test_a_limit_in_watts_before_the_model_is_known_shows_zero() -> None:
    house = home()
    link = house.dtu.links["116180400001"]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(3.0)
    assert (link.limit_pct, link.info_known) == (0.0, False)
    assert house.inverters[0].limit_w == 300.0


def test_a_box_that_has_been_up_knows_its_inverters_from_the_start() -> None:
    house = House(HouseConfig(dtu=DtuConfig(up_since_s=3600.0)))
    link = house.dtu.links["116180400001"]
    assert (link.info_known, link.limit_pct, house.dtu.uptime_s) == (True, 100.0, 3600.0)
    house.dtu.reboot()
    house.run(6.2)
    assert house.dtu.links["116180400001"].limit_pct is None
    assert house.dtu.uptime_s < 1.0


def test_the_true_limit_is_read_only_four_minutes_after_the_last_command() -> None:
    house = home()
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    until_shown(house, link, 20.0)
    house.inverters[0].reset(house.now_s, offline_s=0.0)
    house.run(230.0)
    assert link.limit_pct == 20.0, "still the echo, although the inverter has forgotten"
    house.run(20.0)
    assert link.limit_pct == 100.0


def test_inverters_are_polled_one_per_interval() -> None:
    house = home(*fleet(3))
    settled(house)
    polls = {link.serial: link.data_seq for link in house.dtu.links.values()}
    house.run(30.0)
    assert [link.data_seq - polls[link.serial] for link in house.dtu.links.values()] == [2, 2, 2]


def test_unreachable_shows_after_the_third_failed_poll_and_the_old_power_stays() -> None:
    house = home()
    link = settled(house)[0]
    house.inverters[0].reachable = False
    house.run(10.0)
    assert link.reachable
    house.run(10.0)
    assert not link.reachable
    assert link.producing
    house.inverters[0].reachable = True
    house.run(6.0)
    assert link.reachable


def test_a_limit_nobody_hears_takes_ten_seconds_to_fail_and_is_sent_again_at_a_later_poll() -> None:
    house = home()
    link = settled(house)[0]
    house.inverters[0].reachable = False
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(9.0)
    assert not link.refused
    house.run(60.0)
    house.inverters[0].reachable = True
    house.run(30.0)
    assert house.inverters[0].limit_w == 300.0
    assert link.limit_pct == 20.0


def test_a_busy_radio_delays_the_publication() -> None:
    house = home(poll_interval_s=60.0)
    link = settled(house)[0]
    published = house.dtu.published
    while house.dtu.published == published:
        house.step()
    house.run(4.5)
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(1.5)
    assert house.dtu.published == published + 1
    house.run(0.7)
    assert house.dtu.published == published + 2
    assert link.limit_pct == 20.0


def test_losses_are_made_up_for_by_sending_again() -> None:
    house = home(loss=0.3)
    link = settled(house)[0]
    took = []
    for number in range(40):
        percent = 30.0 + number
        house.dtu.receive(link.serial, RELATIVE, f"{percent:.1f}")
        took.append(until_shown(house, link, percent))
    assert min(took) < 2.5
    assert max(took) > 4.0
    assert house.inverters[0].limit_w == pytest.approx(0.69 * 1500.0)


def test_a_reboot_forgets_the_limit_and_the_counters() -> None:
    house = home()
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    until_shown(house, link, 20.0)
    house.dtu.reboot()
    house.run(10.0)
    fresh = house.dtu.links[link.serial]
    assert (fresh.limit_pct, fresh.reachable, fresh.counters.tx_request) == (None, True, 1)
    assert house.dtu.uptime_s == pytest.approx(4.0, abs=0.2)
    assert house.inverters[0].limit_w == 300.0, "the inverter does not notice"


def test_ignored_and_dropped_commands_have_no_effect_and_only_one_of_them_is_acknowledged() -> None:
    house = home()
    link = settled(house)[0]
    house.inverters[0].ignores_limit = True
    house.dtu.receive(link.serial, RELATIVE, "20")
    house.run(5.0)
    house.dtu.drop_commands = True
    house.dtu.receive(link.serial, RELATIVE, "30")
    house.run(5.0)
    assert (house.inverters[0].limit_w, link.limit_pct) == (1500.0, 20.0)
    assert [order.payload for order in house.dtu.received] == ["20", "30"]


def test_a_hung_main_loop_stands_still() -> None:
    house = home()
    settled(house)
    house.dtu.hung = True
    published = house.dtu.published
    house.run(30.0)
    assert house.dtu.published == published


@pytest.mark.parametrize(
    ("payload", "number"),
    [
        ("50", 50.0),
        ("50.5", 50.5),
        (" 50", 50.0),
        ("+7", 7.0),
        ("1e2", 100.0),
        ("0x32", 50.0),
        ("50W", 50.0),
        ("50,5", 50.0),
        ("-5", -5.0),
        ("", None),
        ("abc", None),
        ('"50"', None),
        ('{"a":1}', None),
    ],
)
def test_numbers_are_read_as_the_firmware_reads_them(payload: str, number: float | None) -> None:
    assert parse_number(payload) == number


@pytest.mark.parametrize(
    ("command", "payload", "limit_w"),
    [
        (RELATIVE, "nan", 1500.0),
        (RELATIVE, "130", 1500.0),
        (ABSOLUTE, "-5", 1500.0),  # wraps to 6548.6 W: no limit at all
        (ABSOLUTE, "50,5", 50.0),
        ("limit_persistent_relative", "40", 600.0),
    ],
)
def test_odd_limits_do_what_they_do_on_the_device(command: str, payload: str, limit_w: float) -> None:
    house = home(InverterConfig(static_error=False))
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(5.0)
    house.dtu.receive(link.serial, command, payload)
    house.run(5.0)
    assert house.inverters[0].limit_w == pytest.approx(limit_w, abs=0.8)


def test_a_number_out_of_range_restarts_the_dtu() -> None:
    house = home()
    settled(house)
    house.dtu.receive("116180400001", ABSOLUTE, "1e99")
    assert house.dtu.reboots == 1


def test_replayed_limits_are_ignored_and_replayed_power_and_persistent_limits_are_not() -> None:
    house = home()
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300", retained=True)
    house.run(4.0)
    assert house.inverters[0].limit_w == 1500.0
    house.dtu.receive(link.serial, "limit_persistent_absolute", "600", retained=True)
    house.dtu.receive(link.serial, "power", "0", retained=True)
    house.run(9.0)
    assert house.inverters[0].limit_w == 600.0
    assert house.inverters[0].power_w == 0.0


def test_a_restart_command_resets_the_inverter() -> None:
    house = home()
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(5.0)
    house.dtu.receive(link.serial, "restart", "1")
    house.run(5.0)
    assert (house.inverters[0].limit_w, house.inverters[0].power_w) == (1500.0, 0.0)


def test_what_it_reads_is_dated_by_the_poll_though_it_is_older() -> None:
    house = home(InverterConfig(stats_lag_s=(2.5, 2.5), dead_time_s=0.0, static_error=False), poll_interval_s=3.0)
    link = settled(house)[0]
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    while house.inverters[0].power_w > 300.1:
        house.step()
    obeyed_s, polls = house.now_s, link.data_seq
    while link.data_seq == polls:
        house.step()
    assert link.data is not None
    assert link.data.at_s > obeyed_s
    assert link.data.power_w > 1000.0, "it had been obeying for a while when it was asked"
    house.run(5.0)
    assert link.data.power_w == pytest.approx(300.0, rel=0.01)


def test_a_frame_that_is_sent_again_is_no_repeated_limit() -> None:
    house = home(InverterConfig(mute_chance=1.0), loss=0.3)
    link = settled(house)[0]
    for number in range(60):
        house.dtu.receive(link.serial, RELATIVE, f"{20 + number}")
        until_shown(house, link, 20.0 + number)
    assert house.inverters[0].muted_until_s < 0.0
    house.dtu.receive(link.serial, RELATIVE, "79")
    house.run(30.0)
    assert not house.inverters[0].answers


def test_a_muted_inverter_becomes_unreachable_and_comes_back() -> None:
    house = home(InverterConfig())
    link = settled(house)[0]
    house.inverters[0].muted_until_s = house.now_s + 900.0
    house.run(30.0)
    assert not link.reachable
    house.dtu.receive(link.serial, ABSOLUTE, "300")
    house.run(860.0)
    assert house.inverters[0].limit_w == 1500.0
    house.run(60.0)
    assert (link.reachable, house.inverters[0].limit_w) == (True, 300.0)


def test_limits_are_counted_by_the_time_that_they_hold_the_radio() -> None:
    house = home()
    link = settled(house)[0]
    for number in range(5):
        house.dtu.receive(link.serial, RELATIVE, f"{50 + number}")
        house.run(5.0)
    assert house.dtu.limit_busy_s == pytest.approx(10.0)
    assert link.acked is link.requested
    house.inverters[0].reachable = False
    house.dtu.receive(link.serial, RELATIVE, "40")
    house.run(11.0)
    assert house.dtu.limit_busy_s == pytest.approx(20.0)
    assert link.acked is not link.requested
