"""What a place for telemetry is: it takes points without blocking, and says in plain words when it cannot keep them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.model import Fault, StoreState
from app.telemetry.points import Point


class Sink(Protocol):
    """A store of telemetry. Nothing that happens to it reaches control."""

    name: str

    def offer(self, points: Sequence[Point]) -> None:
        """Take points; never blocks, and drops the oldest where there is no room."""

    async def run(self) -> None:
        """Write what was offered, for ever. Raises nothing that the store can cause."""

    async def close(self) -> None:
        """Write what is left, within a few seconds, and let go of the store."""

    def fault(self) -> Fault | None:
        """What is wrong now."""

    @property
    def stats(self) -> StoreState:
        """How it stands."""
