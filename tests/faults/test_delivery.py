"""Nothing is lost on the way to the inverter: dropped, unanswered, forgotten and ignored limits.

In virtual time with OpenDTU's own intervals; the long form runs the same with the real process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.faults.rigs import Rig, commands, real, virtual, when
from tests.faults.scorecard import Card, at_least, within
from tests.faults.site import Site, held

MOST_PER_MINUTE = 20  # each holds the radio for 2 s, and equal ones in short order can silence an inverter


def swallow(rig: Rig, serial: str) -> Callable[[], None]:
    """OpenDTU hears the commands for one inverter, and forgets them; returns how to end that."""
    dtu, honest = rig.house.dtu, rig.house.dtu.receive

    def receive(to: str, command: str, payload: str, *, retained: bool = False) -> None:
        dtu.drop_commands = to == serial
        honest(to, command, payload, retained=retained)
        dtu.drop_commands = False

    dtu.__dict__["receive"] = receive
    return lambda: dtu.__dict__.pop("receive")


async def dropped(rig: Rig, card: Card, what: str) -> None:
    """A cut gets lost three times, and then a fail-safe limit, which never changes while it waits."""
    rig.house.dtu.drop_commands = True
    begun_s, rig.house.load_override_w = rig.house.now_s, 300.0
    cut = await gaps(rig, begun_s)
    rig.house.dtu.drop_commands, rig.house.load_override_w = False, 900.0
    await when(rig, lambda: held(rig.house), 60.0, "the target, once nothing is lost")
    await rig.run(20.0)
    rig.house.dtu.drop_commands = True
    begun_s = rig.house.now_s
    await rig.meter(answers=False)
    await when(rig, lambda: rig.mode == "fail_safe", 10.0, "fail-safe")
    safe = await gaps(rig, begun_s + 3.0)
    rig.house.dtu.drop_commands = False
    low = [0.031 * one.model.rated_w for one in rig.house.inverters]
    await when(rig, lambda: all(o.limit_w <= w for o, w in zip(rig.house.inverters, low, strict=True)), 15.0, "lowered")
    for name, waits in (("cut", cut), ("fail-safe limit", safe)):
        text = ", ".join(f"{wait:.1f}" for wait in waits)
        card(f"{what}{name} again after {text} s", max(waits) <= 10.0)


async def gaps(rig: Rig, since_s: float) -> list[float]:
    """The times between the first four commands to the inverter that is commanded first."""
    await when(rig, lambda: bool(commands(rig, since_s)), 10.0, "a first command")
    serial = commands(rig, since_s)[0].serial
    await when(rig, lambda: len(commands(rig, since_s, serial)) >= 4, 60.0, "three repetitions")
    return [later.at_s - before.at_s for before, later in pairwise(commands(rig, since_s, serial)[:4])]


@pytest.mark.row(11)
async def test_dropped_commands(card: Card) -> None:
    await dropped(await virtual(), card, "")


@pytest.mark.row(11)
@pytest.mark.long
@pytest.mark.e2e
async def test_dropped_commands_of_the_real_process(tmp_path: Path, mosquitto: Mosquitto, card: Card) -> None:
    async with real(tmp_path, mosquitto) as rig:
        await dropped(rig, card, "real process: ")


async def unanswered(rig: Rig, card: Card, what: str) -> None:
    """All commands for the larger inverter get lost while the load falls and comes back."""
    bad = max(rig.house.inverters, key=lambda one: one.power_w)
    forget = swallow(rig, bad.config.serial)
    before_s = rig.house.now_s
    rig.house.load_override_w = 0.5 * bad.power_w
    await when(rig, lambda: bool(commands(rig, before_s, bad.config.serial)), 30.0, "a command to the deaf one")
    sent_s = commands(rig, before_s, bad.config.serial)[0].at_s
    await when(rig, lambda: f"unanswered:{bad.config.serial}" in rig.faults, 120.0, "the alarm")
    alarm_s = rig.house.now_s - sent_s
    rig.house.load_override_w = bad.power_w + 300.0
    await when(rig, lambda: held(rig.house), 60.0, "the other inverter to make up for it")
    await rig.run(20.0)
    grid_w, fine = rig.house.grid_w, held(rig.house)
    forget()
    card(f"{what}alarm after {alarm_s:.0f} s, then {grid_w:.0f} W", alarm_s <= 30.0 and fine)


@pytest.mark.row(12)
async def test_unanswered_commands(card: Card) -> None:
    await unanswered(await virtual(load_w=1500.0), card, "")


@pytest.mark.row(12)
@pytest.mark.long
@pytest.mark.e2e
async def test_unanswered_commands_of_the_real_process(tmp_path: Path, mosquitto: Mosquitto, card: Card) -> None:
    async with real(tmp_path, mosquitto, load_w=1500.0) as rig:
        await unanswered(rig, card, "real process: ")


async def restarted(rig: Rig, card: Card, what: str, *, away_s: float) -> None:
    """At its minimum the inverter restarts: it forgets the limit, and feeds all it has when it is back."""
    inverter = rig.house.inverters[0]
    rig.house.load_override_w = 30.0
    floor_w = 0.031 * inverter.model.rated_w
    await when(rig, lambda: inverter.limit_w <= floor_w, 60.0, "the minimum")
    await rig.run(20.0)
    inverter.reachable = away_s == 0.0
    inverter.reset(rig.house.now_s, offline_s=away_s)
    await rig.run(away_s)
    inverter.reachable = True
    back_s = rig.house.now_s
    assert inverter.limit_w > 1000.0
    await when(rig, lambda: inverter.limit_w <= floor_w, 120.0, "the minimum again")
    told_s = commands(rig, back_s, inverter.config.serial)[0].at_s - back_s
    card(f"{what}{f'away for {away_s:.0f} s' if away_s else 'unseen'}: {told_s:.1f} s", told_s <= 10.0)


@pytest.mark.row(13)
async def test_a_restarted_inverter(card: Card) -> None:
    await restarted(await virtual(1), card, "", away_s=60.0)
    await restarted(await virtual(1), card, "", away_s=0.0)


@pytest.mark.row(13)
@pytest.mark.long
@pytest.mark.e2e
@pytest.mark.parametrize("away_s", [30.0, 0.0])
async def test_a_restarted_inverter_of_the_real_process(
    tmp_path: Path, mosquitto: Mosquitto, card: Card, away_s: float
) -> None:
    async with real(tmp_path, mosquitto, 1) as rig:
        await restarted(rig, card, "real process: ", away_s=away_s)


async def disobeyed(rig: Rig, card: Card, what: str) -> None:
    """OpenDTU shows the new limit as acknowledged, and the inverter goes on as before."""
    bad = rig.house.inverters[0]
    bad.ignores_limit = True
    before_s = rig.house.now_s
    rig.house.load_override_w = 0.25 * sum(rig.house.load_w)
    serial = bad.config.serial
    count = len(rig.house.inverters)
    expected_s = 30.0 if count <= 4 else 6.0 * count * rig.house.config.dtu.poll_interval_s
    await when(rig, lambda: bool(commands(rig, before_s, serial)), 120.0, "a command to it")
    sent_s = commands(rig, before_s, serial)[0].at_s
    await when(rig, lambda: f"disobeyed:{serial}" in rig.faults, 900.0, "the fault")
    noticed_s, since_s = rig.house.now_s - sent_s, rig.house.now_s
    await rig.run(60.0)
    often = len(commands(rig, since_s, serial))
    card(f"{what}{count} inverters: {noticed_s:.0f} s, then {often} limits a minute to it", noticed_s <= expected_s)
    assert often <= MOST_PER_MINUTE, f"{often} limits in a minute to an inverter that does not listen"


@pytest.mark.row(14)
async def test_limits_that_are_echoed_and_not_obeyed(card: Card) -> None:
    for count in (1, 2, 4, 8):
        await disobeyed(await virtual(count, load_w=900.0 * count), card, "")


@pytest.mark.row(14)
@pytest.mark.long
@pytest.mark.e2e
async def test_limits_not_obeyed_with_the_real_process(tmp_path: Path, mosquitto: Mosquitto, card: Card) -> None:
    async with real(tmp_path, mosquitto, load_w=1800.0) as rig:
        await disobeyed(rig, card, "real process: ")


@pytest.mark.row(15)
@pytest.mark.e2e
async def test_opendtu_loses_power_and_comes_back(site: Site, card: Card) -> None:
    """The broker delivers its will; the inverters keep feeding at their limits, and one has forgotten its own."""
    await site.started()
    dead_s = time.monotonic()
    site.place.dtu.go_offline()
    told_s = await site.fault("gateway", dead_s, 40.0)
    site.house.load_override_w = 300.0
    await asyncio.sleep(3.0)
    count = len(site.house.dtu.received)
    assert site.tick_rate_hz(dead_s) >= at_least(0.9)
    await site.place.dtu.come_back()
    back_s = time.monotonic()
    await site.until(lambda: len(site.house.dtu.received) > count, 30.0, "a first message to OpenDTU")
    first, first_s = site.house.dtu.received[count], time.monotonic() - back_s
    lower = float(first.payload) < 600.0
    card(
        f"alarm after {told_s:.1f} s; {first_s:.1f} s after its return it is told `{first.command}` {first.payload}",
        told_s <= within(20.0) and first.command == "limit_nonpersistent_absolute" and lower,
    )
