"""The other commands as their users run them: doctor, demo, schema."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest

from app.simulator.shelly_bodies import Fault
from tests.conftest import free_port, until
from tests.e2e.conftest import Installation

pytestmark = pytest.mark.e2e


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command line; exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def doctor(place: Installation, *devices: str) -> tuple[int, dict[str, Any]]:
    code, out, err = await run("doctor", *devices, "--json", "--config", str(place.app.config))
    assert err == ""
    checks = json.loads(out)["checks"]
    return code, {check["name"]: check for check in checks}


async def test_doctor_finds_everything_well(installation: Installation) -> None:
    code, checks = await doctor(installation)
    assert code == 0
    assert {check["status"] for check in checks.values()} == {"ok"}
    assert checks["meter"]["power_w"] == pytest.approx(installation.house.grid_w, abs=100.0)
    assert checks["meter"]["latency_ms"] < 500
    assert checks["inverter"]["power_w"] > 0
    assert installation.commands() == [], "doctor looks, and commands nothing"


async def test_doctor_says_what_is_wrong_and_what_to_do(installation: Installation) -> None:
    place = installation
    place.shelly.fault = Fault.DOWN
    place.configure(
        inverters=[{"serial": "112180400009", "max_watt": 300}],
        influxdb={"url": "http://127.0.0.1:9", "token": "secret-token"},
    )
    code, checks = await doctor(place)
    assert code == 1
    assert {name: check["status"] for name, check in checks.items()} == {
        "meter": "fail", "mqtt": "ok", "inverter": "fail", "telemetry": "fail",
    }  # fmt: skip
    assert all(check["next_step"] for check in checks.values() if check["status"] == "fail")
    assert "knows no such inverter" in checks["inverter"]["detail"]
    assert "secret-token" not in json.dumps(checks)


async def test_doctor_names_a_broker_that_is_not_there(installation: Installation) -> None:
    installation.configure(mqtt={"host": "127.0.0.1", "port": 9})
    code, checks = await doctor(installation, "mqtt")
    assert (code, checks["mqtt"]["status"]) == (1, "fail")
    assert "127.0.0.1:9" in checks["mqtt"]["detail"]


async def test_doctor_knows_only_its_devices(installation: Installation) -> None:
    code, _, err = await run("doctor", "fridge", "--config", str(installation.app.config))
    assert code == 2
    assert "'fridge' is none of" in err


async def test_schema_is_a_json_schema_of_the_configuration() -> None:
    code, out, _ = await run("schema")
    assert code == 0
    assert json.loads(out)["required"] == ["inverters"]  # a meter is needed by most, and by those that take watts


async def test_the_demo_limits_within_half_a_minute_and_sums_up() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "demo", "--port", str(port), "--seconds", "30", stdout=asyncio.subprocess.PIPE
    )
    seen: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(30):
            while not (seen and seen[-1]["mode"] == "limit" and seen[-1]["limit_w"] is not None):
                try:
                    async with session.get(f"http://127.0.0.1:{port}/api/status") as response:
                        seen.append(await response.json())
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    lines = out.decode().splitlines()
    assert process.returncode == 0
    assert lines[0].startswith(f"Zero export demo: open http://127.0.0.1:{port}")
    assert "exported" in lines[-1]


async def test_a_wrong_broker_password_is_one_sentence(installation: Installation) -> None:
    place = installation
    passwords = place.folder / "passwords"
    passwords.write_text("")
    passwords.chmod(0o600)
    await place.mosquitto.stop()
    await place.mosquitto.start(f"user root\nallow_anonymous false\npassword_file {passwords}\n")
    mqtt = {"host": "127.0.0.1", "port": place.mosquitto.port, "username": "app", "password": "wrong-pass"}
    place.configure(mqtt=mqtt)
    await place.app.start()
    await until(lambda: place.app.logged("refuses the login (user 'app'): check mqtt.username"), 15)
    assert not place.app.logged("Traceback")
    assert not place.app.logged("wrong-pass")
    assert await place.app.stop() == 0
