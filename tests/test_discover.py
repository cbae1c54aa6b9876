"""`zero-export discover` in a network of fakes that announce themselves by real multicast DNS on the loopback."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from app import cli
from app.checks import running
from app.config import load
from app.discover import search
from app.discover.paste import Found
from app.meters import sma
from app.model import DeviceUnavailable
from tests.meters.fakes.homewizard import FakeHomeWizard
from tests.meters.fakes.sma import FakeSma

OWN = secrets.token_hex(3)  # other tests of this machine hear us, and we hear them
SMA_SERIAL = 3_100_000_000 + int(OWN, 16)
SHELLY = {"/shelly": {"mac": "A8032ABE54DC", "gen": 2, "model": "SPEM-003CEBEU", "auth_en": True, "app": "Pro3EM"}}
PLUG = {"/shelly": {"mac": "A8032ABE54DD", "type": "SHPLG-S", "auth": False}}
DTU = {
    "/api/system/status": {"git_hash": "v26.1.1", "hostname": "OpenDTU-1"},
    "/api/mqtt/status": {"mqtt_enabled": True, "hostname": "192.168.1.5", "port": 1883, "mqtt_topic": "haus/solar/"},
    "/api/livedata/status": {"inverters": [{"serial": "116180400000", "name": "Roof", "DC": {"0": {}, "1": {}}}]},
    "/api/devinfo/status": {"max_power": 1500, "hw_model_name": "HM-1500-4T"},
}
ESPHOME = {"/": "<!doctype html>"}
Announcement = tuple[str, str, int, dict[str, str]]  # service, name, port, properties


@asynccontextmanager
async def answering(documents: dict[str, Any]) -> AsyncIterator[int]:
    """The port of a device that answers these."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(documents[request.path]) if request.path in documents else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def announced(*announcements: Announcement) -> AsyncIterator[None]:
    """Devices that say by multicast DNS on the loopback where they are."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        infos = []
        for service, name, port, properties in announcements:
            kind, server = f"{service}._tcp.local.", f"{name}.local."
            address = socket.inet_aton("127.0.0.1")
            infos.append(ServiceInfo(kind, f"{name}.{kind}", port, 0, 0, properties, server, addresses=[address]))
        await asyncio.gather(*[await zeroconf.async_register_service(info) for info in infos])
        yield
    finally:
        await zeroconf.async_close()


@asynccontextmanager
async def house() -> AsyncIterator[dict[str, int]]:
    """Everything that can be found, and a printer; the ports by their names."""
    async with AsyncExitStack() as stack:
        served: dict[str, dict[str, Any]] = {"shelly": SHELLY, "plug": PLUG, "dtu": DTU, "esphome": ESPHOME}
        served["printer"] = {}
        ports = {name: await stack.enter_async_context(answering(documents)) for name, documents in served.items()}
        wizard = await stack.enter_async_context(FakeHomeWizard(1).serve())
        v2 = await stack.enter_async_context(FakeHomeWizard(2).serve())
        ports |= {"wizard": wizard.port, "v2": v2.port}
        about = {"product_type": "HWE-P1", "serial": f"5c2faf{OWN}"}
        await stack.enter_async_context(
            announced(
                ("_shelly", f"shellypro3em-{OWN}", ports["shelly"], {"gen": "2"}),
                ("_http", f"shellypro3em-{OWN}", ports["shelly"], {"gen": "2"}),
                ("_http", f"shellyplug-s-{OWN}", ports["plug"], {}),
                ("_opendtu", f"dtu-{OWN}", ports["dtu"], {"git_hash": "v26.1.1"}),
                ("_hwenergy", f"p1meter-{OWN}", ports["wizard"], {"api_enabled": "1", **about}),
                ("_homewizard", f"kwhmeter-{OWN}", ports["v2"], {"product_type": "HWE-KWH3", "serial": "5c2faf000000"}),
                ("_esphomelib", f"reader-{OWN}", 6053, {"platform": "ESP32"}),
                ("_http", f"reader-{OWN}", ports["esphome"], {}),
                ("_http", f"printer-{OWN}", ports["printer"], {}),
            )
        )
        await stack.enter_async_context(running(FakeSma({SMA_SERIAL: -250.0}).run()))
        yield ports


async def command(*arguments: str) -> tuple[int | None, str, str]:
    """The real one: exit code, output and errors."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "discover", "--interface", "127.0.0.1", *arguments, stdout=pipe, stderr=pipe
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_everything_in_a_house_is_found(tmp_path: Path) -> None:
    assert sma.PORT == 9522
    async with house() as ports:
        of_use = [f" at 127.0.0.1:{ports[name]}" for name in ("shelly", "dtu", "wizard", "v2", "esphome", "plug")]
        for seconds in ("5", "10", "20", "40"):  # on a busy machine it takes longer
            code, output, errors = await command("--seconds", seconds)
            _, as_json, _ = await command("--seconds", seconds, "--json")
            if all(place in output for place in of_use) and as_json.count('"host": "127.0.0.1:') >= len(of_use):
                break
    assert code == 0, errors
    assert [place for place in of_use if place not in output] == [], errors
    assert f":{ports['printer']}" not in output + errors
    assert f"serial: {SMA_SERIAL} # shows -250 W now, + is import" in output
    assert "Shelly SHPLG-S" in output
    assert f"asking shellypro3em-{OWN} at 127.0.0.1:{ports['shelly']}" in errors
    path = tmp_path / "config.yaml"
    path.write_text(output)
    config = load(path, {"SHELLY_PASSWORD": "correct horse", "HOMEWIZARD_TOKEN": "F" * 32})
    assert len(config.meter) == 1
    assert (config.inverters[0].serial, config.inverters[0].max_watt) == ("116180400000", 1500)
    assert (config.opendtu.topic_prefix, config.mqtt.host) == ("haus/solar", "192.168.1.5")
    hosts = {one["host"]: one for one in json.loads(as_json)["found"]}
    assert hosts[f"127.0.0.1:{ports['wizard']}"]["config"]["meter"]["type"] == "homewizard"
    assert hosts[f"127.0.0.1:{ports['v2']}"]["config"]["meter"]["token"] == "${HOMEWIZARD_TOKEN}"
    assert hosts[f"127.0.0.1:{ports['esphome']}"]["ready"] is False


def found_nothing(monkeypatch: pytest.MonkeyPatch, *, failing: bool = False) -> None:
    async def nothing(_seconds: float, _interface: Any) -> list[Found]:
        if failing:
            raise DeviceUnavailable("cannot listen here\x1b: nobody may")
        return []

    monkeypatch.setattr(search, "browse", nothing)
    monkeypatch.setattr(search, "hear", nothing)


def test_where_there_is_nothing_it_says_what_it_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found_nothing(monkeypatch)
    assert cli.main(["discover", "--seconds", "1"]) == 1
    output = capsys.readouterr().out
    assert all(line.startswith("#") for line in output.splitlines())
    for family in ("Shelly", "OpenDTU", "HomeWizard", "ESPHome", "SMA"):
        assert f"#   {family}: " in output
    assert "container" in output


def test_a_network_that_cannot_be_heard_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found_nothing(monkeypatch, failing=True)
    assert cli.main(["discover", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == ["cannot listen here\x1b: nobody may"] * 2
    assert cli.main(["discover"]) == 1
    assert "# cannot listen here?: nobody may\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--interface", "x"], ["--seconds", "0"], ["--seconds", "nan"]])
def test_arguments_that_are_none_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["discover", *arguments])
    assert stopped.value.code == 2
