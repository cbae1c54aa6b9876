"""The controller's own MQTT surface: state out, retained; commands in, obeyed once and cleared."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from app.broker import Broker, Message
from app.hub import Hub
from app.model import Settings, Tick
from app.state import SettingsStore

log = logging.getLogger(__name__)

_WORDS = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
STATE_INTERVAL_S = 5.0


class MqttSurface:
    """Publishes under ``<prefix>/state…`` and listens on ``<prefix>/set/…``."""

    def __init__(
        self, broker: Broker, prefix: str, hub: Hub, store: SettingsStore, describe: Callable[[Tick], dict[str, Any]]
    ) -> None:
        self._broker, self._prefix, self._hub, self._store = broker, prefix, hub, store
        self._describe = describe
        self._published: dict[str, str] = {}
        self._clearing: set[asyncio.Task[bool]] = set()
        self._changed = asyncio.Event()
        broker.subscribe(f"{prefix}/set/+", self._on_set)
        broker.on_connect(self._greet)
        store.on_change(self._on_change)

    async def run(self) -> None:
        """Publish what changed with every tick, and the whole state every few seconds."""
        whole_due_s = 0.0
        with self._hub.subscribe() as ticks:
            while True:
                tick = await ticks.get()
                if not self._broker.connected:
                    continue
                decision = tick.decision
                await self._retain("state/enabled", _on_off(tick.snapshot.settings))
                if decision.grid_w is not None:
                    await self._retain("state/grid_power", f"{decision.grid_w:.1f}")
                if decision.limit_w is not None:
                    await self._retain("state/limit", f"{decision.limit_w:.1f}")
                if tick.snapshot.now_s >= whole_due_s or self._changed.is_set():
                    whole_due_s = tick.snapshot.now_s + STATE_INTERVAL_S
                    self._changed.clear()
                    await self._retain("state", json.dumps(self._describe(tick)))

    async def close(self) -> None:
        """Say goodbye: after a clean disconnect the broker does not publish the will."""
        await self._broker.publish(f"{self._prefix}/status", "offline", qos=1, retain=True)

    async def _greet(self) -> None:
        self._published.clear()
        await self._broker.publish(f"{self._prefix}/status", "online", qos=1, retain=True)
        await self._retain("state/enabled", _on_off(self._store.current))

    async def _retain(self, topic: str, payload: str) -> None:
        if self._published.get(topic) == payload:
            return
        if await self._broker.publish(f"{self._prefix}/{topic}", payload, retain=True):
            self._published[topic] = payload

    def _on_change(self, _settings: Settings, _source: str) -> None:
        self._changed.set()

    def _on_set(self, message: Message) -> None:
        if not message.payload:
            return
        key = message.topic.rsplit("/", 1)[1]
        text = message.payload[:64].decode("utf-8", errors="replace").strip()
        try:
            if key == "enabled":
                self._store.update(enabled=_switch(text), source="MQTT")
            elif key == "target_point_w":
                self._store.update(target_point_w=_watts(text), source="MQTT")
            else:
                log.warning("MQTT: %s is no setting; use set/enabled or set/target_point_w", message.topic)
        except ValueError as error:
            log.warning("MQTT: %s: %s; nothing changed", message.topic, error)
        task = asyncio.get_running_loop().create_task(self._broker.publish(message.topic, "", qos=1, retain=True))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)


def _switch(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"{text!r} is not one of on, off, 1, 0, true, false")
    return _WORDS[text.lower()]


def _watts(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of watts") from None


def _on_off(settings: Settings) -> str:
    return "on" if settings.enabled else "off"
