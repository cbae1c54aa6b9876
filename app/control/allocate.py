"""From a site ceiling to limits of single inverters, with as few commands as possible.

Every limit occupies OpenDTU's radio for two seconds, so a change of the site is given to the one or two
inverters that can carry it; the others keep theirs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Ranged(Protocol):
    """Whatever has a serial and a range of limits."""

    @property
    def serial(self) -> str:
        """Which inverter."""

    @property
    def min_w(self) -> float:
        """The lowest limit it takes."""

    @property
    def max_w(self) -> float:
        """The highest limit it takes."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One inverter that may be commanded. Powers in AC watts.

    ``limit_w`` is the limit in force or in flight (None: unknown); ``power_w`` the most that it may be
    producing once what is in flight has come into force; ``bound``: the limit, not the sun, holds it;
    ``ready_to_cut``/``ready_to_raise``: its last command is long enough ago. ``radio`` takes ``slots`` more commands
    now without making a later one wait: one that is sent at once, and one after it. ``phase``: the only one that it
    feeds, where each is held on its own. ``step_w``: its limits are multiples of this.
    """

    serial: str
    min_w: float
    max_w: float
    limit_w: float | None
    power_w: float
    bound: bool
    ready_to_cut: bool = True
    ready_to_raise: bool = True
    radio: str = ""
    slots: int = 1
    step_w: float = 0.0
    phase: int | None = None

    def clamp(self, limit_w: float) -> float:
        """The nearest limit that this inverter takes."""
        if self.step_w and limit_w < self.max_w:
            limit_w = math.floor(limit_w / self.step_w + 1e-6) * self.step_w
        return min(self.max_w, max(self.min_w, limit_w))

    @property
    def ceiling_w(self) -> float:
        """The limit, or the most it can be where that is unknown."""
        return self.max_w if self.limit_w is None else self.limit_w

    @property
    def reach_w(self) -> float:
        """What it may deliver soon: what its limit gives where that binds, otherwise a bit more than the sun does."""
        if self.bound:
            return self.power_w
        return min(self.ceiling_w, self.power_w + max(50.0, 0.25 * self.power_w))


Limits = dict[str, float]


def spread(units: Sequence[Ranged], total_w: float) -> Limits:
    """Share a total by rated power, within each one's minimum and maximum.

    The sum is ``total_w`` wherever the minima and maxima allow it.
    """
    limits: Limits = {}
    rest_w = total_w
    open_units = list(units)
    while open_units:
        rated_w = sum(unit.max_w for unit in open_units)
        shares = {unit.serial: rest_w * unit.max_w / rated_w for unit in open_units}
        low = [unit for unit in open_units if shares[unit.serial] <= unit.min_w]
        high = [unit for unit in open_units if shares[unit.serial] >= unit.max_w]
        lacking_w = sum(unit.min_w - shares[unit.serial] for unit in low)
        spare_w = sum(shares[unit.serial] - unit.max_w for unit in high)
        fixed = low if lacking_w >= spare_w else high
        if not fixed:
            return limits | shares
        for unit in fixed:
            limits[unit.serial] = min(unit.max_w, max(unit.min_w, shares[unit.serial]))
            rest_w -= limits[unit.serial]
        open_units = [unit for unit in open_units if unit.serial not in limits]
    return limits


def cut(units: Sequence[Unit], excess_w: float) -> Limits:
    """Take ``excess_w`` of power away, largest reducible power first.

    Inverters of this phase alone come before those that would lower the others with it.
    """
    limits: Limits = {}
    taken: Counter[str] = Counter()
    for unit in sorted(units, key=lambda u: (u.phase is not None, u.power_w - u.min_w), reverse=True):
        if excess_w <= 0.0 or not unit.ready_to_cut or unit.limit_w is None or taken[unit.radio] >= unit.slots:
            continue
        limit_w = unit.clamp(unit.power_w - excess_w)
        if limit_w < unit.limit_w:
            limits[unit.serial] = limit_w
            taken[unit.radio] += 1
            excess_w -= unit.power_w - limit_w
    return limits


def tighten(units: Sequence[Unit], ceiling_w: float, deadband_w: float) -> Limits:
    """Lower the ceilings that the sun does not fill, so that their sum keeps to ``ceiling_w``.

    Costs no energy now; it keeps the house from exporting when the cloud goes. One at a time.
    """
    excess_w = sum(unit.ceiling_w for unit in units) - ceiling_w
    loosest = max(units, key=lambda u: u.ceiling_w - u.power_w, default=None)
    if loosest is None or loosest.limit_w is None or not loosest.ready_to_raise:
        return {}
    headroom_w = max(0.0, ceiling_w - sum(unit.power_w for unit in units))
    if excess_w <= max(deadband_w, 40.0, 0.25 * headroom_w):
        return {}
    limit_w = loosest.clamp(max(loosest.ceiling_w - excess_w, loosest.power_w))
    return {loosest.serial: limit_w} if limit_w < loosest.limit_w - deadband_w else {}


def loosen(units: Sequence[Unit], ceiling_w: float, deadband_w: float) -> Limits:
    """Raise limits up to ``ceiling_w``: first those that bind, most headroom first.

    Where none binds, the sun gives all it has; then the ceilings only follow the load at leisure.
    """
    binding = [unit for unit in units if unit.bound and unit.ceiling_w < unit.max_w]
    deficit_w = ceiling_w - sum(unit.reach_w if binding else unit.ceiling_w for unit in units)
    if deficit_w <= (deadband_w if binding else max(deadband_w, 40.0)):
        return {}
    limits: Limits = {}
    taken: set[str] = set()
    for unit in sorted(binding or units, key=lambda u: u.max_w - u.ceiling_w, reverse=True):
        if deficit_w <= 0.0 or not unit.ready_to_raise or unit.limit_w is None or unit.radio in taken:
            continue
        limit_w = unit.clamp(unit.limit_w + deficit_w)
        if limit_w > unit.limit_w:
            limits[unit.serial] = limit_w
            deficit_w -= limit_w - unit.limit_w
            taken.add(unit.radio)
    return limits
