"""The controller dies, hangs, has a bug, or is stopped: what the inverters are told then, as the broker saw it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.scorecard import Card, full, within
from tests.faults.site import Site, held
from tests.faults.together import row, together

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


@row(25)
async def killed(site: Site, card: Card) -> None:
    await site.started()
    at_s = hurt(site, signal.SIGKILL)
    delay_s = await site.failed_safe(at_s, 20.0) - at_s
    card(f"{delay_s:.2f} s", delay_s <= within(1.0))
    await site.until(
        lambda: all(one.limit_w <= site.floors[one.config.serial] + 2.0 for one in site.house.inverters),
        10.0,
        "lowered",
    )
    since_s = time.monotonic()
    await site.app.start()
    await site.in_charge(since_s, 20.0)
    await asyncio.sleep(4.0)
    wrong = {key for tick in site.seen if tick.at_s > since_s for key in tick.faults if key.startswith("conflict")}
    card(f"after the restart {len(wrong)} false conflicts", not wrong)


@row(25)
async def killed_while_paused(site: Site, card: Card) -> None:
    """Nobody is lowered who was released on purpose."""
    await site.started()
    await site.app.ask("GET", "/api/toggle?state=off")
    await site.until(lambda: site.seen[-1].mode == "paused" and site.house.grid_w < -300.0, 20.0, "released")
    await asyncio.sleep(1.0)
    at_s = hurt(site, signal.SIGKILL)
    await asyncio.sleep(3.0)
    card(f"paused: {len(site.limits(at_s))} limits after SIGKILL", not site.limits(at_s))


@row(26)
async def stopped_in_its_tracks(site: Site, card: Card) -> None:
    await site.started()
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
            or (site.seen[-1].at_s > on_s and held(site.house))
        ),
        40.0,
        "either exit or regulation",
    )
    assert site.app.process is not None
    then = "exits" if site.app.process.returncode is not None else "regulates"
    card(f"SIGSTOP: {delay_s:.1f} s (continued: {then})", delay_s <= within(12.0))


@row(26)
async def a_blocked_loop(site: Site, card: Card) -> None:
    await run_as(site, BLOCKED)
    await site.started()
    at_s = hurt(site, signal.SIGUSR1)
    delay_s = await site.failed_safe(at_s, 40.0) - at_s
    code = await exit_code(site, 15.0)
    ended_s = time.monotonic() - at_s
    card(f"blocked loop: {delay_s:.1f} s (exit {code} after {ended_s:.0f} s)", delay_s <= within(12.0) and code != 0)


@row(26)
async def a_blocked_interpreter(site: Site, card: Card) -> None:
    """No thread of it runs any more, the watchdog's neither: only the broker is left."""
    await run_as(site, HELD)
    await site.started()
    at_s = hurt(site, signal.SIGUSR1)
    delay_s = await site.failed_safe(at_s, 40.0) - at_s
    card(f"blocked interpreter: {delay_s:.1f} s", delay_s <= within(12.0))


@row(27)
async def a_bug_in_the_loop(site: Site, card: Card) -> None:
    await run_as(site, BUG)
    await site.started()
    at_s = hurt(site, signal.SIGUSR1)
    code = await exit_code(site, 20.0)
    ended_s = time.monotonic() - at_s
    delay_s = await site.failed_safe(at_s, 10.0) - at_s
    card(
        f"fail-safe limits after {delay_s:.1f} s, exit {code} after {ended_s:.1f} s",
        code != 0 and delay_s <= within(2.0),
    )
    if ended_s > 2.0:
        card.reached("exit later than 2 s", "it first waits until OpenDTU shows the last limits as acknowledged")
    assert ended_s <= within(10.0)


async def test_the_process_is_killed_or_has_a_bug(tmp_path: Path) -> None:
    await together(tmp_path, killed, killed_while_paused, a_bug_in_the_loop)


async def test_the_process_hangs(tmp_path: Path) -> None:
    await together(tmp_path, stopped_in_its_tracks, a_blocked_loop, a_blocked_interpreter)


@row(28, interval_s=5.0)
async def killed_again_and_again(site: Site, card: Card) -> None:
    """At random times, the first seconds of a start among them."""
    kills, data = 50 if full() else 2, site.place.folder / "data"
    rng, slowest_s = random.Random(28), 0.0
    await site.started(60.0)
    await site.app.ask("PUT", "/api/settings", json={"target_point_w": 25})
    for number in range(kills):
        await asyncio.sleep(rng.uniform(0.0, 3.0) if number else 0.3)
        await site.app.stop(signal.SIGKILL)
        if number % 3 == 1:  # once more while it starts
            await site.app.start()
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            await site.app.stop(signal.SIGKILL)
        started_s = time.monotonic()
        await site.app.start()
        await site.in_charge(started_s, 40.0, f"regulating after kill {number + 1}")
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        assert (await site.app.status())["target_point_w"] == 25.0
    await site.app.stop()
    damaged = [path.name for path in data.rglob("*") if "damaged" in path.name]
    json.loads((data / "settings.json").read_text())
    with closing(sqlite3.connect(data / "telemetry.db")) as database:
        health = database.execute("PRAGMA integrity_check").fetchone()[0]
    card(
        f"{kills} kills: regulating after at most {slowest_s:.1f} s, {len(damaged)} corrupt files",
        slowest_s <= within(15.0) and not damaged and health == "ok",
    )
    assert not site.app.logged("Traceback")


@row(29, interval_s=5.0)
async def a_clean_stop(site: Site, card: Card) -> None:
    """OpenDTU's own intervals, two inverters on one radio: it takes seconds until both have answered."""
    await site.started(60.0)
    site.house.load_override_w = 1400.0
    await asyncio.sleep(5.0)
    at_s = hurt(site, signal.SIGTERM)
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
        code == 0 and ended_s <= within(8.0) and held_s <= within(10.0),
    )
    if acked < count:
        card.reached("not all acknowledged", "two limits on one radio, each held for 2 s and lost now and then")


async def test_the_process_is_restarted_and_stopped(tmp_path: Path) -> None:
    await together(tmp_path, killed_again_and_again, a_clean_stop)
