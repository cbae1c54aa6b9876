"""Control laws as plug-ins: what a controller sees of a simulated house, what it can do, and how it is written.

A law is a generator over a `Site`. It does what its product does, in the order its product does it, and yields
whenever that product waits: a number of seconds, or `NEW_READING` until the meter shows a new value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

NEW_READING = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One inverter, as OpenDTU shows it at once over HTTP (MQTT shows the same, seconds later).

    ``power_w``, ``mppt_w`` and ``power_at_s`` are of its last answer to a poll (None: never one), in AC watts.
    ``acked``: the last limit was acknowledged (`Ok`, not `Pending` or `Failure`), at ``acked_at_s``;
    ``limit_w`` echoes the last acknowledged one.
    """

    serial: str
    rated_w: float
    min_w: float
    mppts: int
    pdl: bool
    reachable: bool
    power_w: float | None
    power_at_s: float | None
    mppt_w: tuple[float, ...]
    limit_w: float | None
    acked: bool
    acked_at_s: float


@dataclass(frozen=True, slots=True)
class Published:
    """One inverter, as OpenDTU last published it over MQTT.

    ``resets`` counts what shows that a limit is lost: the day's yield fell, or it can be reached again.
    """

    serial: str
    radio: str
    rated_w: float
    min_w: float
    reachable: bool
    power_w: float | None = None
    power_at_s: float | None = None
    yield_day_wh: float = 0.0
    data_seq: int = 0
    limit_w: float | None = None
    published_s: float = 0.0
    resets: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What a battery that regulates by itself has told last, every ``interval_s``; positive power is charging."""

    at_s: float
    power_w: float
    soc_pct: float
    interval_s: float
    most_w: float


class Site(Protocol):
    """What a controller of one house can see, and do. Times are seconds on the simulation's clock."""

    @property
    def now_s(self) -> float:
        """The time."""

    @property
    def grid_w(self) -> float:
        """What the meter shows now; import is positive."""

    @property
    def grid_at_s(self) -> float:
        """Since when the meter has shown this value."""

    @property
    def meter_interval_s(self) -> float:
        """How often the meter shows a new value."""

    @property
    def gate_open(self) -> bool:
        """Export is wanted now."""

    @property
    def battery(self) -> Stored | None:
        """What its battery tells; no peer reads it, as none of their products does."""

    @property
    def published(self) -> tuple[Published, ...]:
        """Every inverter, as OpenDTU last published it."""

    @property
    def inverters(self) -> tuple[Seen, ...]:
        """Every inverter."""

    def limit_w(self, serial: str, watts: float) -> None:
        """Send a non-persistent limit in watts."""

    def limit_pct(self, serial: str, percent: float) -> None:
        """Send a non-persistent limit in percent of rated power."""


Law = Callable[[Site], Iterator[float | None]]
