"""The three ways in which an Enphase gateway holds its microinverters to a rule, each over its own addresses."""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from app.enphase.gateway import LARGE_BYTES, Gateway
from app.inverters.enphase import dpel, profiles
from app.inverters.enphase.config import REACTION_S, EnphaseInverterConfig
from app.inverters.enphase.past import Memory, Past
from app.inverters.enphase.quirks import habits
from app.model import DeviceAuthError, DeviceDataError, DeviceError, Rule

log = logging.getLogger(__name__)

DPEL = "/ivp/ss/dpel"
PROFILES = "/installer/agf/index.json"
SET_PROFILE = "/installer/agf/set_profile.json"
POWER = "/ivp/mod/603980032/mode/power"
PROFILE_TIMEOUT_S = 30.0
OFF = Rule(0.0, produce=False)


class Control(Protocol):
    """One way. ``own_meter``, ``steps`` and ``can_stop`` are those of `app.model.RuleState`."""

    own_meter: bool
    steps: tuple[float | None, ...] | None
    can_stop: bool

    async def look(self) -> Rule | None:
        """Ask which rule is in force; None: none of ours. Raises `DeviceError`."""

    async def write(self, rule: Rule) -> None:
        """Give it this rule, after a look. Raises `DeviceError` where the gateway does not say that it took it."""

    def shows(self, rule: Rule) -> bool:
        """Whether the last look showed this rule."""

    def problem(self) -> str | None:
        """What the last look showed that keeps some rule from being had."""

    def normal(self) -> float | None:
        """What the gateway lets be exported without us, in watts, where it says so."""

    def allowed(self) -> float | None:
        """The limit of the production that the gateway shows, in watts; None: there is none, or none is shown."""

    async def settled(self, rule: Rule) -> None:
        """The gateway was seen to have this rule."""

    @property
    def reaction_s(self) -> float:
        """Until the power has followed for certain."""

    @property
    def resend_s(self) -> float | None:
        """How often a rule has to be sent again."""


class _Plain:
    """What is the same for ways without habits of their own."""

    own_meter = True
    can_stop = False
    resend_s: float | None = None

    def __init__(self, config: EnphaseInverterConfig, gateway: Gateway, memory: Memory) -> None:
        self._config, self._gateway, self._memory = config, gateway, memory
        self._shown: Rule | None = None

    @property
    def past(self) -> Past:
        """What is kept."""
        return self._memory.past

    def shows(self, rule: Rule) -> bool:
        """As the protocol says."""
        return self._shown == rule

    def problem(self) -> str | None:
        """As the protocol says."""
        return None

    def normal(self) -> float | None:
        """As the protocol says."""
        return None

    def allowed(self) -> float | None:
        """As the protocol says."""
        return None

    async def settled(self, rule: Rule) -> None:
        """As the protocol says."""

    @property
    def reaction_s(self) -> float:
        """As the protocol says."""
        return self._config.reaction_s or REACTION_S[self._config.control]


