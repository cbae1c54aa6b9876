"""What has been heard of OpenDTU itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

from app.broker import Message
from app.inverters.opendtu.heard import Take
from app.inverters.opendtu.payload import number, plausible
from app.model import GatewayState

log = logging.getLogger(__name__)

PUBLISH_INTERVAL_S = 5.0  # OpenDTU's default and the least that its page accepts


class Gateway:
    """OpenDTU by its messages. ``lose_limits`` is told why no limit may be in force any more."""

    def __init__(
        self,
        prefix: str,
        clock: Callable[[], float],
        utc: Callable[[], float],
        lose_limits: Callable[[str], None],
    ) -> None:
        self._prefix, self._clock, self._utc, self._lose_limits = prefix, clock, utc, lose_limits
        self._values: dict[str, float] = {}
        self._own_limiter = False
        self._seen_s: float | None = None
        self._started_s = clock()
        self._seq = 0
        self._utc_s: float | None = None
        self.online: bool | None = None

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic that says something, and who takes it in: False where it cannot be used."""
        yield "dtu/status", self._take_status
        for key in ("uptime", "rssi", "temperature", "heap/free"):
            yield f"dtu/{key}", partial(self._take_value, key.rpartition("/")[2])
        yield "powerlimiter/status/mode", self._take_own_limiter

    def disconnected(self) -> None:
        """Without the broker nothing is known of OpenDTU, and it may be back later than we are."""
        self.online = None

    def state(self) -> GatewayState:
        """What is known now."""
        return GatewayState(
            name="OpenDTU",
            online=self.online,
            uptime_s=self._values.get("uptime"),
            rssi_dbm=self._values.get("rssi"),
            temperature_c=self._values.get("temperature"),
            heap_free_b=self._values.get("free"),
            seen_at_s=self._seen_s,
            utc_s=self._utc_s,
            data_seq=self._seq,
            fault=self._fault(),
        )

    def _take_value(self, key: str, message: Message) -> bool:
        value = number(message.payload)
        if value is None or not plausible(key, value, 0.0):
            return not message.payload
        if message.retain:
            return True
        if key == "uptime":
            if value < self._values.get("uptime", 0.0):
                self._lose_limits("OpenDTU has restarted")
            self._seen_s, self._utc_s = self._clock(), self._utc()
            self._seq += 1
            self.online = True
        self._values[key] = value
        return True

    def _take_status(self, message: Message) -> bool:
        if message.payload not in (b"online", b"offline"):
            return not message.payload
        online = message.payload == b"online"
        if online and not message.retain:
            self._lose_limits("OpenDTU has connected")
        self.online = online
        return True

    def _take_own_limiter(self, message: Message) -> bool:
        if message.payload not in (b"0", b"1", b"2"):
            return not message.payload
        self._own_limiter = message.payload != b"1"
        return True

    def _fault(self) -> str | None:
        now_s = self._clock()
        if self._own_limiter:
            return "OpenDTU-OnBattery's own power limiter works against this controller: switch it off there."
        if self.online is False:
            return "OpenDTU is offline: no limit can be sent, the inverters keep their last one."
        silent_s = now_s - (self._seen_s if self._seen_s is not None else self._started_s)
        if self._seen_s is None and silent_s > 15.0:
            return f"Nothing heard from OpenDTU under {self._prefix}/ since the start."
        if self._seen_s is not None and silent_s > 6.0 * PUBLISH_INTERVAL_S:
            return f"OpenDTU has been silent for {silent_s:.0f} s."
        return None
