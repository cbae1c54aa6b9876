"""IQ batteries behind an Enphase gateway (firmware 7 and later): its live data.

``/ivp/livedata/status`` tells powers in milliwatts, ``storage`` positive while it discharges, and when they were
measured. The gateway measures them often while its live stream is on, which it switches off by itself after a while:
it is switched on again whenever it says that it is off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from app.access import Access
from app.batteries.base import BatterySection, Emit, percent, watts
from app.documents import optional
from app.enphase.config import EnphaseLogin
from app.enphase.gateway import Gateway
from app.meters.base import poll
from app.meters.freshness import DeviceTime, time_stamp
from app.model import BatteryState, DeviceDataError, DeviceError

log = logging.getLogger(__name__)

STATUS, STREAM = "/ivp/livedata/status", "/ivp/livedata/stream"
STREAM_AGAIN_S = 60.0
LONGEST_PAUSE_S = 60.0


class EnphaseBatteryConfig(BatterySection, EnphaseLogin):
    """The batteries of one gateway, as one. A login that another section of this host has will do."""

    login_elsewhere = True

    type: Literal["enphase"]
    interval_s: float = Field(5.0, ge=1, le=60, description="seconds between two requests")
    timeout_s: float = Field(5.0, gt=0, le=30, description="give up on one request after this many seconds")

    def driver(self, access: Access) -> EnphaseBattery:
        """The driver for this gateway."""
        return EnphaseBattery(self, Gateway.of(access, self))


class EnphaseBattery:
    """Polls the live data of one gateway."""

    def __init__(
        self, config: EnphaseBatteryConfig, gateway: Gateway, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = f"batteries of {gateway.name}"
        self._config, self._gateway, self._clock = config, gateway, clock
        self._time = DeviceTime()
        self._asked_s = float("-inf")

    async def run(self, emit: Emit) -> None:
        """Emit what is new, every interval."""
        await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)

    async def read(self) -> BatteryState | None:
        """What is known now; None: nothing newer. Raises `DeviceError`."""
        document = await self._gateway.get_json(STATUS, self._config.timeout_s)
        try:
            live = parse(document)
            await self._keep_live(live)
            at_s = self._time.moment(live.stamp_s, self._clock())
        except DeviceDataError as error:
            raise DeviceDataError(f"{self.name}: {error}") from None
        return None if at_s is None else self._config.state(self.name, live.soc_pct, live.charging_w, at_s)

    async def _keep_live(self, live: Live) -> None:
        """Switch the live stream on where it is off; without it the values only come seldom."""
        now_s = self._clock()
        if live.streaming or now_s - self._asked_s < STREAM_AGAIN_S:
            return
        self._asked_s = now_s
        try:
            await self._gateway.send("POST", STREAM, json={"enable": 1}, timeout_s=self._config.timeout_s)
        except DeviceError as error:
            log.debug("%s: its live stream cannot be switched on: %s", self.name, error)


@dataclass(frozen=True, slots=True)
class Live:
    """What the live data say; ``stamp_s`` on the gateway's clock."""

    soc_pct: float
    charging_w: float
    stamp_s: float
    streaming: bool


def parse(document: Any) -> Live:
    """Raises `DeviceDataError` naming what is missing or is no value."""
    meters = document.get("meters") if isinstance(document, dict) else None
    storage = meters.get("storage") if isinstance(meters, dict) else None
    if not isinstance(meters, dict) or not isinstance(storage, dict):
        raise DeviceDataError("its live data tell of no storage")
    milliwatts = optional(storage.get("agg_p_mw"))
    charging_w = watts(storage.get("agg_p_mw") if milliwatts is None else -milliwatts / 1000.0, "storage.agg_p_mw")
    energies = [meters.get(name) for name in ("soc", "enc_agg_energy", "acb_agg_energy")]
    if energies == [0, 0, 0] and charging_w == 0.0:
        raise DeviceDataError("it has no batteries: its live data show 0 in all places")
    connection = document.get("connection")
    streaming = isinstance(connection, dict) and connection.get("sc_stream") == "enabled"
    stamp_s = time_stamp(meters.get("last_update"), "last_update")
    return Live(percent(meters.get("soc"), "soc"), charging_w, stamp_s, streaming)
