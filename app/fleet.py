"""All inverters of an installation, whatever they are: one place to ask, to command, and to guard them from."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from app.broker import Broker
from app.deadman import DeadMan
from app.inverters import InverterDriver
from app.model import GatewayState, InverterState, Will


class Fleet:
    """The drivers together; the inverters in the order of ``ids``, that of the configuration.

    ``heartbeat_topic``: by it brokers that carry commands prove that they still answer; None: nothing is to be guarded.
    """

    def __init__(
        self, drivers: Sequence[InverterDriver], ids: Sequence[str], site: str, heartbeat_topic: str | None = None
    ) -> None:
        self.drivers = tuple(drivers)
        self._ids = tuple(ids)
        self._of = {state.serial: driver for driver in drivers for state in driver.states()}
        self._brokers: list[Broker] = []
        for driver in drivers:
            if driver.broker is not None and driver.broker not in self._brokers:
                self._brokers.append(driver.broker)
        guarded = self._brokers if heartbeat_topic is not None else []
        for broker in guarded:
            broker.heartbeat_topic = broker.heartbeat_topic or heartbeat_topic
        self._dead_men = {broker: DeadMan(broker, site, self._will) for broker in guarded}

    @property
    def brokers(self) -> Sequence[Broker]:
        """Those that carry commands."""
        return self._brokers

    @property
    def dead_men(self) -> Iterable[DeadMan]:
        """One for each of these brokers."""
        return self._dead_men.values()

    @property
    def dropped(self) -> int:
        """How many messages of inverters could not be used."""
        return sum(driver.dropped for driver in self.drivers)

    def driver(self, serial: str) -> InverterDriver:
        """Who commands an inverter."""
        return self._of[serial]

    def states(self) -> tuple[InverterState, ...]:
        """What is known of every inverter now."""
        armed = frozenset().union(*(dead_man.armed for dead_man in self.dead_men))
        known = {state.serial: state for driver in self.drivers for state in driver.states(armed)}
        return tuple(known[serial] for serial in self._ids)

    def power_w(self) -> float | None:
        """What they give together, by live messages; None unless all are known."""
        powers = [None if state.power_at_s is None else state.ac.power_w for state in self.states()]
        known = [max(0.0, power_w) for power_w in powers if power_w is not None]
        return sum(known) if len(known) == len(powers) else None

    def gateways(self) -> tuple[GatewayState, ...]:
        """What is known of every gateway now."""
        found = (driver.gateway() for driver in self.drivers)
        return tuple(gateway for gateway in found if gateway is not None)

    @property
    def connected(self) -> bool:
        """Whether every broker that carries commands is there."""
        return all(broker.connected for broker in self._brokers)

    @property
    def broker_fault(self) -> str | None:
        """Why one of them is not."""
        return next((broker.fault for broker in self._brokers if broker.fault), None)

    def arm(self, wills: Sequence[Will]) -> None:
        """Say which wills are wanted from now on, each at the broker that carries the inverter's commands."""
        for broker, dead_man in self._dead_men.items():
            dead_man.arm(tuple(will for will in wills if self._of[will.serial].broker is broker))

    async def run(self) -> None:
        """Keep in touch with every inverter, for ever."""
        await _all(driver.run() for driver in self.drivers)

    async def guard(self) -> None:
        """Keep the wills armed, for ever."""
        await _all(dead_man.run() for dead_man in self.dead_men)

    async def unguard(self) -> None:
        """Disconnect with a goodbye: no will fires."""
        for dead_man in self.dead_men:
            await dead_man.close()

    def _will(self, serial: str, limit_w: float) -> tuple[str, str]:
        return self._of[serial].will(serial, limit_w)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run these for ever; the end of one is the end of all."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
        await asyncio.Event().wait()
