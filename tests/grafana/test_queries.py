"""Every query of every dashboard, run by a real InfluxDB on what the program writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.model import Account, Settings
from tests.grafana import boards, house
from tests.grafana.boards import ASKED, BOARDS, ENERGY, HOME, INVERTERS, Asked
from tests.grafana.house import CLOSED_AT_S, DAY_S, SECONDS, account, url
from tests.grafana.influx import Influx, running, values
from tests.telemetry.ticks import EAST, WEST

YEAR_S, MONTH_S = 400 * DAY_S, 30 * DAY_S
LASTING_S = {"minute": 3600, "day": MONTH_S, "month": YEAR_S}


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with running(tmp_path_factory.mktemp("influx")) as server:
        now_s = server.now_ms / 1000.0
        server.write(house.recorded(now_s - SECONDS))
        for point in house.before(now_s):  # one by one: a later point of the same time takes the place of the former
            server.write([point])
        yield server


def looks_back_s(asked: Asked) -> int:
    """The range in which there is something to see."""
    return next((s for name, s in LASTING_S.items() if f'FROM "{name}"' in asked.text), 3600)


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_query_gives_data(influx: Influx, asked: Asked) -> None:
    last_s = looks_back_s(asked)
    for every in ("1s", "10s", "1m") if "$__interval" in asked.text else ("10s",):
        for inverter in (".*", EAST, f"({EAST}|{WEST})") if "${inverter" in asked.text else (".*",):
            text = influx.filled(asked.text, every=every, inverter=inverter, last_s=last_s)
            found = influx.ask(text, asked.source)
            for column in range(1, len(found[0]["columns"]) if found else 2):
                assert values(found, column), (text, found)


@pytest.mark.parametrize("asked", [one for one in ASKED if not one.text.startswith("SHOW")], ids=str)
def test_a_site_that_records_nothing_shows_nothing(influx: Influx, asked: Asked) -> None:
    assert influx.ask(influx.filled(asked.text, site="empty", last_s=looks_back_s(asked)), asked.source) == []


def test_the_choices_are_the_stored_sites_and_inverters(influx: Influx) -> None:
    found = {v["name"]: influx.ask(influx.filled(v["query"]["query"])) for v in boards.variables(INVERTERS)}
    assert sorted(values(found["site"])) == ["cabin", "home"]
    assert sorted(values(found["inverter"])) == [EAST, WEST]


def test_the_switch_has_the_state_and_its_link_in_one_row(influx: Influx) -> None:
    (one,) = influx.panel(HOME, "Zero Export Status")
    assert one["columns"] == ["time", "enabled", "toggle_url"]
    ((_, enabled, link),) = one["values"]
    assert enabled == 0
    assert link == url(Settings(enabled=False))


@pytest.mark.parametrize(
    ("title", "all_of_them", "east_only"),
    [
        ("Power AC", 700.0, 400.0),
        ("Temperature", 41.3, 41.3),
        ("Production Today", 2234.0, 1234.0),
        ("Production Total", 667.8, 567.8),
        ("Peak Power AC", 700.0, 400.0),
        ("Peak Power DC", 730.0, 420.0),
    ],
)
def test_stats_sum_the_inverters_of_the_site(influx: Influx, title: str, all_of_them: float, east_only: float) -> None:
    assert values(influx.panel(INVERTERS, title, kind="stat")) == [pytest.approx(all_of_them)]
    assert values(influx.panel(INVERTERS, title, kind="stat", inverter=EAST)) == [pytest.approx(east_only)]


@pytest.mark.parametrize("every", ["1s", "2s", "10s", "1m"])
def test_total_lines_are_right_at_every_resolution(influx: Influx, every: str) -> None:
    for index, (name, expected) in enumerate([("All AC", 700.0), ("All DC", 730.0), ("All limits", 700.0)]):
        (one,) = influx.panel(INVERTERS, "AC+DC Power & Limit", index, every=every)
        assert one["columns"] == ["time", name]
        assert set(values([one])) == {expected}


def test_each_inverter_and_each_input_has_a_line_with_its_name(influx: Influx) -> None:
    for index, east_w, west_w in ((3, 400.0, 300.0), (4, 420.0, 310.0), (5, 500.0, 200.0)):
        found = influx.panel(INVERTERS, "AC+DC Power & Limit", index)
        assert {one["tags"]["name"]: set(values([one])) for one in found} == {
            "Roof east": {east_w},
            "Roof west": {west_w},
        }
    for title in ("Panel DC Voltages", "Panel DC Power", "Panel DC Current"):
        panels = influx.panel(INVERTERS, title)
        assert {(one["tags"]["serial"], one["tags"]["channel"]) for one in panels} == {
            (serial, channel) for serial in (EAST, WEST) for channel in "12"
        }


def test_the_table_has_one_row_for_each_inverter(influx: Influx) -> None:
    found = influx.panel(INVERTERS, "Inverters Now")
    assert {(one["tags"]["name"], one["tags"]["serial"]) for one in found} == {("Roof east", EAST), ("Roof west", WEST)}
    assert [len(one["values"]) for one in found] == [1, 1]
    order = boards.panel(INVERTERS, "Inverters Now")["transformations"][0]["options"]["indexByName"]
    assert set(order) == {*found[0]["columns"], *found[0]["tags"]} - {"time"}


def test_a_short_export_is_seen_at_every_resolution(influx: Influx) -> None:
    title = "Grid Power, Sun, House & Limit"
    assert min(values(influx.panel(HOME, title, 1, every="5m"))) == -80.0
    assert min(values(influx.panel(HOME, title, 0, every="5m"))) > 0.0
    assert min(values(influx.panel(ENERGY, "Grid: Lowest, Mean & Highest", 0, every="1h"))) == -80.0


def test_what_was_not_recorded_is_a_gap(influx: Influx) -> None:
    (one,) = influx.panel(HOME, "Grid Power, Sun, House & Limit", 0, every="1m")
    known = [row[1] is not None for row in one["values"]]
    assert known.count(False) > 40
    assert known[-5:-1] == [True] * 4


def test_the_price_of_now_and_today_are_single_numbers(influx: Influx) -> None:
    today = account(0)
    expected = {
        "Export Earns": -3.0,
        "Import Costs": 32.0,
        "Price Ends": influx.now_ms - SECONDS * 1000.0 + 3_600_000.0,
        "Exported Today": today.export_wh,
        "Export Earned Today": today.earned_c / 100.0,
        "Curtailed Today": today.curtailed_wh,
        "Saved Today": today.saved_c / 100.0,
    }
    assert {title: values(influx.panel(HOME, title, kind="stat")) for title in expected} == {
        title: [pytest.approx(value)] for title, value in expected.items()
    }


@pytest.mark.parametrize(("span", "of"), [("Today", account(0)), ("This Month", account(0)), ("In Total", account(9))])
def test_the_ledger_is_shown_with_its_ratios(influx: Influx, span: str, of: Account) -> None:
    (one,) = influx.panel(ENERGY, f"Energy {span}")
    expected = [of.pv_wh, of.self_used_wh, of.export_wh, of.import_wh, of.load_wh, of.curtailed_wh]
    assert one["values"][0][1:] == [pytest.approx(value) for value in expected]
    (ratios,) = influx.panel(ENERGY, f"Ratios {span}")
    shares = [100.0 * of.self_used_wh / of.pv_wh, 100.0 * of.self_used_wh / of.load_wh]
    assert ratios["values"][0][1:] == [pytest.approx(share) for share in shares]
    (money,) = influx.panel(ENERGY, f"Money {span}")
    assert money["values"][0][1:] == [of.earned_c / 100.0, of.saved_c / 100.0, of.uncertain_s]


def test_each_day_and_each_month_is_one_bar(influx: Influx) -> None:
    (used, *_) = influx.panel(ENERGY, "The Sun's Energy, by Days", last_s=MONTH_S)
    assert used["columns"] == ["time", "Used of it", "Exported", "Curtailed"]
    assert len(used["values"]) == 30
    expected = [account(0).self_used_wh, account(0).export_wh, account(0).curtailed_wh]
    assert used["values"][-1][1:] == expected
    (months,) = influx.panel(ENERGY, "Energy, by Months", last_s=YEAR_S)
    assert len(months["values"]) == house.MONTHS
    assert months["values"][0][1] == account(house.MONTHS - 1).pv_wh


def test_a_day_that_grows_stays_one_bar(influx: Influx) -> None:
    (one,) = influx.panel(ENERGY, "The House's Energy, by Days", last_s=MONTH_S)
    assert one["values"][-1][2] == account(0).import_wh
    assert len({row[0] for row in one["values"]}) == len(one["values"])


def test_a_day_without_sun_has_no_ratio(influx: Influx) -> None:
    dark = next(iter(house.before(0.0)))
    zeros = tuple((name, 0.0) for name, _ in dark.fields)
    influx.write([type(dark)(dark.measurement, (("site", "cellar"),), zeros, influx.now_ms / 1000.0 - 60.0)])
    found = influx.panel(ENERGY, "Self-consumption & Autarky, by Days", site="cellar", last_s=MONTH_S)
    assert [value for one in found for row in one["values"] for value in row[1:] if value not in (None, 0)] == []


def test_the_prices_ahead_are_seen_in_a_range_that_ends_in_the_future(influx: Influx) -> None:
    known = {index: values(influx.panel(HOME, "Price", index, every="1m")) for index in (2, 3)}
    ahead = {index: values(influx.panel(HOME, "Price", index, every="1m", ahead_s=86_400)) for index in (2, 3)}
    assert set(ahead[2]) == {7.0}
    assert set(ahead[3]) == {29.0}
    assert all(len(ahead[index]) >= len(known[index]) + 45 for index in ahead)


def test_the_gate_shows_when_it_closed_and_who_decided(influx: Influx) -> None:
    (one,) = influx.panel(HOME, "Gate", 0, every="10s")
    seen = values([one])
    assert sorted(set(seen)) == [1.0, 2.0]
    assert seen == sorted(seen, reverse=True), "open first, then held"
    by_hand = values(influx.panel(HOME, "Gate", 1, every="10s"))
    assert by_hand == sorted(by_hand, reverse=True)
    assert (by_hand[0], by_hand[-1]) == (1.0, 0.0)


def test_events_are_listed_newest_first_with_what_to_do(influx: Influx) -> None:
    (one,) = influx.panel(HOME, "Events")
    assert one["columns"] == ["time", "What", "In words", "What to do", "Length", "Worst", "Key"]
    rows = one["values"]
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)
    assert {row[1] for row in rows} == {"fault", "fault_cleared", "excursion", "mode", "settings"}
    assert [row[3] for row in rows if row[1] == "fault"] == [house.FAULT.next_step]


@pytest.mark.parametrize("uid", BOARDS)
def test_what_happened_is_marked_with_its_words(influx: Influx, uid: str) -> None:
    begins_s = {}
    for mark in boards.marks(uid):
        (one,) = influx.ask(influx.filled(mark["query"]))
        assert one["columns"] == ["time", "text", mark["tagsColumn"]][: 3 if mark["tagsColumn"] else 2]
        begins_s[mark["name"]] = [round(row[0] / 1000 - (influx.now_ms / 1000 - SECONDS)) for row in one["values"]]
        assert all(row[1] for row in one["values"])
    assert begins_s["Price gate"] == [0]
    assert begins_s["Mode changes"] == [CLOSED_AT_S]
    assert begins_s["Faults"] == [house.BROKEN_S.start]
    assert begins_s["Faults over"] == [house.BROKEN_S.stop]
    assert begins_s["Excursions"] == [house.EXCEEDED_S.stop]
    assert begins_s["Settings"] == [500]
