"""The dashboard as a document: what it asks for exists, it is complete, and Grafana can load it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from app.model import Mode
from app.telemetry.points import GATE_NUMBERS, MEASUREMENTS

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "zero-export.json").read_text(encoding="utf-8"))
EVERYTHING: list[dict[str, Any]] = DASHBOARD["panels"]
PANELS = [panel for panel in EVERYTHING if panel["type"] != "row"]
(ANNOTATION,) = DASHBOARD["annotations"]["list"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
QUERIES = [
    *((panel["title"], target["query"]) for panel in PANELS for target in panel["targets"]),
    *((variable["name"], variable["query"]["query"]) for variable in VARIABLES),
    (ANNOTATION["name"], ANNOTATION["query"]),
]
PROVISIONING = sorted((GRAFANA / "provisioning").rglob("*.yml"))


def provisioned(name: str) -> Any:
    return yaml.safe_load((GRAFANA / "provisioning" / name).read_text(encoding="utf-8"))


def test_the_committed_dashboard_is_what_the_script_writes() -> None:
    command = [sys.executable, str(GRAFANA / "build.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_is_the_dashboard_that_was_asked_for() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"], DASHBOARD["refresh"]) == ("zero-export", "Zero Export", "5s")
    assert DASHBOARD["time"] == {"from": "now-1h", "to": "now"}
    titles = {kind: [panel["title"] for panel in PANELS if panel["type"] == kind] for kind in ("stat", "timeseries")}
    assert titles["stat"] == [
        "Zero Export Status",
        "Power AC",
        "Temperature",
        "Production Today",
        "Production Total",
        "Peak Power AC",
        "Peak Power DC",
        "Longest Excursion",
        "Export Earns",
        "Import Costs",
        "Exported Today",
        "Export Earned Today",
        "Curtailed Today",
        "Saved Today",
        "Curtailed in Total",
        "Saved in Total",
    ]
    assert titles["timeseries"] == [
        "Grid Power",
        "AC+DC Power & Limit",
        "Voltage",
        "Current",
        "Panel DC Voltages",
        "Temperature",
        "Power Factor",
        "Reactive Power",
        "Frequency",
        "Efficiency",
        "Control Setpoint",
        "Price",
    ]
    assert [panel["title"] for panel in PANELS if panel["type"] == "state-timeline"] == ["Gate"]
    assert [panel["title"] for panel in EVERYTHING if panel["type"] == "row"] == ["Price"]
    assert len(PANELS) == 29


def test_every_panel_says_what_it_shows() -> None:
    for panel in PANELS:
        assert panel["title"].strip()
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    assert len({panel["id"] for panel in EVERYTHING}) == len(EVERYTHING)


def test_no_panels_overlap_and_none_sticks_out() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in EVERYTHING:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]
    rows = {y for _, y in taken}
    assert rows == set(range(max(rows) + 1)), "an empty row"


def test_lines_do_not_ask_for_more_than_is_recorded() -> None:
    for panel in PANELS:
        if panel["type"] == "timeseries":
            assert panel["interval"] == "1m" if panel["title"] == "Price" else panel["interval"] in ("1s", "5s")
            assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] >= 30_000


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_every_field_and_tag_that_is_queried_is_recorded(title: str, query: str) -> None:
    measurements = re.findall(r'FROM "(\w+)"', query)
    assert len(measurements) == 1, title
    measurement = MEASUREMENTS[measurements[0]]
    tags = {"site", *measurement.tags}
    fields = {field.name for field in measurement.fields}
    innermost = re.search(r'SELECT ((?:(?!SELECT).)*) FROM "', query)
    if measurement.name == "event":
        assert set(re.findall(r'"(\w+)"', query)) - {"event"} <= tags | fields
        return
    if innermost is not None:
        asked = set(re.findall(r'\w+\("(\w+)"\)', innermost[1]))
        assert asked
        assert asked <= fields, title
    filtered = set(re.findall(r'"(\w+)" =~? ', query)) | set(re.findall(r'KEY = "(\w+)"', query))
    grouped = {
        name
        for group in re.findall(r"GROUP BY ([^)]*?)(?: fill|\)|$)", query)
        for name in re.findall(r'"(\w+)"', group)
    }
    assert filtered | grouped <= tags, title


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_every_query_is_bound_to_a_site_and_a_time(title: str, query: str) -> None:
    if query.startswith("SHOW"):
        return
    assert "\"site\" = '${site:raw}'" in query
    assert "$timeFilter" in query or "time > now() - 5m" in query, title
    if 'FROM "inverter"' in query or 'FROM "panel"' in query:
        assert '"serial" =~ /^${inverter:regex}$/' in query, title


def test_the_inverters_can_be_chosen() -> None:
    chosen = {variable["name"]: variable for variable in VARIABLES}
    assert set(chosen) == {"site", "inverter"}
    inverter = chosen["inverter"]
    assert (inverter["multi"], inverter["includeAll"], inverter["allValue"]) == (True, True, ".*")
    assert 'SHOW TAG VALUES FROM "inverter" WITH KEY = "serial"' in inverter["query"]["query"]


def test_the_first_panel_is_the_switch() -> None:
    panel = min(PANELS, key=lambda p: (p["gridPos"]["y"], p["gridPos"]["x"]))
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


def test_every_change_of_the_mode_is_marked_in_the_graphs() -> None:
    assert ANNOTATION["enable"] is True
    assert "\"kind\" = 'mode'" in ANNOTATION["query"]
    assert f'SELECT "{ANNOTATION["textColumn"]}" ' in ANNOTATION["query"]


def test_a_link_leads_to_the_prices_ahead() -> None:
    (link,) = DASHBOARD["links"]
    path, _, choice = link["url"].partition("?")
    assert path == f"/d/{DASHBOARD['uid']}"
    assert parse_qs(choice) == {"from": ["now-6h"], "to": ["now+24h"]}
    assert link["keepTime"] is False, "it would win over the range in the link"
    assert link["includeVars"] is True
    (panel,) = [one for one in PANELS if one["title"] == "Price"]
    assert "ends in the future" in panel["description"]
    assert link["title"] in panel["description"]


def test_the_gate_is_named_in_words() -> None:
    (panel,) = [one for one in PANELS if one["type"] == "state-timeline"]
    (mapped,) = panel["fieldConfig"]["defaults"]["mappings"]
    shown = {float(number): value["text"] for number, value in mapped["options"].items()}
    words = {Mode.OPEN: "Export", Mode.LIMIT: "Hold the target", Mode.SHUTDOWN: "Shut down"}
    assert shown == {GATE_NUMBERS[mode]: word for mode, word in words.items()}


def test_every_panel_uses_the_provisioned_datasource() -> None:
    (source,) = provisioned("datasources/influxdb.yml")["datasources"]
    expected = {"type": source["type"], "uid": source["uid"]}
    assert expected["type"] == "influxdb"
    for item in (*PANELS, *VARIABLES, ANNOTATION, *(target for panel in PANELS for target in panel["targets"])):
        assert item["datasource"] == expected


def test_the_datasource_speaks_influxql_with_a_login_from_the_environment() -> None:
    (source,) = provisioned("datasources/influxdb.yml")["datasources"]
    assert source["url"] == "${INFLUXDB_URL}"
    assert source["jsonData"]["version"] == "InfluxQL"
    assert source["jsonData"]["dbName"] == "${INFLUXDB_BUCKET}"
    assert source["jsonData"]["httpMode"] in ("GET", "POST")
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert source["secureJsonData"] == {"httpHeaderValue1": "Token $__file{/run/influxdb/grafana-token}"}


def test_the_dashboards_folder_is_the_one_that_is_mounted() -> None:
    (provider,) = provisioned("dashboards/zero-export.yml")["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    mounts = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
    assert ["./grafana/dashboards", provider["options"]["path"], "ro"] in mounts
    assert provider["allowUiUpdates"] is False


@pytest.mark.parametrize("path", PROVISIONING, ids=lambda path: path.name)
def test_provisioning_uses_only_what_grafana_expands(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ":-" not in text
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    given = set(compose["services"]["grafana"]["environment"])
    used = {name for line in text.splitlines() for name in re.findall(r"\$\{(\w+)\}", line.split("#")[0])}
    assert used <= given
    assert yaml.safe_load(text)["apiVersion"] == 1


def test_there_is_provisioning() -> None:
    assert [path.name for path in PROVISIONING] == ["zero-export.yml", "influxdb.yml"]
