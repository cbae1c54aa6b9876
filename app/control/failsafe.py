"""What the inverters are lowered to when the grid power is not known: by us, or by the broker once it has lost us."""

from __future__ import annotations

from collections.abc import Sequence

from app.control.allocate import Limits, Ranged, spread
from app.model import Decision, InverterState, Snapshot, Will

DAYLIGHT_W = 20.0  # an inverter that went silent at more than this did not fall asleep


def fail_safe_limits(units: Sequence[Ranged], states: Sequence[InverterState], budget_w: float | None) -> Limits:
    """Each unit's share of the site's fail-safe budget, less what cannot be lowered; its minimum without a budget."""
    if budget_w is None:
        return {unit.serial: unit.min_w for unit in units}
    return spread(units, max(0.0, budget_w - sum(may_feed_w(state) for state in states)))


def may_feed_w(state: InverterState) -> float:
    """What an inverter that cannot be reached may still be giving: by day what it gave last, at night nothing."""
    last_w = state.ac.power_w or 0.0
    return last_w if state.reachable is False and state.power_at_s is not None and last_w > DAYLIGHT_W else 0.0


def wills(snapshot: Snapshot, decision: Decision, budget_w: float | None) -> tuple[Will, ...]:
    """The limits that the broker is to send if it loses us: armed while we hold the inverters to a target."""
    if decision.target_w is None:
        return ()
    states = [state for state in snapshot.inverters if state.regulated]
    shares = fail_safe_limits(states, (), budget_w)  # the same by day and night: each change is a new connection
    return tuple(Will(s.serial, shares[s.serial]) for s in states if s.guardable and (s.reachable or may_feed_w(s)))
