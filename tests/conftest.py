"""Real peers for the tests: a Mosquitto, a database and a browser of our own, and free ports."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import shutil
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright, expect

VICTORIA = shutil.which("victoria-metrics")
CHROMIUM = "/usr/bin/chromium"
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_SHARE = 12_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))  # of the ports below those of connections
_FIRST = 20_000 + _WORKER * _SHARE
_ports = itertools.count(random.SystemRandom().randrange(_SHARE))  # whatever seeds the other one
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def free_port() -> int:
    """A TCP port that nobody listens on, nor will: each worker has its own, below those that connections are given."""
    for turn in _ports:
        port = _FIRST + turn % _SHARE
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with real processes first, since they take longest; mixed, since some compute and most wait."""
    items.sort(key=lambda item: 2**32 if item.get_closest_marker("e2e") is None else zlib.crc32(item.nodeid.encode()))


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """A command that a test runs in this process sets levels and handlers for the whole of it."""
    loggers = (logging.getLogger(), logging.getLogger("app"))
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        for handler in [one for one in logger.handlers if one not in handlers]:
            logger.removeHandler(handler)


PATIENCE = 3.0  # tests run side by side on whatever machine: how long something takes is measured by bench and faults


async def until(condition, timeout_s: float = 10.0, what: str = "") -> None:  # type: ignore[no-untyped-def]
    """Wait for a condition, with patience; fail naming it."""
    try:
        async with asyncio.timeout(timeout_s * PATIENCE):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {timeout_s * PATIENCE:g} s: {what or condition}")


@dataclass
class Mosquitto:
    """A real broker on a free port, which a test may stop, start and freeze."""

    folder: Path
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    process: asyncio.subprocess.Process | None = None

    async def start(self, rules: str = "allow_anonymous true\n") -> None:
        """Start it and wait until it accepts connections."""
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\n{rules}")
        self.process = await asyncio.create_subprocess_exec(
            MOSQUITTO, "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        for _ in range(1500):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.02)
        pytest.fail("mosquitto did not start")

    async def stop(self) -> None:
        """Kill it, as a power cut would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def running_mosquitto(folder: Path) -> AsyncIterator[Mosquitto]:
    """A broker for one test."""
    if not Path(MOSQUITTO).exists():
        pytest.skip("needs a real broker: apt install mosquitto")
    broker = Mosquitto(folder)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A real broker without access rules."""
    async with running_mosquitto(tmp_path) as broker:
        yield broker


@dataclass
class Victoria:
    """A real database on a free port."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        quiet = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(
            str(VICTORIA),
            f"-storageDataPath={self.folder / 'victoria'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=20y",
            "-memory.allowedBytes=64MB",
            stdout=quiet,
            stderr=quiet,
        )
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self.port}/health") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def series(self, match: str) -> list[tuple[dict[str, str], list[float], list[int]]]:
        """All series of a name pattern: labels, values, time stamps in milliseconds."""
        base = f"http://127.0.0.1:{self.port}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/internal/force_flush"):
                pass
            async with session.get(f"{base}/api/v1/export", params={"match[]": f'{{__name__=~"{match}"}}'}) as answer:
                rows = [json.loads(row) for row in (await answer.text()).splitlines()]
        return [(row["metric"], row["values"], row["timestamps"]) for row in rows]


@pytest.fixture
async def victoria(tmp_path: Path) -> AsyncIterator[Victoria]:
    if VICTORIA is None:
        pytest.skip("needs a real database: apt install victoria-metrics")
    server = Victoria(tmp_path)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A real Chromium, headless; starting it takes longer than most tests of a page."""
    if not Path(CHROMIUM).exists():
        pytest.skip("needs a real browser: apt install chromium")
    async with async_playwright() as playwright:
        expect.set_options(timeout=20_000)  # milliseconds
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The browser, without a page; what a test opens is closed after it, with its cookies and its storage."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@contextmanager
def local_time(zone: str) -> Iterator[None]:
    """This process lives in that time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def in_utc() -> Iterator[None]:
    """The local day is that of UTC, unless the test moves the house."""
    with local_time("UTC"):
        yield
