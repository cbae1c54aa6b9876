"""The switch of the whole production (``/ivp/mod/…/mode/power``): the last resort."""

from __future__ import annotations

import json

from app.inverters.enphase.control import Way, installer
from app.model import DeviceDataError, Rule

POWER = "/ivp/mod/603980032/mode/power"
OFF = Rule(0.0, produce=False)


class PowerControl(Way):
    """Production on or off, for the system as a whole: the last resort."""

    own_meter = False
    can_stop = True
    steps: tuple[float | None, ...] | None = (0.0, None)

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
