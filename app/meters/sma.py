"""SMA Energy Meter and Sunny Home Manager 2.0: they send their values to everybody in the network, unasked.

To a multicast group, or to this machine alone where its address was entered as the target of the direct communication.
Nobody proves who he is there: whoever is in the network can send other values.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Literal

from pydantic import Field

from app.access import Access
from app.meters.base import About, Emit, Meter, MeterSection
from app.meters.freshness import DeviceTime
from app.meters.push import SILENT
from app.meters.speedwire import TICKER_TURN, Telegram, parse, sender
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Reading

log = logging.getLogger(__name__)

GROUP, PORT = "239.12.255.254", 9522
LEAST_GAP_S = 0.2  # some send faster than anybody needs
LOOK_ROUND_S = 2.5  # before the first reading where no serial is given: every meter is heard once in a second
OPEN_AGAIN_S = 5.0
NEAR_S = 60.0  # a clock that turns over is so near to where it was
MANY = 20  # serial numbers are remembered, and joined interfaces: Linux allows no more


class SmaConfig(MeterSection):
    """An SMA meter that sends into our network."""

    about = About(
        products="SMA Energy Meter (EMETER), Sunny Home Manager 2.0",
        example="type: sma\nserial: 3011842589 # needed where there are several",
        speed="1 s, some 0.2 s",
        limits=(
            "the same network without a router between; switches with IGMP snooping need a querier; in Docker, the "
            "network of the host (docker-compose.host.yml). An address under Direkte Zähler-Kommunikation in the "
            "Home Manager stops the multicast: leave it empty, or enter the one of this machine. Whoever is in the "
            "network can send false values"
        ),
    )

    type: Literal["sma"]
    serial: int | None = Field(
        None, ge=1, lt=2**32, description="which meter, as on its label; needed where several are heard"
    )
    interface: IPv4Address | None = Field(
        None, description="the address of ours in the meter's network; default: all networks"
    )
    interval_s: float = Field(1.0, ge=0.2, le=10, description="how often it sends at least")

    def driver(self, access: Access) -> Meter:  # noqa: ARG002 - it needs nothing of the program
        """The driver for this meter."""
        return Sma(self)


@dataclass(slots=True)
class Ears(asyncio.DatagramProtocol):
    """Keeps the newest datagram of one meter, and who else was heard. ``serial`` is 0 until it is known."""

    serial: int
    heard: dict[int, str] = field(default_factory=dict)  # serial numbers, and the addresses they send from
    newest: tuple[bytes, float] | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take in what the network brings."""
        serial = sender(data)
        if serial is None:
            return
        if serial not in self.heard and len(self.heard) < MANY:
            self.heard[serial] = str(addr[0])
        if serial == self.serial:
            self.newest = data, time.monotonic()
            self.arrived.set()


