"""The dashboards as documents: what they ask for exists, they are complete, and they lead to each other."""

from __future__ import annotations

import re
import subprocess
import sys
from urllib.parse import parse_qs

import pytest

from app.model import Mode
from app.telemetry.points import GATE_NUMBERS, LASTING, MEASUREMENTS, MODE_NUMBERS, SCHEMA
from tests.grafana import boards
from tests.grafana.boards import ASKED, BOARDS, ENERGY, ENVOY, GRAFANA, HOME, INVERTERS, Asked

EVERY_PANEL = [(uid, panel["title"]) for uid in BOARDS for panel in boards.panels(uid)]
GRAPHS = {"timeseries", "barchart", "state-timeline"}
# What is recorded and shown nowhere, and why.
NOT_SHOWN = {
    ("control", "mode"): "mode_number is the same, and can be drawn",
    ("price", "gate"): "gate_number is the same, and can be drawn",
}
# Seven figures and eleven graphs are what users of earlier versions know: where each of them is now.
KNOWN = {
    "stat": {
        "Zero Export Status": HOME,
        "Power AC": INVERTERS,
        "Temperature": INVERTERS,
        "Production Today": INVERTERS,
        "Production Total": INVERTERS,
        "Peak Power AC": INVERTERS,
        "Peak Power DC": INVERTERS,
    },
    "timeseries": {
        "Grid Power, Sun, House & Limit": HOME,
        "AC+DC Power & Limit": INVERTERS,
        "Voltage": INVERTERS,
        "Current": INVERTERS,
        "Panel DC Voltages": INVERTERS,
        "Temperature": INVERTERS,
        "Power Factor": INVERTERS,
        "Reactive Power": INVERTERS,
        "Frequency": INVERTERS,
        "Efficiency": INVERTERS,
        "Control Setpoint": HOME,
    },
}


def fields_of(text: str) -> set[tuple[str, str]]:
    """Measurements and fields that a query reads."""
    (measurement,) = re.findall(r'FROM "(\w+)"', text)
    ((columns, conditions),) = re.findall(r'SELECT ((?:(?!SELECT).)*?) FROM "\w+" WHERE (.*)', text)
    read = set(re.findall(r'"(\w+)"', re.sub(r' AS "[^"]+"', "", columns)))
    tested = set(re.findall(r'"(\w+)" (?:=|=~|!~) ', conditions))
    tags = {"site", *MEASUREMENTS[measurement].tags}
    return {(measurement, name) for name in (read | tested) - tags}


