"""A battery that somebody publishes over MQTT: charge and power in one message, or each on a topic of its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from app.access import Access
from app.batteries.base import Emit
from app.batteries.follow import SILENT, Followed
from app.batteries.values import ValuesSection, power_w, soc_pct
from app.broker import Broker
from app.fields import BrokerConfig, TopicPrefix
from app.meters.mqtt import content
from app.model import BatteryState


class MqttBatteryConfig(ValuesSection):
    """A battery on one MQTT topic or two. Without a path, a message is the value itself."""

    type: Literal["mqtt"]
    topic: TopicPrefix | None = Field(None, description="where one message tells both; without wildcards")
    soc_topic: TopicPrefix | None = Field(None, description="or the topic of the charge")
    power_topic: TopicPrefix | None = Field(None, description="and that of the power")
    interval_s: float = Field(10.0, ge=0.2, le=300, description="how often the power is published at least")
    soc_valid_s: float = Field(
        900.0, ge=1, le=86_400, description="how long a charge holds that is only published when it changes"
    )
    mqtt: BrokerConfig | None = Field(None, description="its broker, where it is not ours")

    @model_validator(mode="after")
    def _topics(self) -> MqttBatteryConfig:
        apart = self.soc_topic is not None or self.power_topic is not None
        if (self.topic is None) != apart:
            raise ValueError("give topic, or soc_topic and power_topic")
        if self.topic is not None and (self.soc_path is None or self.power_path is None):
            raise ValueError("topic: a message that tells both needs soc_path and power_path")
        if apart and (self.soc_topic is None or self.power_topic is None):
            raise ValueError("give soc_topic and power_topic together")
        return self

    def driver(self, access: Access) -> MqttBattery:
        """The driver for these topics."""
        return MqttBattery(self, access.broker(self.mqtt))


class MqttBattery:
    """Waits for messages; each live one is a state, each bad one a fault."""

    def __init__(self, config: MqttBatteryConfig, broker: Broker) -> None:
        self.name = f"mqtt topic {config.topic or config.power_topic}"
        self._config, self._shown_s = config, 0.0
        self._followed = Followed(self.name, broker, config.interval_s, self._state)
        soc, power = str(config.topic or config.soc_topic), str(config.topic or config.power_topic)
        broker.subscribe(soc, self._followed.take("soc", self._soc))
        broker.subscribe(power, self._followed.take("power", self._power))

    async def run(self, emit: Emit) -> None:
        """Emit what comes, and that nothing comes."""
        await self._followed.run(emit)

    def _soc(self, payload: bytes) -> float:
        return soc_pct(content(payload), self._config.soc_path, self._config.soc_scale)

    def _power(self, payload: bytes) -> float:
        return power_w(content(payload), self._config.power_path, self._config.power_unit)

    def _state(self, _now_s: float) -> BatteryState | None:
        """What the power tells, and the charge with it where one is known."""
        power = self._followed.value("power", SILENT * self._config.interval_s)
        soc = self._followed.value("soc", self._config.soc_valid_s)
        if power is None or power[1] <= self._shown_s:
            return None
        self._shown_s = power[1]
        return self._config.state(self.name, None if soc is None else soc[0], power[0], power[1])
