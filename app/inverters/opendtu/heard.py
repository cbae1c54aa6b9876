"""What has been heard of one inverter, and what that says about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.broker import Message
from app.inverters.opendtu.commands import Commands
from app.inverters.opendtu.config import OpenDtuInverterConfig
from app.inverters.opendtu.payload import AC_FIELDS, PANEL_FIELDS, STATUS_FIELDS, number, plausible, text
from app.model import Ac, InverterState, Panel
from app.seldom import Seldom

log = logging.getLogger(__name__)

Take = Callable[[Message], bool]

CMT_SERIALS = {"1124", "1125", "1400", "1143", "1144", "114a", "1410", "1164", "1166", "1420", "1361", "1382"}
MOST_CHANNELS = 6
BURST_S = 0.5
TELL_AGAIN_S = 60.0


@dataclass(slots=True)
class Heard:
    """One inverter by its messages. ``gap_s``: a longer silence may have cost it its limit."""

    config: OpenDtuInverterConfig
    clock: Callable[[], float]
    utc: Callable[[], float]
    gap_s: float
    commands: Commands
    label: str = ""
    reachable: bool | None = None
    reachable_live: bool = False
    producing: bool | None = None
    ac: dict[str, float] = field(default_factory=dict)
    panels: dict[int, dict[str, Any]] = field(default_factory=dict)
    burst_s: float | None = None
    power_at_s: float | None = None
    utc_s: float | None = None
    updated_utc_s: float = 0.0
    data_seq: int = 0
    limit_pct: float | None = None
    limit_w: float | None = None
    limit_at_s: float | None = None
    rated_w: float | None = None
    rssi_dbm: float | None = None
    resets: int = 0
    commanded_w: float | None = None
    commanded_at_s: float | None = None
    power_on: bool | None = None
    powered_at_s: float | None = None
    seldom: Seldom = field(default_factory=lambda: Seldom(TELL_AGAIN_S))

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic below the serial that says something, and who takes it in: False where it cannot be used."""
        yield "name", self._take_name
        yield "radio/rssi", self._take_rssi
        for key in STATUS_FIELDS:
            yield f"status/{key}", partial(self._take_status, key)
        for key in AC_FIELDS:
            yield f"0/{key}", partial(self._take_ac, key)
        for channel in range(1, (self.config.channels or MOST_CHANNELS) + 1):
            yield f"{channel}/name", partial(self._take_panel_name, channel)
            for key in PANEL_FIELDS:
                yield f"{channel}/{key}", partial(self._take_panel, channel, key)

    def shows(self, limit_w: float) -> bool:
        """Whether the gateway shows this limit as acknowledged; it keeps per mille of the rated power, truncated."""
        rated_w = self.rated_w or self.config.max_watt
        shown_w = self.limit_w if self.limit_w is not None or self.limit_pct is None else self.limit_pct * rated_w / 100
        return shown_w is not None and abs(shown_w - min(limit_w, rated_w)) <= 0.002 * rated_w + 0.5

    def lose_limit(self, why: str) -> None:
        """From now on nobody knows what limit it has."""
        self.resets += 1
        self.power_on = None
        if self.seldom.due(why.partition(" for ")[0]):
            log.info("%s: %s; its limit counts as lost", self.config.name or self.config.serial, why)

    def state(self, now_s: float, online: bool | None, *, guarded: bool) -> InverterState:
        """What is known now. ``online``: of the gateway; ``guarded``: its will is armed."""
        if self.burst_s is not None and now_s - self.burst_s > BURST_S:  # the end of a burst got lost
            self.burst_s = None
            self.data_seq += 1
        config = self.config
        return InverterState(
            serial=config.serial,
            name=config.name or self.label or config.serial,
            max_w=config.max_watt,
            min_w=config.floor_w,
            enabled=config.enabled,
            reachable=self.reachable if online else online,
            producing=self.producing,
            ac=Ac(**self.ac),
            panels=tuple(Panel(channel, **values) for channel, values in sorted(self.panels.items()) if values),
            power_at_s=self.power_at_s,
            utc_s=self.utc_s,
            data_seq=self.data_seq,
            commanded_w=self.commanded_w,
            commanded_at_s=self.commanded_at_s,
            acked_w=self.limit_w,
            acked_pct=self.limit_pct,
            acked_at_s=self.limit_at_s,
            rated_w=self.rated_w,
            rssi_dbm=self.rssi_dbm,
            resets=self.resets,
            radio=_radio(config.serial),
            phase=config.phase,
            note="switched off by this controller" if self.power_on is False else None,
            power_on=self.power_on,
            powered_at_s=self.powered_at_s,
            foreign=self.commands.foreign,
            foreign_at_s=self.commands.foreign_at_s,
            undelivered_since_s=self.commands.undelivered_since_s(now_s),
            guarded=guarded,
        )

    # -- what comes in ---------------------------------------------------------------------------------

    def _value(self, key: str, message: Message) -> float | None:
        value = number(message.payload)
        return value if value is not None and plausible(key, value, self.config.max_watt) else None

    def _take_name(self, message: Message) -> bool:
        self.label = text(message.payload)
        return True

    def _take_rssi(self, message: Message) -> bool:
        value = self._value("rssi", message)
        if value is None:
            return not message.payload
        self.rssi_dbm = value
        return True

    def _take_status(self, key: str, message: Message) -> bool:
        value = self._value(key, message)
        if value is None:
            return not message.payload
        if key == "reachable":
            self._take_reachable(value > 0.0, live=not message.retain)
        elif message.retain:
            return True
        elif key == "producing":
            self.producing = value > 0.0
        elif key == "last_update":
            if self.updated_utc_s and value - self.updated_utc_s > self.gap_s:
                self.lose_limit(f"was silent for {value - self.updated_utc_s:.0f} s")
            self.updated_utc_s = value or self.updated_utc_s
        else:
            self._take_limit(key, value)
        return True

    def _take_reachable(self, reachable: bool, *, live: bool) -> None:
        if live and self.reachable is False and reachable:
            self.lose_limit("can be reached again")
        if live or not self.reachable_live:
            self.reachable = reachable
            self.reachable_live |= live

    def _take_limit(self, key: str, value: float) -> None:
        if key == "limit_relative":
            self.limit_pct = value
        else:
            self.limit_w = value
            if self.limit_pct and self.limit_pct >= 10.0:
                self.rated_w = round(value / self.limit_pct * 100.0)
        self.limit_at_s = self.clock()
        if self.commanded_w is not None and self.shows(self.commanded_w):
            self.commands.shown()

    def _take_ac(self, key: str, message: Message) -> bool:
        value = self._value(key, message)
        if value is None:
            return not message.payload
        if message.retain or self.reachable is False:
            return True
        if key == "yieldday" and value < self.ac.get("yield_day_wh", 0.0):
            self.lose_limit("has restarted")
        self.ac[AC_FIELDS[key]] = value
        if key == "power":
            self._prove_power()
        elif key == "efficiency" and self.burst_s is not None:
            self.burst_s = None
            self.data_seq += 1
        return True

    def _take_panel_name(self, channel: int, message: Message) -> bool:
        self.panels.setdefault(channel, {})["name"] = text(message.payload) or None
        return True

    def _take_panel(self, channel: int, key: str, message: Message) -> bool:
        value = self._value(key, message)
        if value is None:
            return not message.payload
        if not message.retain and self.reachable is not False:
            self.panels.setdefault(channel, {})[PANEL_FIELDS[key]] = value
        return True

    def _prove_power(self) -> None:
        """Date the new data: OpenDTU says when it heard the inverter, to the second."""
        now_s, now_utc_s = self.clock(), self.utc()
        age_s = now_utc_s - (self.updated_utc_s + 0.5)
        age_s = min(max(age_s, 0.0), 30.0) if -2.0 < age_s < 30.0 else 0.0  # else the clocks disagree
        self.power_at_s, self.utc_s, self.burst_s = now_s - age_s, now_utc_s - age_s, now_s


def _radio(serial: str) -> str:
    """The transmitter that OpenDTU reaches an inverter with: one for HM and HERF, another for HMS and HMT."""
    return "cmt" if serial[:4] in CMT_SERIALS else "nrf"
