"""The controller dies, hangs, has a bug, or is stopped: what the inverters are told then, as the broker saw it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.faults.scorecard import Card, full
from tests.faults.site import Site, site_of

pytestmark = pytest.mark.e2e

# Runs the unchanged program; USR1 and USR2 do to it from outside what a bug would do from inside.
HARNESS = """
import re, signal, sys, time
{setup}
signal.signal(signal.SIGUSR1, {hurt})
from app.cli import main
sys.exit(main(sys.argv[1:]))
"""
BLOCKED = HARNESS.format(setup="", hurt="lambda *_: time.sleep(60)")
HELD = HARNESS.format(setup="", hurt="lambda *_: re.match('(a+)+$', 'a' * 60 + 'b')")  # never lets another thread run
BUG = HARNESS.format(
    setup="""
from app.control import Controller
honest, broken = Controller.step, []
def step(self, snapshot):
    if broken:
        raise ZeroDivisionError("a bug")
    return honest(self, snapshot)
Controller.step = step
""",
    hurt="lambda *_: broken.append(True)",
)


async def run_as(site: Site, program: str) -> None:
    """Start the controller inside a harness."""
    app = site.app
    app.process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "run", "--config", str(app.config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    app._reader = asyncio.create_task(app._read())


def hurt(site: Site, how: signal.Signals) -> float:
    """Send a signal; when that was."""
    assert site.app.process is not None
    site.app.process.send_signal(how)
    return time.monotonic()


async def exit_code(site: Site, timeout_s: float) -> int:
    assert site.app.process is not None
    return await asyncio.wait_for(site.app.process.wait(), timeout_s)


@pytest.mark.row(25)
async def test_killed(site: Site, card: Card) -> None:
    await site.regulating()
    at_s = hurt(site, signal.SIGKILL)
    delay_s = await site.failed_safe(at_s, 20.0) - at_s
    card(f"{delay_s:.2f} s", delay_s <= 1.0)
    await site.until(
        lambda: all(one.limit_w <= site.floors[one.config.serial] + 2.0 for one in site.house.inverters),
        10.0,
        "lowered",
    )


@pytest.mark.row(25)
async def test_a_clean_stop_and_a_pause_disarm_the_wills(site: Site, card: Card) -> None:
    """Nobody is lowered who was released on purpose."""
    await site.regulating()
    await site.app.ask("GET", "/api/toggle?state=off")
    await site.until(lambda: site.seen[-1].mode == "paused" and site.house.grid_w < -300.0, 20.0, "released")
    await asyncio.sleep(1.0)
    at_s = hurt(site, signal.SIGKILL)
    await asyncio.sleep(3.0)
    card(f"paused: {len(site.limits(at_s))} limits after SIGKILL", not site.limits(at_s))


@pytest.mark.row(26)
async def test_stopped_in_its_tracks(site: Site, card: Card) -> None:
    await site.regulating()
    at_s = hurt(site, signal.SIGSTOP)
    try:
        delay_s = await site.failed_safe(at_s, 30.0) - at_s
    finally:
        hurt(site, signal.SIGCONT)
    on_s = time.monotonic()
    await site.until(
        lambda: (
            site.app.process is None
            or site.app.process.returncode is not None
            or (site.seen[-1].at_s > on_s and abs(site.house.grid_w - 15.0) < 60.0)
        ),
        40.0,
        "either exit or regulation",
    )
    assert site.app.process is not None
    then = "exits" if site.app.process.returncode is not None else "regulates"
    card(f"SIGSTOP: {delay_s:.1f} s (continued: {then})", delay_s <= 12.0)


@pytest.mark.row(26)
@pytest.mark.parametrize(("program", "what"), [(BLOCKED, "blocked loop"), (HELD, "blocked interpreter")])
async def test_blocked(site: Site, card: Card, program: str, what: str) -> None:
    await run_as(site, program)
    await site.regulating()
    at_s = hurt(site, signal.SIGUSR1)
    delay_s = await site.failed_safe(at_s, 40.0) - at_s
    if what == "blocked loop":
        code = await exit_code(site, 30.0)
        assert code != 0
        what += f" (exit {code} after {time.monotonic() - at_s:.0f} s)"
    card(f"{what}: {delay_s:.1f} s", delay_s <= 12.0)


@pytest.mark.row(27)
async def test_a_bug_in_the_loop(site: Site, card: Card) -> None:
    await run_as(site, BUG)
    await site.regulating()
    at_s = hurt(site, signal.SIGUSR1)
    code = await exit_code(site, 20.0)
    ended_s = time.monotonic() - at_s
    delay_s = await site.failed_safe(at_s, 10.0) - at_s
    card(f"exit {code} after {ended_s:.1f} s, fail-safe after {delay_s:.1f} s", code != 0 and delay_s <= 2.0)
    assert ended_s <= 3.0


@pytest.mark.row(28)
async def test_killed_again_and_again(tmp_path: Path, mosquitto: Mosquitto, card: Card) -> None:
    """At random times, the first seconds of a start among them."""
    kills = 50 if full() else 3
    rng = random.Random(28)
    async with site_of(tmp_path, mosquitto, interval_s=5.0) as site:
        await site.regulating(60.0)
        await site.app.ask("PUT", "/api/settings", json={"target_point_w": 25})
        slowest_s = 0.0
        for number in range(kills):
            await asyncio.sleep(rng.uniform(0.0, 3.0) if number else 0.3)
            await site.app.stop(signal.SIGKILL)
            if number % 3 == 2:  # once more while it starts
                await site.app.start()
                await asyncio.sleep(rng.uniform(0.2, 2.0))
                await site.app.stop(signal.SIGKILL)
            started_s = time.monotonic()
            await site.app.start()
            await site.in_charge(started_s, 40.0, f"regulating after kill {number + 1}")
            slowest_s = max(slowest_s, time.monotonic() - started_s)
            status = await site.app.status()
            assert status["target_point_w"] == 25.0
        await site.app.stop()
        damaged = [path.name for path in (tmp_path / "data").rglob("*") if "damaged" in path.name]
        json.loads((tmp_path / "data" / "settings.json").read_text())
        with sqlite3.connect(tmp_path / "data" / "telemetry.db") as database:
            health = database.execute("PRAGMA integrity_check").fetchone()[0]
        card(
            f"{kills} kills: regulating after at most {slowest_s:.1f} s, {len(damaged)} corrupt files",
            slowest_s <= 15.0 and not damaged and health == "ok",
        )
        assert not site.app.logged("Traceback")


@asynccontextmanager
async def stopping(site: Site, how: signal.Signals) -> AsyncIterator[None]:
    await site.regulating()
    site.house.load_override_w = 1400.0
    await asyncio.sleep(5.0)
    hurt(site, how)
    yield


@pytest.mark.row(29)
async def test_a_clean_stop(tmp_path: Path, mosquitto: Mosquitto, card: Card) -> None:
    """OpenDTU's own intervals, two inverters on one radio: it takes seconds until both have answered."""
    async with site_of(tmp_path, mosquitto, interval_s=5.0) as site, stopping(site, signal.SIGTERM):
        at_s = time.monotonic()
        code = await exit_code(site, 30.0)
        ended_s = time.monotonic() - at_s
        acked = sum(
            link.acked is not None and link.acked.number <= site.floors[serial] + 0.1
            for serial, link in site.house.dtu.links.items()
        )
        await site.until(
            lambda: all(one.limit_w <= site.floors[one.config.serial] + 2.0 for one in site.house.inverters),
            10.0,
            "every inverter at its fail-safe limit",
        )
        held_s, count = time.monotonic() - at_s, len(site.floors)
        card(
            f"exit {code} after {ended_s:.1f} s, acknowledged by {acked} of {count}, in force after {held_s:.1f} s",
            code == 0 and ended_s <= 8.0 and held_s <= 10.0,
        )
        if acked < count:
            card.reached("not all acknowledged", "two limits on one radio, each held for 2 s and lost now and then")
