"""Grid meters: one file per protocol. The union below is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.meters.base import Emit, Meter
from app.meters.http_json import HttpJsonConfig
from app.meters.shelly import ShellyConfig

MeterConfig = Annotated[ShellyConfig | HttpJsonConfig, Field(discriminator="type")]

__all__ = ["Emit", "Meter", "MeterConfig"]
