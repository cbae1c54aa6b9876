"""Inverters: one file per gateway or protocol."""

from __future__ import annotations

from typing import Protocol

from app.model import GatewayState, InverterState


class InverterDriver(Protocol):
    """A group of inverters behind one gateway."""

    def states(self) -> tuple[InverterState, ...]:
        """What is known now, in the order of the configuration."""

    def gateway(self) -> GatewayState:
        """What is known of the gateway now."""

    async def set_limit(self, serial: str, limit_w: float) -> bool:
        """Send a limit; True when the transport took it. Whether the inverter obeys, `states` tells later."""

    async def set_power(self, serial: str, *, on: bool) -> bool:
        """Switch on or off; True when the transport took it."""
