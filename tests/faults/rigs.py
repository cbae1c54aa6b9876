"""The same scenario against the real process, and in virtual time against the same driver and core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.link import Received
from app.simulator.parameters import DtuConfig
from tests.closed_loop import ClosedLoop
from tests.conftest import Mosquitto
from tests.faults.site import Site, site_of


class Rig(Protocol):
    """A regulated house whose devices can be made to fail; time is that of the house."""

    @property
    def house(self) -> House: ...

    @property
    def faults(self) -> set[str]: ...

    @property
    def mode(self) -> str: ...

    async def run(self, seconds: float) -> None: ...

    async def meter(self, *, answers: bool) -> None: ...


class Virtual:
    """No process, no sockets: minutes pass in milliseconds."""

    def __init__(self, loop: ClosedLoop) -> None:
        self.loop = loop

    @property
    def house(self) -> House:
        return self.loop.house

    @property
    def faults(self) -> set[str]:
        return {fault.key for fault in self.loop.last.faults}

    @property
    def mode(self) -> str:
        return self.loop.last.mode.value

    async def run(self, seconds: float) -> None:
        await asyncio.to_thread(self.loop.run, seconds)  # it has event loops of its own

    async def meter(self, *, answers: bool) -> None:
        self.loop.meter_answers = answers


class Real:
    """The real process behind a real broker."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def house(self) -> House:
        return self.site.house

    @property
    def faults(self) -> set[str]:
        return self.site.seen[-1].faults

    @property
    def mode(self) -> str:
        return self.site.seen[-1].mode

    async def run(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def meter(self, *, answers: bool) -> None:
        from tests.faults.proxy import Break

        await self.site.proxy.fail(None if answers else Break.REFUSE)


async def virtual(count: int = 2, *, dtu_s: float = 5.0, load_w: float = 600.0) -> Virtual:
    """A sunny house in virtual time, regulated for two minutes."""
    dtu = DtuConfig(poll_interval_s=dtu_s, publish_interval_s=dtu_s, up_since_s=600.0, loss=0.0)
    loop = ClosedLoop(HouseConfig(seed=7, inverters=fleet(count), dtu=dtu))
    loop.house.sun_override, loop.house.load_override_w = 0.9, load_w
    rig = Virtual(loop)
    await rig.run(120)
    return rig


@asynccontextmanager
async def real(
    folder: Path, mosquitto: Mosquitto, count: int = 2, *, dtu_s: float = 5.0, load_w: float = 600.0
) -> AsyncIterator[Real]:
    """The same house with a real process."""
    async with site_of(folder, mosquitto, inverters=count, interval_s=dtu_s) as site:
        site.house.load_override_w = load_w
        await site.regulating(60.0)
        yield Real(site)


async def when(rig: Rig, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Wait for a condition; how long it took, in the time of the house."""
    begun_s = rig.house.now_s
    pause_s = 1.0 if isinstance(rig, Virtual) else 0.05
    while not condition():
        if rig.house.now_s - begun_s > timeout_s:
            pytest.fail(f"not within {timeout_s:g} s: {what}; mode {rig.mode}, faults {rig.faults}")
        await rig.run(pause_s)
    return rig.house.now_s - begun_s


def commands(rig: Rig, since_s: float, serial: str | None = None) -> list[Received]:
    """What OpenDTU was told since a time of the house."""
    return [item for item in rig.house.dtu.received if item.at_s > since_s and serial in (None, item.serial)]
