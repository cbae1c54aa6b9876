"""What must hold for the stack whatever is changed in it."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from app.simulator.fleet import fleet
from app.simulator.models import MODELS
from tests.stack import compose
from tests.stack.compose import DEMO, FILES, MAIN, ROOT

EVERY_SERVICE = [(MAIN, name) for name in compose.services(MAIN)] + [(DEMO, "devices")]
SET_BY_THE_STACK = {"DATA_DIR", "INFLUXDB_TOKEN_FILE"}  # by the image, and by the compose file
SECRETS = {key for key, comment in compose.example().items() if "[secret]" in comment}


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_compose_specification_allows(name: str) -> None:
    schema = json.loads((ROOT / "tests/stack/compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(compose.document(name))


@pytest.mark.parametrize(("file", "name"), EVERY_SERVICE)
def test_every_service_is_locked_down_and_bounded(file: str, name: str) -> None:
    service = compose.services(file)[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["restart"] == "unless-stopped"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert {"mem_limit", "pids_limit"} <= set(service)
    assert not {"privileged", "container_name", "env_file"} & set(service)
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize(("file", "name"), EVERY_SERVICE)
def test_every_service_says_whether_it_is_well(file: str, name: str) -> None:
    dockerfile = (ROOT / "app/Dockerfile").read_text(encoding="utf-8")
    assert "healthcheck" in compose.services(file)[name] or (name == "app" and "HEALTHCHECK" in dockerfile)


@pytest.mark.parametrize(("file", "name"), EVERY_SERVICE)
def test_nothing_waits_but_a_first_grafana_that_starts_in_any_case(file: str, name: str) -> None:
    waits = compose.services(file)[name].get("depends_on")
    assert waits == ({"influxdb": {"condition": "service_healthy", "required": False}} if name == "grafana" else None)


def test_images_are_pinned_to_a_full_version() -> None:
    images = {service["image"] for file in FILES for service in compose.services(file).values() if "image" in service}
    assert len(images) == 4
    assert all(re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", image) for image in images), images
    bases = re.findall(r"^FROM (\S+)", (ROOT / "app/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert bases == ["python:3.13-slim"] * 2


def test_only_what_other_machines_need_is_reachable_from_them() -> None:
    ports = {name: service.get("ports", []) for name, service in compose.services(MAIN).items()}
    assert ports == {
        "app": ["8080:8080"],
        "mosquitto": ["1883:1883"],
        "influxdb": ["127.0.0.1:8086:8086"],
        "grafana": ["${GRAFANA_BIND:-0.0.0.0}:3000:3000"],
    }


@pytest.mark.parametrize("name", FILES)
def test_a_secret_has_no_default_and_a_missing_one_says_what_to_do(name: str) -> None:
    used = compose.variables(name)
    assert all(used[key] == {":?"} for key in SECRETS & set(used))
    assert all(
        "run: make env" in match[3] for match in compose.VARIABLE.finditer(compose.text(name)) if match[2] == ":?"
    )


def test_every_secret_is_used_somewhere() -> None:
    assert set(compose.variables(MAIN)) >= SECRETS
    assert len(SECRETS) == 6


@pytest.mark.parametrize("name", [*FILES, "config.yaml", "config.demo.yaml"])
def test_every_variable_is_explained_in_the_example(name: str) -> None:
    assert set(compose.variables(name)) - SET_BY_THE_STACK <= set(compose.example())


def test_every_key_of_the_example_is_explained_and_used() -> None:
    keys = compose.example()
    assert all(comment.startswith("# ") and len(comment) > 8 for comment in keys.values())
    used = set().union(*(compose.variables(name) for name in (*FILES, "config.yaml")))
    assert set(keys) <= used


@pytest.mark.parametrize("config", ["config.yaml", "config.demo.yaml"])
def test_what_the_configuration_reads_reaches_the_container(config: str) -> None:
    given = set(compose.services(MAIN)["app"]["environment"])
    read = set(compose.variables(config)) - SET_BY_THE_STACK
    assert {key for key in read if key not in given and f"{key}_FILE" not in given} == set()


def test_controller_and_broker_agree_on_their_topics_and_logins() -> None:
    app = compose.services(MAIN)["app"]["environment"]
    broker = compose.services(MAIN)["mosquitto"]["environment"]
    prefixes = ("MQTT_TOPIC_PREFIX", "OPENDTU_TOPIC_PREFIX", "HOMEASSISTANT_PREFIX", "ENPHASE_TOPIC")
    shared = ("MQTT_USERNAME", "MQTT_PASSWORD", *prefixes)
    assert all(app[key] == broker[key] for key in shared)


def test_the_operator_token_stays_with_the_database() -> None:
    holders = [
        name for name, service in compose.services(MAIN).items() if "${INFLUXDB_TOKEN" in str(service["environment"])
    ]
    assert holders == ["influxdb"]
    app = compose.services(MAIN)["app"]
    assert app["environment"]["INFLUXDB_TOKEN_FILE"] == "/run/influxdb/app-token"
    assert "influxdb-token:/run/influxdb:ro" in app["volumes"]


def test_all_data_lives_in_declared_volumes() -> None:
    declared = set(compose.document(MAIN)["volumes"])
    used = {
        volume.partition(":")[0]
        for service in compose.services(MAIN).values()
        for volume in service["volumes"]
        if not volume.startswith("./")
    }
    assert used == declared


def test_mounted_files_are_there() -> None:
    for file in (MAIN, DEMO):
        for service in compose.services(file).values():
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                assert not source.startswith("./") or (ROOT / source).exists(), source


def test_grafana_opens_on_a_dashboard_that_exists() -> None:
    path = compose.services(MAIN)["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / path.removeprefix("/etc/")).exists()


def test_the_demo_controls_exactly_the_simulated_inverters() -> None:
    configured = re.findall(r'serial: "(\w+)", name: ([\w ]+), max_watt: (\d+)', compose.text("config.demo.yaml"))
    simulated = [(one.serial, one.name, f"{MODELS[one.model].rated_w:.0f}") for one in fleet(2)]
    assert configured == simulated


def test_the_demo_keeps_its_invented_readings_to_itself() -> None:
    assert compose.document(DEMO)["name"] != compose.document(MAIN)["name"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-mutation.txt"])
def test_locks_pin_every_package_by_hash_and_name_no_registry(name: str) -> None:
    lock = compose.text(name)
    packages = re.findall(r"^[a-z0-9.-]+==\S+.*\\$", lock, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z]", lock, re.MULTILINE)) > 30
    assert all("--hash=sha256:" in part for part in re.split(r"^[a-z].*\\$", lock, flags=re.MULTILINE)[1:])
    assert "://" not in lock


def test_the_development_lock_contains_the_runtime_lock() -> None:
    pin = re.compile(r"^[a-z0-9.-]+==[^ ;\\]+", re.MULTILINE)
    assert set(pin.findall(compose.text("requirements.txt"))) <= set(pin.findall(compose.text("requirements-dev.txt")))
