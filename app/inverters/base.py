"""What an inverter driver is, and the keys that all inverters share."""

from __future__ import annotations

import asyncio
import math
from typing import ClassVar

from pydantic import Field

from app.access import Access
from app.broker import Broker
from app.checks import Check, until
from app.fields import Section
from app.model import DeviceDataError, GatewayState, InverterState, Rule

EXAMINE_S = 12.0  # OpenDTU publishes every 5 s, later while its radio is busy


class InverterSection(Section):
    """Keys of every inverter."""

    takes_watts: ClassVar[bool] = True  # False: it keeps to rules by itself (`app.model.Rule`)

    name: str = Field("", max_length=60)
    enabled: bool = Field(True, description="false: read and shown, never commanded")
    max_watt: float = Field(gt=0, le=1_000_000, description="rated AC power")
    min_watt: float | None = Field(None, ge=0, description="lowest limit to send")
    phase: int | None = Field(None, ge=1, le=3, description="the phase that it feeds; none: all three alike")

    @property
    def id(self) -> str:
        """Its serial number, else its name."""
        return getattr(self, "serial", "") or self.name

    @property
    def claims(self) -> tuple[str, ...]:
        """What no other inverter may be at the same gateway, in words; beyond its `id`."""
        return ()

    @property
    def three_phase(self) -> bool:
        """Whether it is known to feed three phases alike."""
        return False

    def unknown_beside(self, export_limit_w: float) -> str:
        """What has to be known so that it keeps to the grid operator's cap; empty where nothing is missing."""
        del export_limit_w
        return ""

    @property
    def floor_w(self) -> float:
        """The lowest limit to send."""
        return self.min_watt or 0.0


class InverterDriver:
    """A group of inverters behind one gateway. ``dropped`` counts what came in and could not be used.

    A driver overrides what its inverters can do; what is commanded nonetheless is a bug of the core.
    """

    dropped: int = 0
    broker: Broker | None = None  # the one that carries the commands

    def states(self, guarded: frozenset[str] = frozenset()) -> tuple[InverterState, ...]:
        """What is known now, in the order of the configuration. ``guarded``: serials whose will is armed."""
        raise NotImplementedError

    def gateway(self) -> GatewayState | None:
        """What is known of the gateway now; None where there is none to speak of."""
        return None

    async def run(self) -> None:
        """Keep in touch, for ever; raises nothing that a device can cause."""
        await asyncio.Event().wait()

    async def set_limit(self, serial: str, limit_w: float) -> bool:
        """Send a limit; True when the transport took it. Whether the inverter obeys, `states` tells later."""
        raise NotImplementedError(f"{serial} takes no limit in watts ({limit_w:g} W)")

    async def set_power(self, serial: str, *, on: bool) -> bool:
        """Switch on or off; True when the transport took it."""
        raise NotImplementedError(f"{serial} cannot be switched {'on' if on else 'off'}")

    async def set_rule(self, serial: str, rule: Rule) -> bool:
        """Give a slow inverter its rule; True when it said that it took it."""
        raise NotImplementedError(f"{serial} knows no rules ({rule})")

    async def release(self, serial: str, share_pct: float | None = None) -> bool:
        """Open it again, at somebody's request; True as for `set_limit`. Raises `DeviceError` where that tells why not.

        ``share_pct``: to so much of its maximum; None: to what it would give without us.
        """
        state = next(state for state in self.states() if state.serial == serial)
        if state.rule is not None:
            if share_pct is not None and share_pct < 100.0:
                raise DeviceDataError(f"it keeps to rules and cannot be opened to {share_pct:g} %: leave --value out")
            return await self.set_rule(serial, Rule())
        return await self.set_limit(serial, state.max_w * (100.0 if share_pct is None else share_pct) / 100.0)

    async def examine(self) -> list[Check]:
        """What `doctor` finds, while `run` is running and the broker is connected. It changes nothing."""
        await until(lambda: all(state.power_at_s is not None for state in self.states()), EXAMINE_S)
        gateway = self.gateway()
        step = "Check its address and the keys of this inverter in config.yaml."
        return [examined(state, gateway.name if gateway else "the device", step) for state in self.states()]

    def will(self, serial: str, limit_w: float) -> tuple[str, str]:
        """Topic and payload with which the broker may command this limit in our name."""
        raise NotImplementedError(f"{serial} has no dead-man will ({limit_w:g} W)")


def examined(state: InverterState, gateway: str, unknown_step: str) -> Check:
    """The finding on one inverter. ``gateway``: who speaks for it; ``unknown_step``: where it knows none such."""
    name = f"{state.name} ({state.serial})" if state.name != state.serial else state.serial
    if state.reachable is None:
        return Check(
            "inverter",
            "fail",
            f"{name}: {gateway} knows no such inverter",
            unknown_step,
        )
    if not state.reachable:
        return Check(
            "inverter",
            "warn",
            f"{name}: {gateway} cannot reach it",
            "At night this is normal; by day check the link between the two.",
        )
    if state.power_at_s is None:
        return Check(
            "inverter", "warn", f"{name}: reachable, but no power was reported yet", "Run this again in a minute."
        )
    values = (("serial", state.serial), ("power_w", state.ac.power_w), ("limit_w", state.acked_w))
    limit = f", limit {state.acked_w:.0f} W" if state.acked_w is not None else ""
    detail = f"{name}: {state.ac.power_w:.1f} W{limit}"
    if state.rated_w is not None and abs(state.rated_w - state.max_w) > 0.05 * state.max_w:
        return Check(
            "inverter",
            "warn",
            detail,
            f"max_watt is {state.max_w:g}, but the inverter is rated {state.rated_w:g} W.",
            values,
        )
    return Check("inverter", "ok", detail, values=values)


def whole_tenths(value: float) -> float:
    """Limits go out with one decimal: a maximum that cannot be sent exactly would never be seen as reached."""
    return max(0.1, math.floor(value * 10.0 + 1e-6) / 10.0)


__all__ = ["Access", "InverterDriver", "InverterSection", "whole_tenths"]
