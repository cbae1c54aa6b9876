"""The power of one inverter over time, as far as reports and commands tell it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sent:
    """A command: when it left us, when at the latest the radio, busy with others, took it up, and the limit."""

    at_s: float
    on_air_s: float
    limit_w: float


@dataclass(frozen=True, slots=True)
class Anchor:
    """A power that is known: proven by a report, or (``proven`` False) inferred from the meter.

    ``through_s``: commands on air until then are in force, later ones are not. ``bound``: the limit holds the power,
    not the sun.
    """

    at_s: float
    power_w: float
    in_force_w: float | None
    through_s: float
    bound: bool
    proven: bool = True


class Trajectory:
    """Anchors and commands of the last minutes, and the power that follows from them."""

    def __init__(self, rated_w: float, ramp_up_per_s: float, ramp_down_per_s: float) -> None:
        self._up_w_per_s = ramp_up_per_s * rated_w
        self._down_w_per_s = ramp_down_per_s * rated_w
        self._anchors: deque[Anchor] = deque(maxlen=16)
        self._sent: deque[Sent] = deque(maxlen=24)
        self._rated_w = rated_w
        self._given = [1.0, 1.0, 1.0]

    @property
    def last(self) -> Anchor | None:
        """What was known last."""
        return self._anchors[-1] if self._anchors else None

    def given_w(self, limit_w: float) -> float:
        """What the inverter gives under a limit; at low ones Hoymiles inverters fall short of it."""
        return limit_w * self._given[_band(limit_w / self._rated_w)]

    def learn_given(self, limit_w: float, power_w: float) -> None:
        """It was seen to give this under that limit."""
        band = _band(limit_w / self._rated_w)
        self._given[band] = min(1.1, max(0.8, power_w / limit_w))

    def proven(self) -> Anchor | None:
        """What the last report told."""
        return next((anchor for anchor in reversed(self._anchors) if anchor.proven), None)

    def sent_after(self, anchor: Anchor) -> list[Sent]:
        """The commands whose effect is not in ``anchor``, oldest first."""
        through_s = anchor.through_s
        found = []
        for sent in reversed(self._sent):
            if sent.on_air_s <= through_s:
                break
            found.append(sent)
        found.reverse()
        return found

    def send(self, sent: Sent) -> None:
        """Note a command."""
        self._sent.append(sent)

    def withdraw(self, at_s: float) -> Sent | None:
        """Forget the last command if it still waits for the radio at ``at_s``, and return it."""
        return self._sent.pop() if self._sent and self._sent[-1].on_air_s > at_s else None

    def anchor(self, anchor: Anchor) -> None:
        """Note a power that is known. One that is older than what is known goes where it belongs."""
        while self._anchors and self._anchors[-1].at_s >= anchor.at_s:
            self._anchors.pop()
        self._anchors.append(anchor)

    def forget(self) -> None:
        """Start anew."""
        self._anchors.clear()
        self._sent.clear()

    def pending(self) -> list[Sent]:
        """The commands whose effect is not in what is known last, oldest first."""
        last = self.last
        return list(self._sent) if last is None else self.sent_after(last)

    def after_w(self, *, follows: bool = True) -> float | None:
        """The power once everything in flight is in force; ``follows``: raises are filled by the sun."""
        last = self.last
        if last is None:
            return None
        pending = self.pending()
        return self._goal_w(last, pending[-1].limit_w, follows=follows) if pending else last.power_w

    def mean_w(
        self, from_s: float, to_s: float, dead_time_s: float, *, follows: bool = True, proven: bool = False
    ) -> float:
        """The mean power within a span of time, were this the dead time. Needs an anchor.

        ``proven``: only by what reports tell.
        """
        base, later = self._known(from_s, to_s, proven=proven)
        if base.at_s >= to_s:
            return base.power_w
        commands = self.sent_after(base)
        if not later and (not commands or commands[0].on_air_s + dead_time_s >= to_s):
            return base.power_w
        walk = _Walk(base, max(from_s, base.at_s), to_s, self._up_w_per_s, self._down_w_per_s)
        for sent in commands:
            force_s = sent.on_air_s + dead_time_s
            while later and later[0].at_s <= force_s:
                base = later.pop(0)
                walk.jump(base)
            if sent.on_air_s > base.through_s:
                if force_s >= to_s:
                    break
                walk.aim(force_s, self._goal_w(base, sent.limit_w, follows=follows))
        for anchor in later:
            walk.jump(anchor)
        return walk.finish()

    def _known(self, from_s: float, to_s: float, *, proven: bool) -> tuple[Anchor, list[Anchor]]:
        """What was known when the span began (or first), and what became known in it."""
        found: list[Anchor] = []  # newest first
        for anchor in reversed(self._anchors):
            if anchor.proven or not proven:
                found.append(anchor)
                if anchor.at_s <= from_s:
                    break
        return found[-1], [anchor for anchor in reversed(found[:-1]) if anchor.at_s < to_s]

    def _goal_w(self, anchor: Anchor, limit_w: float, *, follows: bool) -> float:
        """The power under a limit, from what was known: at most what the limit gives.

        Where the sun held it before, it may still follow: old firmware splits the limit over the trackers, and holds
        those that are in the sun while others are in the shade.
        """
        given_w = self.given_w(limit_w)
        if not follows:
            return min(given_w, anchor.power_w)
        if anchor.bound or not anchor.in_force_w:
            return given_w
        return min(given_w, anchor.power_w * limit_w / anchor.in_force_w)


def _band(share: float) -> int:
    """Below 8 %, below 16 % of rated power, above: within each the shortfall is about the same."""
    return 0 if share < 0.08 else 1 if share < 0.16 else 2


class _Walk:
    """Walks along a trajectory and sums up its power within the span."""

    def __init__(self, base: Anchor, from_s: float, to_s: float, up_w_per_s: float, down_w_per_s: float) -> None:
        self._now_s, self._power_w, self._goal_w = base.at_s, base.power_w, base.power_w
        self._from_s, self._to_s = from_s, to_s
        self._up, self._down = up_w_per_s, down_w_per_s
        self._sum_ws = 0.0

    def jump(self, anchor: Anchor) -> None:
        """It was known to be here."""
        self._go(anchor.at_s)
        self._power_w = self._goal_w = anchor.power_w

    def aim(self, at_s: float, goal_w: float) -> None:
        """From then on it ramps towards the goal."""
        self._go(at_s)
        self._goal_w = goal_w

    def finish(self) -> float:
        """The mean."""
        self._go(self._to_s)
        return self._sum_ws / (self._to_s - self._from_s)

    def _go(self, until_s: float) -> None:
        until_s = min(until_s, self._to_s)
        gap_w = self._goal_w - self._power_w
        if gap_w and until_s > self._now_s:
            rate = self._up if gap_w > 0.0 else -self._down
            there_s = self._now_s + gap_w / rate
            stop_s = min(there_s, until_s)
            reached_w = self._goal_w if there_s <= until_s else self._power_w + rate * (until_s - self._now_s)
            begin_s = max(self._now_s, self._from_s)
            if stop_s > begin_s:
                entry_w = self._power_w + rate * (begin_s - self._now_s)
                self._sum_ws += 0.5 * (entry_w + reached_w) * (stop_s - begin_s)
            self._now_s, self._power_w = stop_s, reached_w
        begin_s = max(self._now_s, self._from_s)
        if until_s > begin_s:
            self._sum_ws += self._power_w * (until_s - begin_s)
        self._now_s = max(self._now_s, until_s)
