"""A Victron GX device at an MQTT broker: which one is meant, that it publishes, and what it is asked to say again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import StringConstraints

from app.broker import Broker, Message
from app.model import DeviceDataError, DeviceError, DeviceUnavailable

KEEPALIVE_S = 30.0  # the device stops publishing 60 s after the last one
MANY = 5  # devices at one broker: more are not told apart

PortalId = Annotated[str, StringConstraints(pattern="^[0-9A-Za-z]+$", max_length=40)]


class Gx:
    """One device. ``changed`` is called when it is there, or the broker is."""

    def __init__(
        self,
        broker: Broker,
        portal_id: str | None,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker, self._given, self._changed, self._clock = broker, portal_id, changed, clock
        self._portals = dict.fromkeys([portal_id] if portal_id else [])
        self._kept_s: float | None = None  # when the last keep-alive was sent
        broker.subscribe(self.topic("system/0/Serial"), self._met)
        broker.on_connect(self._greet)
        broker.on_disconnect(self._lost)

    def topic(self, path: str) -> str:
        """The topic that tells a value of the device, or of any while it is not known which one."""
        return f"N/{self._given or '+'}/{path}"

    @property
    def portal(self) -> str | None:
        """The one that is meant."""
        return next(iter(self._portals)) if len(self._portals) == 1 else None

    def heard(self, message: Message) -> bool:
        """Note who publishes; whether it is a live message of the one that is meant."""
        if message.retain:
            return False
        self._add(message.topic)
        return self.is_from(message)

    def is_from(self, message: Message) -> bool:
        """Whether it is a live message of the one that is meant."""
        return not message.retain and message.topic.split("/")[1] == self.portal

    async def keep_alive(self) -> None:
        """Have it publish: everything at first, and what changes from then on."""
        now_s, portal = self._clock(), self.portal
        if portal is None or not self._broker.connected:
            return
        if self._kept_s is None or now_s - self._kept_s >= KEEPALIVE_S:
            payload = "" if self._kept_s is None else json.dumps({"keepalive-options": ["suppress-republish"]})
            if await self._broker.publish(f"R/{portal}/keepalive", payload):
                self._kept_s = now_s

    async def read(self, paths: Iterable[str]) -> None:
        """Have it publish some values once more: one that stands still says nothing by itself."""
        if self.portal is not None and self._broker.connected:
            for path in paths:
                await self._broker.publish(f"R/{self.portal}/{path}", "")

    def away(self, name: str, key: str) -> DeviceError | None:
        """Why it cannot be heard; None: it could. ``key``: where one says which one is meant."""
        if not self._broker.connected:
            return DeviceUnavailable(f"{name}: {self._broker.fault or 'the MQTT broker is not connected'}")
        if not self._portals:
            return DeviceUnavailable(
                f"{name}: no GX device is heard at this broker: switch on MQTT there (Settings, Services)"
            )
        if self.portal is None:
            return DeviceDataError(
                f"{name}: there are several GX devices at this broker ({', '.join(self._portals)}): "
                f"say which one in {key}"
            )
        return None

    async def _greet(self) -> None:
        self._changed()

    def _met(self, message: Message) -> None:
        if message.payload:  # retained: that it is there is no value
            self._add(message.topic)
            self._changed()

    def _add(self, topic: str) -> None:
        if len(self._portals) < MANY:
            self._portals[topic.split("/")[1]] = None

    def _lost(self) -> None:
        self._kept_s = None
        if self._given is None:
            self._portals.clear()


def value_of(payload: bytes, what: str = "") -> Any:
    """The value in a message; None: it says that there is none. Raises `DeviceDataError`, beginning with ``what``."""
    if not payload:
        return None
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or "value" not in document:
        raise DeviceDataError(f"{what}comes as {payload[:40]!r}, which is none of its messages")
    return document["value"]
