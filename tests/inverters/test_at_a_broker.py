"""The driver at a real broker: with access rules, other controllers, and floods."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from app.broker import Address, Broker
from app.checks import running
from app.deadman import DeadMan
from app.inverters.opendtu import OpenDtu, OpenDtuConfig, OpenDtuInverterConfig
from app.model import InverterState, Will
from tests.conftest import Mosquitto, until
from tests.inverters.desk import SERIAL
from tests.stack.conftest import PASSWORDS, stack_broker
from tests.test_broker import listening

pytestmark = pytest.mark.e2e

LIMIT = f"solar/{SERIAL}/cmd/limit_nonpersistent_absolute"
PERSISTENT = f"solar/{SERIAL}/cmd/limit_persistent_relative"


class Rig:
    """A driver with its connection and its dead-man switch."""

    def __init__(self, port: int, user: str = "", password: str = "", name: str = "tested") -> None:
        self.broker = Broker(
            Address("127.0.0.1", port, user, password), name, heartbeat_topic="zeropower/state/heartbeat"
        )
        inverter = OpenDtuInverterConfig(serial=SERIAL, max_watt=1500)
        self.driver = OpenDtu(OpenDtuConfig(), (inverter,), self.broker)
        self.deadman = DeadMan(self.broker, "home", self.driver.will)

    @property
    def state(self) -> InverterState:
        return self.driver.states()[0]

    async def limit(self, watts: float) -> bool:
        return await self.driver.set_limit(SERIAL, watts)


@asynccontextmanager
async def rig_at(port: int, user: str = "", password: str = "", name: str = "tested") -> AsyncIterator[Rig]:
    rig = Rig(port, user, password, name)
    async with running(rig.broker.run()), running(rig.deadman.run()):
        await until(lambda: rig.broker.connected)
        yield rig


async def publish(port: int, topic: str, payload: str, *, retain: bool = False) -> None:
    """As somebody else."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish(topic, payload, qos=1, retain=retain)


async def test_our_limits_and_switches_come_back_and_are_ours(mosquitto: Mosquitto) -> None:
    async with rig_at(mosquitto.port) as rig:
        for watts in (400.0, 400.0, 300.0, 400.0):
            assert await rig.limit(watts)
            assert await rig.driver.set_power(SERIAL, on=True)
        await asyncio.sleep(0.2)
        assert (rig.state.foreign, rig.state.resets, rig.state.undelivered_since_s) == (None, 0, None)
        assert rig.driver._inverters[SERIAL].commands.hears is True


async def test_a_second_controller_is_noticed_by_both(mosquitto: Mosquitto) -> None:
    async with rig_at(mosquitto.port) as one, rig_at(mosquitto.port, name="other") as other:
        await one.limit(400.0)
        await asyncio.sleep(0.3)  # it is with the other one, too
        await other.limit(500.0)
        await until(lambda: one.state.foreign == "limit_nonpersistent_absolute: 500.0", 1.0)
        assert other.state.foreign is None, "it came second, and heard nothing yet"
        await one.limit(410.0)
        await until(lambda: other.state.foreign == "limit_nonpersistent_absolute: 410.0", 1.0)


async def test_after_a_kill_the_will_of_the_one_before_is_no_conflict(mosquitto: Mosquitto) -> None:
    async with rig_at(mosquitto.port) as rig:
        await rig.limit(400.0)
        rig.deadman.arm((Will(SERIAL, 45.0),))
        await until(lambda: SERIAL in rig.deadman.armed)
        async with running(Broker(rig.broker.address, f"zero-export-home-deadman-{SERIAL}").run()):
            await until(lambda: rig.state.resets == 1, 2.0, "the limit counts as lost")
        assert rig.state.foreign is None


@pytest.mark.parametrize("before", [True, False], ids=["before the start", "while running"])
async def test_retained_commands_are_told_and_removed(mosquitto: Mosquitto, before: bool) -> None:
    if before:
        await publish(mosquitto.port, PERSISTENT, "100", retain=True)
    async with rig_at(mosquitto.port) as rig:
        await rig.limit(400.0)
        if not before:
            await publish(mosquitto.port, PERSISTENT, "100", retain=True)
        await until(lambda: rig.state.foreign == "limit_persistent_relative: 100, retained", 2.0)
        await asyncio.sleep(0.3)
        async with listening(mosquitto, "solar/#") as kept:
            await asyncio.sleep(0.3)
        assert kept == []


async def test_a_frozen_broker_takes_no_limit_and_an_old_one_that_it_hands_on_later_is_not_trusted(
    mosquitto: Mosquitto,
) -> None:
    async with rig_at(mosquitto.port) as rig:
        await rig.limit(400.0)
        assert mosquitto.process is not None
        mosquitto.process.send_signal(signal.SIGSTOP)
        try:
            assert not await rig.limit(900.0)
            await until(lambda: not rig.broker.connected, 3.0)
            waits_s = []
            for _ in range(3):
                started_s = time.monotonic()
                assert not await rig.limit(300.0)
                waits_s.append(time.monotonic() - started_s)
            assert min(waits_s) < 0.5, "nobody waits for a broker that is known to be away"
            assert rig.state.commanded_w == 400.0
        finally:
            mosquitto.process.send_signal(signal.SIGCONT)
        await until(lambda: rig.broker.connected, 3.0)
        assert await rig.limit(300.0)
        await asyncio.sleep(0.3)
        assert rig.state.foreign is None