class Sma:
    """Listens for one meter."""

    def __init__(self, config: SmaConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"sma {config.serial}" if config.serial else "sma"
        self.interval_s = config.interval_s
        self._config, self._clock = config, clock
        self._serial = config.serial or 0
        self._ticker = Ticker()
        self._told: set[int] = set()

    async def run(self, emit: Emit) -> None:
        """Emit what it sends, at most five times a second; after silence the networks are joined again."""
        while True:
            try:
                await self._listen(emit)
            except DeviceError as error:
                emit(error)
                if not isinstance(error, Silence):
                    await asyncio.sleep(OPEN_AGAIN_S)

    async def _listen(self, emit: Emit) -> None:
        self._ticker = Ticker()  # the meter may have been off
        loop = asyncio.get_running_loop()
        opened = open_socket(self._config.interface)
        transport, ears = await loop.create_datagram_endpoint(lambda: Ears(self._serial), sock=opened)
        try:
            if not self._serial:
                self._serial = ears.serial = await self._choose(ears)
            while True:
                data, at_s = await self._next(ears)
                self._tell_others(ears)
                outcome = self._outcome(data, at_s)
                if outcome is not None:
                    emit(outcome)
                    await asyncio.sleep(LEAST_GAP_S)
        finally:
            transport.close()

    async def _choose(self, ears: Ears) -> int:
        """The serial number of the one meter that there is. Raises `DeviceError` where there is none, or several."""
        await asyncio.sleep(max(LOOK_ROUND_S, SILENT * self._config.interval_s))
        if len(ears.heard) > 1:
            raise DeviceDataError(
                f"{_named(ears.heard)} are heard: put the number of the one at the grid connection into meter.serial"
            )
        if not ears.heard:
            raise Silence(self._silence(ears))
        serial = next(iter(ears.heard))
        log.info("listening to the SMA meter %d at %s", serial, ears.heard[serial])
        return serial

    async def _next(self, ears: Ears) -> tuple[bytes, float]:
        try:
            async with asyncio.timeout(SILENT * self._config.interval_s):
                await ears.arrived.wait()
        except TimeoutError:
            raise Silence(self._silence(ears)) from None
        ears.arrived.clear()
        if ears.newest is None:
            raise Silence(self._silence(ears))
        return ears.newest

    def _outcome(self, data: bytes, at_s: float) -> Reading | DeviceError | None:
        try:
            found = parse(data)
            moment_s = self._ticker.moment(found.ticker_ms, at_s)
        except DeviceDataError as error:
            return DeviceDataError(f"sma {self._serial}: {error}")
        return None if moment_s is None else self._reading(found, moment_s)

    def _reading(self, found: Telegram, at_s: float) -> Reading:
        utc_s = time.time() - (self._clock() - at_s)
        return Reading(found.power_w, at_s, utc_s, found.phases, found.import_wh, found.export_wh)

    def _tell_others(self, ears: Ears) -> None:
        others = {serial: place for serial, place in ears.heard.items() if serial != self._serial}
        if others and not self._config.serial and not others.keys() <= self._told:
            self._told |= others.keys()
            log.warning("listening to the SMA meter %d, and not to %s: set meter.serial", self._serial, _named(others))

    def _silence(self, ears: Ears) -> str:
        wait_s = SILENT * self._config.interval_s
        others = {serial: place for serial, place in ears.heard.items() if serial != self._serial}
        if others and self._serial:
            there = _named(others)
            return f"nothing from the SMA meter {self._serial} for {wait_s:.0f} s, but {there}: check meter.serial"
        return (
            f"no SMA meter heard for {wait_s:.0f} s ({GROUP}, UDP port {PORT}): it has to be in the same network, "
            "switches with IGMP snooping need a querier, Docker the network of the host; an address under Direkte "
            "Zähler-Kommunikation in the Home Manager stops the multicast: remove it, or enter the one of this machine"
        )


class Silence(DeviceUnavailable):
    """Nothing comes; listening again needs no pause."""


class Ticker:
    """When a value was there, by the meter's clock of milliseconds, which has to advance."""

    def __init__(self) -> None:
        self._time = DeviceTime()
        self._turns, self._last_ms, self._last_s = 0, 0, 0.0

    def moment(self, ticker_ms: int, now_s: float) -> float | None:
        """As `DeviceTime.moment`. It turns over when its time has come; if not, the meter has restarted."""
        near_s = NEAR_S + 2.0 * (now_s - self._last_s)
        if ticker_ms < self._last_ms and (ticker_ms - self._last_ms) % TICKER_TURN < 1000.0 * near_s:
            self._turns += 1
        elif self._turns and ticker_ms > self._last_ms and (self._last_ms - ticker_ms) % TICKER_TURN < 1000.0 * near_s:
            return None  # from before it turned over
        self._last_ms, self._last_s = ticker_ms, now_s
        return self._time.moment((self._turns * TICKER_TURN + ticker_ms) / 1000.0, now_s)


def open_socket(interface: IPv4Address | None) -> socket.socket:
    """A socket that hears the group, and what is sent to us alone, beside other programs. Raises `DeviceUnavailable`.

    What is sent to us alone reaches but one of the programs that listen.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        for option in ("SO_REUSEADDR", "SO_REUSEPORT"):
            opened.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        opened.bind(("", PORT))
        _join(opened, interface)
    except OSError as error:
        opened.close()
        raise DeviceUnavailable(f"cannot listen for SMA meters at UDP port {PORT}: {error.strerror}") from None
    except DeviceUnavailable:
        opened.close()
        raise
    return opened


def _join(opened: socket.socket, interface: IPv4Address | None) -> None:
    group, here = socket.inet_aton(GROUP), (interface or IPv4Address(0)).packed
    indexes = [index for index, _name in socket.if_nameindex()] if interface is None else [0]
    joined = 0
    for index in indexes[:MANY]:
        with suppress(OSError):  # one without IPv4, or that is down
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", group, here, index))
            joined += 1
    if not joined:
        whose = (
            "no network of this machine can" if interface is None else f"{interface} is no address of ours, or cannot"
        )
        raise DeviceUnavailable(f"{whose} join the multicast group {GROUP} of SMA meters")


def _named(heard: Mapping[int, str]) -> str:
    shown = [f"{serial} at {place}" for serial, place in sorted(heard.items())[:4]]
    return f"SMA meter{'s' if len(shown) > 1 else ''} {' and '.join(shown)}"
