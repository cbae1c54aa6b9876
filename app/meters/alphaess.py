"""The grid meter of an AlphaESS system, by the manufacturer's cloud: slow, and all that some houses have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.access import Access
from app.alphaess.cloud import System, Told
from app.alphaess.config import AlphaEssLogin
from app.alphaess.data import Signs
from app.meters.base import About, Emit, Meter, MeterSection, watts
from app.model import DeviceDataError, Phase, Reading

SIGNS = {"auto": None, "import_positive": 1, "export_positive": -1}


class AlphaEssMeterConfig(MeterSection, AlphaEssLogin):
    """The meter of a system of an AlphaESS account."""

    about = About(
        products="AlphaESS storage systems, by their cloud (OpenAPI)",
        example='type: alphaess\napp_id: "${ALPHAESS_APP_ID}"\napp_secret: "${ALPHAESS_APP_SECRET}"',
        speed="15 s (`interval_s`, at least 10), and what the cloud shows is about 10 s old",
        limits=(
            "far too slow to follow a load: take it only for inverters that keep to rules or are slow themselves, and "
            "where there is no other meter. The cloud does not say how old a value is; the same values in all places "
            "for two minutes are taken for old ones. With the same `battery`, the cloud is asked once for both"
        ),
    )

    type: Literal["alphaess"]
    sign: Literal["auto", "import_positive", "export_positive"] = Field(
        "auto", description="which way round its pgrid counts; auto: by the balance of its powers"
    )

    def driver(self, access: Access) -> Meter:
        """The driver for this system."""
        return AlphaEssMeter(self, System.of(access, self))


class AlphaEssMeter:
    """Follows the answers of the cloud."""

    def __init__(self, config: AlphaEssMeterConfig, system: System) -> None:
        self.name = system.name
        self._config, self._system = config, system
        self.interval_s = system.interval_s

    async def run(self, emit: Emit) -> None:
        """Emit each answer."""
        await self._system.follow(self._reading, emit)

    def _reading(self, told: Told) -> Reading:
        """What an answer says. Raises `DeviceError`."""
        self.name = self._system.name  # which one it is, may just have been found out
        if told.power is None:
            raise told.error or DeviceDataError(f"{self.name}: no answer")
        fixed = SIGNS[self._config.sign]
        signs = self._system.signs if fixed is None else Signs(grid=fixed)
        power_w = watts(signs.import_w(told.power), f"{self.name}: pgrid")
        turn = signs.grid or 1
        phases = tuple(Phase(watts(turn * phase, f"{self.name}: a phase")) for phase in told.power.phases)
        return Reading(power_w, told.at_s, told.utc_s, phases, latency_s=told.latency_s)
