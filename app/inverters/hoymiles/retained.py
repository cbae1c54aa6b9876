"""Commands that somebody left at the broker: it hands them to the gateway at every reconnect, which obeys most."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from app.broker import Broker

LOOK_S = 15.0
ANSWER_S = 1.0


class Sweeper:
    """Removes retained commands as far as the broker's access rules let us, and looks whether they are gone."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._kept: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def look(self, topic: str) -> None:
        """Have the broker tell whether it keeps a command there; not more often than every few seconds."""
        self._start(f"look at {topic}", self._look(topic))

    def sweep(self, topic: str) -> None:
        """The broker keeps a command there: remove it, look again after some seconds, and so on until it is gone."""
        self._kept.add(topic)
        self._start(f"sweep {topic}", self._sweep(topic))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self._tasks:
            work.close()
            return
        self._tasks[name] = asyncio.create_task(work, name=name)
        self._tasks[name].add_done_callback(lambda _task: self._tasks.pop(name))

    async def _look(self, topic: str) -> None:
        await self._broker.replay(topic)
        await asyncio.sleep(LOOK_S)

    async def _sweep(self, topic: str) -> None:
        while topic in self._kept:
            self._kept.discard(topic)
            await self._broker.publish(topic, "", qos=1, retain=True)
            await asyncio.sleep(LOOK_S)
            await self._broker.replay(topic)
            await asyncio.sleep(ANSWER_S)
