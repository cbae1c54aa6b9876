"""Publishes to the drivers of Venus OS what they read: every few seconds, never retained, and nothing that is old."""

from __future__ import annotations

import json
from collections.abc import Callable

from app.api.venus import PARTS, document
from app.broker import Broker
from app.config import VenusConfig
from app.fields import BrokerConfig
from app.hub import Hub
from app.model import Tick


class VenusFeed:
    """One document on ``topic``, and each part of it on a topic of its own below.

    The drivers take any message on their topic for a sign of life, whatever is in it: on a topic of its own, a part
    that is left out is silence, and the device vanishes from Venus.
    """

    def __init__(self, broker: Broker, topic: str, interval_s: float, hub: Hub, *, grid: bool = True) -> None:
        self._broker, self._topic, self._interval_s, self._hub, self._grid = broker, topic, interval_s, hub, grid

    @classmethod
    def of(cls, config: VenusConfig, broker: Callable[[BrokerConfig | None], Broker], hub: Hub) -> VenusFeed:
        """As configured."""
        return cls(broker(config.mqtt), config.topic, config.interval_s, hub, grid=config.grid)

    async def run(self) -> None:
        """Publish with the first tick after each ``interval_s``."""
        due_s = 0.0
        with self._hub.subscribe(size=1) as ticks:
            while True:
                tick = await ticks.get()
                late_s = tick.snapshot.now_s - due_s
                if self._broker.connected and late_s >= 0.0:
                    due_s += self._interval_s + (late_s if late_s > self._interval_s else 0.0)
                    await self._publish(tick)

    async def _publish(self, tick: Tick) -> None:
        told = document(tick, grid=self._grid)
        if told:
            await self._broker.publish(self._topic, json.dumps(told))
        for name in PARTS:
            if name in told:
                await self._broker.publish(f"{self._topic}/{name}", json.dumps({name: told[name]}))
