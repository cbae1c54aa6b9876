"""The battery of a Victron GX device (Venus OS): over its MQTT, or over Modbus TCP.

MQTT: ``system/0/Dc/Battery/Soc`` and ``Power``, positive while it charges; null: there is none. Modbus: registers 840
(0.1 V), 841 (0.1 A), 842 (W, signed) and 843 (%) of unit 100; what is not there reads as 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from app.access import Access
from app.batteries.base import Battery, BatterySection, Emit, percent, watts
from app.batteries.follow import SILENT, Followed
from app.broker import Broker, Message
from app.documents import optional
from app.fields import BrokerConfig, Host
from app.meters.base import poll
from app.meters.victron_gx import Gx, PortalId, value_of
from app.modbus import ModbusClient
from app.model import BatteryState, DeviceDataError, DeviceError, DeviceUnavailable

PATHS = {"soc": "system/0/Dc/Battery/Soc", "power": "system/0/Dc/Battery/Power"}
FIRST_REGISTER, COUNT, UNIT = 840, 4, 100
LONGEST_PAUSE_S = 30.0


class VictronBatteryConfig(BatterySection):
    """The battery of a GX device."""

    type: Literal["victron"]
    host: Host | None = Field(None, description="the GX device; not needed with a broker below mqtt")
    transport: Literal["mqtt", "modbus"] = Field("mqtt", description="modbus: over Modbus TCP, port 502")
    portal_id: PortalId | None = Field(None, description="the VRM portal ID; found out where its broker knows one only")
    interval_s: float = Field(5.0, ge=0.5, le=60, description="seconds between two requests")
    timeout_s: float = Field(3.0, gt=0, le=10, description="of Modbus: give up on one request after this many seconds")
    mqtt: BrokerConfig | None = Field(None, description="the broker, where it is not the one of the GX device")

    @model_validator(mode="after")
    def _somewhere(self) -> VictronBatteryConfig:
        if self.transport == "modbus" and (self.mqtt is not None or self.portal_id is not None):
            raise ValueError("transport: modbus takes neither mqtt nor portal_id")
        if self.host is None and (self.transport == "modbus" or self.mqtt is None):
            raise ValueError("give host, the address of the GX device")
        return self

    def driver(self, access: Access) -> Battery:
        """The driver for this device."""
        if self.transport == "modbus":
            return ModbusBattery(self)
        return GxBattery(self, access.broker(self.mqtt or BrokerConfig(host=str(self.host))))


class GxBattery:
    """Follows the values of one device, and has it say them again."""

    def __init__(self, config: VictronBatteryConfig, broker: Broker) -> None:
        self.name = f"victron at {config.host or broker.address}"
        self._config, self._shown_s = config, 0.0
        self._followed = Followed(self.name, broker, config.interval_s, self._state)
        self._gx = Gx(broker, config.portal_id, self._followed.changed.set)
        for key, path in PATHS.items():
            broker.subscribe(self._gx.topic(path), self._of_ours(self._followed.take(key, parser(key))))
        self._asked_s = float("-inf")

    async def run(self, emit: Emit) -> None:
        """Emit what it says, and that it says nothing."""
        await self._followed.run(emit, self._silence, self._ask)

    def _of_ours(self, take: Callable[[Message], None]) -> Callable[[Message], None]:
        def handle(message: Message) -> None:
            if self._gx.heard(message):
                take(message)

        return handle

    async def _ask(self) -> None:
        await self._gx.keep_alive()
        now_s = time.monotonic()
        if now_s - self._asked_s >= self._config.interval_s:  # a value that stands still is not published
            self._asked_s = now_s
            await self._gx.read(PATHS.values())

    def _state(self, _now_s: float) -> BatteryState | None:
        """What it has told lately."""
        soc, power = (self._followed.value(key, SILENT * self._config.interval_s) for key in ("soc", "power"))
        if power is None or power[1] <= self._shown_s:
            return None
        self._shown_s = power[1]
        return self._config.state(self.name, None if soc is None else soc[0], power[0], power[1])

    def _silence(self) -> DeviceError:
        return self._gx.away(self.name, "battery.portal_id") or DeviceUnavailable(
            f"{self.name} tells of no battery: look whether a battery monitor is chosen there (Settings, System setup)"
        )


class ModbusBattery:
    """Asks one device for its registers, over a connection that stays."""

    def __init__(self, config: VictronBatteryConfig) -> None:
        self.name = f"victron at {config.host}"
        self._config = config
        self._modbus = ModbusClient(str(config.host), config.timeout_s, who=self.name)

    async def run(self, emit: Emit) -> None:
        """Emit a state every interval."""
        try:
            await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)
        finally:
            self._modbus.close()

    async def read(self) -> BatteryState:
        """One state now. Raises `DeviceError`."""
        raw = await self._modbus.read(4, FIRST_REGISTER, COUNT, UNIT)
        try:
            soc_pct, power_w = registers(raw)
        except DeviceDataError as error:
            raise DeviceDataError(f"{self.name}: {error}") from None
        return self._config.state(self.name, soc_pct, power_w, time.monotonic())


def parser(key: str) -> Callable[[bytes], float | None]:
    """What reads the messages of one value: None where they say that there is none."""

    def parse(payload: bytes) -> float | None:
        value = value_of(payload)
        if value is None:
            return None
        return percent(value, "the charge") if key == "soc" else watts(value, "the power")

    return parse


def registers(raw: list[int]) -> tuple[float, float]:
    """Charge in percent and power in watts. Raises `DeviceDataError`."""
    if len(raw) != COUNT or not all(optional(one) is not None and 0 <= one <= 0xFFFF for one in raw):
        raise DeviceDataError(f"{len(raw)} registers came, and not {COUNT}")
    voltage, _, power, soc = raw
    if voltage == 0:
        raise DeviceDataError("shows a battery of 0 V, which is what Modbus shows without a battery monitor")
    return percent(soc, "the charge"), float(power - 0x10000 if power & 0x8000 else power)
