"""Nothing has to be there first, and no wall clock is needed for control."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.conftest import running_mosquitto
from tests.faults.proxy import Break
from tests.faults.scorecard import Card, at_least, full, slack, within
from tests.faults.site import Site, site_of
from tests.faults.test_death import HARNESS, hurt, run_as

pytestmark = pytest.mark.e2e

ORDERS = list(itertools.permutations(("broker", "meter", "OpenDTU", "controller")))
QUICK = [
    ("broker", "meter", "controller", "OpenDTU"),
    ("controller", "OpenDTU", "meter", "broker"),
    ("OpenDTU", "controller", "broker", "meter"),
]


async def started_in(folder: Path, order: tuple[str, ...]) -> float:
    """Start the four, two seconds apart; how long after the last it regulates."""
    folder.mkdir()
    async with running_mosquitto(folder) as mosquitto, site_of(folder, mosquitto, interval_s=5.0) as site:
        await site.place.dtu.close()
        await mosquitto.stop()
        await site.proxy.fail(Break.REFUSE)
        fresh = type(site.place.dtu)(site.house, "127.0.0.1", mosquitto.port)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "broker": mosquitto.start,
            "meter": lambda: site.proxy.fail(None),
            "OpenDTU": lambda: asyncio.to_thread(lambda: None),
            "controller": site.app.start,
        }
        try:
            for name in order:
                if name == "OpenDTU":
                    site.house.dtu.reboot()
                    fresh.start()
                await steps[name]()
                last_s = time.monotonic()
                await asyncio.sleep(0.0 if name == order[-1] else 2.0)
            await site.in_charge(last_s, 60.0)
            return time.monotonic() - last_s
        finally:
            await fresh.close()


@pytest.mark.row(38)
async def test_any_order_of_start(tmp_path: Path, card: Card) -> None:
    slowest_s, count = 0.0, 0
    orders = ORDERS if full() else QUICK
    for batch in (orders[i : i + 3] for i in range(0, len(orders), 3)):
        found = await asyncio.gather(*(started_in(tmp_path / "-".join(order), order) for order in batch))
        slowest_s, count = max(slowest_s, *found), count + len(found)
    card(f"{count} orders: at most {slowest_s:.0f} s", slowest_s <= within(20.0))


JUMPS = HARNESS.format(
    setup="""
honest, offset = time.time, [0.0]
time.time = lambda: honest() + offset[0]
jumps = iter([86400.0, -86400.0, -honest() + 5.0, 0.0])
""",
    hurt="lambda *_: offset.__setitem__(0, next(jumps))",
)


@pytest.mark.row(36)
async def test_jumps_of_the_wall_clock(site: Site, card: Card) -> None:
    await run_as(site, JUMPS)
    await site.regulating()
    await asyncio.sleep(4.0)
    begun_s, shown = time.monotonic(), []
    for _ in range(4):
        hurt(site, signal.SIGUSR1)
        await asyncio.sleep(4.0)
        shown.append(site.seen[-1].document["time_utc"][:4])
    ticks = [tick for tick in site.seen if tick.at_s > begun_s]
    strange = {tick.mode for tick in ticks} - {"limit"} | {key for tick in ticks for key in tick.faults}
    away_w = max(abs(tick.document["grid_w"] - 15.0) for tick in ticks)
    rate, gap_s = site.tick_rate_hz(begun_s), site.longest_gap_s(begun_s)
    card(
        f"{rate:.2f} Hz, longest gap {gap_s:.1f} s, at most {away_w:.0f} W off target, years shown {', '.join(shown)}",
        not strange and rate >= at_least(0.9) and gap_s < within(2.0) and away_w < 60.0 * slack(),
    )
    assert shown[2] == "1970"
