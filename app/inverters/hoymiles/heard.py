"""What has been heard of one inverter, and what that says about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.broker import Message
from app.inverters.hoymiles.commands import Commands
from app.inverters.hoymiles.config import HoymilesSection
from app.inverters.hoymiles.payload import number, plausible
from app.model import Ac, InverterState, Panel
from app.seldom import Seldom

log = logging.getLogger(__name__)

Take = Callable[[Message], bool]

CMT_SERIALS = {"1124", "1125", "1400", "1143", "1144", "114a", "1410", "1164", "1166", "1420", "1361", "1382"}
BURST_S = 0.5
TELL_AGAIN_S = 60.0


@dataclass(slots=True)
class Heard:
    """One inverter by its messages, however its gateway words them.

    ``gap_s``: a longer silence may have cost it its limit; ``radio``: the transmitter that it is reached with.
    """

    config: HoymilesSection
    clock: Callable[[], float]
    utc: Callable[[], float]
    gap_s: float
    commands: Commands
    radio: str
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
        """Every topic below the inverter's that says something, and who takes it in: False where it cannot be used."""
        raise NotImplementedError

    def shows(self, limit_w: float) -> bool:
        """Whether the gateway shows this limit as acknowledged; it keeps per mille of the rated power, truncated."""
        rated_w = self.rated_w or self.config.max_watt
        shown_w = self.limit_w if self.limit_w is not None or self.limit_pct is None else self.limit_pct * rated_w / 100
        return shown_w is not None and abs(shown_w - min(limit_w, rated_w)) <= 0.002 * rated_w + 0.5

    def reaches(self, now_s: float) -> bool | None:  # noqa: ARG002 - for those that go by the time
        """Whether its gateway reaches it now."""
        return self.reachable

    def disconnected(self) -> None:
        """The broker is away: what is not heard now says nothing."""
        self.commands.disconnected()

    def lose_limit(self, why: str) -> None:
        """From now on nobody knows what limit it has."""
        self.resets += 1
        self.power_on = None
        if self.seldom.due(why.partition(" for ")[0]):
            log.info("%s: %s; its limit counts as lost", self.config.name or self.config.id, why)

    def state(
        self, now_s: float, online: bool | None, *, guarded: bool, gateway: str, refused: str | None
    ) -> InverterState:
        """What is known now. ``online``, ``refused``: of the gateway; ``guarded``: its will is armed."""
        if self.burst_s is not None and now_s - self.burst_s > BURST_S:  # the end of a burst got lost
            self.end_burst()
        config = self.config
        off = "switched off by this controller" if self.power_on is False else None
        return InverterState(
            serial=config.id,
            name=config.name or self.label or config.id,
            max_w=config.max_watt,
            min_w=config.floor_w,
            enabled=config.enabled and refused is None,
            refused=refused if config.enabled else None,
            reachable=self.reaches(now_s) if online else online,
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
            radio=self.radio,
            gateway=gateway,
            phase=config.phase,
            note=refused or off,
            power_on=self.power_on,
            powered_at_s=self.powered_at_s,
            foreign=self.commands.foreign,
            foreign_at_s=self.commands.foreign_at_s,
            undelivered_since_s=self.commands.undelivered_since_s(now_s),
            guarded=guarded,
        )

    # -- what comes in, in any words -------------------------------------------------------------------

    def value(self, name: str, message: Message) -> float | None:
        """A field that can be believed, or None."""
        value = number(message.payload)
        return value if value is not None and plausible(name, value, self.config.max_watt) else None

    def take_rssi(self, message: Message) -> bool:
        """Signal strength."""
        value = self.value("rssi_dbm", message)
        if value is None:
            return not message.payload
        self.rssi_dbm = value
        return True

    def take_reachable(self, reachable: bool, *, live: bool) -> None:
        """Whether the gateway reaches it; a retained copy counts until a live message has come."""
        if live and self.reachable is False and reachable:
            self.lose_limit("can be reached again")
        if live or not self.reachable_live:
            self.reachable = reachable
            self.reachable_live |= live

    def take_updated(self, utc_s: float) -> None:
        """When the gateway last heard the inverter; 0: never."""
        if self.updated_utc_s and utc_s - self.updated_utc_s > self.gap_s:
            self.lose_limit(f"was silent for {utc_s - self.updated_utc_s:.0f} s")
        self.updated_utc_s = utc_s or self.updated_utc_s

    def take_limit(self) -> None:
        """The gateway shows a limit, in `limit_w` or `limit_pct`."""
        self.limit_at_s = self.clock()
        if self.commanded_w is not None and self.shows(self.commanded_w):
            self.commands.shown()

    def prove_power(self) -> None:
        """Date the new data: the gateway says when it heard the inverter, to the second."""
        now_s, now_utc_s = self.clock(), self.utc()
        age_s = now_utc_s - (self.updated_utc_s + 0.5)
        age_s = min(max(age_s, 0.0), 30.0) if -2.0 < age_s < 30.0 else 0.0  # else the clocks disagree
        self.power_at_s, self.utc_s, self.burst_s = now_s - age_s, now_utc_s - age_s, now_s

    def end_burst(self) -> None:
        """All that came with the new data is there."""
        if self.burst_s is not None:
            self.burst_s = None
            self.data_seq += 1


def band(serial: str) -> str:
    """The transmitter that a DTU reaches an inverter with: one for HM and HERF, another for HMS and HMT."""
    return "cmt" if serial[:4] in CMT_SERIALS else "nrf"
