"""Puts what an Enphase gateway tells on MQTT: each document when it has changed, and not too often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from app.broker import Broker
from app.enphase.messages import documents
from app.enphase.section import PublishConfig
from app.model import EnvoyState


class EnvoyPublisher:
    """Publishes at QoS 0 and not retained: who reads these topics takes silence for an outage."""

    def __init__(self, config: PublishConfig, broker: Broker, state: Callable[[], EnvoyState | None]) -> None:
        self._config, self._broker, self._state = config, broker, state
        self._told: dict[str, str] = {}
        broker.on_connect(self._anew)

    async def run(self) -> None:
        """Publish what has changed, for ever."""
        while True:
            await self._publish()
            await asyncio.sleep(self._config.interval_s)

    async def _publish(self) -> None:
        envoy = self._state()
        for name, document in documents(envoy).items() if envoy is not None else ():
            payload = json.dumps(document, allow_nan=False)
            if payload != self._told.get(name) and await self._broker.publish(f"{self._config.topic}/{name}", payload):
                self._told[name] = payload

    async def _anew(self) -> None:
        """Whoever listens at a broker that was away has heard nothing."""
        self._told.clear()