# -- access rules --------------------------------------------------------------------------------------


async def test_with_the_stacks_rules_commands_wills_and_heartbeat_pass() -> None:
    with stack_broker(OPENDTU_SERIALS=SERIAL) as stack:
        async with rig_at(stack.port, "app", PASSWORDS["app"]) as rig:
            assert await rig.limit(400.0)
            await asyncio.sleep(0.2)
            assert rig.driver._inverters[SERIAL].commands.hears is True
            rig.deadman.arm((Will(SERIAL, 45.0),))
            await until(lambda: SERIAL in rig.deadman.armed)
            await asyncio.sleep(3.0)
            assert rig.broker.connected, "the heartbeat is answered"


MUTE = "user app\ntopic read #\ntopic write zeropower/#\n"
DEAF = "user app\ntopic write #\n"
OPEN = "user app\ntopic readwrite #\n"


async def ruled(mosquitto: Mosquitto, rules: str) -> None:
    """Restart the broker with these access rules for the user app."""
    acl = mosquitto.folder / "acl"
    acl.write_text(rules)
    acl.chmod(0o644)
    await mosquitto.stop()
    user = "user root\n" if os.getuid() == 0 else ""
    await mosquitto.start(f"{user}allow_anonymous true\nacl_file {acl}\n")


async def test_rules_that_swallow_our_commands_are_noticed(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.inverters.opendtu.driver.PATIENCE_S", 1.0)
    monkeypatch.setattr("app.inverters.opendtu.driver.PATIENCE_EACH_S", 0.0)
    await ruled(mosquitto, MUTE)
    async with rig_at(mosquitto.port, "app", "x") as rig:
        assert await rig.limit(400.0), "the broker says that it has it"
        await until(lambda: rig.state.undelivered_since_s is not None, 2.0)


async def test_rules_that_change_under_us_are_noticed_within_3_s(mosquitto: Mosquitto) -> None:
    await ruled(mosquitto, OPEN)
    async with rig_at(mosquitto.port, "app", "x") as rig:
        assert await rig.limit(400.0)
        (mosquitto.folder / "acl").write_text(MUTE)
        assert mosquitto.process is not None
        mosquitto.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.5)
        assert await rig.limit(300.0)
        await until(lambda: rig.state.undelivered_since_s is not None, 4.0)


async def test_rules_that_keep_us_from_hearing_are_no_fault_of_the_commands(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.inverters.opendtu.driver.PATIENCE_S", 0.5)
    monkeypatch.setattr("app.inverters.opendtu.driver.PATIENCE_EACH_S", 0.0)
    await ruled(mosquitto, f"topic readwrite #\n\n{DEAF}topic read solar/+/status/#\n")
    async with rig_at(mosquitto.port, "app", "x") as rig:
        for shown, watts in ((600.0, 400.0), (400.0, 300.0)):
            await publish(mosquitto.port, f"solar/{SERIAL}/status/limit_absolute", f"{shown:.2f}")
            await until(lambda: rig.state.acked_w == shown, 2.0)  # noqa: B023
            assert await rig.limit(watts)
            await publish(mosquitto.port, f"solar/{SERIAL}/status/limit_absolute", f"{watts:.2f}")
            await until(lambda: rig.state.acked_w == watts, 2.0)  # noqa: B023
            await asyncio.sleep(0.7)
            assert rig.state.undelivered_since_s is None


# -- floods --------------------------------------------------------------------------------------------


def memory_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024.0


@pytest.mark.parametrize(
    "topics",
    [
        ["solar/dtu/uptime", f"solar/{SERIAL}/0/power", f"solar/{SERIAL}/status/reachable"],
        [LIMIT, PERSISTENT],
        ["zeropower/state/heartbeat", f"solar/{SERIAL}/x/%d", f"solar/{SERIAL}/cmd/%d", "zeropower/set/%d"],
    ],
    ids=["telemetry", "commands", "100000 topics"],
)
async def test_a_flood_costs_no_tick_no_memory_and_no_command(mosquitto: Mosquitto, topics: list[str]) -> None:
    """10 000 messages a second, all to what we listen to, or on ever new topics beside it."""
    gaps: list[float] = []
    taken: list[bool] = []

    async def tick(rig: Rig) -> None:
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(0.2)
            gaps.append(time.monotonic() - last_s)
            last_s = time.monotonic()
            rig.driver.states()
            taken.append(await rig.limit(400.0 + len(taken)))

    async with rig_at(mosquitto.port) as rig:
        before_mb = memory_mb()
        async with running(tick(rig)):
            flood = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.inverters.flood", str(mosquitto.port), "5", *topics
            )
            assert await flood.wait() == 0
            await until(lambda: len(taken) > 20)
        assert max(gaps) < 3.0
        assert taken.count(False) <= len(taken) // 5, "a broker that other tests keep busy may answer too late"
        assert rig.broker.connected
        assert memory_mb() - before_mb < 20.0
