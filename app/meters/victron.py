"""The grid meter of a Victron GX device (Venus OS): over its MQTT, or over Modbus TCP.

MQTT: a value is published when it changes, while somebody sends keep-alives, and again when it is asked for. null and
an empty message say that there is none. Modbus: registers 820 to 822 of unit 100 hold the phases, in whole watts; a
value that is not there reads as 0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from app.access import Access
from app.broker import Broker, Message
from app.fields import BrokerConfig, Host
from app.meters.base import About, Emit, Meter, PolledConfig, poll
from app.meters.push import LONGEST_PAUSE_S, SILENT
from app.meters.victron_grid import LEARN_S, Grid, registers
from app.meters.victron_gx import Gx, PortalId
from app.meters.victron_services import WHERE, GridServices
from app.modbus import ModbusClient
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading

SETTLE_S = 0.1  # the phases of one instant come in messages of their own, one right after the other
READ_AGAIN_S = 10.0  # a phase that has not changed for so long is asked for beside the others
FIRST_REGISTER, UNIT = 820, 100
ZEROS_IN_A_ROW = 3


class VictronConfig(PolledConfig):
    """The grid meter of a GX device."""

    about = About(
        products="Victron Cerbo GX, Ekrano GX, Venus GX, and whatever else runs Venus OS, with a grid meter",
        example="type: victron\nhost: 192.168.1.20",
        speed="1 s, as its grid meter",
        limits=(
            "MQTT, or Modbus TCP for transport: modbus, is switched on under Settings, Services (or Integrations); "
            "MQTT without TLS, at port 1883. Modbus shows whole watts, and a phase that is lost as 0 W: "
            "MQTT is the better one"
        ),
    )

    type: Literal["victron"]
    host: Host | None = Field(None, description="the GX device; not needed with a broker below mqtt")
    transport: Literal["mqtt", "modbus"] = Field("mqtt", description="modbus: over Modbus TCP, port 502")
    portal_id: PortalId | None = Field(None, description="the VRM portal ID; found out where its broker knows one only")
    phases: int | None = Field(None, ge=1, le=3, description="how many phases the meter has; default: found out")
    instance: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="device instance of the grid meter to read; default: the one that Venus takes",
    )
    mqtt: BrokerConfig | None = Field(None, description="the broker, where it is not the one of the GX device")

    @model_validator(mode="after")
    def _somewhere(self) -> VictronConfig:
        over_mqtt = (self.mqtt, self.portal_id, self.instance)
        if self.transport == "modbus" and any(key is not None for key in over_mqtt):
            raise ValueError("transport: modbus takes neither mqtt nor portal_id nor instance")
        if self.host is None and (self.transport == "modbus" or self.mqtt is None):
            raise ValueError("give host, the address of the GX device")
        return self

    def driver(self, access: Access) -> Meter:
        """The driver for this device."""
        if self.transport == "modbus":
            return VictronModbus(self)
        broker = access.broker(self.mqtt or BrokerConfig(host=str(self.host)))
        return VictronMqtt(self, broker, wary=access.publishes_grid)


class VictronMqtt:
    """Follows the phases of one device. ``wary``: it may show our own grid power, which is no reading."""

    def __init__(
        self,
        config: VictronConfig,
        broker: Broker,
        clock: Callable[[], float] = time.monotonic,
        *,
        wary: bool = False,
    ) -> None:
        self.name = f"victron at {config.host or broker.address}"
        self.interval_s = config.interval_s
        self._config, self._clock = config, clock
        self._grid = Grid(config.phases)
        self._wary, self._services = wary, GridServices(config.instance)
        self._phases = "system/0/Ac/Grid" if config.instance is None else f"grid/{config.instance}/Ac"
        self._arrived = asyncio.Event()
        self._gx = Gx(broker, config.portal_id, self._arrived.set, clock)
        broker.subscribe(self._gx.topic(f"{self._phases}/+/Power"), self._take)
        for path in WHERE if wary else ():
            broker.subscribe(self._gx.topic(f"grid/+/{path}"), self._named)
        broker.subscribe(self._gx.topic("full_publish_completed"), self._completed)
        broker.on_disconnect(self._lost)

    async def run(self, emit: Emit) -> None:
        """Emit whenever the phases have changed or were read again, and that they are not there."""
        told_s = self._clock()
        while True:
            quiet = await self._quiet()
            await self._gx.keep_alive()
            phases = self._grid.names if quiet else self._grid.old(self._clock() - READ_AGAIN_S)
            await self._gx.read(f"{self._phases}/{phase}/Power" for phase in phases)
            now_s = self._clock()
            outcome = self._outcome(now_s)
            if isinstance(outcome, DeviceError):
                outcome = type(outcome)(f"{self.name}: {outcome}")
            elif outcome is None and now_s - told_s >= SILENT * self._config.interval_s:
                outcome = self._silence()
            if outcome is not None:
                told_s = now_s
                emit(outcome)

    def _outcome(self, now_s: float) -> Reading | DeviceError | None:
        """What the phases say, unless it may be what we say ourselves."""
        try:
            self._services.check()
        except DeviceDataError as error:
            return error
        told = self._grid.published or self._services.named or self._grid.since(LEARN_S, now_s)
        if self._wary and not told:
            return None
        return self._grid.outcome(now_s)

    async def _quiet(self) -> bool:
        """Wait for something to happen; True: for an interval, nothing has."""
        try:
            async with asyncio.timeout(self._config.interval_s):
                await self._arrived.wait()
        except TimeoutError:
            return True
        await asyncio.sleep(SETTLE_S)
        self._arrived.clear()
        return False

    def _take(self, message: Message) -> None:
        if self._gx.heard(message) and self._grid.take(message.topic.split("/")[-2], message.payload, self._clock()):
            self._arrived.set()

    def _named(self, message: Message) -> None:
        if message.topic.split("/")[1] == self._gx.portal:
            self._services.take(message.topic, message.payload)
            self._arrived.set()

    def _completed(self, message: Message) -> None:
        if self._gx.is_from(message):
            self._grid.published = True
            self._arrived.set()

    def _lost(self) -> None:
        self._grid.forget()
        self._services.forget()

    def _silence(self) -> DeviceError:
        away = self._gx.away(self.name, "meter.portal_id")
        if away is not None:
            return away
        if self._grid.away is not None:
            return DeviceDataError(f"{self.name}: {self._grid.away}")
        return DeviceUnavailable(
            f"{self.name} tells no grid power: look whether its grid meter is there, "
            f"and whether {self._gx.portal} is its portal ID"
        )


class VictronModbus:
    """Asks one device for its registers, over a connection that stays."""

    def __init__(self, config: VictronConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"victron at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._clock = config, clock
        self._modbus = ModbusClient(str(config.host), config.timeout_s, who=self.name)
        self._zeros = 0

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``."""
        try:
            await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)
        finally:
            self._modbus.close()

    async def read(self) -> Reading | None:
        """One reading now; None while its zeros may still be those of a quiet house. Raises `DeviceError`."""
        started_s, count = self._clock(), self._config.phases or 3
        phases = registers(await self._modbus.read(4, FIRST_REGISTER, count, UNIT), count)
        self._zeros = 0 if any(phases) else self._zeros + 1
        if self._zeros > ZEROS_IN_A_ROW:
            raise DeviceDataError(
                f"{self.name} shows 0 W on every phase, which is what Modbus shows without a grid meter, too"
            )
        if self._zeros:
            return None
        now_s = self._clock()
        shown = tuple(Phase(power_w) for power_w in phases)
        return Reading(sum(phases), now_s, time.time(), shown, latency_s=now_s - started_s)
