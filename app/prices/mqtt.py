"""Prices that somebody publishes on an MQTT topic: a plain number, or JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import aiohttp
from pydantic import Field

from app.broker import Broker, Message
from app.fields import TopicPrefix
from app.model import DeviceDataError, DeviceUnavailable, PriceSlot
from app.outbound import MAX_BODY_BYTES
from app.prices.base import AskAgain, Fetched, Outside, PriceSource
from app.prices.shape import Shape, Trail, read
from app.prices.timetable import Timetable

FIRST_S = 60.0  # with nothing until then, it is time to say so


class MqttPriceConfig(Shape):
    """Prices on a topic of the controller's own broker."""

    type: Literal["mqtt"]
    topic: TopicPrefix = Field(description="without wildcards; an empty message withdraws the price")
    valid_s: float = Field(3600.0, ge=1, le=172_800, description="how long a message holds that does not say so")

    def build(self, _session: aiohttp.ClientSession, outside: Outside) -> PriceSource:
        """The source for this topic."""
        return MqttPrice(self, outside.broker)


class MqttPrice:
    """Waits for the next message; of several, the newest counts. A retained copy is of unknown age."""

    def __init__(self, config: MqttPriceConfig, broker: Broker, utc: Callable[[], float] = time.time) -> None:
        self.name = f"mqtt topic {config.topic}"
        self.currency = config.currency
        self._config, self._utc = config, utc
        self._newest: tuple[Message, float] | None = None  # and when it came
        self._arrived = asyncio.Event()
        self._told = False  # that nothing arrives
        self._live = (b"", 0.0)  # the last one that was no copy, and the end of its price
        self._trail = Trail()
        broker.subscribe(config.topic, self._take)

    async def fetch(self) -> Fetched:
        """The prices of the next message."""
        try:
            async with asyncio.timeout(None if self._told or self._newest else FIRST_S):
                await self._arrived.wait()
        except TimeoutError:
            self._told = True
        if self._newest is None:
            raise DeviceUnavailable(
                f"{self.name}: nothing has arrived yet: check price.topic, and what publishes there"
            )
        self._arrived.clear()
        return Fetched(self._slots(*self._newest))

    def pause_s(self, _utc_s: float, _known: Timetable) -> float:
        """None: the next message may be here already."""
        return 0.0

    def _take(self, message: Message) -> None:
        payload, end_utc_s = self._live
        if message.retain and message.payload == payload and self._utc() < end_utc_s:
            return  # a copy of what was heard live
        self._newest = message, self._utc()
        self._arrived.set()

    def _slots(self, message: Message, at_utc_s: float) -> tuple[PriceSlot, ...]:
        config = self._config
        if not message.payload.strip():
            self._trail, self._live = Trail(), (b"", 0.0)
            raise DeviceDataError(f"{self.name}: the price was withdrawn by an empty message")
        try:
            slots = read(_document(message.payload), config, at_utc_s, config.valid_s)
        except DeviceUnavailable as error:
            raise AskAgain(f"{self.name}: {error}", 0.0) from None  # the next message costs nobody anything
        if not message.retain:
            self._live = message.payload, max(slot.end_utc_s for slot in slots)
        elif not config.timed:
            slots = tuple(replace(slot, confirmed=False) for slot in slots)
        return slots if config.slots is not None else self._trail.add(slots[0])


def _document(payload: bytes) -> Any:
    if len(payload) > MAX_BODY_BYTES:
        raise DeviceUnavailable(f"a message of more than {MAX_BODY_BYTES} bytes is not read")
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise DeviceUnavailable(f"{payload[:40].decode(errors='replace')!r} is neither a number nor JSON") from None
