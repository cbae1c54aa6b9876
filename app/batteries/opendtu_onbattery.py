"""The battery of OpenDTU-OnBattery, as it publishes what its battery monitor or BMS tells.

Below ``<prefix>/battery/`` it publishes, one right after the other and as often as its publish interval says:
``dataAge`` (seconds), ``stateOfCharge`` (%), ``voltage`` and ``current`` (positive while it charges), each where known.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.access import Access
from app.batteries.base import BatterySection, Emit, percent, watts
from app.batteries.follow import SILENT, Followed
from app.broker import Broker
from app.documents import optional
from app.fields import BrokerConfig, TopicPrefix
from app.meters.mqtt import content
from app.model import BatteryState, DeviceDataError

LONGEST_AGE_S = 1e6
MAX_VOLTAGE_V, MAX_CURRENT_A = 1500.0, 2000.0


class OnBatteryConfig(BatterySection):
    """What OpenDTU-OnBattery knows of its battery."""

    type: Literal["opendtu-onbattery"]
    topic_prefix: TopicPrefix = Field("solar", description="Base Topic in its MQTT settings")
    interval_s: float = Field(5.0, ge=1, le=300, description="Publish Interval in its MQTT settings")
    mqtt: BrokerConfig | None = Field(None, description="its broker, where it is not ours")

    def driver(self, access: Access) -> OnBattery:
        """The driver for this prefix."""
        return OnBattery(self, access.broker(self.mqtt))


class OnBattery:
    """Follows the topics of one battery."""

    def __init__(self, config: OnBatteryConfig, broker: Broker) -> None:
        self.name = f"OpenDTU-OnBattery at {config.topic_prefix}/battery"
        self._config, self._shown_s = config, 0.0
        self._followed = Followed(self.name, broker, config.interval_s, self._state)
        for key, parse in (
            ("dataAge", _age_s),
            ("stateOfCharge", _soc_pct),
            ("voltage", lambda payload: _number(payload, 0.0, MAX_VOLTAGE_V, "V")),
            ("current", lambda payload: _number(payload, -MAX_CURRENT_A, MAX_CURRENT_A, "A")),
        ):
            broker.subscribe(f"{config.topic_prefix}/battery/{key}", self._followed.take(key, parse))

    async def run(self, emit: Emit) -> None:
        """Emit what comes, and that nothing comes."""
        await self._followed.run(emit)

    def _state(self, _now_s: float) -> BatteryState | None:
        """What it has told lately, as old as it says that its data are."""
        oldest_s = SILENT * self._config.interval_s
        soc, voltage, current, age = (
            self._followed.value(key, oldest_s) for key in ("stateOfCharge", "voltage", "current", "dataAge")
        )
        told_s = [found[1] for found in (soc, current) if found is not None]
        if not told_s or max(told_s) <= self._shown_s:
            return None
        self._shown_s = max(told_s)
        power_w = None
        if voltage is not None and current is not None:
            power_w = watts(voltage[0] * current[0], f"{self.name}: voltage x current")
        at_s = self._shown_s - (0.0 if age is None else age[0])
        return self._config.state(self.name, None if soc is None else soc[0], power_w, at_s)


def _soc_pct(payload: bytes) -> float:
    return percent(content(payload), "the state of charge")


def _age_s(payload: bytes) -> float:
    return _number(payload, 0.0, LONGEST_AGE_S, "s")


def _number(payload: bytes, lowest: float, highest: float, unit: str) -> float:
    """A number within these bounds. Raises `DeviceDataError`."""
    value = content(payload)
    number = optional(value)
    if number is None or not lowest <= number <= highest:
        raise DeviceDataError(f"{str(value)[:40]!r} is no number of {unit} within {lowest:g} to {highest:g}")
    return number
