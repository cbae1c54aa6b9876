"""Gives a gateway its rule, looks whether it still has it, and remembers over restarts which one that was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from app.inverters.enphase.config import EnphaseInverterConfig
from app.inverters.enphase.control import Control
from app.inverters.enphase.past import Memory
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Rule, RuleState

log = logging.getLogger(__name__)

LOOK_S = 60.0  # between two looks at the rule
LOOK_SOON_S = (5.0, 10.0, 15.0, 30.0)  # after a switch
READ_BACK_S = (0.0, 2.0, 4.0, 8.0)  # until the gateway has to show what it took


class RuleKeeper:
    """The rule of one system. Only one write is under way at a time."""

    def __init__(
        self,
        config: EnphaseInverterConfig,
        control: Control,
        memory: Memory,
        clock: Callable[[], float],
        utc: Callable[[], float],
    ) -> None:
        self._config, self._control, self._memory = config, control, memory
        self._clock, self._utc = clock, utc
        self._writing = asyncio.Lock()
        self._looking_soon = asyncio.Event()
        self._accepted_at_s = self._moment(memory.past.accepted_utc_s)
        self._shown: Rule | None = None
        self.shown_at_s: float | None = None
        self._refused: str | None = None
        self._problem: str | None = None
        self._tried_at_s: float | None = None
        self._sent_at_s: float | None = None  # by this run

    async def give(self, rule: Rule) -> bool:
        """True when the gateway said that it took it, or shows that it has it already."""
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

    async def look(self) -> Rule | None:
        """Ask which rule is in force. Raises `DeviceError`."""
        shown = await self._control.look()
        self._shown, self.shown_at_s = shown, self._clock()
        self._problem = self._control.problem()
        return shown

    async def run(self) -> None:
        """Look from time to time, soon after a switch; send the rule again where the firmware needs that."""
        soon = [0.0]
        while True:
            pause_s = soon.pop(0) if soon else LOOK_S
            try:
                async with asyncio.timeout(min(pause_s, self._until_resend_s())):
                    await self._looking_soon.wait()
                soon = list(LOOK_SOON_S)
                self._looking_soon.clear()
            except TimeoutError:
                await self._look_once()

    def state(self, least_export_w: float) -> RuleState:
        """How it stands."""
        config, control = self._config, self._control
        return RuleState(
            config.dwell,
            control.reaction_s,
            least_export_w=least_export_w if control.steps is None else 0.0,
            normal_export_w=config.normal_export_w if config.normal_export_w is not None else control.normal(),
            steps=control.steps,
            can_stop=control.can_stop,
            own_meter=control.own_meter,
            accepted=self._accepted,
            accepted_at_s=self._accepted_at_s,
            shown=self._shown,
            shown_at_s=self.shown_at_s,
            refused=self._refused or self._problem,
            tried_at_s=self._tried_at_s,
            kept_up=control.resend_s is None or self._sent_at_s is not None,
        )

    async def _give(self, rule: Rule) -> None:
        await self.look()
        again = rule == self._accepted and rule != Rule()  # it was taken, and has no effect although it may be shown
        switched = not self._control.shows(rule)
        if switched or again:
            await self._control.write(rule)
            await self._read_back(rule)
        self._shown = rule
        self._refused = None
        self._sent_at_s = self._clock()
        await self._control.settled(rule)
        if self._accepted != rule or self._accepted_at_s is None:
            if switched or self._accepted_at_s is None:
                self._accepted_at_s = self._clock()
                await self._memory.keep(accepted_utc_s=self._utc())
            await self._memory.keep(accepted=rule)

    async def _read_back(self, rule: Rule) -> None:
        for pause_s in READ_BACK_S:
            await asyncio.sleep(pause_s)
            await self.look()
            if self._control.shows(rule):
                return
        raise DeviceDataError(
            f"the gateway said that it took {rule}, and does not show it after {sum(READ_BACK_S):.0f} s: somebody "
            "else may be setting it, or this firmware ignores it"
        )

    def _refuse(self, why: str, rule: Rule) -> None:
        if self._refused is None or self._refused.partition(":")[0] != why.partition(":")[0]:
            log.warning("%s: %s is not in force: %s", self._config.id, rule, why)
        self._refused = why

    async def _look_once(self) -> None:
        async with self._writing:
            try:
                await self.look()
                if self._until_resend_s() <= 0.0 and self._accepted is not None:
                    self._sent_at_s = self._clock()
                    await self._control.write(self._accepted)
            except DeviceUnavailable:
                pass  # the production is asked for more often, and tells it
            except DeviceError as error:
                self._problem = str(error)

    def _until_resend_s(self) -> float:
        """Only what this run has sent is sent again: a dry run and `doctor` send nothing."""
        every_s = self._control.resend_s
        if every_s is None or self._sent_at_s is None or self._accepted in (None, Rule()):
            return LOOK_S
        return max(0.0, self._sent_at_s + every_s - self._clock())

    @property
    def _accepted(self) -> Rule | None:
        return self._memory.past.accepted

    def _moment(self, utc_s: float | None) -> float | None:
        """A moment of an earlier run on our clock; never in the future, whatever became of the computer's clock."""
        return None if utc_s is None else self._clock() - max(0.0, self._utc() - utc_s)
