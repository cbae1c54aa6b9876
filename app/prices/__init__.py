"""Electricity prices: one file per source. The union below is the registry."""

from __future__ import annotations

from app.prices.amber import AmberConfig
from app.prices.base import PriceSource

PriceConfig = AmberConfig  # with a second source: Annotated[AmberConfig | …, Field(discriminator="type")]

__all__ = ["PriceConfig", "PriceSource"]
