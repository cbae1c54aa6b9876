"""SMA meters that send datagrams to the multicast group of the loopback."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from app.checks import running
from tests.conftest import until
from tests.meters.contract import SILENT_CASES, Case, Rig
from tests.meters.fakes.sma import GRID, FakeSma, datagram, free_udp_port, values

NO_ANSWERS = dict.fromkeys(
    (Case.UNAUTHORISED, Case.FORBIDDEN, Case.NOT_FOUND, Case.BUSY, Case.BROKEN),
    "it sends unasked, so there is nothing that it could refuse",
)
NO_TEXT = dict.fromkeys((Case.NAN, Case.TEXT), "its values are whole numbers of bytes")
OTHERS = {
    Case.HTML: "what is no datagram of a meter is somebody else's, and passed over",
    Case.DRIP: "a datagram is whole or none",
    Case.HUGE: "a datagram has at most 64 KiB, and bytes behind its end mean nothing",
}
SERIALS = itertools.count(GRID)


class Device(FakeSma):
    """Sends what the case says."""

    def __init__(self) -> None:
        super().__init__()
        self.serial = next(SERIALS)  # several are at work in one network
        self.section = {"type": "sma", "serial": self.serial, "interface": "127.0.0.1", "interval_s": 0.3, "scale": 0.5}
        self.case, self.power_w = Case.SILENCE, 0.0

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        self.case, self.power_w = case, power_w
        self.tick_ms = 0 if case in SILENT_CASES else 1000
        if case in SILENT_CASES:
            sent = self.sent
            await until(lambda: self.sent >= sent + 4)

    def sends(self) -> Iterable[bytes]:
        """The datagrams of now."""
        case, content = (
            self.case,
            values(2.0 * self.power_w),
        )  # it shows tenths of a watt: with scale, finer ones can be asked for
        if case in (Case.SILENCE, Case.REFUSED):
            return
        if case is Case.MISSING:
            content = [value for value in content if value[:2] != (1, 4)]
        elif case is Case.NULL:
            content = [(1, 4, 2**32 - 1), *content[1:]]
        elif case is Case.RESTART:
            content = values(0.0, import_wh=0.0, export_wh=0.0)
        data = datagram(content, serial=self.serial, ticker_ms=5 if case is Case.OLD else self.ticker_ms)
        yield data[:100] if case is Case.RESET else data


@asynccontextmanager
async def _serve(_folder: Path) -> AsyncIterator[Device]:
    device = Device()
    async with running(device.run()):
        yield device


RIGS = [Rig("sma", ("sma",), _serve, NO_ANSWERS | NO_TEXT | OTHERS, {"app.meters.sma.PORT": free_udp_port()})]
