"""A driver on a table: messages in, commands out, a clock to turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from app.broker import Broker, Handler, Message
from app.inverters.opendtu import OpenDtu, OpenDtuConfig, OpenDtuInverterConfig
from app.model import InverterState

SERIAL, OTHER = "116180400001", "114180400002"
UTC_0 = 1_700_000_000.0
AC = {
    "voltage": "231.2", "current": "1.70", "power": "393.4", "frequency": "50.02", "powerfactor": "0.999",
    "reactivepower": "-4.2",
}  # fmt: skip
PANEL = {
    "voltage": "37.1", "current": "2.80", "power": "103.9", "yieldday": "412", "yieldtotal": "812.441",
    "irradiation": "25.980",
}  # fmt: skip
INV = {"powerdc": "414.1", "yieldday": "1650", "yieldtotal": "3301.204", "temperature": "41.3", "efficiency": "95.000"}


@dataclass
class Desk:
    """``broker_says``: what the broker answers to a publication; ``echoes``: whether it hands commands back to us."""

    serials: tuple[str, ...] = (SERIAL,)
    now_s: float = 100.0
    connected: bool = True
    broker_says: bool = True
    echoes: bool = True
    enabled: bool = True
    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    sent: list[tuple[str, str, bool]] = field(default_factory=list)
    replayed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        configs = tuple(OpenDtuInverterConfig(serial=s, max_watt=1500, enabled=self.enabled) for s in self.serials)
        self.driver = OpenDtu(
            OpenDtuConfig(), configs, cast(Broker, self), clock=lambda: self.now_s, utc=lambda: UTC_0 + self.now_s
        )

    def on_connect(self, greeting: Callable[[], Awaitable[None]]) -> None:
        self.connect = greeting

    def on_disconnect(self, farewell: Callable[[], None]) -> None:
        self.disconnect = farewell

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        assert "+" not in topic_filter
        assert "#" not in topic_filter
        self.handlers.setdefault(topic_filter, []).append(handler)

    async def publish(self, topic: str, payload: str, *, qos: int = 0, retain: bool = False) -> bool:
        self.sent.append((topic, payload, retain))
        if self.broker_says and self.echoes:
            self.hear(topic.removeprefix("solar/"), payload)
        return self.broker_says

    async def replay(self, topic: str) -> None:
        self.replayed.append(topic)

    def hear(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        for handler in self.handlers.get(f"solar/{topic}", []):
            handler(Message(f"solar/{topic}", data, retain))

    def burst(self, serial: str = SERIAL, *, retain: bool = False, age_s: float = 0.5, **changes: str) -> None:
        """What OpenDTU publishes of an inverter that has just answered."""
        status = {"limit_relative": "40.00", "limit_absolute": "600.00", "reachable": "1", "producing": "1",
                  "last_update": f"{UTC_0 + self.now_s - age_s:.0f}"}  # fmt: skip
        self.hear("dtu/uptime", f"{self.now_s:.0f}", retain=retain)
        self.hear(f"{serial}/name", "Roof", retain=retain)
        self.hear(f"{serial}/radio/rssi", "-80", retain=retain)
        for group, values in (("status", status), ("0", AC), ("1", PANEL), ("0", INV)):
            for key, value in values.items():
                self.hear(f"{serial}/{group}/{key}", changes.get(key, value) if group != "1" else value, retain=retain)

    @property
    def state(self) -> InverterState:
        return self.driver.states()[0]
