"""Real brokers and quick houses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator.broker import embedded_broker
from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.parameters import DtuConfig, SunConfig


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A real broker that can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            "mosquitto", "-c", str(self._config), stdout=quiet, stderr=quiet
        )
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    server = Mosquitto(tmp_path)
    await server.start()
    yield server
    await server.kill()


@pytest.fixture(params=["mosquitto", "embedded"])
async def broker_port(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[int]:
    """The same scenario on both brokers."""
    if request.param == "embedded":
        async with embedded_broker() as port:
            yield port
        return
    server = Mosquitto(tmp_path)
    await server.start()
    yield server.port
    await server.kill()


QUICK = DtuConfig(
    poll_interval_s=0.2,
    publish_interval_s=0.2,
    limit_slot_s=0.2,
    stats_slot_s=0.1,
    query_slot_s=0.1,
    loss=0.0,
    boot_s=0.5,
)


@pytest.fixture
def quick_house() -> House:
    """One HM-1500 and one HM-800 under a cloudless sky, behind an OpenDTU in a hurry."""
    return House(HouseConfig(dtu=QUICK, sun=SunConfig(clouds=False), inverters=fleet(2)))
