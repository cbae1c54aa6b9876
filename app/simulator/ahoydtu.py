"""AhoyDTU as an MQTT broker sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.simulator.ahoytopics import AhoyTopics, command
from app.simulator.mqttdtu import FakeDtu, News

MOST_INVERTERS = 16


class FakeAhoyDtu(FakeDtu):
    """The simulated gateway and radio behind AhoyDTU's topics; inverters are numbered in their order, from 0.

    ``topics.json`` publishes channels as objects.
    """

    name = "AhoyDTU"
    client_id = "AHOY-DTU-A1B2C3"
    status = ("mqtt", "connected", "not connected")

    def __init__(self, *args: Any, prefix: str = "inverter/", **options: Any) -> None:
        super().__init__(*args, prefix=prefix, **options)
        self.topics = AhoyTopics(self.house.dtu)

    def filters(self) -> Iterable[tuple[str, int]]:
        """Three commands for each number."""
        yield "ctrl/restart_ahoy", 0
        for number in range(MOST_INVERTERS):
            yield f"ctrl/limit/{number}", 2
            yield f"ctrl/restart/{number}", 0
            yield f"ctrl/power/{number}", 0

    def take(self, topic: str, payload: str, *, retained: bool) -> None:  # noqa: ARG002 - AhoyDTU does not look at it
        """A command; retained ones are obeyed as well."""
        command(self.house.dtu, topic, payload)

    def greeting(self) -> News:
        """What it says of itself."""
        return self.topics.greeting()

    def news(self, utc_minus_now_s: float) -> News:
        """Data when they have come, acknowledgements when an inverter has answered, itself once a minute."""
        return self.topics.news(utc_minus_now_s)
