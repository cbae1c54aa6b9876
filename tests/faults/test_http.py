"""Slow and huge HTTP clients against the real process: control does not notice."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from tests.faults.scorecard import Card, within
from tests.faults.site import Site

pytestmark = pytest.mark.e2e

CONNECTIONS = 1000


@asynccontextmanager
async def half_open(site: Site) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """A thousand clients that have said half a request, and then a byte a second."""
    writers: list[asyncio.StreamWriter] = []

    async def one() -> None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", site.app.port)
            writer.write(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            writers.append(writer)

    async def drip() -> None:
        while True:
            for writer in writers:
                with suppress(OSError):
                    writer.write(b"a")
            await asyncio.sleep(1.0)

    for _ in range(CONNECTIONS // 50):
        await asyncio.gather(*(one() for _ in range(50)))
    dripping = asyncio.create_task(drip())
    try:
        yield writers
    finally:
        dripping.cancel()
        for writer in writers:
            writer.transport.abort()


async def latencies_ms(site: Site, count: int) -> list[float]:
    """Of `/api/status`, each on a connection of its own; a refused or failed one counts as 10 s."""
    found = []
    for _ in range(count):
        begun_s = time.monotonic()
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5.0)) as session,
                session.get(site.app.url + "/api/status", headers={"User-Agent": "curl/8"}) as response,
            ):
                await response.read()
                ok = response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            ok = False
        found.append((time.monotonic() - begun_s) * 1000.0 if ok else 10_000.0)
        await asyncio.sleep(0.02)
    return found


async def large_body(site: Site) -> int:
    """The status that 10 MB sent to the settings get; 0 for a closed connection."""
    with suppress(aiohttp.ClientError, OSError):
        async with (
            aiohttp.ClientSession() as session,
            session.put(
                site.app.url + "/api/settings", data=io.BytesIO(b"a" * 10_000_000), headers={"User-Agent": "curl/8"}
            ) as got,
        ):
            return got.status
    return 0


@pytest.mark.row(41)
async def test_half_open_connections_and_huge_bodies(site: Site, card: Card) -> None:
    await site.started()
    begun_s, before_mb = time.monotonic(), site.memory_mb()
    async with half_open(site) as writers:
        opened = len(writers)
        bodies, times = await asyncio.gather(
            asyncio.gather(*(large_body(site) for _ in range(5))), latencies_ms(site, 200)
        )
    p99_ms = sorted(times)[int(0.99 * len(times)) - 1]
    rate, gap_s = site.tick_rate_hz(begun_s), site.longest_gap_s(begun_s)
    more_mb = site.memory_mb() - before_mb
    card(
        f"{opened} half-open: p99 {p99_ms:.0f} ms, {rate:.2f} Hz, longest gap {gap_s:.1f} s, {more_mb:+.0f} MB",
        opened == CONNECTIONS
        and p99_ms <= within(250.0)
        and gap_s < within(1.5),  # no tick missed; the rate of so few is rough
    )
    assert all(status in (0, 413) for status in bodies), bodies
    assert more_mb < 50.0
