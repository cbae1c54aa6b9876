"""The dead-man switch: per inverter one connection whose last will lowers it. What we no longer can, the broker does.

A killed process loses its connections, and the broker publishes their wills at once; a hung one lets the keep-alive
pass, and they follow within seconds. Nothing here covers a broker that dies with us, or a network cut
between the broker and OpenDTU.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.broker import Broker
from app.model import Will
from app.mqttconnection import settled

KEEPALIVE_S = (
    3  # Mosquitto looks every 5 s: a hung process is noticed after 4 to 10 s, and one that stalls for 3 s is not
)
SETTLE_S = 3.0  # a connection is kept at least so long: wills that come and go are no storm

MessageOf = Callable[[str, float], tuple[str, str]]


class DeadMan:
    """Keeps the wanted wills armed at the broker of ``main``, while that one is connected and by the same heartbeat.

    ``message_of`` makes topic and payload out of a serial and watts.
    """

    def __init__(self, main: Broker, site: str, message_of: MessageOf) -> None:
        if main.heartbeat_topic is None:
            raise ValueError("a dead-man switch needs a heartbeat: its keep-alive is too short without")
        self._main, self._site, self._message_of = main, site, message_of
        self._wanted: tuple[Will, ...] = ()
        self._changed = asyncio.Event()
        self._guards: dict[str, _Guard] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def armed(self) -> frozenset[str]:
        """The serials whose connection stands now."""
        return frozenset(serial for serial, guard in self._guards.items() if guard.armed)

    def arm(self, wills: tuple[Will, ...]) -> None:
        """Say which wills are wanted from now on; returns at once."""
        if wills != self._wanted:
            self._wanted = wills
            self._changed.set()

    async def run(self) -> None:
        """Connect, disconnect and reconnect for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._changed.clear()
                    wanted = {will.serial: self._message_of(will.serial, will.limit_w) for will in self._wanted}
                    for serial in wanted.keys() - self._guards.keys():
                        guard = _Guard(self._main, f"zero-export-{self._site}-deadman-{serial}")
                        self._guards[serial] = guard
                        self._tasks.add(group.create_task(guard.run()))
                    for serial, guard in self._guards.items():
                        guard.want(wanted.get(serial))
                    await self._changed.wait()
        finally:
            self._guards.clear()
            self._tasks.clear()

    async def close(self) -> None:
        """Disconnect with a goodbye: no will fires. Nothing is armed any more."""
        self._wanted = ()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(settled(task) for task in self._tasks))


class _Guard:
    """One connection that holds the wanted will, or none."""

    def __init__(self, main: Broker, name: str) -> None:
        self._main, self._name = main, name
        self._wanted: tuple[str, str] | None = None
        self._changed = asyncio.Event()
        self._connection: Broker | None = None

    @property
    def armed(self) -> bool:
        return self._connection is not None and self._connection.connected

    def want(self, message: tuple[str, str] | None) -> None:
        if message != self._wanted:
            self._wanted = message
            self._changed.set()

    async def run(self) -> None:
        while True:
            message = self._wanted
            if message is not None:
                await self._hold(message)
            else:
                await self._change()

    async def _hold(self, message: tuple[str, str]) -> None:
        """Be connected with this will until another is wanted."""
        connection = Broker(
            self._main.address,
            self._name,
            message,
            retain_will=False,
            keepalive_s=KEEPALIVE_S,
            heartbeat_topic=self._main.heartbeat_topic,
            after=self._main,
        )
        holding = asyncio.create_task(connection.run(), name=self._name)
        self._connection = connection
        try:
            await asyncio.sleep(SETTLE_S)
            while self._wanted == message:
                await self._change()
        finally:
            self._connection = None
            holding.cancel()
            await settled(holding)

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
