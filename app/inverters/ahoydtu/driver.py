"""The driver of AhoyDTU: its topics, and what to look for there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from app.access import Access
from app.broker import Broker
from app.fields import BrokerConfig
from app.inverters.ahoydtu.config import AhoyDtuInverterConfig
from app.inverters.ahoydtu.gateway import STATUS_S, Gateway
from app.inverters.ahoydtu.heard import AhoyHeard
from app.inverters.hoymiles.commands import Commands
from app.inverters.hoymiles.driver import HoymilesDriver
from app.inverters.hoymiles.heard import band

GAP_S = 90.0  # six polls at AhoyDTU's default of 15 s
PATIENCE_S, PATIENCE_EACH_S = 8.0, 2.5  # as long as it may take to tell of an answer


class AhoyDtu(HoymilesDriver):
    """All configured inverters behind one AhoyDTU."""

    limit, power = "limit", "power"
    obeyed = (limit, power, "restart")
    unit = "W"  # without, it takes percent
    examine_s = STATUS_S + 5.0

    def __init__(
        self,
        inverters: tuple[AhoyDtuInverterConfig, ...],
        broker: Broker,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(broker, clock=clock, utc=utc)
        first = inverters[0]
        self._prefix = first.topic_prefix
        self._numbers = {item.id: item.control_id for item in inverters}
        gateway = Gateway(_name(first), self._prefix, clock, utc, self._lose_limits)
        patience_s = PATIENCE_S + PATIENCE_EACH_S * len(inverters)
        heard = (
            AhoyHeard(
                item,
                clock,
                utc,
                GAP_S,
                Commands(self.limit, patience_s),
                f"{gateway.name} {band(item.serial)}",
                gateway_lives=gateway.heard,
            )
            for item in inverters
        )
        self.listen(self._prefix, gateway, ((item.config.name, item) for item in heard))

    def topic(self, serial: str, command: str) -> str:
        """Where AhoyDTU takes a command for an inverter."""
        return f"{self._prefix}/ctrl/{command}/{self._numbers[serial]}"

    def answered(self) -> bool:
        """Whether `doctor` need not wait any longer: an inverter that is away tells nothing more."""
        told = all(state.power_at_s is not None or state.reachable is False for state in self.states())
        return told and self.gateway().seen_at_s is not None

    def next_steps(self) -> tuple[str, str]:
        """What to do where `doctor` finds AhoyDTU silent, and where it does not know an inverter."""
        return (
            f"In AhoyDTU, Settings > MQTT: enter this broker, topic {self._prefix}, its user and password, interval 0.",
            "Compare name and id in config.yaml with AhoyDTU's Settings > Inverter: the list begins with id 0.",
        )


def ahoydtus(inverters: Iterable[AhoyDtuInverterConfig], access: Access) -> list[AhoyDtu]:
    """The drivers of these sections: one for all inverters of one broker and topic."""
    groups: dict[tuple[BrokerConfig | None, str], list[AhoyDtuInverterConfig]] = {}
    for item in inverters:
        groups.setdefault((item.mqtt, item.topic_prefix), []).append(item)
    return [AhoyDtu(tuple(items), access.broker(mqtt)) for (mqtt, _), items in groups.items()]


def _name(section: AhoyDtuInverterConfig) -> str:
    """What people and telemetry know it by."""
    topic = "" if section.topic_prefix == "inverter" else f" {section.topic_prefix}"
    return f"AhoyDTU{topic}" + ("" if section.mqtt is None else f" at {section.mqtt.host}")
