"""Batteries that regulate by themselves: one file per source of their data. The union below is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.batteries.alphaess import AlphaEssBatteryConfig
from app.batteries.base import Battery, BatterySection
from app.batteries.enphase import EnphaseBatteryConfig
from app.batteries.http_json import HttpJsonBatteryConfig
from app.batteries.mqtt import MqttBatteryConfig
from app.batteries.opendtu_onbattery import OnBatteryConfig
from app.batteries.slot import BatterySlot
from app.batteries.victron import VictronBatteryConfig

BatteryConfig = Annotated[
    AlphaEssBatteryConfig
    | EnphaseBatteryConfig
    | OnBatteryConfig
    | VictronBatteryConfig
    | MqttBatteryConfig
    | HttpJsonBatteryConfig,
    Field(discriminator="type"),
]

__all__ = ["Battery", "BatteryConfig", "BatterySection", "BatterySlot"]
