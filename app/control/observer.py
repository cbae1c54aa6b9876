"""What each inverter may be producing right now, given old telemetry and commands in flight.

Telemetry is seconds old and the dead time from a limit to its effect is uncertain, so power is known as
an interval. The law raises on the lower end and cuts on the upper end: what is certain under every dead
time in the range. When the grid meter shows the very step that a command should cause, or telemetry
does, the interval collapses at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from app.control.settings import ControlSettings
from app.model import InverterState, Reading

STALE_POWER_S = 180.0  # 20 inverters on one radio are each heard every 100 s; older says nothing any more
STEP_TOLERANCE = 0.1  # a step is recognised when the meter shows it this exactly
LONGEST_DEAD_TIME_S = 25.0
RADIO_SLOT_S = 2.0  # OpenDTU's radio is busy this long with each limit
SMALLEST_STEP_W = 60.0  # a smaller step is not told from the house's own noise


@dataclass(frozen=True, slots=True)
class Sent:
    """A command in flight: when it left us, and when at the latest the radio, busy with others, took it up."""

    at_s: float
    on_air_s: float
    limit_w: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What a command in flight does to AC power: from ``before_w`` (None: unknown) to ``after_w``."""

    sent: Sent
    before_w: float | None
    after_w: float


@dataclass(frozen=True, slots=True)
class Belief:
    """What was known of the power from ``at_s`` on, until a later report: ``power_w``, and what was in flight then."""

    at_s: float
    power_w: float
    effects: Sequence[Effect]


class InverterModel:
    """One inverter: its last proven power, the limit in force then, and commands in flight."""

    def __init__(self, settings: ControlSettings) -> None:
        self._lo_s, self._hi_s = settings.dead_time_s
        self._least_hi_s = self._hi_s
        self._anchor_w: float | None = None
        self._anchor_s = 0.0
        self._in_force_w: float | None = None
        self._pending: list[Sent] = []  # oldest first
        self._past: deque[Belief] = deque(
            maxlen=16
        )  # earlier reports: a slow meter's reading may be older than the last
        self._resets = -1
        self._data_seq = -1
        self._sent_s: float | None = None
        self._above = 0
        self.limit_w: float | None = None
        self.bound = False

    def observe(self, state: InverterState, radio_free_s: float) -> float:
        """Take in what the driver knows now; returns when the radio will be free."""
        if state.resets != self._resets:
            self._resets = state.resets
            self._lose_limit()
            self._sent_s = state.commanded_at_s
        if state.commanded_at_s is not None and state.commanded_at_s != self._sent_s and state.commanded_w is not None:
            self._sent_s = state.commanded_at_s
            on_air_s = max(state.commanded_at_s, radio_free_s)
            radio_free_s = on_air_s + RADIO_SLOT_S
            self._pending = [*self._pending[-3:], Sent(state.commanded_at_s, on_air_s, state.commanded_w)]
            self.limit_w = state.commanded_w
        if state.data_seq != self._data_seq and state.power_at_s is not None and state.ac.power_w is not None:
            self._data_seq = state.data_seq
            self._note_power(state.power_at_s, max(0.0, state.ac.power_w))
        return radio_free_s

    def power(self, from_s: float, to_s: float) -> tuple[float, float | None]:
        """The least and the most AC power that it can have had within the time span.

        The upper end is None where nothing bounds it (limit and power both unknown).
        """
        if self._anchor_w is None or to_s - self._anchor_s > STALE_POWER_S:
            return 0.0, self._possible_limit(to_s)
        last = Belief(self._anchor_s, self._anchor_w, self._effects())
        if last.at_s <= from_s or not self._past:
            return self._range(last, from_s, to_s)
        ranges = [self._range(belief, from_s, to_s) for belief in self._beliefs(last, from_s, to_s)]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    def _beliefs(self, last: Belief, from_s: float, to_s: float) -> list[Belief]:
        """Those that say something about the time span; a report that is newer than it says nothing."""
        known = [b for b in (*self._past, last) if b.at_s <= to_s and to_s - b.at_s <= STALE_POWER_S]
        before = [belief for belief in known if belief.at_s <= from_s]
        return before[-1:] + [belief for belief in known if belief.at_s > from_s] or [last]

    def _range(self, belief: Belief, from_s: float, to_s: float) -> tuple[float, float]:
        low = high = belief.power_w
        for effect in belief.effects:
            if to_s < effect.sent.at_s + self._lo_s:
                break
            certain = from_s >= effect.sent.on_air_s + self._hi_s
            low, high = min(low, effect.after_w), effect.after_w if certain else max(high, effect.after_w)
        return low, high

    def _remember(self) -> None:
        """Keep what was known until now, for readings that are older than what comes."""
        if self._anchor_w is not None:
            self._past.append(Belief(self._anchor_s, self._anchor_w, self._effects()))

    def step_w(self) -> float:
        """How much AC power falls once everything in flight has come into force (negative: rises)."""
        effects = self._effects()
        if not effects or effects[-1].before_w is None:
            return 0.0
        return effects[-1].before_w - effects[-1].after_w

    @property
    def last_sent_s(self) -> float | None:
        """When the newest command whose effect is not yet certain was sent."""
        return self._pending[-1].at_s if self._pending else None

    def collapse(self, at_s: float) -> None:
        """The grid meter has shown the step: everything in flight is in force."""
        effects = self._effects()
        if effects and self._anchor_w is not None:
            self._settle(at_s, effects[-1].after_w, effects[-1].sent)
            self._past.clear()  # the reading itself has told

    @property
    def settled(self) -> bool:
        """No command is in flight and power is known."""
        return not self._pending and self._anchor_w is not None

    @property
    def disobeyed(self) -> bool:
        """Power has stayed above the limit: the inverter does not hold it."""
        return self._above >= 2

    def _effects(self) -> list[Effect]:
        """What the commands in flight do, one after the other, to the power that is known."""
        effects = []
        before_w, bound, ratio = self._anchor_w, self.bound, self._ratio()
        for sent in self._pending:
            bound = bound or before_w is None or before_w > sent.limit_w
            after_w = sent.limit_w * ratio if bound or before_w is None else before_w
            effects.append(Effect(sent, before_w, after_w))
            before_w = after_w
        return effects

    def _possible_limit(self, to_s: float) -> float | None:
        """The highest limit that may be in force; None where an unknown one may still be."""
        limits = [sent.limit_w for sent in self._pending]
        if self._in_force_w is not None:
            return max(self._in_force_w, *limits) if limits else self._in_force_w
        if not limits or to_s < self._pending[0].on_air_s + self._hi_s:
            return None
        return max(limits)

    def _ratio(self) -> float:
        """How much of its limit the inverter really gives, where that could be seen."""
        if not self.bound or self._anchor_w is None or not self._in_force_w:
            return 1.0
        return min(1.1, max(0.85, self._anchor_w / self._in_force_w))

    def _note_power(self, at_s: float, power_w: float) -> None:
        effects = self._effects()
        if effects and at_s >= effects[0].sent.at_s + self._lo_s:
            last, sent = effects[-1], effects[-1].sent
            tolerance_w = 0.05 * last.after_w + 15.0
            telling = last.before_w is not None and abs(last.before_w - last.after_w) >= SMALLEST_STEP_W
            arrived = abs(power_w - last.after_w) <= tolerance_w
            if telling and arrived:
                self._remember()
                self._settle(at_s, power_w, sent)
                return
            if at_s < sent.on_air_s + self._hi_s:
                return  # taken while a command was coming into force: says nothing certain
            if telling and last.before_w is not None and _under_way(power_w, last.before_w, last.after_w, tolerance_w):
                self._hi_s = min(LONGEST_DEAD_TIME_S, max(self._hi_s, at_s - sent.on_air_s + 2.0))
                if at_s < sent.on_air_s + self._hi_s:
                    return  # it has not happened yet, or not all of it: this plant is slower than thought
            self._remember()
            self._in_force_w = sent.limit_w
            self._pending = []
            self._above = 0  # another limit, judged anew
        else:
            self._remember()
        older = self._anchor_w is not None and at_s < self._anchor_s  # sampled before the meter showed the step
        self._anchor_s, self._anchor_w = at_s, power_w
        self.bound = self._in_force_w is not None and power_w >= 0.96 * self._in_force_w - 12.0
        if not older:
            self._judge_obedience(power_w)

    def _judge_obedience(self, power_w: float) -> None:
        limit_w = self._in_force_w
        if limit_w is None or power_w <= limit_w + max(25.0, 0.05 * limit_w):
            self._above = 0
            return
        above = self._above + 1
        if above >= 2:
            self._lose_limit()
        self._above = above

    def _settle(self, at_s: float, power_w: float, sent: Sent) -> None:
        """Everything in flight is in force; what was learned of a slow plant fades as it proves faster."""
        limit_w, proven_s = sent.limit_w, at_s - sent.at_s + 2.0
        self._hi_s = max(self._least_hi_s, min(self._hi_s, 0.9 * self._hi_s + 0.1 * proven_s))
        self._pending = []
        self._above = 0
        self._anchor_s, self._anchor_w, self._in_force_w = at_s, power_w, limit_w
        self.bound = power_w >= 0.96 * limit_w - 12.0

    def _lose_limit(self) -> None:
        self._pending = []
        self._past.clear()
        self._in_force_w = self.limit_w = None
        self.bound = False
        self._above = 0


