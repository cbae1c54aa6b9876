"""Energy at the grid and of the inverters, from powers and from what the devices count themselves. Pure.

A power stands from one turn of the loop to the next; what is left out then (a restart, an outage) comes from the
devices' counters. A meter that counts what the bill counts (one phase, or netted) is followed: its counters are the
energy, and powers only fill the time until they show. One that counts each phase on its own counts both directions too
high, but their difference is right: from it comes what the powers left out. docs/energy.md tells the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from app.counter import S_PER_H, Amount, Counter, Grown, Mark
from app.model import InverterState, Reading, Snapshot

GAP_S = 10.0  # a power stands no longer than this from one turn to the next
HELD_S = 120.0  # nor does what an inverter has reported
HEADROOM = 1.2  # an inverter may give a little more than its rated power
WH_PER_KWH = 1000.0


@dataclass(frozen=True, slots=True)
class KeptCounter:
    """A counter and what is on the account beyond it, to outlive the program."""

    mark: Mark
    ahead_wh: Amount = 0.0
    pending_wh: Amount = 0.0


@dataclass(frozen=True, slots=True)
class KeptEnergy:
    """Every counter, to outlive the program. ``inverters``: by serial."""

    imported: KeptCounter | None = None
    exported: KeptCounter | None = None
    inverters: dict[str, KeptCounter] = field(default_factory=dict)


class Metered:
    """One energy that a device counts. All amounts that it returns go on the account and stay there.

    ``ahead``: what is on the account beyond the counter; ``pending``: integrated since the counter was last read anew.
    """

    def __init__(self, most_w: float, kept: KeptCounter | None) -> None:
        self.counter = Counter(most_w, None if kept is None else kept.mark)
        self._ahead_wh = 0.0 if kept is None else kept.ahead_wh
        self._pending_wh = 0.0 if kept is None else kept.pending_wh

    def integrate(self, energy_wh: float) -> float:
        """A power has stood for a while; what of it is not on the account already."""
        self._pending_wh += energy_wh
        new_wh = max(0.0, self._pending_wh - self._ahead_wh)
        self._ahead_wh += new_wh
        return new_wh

    def follow(self, grown_wh: float | None) -> float:
        """The counter is the energy: what it has counted beyond the account. None: it has begun anew."""
        self._pending_wh = 0.0
        behind_wh = 0.0 if grown_wh is None else grown_wh - self._ahead_wh
        self._ahead_wh = 0.0 if grown_wh is None else max(0.0, -behind_wh)
        return max(0.0, behind_wh)

    def settle(self, grown_wh: float | None) -> float | None:
        """What the counter has grown beyond (negative: less than) what was integrated meanwhile; None: unknown."""
        missing_wh = None if grown_wh is None else grown_wh - self._ahead_wh
        self._ahead_wh = self._pending_wh = 0.0
        return missing_wh

    def kept(self) -> KeptCounter | None:
        """What is to outlive the program."""
        mark = self.counter.mark
        return None if mark is None else KeptCounter(mark, self._ahead_wh, self._pending_wh)


@dataclass(frozen=True, slots=True)
class Gain:
    """Energy for the account, by the name it has there. ``since_utc_s``: it took until now from then on."""

    name: str
    wh: float
    since_utc_s: float


class GridEnergy:
    """Import and export. Told every turn of the loop, it answers with what that adds."""

    def __init__(self, most_w: float, imported: KeptCounter | None, exported: KeptCounter | None) -> None:
        self.imported, self.exported = Metered(most_w, imported), Metered(most_w, exported)
        marks = [kept.mark.utc_s for kept in (imported, exported) if kept is not None]
        self._gap_utc_s: float | None = min(marks, default=None)  # since when powers leave something out
        self._seen_s: float | None = None

    def observe(self, energy_wh: float | None, reading: Reading | None, now_s: float, utc_s: float) -> list[Gain]:
        """``energy_wh``: what the power has given since the turn before, positive is import; None: it is unknown."""
        if energy_wh is None:
            self._gap_utc_s = utc_s if self._gap_utc_s is None else self._gap_utc_s
            found = []
        else:
            wh = (self.imported.integrate(max(0.0, energy_wh)), self.exported.integrate(max(0.0, -energy_wh)))
            found = _gains(*wh, utc_s)
        if reading is None or reading.at_s == self._seen_s:
            return found
        self._seen_s = reading.at_s
        imported = self.imported.counter.read(reading.import_wh, now_s, utc_s)
        exported = self.exported.counter.read(reading.export_wh, now_s, utc_s)
        moved = [grown for grown in (imported, exported) if grown is not None]
        if not moved:
            return found
        since_utc_s = min(grown.since_utc_s for grown in moved)
        if self._gap_utc_s is not None:
            since_utc_s = min(since_utc_s, self._gap_utc_s)
        counted = self._followed if is_netted(reading) else self._bridged
        found += _gains(*counted(imported, exported), since_utc_s)
        self._gap_utc_s = None
        return found

    def _followed(self, imported: Grown | None, exported: Grown | None) -> tuple[float, float]:
        """Both were read at once: one that has not moved has counted nothing."""
        sides = ((self.imported, imported), (self.exported, exported))
        import_wh, export_wh = (0.0 if side.counter.doubted else side.follow(_wh(grown)) for side, grown in sides)
        return import_wh, export_wh

    def _bridged(self, imported: Grown | None, exported: Grown | None) -> tuple[float, float]:
        import_wh, export_wh = self.imported.settle(_wh(imported)), self.exported.settle(_wh(exported))
        doubted = self.imported.counter.doubted or self.exported.counter.doubted
        if self._gap_utc_s is None or import_wh is None or export_wh is None or doubted:
            return 0.0, 0.0
        net_wh = import_wh - export_wh
        return max(0.0, net_wh), max(0.0, -net_wh)


class InverterEnergy:
    """What one inverter gives: its power, and over gaps its own counter of yield."""

    def __init__(self, most_w: float, kept: KeptCounter | None) -> None:
        self._metered = Metered(most_w, kept)
        self._gap_utc_s = None if kept is None else kept.mark.utc_s
        self._power_w: float | None = None
        self._seen_s: float | None = None

    def observe(self, state: InverterState, elapsed_s: float | None, now_s: float, utc_s: float) -> list[Gain]:
        """One turn of the loop; ``elapsed_s`` since the one before, None where that is too long ago."""
        found = []
        if elapsed_s is None or self._power_w is None:
            self._gap_utc_s = utc_s if self._gap_utc_s is None else self._gap_utc_s
        else:
            found = [Gain("pv_wh", self._metered.integrate(self._power_w * elapsed_s / S_PER_H), utc_s)]
        self._power_w = _power_w(state, now_s)
        if self._power_w is not None and state.power_at_s != self._seen_s:
            self._seen_s = state.power_at_s
            total_kwh = state.ac.yield_total_kwh
            counted_wh = None if total_kwh is None else total_kwh * WH_PER_KWH
            grown = self._metered.counter.read(counted_wh, now_s, utc_s)
            if grown is not None:
                missing_wh, gap_utc_s = self._metered.settle(grown.wh), self._gap_utc_s
                self._gap_utc_s = None
                if gap_utc_s is not None and missing_wh is not None:
                    found.append(Gain("pv_wh", max(0.0, missing_wh), min(gap_utc_s, grown.since_utc_s)))
        return found

    def kept(self) -> KeptCounter | None:
        """What is to outlive the program."""
        return self._metered.kept()


class SiteEnergy:
    """Import, export and sun of the site. ``most_w``: the most that the house connection carries."""

    def __init__(self, most_w: float, kept: KeptEnergy | None = None) -> None:
        self._kept = kept or KeptEnergy()
        self._grid = GridEnergy(most_w, self._kept.imported, self._kept.exported)
        self._units: dict[str, InverterEnergy] = {}
        self._at_s: float | None = None
        self._grid_w: float | None = None

    def observe(self, snapshot: Snapshot, grid_w: float | None) -> list[Gain]:
        """Take in one turn of the loop, and the grid power that control uses; what that adds to the account."""
        now_s, utc_s = snapshot.now_s, snapshot.utc_s
        elapsed_s = None if self._at_s is None or not 0.0 <= now_s - self._at_s <= GAP_S else now_s - self._at_s
        given_wh = None if self._grid_w is None or elapsed_s is None else self._grid_w * elapsed_s / S_PER_H
        found = self._grid.observe(given_wh, snapshot.meter.reading, now_s, utc_s)
        for state in snapshot.inverters:
            found += self._unit(state).observe(state, elapsed_s, now_s, utc_s)
        self._at_s, self._grid_w = now_s, grid_w if grid_w is not None and math.isfinite(grid_w) else None
        return [gain for gain in found if gain.wh > 0.0]

    def kept(self) -> KeptEnergy:
        """What is to outlive the program, as it is now."""
        units = {serial: kept for serial, unit in self._units.items() if (kept := unit.kept()) is not None}
        return KeptEnergy(self._grid.imported.kept(), self._grid.exported.kept(), self._kept.inverters | units)

    def _unit(self, state: InverterState) -> InverterEnergy:
        if state.serial not in self._units:
            most_w = HEADROOM * max(state.max_w, state.rated_w or 0.0)
            self._units[state.serial] = InverterEnergy(most_w, self._kept.inverters.get(state.serial))
        return self._units[state.serial]


def is_netted(reading: Reading) -> bool:
    """Whether the meter's counters count as the bill does: with one phase there is nothing to net."""
    return len(reading.phases) <= 1


def _wh(grown: Grown | None) -> float | None:
    return 0.0 if grown is None else grown.wh


def _gains(import_wh: float, export_wh: float, since_utc_s: float) -> list[Gain]:
    return [Gain("import_wh", import_wh, since_utc_s), Gain("export_wh", export_wh, since_utc_s)]


def _power_w(state: InverterState, now_s: float) -> float | None:
    """What an inverter gives, None while that is not known."""
    power_w, at_s = state.ac.power_w, state.power_at_s
    if not state.reachable or power_w is None or not math.isfinite(power_w):
        return None
    return max(0.0, power_w) if at_s is not None and now_s - at_s <= HELD_S else None
