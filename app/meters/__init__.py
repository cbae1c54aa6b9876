"""Grid meters: one file per protocol. The union below is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.access import Access
from app.meters.alphaess import AlphaEssMeterConfig
from app.meters.base import Emit, Meter, MeterSection
from app.meters.correct import Corrected, Correction
from app.meters.dsmr import DsmrConfig
from app.meters.enphase import EnphaseConfig
from app.meters.esphome import EspHomeConfig
from app.meters.home_assistant import HomeAssistantConfig
from app.meters.homewizard import HomeWizardConfig
from app.meters.http_json import HttpJsonConfig
from app.meters.modbus import ModbusConfig
from app.meters.mqtt import MqttMeterConfig
from app.meters.shelly import ShellyConfig
from app.meters.sma import SmaConfig
from app.meters.tibber import TibberConfig
from app.meters.victron import VictronConfig

MeterConfig = Annotated[
    ShellyConfig
    | HttpJsonConfig
    | MqttMeterConfig
    | HomeAssistantConfig
    | EspHomeConfig
    | HomeWizardConfig
    | TibberConfig
    | SmaConfig
    | EnphaseConfig
    | VictronConfig
    | ModbusConfig
    | DsmrConfig
    | AlphaEssMeterConfig,
    Field(discriminator="type"),
]

__all__ = ["Emit", "Meter", "MeterConfig", "build"]


def build(section: MeterSection, access: Access) -> Corrected:
    """The meter of a section, put right as that says."""
    factor = -section.scale if section.invert else section.scale
    return Corrected(section.driver(access), Correction(factor, section.phase_factors))
