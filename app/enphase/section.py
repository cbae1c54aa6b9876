"""The section `enphase:` of the configuration: what a gateway is asked besides what control needs, and who is told."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from app.enphase.config import EnphaseLogin
from app.enphase.ensemble.config import EnsembleConfig
from app.fields import BrokerConfig, Section, TopicPrefix


class PublishConfig(Section):
    """What the gateway tells as JSON on MQTT, for other programs."""

    topic: TopicPrefix = Field("enphase/envoy-s", description="the four topics are below it: meters, devices, …")
    interval_s: float = Field(5.0, ge=1, le=3600, description="not more often; and only what has changed")
    mqtt: BrokerConfig | None = Field(None, description="another broker than that of mqtt")


class EnphaseSection(EnphaseLogin):
    """An Enphase gateway whose meters, micro-inverters, devices, batteries and events are recorded and shown."""

    interval_s: float = Field(5.0, ge=1, le=300, description="seconds between two readings of its meters")
    slow_interval_s: float = Field(
        300.0, ge=60, le=3600, description="the same for micro-inverters, devices, batteries and events"
    )
    publish: PublishConfig | None = Field(None, description="tell it on MQTT; default: not")
    ensemble: EnsembleConfig | None = Field(None, description="storage, relays and dry contacts; default: not")

    @field_validator("publish", "ensemble", mode="before")
    @classmethod
    def _named_is_wanted(cls, value: Any) -> Any:
        return {} if value is None else value  # `publish:` and nothing below it
