"""When a value was there, by the time stamp that its device puts beside it. Pure.

Clocks of devices are wrong by hours, drift and are put right: only their progress counts. The smallest difference to
our own clock that was seen lately is that of a value that came at once; what is further behind is so much older.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from app.documents import optional
from app.model import DeviceDataError

WINDOW_S = 300.0  # the difference of the clocks is the smallest of the last one to two windows: clocks drift
PATIENCE_S = 15.0  # a time stamp that stands still for longer, and for three of its own steps, is told
LONGEST_STEP_S = 60.0
BELIEVED = 3  # a clock that was put back is believed when it has advanced so many times, at the pace of ours
LATEST_S = 1e10  # larger numbers count milliseconds, microseconds or nanoseconds
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?")
_EPOCH = datetime.fromtimestamp(0, UTC)


class DeviceTime:
    """Turns the time stamps of one device into moments of our clock."""

    def __init__(self) -> None:
        self._newest_s: float | None = None  # on the device's clock
        self._advanced_s = 0.0  # on our clock: when it last did
        self._step_s = 0.0
        self._window_s = 0.0  # when the window of `_offset_s` began
        self._offset_s = self._offset_before_s = float("inf")  # our clock less the device's
        self._back: list[tuple[float, float]] = []  # stamps of a clock that was put back, and when they came

    def moment(self, stamp_s: float, now_s: float) -> float | None:
        """When the value of this time stamp was there, on our clock; None: it is no new one.

        Raises `DeviceDataError` when the time stamp has stood still for so long that the device repeats an old value.
        """
        if self._newest_s is None:  # no progress yet: what is there at the first contact may be a copy of yesterday
            self._newest_s, self._advanced_s = stamp_s, now_s
        elif stamp_s > self._newest_s:
            self._advance(stamp_s, now_s)
            return min(now_s, stamp_s + min(self._offset_s, self._offset_before_s))
        elif stamp_s < self._newest_s and self._put_back(stamp_s, now_s):
            self._offset_s = self._offset_before_s = float("inf")
            self._advance(stamp_s, now_s)
            return now_s
        still_s = now_s - self._advanced_s
        if still_s > max(PATIENCE_S, 3.0 * self._step_s):
            raise DeviceDataError(f"the time stamp of the value has not advanced for {still_s:.0f} s: it is an old one")
        return None

    def _advance(self, stamp_s: float, now_s: float) -> None:
        self._step_s = min(LONGEST_STEP_S, now_s - self._advanced_s)
        self._newest_s, self._advanced_s = stamp_s, now_s
        self._back.clear()
        if now_s - self._window_s > WINDOW_S:
            self._window_s, self._offset_before_s = now_s, self._offset_s
            self._offset_s = float("inf")
        self._offset_s = min(self._offset_s, now_s - stamp_s)

    def _put_back(self, stamp_s: float, now_s: float) -> bool:
        """Whether so many stamps in the past go forward like our clock: no cache of old values does."""
        if self._back and stamp_s == self._back[-1][0]:
            return False
        if self._back and not 0.25 < (stamp_s - self._back[-1][0]) / max(now_s - self._back[-1][1], 1e-3) < 4.0:
            self._back.clear()
        self._back.append((stamp_s, now_s))
        return len(self._back) > BELIEVED


def time_stamp(value: Any, what: str) -> float:
    """Seconds out of a Unix time (s, ms, µs, ns; a number or text) or an ISO time. Raises `DeviceDataError`.

    Without a time zone it is taken as it stands: `DeviceTime` wants no more.
    """
    number = optional(float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value)
    if number is not None and number > 0.0:
        while number > LATEST_S:
            number /= 1000.0
        return number
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH).total_seconds()
        except (ValueError, OverflowError):
            pass
    raise DeviceDataError(f"{what} is {str(value)[:40]!r}, not a time")
