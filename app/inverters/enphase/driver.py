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
from app.inverters.enphase.config import BATTERY_ALLOWANCE_W, EnphaseInverterConfig
from app.inverters.enphase.controls import CONTROLS, Control
from app.inverters.enphase.health import Health
from app.inverters.enphase.meter import ProductionMeter
from app.inverters.enphase.past import Memory, Past
from app.inverters.enphase.production import STANDBY_W, Produced
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, GatewayState, InverterState, Rule, RuleState

log = logging.getLogger(__name__)

LOOK_S = 60.0  # between two looks at the rule
LOOK_SOON_S = (5.0, 10.0, 15.0, 30.0)  # after a switch
READ_BACK_S = (0.0, 2.0, 4.0, 8.0)  # until the gateway has to show what it took
LONGEST_PAUSE_S = 60.0  # between requests to a gateway that does not answer


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
        self.control: Control = CONTROLS[config.control](config, self.link, self._memory)
        self.meter = ProductionMeter(self.link, clock)
        self._health = Health()
        self._writing = asyncio.Lock()
        self._looking_soon = asyncio.Event()
        self._produced: Produced | None = None
        self._power_at_s: float | None = None
        self._utc_s: float | None = None
        self._answers = 0
        self._accepted_at_s = self._moment(self._memory.past.accepted_utc_s)
        self._shown: Rule | None = None
        self._shown_at_s: float | None = None
        self._refused: str | None = None
        self._problem: str | None = None
        self._tried_at_s: float | None = None
        self._sent_at_s: float | None = None  # by this run

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
            acked_at_s=self._shown_at_s,
            note=self._note(),
            phase=config.phase,
            guardable=False,
            rule=self._rule_state(),
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
            group.create_task(self._keep_looking())

    async def set_rule(self, serial: str, rule: Rule) -> bool:
        """Give it a rule; True when the gateway said that it took it, or shows that it has it."""
        if serial != self.config.id or not self.config.enabled:
            raise ValueError(f"refusing to switch {serial}")
        async with self._writing:
            self._tried_at_s = self._clock()
            try:
                await self._give(rule)
            except DeviceError as error:
                self._refuse(str(error), rule)
                return False
            finally:
                self._looking_soon.set()
            return True

    async def examine(self) -> list[Check]:
        """What `doctor` finds; it changes nothing."""
        from app.inverters.enphase.doctor import examine  # noqa: PLC0415 - it needs this class

        return await examine(self)

    async def look(self) -> Rule | None:
        """Ask which rule is in force. Raises `DeviceError`."""
        shown = await self.control.look()
        self._shown, self._shown_at_s = shown, self._clock()
        self._problem = self.control.problem()
        return shown

    # -- the rule --------------------------------------------------------------------------------------

    async def _give(self, rule: Rule) -> None:
        await self.look()
        if not self.control.shows(rule):
            await self.control.write(rule)
            await self._read_back(rule)
        self._shown = rule
        self._refused = None
        self._sent_at_s = self._clock()
        await self.control.settled(rule)
        if self._accepted != rule or self._accepted_at_s is None:
            self._accepted_at_s = self._clock()
            await self._memory.keep(accepted=rule, accepted_utc_s=self._utc())

    async def _read_back(self, rule: Rule) -> None:
        for pause_s in READ_BACK_S:
            await asyncio.sleep(pause_s)
            await self.look()
            if self.control.shows(rule):
                return
        raise DeviceDataError(
            f"{self.link.name} said that it took {rule}, and does not show it after {sum(READ_BACK_S):.0f} s: somebody "
            "else may be setting it, or this firmware ignores it"
        )

    def _refuse(self, why: str, rule: Rule) -> None:
        if self._refused is None or self._refused.partition(":")[0] != why.partition(":")[0]:
            log.warning("%s: %s is not in force: %s", self.config.id, rule, why)
        self._refused = why

    async def _keep_looking(self) -> None:
        """Look at the rule from time to time, soon after a switch; send it again where the firmware needs that."""
        soon = [0.0]
        while True:
            pause_s = soon.pop(0) if soon else LOOK_S
            try:
                async with asyncio.timeout(min(pause_s, self._until_resend_s())):
                    await self._looking_soon.wait()
                soon = list(LOOK_SOON_S)
                self._looking_soon.clear()
                continue
            except TimeoutError:
                pass
            await self._look_once()

    async def _look_once(self) -> None:
        async with self._writing:
            try:
                await self.look()
                if self._until_resend_s() <= 0.0 and self._accepted is not None:
                    self._sent_at_s = self._clock()
                    await self.control.write(self._accepted)
            except DeviceUnavailable:
                pass  # the production is asked for more often, and tells it
            except DeviceError as error:
                self._problem = str(error)

    def _until_resend_s(self) -> float:
        """Only what this run has sent is sent again: a dry run and `doctor` send nothing."""
        every_s = self.control.resend_s
        if every_s is None or self._sent_at_s is None or self._accepted in (None, Rule()):
            return LOOK_S
        return max(0.0, self._sent_at_s + every_s - self._clock())

    @property
    def _accepted(self) -> Rule | None:
        return self._memory.past.accepted

    def _rule_state(self) -> RuleState:
        config, control = self.config, self.control
        return RuleState(
            config.dwell,
            control.reaction_s,
            least_export_w=self.allowance_w if control.steps is None else 0.0,
            steps=control.steps,
            can_stop=control.can_stop,
            own_meter=control.own_meter,
            accepted=self._accepted,
            accepted_at_s=self._accepted_at_s,
            shown=self._shown,
            shown_at_s=self._shown_at_s,
            refused=self._refused or self._problem,
            tried_at_s=self._tried_at_s,
            normal_export_w=config.normal_export_w if config.normal_export_w is not None else control.normal(),
        )

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
        if at_s is not None:
            self._power_at_s = at_s
            self._utc_s = self._utc() - (self._clock() - at_s)

    # -- what is kept ----------------------------------------------------------------------------------

    def _moment(self, utc_s: float | None) -> float | None:
        """A moment of an earlier run on our clock; never in the future, whatever became of the computer's clock."""
        return None if utc_s is None else self._clock() - max(0.0, self._utc() - utc_s)

    def _note(self) -> str | None:
        left = self.left
        return f"{left.accepted} was given by control: {left.control}, and may still be in force" if left else None
