"""A day of an Enphase system in virtual time: the real core, the real price feed and the real driver, and beside them
a market, a gateway and a house.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast

import aiohttp

from app.access import Access
from app.control import Controller, ControlSettings
from app.enphase.about import GatewayAbout
from app.inverters.enphase import Enphase, EnphaseInverterConfig
from app.model import (
    DeviceAuthError,
    DeviceDataError,
    DeviceError,
    DeviceUnavailable,
    MeterState,
    Reading,
    Rule,
    RuleCommand,
    Ruling,
    Settings,
    Snapshot,
)
from app.prices.amber import AmberConfig
from app.prices.feed import PriceFeed
from tests.enphase.fake import SERIAL
from tests.enphase.fake_limits import Limits
from tests.inverters.enphase.conftest import config
from tests.prices.amber_server import SITE, TOKEN
from tests.prices.day import NOWHERE, Clock, InProcess
from tests.prices.market import START_S, Market

TICK_S = 10.0
T = TypeVar("T")
LATENCY_S = 0.2


class _AtOnce(ThreadPoolExecutor):
    """What threads would do is done at once: virtual time does not wait for them."""

    def submit(self, work: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(work(*args, **options))
        return done


class Wire:
    """Stands where the gateway's client stands, without a network. ``trouble``: what every request meets now."""

    name, host, role = "enphase at 10.0.0.9", "10.0.0.9", "installer"

    def __init__(self, limits: Limits, version: tuple[int, int, int]) -> None:
        self.limits, self.trouble = limits, cast("DeviceError | None", None)
        self._about = GatewayAbout(SERIAL, "D" + ".".join(map(str, version)), version)

    async def about(self, _timeout_s: float = 0.0) -> GatewayAbout:
        return self._about

    async def get_json(self, path: str, _timeout_s: float = 0.0, *, max_bytes: int = 0) -> Any:
        return json.loads(json.dumps(await self._ask("GET", path)))

    async def send(self, method: str, path: str, *, json: Any = None, form: Any = None, timeout_s: float = 0.0) -> str:
        del timeout_s
        return _text(await self._ask(method, path, form if form is not None else _text(json)))

    async def _ask(self, method: str, path: str, body: str = "") -> Any:
        await asyncio.sleep(LATENCY_S)
        if self.trouble is not None:
            raise self.trouble
        status, answer = self.limits.answer(method, path, body.encode())
        if status != 200:
            raise DeviceDataError(f"{path} answers HTTP {status}")
        return answer


def _text(what: Any) -> str:
    return what if isinstance(what, str) else json.dumps(what)


def sun_w(now_s: float) -> float:
    """Clouds pass; the day is ten hours long."""
    height = math.sin(math.pi * min(max((now_s - 3600.0) / 36_000.0, 0.0), 1.0))
    return 7000.0 * height * (0.85 + 0.15 * math.sin(now_s / 400.0))


def load_w(now_s: float) -> float:
    """A kettle, an oven at noon."""
    return 400.0 + (1800.0 if now_s % 3000.0 < 240.0 else 0.0) + (2200.0 if 18_000.0 < now_s < 21_000.0 else 0.0)


@dataclass
class Lived:
    """One tick: what was wanted, what the gateway had, and the house."""

    at_s: float
    wanted: Rule
    had: Rule
    export_w: float
    production_w: float
    ruling: Ruling
    faults: tuple[str, ...]
    estimated: bool = False


