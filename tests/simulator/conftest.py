"""Real brokers and quick houses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator.broker import embedded_broker
from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.parameters import DtuConfig, SunConfig
from tests.conftest import running_mosquitto


@pytest.fixture(params=["mosquitto", "embedded"])
async def broker_port(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[int]:
    """The same scenario on both brokers."""
    if request.param == "embedded":
        async with embedded_broker() as port:
            yield port
        return
    async with running_mosquitto(tmp_path) as server:
        yield server.port


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
