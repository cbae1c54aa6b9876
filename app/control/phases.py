"""Each phase held on its own: a law per phase, and inverters of three phases that obey the strictest of them.

An inverter that feeds three phases alike stands in each of them as a third of itself. It is lowered as soon as one
phase asks for it, and raised only where all three have room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from app.control.allocate import Limits, Unit, cut
from app.control.observer import Observer
from app.control.pid import Terms
from app.control.regulate import Ceiling, Regulation, Regulator
from app.control.settings import ControlSettings
from app.model import Command, Reading, Room

PHASES = (1, 2, 3)
LEAST_STEP_W = 40.0
YIELD_S, BETWEEN_S = 20.0, 60.0  # how long nobody takes the room that is made, and from one such step to the next
NOISE = 3**-0.5  # of the deadband: the load of one phase moves less than that of three


class PhaseRegulators:
    """Three laws that share the inverters, in place of the one on the sum."""

    def __init__(self, settings: ControlSettings, observer: Observer) -> None:
        rate = settings.max_raise_w_per_s
        own = replace(
            settings,
            deadband_w=NOISE * settings.deadband_w,
            max_raise_w_per_s=None if rate is None else rate / 3.0,
        )
        self._band_w = own.deadband_w
        self._regulators = {phase: Regulator(own, observer, phase) for phase in PHASES}
        self._observer = observer
        self._yielded: tuple[str, ...] = ()
        self._yielded_s = float("-inf")
        self._rooms_w: dict[int, float] = {}  # by phase: what its inverters lacked to its ceiling, by the last reading

    def forget(self, now_s: float, *, failed: bool = False) -> None:
        """Regulation is interrupted; after a fail-safe it will come back gently."""
        self._rooms_w.clear()
        for regulator in self._regulators.values():
            regulator.forget(now_s, failed=failed)

    def step(
        self,
        now_s: float,
        reading: Reading,
        target_w: float,
        units: list[Unit],
        resend: Limits,
        *,
        wait: bool,
        room: Room | None = None,
    ) -> Regulation:
        """Work in one reading; each phase aims at a third of the target."""
        three = {unit.serial: unit for unit in units if unit.phase is None}
        again = {serial: limit_w for serial, limit_w in resend.items() if serial not in three}
        together = bool(self._rooms_w) and min(self._rooms_w.values()) > 3.0 * self._band_w
        if self._yielding(now_s):
            units = [replace(unit, ready_to_raise=False) for unit in units]
            three = {unit.serial: unit for unit in units if unit.phase is None}
        first = [unit for unit in three.values() if _may_rise(unit)] if together else []
        taken: Counter[str] = Counter()
        commands: list[Command] = []
        asked: dict[str, list[Command]] = {serial: [] for serial in three}
        results: list[Regulation] = []
        for phase in sorted(PHASES, key=lambda number: reading.phases[number - 1].power_w or 0.0):
            power_w = reading.phases[phase - 1].power_w or 0.0
            here = [_on_phase(unit, taken[unit.radio], first) for unit in units if unit.phase in (None, phase)]
            own = {unit.serial: limit_w for unit in here if (limit_w := again.get(unit.serial)) is not None}
            result = self._regulators[phase].step(
                now_s, replace(reading, power_w=power_w), target_w / 3.0, here, own, wait=wait, room=room
            )
            self._rooms_w[phase] = result.ceiling.watts - sum(unit.reach_w for unit in here)
            results.append(result)
            for command in result.commands:
                if command.serial in three:
                    asked[command.serial].append(command)
                else:
                    commands.append(command)
                    taken[_radio(units, command.serial)] += 1
        for unit in three.values():
            joint = _strictest(unit, asked[unit.serial], resend.get(unit.serial))
            commands += [joint] if joint is not None and not wait else []
        if not commands and not wait:
            commands = self._make_room(now_s, units)
        return Regulation(commands, _total([result.ceiling for result in results]), _sum(results))

    def _yielding(self, now_s: float) -> bool:
        """Whether room is being made: until then nobody takes it."""
        moving = any(not self._observer[serial].settled for serial in self._yielded)
        return moving and now_s - self._yielded_s < YIELD_S

    def _make_room(self, now_s: float, units: Sequence[Unit]) -> list[Command]:
        """Lower inverters of single phases for one of three that only they hold down: it gains more than they lose."""
        rising = [unit for unit in units if unit.phase is None and _may_rise(unit)]
        full = [phase for phase in PHASES if self._rooms_w[phase] <= 3.0 * self._band_w]
        if not rising or not full or len(full) == len(PHASES) or now_s - self._yielded_s < BETWEEN_S:
            return []
        if not all(self._observer[unit.serial].settled for unit in units):
            return []
        single = {phase: [unit for unit in units if unit.phase == phase] for phase in full}
        step_w = min(
            max((unit.max_w - (unit.limit_w or 0.0)) / 3.0 for unit in rising),
            *(room_w for phase, room_w in self._rooms_w.items() if phase not in full),
            *(sum(unit.power_w - unit.min_w for unit in single[phase]) for phase in full),
        )
        if step_w < LEAST_STEP_W:
            return []
        limits = {serial: watts for phase in full for serial, watts in cut(single[phase], step_w).items()}
        self._yielded, self._yielded_s = tuple(limits), now_s
        return [Command(serial, watts, "making room for one of three phases") for serial, watts in limits.items()]


def _may_rise(unit: Unit) -> bool:
    return unit.bound and unit.ready_to_raise and unit.limit_w is not None and unit.limit_w < unit.max_w


def _on_phase(unit: Unit, taken: int, first: Sequence[Unit]) -> Unit:
    """An inverter as one phase sees it, while its radio has been given ``taken`` commands in this step.

    While those of three phases may rise, the others wait: later they fill what is left on theirs.
    """
    if unit.phase is not None:
        return replace(
            unit,
            slots=max(0, unit.slots - taken),
            ready_to_raise=unit.ready_to_raise and not taken and not first,
        )
    return replace(
        unit,
        min_w=unit.min_w / 3.0,
        max_w=unit.max_w / 3.0,
        limit_w=None if unit.limit_w is None else unit.limit_w / 3.0,
        power_w=unit.power_w / 3.0,
    )


def _strictest(unit: Unit, asked: Sequence[Command], resend_w: float | None) -> Command | None:
    """One limit out of what the phases ask for thirds of an inverter."""
    lowest = min(asked, key=lambda command: command.limit_w, default=None)
    if lowest is not None and (
        unit.limit_w is None or 3.0 * lowest.limit_w < unit.limit_w or len(asked) == len(PHASES)
    ):
        return replace(lowest, limit_w=unit.clamp(3.0 * lowest.limit_w))
    return Command(unit.serial, resend_w, "sent again: not acknowledged") if resend_w is not None else None


def _radio(units: Sequence[Unit], serial: str) -> str:
    return next(unit.radio for unit in units if unit.serial == serial)


def _total(ceilings: Sequence[Ceiling]) -> Ceiling:
    return Ceiling(ceilings[0].at_s, sum(ceiling.watts for ceiling in ceilings))


def _sum(results: Sequence[Regulation]) -> Terms:
    terms = [result.terms for result in results]
    return Terms(sum(t.p_w for t in terms), sum(t.i_w for t in terms), sum(t.d_w for t in terms))
