"""What is known of one inverter: the bounds of its power, its commands in flight, its dead time."""

from __future__ import annotations

from collections.abc import Sequence

from app.control.deadtime import CANDIDATES_S, DeadTime
from app.control.household import SMALLEST_STEP_W, Span
from app.control.obedience import FOLLOWS_S, Obedience, tolerated
from app.control.settings import ControlSettings
from app.control.trajectory import Anchor, Sent, Trajectory
from app.model import InverterState

STALE_POWER_S = 180.0  # 20 inverters on one radio are each heard every 100 s; older says nothing any more
RADIO_SLOT_S = 2.0  # OpenDTU's radio is busy this long with each limit
REPORT_LAG_S = 3.0  # an inverter's report may be this much older than it says
RAMP_UP_PER_S, RAMP_DOWN_PER_S = 0.2, 1.0  # of rated power: the grid profile that Hoymiles inverters carry
SKY_PER_S = 0.03  # of rated power: how fast the sun moves an inverter that no limit holds, until that was seen
CALM_SKY_PER_S = 0.002  # and at least
AGAIN_S = 6.0  # after its last limit, one that seems to be lost is sent again

Spans = tuple[float, float, float, float]  # begin and end of an earlier reading's span of time, and of a later one's


class InverterModel:
    """One inverter: what is known of its power, its commands in flight, its dead time."""

    def __init__(self, settings: ControlSettings, state: InverterState) -> None:
        self._max_w = state.max_w
        self._dead_time_s = state.dead_time_s or settings.dead_time_s
        self.dead_time = DeadTime(self._dead_time_s, settings.learned_dead_time_s.get(state.serial))
        self.path = Trajectory(state.rated_w or state.max_w, RAMP_UP_PER_S, RAMP_DOWN_PER_S)
        self._resets = -1
        self._data_seq = -1
        self._sent_s: float | None = None
        self._powered_s: float | None = None
        self.obedience = Obedience()
        self._above = 0
        self._sky_w_per_s = SKY_PER_S * state.max_w
        self._seen_s = float("-inf")  # the meter has shown the commands on air until then come into force
        self.cut_s = float("-inf")  # when the last command went on air, if it lowers the limit
        self._kept: tuple[tuple[float, float, Anchor | None], list[float]] | None = None
        self.limit_w: float | None = None
        self.estimate_w: float | None = None  # what it most likely gave in the span of the last reading

    def observe(self, state: InverterState, radio_free_s: float) -> float:
        """Take in what the driver knows now; returns when the radio will be free."""
        if state.resets != self._resets:
            self._resets = state.resets
            self._lose_limit()
            self.obedience.forget()
            self._sent_s, self._powered_s = state.commanded_at_s, state.powered_at_s
        if state.commanded_at_s is not None and state.commanded_at_s != self._sent_s and state.commanded_w is not None:
            self._sent_s = state.commanded_at_s
            if state.power_on is False:  # nothing changes until it is switched on
                return max(radio_free_s, state.commanded_at_s) + RADIO_SLOT_S
            waiting = self.path.withdraw(state.commanded_at_s)  # OpenDTU sends the newest only
            on_air_s = max(state.commanded_at_s, radio_free_s) if waiting is None else waiting.on_air_s
            radio_free_s = max(radio_free_s, on_air_s + RADIO_SLOT_S)
            self.path.send(Sent(state.commanded_at_s, on_air_s, state.commanded_w))
            self.obedience.send(on_air_s, state.commanded_w)
            lowered = self.limit_w is None or state.commanded_w < self.limit_w
            self.cut_s = on_air_s if lowered else float("-inf")
            self.limit_w = state.commanded_w
        if state.powered_at_s is not None and state.powered_at_s != self._powered_s:
            self._powered_s = state.powered_at_s
            self._switch(state, max(state.powered_at_s, radio_free_s))
        if state.data_seq != self._data_seq and state.power_at_s is not None and state.ac.power_w is not None:
            self._data_seq = state.data_seq
            self._report(state.power_at_s, max(0.0, state.ac.power_w))
            self.obedience.report(state.power_at_s, state.ac.power_w)
        return radio_free_s

    def _switch(self, state: InverterState, on_air_s: float) -> None:
        """Off is a limit of 0 W; on again it finds the last limit."""
        limit_w = (self._max_w if state.commanded_w is None else state.commanded_w) if state.power_on else 0.0
        if limit_w != self.limit_w and self.limit_w is not None and state.powered_at_s is not None:
            self.path.send(Sent(state.powered_at_s, on_air_s, limit_w))
            self.obedience.send(on_air_s, limit_w)
            self.limit_w = limit_w

    def measured(self, dead_time_s: float) -> None:
        """A step test has found its dead time."""
        self.dead_time = DeadTime(self._dead_time_s, dead_time_s)

    @property
    def settled(self) -> bool:
        """No command is in flight and power is known."""
        return self.path.last is not None and not self.path.pending()

    def accuse(self, at_s: float) -> None:
        """Some inverter does not hold its limit, by the meter: where it is this one, its limit is lost."""
        if self.obedience.accuse(at_s) and at_s - (self._sent_s or 0.0) > FOLLOWS_S:
            self._lose_limit()

    @property
    def rise_w_per_s(self) -> float:
        """How fast its power can rise."""
        return RAMP_UP_PER_S * self._max_w

    def in_flight(self, now_s: float) -> int:
        """How many commands are probably not in force yet."""
        since_s = now_s - 1.5 * self.dead_time.likely_s - 1.0
        return sum(sent.on_air_s > since_s for sent in self.path.pending())

    @property
    def bound(self) -> bool:
        """The limit, not the sun, holds the power once everything in flight is in force."""
        last = self.path.last
        if last is None:
            return False
        limits = [sent.limit_w for sent in self.path.pending()]
        return last.bound if not limits else last.bound or self.path.given_w(limits[-1]) <= last.power_w

    def span(self, from_s: float, to_s: float) -> Span:
        """The least and the most that its mean power can have been within a span of time."""
        last = self.path.last
        if last is None or to_s - last.at_s > STALE_POWER_S:
            return Span(0.0, self._possible_limit(to_s), 0.0)
        pending = self.path.pending()
        unmoved = not pending or to_s <= pending[0].on_air_s + self.dead_time.range_s[0]
        if unmoved and last.at_s <= from_s:
            low_w = high_w = nominal_w = last.power_w
        else:
            low_s, high_s = self.dead_time.range_s
            means = [self.path.mean_w(from_s, to_s, s) for s in (low_s, high_s)]
            if not last.bound or any(self.path.given_w(sent.limit_w) > last.power_w for sent in pending):
                means += [self.path.mean_w(from_s, to_s, s, follows=False) for s in (low_s, high_s)]
            low_w, high_w = min(means), max(means)
            nominal_w = self.path.mean_w(from_s, to_s, self.dead_time.likely_s, follows=last.bound)
        if not last.bound:
            drift_w = self._sky_w_per_s * max(0.0, to_s - last.at_s)
            limits = [sent.limit_w for sent in pending] + ([last.in_force_w] if last.in_force_w is not None else [])
            most_w = max(limits, default=self._max_w)
            high_w = max(high_w, most_w if not last.proven else min(most_w, high_w + drift_w))
            low_w = low_w - min(drift_w, 0.7 * last.power_w)
        return Span(max(0.0, low_w), high_w, nominal_w)

    def planned_w(self) -> float:
        """The most it may be giving once everything in flight is in force."""
        after_w = self.path.after_w()
        limit_w = self._max_w if self.limit_w is None else self.limit_w
        if after_w is None:
            return limit_w
        after_w = max(after_w, self.path.after_w(follows=False) or 0.0)
        if not self.bound and self.estimate_w is not None:
            after_w = max(after_w, self.estimate_w)
        return min(after_w, limit_w)

    def settle(self, from_s: float, to_s: float, power_w: float, span: Span, *, alone: bool) -> None:
        """Conclude from ``power_w``, what it most likely gave in the span, that what is in flight has arrived.

        ``alone``: little else is uncertain, so that this is about this inverter.
        """
        self.estimate_w = power_w
        pending = self.path.pending()
        last = self.path.last
        if last is None or not pending:
            return
        newest = pending[-1]
        low_s, high_s = self.dead_time.range_s
        if to_s < newest.on_air_s + low_s:
            return
        after_w = self.path.after_w()
        before_w = last.power_w
        telling = after_w is not None and span.high_w - span.low_w >= SMALLEST_STEP_W
        arrived = after_w is not None and abs(power_w - after_w) <= max(15.0, 0.1 * abs(after_w - before_w))
        certain = from_s >= newest.on_air_s + high_s + abs(newest.limit_w - before_w) / (RAMP_UP_PER_S * self._max_w)
        if not (telling and arrived) and not certain:
            return
        if certain and not last.bound and after_w is not None:
            power_w = min(power_w, after_w)
        if telling and arrived:
            self._seen_s = newest.on_air_s
        bound = not alone or power_w >= 0.9 * self.path.given_w(newest.limit_w) - 25.0
        if bound and after_w is not None:
            power_w = after_w
        self.path.anchor(Anchor(to_s, power_w, newest.limit_w, newest.on_air_s, bound, proven=False))

    def moved_w(self, spans: Spans) -> float:
        """How far its power most likely moved between two readings."""
        likely_s = self.dead_time.likely_s
        return self.path.mean_w(spans[2], spans[3], likely_s) - self.path.mean_w(spans[0], spans[1], likely_s)

    def learn(self, spans: Spans, others_w: float, least_w: float) -> None:
        """Weigh the candidates by how the household would have moved between two readings.

        ``others_w``: by how much the grid power and all other inverters moved; ``least_w``: what tells more than noise.
        """
        step_w = self.cut_under_way(spans[3])
        if step_w is None or step_w < least_w:
            return
        before, after = self._candidates(spans[0], spans[1]), self._candidates(spans[2], spans[3])
        moves_w = [others_w + after_w - before_w for before_w, after_w in zip(before, after, strict=True)]
        self.dead_time.learn(moves_w, max(least_w, 0.1 * step_w))

    def _candidates(self, from_s: float, to_s: float) -> list[float]:
        """The mean power in the span under each candidate; of the last span it is kept, as it comes up again."""
        key = (from_s, to_s, self.path.proven())
        if self._kept is None or self._kept[0] != key:
            means_w = [self.path.mean_w(from_s, to_s, candidate_s, proven=True) for candidate_s in CANDIDATES_S]
            self._kept = key, means_w
        return self._kept[1]

    def cut_under_way(self, now_s: float) -> float | None:
        """The size of the largest cut whose effect may be seen now; None without one."""
        proven = self.path.proven()
        if proven is None:
            return None
        last = self.path.last
        felt_s = max(self._seen_s, last.through_s if last is not None and last.bound else float("-inf"))
        patience_s = 1.6 * self.dead_time.range_s[1] + 2.0
        before_w, largest_w = proven.power_w, 0.0
        for sent in self.path.sent_after(proven):
            after_w = self.path.given_w(sent.limit_w)
            if sent.on_air_s > self._seen_s:
                if after_w > 1.2 * before_w and sent.on_air_s > felt_s:
                    return None  # nobody knows whether the sun fills it
                if now_s <= sent.on_air_s + patience_s:
                    largest_w = max(largest_w, before_w - after_w)
            before_w = after_w
        return largest_w or None

    def _possible_limit(self, to_s: float) -> float:
        """The highest power while no report tells any."""
        pending = self.path.pending()
        if not pending or to_s < pending[0].on_air_s + self.dead_time.range_s[1]:
            return self._max_w
        return max(sent.limit_w for sent in pending)

    def _report(self, at_s: float, power_w: float) -> None:
        """Work in a report: exact where no limit was coming into force around it."""
        path, proven = self.path, self.path.proven()
        low_s, high_s = self.dead_time.range_s
        sent = path.sent_after(proven) if proven is not None else path.pending()
        certain = [s for s in sent if s.on_air_s + high_s + 1.0 <= at_s - REPORT_LAG_S]
        possible = [s for s in sent if s not in certain and s.on_air_s + low_s < at_s]
        in_force_w = certain[-1].limit_w if certain else (proven.in_force_w if proven is not None else None)
        through_s = certain[-1].on_air_s if certain else (proven.through_s if proven is not None else float("-inf"))
        if in_force_w is not None:  # a repetition changes nothing
            possible = [s for s in possible if abs(s.limit_w - in_force_w) >= 1.0]
        if possible:
            shown = self._shown(power_w, in_force_w, possible)
            if shown is not None:
                in_force_w, through_s, at_s = shown.limit_w, shown.on_air_s, at_s - REPORT_LAG_S / 2.0
            elif proven is not None and self._explained(at_s, power_w) and not self._all_give(possible, power_w):
                return  # taken while a command was coming into force: says nothing certain
        last = path.last
        if last is not None and through_s < last.through_s and proven is not None:
            return  # the meter has told of later commands since
        bound = in_force_w is not None and power_w >= 0.96 * path.given_w(in_force_w) - 12.0
        if bound and in_force_w and not possible:
            path.learn_given(in_force_w, power_w)
        if (
            proven is not None
            and not proven.bound
            and not bound
            and at_s > proven.at_s
            and in_force_w == proven.in_force_w
        ):
            moved_w_per_s = abs(power_w - proven.power_w) / (at_s - proven.at_s)
            self._sky_w_per_s = max(moved_w_per_s, 0.7 * self._sky_w_per_s, CALM_SKY_PER_S * self._max_w)
        path.anchor(Anchor(at_s, power_w, in_force_w, through_s, bound))
        self._suspect(at_s, power_w, in_force_w, changed=bool(sent))

    def _shown(self, power_w: float, in_force_w: float | None, possible: Sequence[Sent]) -> Sent | None:
        """The command whose very limit a report shows, and no other one's."""
        shown = [s for s in possible if self._gives(s.limit_w, power_w)]
        if not shown or (in_force_w is not None and self._gives(in_force_w, power_w)):
            return None
        return shown[-1] if all(self._gives(s.limit_w, self.path.given_w(shown[-1].limit_w)) for s in shown) else None

    def _all_give(self, commands: Sequence[Sent], power_w: float) -> bool:
        """Whether a power is about what each of these limits gives: then it does not matter which is in force."""
        return all(self._gives(sent.limit_w, power_w) for sent in commands)

    def _gives(self, limit_w: float, power_w: float) -> bool:
        return abs(power_w - self.path.given_w(limit_w)) <= 12.0 + 0.04 * power_w

    def _explained(self, at_s: float, power_w: float) -> bool:
        """Whether commands in flight explain a report, as old as it may be."""
        early_s = at_s - REPORT_LAG_S
        times = [(early_s, early_s + 0.1), (at_s - 0.1, at_s)]
        means = [self.path.mean_w(*span, dead_s) for span in times for dead_s in self.dead_time.range_s]
        return 0.95 * min(means) - 15.0 <= power_w <= 1.05 * max(means) + 15.0

    def _suspect(self, at_s: float, power_w: float, limit_w: float | None, *, changed: bool) -> None:
        """Above the limit that should be in force: twice in a row, and the limit is sent again before it is certain."""
        if limit_w is None or power_w <= tolerated(limit_w):
            self._above = 0
            return
        self._above = 1 if changed else self._above + 1
        if self._above >= 2 and at_s - (self._sent_s or 0.0) > AGAIN_S:
            self._lose_limit()

    def _lose_limit(self) -> None:
        self.path.forget()
        self.limit_w = None
        self._above = 0
