"""Two grid profiles of a gateway, one of which is selected (``/installer/agf``)."""

from __future__ import annotations

from app.enphase.gateway import LARGE_BYTES, Gateway
from app.inverters.enphase import profiles
from app.inverters.enphase.config import EnphaseInverterConfig
from app.inverters.enphase.control import Way, installer
from app.inverters.enphase.past import Memory
from app.model import DeviceDataError, Rule

PROFILES = "/installer/agf/index.json"
SET_PROFILE = "/installer/agf/set_profile.json"
PROFILE_TIMEOUT_S = 30.0


class ProfileControl(Way):
    """Two grid profiles, one of which is selected. It takes minutes, and the profile says what may be exported."""

    steps: tuple[float | None, ...] | None = (0.0, None)

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
            raise DeviceDataError(f"the gateway did not accept the grid profile {name!r}; it says: {_said(answer)}")

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


def _said(answer: str) -> str:
    """What a gateway answered, as far as people can read it."""
    text = " ".join(answer.split())
    return "".join(sign for sign in text if sign.isprintable())[:200] or "nothing"
