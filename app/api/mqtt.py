"""The controller's own MQTT surface: state out, retained; commands in, obeyed once and cleared."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from app.api import storage
from app.api.override import from_text
from app.api.rivals import Rivals
from app.broker import Broker, Message
from app.enphase.ensemble.actions import Grid, parse
from app.enphase.ensemble.driver import Ensemble
from app.hub import Hub
from app.model import Fault, Settings, Tick
from app.seldom import Seldom
from app.state import SettingsStore

log = logging.getLogger(__name__)

_WORDS = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
STATE_INTERVAL_S = 5.0
OBEY_INTERVAL_S = 0.2  # of a flood of commands the newest is obeyed, so often
BAD_INPUT_S = 3600.0
MAX_OVERRIDE = 200  # bytes of a command
MAX_ACTION = 2000


class MqttSurface:
    """Publishes under ``<prefix>/state…`` and listens on ``<prefix>/set/…``. ``dropped`` counts what it cannot use."""

    def __init__(
        self,
        broker: Broker,
        prefix: str,
        hub: Hub,
        store: SettingsStore,
        describe: Callable[[Tick], dict[str, Any]],
        *,
        ensemble: Ensemble | None = None,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._broker, self._prefix, self._hub, self._store = broker, prefix, hub, store
        self._describe, self._ensemble, self._utc = describe, ensemble, utc
        self._bad = 0
        self._seldom = Seldom(BAD_INPUT_S)
        self._published: dict[str, str] = {}
        self._waiting: dict[str, Callable[[], object]] = {}
        self._to_clear: dict[str, bytes] = {}
        self._kept: dict[str, bytes] = {}
        self._obeying: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._rivals = Rivals(broker, prefix)
        for key in ("enabled", "target_point_w", "override", *(("ensemble",) if ensemble is not None else ())):
            broker.subscribe(f"{prefix}/set/{key}", self._on_set)
        broker.on_connect(self._greet)
        store.on_change(self._on_change)

    @property
    def dropped(self) -> int:
        """How many messages could not be used."""
        return self._bad + self._rivals.dropped

    def faults(self) -> tuple[Fault, ...]:
        """Whether another controller works on our topics."""
        return self._rivals.faults()

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
                await self._retain("state/grid_power", _number(decision.grid_w))
                await self._retain("state/limit", _number(decision.limit_w))
                if tick.ensemble is not None:
                    await self._retain("state/ensemble", json.dumps(storage.ensemble(tick.ensemble, None)))
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
        """Keep a value at the broker; an empty one is unknown, and removes what it keeps."""
        if self._published.get(topic) == payload:
            return
        if await self._broker.publish(f"{self._prefix}/{topic}", payload, retain=True):
            self._published[topic] = payload

    def _on_change(self, _settings: Settings, _source: str) -> None:
        self._changed.set()

    def _on_set(self, message: Message) -> None:
        """Note what is wanted; it is obeyed and cleared within the next moment."""
        topic, payload = message.topic, message.payload
        if not payload:
            return
        if not (message.retain and self._kept.get(topic) == payload):  # else it is obeyed already, and was not cleared
            key = topic.rpartition("/")[2]
            try:
                if key == "ensemble":
                    self._ask_ensemble(payload, kept=message.retain)
                else:
                    self._waiting[key] = self._wanted(key, payload)
            except ValueError as error:
                self._drop(topic, error)
        self._to_clear[topic] = payload
        if self._obeying is None or self._obeying.done():
            self._obeying = asyncio.get_running_loop().create_task(self._obey())

    def _wanted(self, key: str, payload: bytes) -> Callable[[], object]:
        """The change that a message asks for. Raises ValueError."""
        match key:
            case "enabled":
                return partial(self._store.update, enabled=_switch(payload), source="MQTT")
            case "target_point_w":
                return partial(self._store.update, target_point_w=_watts(payload), source="MQTT")
        if len(payload) > MAX_OVERRIDE:
            raise ValueError(f"an override of {len(payload)} bytes is none")
        tick, text = self._hub.latest, payload.decode("utf-8", errors="replace").strip()
        override = from_text(text, tick.snapshot.price if tick else None, self._utc())
        return partial(self._store.override, override, "MQTT")

    def _ask_ensemble(self, payload: bytes, *, kept: bool) -> None:
        """Pass an action on: each is of its own, so none replaces another as of the settings the newest does.

        ``kept``: the broker had it, for whatever time; nobody may be there who meant it.
        """
        if len(payload) > MAX_ACTION or self._ensemble is None:
            raise ValueError(f"an action of {len(payload)} bytes is none")
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            raise ValueError(f"{_text(payload)!r} is no JSON") from None
        action = parse(data)
        if kept and isinstance(action, Grid) and action.state == "off":
            raise ValueError("a kept message does not open the grid relay: publish it without retain")
        self._ensemble.ask(action, "MQTT")

    async def _obey(self) -> None:
        while self._waiting or self._to_clear:
            waiting, self._waiting = self._waiting, {}
            to_clear, self._to_clear = self._to_clear, {}
            for key, change in waiting.items():
                try:
                    change()
                except ValueError as error:
                    self._drop(key, error)
            for topic, payload in to_clear.items():
                cleared = await self._broker.publish(topic, "", qos=1, retain=True)
                self._kept |= {topic: b"" if cleared else payload}
            await asyncio.sleep(OBEY_INTERVAL_S)

    def _drop(self, topic: str, error: ValueError) -> None:
        self._bad += 1
        if self._seldom.due(topic):
            log.warning("MQTT: %s: %s; nothing changed", topic, error)


def _text(payload: bytes) -> str:
    return payload[:40].decode("utf-8", errors="replace").strip()


def _switch(payload: bytes) -> bool:
    text = _text(payload)
    if text.lower() not in _WORDS or len(payload) > 40:
        raise ValueError(f"{text!r} is not one of on, off, 1, 0, true, false")
    return _WORDS[text.lower()]


def _watts(payload: bytes) -> float:
    text = _text(payload)
    try:
        value = float(text) if len(payload) <= 40 and "_" not in text else math.nan  # Python would read 1_000
        if math.isfinite(value):
            return value
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a number of watts")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _on_off(settings: Settings) -> str:
    return "on" if settings.enabled else "off"
