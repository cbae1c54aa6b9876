"""The law: from one fresh reading to the commands that bring the grid power to its target.

ceiling = household load - target + trim, with the load as the observer knows it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from app.control import allocate
from app.control.allocate import Limits, Unit
from app.control.appliances import Appliances, Reaction
from app.control.inverter import RAMP_UP_PER_S
from app.control.observer import Observer
from app.control.pid import Terms, Trim
from app.control.settings import ControlSettings
from app.model import Command, Reading, Room

POLL_INTERVAL_S = 5.0  # OpenDTU hears one inverter every so often, in turn
RECOVERY_W_PER_S = 100.0  # how fast the site may rise after a fail-safe
RECOVERY_S = 10.0
CALM_S, CALM_DEAD_TIMES = 8.0, 4.0  # after this long without a command, small deviations are worth one
HISTORY = 256


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the controlled inverters may give together, from one reading."""

    at_s: float
    watts: float


@dataclass(frozen=True, slots=True)
class Regulation:
    """The outcome of one step of the law."""

    commands: list[Command]
    ceiling: Ceiling
    terms: Terms


class Regulator:
    """The law with its memory, for all phases together or for one of them."""

    def __init__(self, settings: ControlSettings, observer: Observer, phase: int | None = None) -> None:
        self._settings = settings
        self._phase = phase
        self._observer = observer
        self._trim = Trim(settings.integral_per_s)
        self._appliances = Appliances()
        self._ceilings: deque[Ceiling] = deque(maxlen=HISTORY)
        self._failed_at_s: float | None = None
        self._delay_s = 1.0
        self._plan_w = 0.0
        self._room: Room | None = None
        self._raised_s = float("-inf")
        self._commanded_s = float("-inf")

    def forget(self, now_s: float, *, failed: bool = False) -> None:
        """Regulation is interrupted; after a fail-safe it will come back gently."""
        self._ceilings.clear()
        self._appliances.forget()
        if failed:
            self._failed_at_s = now_s
            self._trim.reset()

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
        """Work in one reading. ``wait``: take it in, and command nothing yet. ``room``: of a battery."""
        self._room = room
        share = 1.0 if self._phase is None else 1.0 / 3.0
        room_w = 0.0 if room is None or room.room_w is None else share * room.room_w
        battery_w = 0.0 if room is None else share * room.battery_w
        error_w = reading.power_w - target_w + room_w
        regulates = abs(room_w) >= 2.0 * self._settings.deadband_w  # a battery that could take or give more does
        terms = self._correct(error_w, reading.at_s, units, allowed=not regulates)
        self._delay_s = max((self._observer[u.serial].dead_time.likely_s for u in units), default=1.0)
        new = not self._ceilings or reading.at_s > self._ceilings[-1].at_s
        if new:
            reaction = Reaction(
                delay_s=0.8 + self._delay_s,
                rise_w_per_s=sum(RAMP_UP_PER_S * unit.max_w for unit in units),
                export_weight=self._settings.export_weight,
            )
            house_w = (self._observer.load_w(self._phase) or 0.0) + room_w - battery_w
            self._plan_w = self._appliances.plan_w(house_w, reading.at_s, reaction) + battery_w
        ceiling = Ceiling(reading.at_s, self._plan_w - target_w + terms.trim_w)
        if new:
            self._ceilings.append(ceiling)
        commands = [] if wait else self._commands(now_s, ceiling, target_w, units, resend)
        if commands:
            self._commanded_s = now_s
        return Regulation(commands, ceiling, terms)

    def _correct(self, error_w: float, reading_s: float, units: Sequence[Unit], *, allowed: bool) -> Terms:
        """Step the trim, only while power follows the limits, and not for errors that nobody acts on."""
        dt_s = min(5.0, max(0.0, reading_s - self._ceilings[-1].at_s)) if self._ceilings else 0.0
        free = any(unit.bound and unit.min_w < unit.ceiling_w < unit.max_w for unit in units)
        settled = all(self._observer[unit.serial].settled for unit in units)
        worth_it = self._settings.deadband_w <= abs(error_w) < 100.0
        limit_w = 20.0 + 0.05 * sum(unit.ceiling_w for unit in units)
        return self._trim.step(error_w, dt_s, limit_w=limit_w, follow=allowed and free and settled and worth_it)

    def _commands(
        self, now_s: float, ceiling: Ceiling, target_w: float, units: list[Unit], resend: Limits
    ) -> list[Command]:
        """First what is unknown, then what exports, then unused ceilings, then what could follow the load."""
        unknown = [unit for unit in units if unit.limit_w is None]
        if unknown:
            return _bring_in(unknown, units, ceiling.watts)
        band_w = self._settings.deadband_w
        calm = now_s - self._commanded_s > CALM_S + CALM_DEAD_TIMES * self._delay_s
        excess_w = sum(unit.power_w for unit in units) - ceiling.watts
        if excess_w > (band_w if calm else max(band_w, target_w)):
            lowered = allocate.cut(units, excess_w)
            return _all(lowered, f"cut: {excess_w:.0f} W too much") + _again(resend, lowered)
        tightened = allocate.tighten(units, self._surely_enough_w(len(units)), band_w)
        if tightened:
            return _all(tightened, "closing an unused ceiling to what the house takes")
        raised = allocate.loosen(units, self._raise_to_w(now_s, units), band_w if calm else 2.0 * band_w)
        if raised:
            self._raised_s = now_s
        return _all(raised, "raise: the house takes more") + _again(resend, raised)

    def _surely_enough_w(self, fleet: int) -> float:
        """The highest ceiling since every inverter was heard: what lies above it nobody has needed.

        A drop of the grid power between two reports may be the sun and not the load; only the reports tell.
        """
        since_s = self._ceilings[-1].at_s - POLL_INTERVAL_S * (1 + fleet)
        return max(ceiling.watts for ceiling in self._ceilings if ceiling.at_s >= since_s)

    def _raise_to_w(self, now_s: float, units: Sequence[Unit]) -> float:
        """The ceiling that raises may go up to: the last one, and no faster than allowed."""
        safe_w = self._ceilings[-1].watts
        rates = [self._settings.max_raise_w_per_s] if self._settings.max_raise_w_per_s else []
        if self._failed_at_s is not None and now_s - self._failed_at_s < RECOVERY_S:
            rates.append(RECOVERY_W_PER_S)
        if self._room is not None and self._room.raise_w_per_s is not None:
            rates.append(self._room.raise_w_per_s)
        if not rates:
            return safe_w
        pause_s = min(now_s - self._raised_s, self._settings.min_command_interval_s)
        return min(safe_w, sum(unit.ceiling_w for unit in units) + min(rates) * pause_s)


def _bring_in(unknown: list[Unit], units: list[Unit], low_w: float) -> list[Command]:
    """Command the inverters whose limit is unknown, within what the others leave of the safe ceiling."""
    known_w = sum(unit.ceiling_w for unit in units if unit.limit_w is not None)
    shares = allocate.spread(unknown, max(0.0, low_w - known_w))
    return [
        Command(u.serial, shares[u.serial], "a first limit: until now it is unknown") for u in unknown if u.ready_to_cut
    ]


def _again(resend: Limits, changed: Limits) -> list[Command]:
    """What was not acknowledged and is not replaced by something newer."""
    again = {serial: limit_w for serial, limit_w in resend.items() if serial not in changed}
    return _all(again, "sent again: not acknowledged")


def _all(limits: Limits, reason: str) -> list[Command]:
    return [Command(serial, limit_w, reason) for serial, limit_w in limits.items()]
