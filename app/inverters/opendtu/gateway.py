"""What has been heard of OpenDTU itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from app.broker import Message
from app.inverters.hoymiles.gateway import HeardGateway
from app.inverters.hoymiles.heard import Take

PUBLISH_INTERVAL_S = 5.0  # OpenDTU's default and the least that its page accepts
VALUES = {"uptime": "uptime_s", "rssi": "rssi_dbm", "temperature": "temperature_c", "heap/free": "heap_free_b"}
OWN_LIMITER = (
    "OpenDTU-OnBattery's own power limiter is on: two that command the same inverters undo each other's limits, "
    "so none is commanded from here."
)
SWITCH_IT_OFF = "In OpenDTU-OnBattery, Settings > Dynamic Power Limiter: switch it off. This controller then goes on."
NOT_REPEATED = 3  # so many uptimes without its mode: it publishes both at one interval while its limiter is configured


class Gateway(HeardGateway):
    """OpenDTU by its messages."""

    silence_s, first_s = 6.0 * PUBLISH_INTERVAL_S, 3.0 * PUBLISH_INTERVAL_S

    def __init__(
        self, prefix: str, clock: Callable[[], float], utc: Callable[[], float], lose_limits: Callable[[str], None]
    ) -> None:
        super().__init__("OpenDTU", prefix, clock, utc, lose_limits)
        self._uptimes = 0  # since it last told the mode of its own limiter
        self._leftover = False  # what the broker keeps of that mode is told no more

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic that says something, and who takes it in: False where it cannot be used."""
        yield "dtu/status", partial(self.take_online, (b"online", b"offline"))
        for key, name in VALUES.items():
            yield f"dtu/{key}", partial(self.take_value, name)
        yield "powerlimiter/status/mode", self._take_own_limiter

    @property
    def next_step(self) -> str:
        """What to do about its fault; empty: the usual."""
        return SWITCH_IT_OFF if self.refused else ""

    def heard(self) -> None:
        """It lives. Where it repeats the mode of its own limiter no more, that one is configured away."""
        super().heard()
        self._uptimes += 1
        if self.refused and self._uptimes >= NOT_REPEATED:
            self._leftover = True
            self._limiter(on=False)

    def _take_own_limiter(self, message: Message) -> bool:
        if message.payload not in (b"0", b"1", b"2"):
            return not message.payload
        if message.retain and self._leftover:
            return True
        self._uptimes, self._leftover = 0, False
        self._limiter(on=message.payload != b"1")
        return True

    def _limiter(self, *, on: bool) -> None:
        if self.refused and not on:
            self._lose_limits("OpenDTU-OnBattery's own power limiter is off now")
        self.refused = OWN_LIMITER if on else None
