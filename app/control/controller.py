"""One step of control: a snapshot in, a decision out. The rungs: release, night, fail-safe, hold, regulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.control.allocate import Limits, Ranged, Unit, spread
from app.control.delivery import Delivery
from app.control.faults import FaultBook
from app.control.observer import Observer
from app.control.policy import Goal, goal
from app.control.regulate import Regulator
from app.control.safety import Freshness, Ladder, Trust
from app.control.settings import ControlSettings
from app.model import Command, Decision, InverterState, Mode, Reading, Snapshot


class Controller:
    """The law with its memory. The same sequence of snapshots always gives the same decisions."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._observer = Observer(settings)
        self._regulator = Regulator(settings, self._observer)
        self._delivery = Delivery()
        self._faults = FaultBook()
        self._ladder: Ladder | None = None
        self._start_s = 0.0
        self._released: set[str] = set()
        self._load_w: float | None = None
        self._opened = False

    def step(self, snapshot: Snapshot) -> Decision:
        """Decide what to command now."""
        if self._ladder is None:
            self._start_s = snapshot.now_s
            self._ladder = Ladder(self._settings, snapshot.now_s)
        self._observer.update(snapshot.inverters, snapshot.meter.reading)
        fresh = self._ladder.assess(snapshot.meter, snapshot.now_s)
        units = self._units(snapshot)
        resend = self._unconfirmed(snapshot, units)
        decision = self._decide(snapshot, fresh, units, resend)
        faults = self._faults.update(snapshot, fresh, decision, self._delivery, self._observer)
        return replace(decision, faults=faults)

    def _decide(self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits) -> Decision:
        own = self._settings
        aim = goal(snapshot.settings, snapshot.price, own.export_limit_w, own.export_threshold_c, opened=self._opened)
        self._opened = aim.mode is Mode.OPEN
        if aim.target_w is None:
            self._regulator.forget(snapshot.now_s)
            return self._release(snapshot, fresh, units, resend, aim)
        self._released.clear()
        if not units:
            unheard = any(state.enabled and state.reachable is None for state in snapshot.inverters)
            mode, reason = (
                (Mode.STARTING, "waiting to hear from OpenDTU")
                if unheard
                else (Mode.NIGHT, "no inverter can be reached")
            )
            if not any(state.enabled for state in snapshot.inverters):
                reason = "every inverter is disabled in the configuration"
            return self._report(snapshot, fresh, mode, reason, [], aim.target_w)
        if fresh.trust is Trust.FAIL_SAFE:
            return self._fail_safe(snapshot, fresh, units, resend, aim)
        reading = snapshot.meter.reading
        if fresh.trust is Trust.HOLD or reading is None:
            commands = [Command(serial, limit_w, "sent again") for serial, limit_w in resend.items()]
            mode = Mode.STARTING if fresh.age_s is None else Mode.HOLD
            return self._report(snapshot, fresh, mode, fresh.reason, commands, aim.target_w)
        return self._regulate(snapshot, fresh, units, resend, aim, reading)

    # -- the rungs below regulation ------------------------------------------------------------------

    def _release(self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, aim: Goal) -> Decision:
        """Open the inverters: once each while paused (again if that got lost), open while the price says so."""
        commands = []
        for unit in units:
            if unit.limit_w == unit.max_w:
                self._released.add(unit.serial)
                if unit.serial in resend:
                    commands.append(Command(unit.serial, unit.max_w, "sent again: not acknowledged"))
            elif unit.ready_to_raise and not (aim.mode is Mode.PAUSED and unit.serial in self._released):
                commands.append(Command(unit.serial, unit.max_w, aim.reason))
        return self._report(snapshot, fresh, aim.mode, aim.reason, commands, None)

    def _fail_safe(
        self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, aim: Goal
    ) -> Decision:
        """Lower every inverter to its share of the fail-safe budget; never raise one on the way."""
        self._regulator.forget(snapshot.now_s, failed=True)
        shares = fail_safe_limits(units, self._settings.fail_safe_w)
        commands = []
        for unit in units:
            limit_w = min(shares[unit.serial], unit.ceiling_w)
            if unit.limit_w is None or limit_w < unit.limit_w - 0.05 or unit.serial in resend:
                commands.append(Command(unit.serial, limit_w, f"fail-safe: {fresh.reason}", urgent=True))
        return self._report(snapshot, fresh, Mode.FAIL_SAFE, fresh.reason, commands, aim.target_w)

    # -- regulation ----------------------------------------------------------------------------------

    def _regulate(
        self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, goal: Goal, reading: Reading
    ) -> Decision:
        target_w = 0.0 if goal.target_w is None else goal.target_w
        wait = self._still_starting(snapshot, units)
        result = self._regulator.step(snapshot.now_s, reading, target_w, units, resend, wait=wait)
        mode, reason = (Mode.STARTING, "waiting for the inverters' first reports") if wait else (goal.mode, goal.reason)
        if result.commands:
            reason = result.commands[0].reason
        elif not wait:
            reason = self._situation(reading.power_w - target_w, units) or reason
        decision = self._report(snapshot, fresh, mode, reason, result.commands, goal.target_w)
        return replace(
            decision,
            setpoint_w=result.ceiling.high_w if units else None,
            trim_p_w=result.terms.p_w,
            trim_i_w=result.terms.i_w,
            trim_d_w=result.terms.d_w,
        )

    def _situation(self, error_w: float, units: Sequence[Unit]) -> str | None:
        """Why nothing is commanded although the grid power is off its target; None where it is not."""
        if abs(error_w) <= 3.0 * self._settings.deadband_w:
            return None
        if not all(self._observer[unit.serial].settled for unit in units):
            return "waiting for the inverters to follow"
        if error_w > 0.0 and not any(unit.bound and unit.ceiling_w < unit.max_w for unit in units):
            return "the house takes all that the sun gives"
        if error_w < 0.0 and all(unit.ceiling_w <= unit.min_w for unit in units):
            return "every inverter is at its minimum"
        return None

    def _still_starting(self, snapshot: Snapshot, units: Sequence[Unit]) -> bool:
        unheard = any(u.limit_w is None and not self._observer[u.serial].settled for u in units)
        return unheard and snapshot.now_s - self._start_s < self._settings.start_grace_s

    # -- the fleet -----------------------------------------------------------------------------------

    def _units(self, snapshot: Snapshot) -> list[Unit]:
        return [self._unit(state, snapshot) for state in snapshot.inverters if state.enabled and state.reachable]

    def _unit(self, state: InverterState, snapshot: Snapshot) -> Unit:
        model = self._observer[state.serial]
        reading = snapshot.meter.reading
        to_s = reading.at_s if reading is not None else snapshot.now_s
        _, high_w = model.power(to_s - self._settings.meter_window_s, to_s)
        limit_w = model.limit_w
        most_w = state.max_w if high_w is None else high_w
        since_s = snapshot.now_s - state.commanded_at_s if state.commanded_at_s is not None else float("inf")
        return Unit(
            serial=state.serial,
            min_w=state.min_w,
            max_w=state.max_w,
            limit_w=limit_w,
            power_w=most_w if limit_w is None else min(most_w, limit_w),
            bound=model.bound,
            ready_to_cut=since_s >= self._settings.cut_interval_s,
            ready_to_raise=since_s >= self._settings.min_command_interval_s,
        )

    def _unconfirmed(self, snapshot: Snapshot, units: Sequence[Unit]) -> Limits:
        """Limits to send again, because the gateway has never shown them as acknowledged."""
        known = {unit.serial: unit.limit_w for unit in units}
        resend: Limits = {}
        for state in snapshot.inverters:
            again = self._delivery.observe(state, snapshot.now_s, len(snapshot.inverters))
            limit_w = known.get(state.serial)
            if again and limit_w is not None:
                resend[state.serial] = limit_w
        return resend

    def _pv_w(self, snapshot: Snapshot) -> float | None:
        """What the sun gives now: the last reports, carried forward by the limits that came into force since.

        Of what it may be, the value that leaves the load as it was.
        None while an inverter that may produce is unheard of. One that cannot be reached and never was is asleep:
        that is 0 W, not unknown.
        """
        reading = snapshot.meter.reading
        to_s = reading.at_s if reading is not None else snapshot.now_s
        lows: list[float | None] = []
        highs: list[float | None] = []
        for state in snapshot.inverters:
            if state.power_at_s is None:
                unheard_w = 0.0 if state.reachable is False else None
                lows.append(unheard_w)
                highs.append(unheard_w)
                continue
            low, high = self._observer[state.serial].power(to_s, to_s)
            lows.append(low)
            highs.append(high)
        least_w, most_w = _sum(lows), _sum(highs)
        if least_w is None or most_w is None or reading is None:
            return most_w
        likely_w = (least_w + most_w) / 2.0 if self._load_w is None else self._load_w - reading.power_w
        return min(most_w, max(least_w, likely_w))

    # -- the answer ----------------------------------------------------------------------------------

    def _report(
        self,
        snapshot: Snapshot,
        fresh: Freshness,
        mode: Mode,
        reason: str,
        commands: list[Command],
        target_w: float | None,
    ) -> Decision:
        reading = snapshot.meter.reading if fresh.trust is not Trust.FAIL_SAFE else None
        grid_w = reading.power_w if reading is not None else None
        pv_w = self._pv_w(snapshot)
        self._load_w = max(0.0, grid_w + pv_w) if grid_w is not None and pv_w is not None else None
        sent = {command.serial: command.limit_w for command in commands}
        limits = [sent.get(s.serial, self._observer[s.serial].limit_w) for s in snapshot.inverters if s.enabled]
        return Decision(
            mode=mode,
            reason=reason,
            commands=tuple(commands),
            target_w=target_w,
            grid_w=grid_w,
            pv_w=pv_w,
            load_w=self._load_w,
            limit_w=_sum(limits),
            error_w=grid_w - target_w if grid_w is not None and target_w is not None else None,
        )


def fail_safe_limits(units: Sequence[Ranged], budget_w: float | None) -> Limits:
    """Each inverter's share of the site's fail-safe budget; its minimum where there is no budget."""
    return spread(units, sum(unit.min_w for unit in units) if budget_w is None else budget_w)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) and known else None
