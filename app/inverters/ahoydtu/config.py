"""What `config.yaml` says of an inverter behind AhoyDTU."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.fields import BrokerConfig, TopicPrefix
from app.inverters.hoymiles.config import HoymilesSection, OptionalSerial


def _one_level(value: str) -> str:
    if any(sign in value for sign in "/+#\0") or not value.isprintable() or value != value.strip():
        raise ValueError(f"{value!r} cannot be a part of a topic: give the name as AhoyDTU has it, without / + #")
    if value in ("ctrl", "setup", "total"):
        raise ValueError(f"AhoyDTU uses {value!r} for topics of its own: give the inverter another name there")
    return value


class AhoyDtuInverterConfig(HoymilesSection):
    """One inverter behind AhoyDTU."""

    type: Literal["ahoydtu"]
    name: Annotated[
        str, Field(min_length=1, max_length=60, description="as AhoyDTU has it"), AfterValidator(_one_level)
    ]
    control_id: int = Field(alias="id", ge=0, le=31, description="its number in AhoyDTU's list, which begins with 0")
    serial: OptionalSerial = ""
    topic_prefix: TopicPrefix = "inverter"
    mqtt: BrokerConfig | None = Field(None, description="the broker that AhoyDTU publishes to, where it is not ours")

    @property
    def claims(self) -> tuple[str, ...]:
        """What it alone may be: its name and its number at its AhoyDTU."""
        dtu = self.topic_prefix if self.mqtt is None else f"{self.topic_prefix} at {self.mqtt.host}"
        return f"name {self.name!r} of the AhoyDTU {dtu}", f"id {self.control_id} of the AhoyDTU {dtu}"
