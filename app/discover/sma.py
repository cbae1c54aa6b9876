"""SMA meters announce nothing: they send their values to everybody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from app.discover.paste import Found, Line
from app.meters.sma import MANY, open_socket
from app.meters.speedwire import parse, sender
from app.model import DeviceDataError

SMA = "SMA"


@dataclass(slots=True)
class _Heard(asyncio.DatagramProtocol):
    """The last datagram of each meter, and where it came from."""

    last: dict[int, tuple[bytes, str]] = field(default_factory=dict)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take in what the network brings."""
        serial = sender(data)
        if serial is not None and (serial in self.last or len(self.last) < MANY):
            self.last[serial] = data, str(addr[0])


async def hear(seconds: float, interface: IPv4Address | None) -> list[Found]:
    """Every meter that sends within this time. Raises `DeviceUnavailable` where nothing can be heard."""
    opened = open_socket(interface)
    transport, heard = await asyncio.get_running_loop().create_datagram_endpoint(_Heard, sock=opened)
    try:
        await asyncio.sleep(seconds)
    finally:
        transport.close()
    return [found_sma(serial, *last) for serial, last in sorted(heard.last.items())]


def found_sma(serial: int, data: bytes, host: str) -> Found:
    """The meter of a datagram."""
    try:
        telegram = parse(data)
        shows = f"shows {telegram.power_w:+.0f} W now, + is import"
    except DeviceDataError as error:
        shows = f"shows no power: {error}"
    lines = (Line("type", "sma"), Line("serial", serial, shows))
    return Found(SMA, f"SMA meter {serial}", host, (Line("meter", lines),))
