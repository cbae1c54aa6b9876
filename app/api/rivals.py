"""Whether another controller works under our topics: two of them undo each other's limits."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable

from app.broker import Broker, Message
from app.model import Fault

REMEMBERED_S = 60.0
ANSWER_S = 20.0
_INTRODUCTION = re.compile(r"[0-9a-f]{16} \d{1,9}")


class Rivals:
    """Introduces this process under ``<prefix>/state/instance``, retained, and notices who else does.

    An introduction is a random name and a count, so that a restored old one can be told from a new one of the same.
    """

    def __init__(self, broker: Broker, prefix: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker, self._prefix, self._clock = broker, prefix, clock
        self._topic = f"{prefix}/state/instance"
        self._name, self._count = secrets.token_hex(8), 0
        self._introduced = False
        self._predecessor = ""
        self._seen_s: float | None = None
        self._since_utc_s: float | None = None
        self._answering: asyncio.Task[None] | None = None
        self.dropped = 0
        broker.subscribe(self._topic, self._on_introduction)
        broker.on_connect(self._introduce)

    def faults(self) -> tuple[Fault, ...]:
        """The conflict, for a while after the last sign of it."""
        if self._seen_s is None or self._clock() - self._seen_s > REMEMBERED_S:
            self._since_utc_s = None
            return ()
        where = f"{self._prefix}/ on the MQTT broker at {self._broker.address}"
        text = f"Another controller uses {where}: the two undo each other's limits."
        step = "Stop one of them; controllers of different houses need a site and an mqtt.topic_prefix of their own."
        return (Fault("instance", text, step, self._since_utc_s),)

    async def _introduce(self) -> None:
        self._count += 1
        if await self._broker.publish(self._topic, f"{self._name} {self._count}", qos=1, retain=True):
            self._introduced = True

    def _on_introduction(self, message: Message) -> None:
        text = message.payload[:40].decode("ascii", errors="replace")
        if not _INTRODUCTION.fullmatch(text):
            self.dropped += bool(message.payload)
        elif text.startswith(self._name):
            return
        elif message.retain and (not self._introduced or text == self._predecessor):
            self._predecessor = text  # left by the process before this one
        else:
            self._notice()

    def _notice(self) -> None:
        self._seen_s = self._clock()
        self._since_utc_s = self._since_utc_s or time.time()
        if self._answering is None or self._answering.done():
            self._answering = asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        """Let the other one know of us too."""
        await asyncio.sleep(ANSWER_S)
        await self._introduce()
