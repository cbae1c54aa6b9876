"""One installation, and everything that can be seen of it from outside: the wire, the ticks, the process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import pytest

from app.simulator.house import House
from app.simulator.models import MODELS
from tests.conftest import Mosquitto
from tests.e2e.conftest import App, Installation, installation_of
from tests.faults.proxy import FaultProxy
from tests.faults.scorecard import within

LIMIT = "limit_nonpersistent_absolute"
JUST_S = 0.15  # what was on its way when a fault came


def held(house: House) -> bool:
    """Nothing worth mentioning is exported, and not much more imported than is meant to be."""
    return -45.0 < house.grid_w < 200.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One message below ``cmd/``, as a subscriber of the broker saw it."""

    at_s: float
    serial: str
    command: str
    payload: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One tick, as a reader of the event stream saw it."""

    at_s: float
    document: dict[str, Any]

    @property
    def mode(self) -> str:
        return str(self.document["mode"])

    @property
    def faults(self) -> set[str]:
        return {fault["key"] for fault in self.document["faults"]}

    @property
    def troubles(self) -> set[str]:
        """The faults that keep it from regulating well; what happened before does not."""
        return {key for key in self.faults if not key.startswith(("excursion", "export", "minimum"))}

    @property
    def reading_at_s(self) -> float | None:
        """When the reading was taken that this tick goes by."""
        meter = self.document["meter"]
        return None if meter is None or meter["age_s"] is None else self.at_s - float(meter["age_s"])


@dataclass(slots=True)
class Site:
    """``place`` is the installation; times are those of `time.monotonic`."""

    place: Installation
    proxy: FaultProxy
    heard: list[Heard] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def app(self) -> App:
        return self.place.app

    @property
    def house(self) -> House:
        return self.place.house

    @property
    def pid(self) -> int:
        assert self.app.process is not None
        return self.app.process.pid

    @property
    def floors(self) -> dict[str, float]:
        """The fail-safe limit of each inverter: its minimum, by default."""
        rated = {one.serial: MODELS[one.model].rated_w for one in self.house.config.inverters}
        return {serial: max(20.0, 0.03 * watts) for serial, watts in rated.items()}

    async def started(self, timeout_s: float = 30.0) -> None:
        """Start, and wait until the inverters are limited, above their minimum, and the dead-man wills are armed."""
        if self.app.process is None:
            await self.app.start()

        def armed() -> bool:
            tick = self.seen[-1] if self.seen else None
            if tick is None or tick.mode != "limit" or tick.troubles or self.failed_safe_at_s() is not None:
                return False
            limited = all(one.limit_w < 0.9 * one.model.rated_w for one in self.house.inverters)
            return limited and all(inverter["guarded"] for inverter in tick.document["inverters"])

        await self.until(armed, timeout_s, "started")

    async def regulating(self, timeout_s: float = 30.0) -> None:
        """Start where that is still to be done, and wait until the house has been regulated for 3 s."""
        if self.app.process is None:
            await self.app.start()
        begun_s = since_s = time.monotonic()

        def regulated() -> bool:
            nonlocal since_s
            fine = any(tick.at_s > begun_s and tick.mode == "limit" and not tick.troubles for tick in self.seen[-3:])
            if not fine or not held(self.house):
                since_s = time.monotonic()
            return time.monotonic() - since_s > 3.0

        await self.until(regulated, timeout_s, "regulating")

    async def in_charge(self, since_s: float, timeout_s: float, what: str = "regulating") -> None:
        """Wait for a tick since then that regulates, however far the inverters have still to go."""
        await self.until(lambda: any(t.at_s > since_s and t.mode == "limit" for t in self.seen[-3:]), timeout_s, what)

    async def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for a condition; fail naming it and what is there instead."""
        end_s = time.monotonic() + within(timeout_s)
        while not condition():
            if time.monotonic() > end_s:
                tick = self.seen[-1] if self.seen else None
                now = f"mode {tick.mode}, faults {tick.faults}" if tick is not None else "no tick"
                log = " | ".join(self.app.log[-6:])
                pytest.fail(f"not within {timeout_s:g} s: {what}; {now}, {self.house.grid_w:.0f} W; {log}")
            await asyncio.sleep(0.02)

    def limits(self, since_s: float = 0.0) -> list[Heard]:
        """The limits on the wire since a time."""
        return [item for item in self.heard if item.at_s >= since_s and item.command == LIMIT]

    def failed_safe_at_s(self, since_s: float = 0.0) -> float | None:
        """Since when the last limit of every inverter is its fail-safe one; None where one is not."""
        last = {item.serial: item for item in self.limits()}
        low = [item for item in last.values() if float(item.payload) <= self.floors[item.serial] + 0.1]
        if len(low) < len(self.floors):
            return None
        return max(since_s, *(item.at_s for item in low))

    async def failed_safe(self, since_s: float, timeout_s: float) -> float:
        """Wait until every inverter has been told its fail-safe limit; when that was."""
        await self.until(lambda: self.failed_safe_at_s(since_s) is not None, timeout_s, "fail-safe limits on the wire")
        at_s = self.failed_safe_at_s(since_s)
        assert at_s is not None
        return at_s

    def last_good_s(self, until_s: float) -> float:
        """When the newest reading was taken that is not newer than a time."""
        times = (tick.reading_at_s for tick in self.seen)
        return max(at_s for at_s in times if at_s is not None and at_s <= until_s + JUST_S)

    def accepted(self, since_s: float) -> int:
        """How many ticks went by a value that came since a time; those before it may still be held."""
        before = [tick.document["grid_w"] for tick in self.seen if tick.at_s <= since_s + JUST_S]
        after = [tick for tick in self.seen if tick.at_s > since_s + JUST_S]
        newer = [tick for tick in after if (tick.reading_at_s or 0.0) > since_s + JUST_S]
        return sum(tick.document["grid_w"] not in (None, *before[-5:]) for tick in newer)

    def tick_rate_hz(self, since_s: float, until_s: float | None = None) -> float:
        """Ticks a second."""
        end_s = time.monotonic() if until_s is None else until_s
        return sum(since_s <= tick.at_s < end_s for tick in self.seen) / (end_s - since_s)

    def longest_gap_s(self, since_s: float) -> float:
        """The longest time without a tick."""
        times = [since_s, *(tick.at_s for tick in self.seen if tick.at_s >= since_s), time.monotonic()]
        return max(later - before for before, later in pairwise(times))

    async def fault(self, key: str, since_s: float, timeout_s: float) -> float:
        """Wait for a fault whose key starts so; how long it took."""

        def there() -> Seen | None:
            ticks = (tick for tick in self.seen if tick.at_s >= since_s)
            return next((tick for tick in ticks if any(one.startswith(key) for one in tick.faults)), None)

        await self.until(lambda: there() is not None, timeout_s, f"fault {key}")
        tick = there()
        assert tick is not None
        return tick.at_s - since_s

    def memory_mb(self) -> float:
        """Resident memory of the controller."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024.0

    def descriptors(self) -> int:
        """Open files and sockets of the controller."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


