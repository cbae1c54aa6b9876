"""What Grafana is given at its start: data sources, dashboards, alert rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.grafana import boards
from tests.grafana.boards import BOARDS, GRAFANA, GROUP, RULES, Json

PROVISIONING = sorted(path for path in (GRAFANA / "provisioning").rglob("*") if path.is_file())
SOURCES = {source["uid"]: source for source in boards.provisioned("datasources/influxdb.yml")["datasources"]}


def test_there_is_provisioning() -> None:
    found = [path.relative_to(GRAFANA / "provisioning").as_posix() for path in PROVISIONING]
    assert found == ["alerting/zero-export.yaml", "dashboards/zero-export.yml", "datasources/influxdb.yml"]


@pytest.mark.parametrize("path", PROVISIONING, ids=lambda path: path.name)
def test_provisioning_uses_only_what_grafana_expands(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ":-" not in text
    given = set(boards.compose()["services"]["grafana"]["environment"])
    used = {name for line in text.splitlines() for name in re.findall(r"\$\{(\w+)\}", line.split("#")[0])}
    assert used <= given
    assert yaml.safe_load(text)["apiVersion"] == 1


def test_there_is_one_data_source_for_each_bucket() -> None:
    assert {uid: source["jsonData"]["dbName"] for uid, source in SOURCES.items()} == {
        boards.RAW: "${INFLUXDB_BUCKET}",
        boards.LASTING: "${INFLUXDB_BUCKET_LASTING}",
    }
    environment = boards.compose()["services"]["grafana"]["environment"]
    assert environment["INFLUXDB_BUCKET_LASTING"] == f"{environment['INFLUXDB_BUCKET']}_1m"
    assert "rollup=${raw}_1m" in (boards.ROOT / "influxdb/init.sh").read_text(encoding="utf-8")
    assert len({source["name"] for source in SOURCES.values()}) == 2
    assert [uid for uid, source in SOURCES.items() if source.get("isDefault")] == [boards.RAW]


@pytest.mark.parametrize("uid", SOURCES)
def test_data_sources_speak_influxql_with_a_login_from_the_environment(uid: str) -> None:
    source = SOURCES[uid]
    assert (source["type"], source["url"]) == ("influxdb", "${INFLUXDB_URL}")
    assert source["jsonData"]["version"] == "InfluxQL"
    assert source["jsonData"]["httpMode"] in ("GET", "POST")
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert source["secureJsonData"] == {"httpHeaderValue1": "Token $__file{/run/influxdb/grafana-token}"}


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_use_the_provisioned_data_sources(uid: str) -> None:
    allowed = [{"type": "influxdb", "uid": one} for one in SOURCES]
    for item in (*boards.panels(uid), *boards.variables(uid), *boards.marks(uid)):
        assert item["datasource"] in allowed
        assert all(target["datasource"] == item["datasource"] for target in item.get("targets", []))


def test_the_folders_are_the_ones_that_are_mounted() -> None:
    (provider,) = boards.provisioned("dashboards/zero-export.yml")["providers"]
    mounts = [volume.split(":") for volume in boards.compose()["services"]["grafana"]["volumes"]]
    assert ["./grafana/dashboards", provider["options"]["path"], "ro"] in mounts
    assert ["./grafana/provisioning", "/etc/grafana/provisioning", "ro"] in mounts
    assert provider["allowUiUpdates"] is False


def test_the_rules_are_the_ones_that_were_thought_of() -> None:
    assert {uid: (rule["for"], rule["labels"]["severity"]) for uid, rule in RULES.items()} == {
        "zero-export-exported": ("0s", "critical"),
        "zero-export-meter": ("0s", "critical"),
        "zero-export-fail-safe": ("5m", "critical"),
        "zero-export-unreachable": ("10m", "warning"),
        "zero-export-spool": ("5m", "warning"),
        "zero-export-silent": ("2m", "critical"),
    }
    assert (GROUP["folder"], GROUP["interval"], GROUP["orgId"]) == ("Zero Export", "1m", 1)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_is_a_query_its_last_value_and_a_threshold(rule: Json) -> None:
    asked, reduced, compared = rule["data"]
    assert [step["refId"] for step in rule["data"]] == [step["model"]["refId"] for step in rule["data"]] == list("ABC")
    assert (asked["datasourceUid"], asked["model"]["rawQuery"]) == (boards.RAW, True)
    assert (reduced["model"]["type"], reduced["model"]["expression"]) == ("reduce", "A")
    assert (compared["model"]["type"], compared["model"]["expression"]) == ("threshold", "B")
    assert reduced["datasourceUid"] == compared["datasourceUid"] == "__expr__"
    assert rule["condition"] == "C"
    assert all(step["relativeTimeRange"]["from"] > step["relativeTimeRange"]["to"] for step in rule["data"])
    assert rule["uid"].startswith("zero-export-")
    assert len(rule["uid"]) <= 40


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_tells_what_is_wrong_what_to_do_and_where_to_look(rule: Json) -> None:
    assert "{{ .Labels.site }}" in rule["annotations"]["summary"]
    assert len(rule["annotations"]["description"]) > 20
    shown = [panel["title"] for panel in boards.panels(rule["dashboardUid"]) if panel["id"] == rule["panelId"]]
    assert len(shown) == 1
    grouped = set(re.findall(r'"(\w+)"', rule["data"][0]["model"]["query"].rpartition("GROUP BY")[2]))
    told = set(re.findall(r"\.Labels\.(\w+)", rule["annotations"]["summary"]))
    assert told == grouped


def test_only_silence_of_everything_is_an_alarm_of_its_own() -> None:
    states = {uid: (rule["noDataState"], rule["execErrState"]) for uid, rule in RULES.items()}
    assert states.pop("zero-export-silent") == ("Alerting", "Alerting")
    assert set(states.values()) == {("OK", "OK")}


def test_nothing_in_the_rules_can_be_taken_for_a_variable() -> None:
    assert "$" not in (GRAFANA / "provisioning/alerting/zero-export.yaml").read_text(encoding="utf-8")


def test_nobody_is_told_by_default() -> None:
    document = boards.provisioned("alerting/zero-export.yaml")
    assert set(document) == {"apiVersion", "groups"}, "contact points and policies are the user's"
    assert not any("notification_settings" in rule for rule in RULES.values())
