"""Real peers for the tests: a Mosquitto of our own, and free ports."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition, timeout_s: float = 10.0, what: str = "") -> None:  # type: ignore[no-untyped-def]
    """Wait for a condition; fail naming it."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {timeout_s:g} s: {what or condition}")


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
        for _ in range(250):
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
