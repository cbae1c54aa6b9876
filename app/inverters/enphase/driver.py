"""The driver: asks for the production, keeps an eye on the rule, and switches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from app.access import Access
from app.checks import Check
from app.enphase.gateway import Gateway
from app.inverters.base import InverterDriver
from app.inverters.enphase.bydpel import DpelControl
from app.inverters.enphase.byprofile import ProfileControl
from app.inverters.enphase.byswitch import PowerControl
from app.inverters.enphase.config import BATTERY_ALLOWANCE_W, EnphaseInverterConfig
from app.inverters.enphase.control import Control
from app.inverters.enphase.health import Health
from app.inverters.enphase.meter import ProductionMeter
from app.inverters.enphase.past import Memory, Past
from app.inverters.enphase.production import STANDBY_W, Produced
from app.inverters.enphase.rulekeeper import RuleKeeper
from app.model import DeviceDataError, DeviceError, GatewayState, InverterState, Rule

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0  # between requests to a gateway that does not answer
WAYS: dict[str, Callable[[EnphaseInverterConfig, Gateway, Memory], Control]] = {
    "dpel": DpelControl,
    "grid_profile": ProfileControl,
    "production": PowerControl,
}


class Enphase(InverterDriver):
    """One Enphase system. ``dropped`` counts the answers that could not be used."""

    def __init__(
        self,
        config: EnphaseInverterConfig,
        access: Access,
        *,
        gateway: Gateway | None = None,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self.config, self._clock, self._utc = config, clock, utc
        self.link = gateway or Gateway.of(access, config)
        self._memory = Memory(access.data_dir, config.serial, config.control)
        self.control = WAYS[config.control](config, self.link, self._memory)
        self.rule = RuleKeeper(config, self.control, self._memory, clock, utc)
        self.meter = ProductionMeter(self.link, clock, self._memory.past.storage)
        self._health = Health()
        self._produced: Produced | None = None
        self._power_at_s: float | None = None
        self._utc_s: float | None = None
        self._answers = 0

    # -- the driver's surface --------------------------------------------------------------------------

    def states(self, guarded: frozenset[str] = frozenset()) -> tuple[InverterState, ...]:  # noqa: ARG002
        """What is known now. Nobody can send a rule in our name, so ``guarded`` is no matter."""
        config = self.config
        produced = self._produced
        power_w = produced.ac.power_w if produced is not None else None
        state = InverterState(
            config.id,
            config.name or "Enphase",
            config.max_watt,
            config.floor_w,
            enabled=config.enabled,
            reachable=self._health.online,
            producing=None if power_w is None else power_w > STANDBY_W,
            power_at_s=self._power_at_s,
            utc_s=self._utc_s,
            data_seq=self._answers,
            acked_w=self.control.allowed(),
            acked_at_s=self.rule.shown_at_s,
            note=self._note(),
            phase=config.phase,
            guardable=False,
            rule=self.rule.state(self.allowance_w),
        )
        return (replace(state, ac=produced.ac) if produced is not None else state,)

    def gateway(self) -> GatewayState:
        """What is known of the gateway itself."""
        health = self._health
        return GatewayState(
            "Enphase gateway",
            online=health.online,
            seen_at_s=health.seen_at_s,
            utc_s=self._utc_s,
            data_seq=self._answers,
            fault=health.fault(self._clock()),
        )

    async def run(self) -> None:
        """Keep in touch, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_measuring())
            group.create_task(self.rule.run())

    async def set_rule(self, serial: str, rule: Rule) -> bool:
        """Give it a rule; True when the gateway said that it took it, or shows that it has it."""
        if serial != self.config.id or not self.config.enabled:
            raise ValueError(f"refusing to switch {serial}")
        return await self.rule.give(rule)

    async def examine(self) -> list[Check]:
        """What `doctor` finds; it changes nothing."""
        from app.inverters.enphase.doctor import examine  # noqa: PLC0415 - it needs this class

        return await examine(self)

    # -- what else is known of it ----------------------------------------------------------------------

    @property
    def allowance_w(self) -> float:
        """The least export that a rule may ask for."""
        if self.config.allowance_w is not None:
            return self.config.allowance_w
        return BATTERY_ALLOWANCE_W if self.battery else 0.0

    @property
    def left(self) -> Past | None:
        """What another way of control has left behind."""
        return self._memory.left

    @property
    def last_trouble(self) -> str | None:
        """Why the last request for the production failed, worth a word or not."""
        return self._health.trouble

    @property
    def battery(self) -> bool | None:
        """Whether a battery regulates as well: as configured, else as the gateway shows."""
        return self.config.battery if self.config.battery is not None else self.meter.storage

    # -- the production --------------------------------------------------------------------------------

    async def _keep_measuring(self) -> None:
        failures = 0
        while True:
            try:
                await self._measure()
                news, failures = self._health.fine(self._clock()), 0
            except DeviceError as error:
                self.dropped += isinstance(error, DeviceDataError)
                news, failures = self._health.failed(error, self._clock()), failures + 1
            if news is not None:
                log.log(logging.INFO if failures == 0 else logging.WARNING, "%s: %s", self.link.name, news)
            pause_s = max(self.config.interval_s, self.meter.slowest_s)
            await asyncio.sleep(min(max(LONGEST_PAUSE_S, pause_s), pause_s * 2.0 ** min(failures, 3)))

    async def _measure(self) -> None:
        produced, at_s = await self.meter.read()
        self._produced = produced
        self._answers += 1
        if self.meter.storage != self._memory.past.storage:  # a restart must not ask for too little export at first
            await self._memory.keep(storage=self.meter.storage)
        if at_s is not None:
            self._power_at_s = at_s
            self._utc_s = self._utc() - (self._clock() - at_s)

    def _note(self) -> str | None:
        left = self.left
        return f"{left.accepted} was given by control: {left.control}, and may still be in force" if left else None
