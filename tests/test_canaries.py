"""The whole program among servers that refuse, lead elsewhere, answer rubbish or repeat what they are sent.

Every secret of its configuration has a mark, and the mark is nowhere to be found.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import aiomqtt
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.canaries import MARK, canary, everything, forms
from tests.conftest import Mosquitto, free_port, until
from tests.e2e.conftest import App
from tests.meters.hostile import hostile, page

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parent.parent


def refuses(status: int) -> bytes:
    text = b'{"message": "no"}'
    return b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text


def leads_to(url: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n".encode()


async def repeats(status: int) -> web.Application:
    """A server that answers with all that it was sent."""

    async def answer(request: web.Request) -> web.Response:
        told = {
            "message": str(dict(request.headers)),
            "code": "unauthorized",
            "url": str(request.url),
            "p": str(request.headers),
        }
        return web.json_response(told, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


NAMES = ("shelly", "json", "bearer", "amber", "influx", "hook")
SERVERS: dict[str, bytes | int | None] = {
    "everybody refuses": refuses(401),
    "everybody forbids": refuses(403),
    "everybody leads elsewhere": leads_to("http://127.0.0.1:9/"),
    "everybody answers rubbish": page(b"<html>Log in</html>"),
    "everybody repeats what he hears": 200,
    "everybody refuses and repeats": 401,
    "everybody misunderstands and repeats": 400,
    "everybody breaks down and repeats": 500,
    "nobody is there": None,
}


@asynccontextmanager
async def serving(behaviour: bytes | int | None) -> AsyncIterator[dict[str, int]]:
    """A server for every name, and where it listens; without a behaviour the ports are closed."""
    async with AsyncExitStack() as stack:
        ports = {name: free_port() for name in (*NAMES, "http")}
        for name in NAMES if behaviour is not None else ():
            if isinstance(behaviour, int):
                server = await stack.enter_async_context(TestServer(await repeats(behaviour)))
                assert server.port is not None
                ports[name] = server.port
            elif behaviour is not None:
                ports[name] = (await stack.enter_async_context(hostile(behaviour))).port
        yield ports


async def asked(app: App, method: str, path: str, token: str) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"enabled": False} if method in ("PUT", "POST") else None
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as client,
        client.request(method, app.url + path, json=body) as response,
    ):
        return f"{dict(response.headers)} {await response.text()}"


async def everything_shown(app: App) -> list[str]:
    """All that the page and its API tell, with and without the tokens."""
    looks = ["/", "/healthz", "/api/status", "/metrics", "/openapi.json", "/nowhere"]
    looks += [f"/api/{name}" for name in ("history", "step-test", "ensemble")]
    asks = [("GET", path, token) for path in (*looks, "/api/toggle?state=x") for token in ("", canary("http"))]
    asks += [(method, "/api/settings", token) for method in ("PUT", "DELETE") for token in ("wrong-1", canary("look"))]
    return [await asked(app, *one) for one in asks]


async def logins(folder: Path) -> Path:
    """A password file without our user."""
    path = folder / "passwd"
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("needs mosquitto_passwd: apt install mosquitto")
    made = await asyncio.create_subprocess_exec(tool, "-b", "-c", str(path), "other", "password")
    assert await made.wait() == 0
    path.chmod(0o644)
    return path


async def everything_published(broker: Mosquitto, *, refused: bool) -> list[str]:
    """What the broker keeps, and what comes by in two seconds."""
    heard: list[str] = []
    login = ("other", "password") if refused else ("app", canary("mqtt"))
    async with aiomqtt.Client(broker.host, broker.port, username=login[0], password=login[1]) as client:
        await client.subscribe("#")
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                async for message in client.messages:
                    heard += [f"{message.topic} {message.payload!r}"]
    return heard


def everything_stored(folder: Path) -> list[bytes]:
    """Every file, and every text in every database."""
    stored: list[bytes] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "config.yaml":
            stored.append(path.read_bytes())
        if path.suffix in (".db", ".sqlite", ".sqlite3") and path.is_file():
            with sqlite3.connect(path) as database:
                stored += ["\n".join(database.iterdump()).encode()]
            database.close()
    return stored


async def run_beside(config: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *command, "--config", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ}, cwd=PROJECT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


@pytest.mark.parametrize("servers", SERVERS)
async def test_no_canary_is_anywhere(tmp_path: Path, mosquitto: Mosquitto, servers: str) -> None:
    refused = servers == "everybody refuses"
    if refused:
        await mosquitto.stop()
        await mosquitto.start(f"user root\nallow_anonymous false\npassword_file {await logins(tmp_path)}\n")
    place = tmp_path / "place"
    place.mkdir()
    async with serving(SERVERS[servers]) as ports:
        ports["mqtt"] = mosquitto.port
        app = App(place / "config.yaml", ports["http"])
        document = everything("127.0.0.1", ports) | {"data_dir": str(place / "data")}
        document["log"] = {"level": "DEBUG", "file": str(place / "log.txt")}
        app.config.write_text(yaml.safe_dump(document))
        await app.start()
        try:
            await until(lambda: app.logged("WARNING"), 20.0, "a warning")
            await asyncio.sleep(3.0)  # the meters are asked, points written, alerts sent
            shown = await everything_shown(app)
            heard, *told = await asyncio.gather(
                everything_published(mosquitto, refused=refused),
                run_beside(app.config, "doctor", "meter", "mqtt", "enphase", "price", "venus", "telemetry"),
                run_beside(app.config, "check"),
                run_beside(app.config, "ensemble", "status"),
                run_beside(app.config, "ensemble", "reserve", "30"),
            )
            shown += told
        finally:
            await app.stop(signal.SIGTERM if refused else signal.SIGKILL)  # a clean stop waits for what never comes
    assert any("faults" in text for text in shown), "something was shown"
    assert any("meter" in text for text in app.log)
    stored = everything_stored(place)
    assert len(stored) >= 3
    everywhere = [*shown, *heard, *app.log, *(content.decode("latin-1") for content in stored)]
    others = ("enlighten", "envoy", "told", "gx", "mqtt", "header", "query", "http", "look", "hookkey")
    secrets = [canary(name) for name in (*NAMES, *others)]
    pairs = [f"{user}:{secret}" for secret in secrets for user in ("u", "admin", "app", "")]
    wanted = {MARK, *(form for secret in (*secrets, *pairs) for form in forms(secret))}
    hits = [text[max(0, text.find(form) - 200) :][:500] for text in everywhere for form in wanted if form in text]
    assert not hits, hits[:3]
