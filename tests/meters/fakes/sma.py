"""SMA energy meters: their datagrams, and a sender of them to the multicast group of the loopback or to one address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.meters import sma

GRID, PV = 3011842589, 3006123456
Value = tuple[int, int, int]  # index, kind (4 or 8), the number


def free_udp_port() -> int:
    """A port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def values(power_w: float, *, import_wh: float = 1234.5, export_wh: float = 77.0) -> list[Value]:
    """What a meter with one loaded phase tells: totals first, as they do."""
    tenths = (round(10 * max(0.0, power_w)), round(10 * max(0.0, -power_w)))
    counters = (round(3600 * import_wh), round(3600 * export_wh))
    found = [(1, 4, tenths[0]), (1, 8, counters[0]), (2, 4, tenths[1]), (2, 8, counters[1]), (14, 4, 49_990)]
    for phase in (20, 40, 60):
        part = tenths if phase == 20 else (0, 0)
        found += [(phase + 1, 4, part[0]), (phase + 1, 8, 5), (phase + 2, 4, part[1]), (phase + 2, 8, 6)]
        found += [(phase + 11, 4, 1230), (phase + 12, 4, 232_744), (phase + 13, 4, 998)]
    return found


def datagram(
    content: Iterable[Value], *, serial: int = GRID, ticker_ms: int = 0, susy: int = 372, protocol: int = 0x6069
) -> bytes:
    """As it comes over the network, with the version of the software and the end tag."""
    body = b"".join(
        bytes((0, index, kind, 0)) + number.to_bytes(8 if kind == 8 else 4) for index, kind, number in content
    )
    body += bytes.fromhex("90000000 01020452")
    data = protocol.to_bytes(2) + susy.to_bytes(2) + serial.to_bytes(4) + (ticker_ms % 2**32).to_bytes(4) + body
    return b"SMA\0" + bytes.fromhex("000402a0 00000001") + len(data).to_bytes(2) + b"\0\x10" + data + bytes(4)


@dataclass
class FakeSma:
    """Sends what `sends` says, every ``every_s``; powers by serial number. ``to``: None is the multicast group."""

    powers_w: Mapping[int, float] = field(default_factory=dict)
    to: str | None = None
    every_s: float = 0.1
    tick_ms: int = 1000
    ticker_ms: int = 4_123_722_627
    sent: int = 0

    async def run(self) -> None:
        """Send for ever."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            while True:
                self.ticker_ms += self.tick_ms
                for data in self.sends():
                    sender.sendto(data, (self.to or sma.GROUP, sma.PORT))
                self.sent += 1
                await asyncio.sleep(self.every_s)

    def sends(self) -> Iterable[bytes]:
        """The datagrams of now."""
        for serial, power_w in self.powers_w.items():
            yield datagram(values(power_w), serial=serial, ticker_ms=self.ticker_ms)
