"""What the web page weighs, and how soon it shows: the demo, seen by a real Chromium."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from playwright.async_api import Browser, CDPSession, async_playwright

from bench.process import free_port

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
VISITS = 5
SETTLE_MS = 2500  # what comes later is there by then
SLOW_CPU = 4.0  # a cheap phone beside this machine
SLOW_NET = {"latency": 40, "downloadThroughput": 1_250_000, "uploadThroughput": 625_000, "offline": False}


@dataclass(frozen=True)
class Load:
    """One visit with nothing cached: bytes as transferred, and milliseconds from the click."""

    requests: int
    transferred_b: int
    first_paint_ms: float
    values_ms: float


@dataclass(frozen=True)
class PageLoads:
    """The medians of some visits, on this machine and as on a phone with a slow processor and line."""

    here: Load
    phone: Load


async def page_loads(visits: int = VISITS) -> PageLoads:
    """Open the page of the demo anew and again."""
    async with _demo() as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        try:
            here = [await _visit(browser, url, slow=False) for _ in range(visits)]
            phone = [await _visit(browser, url, slow=True) for _ in range(visits)]
        finally:
            await browser.close()
    return PageLoads(_median(here), _median(phone))


async def _visit(browser: Browser, url: str, *, slow: bool) -> Load:
    page = await browser.new_page(viewport={"width": 390, "height": 844}, bypass_csp=True)
    session = await page.context.new_cdp_session(page)
    weights = _weighed(session)
    await session.send("Network.enable")
    if slow:
        await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOW_CPU})
        await session.send("Network.emulateNetworkConditions", SLOW_NET)
    await page.goto(url)
    script = "document.querySelector('#live')?.dataset.state === 'live' && performance.now()"
    values_ms = await (await page.wait_for_function(script, polling=20, timeout=60_000)).json_value()
    await page.wait_for_timeout(SETTLE_MS)
    paint_ms = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    await page.close()
    return Load(len(weights), sum(weights), paint_ms, values_ms)


def _weighed(session: CDPSession) -> list[int]:
    """The bytes of every answer that is complete, headers included; the stream of events never is."""
    weights: list[int] = []
    session.on("Network.loadingFinished", lambda event: weights.append(int(event["encodedDataLength"])))
    return weights


def _median(loads: list[Load]) -> Load:
    return Load(
        round(statistics.median(one.requests for one in loads)),
        round(statistics.median(one.transferred_b for one in loads)),
        statistics.median(one.first_paint_ms for one in loads),
        statistics.median(one.values_ms for one in loads),
    )


@asynccontextmanager
async def _demo() -> AsyncIterator[str]:
    """The demo on some free port; its address."""
    with tempfile.TemporaryDirectory(prefix="zero-export-page-") as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app", "demo", "--port", str(free_port()), "--speed", "60", "--data-dir", folder),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield await _address(process)
        finally:
            process.terminate()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise AssertionError("its output is piped")
    async with asyncio.timeout(60.0):
        while line := await process.stdout.readline():
            if found := re.search(r"open (http://\S+)", line.decode()):
                return found[1]
    raise ProcessLookupError("the demo did not start")
