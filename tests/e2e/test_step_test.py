"""`doctor inverter --step-test` as people run it: alone, and beside a controller; and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

import pytest

from tests.conftest import until
from tests.e2e.conftest import Installation, held

pytestmark = pytest.mark.e2e

ROOF = "116180400001"  # the first of the fleet: one second of dead time


async def start(place: Installation, *arguments: str) -> asyncio.subprocess.Process:
    """Run doctor, and leave it running."""
    command = ("doctor", "inverter", "--step-test", "--serial", ROOF, "--config", str(place.app.config), *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "app", *command, stdout=pipe, stderr=pipe)


async def step_test(place: Installation, timeout_s: float = 240.0) -> tuple[int | None, dict[str, Any], list[str]]:
    """Exit code, the check, and the lines that told how it went."""
    process = await start(place, "--json")
    out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    return process.returncode, checks["step test"], err.decode().splitlines()


def learned(place: Installation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.folder / "data" / "learned.json").read_text())
    return found


async def released(place: Installation) -> None:
    """OpenDTU knows a limit of the first inverter: all that it can."""
    await until(lambda: place.house.dtu.links[ROOF].rated_w is not None, 20, "OpenDTU to know the inverter")
    await place.publish(f"solar/{ROOF}/cmd/limit_nonpersistent_absolute", "1500")
    await until(lambda: place.house.dtu.links[ROOF].limit_pct == 100.0, 20, "the limit to be shown")
    place.house.dtu.received.clear()


async def test_without_a_controller_doctor_does_it_and_puts_the_limit_back(installation: Installation) -> None:
    place = installation
    await released(place)
    code, found, said = await step_test(place)
    assert code == 0, found
    assert (found["status"], found["serial"], found["sign"]) == ("ok", ROOF, 1)
    assert 1.0 <= found["dead_time_s"] <= 3.0
    assert found["gain"] == pytest.approx(1.0, abs=0.25)
    assert any("step 1 of 3: " in line and " W -> " in line for line in said)
    commands = place.commands()
    assert {serial for serial, _ in commands} == {ROOF}
    assert commands[-1][1] == 1500.0, "as it was before: released"
    assert "its limit is back at 1500 W" in said[-1]
    assert learned(place)[ROOF]["source"] == "step test"
    assert learned(place)[ROOF]["dead_time_s"] == pytest.approx(found["dead_time_s"], abs=0.01)


async def test_beside_a_controller_that_one_does_it_and_keeps_what_it_learned(installation: Installation) -> None:
    place = installation
    place.configure(http={"host": "127.0.0.1", "port": place.app.port, "token": "sunshine"})
    await place.app.start()
    await held(place)
    testing = asyncio.create_task(step_test(place))
    seen = await place.app.when(lambda status: (status["step_test"] or {}).get("step", 0) > 0, 60)
    assert seen["mode"] == "limit"
    assert seen["reason"].startswith("step test of Roof south: step 1 of 3")
    exported_wh = place.house.energy.export_wh
    code, found, said = await testing
    assert (code, found["status"]) == (0, "ok"), found
    assert place.house.energy.export_wh - exported_wh < 0.1
    assert "a controller is running" in said[0]
    await until((place.folder / "data" / "learned.json").exists, 5)
    assert learned(place)[ROOF]["dead_time_s"] == pytest.approx(found["dead_time_s"], abs=0.01)
    await held(place)
    assert await place.app.stop() == 0
    await place.app.start()
    status = await place.app.when(lambda status: bool(status["inverters"]) and status["mode"] == "limit")
    assert status["inverters"][0]["dead_time_s"] == pytest.approx(found["dead_time_s"], rel=0.3)


async def test_ctrl_c_puts_the_limit_back(installation: Installation) -> None:
    place = installation
    await released(place)
    process = await start(place)
    await until(lambda: len(place.commands()) >= 2, 60, "a first cut")
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "its limit is back at 1500 W" in out.decode()
    assert "Traceback" not in err.decode()
    await until(lambda: place.commands()[-1] == (ROOF, 1500.0), 5)


async def test_ctrl_c_calls_the_controller_s_test_off(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await held(place)
    process = await start(place)
    await place.app.when(lambda status: status["reason"].startswith("step test"), 30)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    await place.app.when(lambda status: status["step_test"] is None and not status["reason"].startswith("step"), 5)


async def test_a_controller_that_is_somewhere_else_is_not_fought_with(installation: Installation) -> None:
    place = installation
    await place.publish("zeropower/status", "online", retain=True)
    code, found, _ = await step_test(place)
    assert (code, found["status"]) == (1, "fail")
    assert "a controller is connected to the broker" in found["detail"]
    assert place.commands() == []


async def test_a_dry_run_commands_nothing(installation: Installation) -> None:
    place = installation
    place.configure(control={"dry_run": True})
    code, found, _ = await step_test(place)
    assert (code, found["status"]) == (1, "fail")
    assert "dry_run" in found["detail"]
    assert place.commands() == []


async def test_what_was_learned_may_be_damaged(installation: Installation) -> None:
    place = installation
    (place.folder / "data").mkdir()
    (place.folder / "data" / "learned.json").write_text('{"116180400001": {"dead_ti')
    await place.app.start()
    await held(place)
    assert place.app.logged("learning anew")
    assert (place.folder / "data" / "learned.damaged").exists()
    assert await place.app.stop() == 0


async def test_an_unknown_serial_is_a_mistake(installation: Installation) -> None:
    command = ("doctor", "--step-test", "--serial", "9", "--config", str(installation.app.config))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *command, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert f"--serial '9' is none of {ROOF}" in err.decode()
