"""Whether a device has restarted, and whether its clock still runs. Pure: the time is an argument."""

from __future__ import annotations

from app.documents import optional
from app.model import DeviceDataError


class Uptime:
    """Follows the seconds since a device was switched on, which it tells in whole numbers.

    ``still_s``: a clock that has not moved for so long stands, and what the device measures stands with it.
    """

    def __init__(self, still_s: float) -> None:
        self._still_s = still_s
        self._last: float | None = None
        self._moved_s = 0.0

    def restarted(self, told: object, now_s: float) -> bool:
        """Take in what the device tells now. Raises `DeviceDataError` where its clock stands."""
        uptime_s = optional(told)
        if uptime_s is None:
            return False
        before, self._last = self._last, uptime_s
        if before != uptime_s:
            self._moved_s = now_s
        elif now_s - self._moved_s > self._still_s:
            raise DeviceDataError(f"the clock of the Shelly stands (uptime {uptime_s:g} s): its values are not fresh")
        return before is not None and uptime_s < before

    def forget(self) -> None:
        """What comes next says nothing about what came before."""
        self._last = None
