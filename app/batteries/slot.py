"""Where the latest state of the battery waits for the control loop."""

from __future__ import annotations

import logging
from dataclasses import replace

from app.access import Access
from app.batteries.base import Battery, BatterySection
from app.model import BatteryState, DeviceError, Fault

log = logging.getLogger(__name__)

NEXT_STEP = "Check the battery section and the device behind it: zero-export doctor battery."


class BatterySlot:
    """The state of the battery. A fault leaves the values as they were, with their age."""

    def __init__(self, section: BatterySection, access: Access) -> None:
        self._battery: Battery = section.driver(access)
        self._stale_s = section.rules.stale_s
        self._began_s: float | None = None
        self.state = replace(section.state(self._battery.name, None, None, 0.0), at_s=None)

    async def run(self) -> None:
        """Run its driver for ever."""
        try:
            await self._battery.run(self.take)
        except Exception as error:  # a bug; whoever runs us tells the rest, and starts us again
            self.take(DeviceError(f"{self._battery.name}: its driver has failed ({type(error).__name__})"))
            raise

    def take(self, outcome: BatteryState | DeviceError) -> None:
        """Take in what the driver says."""
        fault = self.state.fault
        if isinstance(outcome, BatteryState):
            if fault is not None:
                log.info("battery %s is back: %s", outcome.name, told(outcome))
            self.state = outcome
            return
        if fault is None:
            log.warning("battery: %s", outcome)
        self.state = replace(self.state, fault=str(outcome))

    def faults(self, now_s: float, utc_s: float) -> tuple[Fault, ...]:
        """That nothing fresh is known, since when and why."""
        self._began_s = now_s if self._began_s is None else self._began_s
        age_s = now_s - (self._began_s if self.state.at_s is None else self.state.at_s)
        if age_s <= self._stale_s:
            return ()
        text = f"Nothing is known of the battery for {age_s:.0f} s: {self.state.fault or 'nothing comes'}."
        return (Fault("battery", text, NEXT_STEP, utc_s - age_s),)


def told(state: BatteryState) -> str:
    """A state in words."""
    soc = "charge unknown" if state.soc_pct is None else f"{state.soc_pct:.0f} %"
    if state.power_w is None:
        return f"{soc}, power unknown"
    if abs(state.power_w) < 1.0:
        return f"{soc}, idle"
    return f"{soc}, {'charging' if state.power_w > 0.0 else 'discharging'} with {abs(state.power_w):.0f} W"
