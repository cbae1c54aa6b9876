"""A weekly timetable of prices: windows, days, midnight, and the days on which clocks are put forward and back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.config import ConfigError, load
from app.prices.feed import PriceFeed
from app.prices.fixed import Fixed, FixedConfig, days_of, slots

BERLIN, SYDNEY = "Europe/Berlin", "Australia/Sydney"
HOUR_S = 3600.0


def config(*windows: dict[str, Any], zone: str = BERLIN, **keys: Any) -> FixedConfig:
    given = {"type": "fixed", "currency": "EUR", "timezone": zone, "export_value_c": 8.0, "windows": windows}
    return FixedConfig.model_validate(given | keys)


def window(begin: str, end: str, export_c: float = -2.0, days: str = "daily", **keys: Any) -> dict[str, Any]:
    return {"from": begin, "to": end, "export_value_c": export_c, "days": days} | keys


def utc_s(text: str, zone: str = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def day(date: str, *windows: dict[str, Any], zone: str = BERLIN) -> list[Any]:
    """From local noon to noon: the wall clock at the start of each slot, its length in hours, its price."""
    noon_s = utc_s(f"{date} 12:00", zone)
    end_s = noon_s + 30 * HOUR_S
    found = slots(config(*windows, zone=zone), noon_s, end_s)
    return [
        (
            f"{datetime.fromtimestamp(slot.start_utc_s, ZoneInfo(zone)):%a %H:%M}",
            (slot.end_utc_s - slot.start_utc_s) / HOUR_S,
            slot.export_value_c,
        )
        for slot in found
    ]


class TestWindows:
    def test_outside_of_them_the_usual_price_holds(self) -> None:
        assert day("2026-11-20", window("14:00", "16:30")) == [
            ("Fri 12:00", 2.0, 8.0), ("Fri 14:00", 2.5, -2.0), ("Fri 16:30", 21.5, 8.0), ("Sat 14:00", 2.5, -2.0),
            ("Sat 16:30", 1.5, 8.0),
        ]  # fmt: skip

    def test_one_over_midnight_belongs_to_the_day_on_which_it_begins(self) -> None:
        assert day("2026-11-20", window("22:00", "06:00", days="fri")) == [
            ("Fri 12:00", 10.0, 8.0), ("Fri 22:00", 8.0, -2.0), ("Sat 06:00", 12.0, 8.0),
        ]  # fmt: skip
        assert day("2026-11-20", window("22:00", "06:00", days="sat")) == [("Fri 12:00", 30.0, 8.0)]

    @pytest.mark.parametrize("end", ["24:00", "00:00", "0:00"])
    def test_a_day_ends_at_24(self, end: str) -> None:
        assert day("2026-11-20", window("20:00", end)) == [
            ("Fri 12:00", 8.0, 8.0), ("Fri 20:00", 4.0, -2.0), ("Sat 00:00", 18.0, 8.0),
        ]  # fmt: skip

    def test_the_first_that_holds_decides_and_says_only_what_it_changes(self) -> None:
        timetable = config(
            window("13:00", "14:00", import_price_c=20.0),
            {"from": "00:00", "to": "24:00", "days": "sat,sun", "import_price_c": 25.0},
            window("12:00", "15:00", 3.0),
            import_price_c=32.0,
        )
        noon_s = utc_s("2026-11-21 12:00")  # a Saturday
        found = slots(timetable, noon_s, noon_s + 3 * HOUR_S)
        assert [(slot.export_value_c, slot.import_price_c) for slot in found] == [
            (8.0, 25.0),
            (-2.0, 20.0),
            (8.0, 25.0),
        ]
        assert all(slot.confirmed for slot in found)

    def test_minutes_count(self) -> None:
        assert day("2026-11-20", window("12:07", "12:08"))[:2] == [
            ("Fri 12:00", pytest.approx(7 / 60), 8.0), ("Fri 12:07", pytest.approx(1 / 60), -2.0),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "days"),
        [
            ("daily", {0, 1, 2, 3, 4, 5, 6}),
            ("mon-fri", {0, 1, 2, 3, 4}),
            ("sat,sun", {5, 6}),
            ("Sat, Mon-Tue", {0, 1, 5}),
            ("fri-mon", {0, 4, 5, 6}),
            ("wed", {2}),
        ],
    )
    def test_days_have_names(self, text: str, days: set[int]) -> None:
        assert days_of(text) == days


class TestClocksPutForwardAndBack:
    """Berlin: 2026-03-29 at 02:00 and 2026-10-25 at 03:00. Sydney: 2026-10-04 at 02:00 and 2026-04-05 at 03:00."""

    @pytest.mark.parametrize(("date", "zone"), [("2026-03-28", BERLIN), ("2026-10-03", SYDNEY)])
    def test_in_spring_an_hour_is_not_there(self, date: str, zone: str) -> None:
        assert day(date, window("02:00", "03:00"), zone=zone) == [("Sat 12:00", 30.0, 8.0)]
        assert day(date, window("02:30", "03:30"), zone=zone) == [
            ("Sat 12:00", 14.0, 8.0), ("Sun 03:00", 0.5, -2.0), ("Sun 03:30", 15.5, 8.0),
        ]  # fmt: skip
        assert day(date, window("01:00", "04:00"), zone=zone)[1] == ("Sun 01:00", 2.0, -2.0)
        assert day(date, window("22:00", "06:00"), zone=zone)[1] == ("Sat 22:00", 7.0, -2.0)

    @pytest.mark.parametrize(("date", "zone"), [("2026-10-24", BERLIN), ("2026-04-04", SYDNEY)])
    def test_in_autumn_an_hour_is_there_twice(self, date: str, zone: str) -> None:
        assert day(date, window("02:00", "03:00"), zone=zone)[1] == ("Sun 02:00", 2.0, -2.0)
        assert day(date, window("01:00", "04:00"), zone=zone)[1] == ("Sun 01:00", 4.0, -2.0)
        assert day(date, window("22:00", "06:00"), zone=zone)[1] == ("Sat 22:00", 9.0, -2.0)
        assert day(date, window("02:30", "03:00"), zone=zone)[1:4] == [
            ("Sun 02:30", 0.5, -2.0), ("Sun 02:00", 0.5, 8.0), ("Sun 02:30", 0.5, -2.0),
        ]  # fmt: skip

    def test_half_an_hour_on_lord_howe_island(self) -> None:
        assert day("2026-10-03", window("02:00", "03:00"), zone="Australia/Lord_Howe")[1] == ("Sun 02:30", 0.5, -2.0)

    @pytest.mark.parametrize("zone", [BERLIN, "Australia/Sydney"])
    def test_the_zone_of_this_computer_is_right_too(self, zone: str) -> None:
        """In a process of its own, since it is looked up once."""
        code = (
            "from tests.prices.test_fixed import config, slots, utc_s, window\n"
            "for date in ('2026-03-28', '2026-04-04', '2026-10-03', '2026-10-24', '2026-06-01'):\n"
            "    start_s = utc_s(date + ' 12:00', 'UTC')\n"
            f"    here, there = (config(window('02:30', '05:10'), zone=zone) for zone in ('', '{zone}'))\n"
            "    assert slots(here, start_s, start_s + 172800) == slots(there, start_s, start_s + 172800)\n"
            "    assert len(slots(here, start_s, start_s + 172800)) >= 4"
        )
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"TZ": zone}, check=True)


ZONES = st.sampled_from([BERLIN, SYDNEY, "UTC", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu"])
TIMES = st.integers(0, 23 * 60 + 59).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
WINDOWS = st.lists(
    st.tuples(TIMES, TIMES, st.integers(-5, 5), st.sampled_from(["daily", "mon-fri", "sat,sun", "sun", "fri-mon"])),
    max_size=4,
)
CHANGES_S = [utc_s(f"{date} 12:00", "UTC") for date in ("2026-03-28", "2026-10-24", "2026-04-04", "2026-10-03")]
STARTS = st.sampled_from(CHANGES_S) | st.integers(1_767_225_600, 1_800_000_000).map(float)


@settings(max_examples=60, deadline=None)
@given(ZONES, WINDOWS, STARTS, st.lists(st.floats(0, 48 * HOUR_S - 1), min_size=20, max_size=20))
def test_slots_tile_the_time_and_show_what_the_wall_clock_says(
    zone: str, rows: list[tuple[str, str, int, str]], start_s: float, moments: list[float]
) -> None:
    windows = [window(begin, end, float(value), days) for begin, end, value, days in rows if begin != end]
    timetable = config(*windows, zone=zone)
    found = slots(timetable, start_s, start_s + 48 * HOUR_S)
    assert (found[0].start_utc_s, found[-1].end_utc_s) == (start_s, start_s + 48 * HOUR_S)
    assert all(slot.end_utc_s > slot.start_utc_s for slot in found)
    assert all(one.end_utc_s == other.start_utc_s for one, other in pairwise(found))
    for after_s in moments:
        at_s = start_s + after_s
        slot = next(slot for slot in found if slot.start_utc_s <= at_s < slot.end_utc_s)
        assert slot.export_value_c == by_the_wall_clock(windows, datetime.fromtimestamp(at_s, ZoneInfo(zone)))


def by_the_wall_clock(windows: list[dict[str, Any]], now: datetime) -> float:
    """The same by comparing texts: is one of today's, or of yesterday's over midnight, in force?"""
    clock, yesterday = f"{now:%H:%M}", now.replace(tzinfo=None) - timedelta(days=1)
    for one in windows:
        today_is = now.weekday() in days_of(one["days"])
        over_midnight = one["from"] > one["to"]
        if today_is and one["from"] <= clock and (over_midnight or clock < one["to"]):
            return float(one["export_value_c"])
        if over_midnight and clock < one["to"] and yesterday.weekday() in days_of(one["days"]):
            return float(one["export_value_c"])
    return 8.0


class TestAsASource:
    async def test_it_knows_the_last_hours_and_two_days(self) -> None:
        clock = [utc_s("2026-11-20 12:20")]
        source = Fixed(config(window("14:00", "16:00")), utc=lambda: clock[0])
        feed = PriceFeed(source, 45.0, utc=lambda: clock[0], monotonic=lambda: clock[0])
        assert await feed.update() == 6 * HOUR_S
        assert (feed.state().export_value_c, feed.state().estimated) == (8.0, False)
        assert feed.state().valid_until_utc_s == utc_s("2026-11-20 14:00")
        assert feed.around()[-1].end_utc_s >= clock[0] + 47 * HOUR_S
        clock[0] = utc_s("2026-11-20 14:00")
        assert feed.state().export_value_c == -2.0
        for _ in range(12):
            await feed.update()
            clock[0] += 6 * HOUR_S
            assert (feed.state().estimated, feed.state().fault) == (False, None)
        assert all(one.end_utc_s == other.start_utc_s for one, other in pairwise(feed.around()))

    async def test_a_clock_that_was_never_set_is_told_and_gives_no_price(self) -> None:
        feed = PriceFeed(Fixed(config(), utc=lambda: 100.0), 45.0, utc=lambda: 100.0, monotonic=lambda: 0.0)
        await feed.update()
        assert feed.state().export_value_c is None
        assert "clock is not set" in str(feed.state().fault)

    async def test_a_hundred_windows_hold_nothing_up(self) -> None:
        many = [window(f"{hour:02}:{minute:02}", "24:00", hour) for hour in range(20) for minute in range(0, 50, 10)]
        started_s = time.process_time()
        await Fixed(config(*many)).fetch()
        assert time.process_time() - started_s < 5.0


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"timezone": "Europe/Berlín"}, "'Europe/Berlín' is no time zone: use a name like Europe/Berlin"),
        ({"timezone": "Mars/Olympus"}, "is no time zone"),
        ({"timezone": "Europe"}, "is no time zone"),
        ({"timezone": "../../etc/passwd"}, "is no time zone"),
        ({"currency": "eur"}, "currency"),
        ({"export_value_c": "nan"}, "export_value_c"),
        ({"windows": [window("10:00", "10:00")]}, "leave no time between them"),
        ({"windows": [window("24:00", "02:00")]}, "leave no time between them"),
        ({"windows": [window("10", "12:00")]}, "'10' is no time of day"),
        ({"windows": [window("10:60", "12:00")]}, "'10:60' is no time of day"),
        ({"windows": [window("10:00", "24:01")]}, "'24:01' is no time of day"),
        ({"windows": [{"from": 600, "to": "12:00", "export_value_c": 1}]}, "600 is no time of day"),
        ({"windows": [{"from": "10:00", "to": "12:00"}]}, "give export_value_c, import_price_c or both"),
        ({"windows": [window("10:00", "12:00", days="mo-fr")]}, "'mo-fr' names no days: use daily, mon-fri"),
        ({"windows": [window("10:00", "12:00", days="")]}, "names no days"),
        ({"windows": [window("10:00", "12:00", days="mon-")]}, "names no days"),
        ({"windows": [window("10:00", "12:00", month=5)]}, "month"),
    ],
)
def test_what_cannot_work_is_refused(keys: dict[str, Any], text: str) -> None:
    given = {"type": "fixed", "currency": "EUR", "export_value_c": 8.0} | keys
    with pytest.raises(ValidationError) as refused:
        FixedConfig.model_validate(given)
    assert text in str(refused.value)


FILE = """
meter: {type: shelly, host: 10.0.0.5}
inverters: [{serial: "116180400000", max_watt: 1500}]
price:
  type: fixed
  timezone: "${ZONE:-}"
  currency: EUR
  export_value_c: 8
  windows:
    - {days: mon-fri, from: 10:00, to: 15:00, export_value_c: -2}
    - {from: 22:00, to: "06:00", import_price_c: 20}
"""


def test_times_may_stand_in_the_file_without_quotes(tmp_path: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    price = load(path, {}).price
    assert isinstance(price, FixedConfig)
    assert [(one.start, one.end) for one in price.windows] == [(600, 900), (1320, 360)]
    with pytest.raises(ConfigError, match=r"config.yaml:6: price.timezone: 'Nowhere' is no time zone"):
        load(path, {"ZONE": "Nowhere"})


def test_utc_is_what_it_says() -> None:
    (slot,) = slots(config(zone="UTC"), 0.0, 900.0)
    assert datetime.fromtimestamp(slot.start_utc_s, UTC).hour == 0
