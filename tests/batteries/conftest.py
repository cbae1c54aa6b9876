"""Batteries on a table: a driver at work, what it has said, and the ways out that it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.access import Access
from app.batteries import BatteryConfig, BatterySection
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import running
from app.fields import BrokerConfig
from app.model import BatteryState, DeviceError
from app.outbound import new_session
from tests.conftest import until


def section(**keys: Any) -> BatterySection:
    """A section as config.yaml gives it."""
    found: BatterySection = TypeAdapter(BatteryConfig).validate_python(keys)
    return found


@dataclass
class Heard:
    """What a driver has said so far."""

    access: Access
    outcomes: list[BatteryState | DeviceError] = field(default_factory=list)

    @property
    def states(self) -> list[BatteryState]:
        return [one for one in self.outcomes if isinstance(one, BatteryState)]

    @property
    def errors(self) -> list[DeviceError]:
        return [one for one in self.outcomes if isinstance(one, DeviceError)]

    async def state(self, soc_pct: float | None, power_w: float | None) -> BatteryState:
        """The next one that says so."""
        before = len(self.states)
        wanted = (soc_pct, power_w)
        await until(
            lambda: wanted in [(one.soc_pct, one.power_w) for one in self.states[max(0, before - 1) :]],
            what=f"{wanted}; it said {self.outcomes[-3:]}",
        )
        return self.states[-1]

    async def error(self, text: str) -> DeviceError:
        """The next one that says so."""
        before = max(0, len(self.outcomes) - 1)

        def said() -> bool:
            return any(text in str(one) for one in self.outcomes[before:] if isinstance(one, DeviceError))

        try:
            await until(said)
        except BaseException:
            print(f"wanted {text!r}, heard {self.outcomes[-3:]}")
            raise
        return next(one for one in reversed(self.errors) if text in str(one))


Listen = Callable[..., AbstractAsyncContextManager[Heard]]


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    brokers = Brokers(Broker(Address("127.0.0.1", 9), "own"), BrokerConfig(), "batteries")
    async with new_session() as session:
        yield Access(session, brokers.at, tmp_path)


@pytest.fixture
def listen(tmp_path: Path) -> Listen:
    @asynccontextmanager
    async def listening(**keys: Any) -> AsyncIterator[Heard]:
        own_pv_w = keys.pop("own_pv_w", None)
        own = Broker(Address("127.0.0.1", 9), "own")
        brokers = Brokers(own, BrokerConfig(), "batteries")
        async with new_session() as session:
            access = Access(session, brokers.at, tmp_path, own_pv_w=lambda: own_pv_w)
            driver, heard = section(**keys).driver(access), Heard(access)
            async with running(*(broker.run() for broker in brokers.others)):
                await until(lambda: all(broker.connected for broker in brokers.others))
                task = asyncio.create_task(driver.run(heard.outcomes.append))
                try:
                    yield heard
                    assert not task.done(), "a driver runs for ever"
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

    return listening
