"""A battery of AlphaESS, by the manufacturer's cloud."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from app.access import Access
from app.alphaess.cloud import System, Told
from app.alphaess.config import AlphaEssLogin
from app.alphaess.data import Signs
from app.batteries.base import BatterySection, Emit, percent, watts
from app.model import BatteryState, DeviceDataError

SIGNS = {"auto": None, "discharge_positive": 1, "charge_positive": -1}


class AlphaEssBatteryConfig(BatterySection, AlphaEssLogin):
    """A system of an AlphaESS account."""

    least_stale_s = 30.0
    intervals_stale = 2.0

    type: Literal["alphaess"]
    sign: Literal["auto", "charge_positive", "discharge_positive"] = Field(
        "auto", description="which way round its pbat counts; auto: by the balance of its powers"
    )

    @model_validator(mode="after")
    def _one_sign(self) -> AlphaEssBatteryConfig:
        if self.invert:
            raise ValueError("invert: is found out here; take it out, or say it with sign: charge_positive")
        return self

    def driver(self, access: Access) -> AlphaEssBattery:
        """The driver for this system."""
        return AlphaEssBattery(self, System.of(access, self))


class AlphaEssBattery:
    """Follows the answers of the cloud."""

    def __init__(self, config: AlphaEssBatteryConfig, system: System) -> None:
        self.name = system.name
        self._config, self._system = config, system

    async def run(self, emit: Emit) -> None:
        """Emit each answer."""
        await self._system.follow(self._state, emit)

    def _state(self, told: Told) -> BatteryState:
        """What an answer says. Raises `DeviceError`."""
        self.name = self._system.name  # which one it is, may just have been found out
        if told.power is None:
            raise told.error or DeviceDataError(f"{self.name}: no answer")
        fixed, power = SIGNS[self._config.sign], told.power
        signs = self._system.signs if fixed is None else Signs(battery=fixed)
        soc_pct = percent(power.soc_pct, f"{self.name}: soc")
        charging_w = watts(signs.charging_w(power), f"{self.name}: pbat")
        return self._config.state(self.name, soc_pct, charging_w, told.at_s)
