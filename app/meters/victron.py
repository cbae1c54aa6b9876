"""The grid meter of a Victron GX device (Venus OS): over its MQTT, or over Modbus TCP.

MQTT: a value is published when it changes, while somebody sends keep-alives, and again when it is asked for. null and
an empty message say that there is none. Modbus: registers 820 to 822 of unit 100 hold the phases, in whole watts; a
value that is not there reads as 0.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from app.access import Access
from app.broker import Broker, Message
from app.fields import BrokerConfig, Host
from app.meters.base import About, Emit, Meter, PolledConfig, poll
from app.meters.push import LONGEST_PAUSE_S, SILENT
from app.meters.victron_grid import LEARN_S, Grid, registers
from app.meters.victron_services import WHERE, GridServices
from app.modbus import ModbusClient
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading

KEEPALIVE_S = 30.0  # the device stops publishing 60 s after the last one
SETTLE_S = 0.1  # the phases of one instant come in messages of their own, one right after the other
READ_AGAIN_S = 10.0  # a phase that has not changed for so long is asked for beside the others
FIRST_REGISTER, UNIT = 820, 100
ZEROS_IN_A_ROW = 3
MANY = 5  # devices at one broker: more are not told apart


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
    portal_id: Annotated[str, StringConstraints(pattern="^[0-9A-Za-z]+$", max_length=40)] | None = Field(
        None, description="the VRM portal ID; found out where its broker knows one only"
    )
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
        self._config, self._broker, self._clock = config, broker, clock
        self._portals = dict.fromkeys([config.portal_id] if config.portal_id else [])
        self._grid = Grid(config.phases)
        self._wary, self._services = wary, GridServices(config.instance)
        self._phases = "system/0/Ac/Grid" if config.instance is None else f"grid/{config.instance}/Ac"
        self._arrived = asyncio.Event()
        self._kept_s: float | None = None  # when the last keep-alive was sent
        who = config.portal_id or "+"
        broker.subscribe(f"N/{who}/system/0/Serial", self._met)
        broker.subscribe(f"N/{who}/{self._phases}/+/Power", self._take)
        for path in WHERE if wary else ():
            broker.subscribe(f"N/{who}/grid/+/{path}", self._named)
        broker.subscribe(f"N/{who}/full_publish_completed", self._completed)
        broker.on_connect(self._greet)
        broker.on_disconnect(self._lost)

    async def run(self, emit: Emit) -> None:
        """Emit whenever the phases have changed or were read again, and that they are not there."""
        told_s = self._clock()
        while True:
            quiet = await self._quiet()
            await self._keep_alive()
            await self._read(self._grid.names if quiet else self._grid.old(self._clock() - READ_AGAIN_S))
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

    async def _greet(self) -> None:
        self._arrived.set()

    @property
    def _portal(self) -> str | None:
        """The one device that is meant."""
        return next(iter(self._portals)) if len(self._portals) == 1 else None

    async def _keep_alive(self) -> None:
        """Have it publish: everything at first, and what changes from then on."""
        now_s, portal = self._clock(), self._portal
        if portal is None or not self._broker.connected:
            return
        if self._kept_s is None or now_s - self._kept_s >= KEEPALIVE_S:
            payload = "" if self._kept_s is None else json.dumps({"keepalive-options": ["suppress-republish"]})
            if await self._broker.publish(f"R/{portal}/keepalive", payload):
                self._kept_s = now_s

    async def _read(self, phases: tuple[str, ...]) -> None:
        """Have it publish some phases once more: a value that stands still says nothing by itself."""
        if self._portal is not None and self._broker.connected:
            for phase in phases:
                await self._broker.publish(f"R/{self._portal}/{self._phases}/{phase}/Power", "")

    def _met(self, message: Message) -> None:
        if message.payload:  # retained: that it is there is no value
            self._add(message.topic)
            self._arrived.set()

    def _add(self, topic: str) -> None:
        if len(self._portals) < MANY:
            self._portals[topic.split("/")[1]] = None

    def _take(self, message: Message) -> None:
        parts = message.topic.split("/")
        if message.retain:
            return
        self._add(message.topic)
        if parts[1] == self._portal and self._grid.take(parts[-2], message.payload, self._clock()):
            self._arrived.set()

    def _named(self, message: Message) -> None:
        self._add(message.topic)
        if message.topic.split("/")[1] == self._portal:
            self._services.take(message.topic, message.payload)
            self._arrived.set()

    def _completed(self, message: Message) -> None:
        if not message.retain and message.topic.split("/")[1] == self._portal:
            self._grid.published = True
            self._arrived.set()

    def _lost(self) -> None:
        self._grid.forget()
        self._services.forget()
        self._kept_s = None
        if self._config.portal_id is None:
            self._portals.clear()

    def _silence(self) -> DeviceError:
        if not self._broker.connected:
            return DeviceUnavailable(f"{self.name}: {self._broker.fault or 'the MQTT broker is not connected'}")
        if not self._portals:
            return DeviceUnavailable(
                f"{self.name}: no GX device is heard at this broker: switch on MQTT there (Settings, Services)"
            )
        if self._portal is None:
            return DeviceDataError(
                f"{self.name}: there are several GX devices at this broker ({', '.join(self._portals)}): "
                "say which one in meter.portal_id"
            )
        if self._grid.away is not None:
            return DeviceDataError(f"{self.name}: {self._grid.away}")
        return DeviceUnavailable(
            f"{self.name} tells no grid power: look whether its grid meter is there, "
            f"and whether {self._portal} is its portal ID"
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
