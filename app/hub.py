"""Carries each tick from the control loop to everything that shows or stores it, without ever waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from app.model import Tick


class Subscription:
    """A bounded queue of ticks; when its reader is slow the oldest are dropped and counted."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[Tick] = asyncio.Queue(maxsize=size)
        self.dropped = 0

    def offer(self, tick: Tick) -> None:
        """Store a tick, dropping the oldest one where there is no room."""
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(tick)

    async def get(self) -> Tick:
        """The oldest tick not yet read."""
        return await self._queue.get()


class Hub:
    """The latest tick, and the subscriptions of those who want every one."""

    def __init__(self) -> None:
        self.latest: Tick | None = None
        self._subscriptions: set[Subscription] = set()

    def publish(self, tick: Tick) -> None:
        """Hand a tick to everybody; never blocks."""
        self.latest = tick
        for subscription in self._subscriptions:
            subscription.offer(tick)

    @contextmanager
    def subscribe(self, size: int = 16) -> Iterator[Subscription]:
        """Receive every tick from now on, until the block ends."""
        subscription = Subscription(size)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