async def _listen(site: Site) -> None:
    """Hear all commands, and be back at once when the broker is."""
    while True:
        with suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", site.place.mosquitto.port, timeout=1.0) as client:
                await client.subscribe("solar/+/cmd/#", qos=1)
                async for message in client.messages:
                    _, serial, _, command = str(message.topic).split("/", 3)
                    payload = bytes(message.payload).decode(errors="replace")
                    if not message.retain:
                        site.heard.append(Heard(time.monotonic(), serial, command, payload))
        await asyncio.sleep(0.05)


async def _watch(site: Site) -> None:
    """Read the event stream, and be back at once when the controller is."""
    async with aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(site.app.url + "/api/events", timeout=aiohttp.ClientTimeout(None)) as response:
                    async for line in response.content:
                        if line.startswith(b"data:"):
                            site.seen.append(Seen(time.monotonic(), json.loads(line[5:])))
            await asyncio.sleep(0.05)


@asynccontextmanager
async def site_of(
    folder: Path,
    mosquitto: Mosquitto,
    configure: Callable[[Site], None] | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    """An installation with a proxy before its meter, watched."""
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(installation_of(folder, mosquitto, **options))
        proxy = await stack.enter_async_context(FaultProxy(place.shelly.host))
        site = Site(place, proxy)
        place.configure(meter={"type": "shelly", "host": proxy.host})
        if configure is not None:
            configure(site)
        watchers = [asyncio.create_task(_listen(site)), asyncio.create_task(_watch(site))]
        try:
            yield site
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            if place.app.process is not None and place.app.process.returncode is None:
                place.app.process.kill()
                await place.app.process.wait()
