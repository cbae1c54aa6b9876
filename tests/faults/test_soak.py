"""A month of random faults, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.simulator.shelly_bodies import Fault
from tests.faults.proxy import Break
from tests.faults.scorecard import Card, full
from tests.faults.site import Site
from tests.faults.soak import DARK_S, DAY_SPEED, Soak

LIGHT_S = 14.2 * 3600.0 / DAY_SPEED  # of each day, as the sun passes; then the part of the night that is lived
DAYS, SEEDS = (30, 10) if full() else (1, 2)
QUICK_S = 7200.0


def memory_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


@pytest.mark.row(44)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_invariants_hold_in_a_month_of_faults(seed: int, card: Card) -> None:
    seconds = DAYS * (LIGHT_S + DARK_S) if full() else QUICK_S
    soak = Soak(seed, every_s=600.0 if full() else 240.0)
    with closing(soak):
        soak.live(seconds * 0.2)
        before_mb = memory_mb()
        result = soak.live(seconds * 0.8)
        more_mb = memory_mb() - before_mb
    slowest_s = max(result.recoveries_s)
    broken = "".join(f", {what}: {count} ({result.examples[what]})" for what, count in result.broken.items())
    card(
        f"seed {seed}: {result.seconds / 3600.0:.0f} h, {result.injected.total()} faults, {result.commands} commands, "
        f"{result.broken.total()} violations{broken}, recovery ≤ {slowest_s:.0f} s, memory {more_mb:+.0f} MB",
        not result.broken and more_mb < 10.0,
    )


@pytest.mark.long
@pytest.mark.e2e
@pytest.mark.row(44)
async def test_the_real_process_stays_as_it_is(site: Site, card: Card) -> None:
    """Ten minutes of faults of the meter, the broker, OpenDTU and the inverters: nothing piles up."""
    await site.regulating()
    await asyncio.sleep(60.0)
    before_mb, descriptors, begun_s = site.memory_mb(), site.descriptors(), time.monotonic()
    rng, count = random.Random(44), 0
    breaks = catalogue(site, rng)
    while time.monotonic() - begun_s < 600.0:
        begin, end = rng.choice(breaks)
        await begin()
        await asyncio.sleep(rng.uniform(1.0, 15.0))
        await end()
        await asyncio.sleep(rng.uniform(1.0, 8.0))
        count += 1
    rate = site.tick_rate_hz(begun_s)
    await site.regulating(90.0)
    await asyncio.sleep(5.0)
    more_mb, more = site.memory_mb() - before_mb, site.descriptors() - descriptors
    card(
        f"real process: 10 min, {count} faults, {rate:.2f} Hz, memory {more_mb:+.1f} MB, descriptors {more:+d}",
        more_mb <= 10.0 and more <= 2 and rate >= 0.9,
    )
    assert not site.app.logged("Traceback")


def catalogue(site: Site, rng: random.Random) -> list[tuple[Callable[[], Awaitable[None]], ...]]:
    """How to break each thing, and how to mend it."""
    place = site.place

    def proxy(how: Break | None) -> Callable[[], Awaitable[None]]:
        return lambda: site.proxy.fail(how)

    def shelly(how: Fault | None) -> Callable[[], Awaitable[None]]:
        async def change() -> None:
            place.shelly.fault = how

        return change

    async def offline() -> None:
        place.dtu.go_offline()

    async def reset() -> None:
        rng.choice(site.house.inverters).reset(site.house.now_s, offline_s=2.0)

    async def nothing() -> None:
        return None

    meters = [(proxy(how), proxy(None)) for how in Break]
    lies = [(shelly(how), shelly(None)) for how in (Fault.NAN, Fault.GARBAGE, Fault.HTTP_500, Fault.FROZEN)]
    return [
        *meters, *lies, (place.mosquitto.stop, place.mosquitto.start), (offline, place.dtu.come_back), (reset, nothing)
    ]  # fmt: skip
