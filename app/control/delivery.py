"""Whether a command arrived: acknowledged by the gateway, or to be sent again."""

from __future__ import annotations

from dataclasses import dataclass

from app.model import InverterState

RESEND_S = 30.0  # repeats of one value sooner than this can silence a Hoymiles inverter


@dataclass(slots=True)
class _Watch:
    """The first sending of the value in question, and how often it went out since."""

    limit_w: float
    first_s: float
    last_s: float
    times: int = 1


class Delivery:
    """Follows each inverter's last command until the gateway echoes it."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watch] = {}

    def observe(self, state: InverterState, now_s: float, fleet: int) -> bool:
        """Take in a state; True when its last command must be sent again."""
        if state.commanded_w is None or state.commanded_at_s is None or acknowledged(state):
            self._watched.pop(state.serial, None)
            return False
        watch = self._watched.get(state.serial)
        if watch is None:
            watch = self._watched[state.serial] = _Watch(state.commanded_w, state.commanded_at_s, state.commanded_at_s)
        if state.commanded_at_s > watch.last_s:
            watch.times += 1
            watch.last_s, watch.limit_w = state.commanded_at_s, state.commanded_w
        return now_s - watch.last_s > RESEND_S + 2.5 * fleet

    def unanswered_s(self, serial: str, now_s: float) -> float:
        """How long this inverter's commands have been going without any acknowledgement."""
        watch = self._watched.get(serial)
        return now_s - watch.first_s if watch else 0.0


def acknowledged(state: InverterState) -> bool:
    """Whether the gateway shows the last command as acknowledged.

    It stores absolute limits as per mille of the rated power, truncated, hence the tolerance.
    """
    if state.commanded_w is None or state.acked_at_s is None or state.commanded_at_s is None:
        return False
    if state.acked_at_s < state.commanded_at_s:
        return False
    rated_w = state.rated_w or state.max_w
    if state.acked_w is not None:
        return abs(state.acked_w - state.commanded_w) <= 0.002 * rated_w + 0.5
    if state.acked_pct is not None:
        return abs(state.acked_pct * rated_w / 100.0 - state.commanded_w) <= 0.002 * rated_w + 0.5
    return False
