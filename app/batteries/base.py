"""What a source of battery data is, the part of its section that all share, and what a value must be to be one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, Protocol

from pydantic import Field

from app.access import Access
from app.control.battery_rules import BatteryRules
from app.documents import optional
from app.fields import Section
from app.meters.base import watts
from app.model import BatteryState, DeviceDataError, DeviceError

SLACK_PCT = 1.0  # gauges show a little more than full, and less than empty
Emit = Callable[[BatteryState | DeviceError], None]

__all__ = ["Access", "Battery", "BatterySection", "Emit", "percent", "watts"]


class BatterySection(Section):
    """Keys of every battery, whatever tells of it."""

    least_stale_s: ClassVar[float] = 15.0
    intervals_stale: ClassVar[float] = 3.0

    name: str = Field("", max_length=60, description="shown everywhere; default: what tells of it")
    capacity_wh: float | None = Field(None, gt=0, le=10_000_000, description="what it holds")
    max_charge_w: float | None = Field(None, gt=0, le=1_000_000, description="the most that it takes")
    invert: bool = Field(False, description="true where its power counts discharging as positive")
    stale_s: float | None = Field(
        None, ge=1, le=3600, description="data older than that are not used; default max(15, 3 x its interval)"
    )
    allow_charge: bool = Field(True, description="leave room for it to charge")
    auto_charge_below_soc: float | None = Field(
        None, ge=0, le=100, description="below this state of charge, room is left even while it does not charge"
    )
    auto_charge_w: float = Field(1500.0, ge=0, le=100_000, description="how much room that is")
    auto_charge_max_w: float = Field(3000.0, ge=0, le=100_000, description="the most room that is left for charging")
    full_soc_pct: float = Field(99.5, ge=50, le=100, description="from this state of charge on it is full")
    bias_w: float = Field(0.0, ge=0, le=100_000, description="so much more is imported while it is not full")
    bias_full_w: float = Field(50.0, ge=0, le=100_000, description="so much more is imported while it is full")
    taper: bool = Field(True, description="the room shrinks as it gets full")
    strict: bool = Field(
        False, description="without fresh data the inverters give nothing, instead of as without a battery"
    )

    @property
    def every_s(self) -> float:
        """How often it is expected to tell."""
        return float(getattr(self, "interval_s", 10.0))

    @property
    def rules(self) -> BatteryRules:
        """The rules, as the core needs them."""
        stale_s = self.stale_s
        if stale_s is None:
            stale_s = max(self.least_stale_s, self.intervals_stale * self.every_s)
        asked = {rule.name: getattr(self, rule.name) for rule in fields(BatteryRules)}
        return BatteryRules(**{**asked, "stale_s": stale_s})

    def driver(self, access: Access) -> Battery:
        """The driver of this type."""
        raise NotImplementedError(type(self).__name__)

    def state(self, name: str, soc_pct: float | None, power_w: float | None, at_s: float) -> BatteryState:
        """What a driver has found out, with what the section knows; ``power_w`` as the source counts it."""
        if self.invert and power_w is not None:
            power_w = -power_w
        return BatteryState(
            self.name or name, soc_pct, power_w, at_s, self.every_s, self.capacity_wh, self.max_charge_w
        )


class Battery(Protocol):
    """Tells of one battery. ``run`` never returns; it emits each state or the fault instead of one."""

    name: str

    async def run(self, emit: Emit) -> None:
        """Emit for ever; raises nothing that a device can cause."""


def percent(value: Any, what: str) -> float:
    """A state of charge. Raises `DeviceDataError` naming ``what``."""
    soc_pct = optional(value)
    if soc_pct is None:
        raise DeviceDataError(f"{what} is {str(value)[:40]!r}, not a state of charge in percent")
    if not -SLACK_PCT <= soc_pct <= 100.0 + SLACK_PCT:
        raise DeviceDataError(f"{what} is {soc_pct:g} %, which is no state of charge")
    return min(100.0, max(0.0, soc_pct))
