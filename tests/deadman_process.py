"""``python -m tests.deadman_process PORT WATTS SERIAL…``: holds wills until it is killed; ``block`` hangs it."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from app.broker import Address, Broker
from app.checks import running
from app.deadman import DeadMan
from app.model import Will


def message(serial: str, limit_w: float) -> tuple[str, str]:
    return f"solar/{serial}/cmd/limit_nonpersistent_absolute", f"{limit_w:.1f}"


def memory_kb() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


async def main() -> None:
    port, watts, *serials = sys.argv[1:]
    broker = Broker(Address("127.0.0.1", int(port)), f"holder-{serials[0]}", heartbeat_topic="beat")
    deadman = DeadMan(broker, "test", message)
    async with running(broker.run()), running(deadman.run()):
        while not broker.connected:
            await asyncio.sleep(0.02)
        before_kb = memory_kb()
        deadman.arm(tuple(Will(serial, float(watts)) for serial in serials))
        while len(deadman.armed) < len(serials):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        sys.stdout.write(f"armed {(memory_kb() - before_kb) / len(serials):.0f}\n")
        sys.stdout.flush()
        order = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if order == "block":
            time.sleep(60.0)
        elif order == "close":
            await deadman.close()


if __name__ == "__main__":
    asyncio.run(main())
