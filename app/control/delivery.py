"""Whether a command arrived: acknowledged by the gateway, or to be sent again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.model import InverterState

RADIO_S, RADIO_EACH_S = 1.0, 1.5  # what OpenDTU shows later than this after a limit would show it, had it arrived
RESEND_S, RESEND_EACH_S = 5.5, 1.5  # from a limit to its repetition
RESEND_UNSEEN_S, RESEND_UNSEEN_EACH_S = 30.0, 2.5  # where OpenDTU shows nothing: a repetition can silence an inverter


@dataclass(slots=True)
class _Watch:
    """Since when commands have gone out without an acknowledgement, those commands, and the last echo of any."""

    first_s: float
    sent: deque[tuple[float, float]]  # time and watts, oldest first
    echo_s: float | None = None


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
            watch = self._watched[state.serial] = _Watch(state.commanded_at_s, deque(maxlen=32))
        if not watch.sent or state.commanded_at_s > watch.sent[-1][0]:
            watch.sent.append((state.commanded_at_s, state.commanded_w))
        watch.echo_s = state.acked_at_s
        while len(watch.sent) > 1 and any(_shows(state, at_s, limit_w) for at_s, limit_w in list(watch.sent)[:-1]):
            watch.sent.popleft()  # that one, or a later one, has arrived: the gateway is only behind
            watch.first_s = watch.sent[0][0]
        sent_s = watch.sent[-1][0]
        looked = (
            shows_limits(state) and watch.echo_s is not None and watch.echo_s - sent_s > RADIO_S + RADIO_EACH_S * fleet
        )
        first_s, each_s = (RESEND_S, RESEND_EACH_S) if looked else (RESEND_UNSEEN_S, RESEND_UNSEEN_EACH_S)
        return now_s - sent_s > first_s + each_s * fleet

    def waiting(self, serial: str) -> bool:
        """Whether the last command has not been acknowledged."""
        return serial in self._watched

    def unanswered_s(self, serial: str, now_s: float) -> float:
        """How long this inverter's commands have been going while the gateway showed no acknowledgement.

        A gateway that shows nothing at all is silent, which is another fault; OpenDTU is while its radio is busy.
        """
        watch = self._watched.get(serial)
        if watch is None:
            return 0.0
        return max(0.0, (now_s if watch.echo_s is None else watch.echo_s) - watch.first_s)


def shows_limits(state: InverterState) -> bool:
    """Whether the gateway can show a limit: OpenDTU shows 0 until it knows the rated power."""
    return bool(state.acked_pct or state.acked_w)


def acknowledged(state: InverterState) -> bool:
    """Whether the gateway shows the last command as acknowledged."""
    if state.commanded_w is None or state.commanded_at_s is None:
        return False
    return _shows(state, state.commanded_at_s, state.commanded_w)


def _shows(state: InverterState, sent_s: float, limit_w: float) -> bool:
    """Whether the gateway has shown this limit since it was sent.

    It stores absolute limits as per mille of the rated power, truncated, hence the tolerance, and never more than
    the rated power.
    """
    if state.acked_at_s is None or state.acked_at_s < sent_s:
        return False
    rated_w = state.rated_w or state.max_w
    wanted_w = min(limit_w, rated_w)
    tolerance_w = 0.002 * rated_w + 0.5
    if state.acked_w is not None:
        return abs(state.acked_w - wanted_w) <= tolerance_w
    return state.acked_pct is not None and abs(state.acked_pct * rated_w / 100.0 - wanted_w) <= tolerance_w
