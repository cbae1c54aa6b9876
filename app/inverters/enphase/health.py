"""Whether a gateway answers, and when its silence is worth a word. Pure.

Gateways are away for some minutes every night, around 23:00, and after an update: that is no fault. A refused login or
an answer that cannot be used is one soon, and so is a gateway that has never answered.
"""

from __future__ import annotations

from app.model import DeviceError, DeviceUnavailable

OUTAGE_PATIENCE_S = 900.0
PATIENCE_S = 60.0


class Health:
    """Told of every request. ``online`` is None until the first one has succeeded, or has failed for long enough."""

    def __init__(self) -> None:
        self.online: bool | None = None
        self.seen_at_s: float | None = None
        self._why: DeviceError | None = None
        self._since_s = 0.0

    def fine(self, now_s: float) -> str | None:
        """It answered; what to log where that is news."""
        news = self._why is not None and self.online is False
        self.online, self.seen_at_s, self._why = True, now_s, None
        return "answers again" if news else None

    def failed(self, error: DeviceError, now_s: float) -> str | None:
        """It did not; what to log where that is news."""
        if self._why is None:
            self._since_s = now_s
        self._why = error
        if self.online is not False and now_s - self._since_s >= self._patience_s:
            self.online = False
            return str(error)
        return None

    def fault(self, now_s: float) -> str | None:
        """The sentence for people, once patience is over."""
        if self._why is None or now_s - self._since_s < self._patience_s:
            return None
        minutes = (now_s - self._since_s) / 60.0
        return f"{self._why} (for {minutes:.0f} min)" if minutes >= 2.0 else str(self._why)

    @property
    def trouble(self) -> str | None:
        """Why the last request failed; None where it did not."""
        return str(self._why) if self._why is not None else None

    @property
    def _patience_s(self) -> float:
        outage = self.seen_at_s is not None and isinstance(self._why, DeviceUnavailable)
        return OUTAGE_PATIENCE_S if outage else PATIENCE_S
