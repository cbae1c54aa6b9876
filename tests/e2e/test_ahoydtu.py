"""An installation whose inverters are behind an AhoyDTU: the real process, a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.simulator.devices import FakeAhoyDtu, FakeShelly
from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.models import MODELS
from app.simulator.parameters import DtuConfig
from tests.conftest import Mosquitto, free_port, until
from tests.e2e.conftest import App, Installation, held

pytestmark = pytest.mark.e2e


def sections(house: House) -> list[dict[str, Any]]:
    """As `config.yaml` would have it; the second one without its serial number."""
    return [
        {
            "type": "ahoydtu",
            "name": one.name,
            "id": number,
            "max_watt": MODELS[one.model].rated_w,
            **({"serial": one.serial} if number == 0 else {}),
        }
        for number, one in enumerate(house.config.inverters)
    ]


REPLACED = ("last_success", "ch0/YieldDay", "ack_pwr_limit", "hardware")
GARBAGE = ("\x00", "99999999999999999999", "-5", "nan", '{"part": 1e400}')


@pytest.fixture
async def place(tmp_path: Path, mosquitto: Mosquitto) -> AsyncIterator[Installation]:
    """Two inverters, each asked every 2 s; garbage that the broker has kept is already there."""
    house = House(
        HouseConfig(seed=7, inverters=fleet(2), dtu=DtuConfig(poll_interval_s=1.0, publish_interval_s=1.0, boot_s=3.0))
    )
    house.sun_override, house.load_override_w = 0.9, 600.0
    async with AsyncExitStack() as stack:
        shelly = await stack.enter_async_context(FakeShelly(house, "pro3em"))
        dtu: Any = FakeAhoyDtu(house, "127.0.0.1", mosquitto.port)
        app = App(tmp_path / "config.yaml", free_port())
        made = await stack.enter_async_context(Installation(tmp_path, mosquitto, house, shelly, dtu, app))
        for topic, payload in (
            ("Roof south/available", "\x00"),
            ("Roof south/ch0/P_AC", "1e999"),
            ("Roof south/ch0", "[" * 3000),
            ("Garage/last_success", "99999999999999999999"),
            ("Garage/ch0/YieldDay", "-5"),
            ("Garage/ack_pwr_limit", "nan"),
            ("Garage/hardware", '{"part": 1e400}'),
            ("mqtt", "perhaps"),
            ("ctrl/limit/1", "100"),  # obeyed again with every reconnection
        ):
            await made.publish(f"inverter/{topic}", payload, retain=True)
        await stack.enter_async_context(dtu)
        for topic in ("Roof south/available", *(f"Garage/{one}" for one in REPLACED)):
            while await made.retained(f"inverter/{topic}") in GARBAGE:
                await asyncio.sleep(0.1)
        made.configure(inverters=sections(house))
        yield made


def limits(place: Installation) -> list[str]:
    return [f"{one.serial} {one.payload}" for one in place.house.dtu.received if one.command.endswith("absolute")]


async def test_holds_the_target_survives_a_restart_of_the_dtu_and_falls_back_when_killed(place: Installation) -> None:
    await place.app.start()
    await held(place)
    status = await place.app.status()
    first, second = status["inverters"]
    assert (first["serial"], second["serial"], second["name"]) == ("116180400001", "Garage", "Garage")
    assert [gateway["name"] for gateway in status["gateways"]] == ["AhoyDTU"]
    assert await place.retained("inverter/ctrl/limit/1") is None, "the leftover is removed"
    assert await place.retained("inverter/ctrl/limit/0") is None, "nothing of ours is kept"
    _, metrics = await place.app.ask("GET", "/metrics")
    told = [line for line in metrics.splitlines() if "mqtt_dropped_messages_total" in line and "inverters" in line]
    assert float(told[0].split()[-1]) == 2, "AhoyDTU has replaced the rest of the garbage"

    place.house.dtu.reboot()
    for inverter in place.house.inverters:
        inverter.reset(place.house.now_s, 0.0)
    await until(lambda: place.house.grid_w < -200.0, 10.0, "the limits are lost")
    await held(place)

    guarded = await place.app.when(lambda seen: all(one["guarded"] for one in seen["inverters"]))
    assert guarded["mode"] == "limit"
    place.house.dtu.received.clear()
    await place.app.stop(signal.SIGKILL)
    await until(lambda: {"116180400001 45.0", "114180400002 24.0"} <= set(limits(place)), 10.0, "the wills")
    await until(lambda: all(one.limit_w < 46.0 for one in place.house.inverters), 10.0, "lowered")


async def test_doctor_finds_them_and_a_limit_that_is_refused_and_acknowledged_is_told(place: Installation) -> None:
    refusing = place.house.inverters[0]
    refusing.ignores_limit = True
    await place.app.start()
    code, checks = await doctor(place)
    assert code == 0, checks
    assert [check["status"] for check in checks] == ["ok", "ok", "ok"], checks
    assert checks[1]["detail"].startswith("Roof south (116180400001): ")

    def told(seen: dict[str, Any]) -> bool:
        return "disobeyed:116180400001" in {fault["key"] for fault in seen["faults"]}

    seen = (await place.app.when(told, 40.0))["inverters"][0]
    assert seen["acked_w"] is not None
    assert seen["power_w"] > seen["acked_w"] + 50.0


async def doctor(place: Installation) -> tuple[int, list[dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "doctor", "inverter", "--json", "--config", str(place.app.config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out)["checks"]
