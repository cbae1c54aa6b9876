"""What has been heard of a gateway itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.broker import Message
from app.inverters.hoymiles.heard import Take
from app.inverters.hoymiles.payload import number, plausible
from app.model import GatewayState


class HeardGateway:
    """A gateway by its messages. ``lose_limits`` is told why no limit may be in force any more.

    ``refused``: why its inverters must not be commanded now; ``silence_s``: a longer one is a fault.
    """

    silence_s: float
    first_s: float

    def __init__(
        self,
        name: str,
        prefix: str,
        clock: Callable[[], float],
        utc: Callable[[], float],
        lose_limits: Callable[[str], None],
    ) -> None:
        self.name, self.prefix, self._clock, self._utc, self._lose_limits = name, prefix, clock, utc, lose_limits
        self._values: dict[str, float] = {}
        self._seen_s: float | None = None
        self._started_s = clock()
        self._seq = 0
        self._utc_s: float | None = None
        self.online: bool | None = None
        self.refused: str | None = None

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic that says something, and who takes it in: False where it cannot be used."""
        raise NotImplementedError

    def disconnected(self) -> None:
        """Without the broker nothing is known of it, and it may be back later than we are."""
        self.online = None

    def state(self) -> GatewayState:
        """What is known now."""
        fault = self._fault()
        return GatewayState(
            name=self.name,
            online=self.online,
            uptime_s=self._values.get("uptime_s"),
            rssi_dbm=self._values.get("rssi_dbm"),
            temperature_c=self._values.get("temperature_c"),
            heap_free_b=self._values.get("heap_free_b"),
            seen_at_s=self._seen_s,
            utc_s=self._utc_s,
            data_seq=self._seq,
            fault=fault,
            next_step=self.next_step if fault else "",
        )

    @property
    def next_step(self) -> str:
        """What to do about its fault; empty: the usual."""
        return ""

    def take_value(self, name: str, message: Message) -> bool:
        """A number that it tells of itself; its uptime proves that it lives."""
        value = number(message.payload)
        if value is None or not plausible(name, value, 0.0):
            return not message.payload
        if message.retain:
            return True
        if name == "uptime_s":
            if value < self._values.get(name, 0.0):
                self._lose_limits(f"{self.name} has restarted")
            self._seq += 1
            self.heard()
        self._values[name] = value
        return True

    def heard(self) -> None:
        """It lives: a message came that only it sends, and that is no copy."""
        self._seen_s, self._utc_s = self._clock(), self._utc()
        self.online = True

    def take_online(self, words: tuple[bytes, bytes], message: Message) -> bool:
        """Its last will, and the opposite: ``words`` for there and for away."""
        if message.payload not in words:
            return not message.payload
        online = message.payload == words[0]
        if online and not message.retain:
            self._lose_limits(f"{self.name} has connected")
        self.online = online
        return True

    def _fault(self) -> str | None:
        if self.refused:
            return self.refused
        if self.online is False:
            return f"{self.name} is offline: no limit can be sent, the inverters keep their last one."
        silent_s = self._clock() - (self._seen_s if self._seen_s is not None else self._started_s)
        if self._seen_s is None and silent_s > self.first_s:
            return f"Nothing heard from {self.name} under {self.prefix}/ since the start."
        if self._seen_s is not None and silent_s > self.silence_s:
            return f"{self.name} has been silent for {silent_s:.0f} s."
        return None
