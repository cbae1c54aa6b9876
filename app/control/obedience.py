"""Whether an inverter holds its limits, by its reports: what the gateway shows is an echo of the command."""

from __future__ import annotations

from collections import deque

FOLLOWS_S = 17.5  # from a limit to its effect: users report up to 10 s, and a report may be 3 s older than it says
CLEAR_W, CLEAR_SHARE = 50.0, 0.1  # so far above every limit that one report is enough
ABOVE_W, ABOVE_SHARE = 25.0, 0.05  # above it, when the next report says so too


class Obedience:
    """Told the limits and the reports of one inverter. ``broken``: its last reports were above every limit it had."""

    def __init__(self) -> None:
        self.broken = False
        self._sent: deque[tuple[float, float]] = deque(maxlen=32)  # on air when, watts
        self._above = 0
        self._power_w = 0.0  # as last reported

    def send(self, on_air_s: float, limit_w: float) -> None:
        """Note a limit."""
        self._sent.append((on_air_s, limit_w))

    def forget(self) -> None:
        """Its limit got lost: nothing that was sent says any more what it may do."""
        self._sent.clear()
        self._above, self.broken = 0, False

    def allowed_w(self, at_s: float) -> float | None:
        """The highest limit that it may still be following; None where that is not known."""
        since_s = at_s - FOLLOWS_S  # for certain: a dead time that was learned wrongly must accuse nobody
        most_w = 0.0
        for on_air_s, limit_w in reversed(self._sent):
            most_w = max(most_w, limit_w)
            if on_air_s <= since_s:
                return most_w
        return None

    def report(self, at_s: float, power_w: float) -> None:
        """Take in a report."""
        self._power_w, allowed_w = power_w, self.allowed_w(at_s)
        if allowed_w is None:
            return
        if power_w <= tolerated(allowed_w):
            self._above, self.broken = 0, False
            return
        self._above += 1
        self.broken = self.broken or self._above >= 2 or power_w > beyond(allowed_w)

    def accuse(self, at_s: float) -> bool:
        """The meter shows that some inverter does not hold its limit: whether it is this one, by its last report."""
        allowed_w = self.allowed_w(at_s)
        guilty = allowed_w is not None and self._power_w > beyond(allowed_w)
        self.broken = self.broken or guilty
        return guilty


def tolerated(limit_w: float) -> float:
    """The highest power that may still be meant by a limit."""
    return limit_w + max(ABOVE_W, ABOVE_SHARE * limit_w)


def beyond(allowed_w: float) -> float:
    """The power that is too much for these limits, without any doubt."""
    return allowed_w + max(CLEAR_W, CLEAR_SHARE * allowed_w)