class ProfileControl(_Plain):
    """Two grid profiles, one of which is selected. It takes minutes, and the profile says what may be exported."""

    steps = (0.0, None)

    def __init__(self, config: EnphaseInverterConfig, gateway: Gateway, memory: Memory) -> None:
        super().__init__(config, gateway, memory)
        self.profiles: profiles.Profiles | None = None

    async def look(self) -> Rule | None:
        """As the protocol says."""
        await installer(self._gateway, "grid profiles")
        self.profiles = profiles.parse(await self._gateway.get_json(PROFILES, max_bytes=LARGE_BYTES))
        names = {self._config.profile_zero: Rule(0.0), self._config.profile_normal: Rule()}
        self._shown = names.get(self.profiles.selected) if self.profiles.selected else None
        return self._shown

    async def write(self, rule: Rule) -> None:
        """As the protocol says."""
        name = self._config.profile_normal if rule == Rule() else self._config.profile_zero
        if rule not in (Rule(), Rule(0.0)):
            raise DeviceDataError(f"a grid profile cannot be made to mean {rule}: there are two, normal and zero")
        problem = self._unusable(name, "profile_normal" if rule == Rule() else "profile_zero")
        if problem is not None:
            raise DeviceDataError(problem)
        asked = {"selected_profile": name}
        answer = await self._gateway.send("PUT", SET_PROFILE, json=asked, timeout_s=PROFILE_TIMEOUT_S)
        if not profiles.accepted(answer):
            raise DeviceDataError(f"the gateway did not accept the grid profile {name!r}; it says: {said(answer)}")

    def problem(self) -> str | None:
        """As the protocol says."""
        keys = ("profile_zero", "profile_normal")
        found = (self._unusable(getattr(self._config, key), key) for key in keys)
        return next((text for text in found if text is not None), None)

    def _unusable(self, name: str, key: str) -> str | None:
        if self.profiles is None:
            return None
        if not name:
            return f"{key} is not set; the gateway lists {self.profiles.listed() or 'no grid profiles'}"
        problem = self.profiles.problem(name)
        return f"{key}: {problem}" if problem is not None else None


class DpelControl(_Plain):
    """The dynamic limit of firmware 8: any number of watts, at the grid connection or of the production."""

    steps = None

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
            raise unsupported(error) from None
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
            raise unsupported(error) from None

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


class PowerControl(_Plain):
    """Production on or off, for the system as a whole: the last resort."""

    own_meter = False
    can_stop = True
    steps = (0.0, None)

    async def look(self) -> Rule | None:
        """As the protocol says."""
        await installer(self._gateway, "switching the production off")
        document = await self._gateway.get_json(POWER)
        off = document.get("powerForcedOff") if isinstance(document, dict) else None
        if not isinstance(off, bool):
            raise DeviceDataError(f"{POWER} does not say whether the production is forced off")
        self._shown = OFF if off else Rule()
        if off and self.past.accepted == Rule(0.0):
            return Rule(0.0)
        return self._shown

    async def write(self, rule: Rule) -> None:
        """As the protocol says. The body is JSON under the content type of forms."""
        body = {"length": 1, "arr": [0 if rule == Rule() else 1]}
        await self._gateway.send("PUT", POWER, form=json.dumps(body, separators=(",", ":")))

    def allowed(self) -> float | None:
        """As the protocol says."""
        return 0.0 if self._shown == OFF else None

    def shows(self, rule: Rule) -> bool:
        """As the protocol says: whatever is less than normal is off."""
        return self._shown == (Rule() if rule == Rule() else OFF)


CONTROLS: dict[str, Any] = {"dpel": DpelControl, "grid_profile": ProfileControl, "production": PowerControl}


async def installer(gateway: Gateway, what: str) -> None:
    """Raise `DeviceAuthError` where it is known already that the login has no right to this."""
    if gateway.role == "owner":
        raise DeviceAuthError(
            f"{gateway.name}: {what} needs an installer's token, and this one is an owner's: ask Enphase for DIY "
            "installer access to your account"
        )
    about = await gateway.about()
    if not about.wants_token and gateway.login.password and gateway.login.username != "installer":
        raise DeviceAuthError(
            f"{gateway.name}: {what} needs the user installer, and its own password, on firmware {about.software}"
        )


def unsupported(error: DeviceError) -> DeviceError:
    """What an error at the dynamic limit means, where more is known than it says."""
    text = str(error)
    if "HTTP 404" in text:
        return DeviceDataError(f"{text}: this firmware has no dynamic limit, use control: grid_profile")
    if "HTTP 503" in text:
        return DeviceDataError(f"{text}: the gateway is busy, it is tried again")
    if "HTTP 400" in text:
        return DeviceDataError(f"{text}: this firmware wants another shape of the document")
    return error


def said(answer: str) -> str:
    """What a gateway answered, as far as people can read it."""
    text = " ".join(answer.split())
    return "".join(sign for sign in text if sign.isprintable())[:200] or "nothing"