def test_the_committed_files_are_what_the_script_writes() -> None:
    command = [sys.executable, str(GRAFANA / "build.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_are_four_dashboards_and_each_file_is_named_like_its_uid() -> None:
    assert set(BOARDS) == {HOME, INVERTERS, ENERGY, ENVOY}
    assert {path.stem for path in boards.FILES} == set(BOARDS)
    assert (BOARDS[HOME]["title"], BOARDS[HOME]["refresh"]) == ("Zero Export", "5s")
    assert BOARDS[HOME]["time"] == {"from": "now-1h", "to": "now"}
    assert len({board["title"] for board in BOARDS.values()}) == 4


def test_nothing_that_users_knew_is_lost() -> None:
    for kind, places in KNOWN.items():
        for title, uid in places.items():
            assert [one for one in boards.panels(uid) if (one["type"], one["title"]) == (kind, title)], title
    assert [len(places) for places in KNOWN.values()] == [7, 11]


def test_the_first_row_says_whether_it_works() -> None:
    first = [panel["title"] for panel in boards.panels(HOME) if panel["gridPos"]["y"] == 0]
    assert first == [
        "Zero Export Status",
        "Grid Now",
        "Sun Now",
        "Limit Now",
        "Exported Today",
        "Worst Excursion",
        "Longest Excursion",
        "Faults",
    ]


@pytest.mark.parametrize(("uid", "title"), EVERY_PANEL)
def test_every_panel_says_what_it_shows(uid: str, title: str) -> None:
    found = [panel for panel in boards.panels(uid) if panel["title"] == title]
    assert len({panel["type"] for panel in found}) == len(found), "a title that stands twice"
    for panel in found:
        defaults = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 20
        assert panel["description"][-1] == "."
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        assert panel["targets"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGHIJ"[: len(panel["targets"])])


@pytest.mark.parametrize("uid", BOARDS)
def test_ids_are_unique_and_no_panels_overlap(uid: str) -> None:
    found = boards.everything(uid)
    assert len({panel["id"] for panel in found}) == len(found)
    taken: dict[tuple[int, int], str] = {}
    for panel in found:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]
    rows = {y for _, y in taken}
    assert rows == set(range(max(rows) + 1)), "an empty row"


@pytest.mark.parametrize("uid", BOARDS)
def test_a_phone_shows_the_panels_in_their_reading_order(uid: str) -> None:
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in boards.everything(uid)]
    assert places == sorted(places)
    assert all(panel["gridPos"]["w"] >= 3 for panel in boards.everything(uid)), "too narrow for a figure"


@pytest.mark.parametrize(("uid", "title"), EVERY_PANEL)
def test_colours_are_those_of_the_theme(uid: str, title: str) -> None:
    for panel in boards.panels(uid):
        if panel["title"] == title:
            assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", str(panel["fieldConfig"])), "not of every theme"


def test_lines_do_not_ask_for_more_than_is_recorded() -> None:
    slow = dict.fromkeys(("price", "forecast", "ledger", "store", "minute"), "1m")
    for uid, title in EVERY_PANEL:
        for panel in boards.panels(uid):
            if panel["title"] == title and panel["type"] in ("timeseries", "state-timeline"):
                (source,) = {re.findall(r'FROM "(\w+)"', target["query"])[0] for target in panel["targets"][:1]}
                expected = {"day": "1h"}.get(source, slow.get(source))
                assert panel["interval"] in ({expected} if expected else {"1s", "5s", "1m"}), title
            if panel["title"] == title and panel["type"] == "timeseries":
                assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] >= 30_000


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_field_and_tag_that_is_queried_is_recorded(asked: Asked) -> None:
    (name,) = re.findall(r'FROM "(\w+)"', asked.text)
    measurement = MEASUREMENTS[name]
    tags = {"site", *measurement.tags}
    if asked.text.startswith("SHOW"):
        assert set(re.findall(r'KEY = "(\w+)"|WHERE "(\w+)"', asked.text)[0]) - {""} <= tags
        return
    read = fields_of(asked.text)
    assert read
    assert read <= {(name, field.name) for field in measurement.fields}
    grouped = {
        tag
        for group in re.findall(r"GROUP BY ([^)]*?)(?: fill|\)|$)", asked.text)
        for tag in re.findall(r'"(\w+)"', group)
    }
    assert grouped <= tags


def test_every_field_that_is_recorded_is_shown_somewhere() -> None:
    shown = set().union(*(fields_of(asked.text) for asked in ASKED if not asked.text.startswith("SHOW")))
    recorded = {(measurement.name, field.name) for measurement in SCHEMA for field in measurement.fields}
    assert recorded - shown == set(NOT_SHOWN)


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_query_is_bound_to_a_site_a_time_and_the_right_database(asked: Asked) -> None:
    (measurement,) = re.findall(r'FROM "(\w+)"', asked.text)
    assert asked.source == (boards.LASTING if measurement in LASTING else boards.RAW)
    if asked.text.startswith("SHOW"):
        return
    assert "\"site\" = '${site:raw}'" in asked.text
    assert "$timeFilter" in asked.text or "time > now() - 5m" in asked.text
    if measurement in ("inverter", "panel"):
        assert '"serial" =~ /^${inverter:regex}$/' in asked.text


@pytest.mark.parametrize(
    "asked", [one for one in ASKED if 'FROM "day"' in one.text or 'FROM "month"' in one.text], ids=str
)
def test_days_and_months_are_taken_as_they_are(asked: Asked) -> None:
    assert "GROUP BY" not in asked.text, "a database's days are not those of the house"


def test_every_dashboard_lets_one_choose_the_site_and_one_the_inverters() -> None:
    assert {uid: [one["name"] for one in boards.variables(uid)] for uid in BOARDS} == {
        HOME: ["site"],
        INVERTERS: ["site", "inverter"],
        ENERGY: ["site"],
        ENVOY: ["site"],
    }
    inverter = boards.variables(INVERTERS)[1]
    assert (inverter["multi"], inverter["includeAll"], inverter["allValue"]) == (True, True, ".*")
    assert 'SHOW TAG VALUES FROM "inverter" WITH KEY = "serial"' in inverter["query"]["query"]