@dataclass
class EnphaseDay:
    """``at``: what happens in it, by the hour; a restart is a call of `restart`. ``has`` reads the gateway's rule."""

    folder: Path
    limits: Limits
    has: Callable[[Limits], Rule]
    keys: dict[str, Any]
    seed: int = 3
    hours: float = 12.0
    prices_c: tuple[float, ...] = ()
    version: tuple[int, int, int] = (8, 3, 5528)
    settings: ControlSettings = field(default_factory=ControlSettings)
    at: dict[float, Callable[[EnphaseDay], None]] = field(default_factory=dict)
    lived: list[Lived] = field(default_factory=list)
    commands: list[tuple[float, RuleCommand]] = field(default_factory=list)
    _running: asyncio.Task[None] | None = None

    @property
    def config(self) -> EnphaseInverterConfig:
        return config(**self.keys)

    async def live(self) -> EnphaseDay:
        """All of it."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_AtOnce())
        self.clock = loop.time
        self.wire = Wire(self.limits, self.version)
        self.market, self._utc = Market(self.seed, self.hours, self.prices_c), Clock()
        self._began_s = loop.time()
        amber = AmberConfig(type="amber", token=TOKEN, site_id=SITE, base_url=NOWHERE)
        session = cast("aiohttp.ClientSession", InProcess(self.market, self._utc))
        feed = PriceFeed(amber.build(session, cast(Any, None)), amber.max_stale_s, utc=self.utc_s, monotonic=loop.time)
        self.restart()
        pricing = asyncio.create_task(self._price(feed))
        due = sorted(self.at.items())
        while (now_s := loop.time() - self._began_s) < self.hours * 3600.0:
            while due and due[0][0] * 3600.0 <= now_s:
                due.pop(0)[1](self)
            self._turn(feed)
            await asyncio.sleep(TICK_S)
        tasks = [task for task in (pricing, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return self

    def utc_s(self) -> float:
        self._utc.utc_s = START_S + self.clock() - self._began_s
        return self._utc.utc_s

    def restart(self) -> None:
        """The program ends without a word and is started again."""
        if self._running is not None:
            self._running.cancel()
        access = Access(cast(Any, None), cast(Any, None), self.folder)
        self.driver = Enphase(self.config, access, gateway=cast(Any, self.wire), clock=self.clock, utc=self.utc_s)
        self.controller = Controller(self.settings)
        self._running = asyncio.create_task(self.driver.run())
        self._giving: asyncio.Task[bool] | None = None

    async def _price(self, feed: PriceFeed) -> None:
        while True:
            self.utc_s()
            await asyncio.sleep(await feed.update())

    def _turn(self, feed: PriceFeed) -> None:
        now_s, utc_s = self.clock(), self.utc_s()
        noise_w = 2.0 * math.sin(now_s)
        reading = Reading(self.limits.load_w(now_s) - self.limits.production_w + noise_w, now_s, utc_s)
        states = self.driver.states()
        snapshot = Snapshot(
            now_s, utc_s, MeterState(reading), states, Settings(), feed.state(), gateways=(self.driver.gateway(),)
        )
        decision = self.controller.step(snapshot)
        for command in decision.rules:
            if self._giving is None or self._giving.done():
                self.commands.append((now_s - self._began_s, command))
                self._giving = asyncio.create_task(self.driver.set_rule(command.serial, command.rule))
        (ruling,) = decision.rulings
        faults = tuple(fault.key for fault in decision.faults)
        price = snapshot.price
        estimated = price is not None and price.export_value_c is not None and price.estimated
        state = (self.limits.export_w, self.limits.production_w, ruling, faults, estimated)
        self.lived.append(Lived(now_s - self._began_s, ruling.wanted, self.has(self.limits), *state))

    # -- figures ---------------------------------------------------------------------------------------

    def switches_needed(self, dwell_s: float) -> int:
        """How often a perfect hand would have switched that rests for so long after each switch.

        It closes by an estimate only when that has not been confirmed after 45 s.
        """
        had, last_s, count, since_s = self.lived[0].had, -math.inf, 0, 0.0
        for before, one in pairwise([self.lived[0], *self.lived]):
            since_s = one.at_s if one.wanted != before.wanted else since_s
            unsure = one.estimated and one.wanted != Rule() and one.at_s - since_s < 45.0
            if one.wanted != had and one.at_s - last_s >= dwell_s and not unsure:
                had, last_s, count = one.wanted, one.at_s, count + 1
        return count


def longest_wrong_s(lived: Sequence[Lived]) -> float:
    """The longest time in which the gateway did not have a rule that was wanted all the while."""
    longest_s = since_s = 0.0
    wanted: Rule | None = None
    for one in lived:
        since_s = since_s + TICK_S if one.had != one.wanted == wanted else 0.0
        longest_s, wanted = max(longest_s, since_s), one.wanted
    return longest_s


def away(reason: str = "does not answer") -> DeviceError:
    return DeviceUnavailable(reason)


def expired() -> DeviceError:
    return DeviceAuthError("the token ran out")
