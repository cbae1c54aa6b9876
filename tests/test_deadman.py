"""If we die, the broker lowers the inverters; if we leave, it does not. All at a real broker."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.broker import Address, Broker
from app.checks import running
from app.deadman import SETTLE_S, DeadMan
from app.model import Will
from tests.conftest import Mosquitto, until
from tests.deadman_process import message
from tests.test_broker import frozen, listening

pytestmark = pytest.mark.e2e

ONE, OTHER = "116180400001", "114180400002"
COMMANDS = "solar/+/cmd/#"


def fires(serial: str, payload: str = "45.0") -> tuple[str, str, bool]:
    return f"solar/{serial}/cmd/limit_nonpersistent_absolute", payload, False


@asynccontextmanager
async def holder(mosquitto: Mosquitto, *serials: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, float]]:
    """A process that holds a will for each of them, and how many kB each took."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.deadman_process", str(mosquitto.port), "45", *serials, stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        yield process, float(line.split()[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def deadman_at(mosquitto: Mosquitto) -> AsyncIterator[tuple[Broker, DeadMan]]:
    """One of our own, running; where the tests around it take all of the machine's time, that is no death."""
    broker = Broker(Address(mosquitto.host, mosquitto.port), "main", heartbeat_topic="beat")
    deadman = DeadMan(broker, "home", message)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.deadman.KEEPALIVE_S", 30)
        async with running(broker.run()), running(deadman.run()):
            await until(lambda: broker.connected)
            yield broker, deadman


async def test_a_killed_process_lowers_every_inverter_within_a_second(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, COMMANDS) as heard, holder(mosquitto, ONE, OTHER) as (process, _):
        process.kill()
        await until(lambda: len(heard) == 2, 1.0)
        assert sorted(heard) == sorted([fires(ONE), fires(OTHER)])


@pytest.mark.parametrize("how", ["stopped", "blocked"])
async def test_a_process_that_hangs_lowers_them_within_12_s(mosquitto: Mosquitto, how: str) -> None:
    async with listening(mosquitto, COMMANDS) as heard, holder(mosquitto, ONE) as (process, _):
        if how == "stopped":
            process.send_signal(signal.SIGSTOP)
        else:
            assert process.stdin is not None
            process.stdin.write(b"block\n")
        await until(lambda: heard == [fires(ONE)], 12.0)


async def test_a_clean_end_fires_nothing(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, COMMANDS) as heard, holder(mosquitto, ONE, OTHER) as (process, _):
        assert process.stdin is not None
        process.stdin.write(b"close\n")
        assert await asyncio.wait_for(process.wait(), 30) == 0
        await asyncio.sleep(0.5)
        assert heard == []


async def test_what_is_not_wanted_any_more_is_disarmed_without_firing(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, COMMANDS) as heard, deadman_at(mosquitto) as (_, deadman):
        deadman.arm((Will(ONE, 45.0), Will(OTHER, 24.0)))
        await until(lambda: deadman.armed == {ONE, OTHER})
        deadman.arm((Will(OTHER, 24.0),))
        await until(lambda: deadman.armed == {OTHER}, 6.0)
        deadman.arm(())
        await until(lambda: not deadman.armed, 6.0)
        assert heard == []


async def test_a_changed_limit_is_the_one_that_fires(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, COMMANDS) as heard:
        async with deadman_at(mosquitto) as (broker, deadman):
            deadman.arm((Will(ONE, 45.0),))
            await until(lambda: ONE in deadman.armed)
            deadman.arm((Will(ONE, 60.0),))
            await asyncio.sleep(SETTLE_S + 0.5)
            assert ONE in deadman.armed
            assert heard == []
            async with running(Broker(broker.address, f"zero-export-home-deadman-{ONE}").run()):
                await until(lambda: heard == [fires(ONE, "60.0")], 2.0)  # somebody takes the connection over
            await until(lambda: ONE in deadman.armed, 6.0, "armed again")
            await deadman.close()
        await asyncio.sleep(0.3)
        assert len(heard) == 1


async def test_wills_that_come_and_go_each_second_do_not_reconnect_each_second(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, COMMANDS) as heard, deadman_at(mosquitto) as (_, deadman):
        changes, before = 0, False
        for turn in range(120):
            deadman.arm((Will(ONE, 45.0),) if turn % 10 < 5 else ())  # armed for half a second, not for another
            await asyncio.sleep(0.1)
            changes += (ONE in deadman.armed) != before
            before = ONE in deadman.armed
        assert changes <= 2 * 12.0 / 3.0 + 1
        assert heard == []


async def test_wills_are_armed_again_after_the_broker_has_died(mosquitto: Mosquitto) -> None:
    async with deadman_at(mosquitto) as (broker, deadman):
        deadman.arm((Will(ONE, 45.0), Will(OTHER, 24.0)))
        await until(lambda: deadman.armed == {ONE, OTHER})
        await mosquitto.stop()
        await until(lambda: not deadman.armed, 2.0)
        await asyncio.sleep(3.0)
        await mosquitto.start()
        await until(lambda: broker.connected, 3.0)
        await until(lambda: deadman.armed == {ONE, OTHER}, 3.0)


async def test_a_broker_that_stalls_for_2_s_fires_nothing(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto, COMMANDS) as heard, deadman_at(mosquitto) as (broker, deadman):
        deadman.arm((Will(ONE, 45.0),))
        await until(lambda: ONE in deadman.armed)
        async with frozen(mosquitto):
            await asyncio.sleep(2.0)
        await asyncio.sleep(1.0)
        assert broker.connected
        assert deadman.armed == {ONE}
        assert heard == []


async def test_a_broker_that_froze_fires_once_at_most_and_is_armed_again(mosquitto: Mosquitto) -> None:
    """Its own clock went on, so it may think that we did not."""
    async with listening(mosquitto, COMMANDS) as heard, deadman_at(mosquitto) as (broker, deadman):
        deadman.arm((Will(ONE, 45.0),))
        await until(lambda: ONE in deadman.armed)
        async with frozen(mosquitto):
            await until(lambda: not deadman.armed, 3.0)
            await asyncio.sleep(6.0)
        await until(lambda: broker.connected and ONE in deadman.armed, 4.0)
        await asyncio.sleep(1.0)
        assert heard in ([], [fires(ONE)])


def test_without_a_heartbeat_it_refuses() -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        DeadMan(Broker(Address("127.0.0.1", 1), "main"), "home", message)


async def test_twenty_wills_take_little_memory(mosquitto: Mosquitto) -> None:
    async with holder(mosquitto, *(str(116180400000 + n) for n in range(20))) as (_, each_kb):
        assert each_kb < 150.0
