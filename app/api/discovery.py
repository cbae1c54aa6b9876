"""Publishes to Home Assistant what there is, and takes back what is there no more."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from app import __version__
from app.api.homeassistant import Installation, Shown, devices
from app.broker import Broker, Message
from app.config import Config
from app.hub import Hub
from app.kept import Kept
from app.model import Tick

BIRTH = "homeassistant/status"  # Home Assistant's own default, whatever the discovery prefix is
READY_S = (2.0, 4.0)  # it announces itself before it listens
Published = tuple[str, ...]


class Discovery:
    """Keeps the retained discovery messages of this site as they should be; ``discovery_prefix`` None: none at all.

    What was published is kept in a file, so that it can be removed by a later run that does not publish it any more.
    """

    def __init__(
        self,
        broker: Broker,
        hub: Hub,
        installation: Installation,
        discovery_prefix: str | None,
        file: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker, self._hub, self._installation, self._prefix = broker, hub, installation, discovery_prefix
        self._clock = clock
        self._file: Kept[Published] = Kept(file, Published, (), "topics of Home Assistant")
        self._topics = self._file.read()
        self._shown: Shown | None = None  # what this connection has been told
        self._again_s: float | None = None
        broker.on_connect(self._forget)
        if discovery_prefix is not None:
            for topic in {BIRTH, f"{discovery_prefix}/status"}:
                broker.subscribe(topic, self._on_birth)

    @classmethod
    def of(cls, config: Config, broker: Broker, hub: Hub) -> Discovery:
        """As configured. The page is shown where its address can be one for other machines too."""
        section, page = config.homeassistant, config.http.public_url
        known = urlsplit(page).hostname not in ("localhost", "127.0.0.1", "::1")
        name, prefix = (section.name, section.discovery_prefix) if section is not None else ("", None)
        about = Installation(config.site, __version__, config.mqtt.topic_prefix, name, page if known else "")
        return cls(broker, hub, about, prefix, config.data_dir / "homeassistant.json")

    async def run(self) -> None:
        """Look at every tick for what has to be told."""
        with self._hub.subscribe(size=1) as ticks:
            while True:
                tick = await ticks.get()
                if self._again_s is not None and self._clock() >= self._again_s:
                    self._again_s = self._shown = None
                if self._broker.connected and self._shown != Shown.of(tick):
                    await self._tell(tick)

    async def _forget(self) -> None:
        self._shown = None

    def _on_birth(self, message: Message) -> None:
        if message.payload == b"online" and self._again_s is None:
            self._again_s = self._clock() + random.uniform(*READY_S)  # noqa: S311 - jitter, no secret

    async def _tell(self, tick: Tick) -> None:
        """Publish everything, and remove what an earlier run or an inverter that is gone has left."""
        shown = Shown.of(tick)
        wanted = devices(self._installation, shown, self._prefix) if self._prefix is not None else {}
        gone = [topic for topic in self._topics if topic not in wanted]
        if wanted or gone:
            self._topics = (*wanted, *gone)
            await self._file.save(self._topics)  # before: what is not known to be there is never removed
            payloads = {topic: json.dumps(message) for topic, message in wanted.items()} | dict.fromkeys(gone, "")
            for topic, payload in payloads.items():
                if not await self._broker.publish(topic, payload, qos=1, retain=True):
                    return  # the next tick tries again
            self._topics = tuple(wanted)
            await self._file.save(self._topics)
        self._shown = shown
