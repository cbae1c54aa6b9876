"""The driver of OpenDTU: its topics, and what to look for there."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.broker import Broker
from app.inverters.hoymiles.commands import Commands
from app.inverters.hoymiles.driver import HoymilesDriver
from app.inverters.hoymiles.heard import band
from app.inverters.opendtu.config import OpenDtuConfig, OpenDtuInverterConfig
from app.inverters.opendtu.gateway import Gateway
from app.inverters.opendtu.heard import OpenDtuHeard

PATIENCE_S, PATIENCE_EACH_S = 8.0, 2.5  # as long as OpenDTU may take to show a limit


class OpenDtu(HoymilesDriver):
    """All configured inverters behind one OpenDTU."""

    limit, power = "limit_nonpersistent_absolute", "power"
    obeyed = (  # everything that OpenDTU obeys below <serial>/cmd, but for resetting its radio's counters
        limit,
        "limit_nonpersistent_relative",
        "limit_persistent_absolute",
        "limit_persistent_relative",
        power,
        "restart",
    )

    def __init__(
        self,
        config: OpenDtuConfig,
        inverters: tuple[OpenDtuInverterConfig, ...],
        broker: Broker,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(broker, clock=clock, utc=utc)
        self._prefix = config.topic_prefix
        gap_s = max(60.0, 15.0 * len(inverters))  # each is polled every 5 s x their number
        patience_s = PATIENCE_S + PATIENCE_EACH_S * len(inverters)
        heard = (
            (item.serial, OpenDtuHeard(item, clock, utc, gap_s, Commands(self.limit, patience_s), band(item.serial)))
            for item in inverters
        )
        self.listen(self._prefix, Gateway(self._prefix, clock, utc, self._lose_limits), heard)

    def topic(self, serial: str, command: str) -> str:
        """Where OpenDTU takes a command for an inverter."""
        return f"{self._prefix}/{serial}/cmd/{command}"

    def next_steps(self) -> tuple[str, str]:
        """What to do where `doctor` finds OpenDTU silent, and where it does not know an inverter."""
        return (
            f"In OpenDTU, Settings > MQTT: enable it with this broker, topic {self._prefix}/, and its user and "
            "password.",
            "Compare inverters.serial in config.yaml with OpenDTU's Settings > Inverters.",
        )
