"""What OpenDTU keeps in its memory: its settings, and what it knows of each inverter. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.simulator.answers import InverterData
from app.simulator.inverter import Inverter
from app.simulator.parameters import REACHABLE_FAILURES
from app.simulator.payload import LimitValue


@dataclass(slots=True)
class RadioCounters:
    """What OpenDTU counts per inverter."""

    tx_request: int = 0
    rx_success: int = 0
    rx_fail_nothing: int = 0


@dataclass(slots=True)
class Link:
    """What OpenDTU knows of one inverter. ``fresh``: new data since the publication before the last one."""

    inverter: Inverter
    counters: RadioCounters = field(default_factory=RadioCounters)
    data: InverterData | None = None
    data_seq: int = 0
    published_seq: int = 0
    fresh: bool = False
    failures: int = 0
    info_known: bool = False
    limit_pct: float | None = None
    requested: LimitValue | None = None
    acked: LimitValue | None = None
    refused: bool = False
    command_ok_s: float = 0.0
    limit_read_s: float = 0.0

    def meet(self, now_s: float) -> None:
        """Know what hours of polling would have told."""
        if self.inverter.answers:
            self.data, self.data_seq = self.inverter.read(now_s), 1
            self.info_known = True
            self.limit_pct = self.inverter.limit_w / self.inverter.model.rated_w * 100.0

    @property
    def serial(self) -> str:
        """The inverter's serial number."""
        return self.inverter.config.serial

    @property
    def reachable(self) -> bool:
        """True until the third failed poll in a row, and so right after boot too."""
        return self.failures <= REACHABLE_FAILURES

    @property
    def producing(self) -> bool:
        """By the last data, however old."""
        return self.data is not None and self.data.power_w > 0.0

    @property
    def rated_w(self) -> float | None:
        """Known once the inverter has told its part number."""
        return self.inverter.model.rated_w if self.info_known else None


@dataclass(frozen=True, slots=True)
class Received:
    """One message that arrived below ``cmd/``."""

    at_s: float
    serial: str
    command: str
    payload: str
    retained: bool
