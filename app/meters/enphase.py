"""The grid clamps of an Enphase IQ Gateway or Envoy-S Metered (``/ivp/meters``, ``/ivp/meters/readings``).

Which clamps are at the grid is read first, and again from time to time. The time stamp of a row tells whether its value
is new.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

from pydantic import Field

from app.access import Access
from app.documents import optional
from app.enphase.clamps import METERS, Clamps, clamps, rows
from app.enphase.config import EnphaseLogin
from app.enphase.gateway import Gateway
from app.enphase.token import TOKENS
from app.meters.base import About, Emit, Meter, PolledConfig, poll, watts
from app.meters.enphase_stream import Pulse, data_of, parse_event
from app.meters.freshness import DeviceTime, time_stamp
from app.model import DeviceDataError, DeviceError, Phase, Reading

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 600.0  # at which meters there are
STREAM_SILENT_S = 5.0  # a stream that says nothing for so long is opened again
STREAM_WORKS = 10  # readings after which a stream is opened again at once when it ends
INSTEAD_S = 600.0  # where it does not work, the readings are asked for so long
LONGEST_PAUSE_S = 30.0  # between requests to a gateway that does not answer: it has few sockets, and falls over


class EnphaseConfig(EnphaseLogin, PolledConfig):
    """An Enphase gateway with consumption clamps at the grid connection."""

    about = About(
        products="Enphase IQ Gateway and Envoy-S Metered, with consumption clamps set up as net-consumption",
        example='type: enphase\nhost: 192.168.1.20\ntoken: "${ENPHASE_TOKEN}"',
        speed="2 s, where the gateway keeps up",
        limits=(
            f"firmware 7 and later needs a token, made at {TOKENS} and valid for a year (an installer's for 12 hours), "
            "or the Enlighten account that one is fetched with; before that, the password, which is the last six "
            "digits of the serial number: [docs/enphase.md](enphase.md). /production.json, where firmware 8.3.5433 "
            "shows the net as the total consumption, is not read. Once a day the gateway is away for a while"
        ),
    )

    type: Literal["enphase"]
    source: Literal["readings", "stream"] = Field(
        "readings",
        description="stream: each second, with an installer's token; where it does not work, the readings are asked",
    )
    interval_s: float = Field(2.0, ge=1.0, le=60, description="seconds between two requests")
    timeout_s: float = Field(3.0, gt=0, le=10, description="give up on one request after this many seconds")

    def driver(self, access: Access) -> Meter:
        """The driver for this gateway."""
        return Enphase(self, access)


class Enphase:
    """Polls one gateway."""

    def __init__(self, config: EnphaseConfig, access: Access) -> None:
        self.name = f"enphase at {config.host}"
        self.interval_s = config.interval_s
        self._timeout_s = config.timeout_s
        self._streams = config.source == "stream"
        self._gateway = Gateway.of(access, config)
        self._time = DeviceTime()
        self._clamps: Clamps | None = None
        self._looked_s = 0.0
        self._told = "normal"

    async def run(self, emit: Emit) -> None:
        """Emit a reading whenever the gateway has a new one."""
        while self._streams:
            await self._follow(emit)
            with suppress(TimeoutError):
                async with asyncio.timeout(INSTEAD_S):
                    await poll(self.read, self.interval_s, emit, longest_s=LONGEST_PAUSE_S)
        await poll(self.read, self.interval_s, emit, longest_s=LONGEST_PAUSE_S)

    async def _follow(self, emit: Emit) -> None:
        """Emit what is streamed, until that does not work."""
        works = True
        while works:
            works, readings = False, 0
            try:
                async for reading in self._streamed():
                    emit(reading)
                    readings += 1
                    works = readings >= STREAM_WORKS
            except DeviceError as error:
                emit(error)
                then = "opening it again" if works else f"asking for readings for {INSTEAD_S / 60.0:.0f} min"
                log.warning("%s: the stream does not work: %s; %s", self.name, error, then)

    async def _streamed(self) -> AsyncIterator[Reading]:
        """What the stream says. Always ends with a `DeviceError`."""
        pulse, clamps = Pulse(), await self._find()
        async with self._gateway.stream("/stream/meter", STREAM_SILENT_S) as lines:
            async for line in lines:
                data, now_s = data_of(line), time.monotonic()
                try:
                    if data is not None and pulse.is_new(data, now_s):
                        yield parse_event(data, clamps.phases, now_s, time.time())
                except DeviceDataError as error:
                    raise error.saying(self._gateway.shown(str(error))) from None

    async def read(self) -> Reading | None:
        """One reading now; None: the gateway has nothing new. Raises `DeviceError`."""
        try:
            clamps = await self._find()
            started_s = time.monotonic()
            row = readings_of(await self._get("/ivp/meters/readings"), clamps)
            done_s = time.monotonic()
            at_s = self._time.moment(time_stamp(row.get("timestamp"), "timestamp"), done_s)
            if at_s is None:
                return None
            return parse(row, clamps, at_s, time.time() - (done_s - at_s), done_s - started_s)
        except DeviceDataError as error:
            self._clamps = None
            raise error.saying(self._gateway.shown(str(error))) from None

    async def _find(self) -> Clamps:
        if self._clamps is None or time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._clamps = find(await self._get(METERS))
            self._looked_s = time.monotonic()
            if self._clamps.status != self._told:
                self._told = self._clamps.status
                log.warning("%s says of its grid clamps: %s", self.name, self._told)
        return self._clamps

    async def _get(self, path: str) -> Any:
        return await self._gateway.get_json(path, self._timeout_s)


def find(meters: Any) -> Clamps:
    """The clamps at the grid connection, out of ``/ivp/meters``. Raises `DeviceDataError` where there are none."""
    grid = [one for one in clamps(meters) if one.kind == "grid"]
    if len(grid) != 1:
        there = ", ".join(f"{str(row.get('measurementType'))[:20]} {str(row.get('state'))[:10]}" for row in meters[:6])
        raise DeviceDataError(
            f"no enabled net-consumption meter (there is: {there or 'none'}): the consumption clamps have to sit at "
            "the grid connection, and the installer has to set them up as that"
        )
    if not grid[0].measures:
        raise DeviceDataError("the gateway says that its grid clamps do not measure (meteringStatus: not-metering)")
    return grid[0]


def readings_of(readings: Any, clamps: Clamps) -> dict[str, Any]:
    """The row of the clamps, out of ``/ivp/meters/readings``."""
    found = [row for row in rows(readings, "/ivp/meters/readings") if row.get("eid") == clamps.eid]
    if len(found) != 1:
        raise DeviceDataError(f"/ivp/meters/readings has {len(found) or 'no'} rows of the grid meter, eid {clamps.eid}")
    return found[0]


def parse(row: dict[str, Any], clamps: Clamps, at_s: float, utc_s: float, latency_s: float) -> Reading:
    """A reading out of its row; watts, positive is import. Raises `DeviceDataError`."""
    power_w = watts(row.get("activePower"), "activePower")
    channels = row.get("channels")
    used = channels[: clamps.phases] if isinstance(channels, list) else []  # others show noise, or another meter
    phases = tuple(
        Phase(*(optional(channel.get(key)) for key in ("activePower", "voltage", "current", "pwrFactor")))
        for channel in used
        if isinstance(channel, dict)
    )
    powers = [phase.power_w for phase in phases if phase.power_w is not None]
    if len(powers) < len(phases) or abs(sum(powers) - power_w) > 10.0 + 0.05 * abs(power_w):
        phases = ()
    imported, exported = (optional(row.get(key)) for key in ("actEnergyDlvd", "actEnergyRcvd"))
    return Reading(power_w, at_s, utc_s, phases, imported, exported, latency_s)
