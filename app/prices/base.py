"""What a price source is."""

from __future__ import annotations

from typing import Protocol

from app.model import PriceState


class PriceSource(Protocol):
    """Knows what export earns and import costs now. Nobody waits for it: the loop takes what `state` says."""

    def state(self) -> PriceState:
        """The price of this moment; None in it where it is unknown."""

    async def run(self) -> None:
        """Keep the price current for ever; raises nothing that a service can cause."""
