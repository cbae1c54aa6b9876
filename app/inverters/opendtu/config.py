"""What `config.yaml` says of OpenDTU and the inverters behind it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.fields import BrokerConfig, OptionalHost, Section, TopicPrefix
from app.inverters.hoymiles.config import HoymilesSection, Serial


class OpenDtuConfig(Section):
    """Where OpenDTU publishes."""

    topic_prefix: TopicPrefix = "solar"
    host: OptionalHost = Field("", description="OpenDTU's own address; optional")
    mqtt: BrokerConfig | None = Field(None, description="the broker that OpenDTU publishes to, where it is not ours")


class OpenDtuInverterConfig(HoymilesSection):
    """One inverter behind OpenDTU."""

    serial: Serial
    type: Literal["opendtu"] = "opendtu"