def _under_way(power_w: float, before_w: float, after_w: float, tolerance_w: float) -> bool:
    """Whether a step has not begun, or (down) is not yet complete. Of a rise the sun may have taken the rest."""
    return abs(power_w - before_w) <= tolerance_w or after_w + tolerance_w < power_w < before_w


class Observer:
    """All inverters, and the test whether the meter has seen the commands in flight come into force."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._models: dict[str, InverterModel] = {}
        self._radio_free_s = float("-inf")
        self._reference_w: float | None = None

    def __getitem__(self, serial: str) -> InverterModel:
        return self._models[serial]

    def update(self, inverters: tuple[InverterState, ...], reading: Reading | None) -> None:
        """Take in the states, then look for the step of the commands in flight in the reading."""
        for state in inverters:
            model = self._models.setdefault(state.serial, InverterModel(self._settings))
            self._radio_free_s = model.observe(state, self._radio_free_s)
        if reading is None:
            return
        moving = [model for model in self._models.values() if model.last_sent_s is not None]
        newest_s = max((model.last_sent_s or 0.0 for model in moving), default=None)
        if newest_s is None or reading.at_s < newest_s + self._settings.dead_time_s[0]:
            self._reference_w = reading.power_w
            return
        step = sum(model.step_w() for model in moving)
        if self._reference_w is None or abs(step) < SMALLEST_STEP_W:
            return
        if abs(reading.power_w - self._reference_w - step) <= max(25.0, STEP_TOLERANCE * abs(step)):
            for model in moving:
                model.collapse(reading.at_s)
            self._reference_w = reading.power_w
