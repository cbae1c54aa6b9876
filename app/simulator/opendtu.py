"""OpenDTU as an MQTT broker sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.simulator.mqttdtu import FakeDtu, News
from app.simulator.payload import COMMANDS
from app.simulator.topics import burst


class FakeOpenDtu(FakeDtu):
    """The simulated gateway behind OpenDTU's topics.

    ``own_limiter``: the mode that OpenDTU-OnBattery tells of its own power limiter; None: it has none, or not enabled.
    """

    name = "OpenDTU"
    client_id = "OpenDTU-A1B2C3"
    status = ("dtu/status", "online", "offline")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.own_limiter: int | None = None
        self._published = self.house.dtu.published

    def filters(self) -> Iterable[tuple[str, int]]:
        """Every command of every inverter."""
        return ((f"+/cmd/{command}", 0) for command in COMMANDS)

    def take(self, topic: str, payload: str, *, retained: bool) -> None:
        """A command."""
        serial, _, command = topic.partition("/cmd/")
        self.house.dtu.receive(serial, command, payload, retained=retained)

    def greeting(self) -> News:
        """Nothing; what was due while it had no connection is not sent later."""
        self._published = self.house.dtu.published
        return ()

    def news(self, utc_minus_now_s: float) -> News:
        """A burst of everything, whenever it is due."""
        dtu = self.house.dtu
        if dtu.published == self._published:
            return
        self._published = dtu.published
        for topic, payload in burst(dtu, utc_minus_now_s):
            yield topic, payload, True
        if self.own_limiter is not None:
            yield "powerlimiter/status/mode", f"{self.own_limiter}", True
