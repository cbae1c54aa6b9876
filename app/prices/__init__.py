"""Electricity prices: one file per source. The union below is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.prices.amber import AmberConfig
from app.prices.awattar import AwattarConfig
from app.prices.base import Outside, PriceSource
from app.prices.energy_charts import EnergyChartsConfig
from app.prices.feed import PriceFeed
from app.prices.fixed import FixedConfig
from app.prices.http_json import HttpJsonPriceConfig
from app.prices.mqtt import MqttPriceConfig
from app.prices.octopus import OctopusConfig
from app.prices.tibber import TibberConfig

PriceConfig = Annotated[
    AmberConfig
    | EnergyChartsConfig
    | AwattarConfig
    | TibberConfig
    | OctopusConfig
    | HttpJsonPriceConfig
    | MqttPriceConfig
    | FixedConfig,
    Field(discriminator="type"),
]

__all__ = ["Outside", "PriceConfig", "PriceFeed", "PriceSource"]
