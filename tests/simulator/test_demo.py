"""The demo, and the devices alone, as people start them."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from app.demo import demo, summary
from app.simulator.__main__ import options
from app.simulator.house import Energy
from tests.conftest import Mosquitto, free_port

from .test_opendtu import HM1500, listening

DEMO = (
    "import asyncio, sys; from app.demo import demo; sys.exit(asyncio.run(demo('127.0.0.1', {port}, 1.0, None, None)))"
)


async def status(session: aiohttp.ClientSession, port: int) -> dict[str, object]:
    async with session.get(f"http://127.0.0.1:{port}/api/status") as response:
        body: dict[str, object] = await response.json()
        return body


async def test_the_demo_regulates_within_seconds_and_sums_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = free_port()
    running = asyncio.create_task(demo("127.0.0.1", port, 1.0, 14.0, tmp_path))
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while not running.done():
            await asyncio.sleep(0.5)
            try:
                seen = await status(session, port)
            except aiohttp.ClientConnectionError:
                continue
            grid_w = seen.get("grid_w")
            if seen["mode"] == "limit" and isinstance(grid_w, float) and grid_w > -200.0:
                break
    assert not running.done(), "1.8 kW were exported without limits"
    assert await running == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first == f"Zero export demo: open http://127.0.0.1:{port} (Ctrl-C stops)"
    assert re.match(r"0\.[23] minutes: load \d+ Wh, sun \d+ Wh available", second)
    assert err == ""
    assert any(tmp_path.iterdir()), "what it stored is where it was told to"


async def test_a_busy_port_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await demo("127.0.0.1", port, 1.0, 5.0, None) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"port {port} is in use already: stop what uses it, or choose another one with --port\n"


async def test_ctrl_c_ends_the_demo_with_its_summary() -> None:
    port = free_port()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DEMO.format(port=port), stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert b"open http://" in await process.stdout.readline()
        await asyncio.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 0
    assert b"without limiting" in out
    assert b"Traceback" not in err


def test_the_summary_names_both_numbers() -> None:
    energy = Energy(600.0, 100.0, 90.0, 180.0, 12.0, 2.0, 81.5, 1.5)
    assert summary(energy) == (
        "10.0 minutes: load 100 Wh, sun 180 Wh available and 90 Wh used (50 %), "
        "exported 2.0 Wh (81.5 Wh without limiting), imported 12 Wh (2 Wh without limiting)."
    )


async def test_the_devices_alone_wait_for_the_broker_and_end_cleanly(mosquitto: Mosquitto) -> None:
    await mosquitto.stop()
    port = free_port()
    arguments = ("--mqtt", f"127.0.0.1:{mosquitto.port}", "--http", f"127.0.0.1:{port}", "--inverters", "3")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.simulator", *arguments, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/rpc/EM.GetStatus?id=0") as response:
                    assert (await response.json())["total_act_power"] < 0
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
        await mosquitto.start()
        async with listening(mosquitto.port) as listener:
            await listener.until(f"solar/{HM1500}/status/reachable", within_s=15.0)
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
            await asyncio.sleep(0.1)
            assert listener.last()["solar/dtu/status"] == "offline"
    assert process.returncode == 0
    assert b"Traceback" not in err
    assert err.count(b"no broker at") == 1


def test_the_environment_names_the_broker_and_arguments_win() -> None:
    environment = {"MQTT_BROKER": "mosquitto", "MQTT_PORT": "1884", "MQTT_USERNAME": "dtu", "MQTT_PASSWORD": "x"}
    given = options([], environment)
    assert (given.mqtt, given.username, given.password) == (("mosquitto", 1884), "dtu", "x")
    given = options(["--mqtt", "other:1", "--password-env", "SECRET", "--speed", "60"], environment | {"SECRET": "y"})
    assert (given.mqtt, given.password, given.house.sun.speed) == (("other", 1), "y", 60.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mqtt", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--inverters", "21"], "1 to 20 can be simulated"),
        (["--speed", "0"], "--speed must be above 0"),
    ],
)
def test_wrong_arguments_are_sentences(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        options(arguments, {})
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err
