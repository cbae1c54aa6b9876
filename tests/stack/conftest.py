"""The stack's own broker: a real Mosquitto, started by the script that starts it in its container."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.stack.compose import ROOT

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
PASSWORDS = {"app": "app-pw", "opendtu": "dtu-pw", "home": "home-pw", "ahoydtu": "ahoy-pw"}
LOGINS = {
    "MQTT_PASSWORD": PASSWORDS["app"],
    "OPENDTU_MQTT_PASSWORD": PASSWORDS["opendtu"],
    "HOME_MQTT_PASSWORD": PASSWORDS["home"],
}
UID = 1883  # the broker never runs as root


@dataclass(frozen=True, slots=True)
class StackBroker:
    """A running broker and the folder that start.sh wrote."""

    port: int
    run: Path


def start_script(folder: Path, port: int, settings: Mapping[str, str]) -> subprocess.Popen[str]:
    """``mosquitto/start.sh`` with this environment, as its container would run it."""
    as_root = os.getuid() == 0
    scripts = shutil.copytree(ROOT / "mosquitto", folder / "config")  # that user need not be able to read the checkout
    if as_root:
        os.chown(folder, UID, UID)
    return subprocess.Popen(
        ["sh", str(scripts / "start.sh")],
        cwd=folder,
        env={
            "PATH": PATH,
            "MOSQUITTO_RUN_DIR": str(folder / "run"),
            "MOSQUITTO_DATA_DIR": str(folder / "data"),
            "MOSQUITTO_PORT": str(port),
            "MOSQUITTO_BIND": "127.0.0.1",
            **settings,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        user=UID if as_root else None,
        group=UID if as_root else None,
        extra_groups=[] if as_root else None,
    )


@contextmanager
def stack_broker(**settings: str) -> Iterator[StackBroker]:
    """A broker with the stack's access rules, gone afterwards."""
    if shutil.which("mosquitto", path=PATH) is None:
        pytest.skip("needs a real broker: apt install mosquitto")
    folder, port = Path(tempfile.mkdtemp()), free_port()
    process = start_script(folder, port, LOGINS | settings)
    try:
        _wait_until_open(port, process)
        yield StackBroker(port, folder / "run")
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder)


def _wait_until_open(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(500):
        if process.poll() is not None:
            pytest.fail(f"start.sh ended: {process.stderr.read() if process.stderr else ''}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("the broker did not open its port")


@pytest.fixture(scope="module")
def broker() -> Iterator[StackBroker]:
    """One broker for a whole file of tests."""
    with stack_broker() as running:
        yield running
