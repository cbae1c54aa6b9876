"""One step of control: a snapshot in, a decision out. The rungs: release, night, fail-safe, hold, regulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.control.allocate import Limits, Unit
from app.control.battery import BatteryRoom, lost_data
from app.control.commissioning import Commissioning
from app.control.deadtime import DeadTime
from app.control.delivery import Delivery
from app.control.failsafe import fail_safe_limits, wills
from app.control.faults import FaultBook
from app.control.gate import PriceGate
from app.control.inverter import RADIO_SLOT_S
from app.control.observer import Observer
from app.control.phases import PhaseRegulators
from app.control.plausibility import Plausibility
from app.control.polarity import Polarity
from app.control.policy import Goal, goal
from app.control.regulate import Regulation, Regulator
from app.control.rules import Rules
from app.control.safety import Freshness, Ladder, Trust, wrong_sign
from app.control.settings import ControlSettings
from app.control.standby import Standby, is_off
from app.model import Command, Decision, Gate, InverterState, Mode, Progress, Reading, Room, Snapshot, Switch

FOLLOW_UP_S = 4.0  # the first reading after a step shows part of it: so long a second command may follow the first


class Controller:
    """The law with its memory. The same sequence of snapshots always gives the same decisions."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._observer = Observer(settings)
        law = PhaseRegulators if settings.phases == "each" else Regulator
        self._regulator: Regulator | PhaseRegulators = law(settings, self._observer)
        self._plausibility = Plausibility(settings)
        self._delivery = Delivery()
        self._faults = FaultBook(settings.price.on_unknown)
        self._commissioning = Commissioning(settings)
        self._polarity = Polarity()
        self._serials: tuple[str, ...] = ()
        self._ladder: Ladder | None = None
        self._start_s = 0.0
        self._released: set[str] = set()
        self._gate = PriceGate(settings.price)
        self._standby = Standby()
        self._rules = Rules()
        self._battery = BatteryRoom(settings.battery) if settings.battery is not None else None
        self._was_failed = False

    def step(self, snapshot: Snapshot) -> Decision:
        """Decide what to command now."""
        if self._ladder is None:
            self._start_s = snapshot.now_s
            self._ladder = Ladder(self._settings, snapshot.now_s)
        snapshot = self._believed(snapshot)
        self._observer.update(snapshot.inverters, snapshot.meter.reading, snapshot.meter.interval_s)
        fresh = self._ladder.assess(snapshot.meter, snapshot.now_s)
        if self._commissioning.wrong_sign and snapshot.step_test is None:
            fresh = wrong_sign(fresh)
        units = self._units(snapshot)
        own_test = None if snapshot.step_test is not None else self._polarity.test(snapshot.now_s, snapshot.inverters)
        if own_test is not None:
            snapshot = replace(snapshot, step_test=own_test)
        resend = self._unconfirmed(snapshot, units)
        gate = self._gate.step(snapshot)
        aim = goal(snapshot.settings, gate, self._settings.export_limit_w)
        trusted = snapshot.meter.reading if fresh.trust is not Trust.FAIL_SAFE else None
        estimated = _estimated(snapshot, gate)
        rules, rulings = self._rules.step(snapshot, aim, trusted, estimated=estimated)
        decision = self._decide(snapshot, fresh, units, resend, aim)
        decision = replace(decision, gate=gate, rules=rules, rulings=rulings)
        decision = self._switch(snapshot, fresh, units, decision)
        self._polarity.observe(snapshot.now_s, fresh, decision.error_w, units)
        return self._finish(snapshot, fresh, decision, own=own_test is not None)

    def _believed(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the last reading that can be believed."""
        meter = self._plausibility.judge(snapshot.meter, snapshot.inverters)
        return snapshot if meter is snapshot.meter else replace(snapshot, meter=meter)

    def _finish(self, snapshot: Snapshot, fresh: Freshness, decision: Decision, *, own: bool) -> Decision:
        """Add what is wrong, what is known, and what the broker is to do. ``own``: nobody asked for the step test."""
        faults = self._faults.update(snapshot, fresh, decision, self._delivery, self._observer)
        self._serials = tuple(state.serial for state in snapshot.inverters if state.regulated)
        report = self._commissioning.close(snapshot, decision.reason, faults)
        measured = self._commissioning.measured()
        if measured is not None:
            self._observer[measured[0]].measured(measured[1])
        if own and report is not None and (self._commissioning.right_sign or report.state is not Progress.RUNNING):
            self._polarity.over(proven=self._commissioning.right_sign)  # one step is enough to know the sign
        return replace(
            decision,
            faults=faults,
            dead_times=tuple((serial, known.likely_s) for serial, known in self.learned.items()),
            step_test=None if own else report,
            wills=wills(snapshot, decision, self._settings.fail_safe_w),
        )

    @property
    def learned(self) -> dict[str, DeadTime]:
        """What is known of the dead time of each inverter that may be commanded, by serial."""
        return {serial: self._observer[serial].dead_time for serial in self._serials}

    def _decide(self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, aim: Goal) -> Decision:
        if not any(state.regulated for state in snapshot.inverters):
            return self._ruled(snapshot, fresh, aim)
        if aim.target_w is None:
            self._regulator.forget(snapshot.now_s)
            return self._release(snapshot, fresh, units, resend, aim)
        self._released.clear()
        if not units and not any(is_off(state) and state.reachable for state in snapshot.inverters):
            if any(state.enabled and state.rule is not None and state.reachable for state in snapshot.inverters):
                return self._ruled(snapshot, fresh, aim)
            unheard = any(state.regulated and state.reachable is None for state in snapshot.inverters)
            mode, reason = (
                (Mode.STARTING, "waiting to hear from the inverters")
                if unheard
                else (Mode.NIGHT, "no inverter can be reached")
            )
            return self._report(snapshot, fresh, mode, reason, [], aim.target_w)
        if fresh.trust is Trust.FAIL_SAFE:
            return self._fail_safe(snapshot, fresh, units, resend, aim)
        if aim.mode is Mode.SHUTDOWN:
            return self._shut_down(snapshot, fresh, units, resend, aim)
        reading = snapshot.meter.reading
        if fresh.trust is Trust.HOLD or reading is None:
            commands = [Command(serial, limit_w, "sent again") for serial, limit_w in resend.items()]
            mode = Mode.STARTING if fresh.age_s is None else Mode.HOLD
            return self._report(snapshot, fresh, mode, fresh.reason, commands, aim.target_w)
        return self._regulate(snapshot, fresh, units, resend, aim, reading)

    def _ruled(self, snapshot: Snapshot, fresh: Freshness, aim: Goal) -> Decision:
        """No inverter takes watts: what there is keeps to rules by itself, whether we know the grid power or not."""
        slow = [state for state in snapshot.inverters if state.enabled]
        mode, reason = aim.mode, aim.reason
        if not slow:
            refused = (state.refused for state in snapshot.inverters if state.refused)
            mode, reason = Mode.NIGHT, next(refused, "every inverter is disabled in the configuration")
        elif any(state.reachable is None for state in slow):
            mode, reason = Mode.STARTING, "waiting to hear from the inverters"
        return self._report(snapshot, fresh, mode, reason, [], aim.target_w)

    # -- the rungs below regulation ------------------------------------------------------------------

    def _release(self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, aim: Goal) -> Decision:
        """Open the inverters: once each while paused (again if that got lost), open while the price says so."""
        commands = []
        for unit in units:
            if unit.limit_w == unit.max_w:
                self._released.add(unit.serial)
                if unit.serial in resend:
                    commands.append(Command(unit.serial, unit.max_w, "sent again: not acknowledged"))
            elif unit.ready_to_raise and not (aim.mode is Mode.PAUSED and self._has_released(unit.serial)):
                commands.append(Command(unit.serial, unit.max_w, aim.reason))
        return self._report(snapshot, fresh, aim.mode, aim.reason, commands, None)

    def _has_released(self, serial: str) -> bool:
        """Whether that has been done, and arrived as far as the gateway tells."""
        return serial in self._released and not self._delivery.waiting(serial)

    def _fail_safe(
        self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, aim: Goal
    ) -> Decision:
        """Lower every inverter to its share of the fail-safe budget; never raise one on the way."""
        self._regulator.forget(snapshot.now_s, failed=True)
        shares = fail_safe_limits(units, snapshot.inverters, self._settings.fail_safe_w)
        commands = _lower(units, shares, resend, f"fail-safe: {fresh.reason}")
        return self._report(snapshot, fresh, Mode.FAIL_SAFE, fresh.reason, commands, aim.target_w)

    def _shut_down(
        self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, aim: Goal
    ) -> Decision:
        """Lower every inverter to its minimum; `_switch` switches off what may be."""
        self._regulator.forget(snapshot.now_s)
        commands = _lower(units, {unit.serial: unit.min_w for unit in units}, resend, aim.reason)
        return self._report(snapshot, fresh, aim.mode, aim.reason, commands, aim.target_w)

    # -- regulation ----------------------------------------------------------------------------------

    def _regulate(
        self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], resend: Limits, goal: Goal, reading: Reading
    ) -> Decision:
        target_w = 0.0 if goal.target_w is None else goal.target_w
        room = self._room(snapshot, reading, units, target_w)
        if room is not None and room.lost and self._settings.battery is not None and self._settings.battery.strict:
            return replace(self._fail_safe(snapshot, lost_data(snapshot), units, resend, goal), room=room)
        target_w = target_w if room is None else room.target_w
        wait = self._still_starting(snapshot, units)
        test = None if wait else self._commissioning.step(snapshot, goal)
        if test is not None:
            self._regulator.forget(snapshot.now_s)
            return self._report(snapshot, fresh, goal.mode, test.reason, test.commands, goal.target_w)
        result = self._regulator.step(snapshot.now_s, reading, target_w, units, resend, wait=wait, room=room)
        mode, reason = (Mode.STARTING, "waiting for the inverters' first reports") if wait else (goal.mode, goal.reason)
        if result.commands:
            reason = result.commands[0].reason
        elif not wait:
            room_w = 0.0 if room is None or room.room_w is None else room.room_w
            reason = self._situation(reading.power_w - target_w + room_w, units) or reason
        decision = self._report(snapshot, fresh, mode, reason, result.commands, goal.target_w, result)
        return replace(decision, room=room)

    def _room(self, snapshot: Snapshot, reading: Reading, units: Sequence[Unit], target_w: float) -> Room | None:
        """What the law regulates to beside a battery; None without one."""
        load = self._observer.whole_load()
        if self._battery is None or snapshot.battery is None or load is None:
            return None
        limit_w = sum(unit.ceiling_w for unit in units)
        return self._battery.step(snapshot.now_s, snapshot.battery, reading, load, limit_w, target_w)

    def _situation(self, error_w: float, units: Sequence[Unit]) -> str | None:
        """Why nothing is commanded although the grid power is off its target; None where it is not."""
        if not units:
            return "every inverter is switched off: the house takes too little"
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

    # -- switching off what is not needed ------------------------------------------------------------

    def _switch(self, snapshot: Snapshot, fresh: Freshness, units: list[Unit], decision: Decision) -> Decision:
        """Add what is to be switched. Fail-safe leaves off what is off."""
        if not self._settings.switch_off:
            return decision
        states = [state for state in snapshot.inverters if state.regulated and state.switchable]
        may_be = {state.serial for state in states}
        always_w = sum(unit.min_w for unit in units if unit.serial not in may_be)
        units = [unit for unit in units if unit.serial in may_be]
        self._standby.observe(states, snapshot.now_s)
        if decision.mode is Mode.FAIL_SAFE:
            self._was_failed = True
        target_w, load_w = decision.target_w, self._observer.load_w()
        switches: list[Switch] = []
        commands: list[Command] = []
        if target_w is None:
            switches, commands = self._standby.wake(states, snapshot.now_s, decision.reason)
        elif decision.mode is Mode.SHUTDOWN:
            switches, commands = self._standby.step(states, units, 0.0, snapshot.now_s, why=decision.reason)
        elif fresh.trust is not Trust.FRESH or load_w is None or snapshot.step_test is not None:
            self._standby.forget()
        elif self._was_failed:
            self._was_failed = any(is_off(state) and state.reachable for state in states)
            switches, commands = self._standby.wake(states, snapshot.now_s, "the grid meter is back")
        else:
            left_w = load_w - min(0.0, target_w) - always_w
            switches, commands = self._standby.step(states, units, left_w, snapshot.now_s)
        return replace(decision, switches=tuple(switches), commands=(*decision.commands, *commands))

    # -- the fleet -----------------------------------------------------------------------------------

    def _units(self, snapshot: Snapshot) -> list[Unit]:
        return [
            self._unit(state, snapshot)
            for state in snapshot.inverters
            if state.regulated and state.reachable and not is_off(state)
        ]

    def _unit(self, state: InverterState, snapshot: Snapshot) -> Unit:
        model = self._observer[state.serial]
        limit_w = model.limit_w
        since_s = snapshot.now_s - state.commanded_at_s if state.commanded_at_s is not None else float("inf")
        in_flight = model.in_flight(snapshot.now_s)
        backlog_s = self._observer.radio_free_s(state.radio) - snapshot.now_s
        return Unit(
            serial=state.serial,
            min_w=state.min_w,
            max_w=state.max_w,
            limit_w=limit_w,
            power_w=model.planned_w(),
            bound=model.bound,
            ready_to_cut=since_s >= self._settings.cut_interval_s and (in_flight <= 1 or since_s < FOLLOW_UP_S),
            ready_to_raise=backlog_s <= 0.1
            and since_s >= max(self._settings.min_command_interval_s, state.pace_s)
            and in_flight <= (since_s < FOLLOW_UP_S),
            step_w=state.step_w,
            radio=state.radio,
            phase=state.phase if self._settings.phases == "each" else None,
            slots=2 if backlog_s <= 0.1 else 1 if backlog_s <= RADIO_SLOT_S + 0.1 else 0,
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
        """What the sun gives now: estimated for the inverters that are controlled, last reported for the others.

        None while one that may produce is unheard of. One that cannot be reached and never was is asleep: that is 0 W.
        """
        powers: list[float | None] = []
        for state in snapshot.inverters:
            if state.power_at_s is None:
                powers.append(0.0 if state.reachable is False else None)
            elif state.regulated and state.reachable and self._observer[state.serial].estimate_w is not None:
                powers.append(self._observer[state.serial].estimate_w)
            else:
                powers.append(state.ac.power_w)
        return _sum(powers)

    # -- the answer ----------------------------------------------------------------------------------

    def _report(
        self,
        snapshot: Snapshot,
        fresh: Freshness,
        mode: Mode,
        reason: str,
        commands: list[Command],
        target_w: float | None,
        result: Regulation | None = None,
    ) -> Decision:
        reading = snapshot.meter.reading if fresh.trust is not Trust.FAIL_SAFE else None
        grid_w = reading.power_w if reading is not None else None
        pv_w = self._pv_w(snapshot)
        load_w = max(0.0, grid_w + pv_w) if grid_w is not None and pv_w is not None else None
        sent = {command.serial: command.limit_w for command in commands}
        limits = [sent.get(s.serial, self._observer[s.serial].limit_w) for s in snapshot.inverters if s.regulated]
        return Decision(
            mode=mode,
            reason=reason,
            commands=tuple(commands),
            target_w=target_w,
            grid_w=grid_w,
            pv_w=pv_w,
            load_w=load_w,
            limit_w=_sum(limits),
            error_w=grid_w - target_w if grid_w is not None and target_w is not None else None,
            setpoint_w=result.ceiling.watts if result is not None else None,
            trim_p_w=result.terms.p_w if result is not None else None,
            trim_i_w=result.terms.i_w if result is not None else None,
            trim_d_w=result.terms.d_w if result is not None else None,
        )


def _estimated(snapshot: Snapshot, gate: Gate | None) -> bool:
    """Whether the price decides, and is known by an estimate only."""
    price = snapshot.price
    decides = snapshot.settings.enabled and gate is not None and not gate.by_hand
    return decides and price is not None and price.export_value_c is not None and price.estimated


def _lower(units: Sequence[Unit], limits: Limits, resend: Limits, reason: str) -> list[Command]:
    """Commands down to these limits at most; what was not acknowledged is sent again."""
    commands = []
    for unit in units:
        limit_w = min(limits[unit.serial], unit.ceiling_w)
        if unit.limit_w is None or limit_w < unit.limit_w - 0.05 or unit.serial in resend:
            commands.append(Command(unit.serial, limit_w, reason))
    return commands


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) and known else None
