"""The grid clamps of an Enphase gateway as it streams them, once a second (``/stream/meter``). Pure.

The events have no time stamp. Some firmware holds them back and sends blocks of 20 s, and a stream can go on while its
values stand still: both show in when the events come, and in what they hold.
"""

from __future__ import annotations

import json
from typing import Any

from app.documents import optional
from app.meters.base import watts
from app.model import DeviceDataError, Phase, Reading

SHORT_S = 0.3  # between two events of a block; live ones are a second apart
BLOCK = 3  # so many short ones in a row are no hiccup of the network
STEADY = 3  # so many that are not, before anything is believed
REPEATED_S = 10.0  # the same event again and again, until it is told
NAMES = ("ph-a", "ph-b", "ph-c")


class Pulse:
    """Tells live events from old ones. Times are monotonic."""

    def __init__(self) -> None:
        self._at_s: float | None = None
        self._short = self._steady = 0
        self._data, self._changed_s = "", 0.0

    def is_new(self, data: str, now_s: float) -> bool:
        """Whether an event that came now has new values. Raises `DeviceDataError` where the stream is not live."""
        if self._at_s is not None and now_s - self._at_s < SHORT_S:
            self._short += 1
            self._steady = self._steady if self._steady >= STEADY else 0
        elif self._at_s is not None:
            self._short, self._steady = 0, self._steady + 1
        self._at_s = now_s
        if self._short >= BLOCK:
            raise DeviceDataError("/stream/meter comes in blocks, so its values are old: newer firmware does not do so")
        if data != self._data:
            self._data, self._changed_s = data, now_s
            return self._steady >= STEADY
        if now_s - self._changed_s > REPEATED_S:
            raise DeviceDataError(
                f"/stream/meter has repeated the same values for {now_s - self._changed_s:.0f} s: they are old ones"
            )
        return False


def data_of(line: str) -> str | None:
    """The document that a line of the stream carries; None: it carries none."""
    return line.removeprefix("data:").strip() if line.startswith("data:") else None


def parse_event(data: str, phases: int, at_s: float, utc_s: float) -> Reading:
    """A reading out of an event; ``phases``: how many the clamps have, 0: not known. Raises `DeviceDataError`."""
    try:
        event: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise DeviceDataError("/stream/meter sends something that is no JSON") from None
    net = event.get("net-consumption") if isinstance(event, dict) else None
    if not isinstance(net, dict):
        raise DeviceDataError("/stream/meter sends no net-consumption")
    found = []
    for name in NAMES[: phases or len(NAMES)]:
        phase = net.get(name)
        if not isinstance(phase, dict):
            raise DeviceDataError(f"/stream/meter sends no {name} of net-consumption")
        power_w = watts(phase.get("p"), f"net-consumption {name} p")
        found.append(Phase(power_w, *(optional(phase.get(key)) for key in ("v", "i", "pf"))))
    used = tuple(found) if phases else ()
    return Reading(watts(sum(one.power_w or 0.0 for one in found), "net-consumption"), at_s, utc_s, used)