def test_the_first_panel_is_the_switch() -> None:
    panel = boards.panels(HOME)[0]
    assert panel["title"] == "Zero Export Status"
    (target,) = panel["targets"]
    assert target["resultFormat"] == "table"
    assert panel["options"]["reduceOptions"]["values"] is True, "without rows ${__data.fields...} stays as it is"
    assert panel["options"]["reduceOptions"]["limit"] == 1
    defaults = panel["fieldConfig"]["defaults"]
    (link,) = defaults["links"]
    assert link["url"] == "${__data.fields.toggle_url:raw}"
    assert link["targetBlank"] is False
    (column,) = re.findall(r'AS "(toggle_url)"', target["query"])
    assert f"fields.{column}" in link["url"]
    values, special = defaults["mappings"]
    assert {key: (value["text"], value["color"]) for key, value in values["options"].items()} == {
        "1": ("ON", "green"),
        "0": ("OFF", "orange"),
    }
    assert special["options"]["result"]["text"] == defaults["noValue"] == "unknown"


@pytest.mark.parametrize("uid", BOARDS)
def test_what_happened_is_marked_in_the_graphs(uid: str) -> None:
    found = {mark["name"]: mark for mark in boards.marks(uid)}
    assert list(found) == ["Mode changes", "Price gate", "Faults", "Faults over", "Excursions", "Settings"]
    for mark in found.values():
        assert mark["enable"] is True
        columns = [mark["textColumn"], mark["tagsColumn"]] if mark["name"] != "Settings" else [mark["textColumn"]]
        assert mark["query"].startswith("SELECT " + ", ".join(f'"{name}"' for name in columns) + ' FROM "event"')


@pytest.mark.parametrize("uid", BOARDS)
def test_links_lead_to_the_other_dashboards_with_the_site_and_where_it_fits_the_time(uid: str) -> None:
    others = {link["url"].partition("?")[0].removeprefix("/d/") for link in BOARDS[uid]["links"]}
    assert others - {uid} == set(BOARDS) - {uid}
    for link in BOARDS[uid]["links"]:
        assert link["includeVars"] is True
        path, _, choice = link["url"].partition("?")
        assert path.removeprefix("/d/") in BOARDS
        assert link["keepTime"] is not bool(choice) or uid == ENERGY, "a kept time would win over the range in the link"


def test_links_of_panels_and_values_lead_to_dashboards_that_exist() -> None:
    urls = [link["url"] for uid in BOARDS for panel in boards.panels(uid) for link in panel.get("links", [])]
    text = [str(panel["fieldConfig"]) for uid in BOARDS for panel in boards.panels(uid)]
    urls += [url for one in text for url in re.findall(r"'url': '(/d/[^']+)'", one)]
    assert len(urls) >= 3
    assert {re.match(r"/d/([\w-]+)", url)[1] for url in urls} <= set(BOARDS)  # type: ignore[index]
    fields = {name for url in urls for name in re.findall(r"__data\.fields\.(\w+)", url)}
    order = boards.panel(INVERTERS, "Inverters Now")["transformations"][0]["options"]["renameByName"]
    assert fields <= set(order.values()), "a column that the table does not have"


def test_a_link_leads_to_the_prices_ahead() -> None:
    link = BOARDS[HOME]["links"][-1]
    path, _, choice = link["url"].partition("?")
    assert path == f"/d/{HOME}"
    assert parse_qs(choice) == {"from": ["now-6h"], "to": ["now+24h"]}
    panel = boards.panel(HOME, "Price")
    assert "ends in the future" in panel["description"]
    assert link["title"] in panel["description"]


def words(uid: str, title: str) -> dict[float, str]:
    """What the numbers of a band stand for."""
    (mapped,) = boards.panel(uid, title)["fieldConfig"]["defaults"]["mappings"]
    return {float(number): value["text"] for number, value in mapped["options"].items()}


def test_the_gate_is_named_in_words() -> None:
    meant = {Mode.OPEN: "Export", Mode.LIMIT: "Hold the target", Mode.SHUTDOWN: "Shut down"}
    assert words(HOME, "Gate") == {GATE_NUMBERS[mode]: word for mode, word in meant.items()}


def test_every_mode_is_named_in_words() -> None:
    assert set(words(HOME, "Mode")) == set(MODE_NUMBERS.values())
    assert words(HOME, "Mode")[MODE_NUMBERS[Mode.FAIL_SAFE]] == "fail-safe"
    assert words(HOME, "Mode")[MODE_NUMBERS[Mode.NIGHT]] == "night"
