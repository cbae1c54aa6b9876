"""The household load, from grid readings that are fresh and inverter reports that are old.

What an inverter gives now lies between bounds: a limit takes effect somewhere within the learned range of dead times,
and a raise only as far as the sun goes. Of all the loads that this allows, the household is taken to have the one
nearest to what it had before: it moves only as far as the evidence forces it to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from app.control.failsafe import may_feed_w
from app.control.household import Household, Load, Plant, joined, total
from app.control.inverter import InverterModel
from app.control.obedience import beyond
from app.control.safety import shows_three_phases
from app.control.settings import ControlSettings
from app.model import InverterState, Reading

SLOW_METER_S = 2.5  # slower ones may average over their interval, or not


class Observer:
    """All inverters, and the load of the household."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._models: dict[str, InverterModel] = {}
        self._free_s: dict[str, float] = {}
        self._reading: Reading | None = None
        self._controlled: AbstractSet[str] = frozenset()
        self._each = settings.phases == "each"
        self._households = [Household() for _ in range(3 if self._each else 1)]
        self._too_much = 0  # so many readings in a row have shown more export than all limits allow
        self._restless_w = 8.0  # how far the grid power moves from reading to reading while no limit does

    def __getitem__(self, serial: str) -> InverterModel:
        return self._models[serial]

    def load_w(self, phase: int | None = None) -> float | None:
        """What the household takes beyond what inverters feed that cannot be commanded now; None: not known.

        ``phase``: on that one only, which counts from 1, where each is held on its own.
        """
        return self._households[0 if phase is None else phase - 1].load_w

    def whole_load(self) -> Load | None:
        """The load on all phases together; None: not known."""
        loads_w = [household.load_w for household in self._households]
        if any(load_w is None for load_w in loads_w):
            return None
        bounds_w = [household.bounds_w for household in self._households]
        low_w, high_w = sum(low_w for low_w, _ in bounds_w), sum(high_w for _, high_w in bounds_w)
        return Load(sum(load_w or 0.0 for load_w in loads_w), low_w, high_w)

    def radio_free_s(self, radio: str) -> float:
        """When the radio will have sent all that it has been given."""
        return self._free_s.get(radio, float("-inf"))

    def update(self, inverters: Sequence[InverterState], reading: Reading | None, interval_s: float) -> None:
        """Take in the states, then the reading, where it is a new one."""
        for state in inverters:
            model = self._models.get(state.serial)
            if model is None:
                model = self._models[state.serial] = InverterModel(self._settings, state)
            self._free_s[state.radio] = model.observe(state, self.radio_free_s(state.radio))
        before, self._reading = self._reading, reading
        controlled = frozenset(state.serial for state in inverters if state.regulated and state.reachable)
        if reading is None:
            return
        if self._each and not shows_three_phases(reading):
            return
        if reading == before and controlled == self._controlled:
            return
        if controlled != self._controlled:
            self._controlled = controlled
            for household in self._households:
                household.load_w = None
        window_s = self._settings.meter_window_s
        slow = interval_s > SLOW_METER_S
        if before is not None and reading.at_s > before.at_s and not slow:
            self._learn(before, reading, window_s)
        self._estimate(inverters, reading, (window_s, interval_s) if slow else (window_s,))
        self._witness(inverters, reading)

    def _witness(self, inverters: Sequence[InverterState], reading: Reading) -> None:
        """An export of more than all limits allow says at once that one is not held; the reports say whose."""
        most_w = 0.0
        for state in inverters:
            allowed_w = self._models[state.serial].obedience.allowed_w(reading.at_s) if state.regulated else None
            if state.reachable is not False or may_feed_w(state):
                most_w += state.max_w if allowed_w is None else allowed_w
        self._too_much = self._too_much + 1 if -reading.power_w > beyond(most_w) else 0
        if self._too_much >= 2:
            for serial in self._controlled:
                self._models[serial].accuse(reading.at_s)

    def _learn(self, before: Reading, reading: Reading, window_s: float) -> None:
        spans = (before.at_s - window_s, before.at_s, reading.at_s - window_s, reading.at_s)
        moving = [model for model in self._models.values() if not model.settled and model.path.proven() is not None]
        if not moving:
            moved_w = min(50.0, abs(reading.power_w - before.power_w))
            self._restless_w += 0.05 * (moved_w - self._restless_w)
            return
        least_w = max(15.0, 3.0 * self._restless_w)
        if not any((model.cut_under_way(reading.at_s) or 0.0) >= least_w for model in moving):
            return
        moves_w = [model.moved_w(spans) for model in moving]
        for model, move_w in zip(moving, moves_w, strict=True):
            model.learn(spans, reading.power_w - before.power_w + sum(moves_w) - move_w, least_w)

    def _estimate(self, inverters: Sequence[InverterState], reading: Reading, windows_s: Sequence[float]) -> None:
        """``windows_s``: what the reading may be the mean of; of a slow meter that is not known."""
        from_s, to_s = reading.at_s - max(windows_s), reading.at_s
        spans = {
            state.serial: joined([self._models[state.serial].span(to_s - window_s, to_s) for window_s in windows_s])
            for state in inverters
            if state.serial in self._controlled
        }
        found: dict[str, list[tuple[float, bool]]] = {serial: [] for serial in spans}
        powers_w = [phase.power_w or 0.0 for phase in reading.phases] if self._each else [reading.power_w]
        for number, (household, power_w) in enumerate(zip(self._households, powers_w, strict=True), 1):
            shares = {state.serial: self._share(state, number) for state in inverters}
            parts = {serial: span.part(shares[serial]) for serial, span in spans.items() if shares[serial]}
            feeds = total(list(parts.values()))
            pv_w = household.estimate(reading.at_s, power_w, feeds, self._plant(shares, reading.at_s))
            for serial, part in parts.items():
                alone = part.high_w - part.low_w >= 0.5 * (feeds.high_w - feeds.low_w)
                found[serial].append((feeds.where(pv_w), alone))
        for serial, span in spans.items():
            share = sum(where for where, _ in found[serial]) / len(found[serial])
            room_w = span.high_w - span.nominal_w if share > 0.0 else span.nominal_w - span.low_w
            alone = all(alone for _, alone in found[serial])
            self._models[serial].settle(from_s, to_s, span.nominal_w + share * room_w, span, alone=alone)

    def _share(self, state: InverterState, phase: int) -> float:
        """How much of an inverter's power goes into what is looked at: a phase, or all together."""
        if not self._each:
            return 1.0
        return 1.0 / 3.0 if state.phase is None else float(state.phase == phase)

    def _plant(self, shares: Mapping[str, float], now_s: float) -> Plant:
        models = [(self._models[serial], share) for serial, share in shares.items() if share]
        return Plant(
            cut_s=max((model.cut_s for model, _ in models), default=float("-inf")),
            delay_s=max((model.dead_time.likely_s for model, _ in models), default=0.0),
            rise_w_per_s=sum(share * model.rise_w_per_s for model, share in models),
            moving=any(model.in_flight(now_s) for model, _ in models),
        )
