"""`make env`: a stranger's first step, and every later one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import compose
from tests.stack.compose import ROOT

KEYS = compose.example()
SECRETS = sorted(key for key, comment in KEYS.items() if "[secret]" in comment)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout, as far as the script looks at it."""
    for name in (".env.example", "config.yaml", "scripts/env.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make_env(checkout: Path) -> str:
    """Run the script with nothing but Python's standard library; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", checkout / "scripts/env.py"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def values(checkout: Path) -> dict[str, str]:
    """The keys and values of `.env`."""
    lines = (checkout / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_a_new_file_has_every_key_and_secrets_of_its_own(checkout: Path) -> None:
    make_env(checkout)
    first = values(checkout)
    (checkout / ".env").unlink()
    make_env(checkout)
    second = values(checkout)
    assert list(first) == list(KEYS)
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", first[key]) for key in SECRETS)
    assert len({values[key] for values in (first, second) for key in SECRETS}) == 2 * len(SECRETS)


def test_only_its_owner_can_read_it(checkout: Path) -> None:
    make_env(checkout)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600
    (checkout / ".env").chmod(0o644)
    make_env(checkout)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(checkout: Path) -> None:
    make_env(checkout)
    before = (checkout / ".env").read_bytes()
    assert ".env is kept; it has everything." in make_env(checkout)
    assert (checkout / ".env").read_bytes() == before


def test_what_a_person_wrote_stays_and_new_keys_come_at_the_end(checkout: Path) -> None:
    mine = "# mine\nMETER_IP=10.0.0.7\nexport MQTT_PASSWORD=chosen by me\nUNKNOWN=kept\nHTTP_TOKEN=\n"
    (checkout / ".env").write_text(mine, encoding="utf-8")
    assert "added: OPENDTU_IP," in make_env(checkout)
    text = (checkout / ".env").read_text(encoding="utf-8")
    assert text.startswith(mine)
    assert set(KEYS) - {"MQTT_PASSWORD"} <= set(values(checkout))
    assert text.count("MQTT_PASSWORD=") == len([key for key in KEYS if key.endswith("MQTT_PASSWORD")])


def test_secrets_left_empty_by_a_copy_of_the_example_are_filled_in(checkout: Path) -> None:
    shutil.copy(checkout / ".env.example", checkout / ".env")
    printed = make_env(checkout)
    assert all(key in printed for key in SECRETS)
    assert all(values(checkout)[key] for key in SECRETS)
    assert values(checkout)["HTTP_TOKEN"] == ""


def test_it_says_what_is_left_to_do_and_what_to_type_into_opendtu(checkout: Path) -> None:
    printed = make_env(checkout)
    assert "METER_IP=192.168.x.x" in printed
    assert "config.yaml: the serial number" in printed
    assert f"user opendtu, password {values(checkout)['OPENDTU_MQTT_PASSWORD']}" in printed
    assert "Home Assistant, MQTT: the same host and port, user home, password HOME_MQTT_PASSWORD in .env" in printed

    config = checkout / "config.yaml"
    config.write_text(config.read_text().replace("11xxxxxxxxxx", "116180400000"))
    env = checkout / ".env"
    env.write_text(env.read_text().replace("192.168.x.x", "192.168.1.20"))
    assert "Nothing left to fill in." in make_env(checkout)


def test_the_example_itself_holds_no_secret() -> None:
    lines = compose.text(".env.example").splitlines()
    assert all(f"{key}=" in lines for key in SECRETS)


def test_without_the_venv_package_make_says_what_to_install(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path / "Makefile")
    (tmp_path / "requirements.txt").touch()
    python = tmp_path / "python3"
    python.write_text(
        "#!/bin/sh\n[ $1 = -c ] && exit 0\necho ensurepip is not available >&2\nmkdir -p .venv/bin\nexit 1\n"
    )
    python.chmod(0o755)
    command = ["make", "--no-print-directory", f"PYTHON={python}", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == "python3 cannot make a virtual environment; install it: sudo apt install python3-venv\n"
    assert not (tmp_path / ".venv").exists()
