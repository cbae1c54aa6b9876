"""What meters that send by themselves share: a connection that comes back, and one power out of several values."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.documents import optional
from app.meters import base
from app.meters.base import Emit, watts
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Phase
from app.redact import Redactor

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
STOOD_S = 5.0  # a connection that lasted so long was a good one
SILENT = 3.0  # times the interval: then it is said to be silent
UNITS = {"W": 1.0, "kW": 1000.0, "MW": 1_000_000.0, "mW": 0.001}
_ENERGIES = ("Wh", "kWh", "MWh", "GWh", "mWh", "J", "kJ", "MJ", "GJ", "cal", "kcal")

Power = tuple[float, tuple[Phase, ...]]


class Closed(DeviceUnavailable):
    """The other side has ended the connection. Where it was a good one, it is enough to tell when none follows."""


async def keep(connect: Callable[[], Awaitable[None]], emit: Emit, public: Redactor) -> None:
    """Connect for ever, and emit why it ended: at once at first, then later and later.

    ``connect`` stays until its connection ends, and raises `DeviceError`. ``public`` takes out of its sentences what
    the other side may have repeated of our login.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        started_s = time.monotonic()
        refused = False
        try:
            await connect()
        except DeviceError as error:
            refused = isinstance(error, DeviceAuthError)
            error.args = (public(str(error)),)
            emit(error)
        pause_s = FIRST_PAUSE_S if time.monotonic() - started_s > STOOD_S else min(LONGEST_PAUSE_S, 2.0 * pause_s)
        jittered_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        await asyncio.sleep(max(base.AFTER_REFUSAL_S, jittered_s) if refused else jittered_s)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The names of the values that make up the power: one that is signed, or import and export, or the phases."""

    signed: str | None = None
    imported: str | None = None
    exported: str | None = None
    phases: tuple[str, ...] = ()

    def checked(self, noun: str) -> Wanted:
        """Itself. Raises `ValueError` where the choice is none; ``noun`` is what the keys are called after."""
        apart = (self.imported is not None) + (self.exported is not None)
        if apart == 1 or (self.signed is not None) + (apart == 2) + bool(self.phases) != 1:
            raise ValueError(f"give {noun}, or import_{noun} and export_{noun} together, or phase_{noun}s")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"the same {noun} is given twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*(name for name in (self.signed, self.imported, self.exported) if name is not None), *self.phases)

    def power(self, values_w: Mapping[str, float]) -> Power:
        """The power, and that of the phases. Raises `DeviceDataError` where a value cannot be what it is said to be."""
        if self.imported is not None and self.exported is not None:
            for name in (self.imported, self.exported):
                if values_w[name] < 0.0:
                    raise DeviceDataError(
                        f"{name} is {values_w[name]:g} W: import and export that are counted apart are never negative"
                    )
            return values_w[self.imported] - values_w[self.exported], ()
        phases = tuple(Phase(values_w[name]) for name in self.phases)
        return sum(values_w[name] for name in self.names), phases


def in_watts(number: object, unit: str, name: str, to_mend: str) -> float:
    """A power of any unit in watts. Raises `DeviceDataError` naming ``name``; ``to_mend`` says how one gives a unit."""
    if unit in _ENERGIES:
        raise DeviceDataError(f"{name} is an energy ({unit}): name the one that shows the power, in W or kW")
    if not unit:
        raise DeviceDataError(f"{name} has no unit, and may be W or kW: {to_mend}")
    if unit not in UNITS:
        raise DeviceDataError(f"{name} is in {unit[:20]}, which is no unit of power: name the one that shows the power")
    value = optional(number)
    return watts(number if value is None else value * UNITS[unit], name)
