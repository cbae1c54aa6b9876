"""The configuration: what is accepted, and that every mistake is named at once with its line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.config import Config, ConfigError, load, schema
from app.dotenv import environment_for

GOOD = """\
mqtt: {host: "${MQTT_BROKER:-localhost}", port: "${MQTT_PORT:-1883}"}
meter: {type: shelly, host: "${METER_IP}"}
inverters:
  - {serial: "116180400000", enabled: true, max_watt: 1500}
control: {target_point_w: 15}
"""

TEN_MISTAKES = """\
site: "My House"
mqtt: {host: localhost, port: 99999}
opendtu: {topic_prefix: "solar/#"}
meter: {type: shelly, hots: 10.0.0.5}
inverters:
  - {serial: "11xxxxxxxxxx", max_watt: 1500}
  - {serial: "116180400000", max_watt: lots}
control:
  target_point_w: .nan
  dry_run: maybe
influxdb: {url: "localhost", token: "${NOT_SET_ANYWHERE}"}
"""


def config(tmp_path: Path, text: str, **environment: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load(path, environment_for(path, environment))


def problems(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text, **environment)
    return [str(problem).removeprefix(str(tmp_path) + "/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (
            "{type: home_assistant, url: 'http://h', token: t, entity: Grid Power}",
            "'Grid Power': is no id of an entity",
        ),
        ("{type: esphome, host: h, sensor: p, username: 'a:b'}", "'a:b': holds a colon"),
        ("{type: victron, host: h, portal_id: 'a b'}", "'a b': is not of the form ^[0-9A-Za-z]+$"),
        ("{type: shelly, host: h}\nsite: My House", "'My House': use lower-case letters, digits"),
    ],
)
def test_a_text_of_the_wrong_form_is_told_the_form_of_its_own_key(tmp_path: Path, section: str, told: str) -> None:
    text = GOOD.replace('{type: shelly, host: "${METER_IP}"}', section)
    assert any(told in problem for problem in problems(tmp_path, text)), problems(tmp_path, text)


@pytest.mark.parametrize("url", ["http://h/a b?token=t0ps3cret", "ftp://h/?t=t0ps3cret", "http://me:t0ps3cret@/"])
def test_a_url_that_is_none_is_told_without_what_may_be_a_secret(tmp_path: Path, url: str) -> None:
    section = f"{{type: http_json, url: '{url}', path: $.p}}"
    (problem,) = problems(tmp_path, GOOD.replace('{type: shelly, host: "${METER_IP}"}', section))
    assert "is not a URL like" in problem
    assert "t0ps3cret" not in problem


def test_variables_come_from_the_environment_with_defaults(tmp_path: Path) -> None:
    loaded = config(tmp_path, GOOD, METER_IP="10.0.0.5:8080", MQTT_PORT="2883")
    assert loaded.meter[0].host == "10.0.0.5:8080"  # type: ignore[union-attr]
    assert (loaded.mqtt.host, loaded.mqtt.port) == ("localhost", 2883)
    assert loaded.inverters[0].serial == "116180400000"


def test_the_env_file_beside_it_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('# addresses\nMETER_IP="10.0.0.7"  \nexport MQTT_BROKER=broker # ours\n')
    assert config(tmp_path, GOOD).meter[0].host == "10.0.0.7"  # type: ignore[union-attr]
    assert config(tmp_path, GOOD).mqtt.host == "broker"
    assert config(tmp_path, GOOD, METER_IP="10.0.0.8").meter[0].host == "10.0.0.8"  # type: ignore[union-attr]


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    text = GOOD + 'influxdb: {token: "${INFLUXDB_TOKEN}"}\n'
    loaded = config(tmp_path, text, METER_IP="10.0.0.5", INFLUXDB_TOKEN_FILE=str(tmp_path / "secret"))
    assert loaded.influxdb is not None
    assert loaded.influxdb.token == "s3cret"
    assert "s3cret" not in repr(loaded)


def test_variables_are_expanded_once(tmp_path: Path) -> None:
    text = GOOD + 'influxdb: {token: "${A}-$${A}"}\n'
    loaded = config(tmp_path, text, METER_IP="10.0.0.5", A="x${A}")
    assert loaded.influxdb is not None
    assert loaded.influxdb.token == "x${A}-${A}"


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    found = problems(tmp_path, TEN_MISTAKES)
    expected = [
        "config.yaml:1: site: ",
        "config.yaml:2: mqtt.port: 99999",
        "config.yaml:3: opendtu.topic_prefix: 'solar/#' is not an MQTT topic",
        "config.yaml:4: meter.host: is missing",
        "config.yaml:4: meter.hots: unknown key",
        "config.yaml:6: inverters.0.serial: '11xxxxxxxxxx' is a placeholder",
        "config.yaml:7: inverters.1.max_watt: 'lots'",
        "config.yaml:9: control.target_point_w: nan",
        "config.yaml:10: control.dry_run: 'maybe'",
        "config.yaml:11: influxdb.token: NOT_SET_ANYWHERE is not set",
        "config.yaml:11: influxdb.url: 'localhost' is not a URL",
    ]
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "config.yaml:1: is empty"),
        ("- a\n", "config.yaml:1: is empty or no mapping"),
        ("meter: {type: shelly\n", "is not valid YAML"),
        ("a: &x [1]\nb: *x\n", "config.yaml:2: aliases (*name) are not supported"),
        ("meter: [" * 3000, "config.yaml:1: is nested more than 20 levels deep"),
        (GOOD + "mqtt: {host: other}\n", "config.yaml:6: mqtt: is there twice"),
        (GOOD.replace("type: shelly", "type: shely"), "'shely' is no known type"),
        (GOOD.replace("type: shelly", "type: shely"), "did you mean 'shelly'? use one of"),
        (GOOD.replace("type: shelly, ", ""), "type is missing"),
        (
            GOOD.replace("type: shelly", "type: shelly, pasword: x"),
            "meter.pasword: unknown key: did you mean 'password'?",
        ),
        (GOOD.replace("type: shelly", "type: shelly, tokn: x"), "meter.tokn: unknown key: remove it"),
        (GOOD + "price: {type: amber, side_id: x}\n", "price.side_id: unknown key: did you mean 'site_id'?"),
        (GOOD + "control: {target_point_w: 15W}\n", "control.target_point_w: '15W': should be a number"),
        (GOOD + "control: {dry_run: ja}\n", "control.dry_run: 'ja': should be true or false"),
        ("inverters: {serial: '1'}\n", "inverters: should be a list: begin each entry with a -"),
        (GOOD.replace('"${METER_IP}"', "192.168.x.x"), "is a placeholder"),
        (GOOD.replace('"${METER_IP}"', '"http://10.0.0.5/"'), "is not a host"),
        (GOOD.replace('"${METER_IP}"', '"${METER_IP:?put the address of your meter into .env}"'), "put the address"),
        (GOOD + "inverter: []\n", "inverter: unknown key: did you mean 'inverters'?"),
        (
            GOOD.replace("max_watt: 1500}", "max_watt: 1500}\n  - {serial: '116180400000', max_watt: 5}"),
            "is there twice",
        ),
        (GOOD + "control: {dead_time_s: [4, 1]}\n", "is there twice"),
        ("price: !!python/object/apply:os.system [id]\n", "meter: is missing"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, text: str, expected: str) -> None:
    environment = {"METER_IP": "10.0.0.5"} if "put the address" not in expected else {}
    started = time.process_time()
    assert any(expected in line for line in problems(tmp_path, text, **environment))
    assert time.process_time() - started < 5.0


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file"):
        load(tmp_path / "nowhere.yaml", {})


def test_check_prints_the_mistakes_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TEN_MISTAKES)
    done = subprocess.run(
        [sys.executable, "-m", "app", "check", "--config", str(tmp_path / "config.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 11
    assert "Traceback" not in done.stderr


def test_check_says_ok(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    (tmp_path / ".env").write_text("METER_IP=10.0.0.5\n")
    done = subprocess.run(
        [sys.executable, "-m", "app", "check", "--config", str(tmp_path / "config.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok (1 inverter, meter shelly)" in done.stdout


def test_the_documentation_names_every_key() -> None:
    docs = Path(__file__).parent.parent / "docs"
    text = "".join(page.read_text() for page in docs.glob("*.md"))
    document = schema()
    sections = {"Config": document, **document["$defs"]}
    named = ("`{}`", ".{}`", "`{}: ", "## `{}`")
    missing = {
        f"{name}.{key}"
        for name, part in sections.items()
        for key in part["properties"]
        if not any(form.format(key) in text for form in named)
    }
    assert missing <= {"Config.log", "Config.mqtt", "Config.opendtu"}  # sections, named with their keys


def test_naming_home_assistant_is_enough(tmp_path: Path) -> None:
    assert config(tmp_path, GOOD, METER_IP="10.0.0.5").homeassistant is None
    for text in ("homeassistant:\n", "homeassistant: {}\n"):
        section = config(tmp_path, GOOD + text, METER_IP="10.0.0.5").homeassistant
        assert section is not None
        assert (section.discovery_prefix, section.name) == ("homeassistant", "")
    [problem] = problems(tmp_path, GOOD + "homeassistant: {discovery_prefix: 'home/#'}\n", METER_IP="10.0.0.5")
    assert "'home/#' is not an MQTT topic" in problem


@pytest.mark.parametrize(("more", "fine"), [("", False), (", normal_export_w: 5000", True)])
@pytest.mark.parametrize("control", ["grid_profile", "production", "dpel"])
def test_under_a_cap_normal_export_has_to_be_known(tmp_path: Path, control: str, more: str, fine: bool) -> None:
    keys = f"max_watt: 8200, token: abc, control: {control}{more}"
    system = f'{{type: enphase, host: 10.0.0.9, serial: "122012345678", {keys}}}'
    text = f"inverters: [{system}]\ncontrol: {{export_limit_w: 5000}}\n"
    if fine or control == "dpel":
        assert config(tmp_path, text).inverters[0].id == "122012345678"
    else:
        [problem] = problems(tmp_path, text)
        assert "122012345678 needs normal_export_w" in problem


EACH = GOOD.replace("{target_point_w: 15}", "{phases: each}")


def test_each_phase_needs_to_know_where_an_inverter_feeds(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, EACH, METER_IP="10.0.0.5")
    assert "control.phases is each, so 116180400000 needs phase: 1, 2 or 3" in problem
    loaded = config(tmp_path, EACH.replace("max_watt", "phase: 2, max_watt"), METER_IP="10.0.0.5")
    assert loaded.inverters[0].phase == 2


def test_an_inverter_of_three_phases_or_one_that_is_disabled_needs_no_phase(tmp_path: Path) -> None:
    assert config(tmp_path, EACH.replace("1161804", "1382804"), METER_IP="10.0.0.5").control.phases == "each"
    assert config(tmp_path, EACH.replace("enabled: true", "enabled: false"), METER_IP="10.0.0.5")
    wrong = EACH.replace("1161804", "1382804").replace("max_watt", "phase: 2, max_watt")
    assert any("feeds three phases: remove its phase" in line for line in problems(tmp_path, wrong, METER_IP="1.2.3.4"))


def test_a_phase_counts_from_1_to_3(tmp_path: Path) -> None:
    wrong = EACH.replace("max_watt", "phase: 0, max_watt")
    assert any("inverters.0.phase" in line for line in problems(tmp_path, wrong, METER_IP="10.0.0.5"))


def test_switching_off_does_not_go_with_each_phase(tmp_path: Path) -> None:
    wrong = EACH.replace("{phases: each}", "{phases: each, switch_off: true}").replace("max_watt", "phase: 2, max_watt")
    assert any("works with phases: net only" in line for line in problems(tmp_path, wrong, METER_IP="10.0.0.5"))
