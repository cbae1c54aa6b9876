"""What AhoyDTU says of one inverter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from app.broker import Message
from app.documents import optional
from app.inverters.hoymiles.heard import Heard, Take
from app.inverters.hoymiles.models import rated_w
from app.inverters.hoymiles.payload import MOST_CHANNELS, plausible, text

AC_FIELDS = {
    "P_AC": "power_w",
    "U_AC": "voltage_v",
    "I_AC": "current_a",
    "F_AC": "frequency_hz",
    "PF_AC": "power_factor",
    "Q_AC": "reactive_power_var",
    "P_DC": "dc_power_w",
    "Temp": "temperature_c",
    "Efficiency": "efficiency_pct",
    "YieldDay": "yield_day_wh",
    "YieldTotal": "yield_total_kwh",
}
PANEL_FIELDS = {
    "P_DC": "power_w",
    "U_DC": "voltage_v",
    "I_DC": "current_a",
    "YieldDay": "yield_day_wh",
    "YieldTotal": "yield_total_kwh",
    "Irradiation": "irradiation_pct",
}
STATUSES = {  # reachable, producing
    b"0": (False, False),  # off: silent for more than 15 min; commands are dropped
    b"1": (True, False),  # starting
    b"2": (True, True),
    b"3": (True, False),  # has produced: it answers, and gives nothing
    b"4": (False, False),  # was on: silent for more than 5 min
}
SILENT_S = 120.0  # AhoyDTU itself waits 5 min before it says that an inverter is away
SAME_LIMIT_W = 1.05  # before 0.8.39 it cut limits to whole watts
MAX_JSON_B = 2048


@dataclass(slots=True)
class AhoyHeard(Heard):
    """One inverter by AhoyDTU's messages. ``gateway_lives`` is told with every new answer that it passes on."""

    gateway_lives: Callable[[], None] = field(kw_only=True)
    heard_s: float | None = None
    doubtful: bool = False  # what comes now may be zeros that stand for an inverter that is heard no more

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic below the name that says something, and who takes it in: False where it cannot be used."""
        yield "available", self._take_available
        yield "last_success", self._take_updated
        yield "ack_pwr_limit", self._take_ack
        yield "hardware", self._take_hardware
        yield "radio_stat", self._take_end
        for topic in ("rssi", "ch0/rssi"):
            yield topic, self.take_rssi
        for topic in ("active_PowerLimit", "ch0/active_PowerLimit"):
            yield topic, self._take_readback
        for channel in range((self.config.channels or MOST_CHANNELS) + 1):
            for key, name in (PANEL_FIELDS if channel else AC_FIELDS).items():
                yield f"ch{channel}/{key}", partial(self._take_field, channel, name)
            yield f"ch{channel}", partial(self._take_document, channel)

    def reaches(self, now_s: float) -> bool | None:
        """Whether the inverter answers: sooner than AhoyDTU says it, by the silence."""
        silent = self.heard_s is not None and now_s - self.heard_s > SILENT_S
        return False if silent else self.reachable

    def disconnected(self) -> None:
        """The broker is away: what is not heard now says nothing."""
        self.commands.disconnected()
        self.heard_s = None

    def _take_available(self, message: Message) -> bool:
        status = STATUSES.get(message.payload)
        if status is None:
            return not message.payload
        reachable, producing = status
        self.take_reachable(reachable, live=not message.retain)
        if not message.retain:
            self.producing = producing
        return True

    def _take_updated(self, message: Message) -> bool:
        """The time of its last answer comes before that answer; where it stands still, so does the inverter."""
        value = self.value("updated_utc_s", message)
        if value is None:
            return not message.payload
        if message.retain:
            self.updated_utc_s = self.updated_utc_s or value
            return True
        self.doubtful = value <= self.updated_utc_s
        if not self.doubtful:
            self.take_reachable(True, live=True)
            self.take_updated(value)
            self._lives()
        return True

    def _take_field(self, channel: int, name: str, message: Message) -> bool:
        value = self.value(name, message)
        if value is None:
            return not message.payload
        if not message.retain:
            self._field(channel, name, value)
        return True

    def _take_document(self, channel: int, message: Message) -> bool:
        """All fields of a channel as one object, where AhoyDTU is set to JSON."""
        document = _object(message.payload)
        if document is None:
            return not message.payload
        usable = True
        for key, name in (PANEL_FIELDS if channel else AC_FIELDS).items():
            value = optional(document.get(key))
            if value is not None and plausible(name, value, self.config.max_watt):
                if not message.retain:
                    self._field(channel, name, value)
            elif key in document:
                usable = False
        return usable

    def _field(self, channel: int, name: str, value: float) -> None:
        if self.reachable is False or (self.doubtful and value == 0.0):
            return
        if channel:
            self.panels.setdefault(channel, {})[name] = value
            return
        if name == "yield_day_wh" and value < self.ac.get(name, 0.0):
            self.lose_limit("has restarted")
        self.ac[name] = value
        if name == "power_w":
            self.producing = value > 0.0
            self._lives()
            self.prove_power()
            if self.limit_at_s is not None:  # a limit is shown once; what was not shown since then stands
                self.limit_at_s = self.clock()

    def _take_end(self, message: Message) -> bool:
        """Statistics of the radio: they end what comes with an answer, and are of no use here."""
        if not message.retain:
            self.end_burst()
        return True

    def _lives(self) -> None:
        self.heard_s = self.clock()
        self.gateway_lives()

    # -- limits ----------------------------------------------------------------------------------------

    def _take_ack(self, message: Message) -> bool:
        """The inverter has answered a limit, whether it took it or not. The unit is not told: watts, where it is ours.

        One that is not ours was sent from AhoyDTU's own page, or to its other interfaces.
        """
        value = float(self.newest_w or 0.0) if message.payload == b"true" else self.value("limit_w", message)
        if value is None:
            return not message.payload
        if message.retain:
            return True
        if self._ours(value):
            self.limit_w = value
            self.take_limit()
            return True
        self.limit_w = None
        if self.commands.any:
            self.commands.blame(f"ack_pwr_limit: {text(message.payload, 40)}", self.clock())
            self.lose_limit("a limit was acknowledged that is foreign")
        return True

    @property
    def newest_w(self) -> float | None:
        """The last limit that we sent, or tried to."""
        newest = self.commands.newest
        return None if newest is None else _watts(newest)

    def _ours(self, value: float) -> bool:
        return any(abs(_watts(payload) - value) <= SAME_LIMIT_W for payload in self.commands.expected())

    def _take_readback(self, message: Message) -> bool:
        """The limit as the inverter has it, in percent; new HMS firmware tells the persistent one instead."""
        value = self.value("limit_pct", message)
        if value is None:
            return not message.payload
        if not message.retain:
            self.limit_pct = value
            self.take_limit()
        return True

    def _take_hardware(self, message: Message) -> bool:
        """Its part number says what it is rated; that never changes, so a retained copy will do."""
        document = _object(message.payload)
        if document is None:
            return not message.payload
        part = optional(document.get("part"))
        if part is None or abs(part) >= 2.0**32:
            return "part" not in document
        self.rated_w = rated_w(int(part)) or self.rated_w
        return True


def _watts(payload: str) -> float:
    return float(payload.removesuffix("W"))


def _object(payload: bytes) -> dict[str, object] | None:
    if len(payload) > MAX_JSON_B:
        return None
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
