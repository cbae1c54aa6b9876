"""AhoyDTU on a table, and AhoyDTU in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from app.broker import Broker, Handler, Message
from app.inverters.ahoydtu import AhoyDtu, AhoyDtuInverterConfig
from app.inverters.hoymiles.driver import HoymilesDriver
from app.model import InverterState
from app.simulator.ahoytopics import AhoyTopics, command
from tests.closed_loop import UTC_0, ClosedLoop, Wire

NAME, OTHER = "Roof", "Garage"
SERIAL = "116180400001"
AC = {
    "U_AC": "231.2", "I_AC": "1.7", "P_AC": "393.4", "Q_AC": "-4.2", "F_AC": "50.02", "PF_AC": "0.999", "Temp": "41.3",
    "ALARM_MES_ID": "3", "YieldDay": "1650", "YieldTotal": "3301.2", "P_DC": "414.1", "Efficiency": "95",
    "MaxPower": "812.3",
}  # fmt: skip
PANEL = {
    "U_DC": "37.1", "I_DC": "2.8", "P_DC": "103.9", "YieldDay": "412", "YieldTotal": "812.441", "Irradiation": "25.98",
}  # fmt: skip


def section(name: str = NAME, number: int = 0, **keys: Any) -> AhoyDtuInverterConfig:
    """One of `config.yaml`."""
    return AhoyDtuInverterConfig.model_validate(
        {"type": "ahoydtu", "name": name, "id": number, "max_watt": 1500} | keys
    )


@dataclass
class AhoyDesk:
    """Messages in, commands out, a clock to turn. ``echoes``: whether the broker hands commands back to us."""

    sections: tuple[AhoyDtuInverterConfig, ...] = (section(),)
    now_s: float = 100.0
    connected: bool = True
    broker_says: bool = True
    echoes: bool = True
    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    sent: list[tuple[str, str, bool]] = field(default_factory=list)
    replayed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        clocks = {"clock": lambda: self.now_s, "utc": lambda: UTC_0 + self.now_s}
        self.driver = AhoyDtu(self.sections, cast(Broker, self), **clocks)

    def on_connect(self, greeting: Callable[[], Awaitable[None]]) -> None:
        self.connect = greeting

    def on_disconnect(self, farewell: Callable[[], None]) -> None:
        self.disconnect = farewell

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        assert not set("+#") & set(topic_filter)
        self.handlers.setdefault(topic_filter, []).append(handler)

    async def publish(self, topic: str, payload: str, *, qos: int = 0, retain: bool = False) -> bool:
        self.sent.append((topic, payload, retain))
        if self.broker_says and self.echoes:
            self.hear(topic.removeprefix("inverter/"), payload)
        return self.broker_says

    async def replay(self, topic: str) -> None:
        self.replayed.append(topic)

    def hear(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        for handler in self.handlers.get(f"inverter/{topic}", []):
            handler(Message(f"inverter/{topic}", data, retain))

    def burst(
        self, name: str = NAME, *, retain: bool = False, age_s: float = 0.5, end: bool = True, **changes: str
    ) -> None:
        """What AhoyDTU publishes of an inverter that has just answered; ``last_success`` may be given."""
        last = changes.pop("last_success", f"{UTC_0 + self.now_s - age_s:.0f}")
        self.hear(f"{name}/last_success", last, retain=retain)
        for channel, fields in ((1, PANEL), (0, AC)):
            for key, value in fields.items():
                self.hear(f"{name}/ch{channel}/{key}", changes.get(key, value), retain=retain)
        if end:
            self.hear(f"{name}/radio_stat", '{"tx":1200,"success":1180}', retain=retain)

    @property
    def state(self) -> InverterState:
        return self.driver.states()[0]


class AhoyWire(Wire):
    """Carries messages between driver and simulated AhoyDTU."""

    def receive(self, topic: str, payload: str) -> None:
        """What AhoyDTU makes of it."""
        command(self.house.dtu, topic.removeprefix("inverter/"), payload)


class AhoyLoop(ClosedLoop):
    """A house under control whose inverters are behind an AhoyDTU."""

    def new_wire(self) -> Wire:
        """What stands where the broker stands."""
        self.topics = AhoyTopics(self.house.dtu)
        return AhoyWire(self.house)

    def new_driver(self, sections: list[dict[str, Any]]) -> HoymilesDriver:
        """The driver of these inverters, which AhoyDTU numbers in this order."""
        names = [inverter.config.name for inverter in self.house.inverters]
        inverters = tuple(
            section(name, number, **keys) for number, (name, keys) in enumerate(zip(names, sections, strict=True))
        )
        return AhoyDtu(inverters, cast(Broker, self.wire), **self.clocks)

    def publish(self) -> None:
        """What AhoyDTU says now."""
        for topic, payload, _ in self.topics.news(UTC_0):
            self.wire.deliver(f"inverter/{topic}", payload)
