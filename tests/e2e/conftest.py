"""One whole installation: a real Mosquitto, devices that speak their protocols, and the real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import aiomqtt
import pytest
import yaml

from app.simulator.devices import FakeOpenDtu, FakeShelly
from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.models import MODELS
from app.simulator.parameters import DtuConfig
from tests.conftest import PATIENCE, Mosquitto, free_port, until


@dataclass
class App:
    """The controller as its own process."""

    config: Path
    port: int
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    log: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """Start it, and follow its log."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "run", "--config", str(self.config), *self.arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode().rstrip())

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        code = await asyncio.wait_for(self.process.wait(), 30)
        await self._reader
        return code

    def logged(self, text: str) -> bool:
        """Whether a line of the log holds this text."""
        return any(text in line for line in self.log)

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One request as a client that is no browser; the status and the JSON (or the text)."""
        headers = {"User-Agent": "curl/8", **options.pop("headers", {})}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=headers, allow_redirects=False, **options) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if text[:1] in "{[" else text

    async def status(self) -> dict[str, Any]:
        """The status document; {} while it does not answer."""
        try:
            _, document = await self.ask("GET", "/api/status")
        except aiohttp.ClientError:
            return {}
        assert isinstance(document, dict)
        return document

    async def when(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 20.0) -> dict[str, Any]:
        """The first status that fulfils the condition; waits with patience."""
        seen: dict[str, Any] = {}
        try:
            async with asyncio.timeout(timeout_s * PATIENCE):
                while not (seen and condition(seen)):
                    seen = await self.status()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(
                f"not within {timeout_s * PATIENCE:g} s; last status: {json.dumps(seen)[:2000]}\nlog: {self.log[-10:]}"
            )
        return seen


@dataclass
class Installation:
    """Everything of one house. ``configure`` writes the configuration, ``app`` runs it."""

    folder: Path
    mosquitto: Mosquitto
    house: House
    shelly: FakeShelly
    dtu: FakeOpenDtu
    app: App

    def configure(self, **sections: Any) -> None:
        """Write `config.yaml`: the devices as they are, and what the test wants besides."""
        document = {
            "data_dir": str(self.folder / "data"),
            "mqtt": {"host": "127.0.0.1", "port": self.mosquitto.port},
            "meter": {"type": "shelly", "host": self.shelly.host},
            "inverters": [
                {"serial": one.serial, "max_watt": MODELS[one.model].rated_w} for one in self.house.config.inverters
            ],
            "http": {"host": "127.0.0.1", "port": self.app.port},
        }
        self.app.config.write_text(yaml.safe_dump(document | sections))

    def commands(self) -> list[tuple[str, float]]:
        """The limits that reached OpenDTU, in order."""
        return [(message.serial, float(message.payload)) for message in self.house.dtu.received]

    async def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish as anybody could."""
        async with aiomqtt.Client("127.0.0.1", self.mosquitto.port) as client:
            await client.publish(topic, payload, qos=1, retain=retain)

    async def retained(self, topic: str) -> str | None:
        """What the broker keeps for a topic; None where it keeps nothing."""
        async with aiomqtt.Client("127.0.0.1", self.mosquitto.port) as client, asyncio.timeout(30.0):
            await client.subscribe([(topic, 0), ("tests/end", 0)])
            await client.publish("tests/end", qos=1)  # comes after all that it keeps
            async for message in client.messages:
                if str(message.topic) == "tests/end":
                    break
                if message.retain and isinstance(message.payload, bytes):
                    return message.payload.decode()
        return None

    async def keeps(self, topic: str, payload: str) -> None:
        """Wait until the broker keeps that."""
        async with asyncio.timeout(10.0 * PATIENCE):
            while await self.retained(topic) != payload:
                await asyncio.sleep(0.1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_args: object) -> None:
        if self.app.process is not None and self.app.process.returncode is None:
            self.app.process.kill()
            await self.app.process.wait()


@asynccontextmanager
async def installation_of(
    folder: Path, mosquitto: Mosquitto, inverters: int = 2, kind: str = "pro3em", interval_s: float = 1.0
) -> AsyncIterator[Installation]:
    """A sunny house with a constant load; devices up, the controller not yet started.

    ``interval_s``: how often OpenDTU polls and publishes; its own default is 5 s.
    """
    dtu_config = DtuConfig(poll_interval_s=interval_s, publish_interval_s=interval_s)
    house = House(HouseConfig(seed=7, inverters=fleet(inverters), dtu=dtu_config))
    house.sun_override, house.load_override_w = 0.9, 600.0
    async with AsyncExitStack() as stack:
        shelly = await stack.enter_async_context(FakeShelly(house, kind))
        dtu = await stack.enter_async_context(FakeOpenDtu(house, "127.0.0.1", mosquitto.port))
        app = App(folder / "config.yaml", free_port())
        place = await stack.enter_async_context(Installation(folder, mosquitto, house, shelly, dtu, app))
        place.configure()
        yield place


@pytest.fixture
async def installation(tmp_path: Path, mosquitto: Mosquitto) -> AsyncIterator[Installation]:
    """Two inverters, a Shelly Pro 3EM, SQLite."""
    async with installation_of(tmp_path, mosquitto) as place:
        yield place


async def held(place: Installation, timeout_s: float = 45.0, band_w: float = 40.0) -> None:
    """Wait until the true grid power has been at the target for some seconds."""
    since_s = [place.house.now_s]

    def long_enough() -> bool:
        if abs(place.house.grid_w - 15.0) >= band_w:
            since_s[0] = place.house.now_s
        return place.house.now_s - since_s[0] > 4.0

    await until(long_enough, timeout_s, "the grid power at the target")


__all__ = ["App", "Installation", "held", "installation_of", "until"]
