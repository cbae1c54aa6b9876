"""The dynamic limit of a gateway (``/ivp/ss/dpel``), and what was there before it."""

from __future__ import annotations

import logging

from app.enphase.gateway import Gateway
from app.inverters.enphase import dpel
from app.inverters.enphase.config import REACTION_S, EnphaseInverterConfig
from app.inverters.enphase.control import Way
from app.inverters.enphase.past import Memory
from app.inverters.enphase.quirks import habits
from app.model import DeviceDataError, DeviceError, Rule

log = logging.getLogger(__name__)

DPEL = "/ivp/ss/dpel"


class DpelControl(Way):
    """The dynamic limit of firmware 8: any number of watts, at the grid connection or of the production."""

    steps: tuple[float | None, ...] | None = None

    def __init__(self, config: EnphaseInverterConfig, gateway: Gateway, memory: Memory) -> None:
        super().__init__(config, gateway, memory)
        self.own_meter = config.limit == "export"
        self.document: dpel.Document | None = None
        self.habits = habits(None)

    async def look(self) -> Rule | None:
        """As the protocol says."""
        self.habits = habits((await self._gateway.about()).version)
        try:
            document = await self._gateway.get_json(DPEL)
        except DeviceDataError as error:
            raise _in_other_words(error) from None
        self.law.limit_in(document)  # one that cannot be read is not kept
        self.document = document
        await self._adopt(document)
        return self.law.shown(document, self.past.found, self.past.accepted)

    async def write(self, rule: Rule) -> None:
        """As the protocol says; what was there before is remembered first."""
        if not rule.produce:
            raise DeviceDataError("a dynamic limit cannot be made to mean no production: use control: production")
        now = self.document
        if now is None:
            raise DeviceDataError(f"{DPEL} has not been read yet")
        document = self.law.written(rule, now, self.past.found)
        found = self.past.found if self.past.found is not None else now
        await self._memory.keep(found=found, written=document, seen=False)
        try:
            await self._gateway.send("POST", DPEL, json=document)
        except DeviceDataError as error:
            raise _in_other_words(error) from None

    def shows(self, rule: Rule) -> bool:
        """As the protocol says."""
        return self.document is not None and self.law.shows(rule, self.document, self.past.found)

    def problem(self) -> str | None:
        """As the protocol says."""
        if self.document is None:
            return None
        try:
            self.law.written(Rule(0.0), self.document, self.past.found)
        except DeviceDataError as error:
            return str(error)
        return None

    def normal(self) -> float | None:
        """As the protocol says."""
        limit = self._limit(self.past.found if self.past.found is not None else self.document)
        return limit.watts if limit is not None else None

    def allowed(self) -> float | None:
        """As the protocol says."""
        limit = self._limit(self.document)
        return limit.watts if limit is not None and not limit.of_export else None

    async def settled(self, rule: Rule) -> None:
        """Once the normal state is back, whatever somebody makes of it is normal."""
        if rule == Rule():
            await self._memory.keep(found=None, written=None, seen=False)

    @property
    def law(self) -> dpel.Dpel:
        """How limits are written on this firmware."""
        config = self._config
        inverted = config.inverted if config.inverted is not None else self.habits.inverted
        return dpel.Dpel(config.limit == "export", inverted, config.slew_rate, config.dynamic_limiting)

    @property
    def reaction_s(self) -> float:
        """As the protocol says."""
        return self._config.reaction_s or max(REACTION_S["dpel"], self.habits.reaction_s or 0.0)

    @property
    def resend_s(self) -> float | None:  # type: ignore[override]
        """As the protocol says."""
        return self._config.resend_s or self.habits.resend_s

    def _limit(self, document: dpel.Document | None) -> dpel.Limit | None:
        try:
            return self.law.limit_in(document) if document is not None else None
        except DeviceDataError:
            return None

    async def _adopt(self, document: dpel.Document) -> None:
        """Note that our limit is there; or, once it was, that somebody else has put another one in its place."""
        past = self.past
        if past.written is None or past.found is None:
            return
        if not dpel.differs(document, past.written):
            await self._memory.keep(seen=True)
        elif past.seen and self.law.limit_in(document) is not None and dpel.differs(document, past.found):
            log.warning(
                "%s: somebody else has set a limit (%s): it is the normal state from now on",
                self._gateway.name,
                self.law.limit_in(document),
            )
            await self._memory.keep(found=document)


def _in_other_words(error: DeviceError) -> DeviceError:
    """What an error at the dynamic limit means, where more is known than it says."""
    text = str(error)
    if "HTTP 404" in text:
        return DeviceDataError(f"{text}: this firmware has no dynamic limit, use control: grid_profile")
    if "HTTP 503" in text:
        return DeviceDataError(f"{text}: the gateway is busy, it is tried again")
    if "HTTP 400" in text:
        return DeviceDataError(f"{text}: this firmware wants another shape of the document")
    return error
