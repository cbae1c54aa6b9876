"""The whole control path in virtual time: simulated house, OpenDTU's messages, our driver, our core."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from app.broker import Broker, Handler, Message
from app.control import Controller, ControlSettings
from app.inverters.hoymiles.driver import HoymilesDriver
from app.inverters.opendtu import OpenDtu, OpenDtuConfig, OpenDtuInverterConfig
from app.model import BatteryState, Decision, MeterState, Phase, Reading, Settings, Snapshot
from app.simulator.house import House, HouseConfig
from app.simulator.topics import burst

UTC_0 = 1_700_000_000.0


@dataclass
class Wire:
    """Stands where the broker stands: carries messages between driver and simulated OpenDTU, at once."""

    house: House
    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    connected: bool = True

    def on_connect(self, greeting: Callable[[], Awaitable[None]]) -> None:
        """Never happens here."""

    def on_disconnect(self, farewell: Callable[[], None]) -> None:
        """Nor does this."""

    def subscribe(self, topic: str, handler: Handler) -> None:
        self.handlers.setdefault(topic, []).append(handler)

    async def publish(self, topic: str, payload: str, **_options: object) -> bool:
        if self.connected:
            self.receive(topic, payload)
            self.deliver(topic, payload)
        return self.connected

    def receive(self, topic: str, payload: str) -> None:
        """What the gateway makes of it."""
        _, serial, _, command = topic.split("/")
        self.house.dtu.receive(serial, command, payload)

    def deliver(self, topic: str, payload: str, *, retain: bool = False) -> None:
        for handler in self.handlers.get(topic, []):
            handler(Message(topic, payload.encode(), retain))


class ClosedLoop:
    """A house under control. ``keys``: of every inverter; ``battery``: what is heard of it.

    ``meter_answers``: set to False to lose the grid meter; ``distort``: what the meter makes of a reading.
    """

    def __init__(
        self,
        config: HouseConfig,
        settings: ControlSettings | None = None,
        *,
        meter_interval_s: float = 1.0,
        meter_phases: int = 3,
        battery: Callable[[House], BatteryState | None] = lambda _house: None,
        **keys: Any,
    ) -> None:
        self.house = House(config)
        self.wire = self.new_wire()
        self.settings = Settings()
        self.meter_answers = True
        self.distort: Callable[[Reading], Reading] = lambda reading: reading
        self.decisions: list[Decision] = []
        self._published = self.house.dtu.published
        self._reading: Reading | None = None
        self._good = 0
        self._phases = meter_phases
        self._interval_s, self._due_s = meter_interval_s, 0.0
        self._battery = battery
        self._keys = keys
        self.restart(settings)

    def restart(self, settings: ControlSettings | None = None) -> None:
        """A controller and a driver that know nothing of the time before."""
        self.wire.handlers.clear()
        sections = [
            {"serial": inverter.config.serial, "max_watt": inverter.model.rated_w}
            | ({} if inverter.config.phase is None else {"phase": inverter.config.phase + 1})
            | self._keys
            for inverter in self.house.inverters
        ]
        self.driver = self.new_driver(sections)
        self.controller = Controller(settings or ControlSettings())

    def new_wire(self) -> Wire:
        """What stands where the broker stands."""
        return Wire(self.house)

    def new_driver(self, sections: list[dict[str, Any]]) -> HoymilesDriver:
        """The driver of these inverters."""
        inverters = tuple(OpenDtuInverterConfig(**section) for section in sections)
        return OpenDtu(OpenDtuConfig(), inverters, cast(Broker, self.wire), **self.clocks)

    @property
    def clocks(self) -> dict[str, Callable[[], float]]:
        """The time of the house."""
        return {"clock": lambda: self.house.now_s, "utc": lambda: UTC_0 + self.house.now_s}

    def publish(self) -> None:
        """What the gateway says now."""
        if self.house.dtu.published != self._published:
            self._published = self.house.dtu.published
            for topic, payload in burst(self.house.dtu, UTC_0):
                self.wire.deliver(f"solar/{topic}", payload)

    @property
    def last(self) -> Decision:
        return self.decisions[-1]

    def run(self, seconds: float) -> None:
        """Live on; one control step a second."""
        for _ in range(round(seconds)):
            for _ in range(round(1.0 / self.house.config.step_s)):
                self.house.step()
                self.publish()
            self._step()

    def _step(self) -> None:
        now_s = self.house.now_s
        due = self.meter_answers and now_s >= self._due_s - 1e-6
        self._good = self._good + due if self.meter_answers else 0
        if due:
            self._due_s = now_s + self._interval_s
            sample = self.house.meter.sample
            phases = tuple(Phase(watts) for watts in sample.phases_w[: self._phases])
            self._reading = self.distort(Reading(sample.power_w, now_s, UTC_0 + now_s, phases))
        snapshot = Snapshot(
            now_s=now_s,
            utc_s=UTC_0 + now_s,
            meter=MeterState(self._reading, None if self.meter_answers else "no answer", self._interval_s, self._good),
            inverters=self.driver.states(),
            settings=self.settings,
            gateways=(self.driver.gateway(),),
            battery=self._battery(self.house),
        )
        decision = self.controller.step(snapshot)
        for command in decision.commands:
            asyncio.run(self.driver.set_limit(command.serial, command.limit_w))
        for switch in decision.switches:
            asyncio.run(self.driver.set_power(switch.serial, on=switch.on))
        self.decisions.append(decision)
