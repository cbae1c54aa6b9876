"""A GoodWe by Modbus TCP, without any broker, through the public surfaces: the real process and a dongle."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.cli import main
from tests.conftest import free_port, until
from tests.e2e.conftest import App
from tests.inverters.fake_goodwe import Dongle, Inverter, dongle

pytestmark = pytest.mark.e2e
STEP_W = 50.0
Release = Callable[..., Awaitable[tuple[int, str]]]


@dataclass
class Place:
    """A house with a GoodWe, and what its meter shows."""

    folder: Path
    dongle: Dongle
    app: App
    load_w: float = 1500.0
    meter_answers: bool = True

    @property
    def grid_w(self) -> float:
        return self.load_w - self.dongle.inverter.power_w

    async def meter(self, _request: web.Request) -> web.Response:
        if not self.meter_answers:
            raise web.HTTPServiceUnavailable
        return web.json_response({"power": round(self.grid_w + random.uniform(-2.0, 2.0), 1)})

    def configure(self, meter: str, **keys: Any) -> None:
        document = {
            "data_dir": str(self.folder / "data"),
            "meter": {"type": "http_json", "url": meter, "path": "$.power"},
            "inverters": [
                {"type": "goodwe", "name": "roof", "host": self.dongle.host, "max_watt": 5000, "interval_s": 1, **keys}
            ],
            "http": {"host": "127.0.0.1", "port": self.app.port},
        }
        self.app.config.write_text(yaml.safe_dump(document))

    async def held(self, seconds: float = 5.0) -> None:
        """Wait until the house takes about the target, and no more than what the register cannot tell, for a while."""
        since_s = time.monotonic()

        def long_enough() -> bool:
            nonlocal since_s
            if not -5.0 <= self.grid_w <= 15.0 + STEP_W + 25.0:
                since_s = time.monotonic()
            return time.monotonic() - since_s > seconds

        await until(long_enough, 60.0, "the grid power at the target")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        found = Place(
            tmp_path,
            await stack.enter_async_context(dongle(Inverter(sun_w=4000.0, delay_s=0.8))),
            App(tmp_path / "config.yaml", free_port()),
        )
        shown = web.Application()
        shown.router.add_get("/", found.meter)
        server = await stack.enter_async_context(TestServer(shown))
        found.configure(str(server.make_url("/")))
        yield found
        if found.app.process is not None and found.app.process.returncode is None:
            found.app.process.kill()
            await found.app.process.wait()


@pytest.fixture
def release(capfd: pytest.CaptureFixture[str]) -> Release:
    """The command, in a thread beside the dongle: exit code, and what it said."""

    async def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        code = await asyncio.to_thread(main, ["release", *arguments])
        said = "".join(capfd.readouterr())
        assert "Traceback" not in said
        return code, said

    return run


async def test_a_house_is_held_at_its_target_and_failed_safe_without_the_meter(place: Place, release: Release) -> None:
    await place.app.start()
    await place.app.when(lambda status: status["mode"] == "limit")
    await place.held()
    place.load_w = 2620.0
    await until(lambda: place.grid_w > 500.0)
    await place.held()
    status = await place.app.status()
    [shown] = status["inverters"]
    assert shown["limit_w"] % STEP_W == 0.0
    assert shown["acked_w"] == shown["limit_w"]
    assert "no dead-man limit over Modbus" in shown["note"]
    place.meter_answers = False
    await place.app.when(lambda status: status["mode"] == "fail_safe")
    await until(lambda: place.dongle.inverter.limit_w == STEP_W, 30.0, "the lowest limit")
    place.meter_answers = True
    await place.held()
    writes = place.dongle.inverter.writes
    assert all(now != before for before, now in pairwise(writes)), "nothing is written twice"

    code, said = await release("--config", str(place.app.config))
    assert code == 1
    assert "a controller is running and would take it back" in said
    assert place.dongle.inverter.limit_w < 5000.0

    assert await place.app.stop() == 0
    assert place.dongle.inverter.limit_w == STEP_W, "a clean stop leaves the fail-safe limit"
    code, said = await release("--config", str(place.app.config))
    assert (code, place.dongle.inverter.limit_w) == (0, 5000.0), said
    assert place.dongle.inverter.registers[291] == 0, "as it was found: the limiter was off"
    assert "roof: open to 5000 W, as it shows itself" in said


async def test_a_release_needs_no_configuration(place: Place, release: Release) -> None:
    inverter = place.dongle.inverter
    inverter.registers |= {291: 1, 256: 20}
    address = ("--host", "127.0.0.1", "--port", str(place.dongle.port), "--config", "/nowhere.yaml")
    code, said = await release(*address, "--value", "80")
    assert code == 0
    assert "register 256 holds 80 (was 20)" in said
    assert (await release(*address))[0] == 0
    assert inverter.registers[256] == 100
    assert inverter.writes == [(256, [80]), (256, [100])]
    code, said = await release(*address, "--profile", "dns")
    assert code == 1
    assert "has no register 40327" in said
    inverter.stuck.add(256)
    code, said = await release(*address, "--value", "50")
    assert code == 1
    assert "does not keep what is written" in said
    await place.dongle.close()
    code, said = await release(*address)
    assert code == 1
    assert "cannot be reached" in said


async def test_a_static_limit_survives_all_of_it(place: Place, release: Release) -> None:
    inverter = place.dongle.inverter
    inverter.registers |= {291: 1, 256: 70}
    place.load_w = 4500.0
    await place.app.start()
    await place.app.when(lambda status: status["inverters"] and status["inverters"][0]["acked_w"] == 3500.0)
    await place.app.when(lambda status: status["mode"] == "limit")
    await place.app.ask("GET", "/api/toggle?state=off")
    await place.app.when(lambda status: status["mode"] == "paused")
    code, said = await release("--config", str(place.app.config), "--force")
    assert inverter.limit_w == 3500.0, said
    assert await place.app.stop() == 0
    assert inverter.limit_w == 3500.0
    assert all(value <= 70 for address, [value] in inverter.writes if address == 256)
    code, said = await release("--config", str(place.app.config), "--value", "100")
    assert (code, inverter.limit_w) == (0, 5000.0), said


async def test_a_step_test_ends_with_a_verdict_and_proves_the_register(place: Place) -> None:
    place.load_w = 4500.0
    command = (sys.executable, "-m", "app", "doctor", "inverter", "--step-test", "--json", "--config")
    process = await asyncio.create_subprocess_exec(
        *command, str(place.app.config), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 240.0)
    found = {check["name"]: check for check in json.loads(out)["checks"]}["step test"]
    assert (process.returncode, found["status"], found["sign"]) == (0, "ok", 1), (found, err)
    assert found["gain"] == pytest.approx(1.0, abs=0.1)
    assert place.dongle.inverter.limit_w == 5000.0, "as it was before"
    assert len(place.dongle.inverter.writes) <= 14
    await place.app.start()
    seen = await place.app.when(lambda status: status["inverters"] and status["inverters"][0]["power_w"] is not None)
    assert seen["inverters"][0]["trusted"] is True
    assert "not yet proven" not in seen["inverters"][0]["note"]
