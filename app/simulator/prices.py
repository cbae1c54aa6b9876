"""The price day of the demo, served as JSON over HTTP."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from app.simulator.parameters import SunConfig

QUARTER_S = 900.0  # of the sun's day
SHORTEST_S = 60.0  # of real time: a day that passes fast has longer slots, so that people see what happens
ESTIMATE_S = 5.0  # how long the price of a new slot is an estimate; those of the future are, too
BEHIND, AHEAD = 8, 32  # slots before the current one, and after it

# Hour of the sun's day; what export earns and what import costs from then on, in cents: an evening and a morning that
# pay, and a sunny middle that costs, in two parts, so that the gate is seen to open and to close again. Ours.
DAY = (
    (0.0, 7.0, 26.0),
    (6.0, 12.0, 30.0),
    (8.0, 8.0, 27.0),
    (9.0, -2.0, 12.0),
    (10.0, -4.0, 6.0),
    (11.0, -6.0, -1.5),
    (12.0, -3.0, 7.0),
    (13.0, 6.0, 20.0),
    (14.0, 8.0, 23.0),
    (15.0, 9.0, 25.0),
    (16.0, -2.0, 13.0),
    (17.0, -1.0, 16.0),
    (18.0, 14.0, 32.0),
    (21.0, 10.0, 29.0),
)


def entry(
    start_utc_s: float, end_utc_s: float, export_c: float, import_c: float, *, estimated: bool = False
) -> dict[str, Any]:
    """One slot as it is served."""
    return {
        "start": datetime.fromtimestamp(start_utc_s, UTC).isoformat(),
        "end": datetime.fromtimestamp(end_utc_s, UTC).isoformat(),
        "export_value_c": export_c,
        "import_price_c": import_c,
        "estimated": estimated,
    }


class FakePrices:
    """``async with FakePrices(sun) as prices: … prices.url …`` serves the price day that belongs to a sun.

    The day begins with it, at ``sun.start_hour``, and passes ``sun.speed`` times faster. ``script``, which can be set
    at any time, takes its place: a list of `entry`.
    """

    def __init__(
        self,
        sun: SunConfig,
        script: Sequence[dict[str, Any]] | None = None,
        utc: Callable[[], float] = time.time,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script = script
        self._address = host, port
        self._speed, self._utc = sun.speed, utc
        self._midnight_s = utc() - sun.start_hour * 3600.0 / sun.speed  # of the sun's first day, in real time
        self._slot_s = max(SHORTEST_S, QUARTER_S / sun.speed)
        self._port = 0

    @property
    def url(self) -> str:
        """Where the prices are."""
        return f"http://127.0.0.1:{self._port}/prices"

    def entries(self) -> list[dict[str, Any]]:
        """The slots around now."""
        now_s = self._utc()
        current = int((now_s - self._midnight_s) // self._slot_s)
        return [self._entry(number, now_s) for number in range(current - BEHIND, current + AHEAD + 1)]

    def _entry(self, number: int, now_s: float) -> dict[str, Any]:
        start_s, end_s = (self._midnight_s + one * self._slot_s for one in (number, number + 1))
        hour = (number * self._slot_s * self._speed / 3600.0 + 1e-6) % 24.0
        _, export_c, import_c = DAY[bisect_right(DAY, hour, key=lambda step: step[0]) - 1]
        estimated = now_s < start_s + ESTIMATE_S
        return entry(start_s, end_s, export_c, import_c, estimated=estimated)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/prices", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _serve(self, _request: web.Request) -> web.Response:
        prices = list(self.entries() if self.script is None else self.script)
        return web.json_response({"prices": prices}, headers={"Date": formatdate(self._utc(), usegmt=True)})
