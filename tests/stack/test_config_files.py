"""The configuration files that are shipped: refused until they are filled in, and right then."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Config, ConfigError, load
from app.dotenv import read
from tests.stack.compose import ROOT

FILLED = {"METER_IP": "192.168.1.20", "OPENDTU_IP": "192.168.1.21", "INFLUXDB_TOKEN": "token"}


@pytest.fixture
def filled_in(tmp_path: Path) -> Path:
    """The shipped file after the one edit that everybody has to make."""
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("11xxxxxxxxxx", "116180400000"), encoding="utf-8")
    return path


def test_the_untouched_file_is_refused_with_what_to_fill_in() -> None:
    with pytest.raises(ConfigError) as refused:
        load(ROOT / "config.yaml", read(ROOT / ".env.example") | {"INFLUXDB_TOKEN": "token"})
    message = str(refused.value)
    assert "'192.168.x.x' is a placeholder" in message
    assert "'11xxxxxxxxxx' is a placeholder: put the serial number of your inverter here" in message


def test_filled_in_it_is_right_for_a_controller_on_this_machine(filled_in: Path) -> None:
    config = load(filled_in, FILLED)
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.topic_prefix) == ("localhost", 1883, "zeropower")
    assert config.opendtu.topic_prefix == "solar"
    assert config.influxdb is not None
    assert (config.influxdb.url, config.influxdb.bucket) == ("http://localhost:8086", "zero_export")
    assert config.data_dir == Path("data")


def test_a_filled_in_env_file_is_all_it_needs_besides(filled_in: Path) -> None:
    environment = read(ROOT / ".env.example") | FILLED | {"MQTT_PASSWORD": "secret"}
    config = load(filled_in, {**environment, "PUBLIC_URL": "http://192.168.1.2:8080"})
    assert (config.mqtt.host, config.mqtt.username, config.mqtt.password) == ("localhost", "app", "secret")
    assert config.http.grafana == "http://192.168.1.2:3000"


def test_without_a_meter_address_the_missing_variable_is_named(filled_in: Path) -> None:
    with pytest.raises(ConfigError, match="METER_IP is not set"):
        load(filled_in, {key: value for key, value in FILLED.items() if key != "METER_IP"})


def test_the_file_spells_out_the_defaults_it_relies_on(filled_in: Path) -> None:
    control = load(filled_in, FILLED).control
    bare = Config.model_validate(
        {
            "meter": {"type": "shelly", "host": "192.168.1.20"},
            "inverters": [{"serial": "116180400000", "max_watt": 1500}],
        }
    )
    assert control == bare.control


def without_marks(path: Path, name: str) -> None:
    """Take the marks away from the example of a section."""
    before, found, after = path.read_text(encoding="utf-8").partition(f"# {name}:")
    example, rest = (found + after).split("\n\n", 1)
    uncommented = "\n".join(line.removeprefix("# ").replace("#   ", "  ", 1) for line in example.splitlines())
    path.write_text(f"{before}{uncommented}\n\n{rest}", encoding="utf-8")


def test_the_example_for_enphase_is_right_once_its_marks_are_taken_away(filled_in: Path) -> None:
    without_marks(filled_in, "enphase")
    section = load(filled_in, FILLED | {"ENPHASE_TOKEN": "token", "ENPHASE_TOPIC": "roof/envoy"}).enphase
    assert section is not None
    assert section.publish is not None
    assert section.publish.topic == "roof/envoy"


def test_the_example_for_home_assistant_is_right_once_its_marks_are_taken_away(filled_in: Path) -> None:
    without_marks(filled_in, "homeassistant")
    section = load(filled_in, FILLED | {"HOMEASSISTANT_PREFIX": "ha"}).homeassistant
    assert section is not None
    assert section.discovery_prefix == "ha"


def test_the_demo_file_needs_nothing_filled_in() -> None:
    config = load(ROOT / "config.demo.yaml", {"METER_IP": "devices:8081", "INFLUXDB_TOKEN": "token"})
    assert [inverter.max_watt for inverter in config.inverters] == [1500, 800]
