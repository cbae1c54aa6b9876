"""Which inverters to switch off while the house takes less than all their minima, and when to switch them on again.

A limit cannot go below the minimum, so the rest would be exported. Switching is slow and seldom: every condition must
hold for a while, and an inverter rests in either state.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.control.allocate import Unit
from app.model import Command, InverterState, Switch

OFF_AFTER_S, ON_AFTER_S = 60.0, 30.0
REST_S = 300.0  # at least so long in a state
MARGIN_W = 15.0  # beyond the minima, before another one is switched on
AGAIN_S = 60.0  # a switch that seems lost is sent again; the radio does not repeat it
TRIES = 3
FEEDS_W = 5.0  # reported by one that should be off: it is not

Turn = tuple[list[Switch], list[Command]]


class Standby:
    """Told what the house leaves to the inverters, it answers with what to switch."""

    def __init__(self) -> None:
        self._state: dict[str, bool | None] = {}
        self._since_s: dict[str, float] = {}  # by serial: when it went into this state
        self._asked_s: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._too_little_s: float | None = None  # since when the house takes too little, or more than enough
        self._enough_s: float | None = None
        self._told_s = float("-inf")  # when they were last to be off whatever the house takes

    def observe(self, states: Sequence[InverterState], now_s: float) -> None:
        """Take in what was switched."""
        for state in states:
            before = self._state.get(state.serial)
            self._state[state.serial] = state.power_on
            if state.serial not in self._since_s or (before is None) != (state.power_on is None):
                self._since_s[state.serial] = float("-inf")
            if state.power_on is not None and before is not state.power_on:
                self._since_s[state.serial], self._tries[state.serial] = now_s, 0

    def forget(self) -> None:
        """What the house takes is not known, or does not matter now."""
        self._too_little_s = self._enough_s = None

    def wake(self, states: Sequence[InverterState], now_s: float, reason: str) -> Turn:
        """Switch everything on again, each at its minimum first; also what somebody may have switched off before us."""
        self.forget()
        again = [switch for switch in self._again(states, now_s) if switch.on]
        switches, commands = self._on([state for state in states if is_off(state)], now_s, reason)
        return again + switches, commands

    def step(
        self,
        states: Sequence[InverterState],
        units: Sequence[Unit],
        left_w: float,
        now_s: float,
        why: str | None = None,
    ) -> Turn:
        """``left_w``: what the inverters may feed together without an export; ``units``: those that are on.

        ``why``: the reason for switching off, where it is not what the house takes. Once that is over, whatever has
        room comes back at once.
        """
        if why is not None:
            self._told_s = now_s
        resting = now_s - self._told_s > REST_S
        again = [switch for switch in self._again(states, now_s) if not (why and switch.on)]
        if again:
            return again, []
        minima_w = sum(unit.min_w for unit in units)
        off = sorted((s for s in states if is_off(s) and s.reachable), key=lambda state: state.min_w)
        waking = _fitting(off, left_w - minima_w - MARGIN_W) if not resting or self._rested(off, now_s) else []
        low = bool(units) and all(unit.ceiling_w <= unit.min_w + 0.5 for unit in units)
        self._too_little_s = _since(self._too_little_s, now_s, holds=left_w < minima_w - 1.0 and low)
        self._enough_s = _since(self._enough_s, now_s, holds=bool(waking))
        if self._enough_s is not None and (not resting or now_s - self._enough_s >= ON_AFTER_S):
            return self._on(waking, now_s, "the house takes more again" if resting else "no longer shut down")
        if self._too_little_s is None or now_s - self._too_little_s < OFF_AFTER_S or not self._rested(units, now_s):
            return [], []
        chosen = needless(units, minima_w - left_w)
        reason = why or f"the house takes {left_w:.0f} W, less than the inverters' minimum of {minima_w:.0f} W"
        return [self._ask(unit.serial, now_s, reason, on=False) for unit in chosen], []

    def _on(self, states: Sequence[InverterState], now_s: float, reason: str) -> Turn:
        """Switch on; one whose limit is not at its minimum gets that first."""
        switches, commands = [], []
        for state in states:
            if not state.reachable or now_s - self._asked_s.get(state.serial, float("-inf")) < 5.0:
                continue
            if state.commanded_w is None or state.commanded_w > state.min_w + 0.5:
                commands.append(Command(state.serial, state.min_w, "the minimum, before it is switched on"))
                self._asked_s[state.serial] = now_s
            else:
                switches.append(self._ask(state.serial, now_s, reason, on=True))
        return switches, commands

    def _again(self, states: Sequence[InverterState], now_s: float) -> list[Switch]:
        """What its reports show in the other state than it was switched to; or in none, as nobody knows."""
        again = []
        for state in states:
            asked_s = max(self._asked_s.get(state.serial, float("-inf")), self._since_s[state.serial])
            told = state.power_at_s is not None and state.power_at_s > asked_s + 0.5 * AGAIN_S
            if not state.reachable or not told or now_s - asked_s < AGAIN_S:
                continue
            feeds = (state.ac.power_w or 0.0) > FEEDS_W
            silent = state.producing is False and not feeds
            lost = feeds if state.power_on is False else silent
            if lost and self._tries.get(state.serial, 0) < TRIES:
                self._tries[state.serial] = self._tries.get(state.serial, 0) + 1
                reason = "it feeds although it is off" if feeds else "it may still be switched off"
                again.append(self._ask(state.serial, now_s, reason, on=not feeds))
        return again

    def _ask(self, serial: str, now_s: float, reason: str, *, on: bool) -> Switch:
        self._asked_s[serial] = now_s
        self.forget()
        return Switch(serial, on, reason)

    def _rested(self, those: Sequence[InverterState | Unit], now_s: float) -> bool:
        return all(now_s - self._since_s[one.serial] >= REST_S for one in those)


def is_off(state: InverterState) -> bool:
    """Whether it was switched off, and nothing has happened since that may have switched it on."""
    return state.enabled and state.power_on is False


def needless(units: Sequence[Unit], excess_w: float) -> list[Unit]:
    """As few inverters as possible whose minima are at least the excess, and no more than needed; else all of them."""
    chosen: list[Unit] = []
    rest = sorted(units, key=lambda unit: unit.min_w)
    while rest and excess_w > 0.0:
        unit = next((one for one in rest if one.min_w >= excess_w), rest[-1])
        rest.remove(unit)
        chosen.append(unit)
        excess_w -= unit.min_w
    return chosen


def _fitting(states: Sequence[InverterState], room_w: float) -> list[InverterState]:
    """As many as fit, the smallest first."""
    fitting = []
    for state in states:
        if state.min_w > room_w:
            break
        fitting.append(state)
        room_w -= state.min_w
    return fitting


def _since(since_s: float | None, now_s: float, *, holds: bool) -> float | None:
    return (now_s if since_s is None else since_s) if holds else None
