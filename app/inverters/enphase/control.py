"""What a way to hold microinverters to a rule has to do, and what all ways share."""

from __future__ import annotations

from typing import Protocol

from app.enphase.gateway import Gateway
from app.inverters.enphase.config import REACTION_S, EnphaseInverterConfig
from app.inverters.enphase.past import Memory, Past
from app.model import DeviceAuthError, Rule


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


class Way:
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
