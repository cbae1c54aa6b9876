"""What the real process needs, and how fast it answers: real broker, real protocols."""

from __future__ import annotations

import asyncio
import bisect
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from app.simulator.broker import embedded_broker
from app.simulator.devices import FakeOpenDtu, FakeShelly
from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.models import MODELS

LOCAL = "127.0.0.1"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Resident memory in MB and the share of one core in percent."""

    memory_mb: float
    cpu_pct: float


@dataclass
class Latencies:
    """Milliseconds from the meter's answer to the limit's arrival at a subscriber."""

    samples_ms: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The value that ``share`` of the samples do not exceed."""
        ordered = sorted(self.samples_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process to its first command, and to the load being known and regulated."""

    command_s: float
    regulating_s: float


class TimedShelly(FakeShelly):
    """Remembers when it answered."""

    def __init__(self, house: House, kind: str) -> None:
        super().__init__(house, kind)
        self.answered_s: list[float] = []

    def answered(self) -> None:
        """Note the time."""
        self.answered_s.append(time.monotonic())


@dataclass
class Bench:
    """One house with a running controller."""

    house: House
    shelly: TimedShelly
    process: asyncio.subprocess.Process
    broker_port: int
    started_s: float

    def usage_s(self) -> float:
        """CPU seconds that the process has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def memory_mb(self) -> float:
        """Its resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024.0
        raise ProcessLookupError(self.process.pid)


async def usage(inverters: int, seconds: float) -> Usage:
    """Memory and CPU while regulating at 1 Hz, after it has settled."""
    async with running(inverters) as bench:
        await asyncio.sleep(20.0)
        before_s, started_s = bench.usage_s(), time.monotonic()
        await asyncio.sleep(seconds)
        used_s, took_s = bench.usage_s() - before_s, time.monotonic() - started_s
        return Usage(bench.memory_mb(), 100.0 * used_s / took_s)


async def latencies(seconds: float) -> Latencies:
    """From reading to published limit, with a load that never rests and a meter read five times a second."""
    async with running(4, interval_s=0.2) as bench:
        await asyncio.sleep(15.0)
        listener = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.listen", str(bench.broker_port), stdout=asyncio.subprocess.PIPE
        )
        noise = random.Random(1)  # noqa: S311 - a repeatable load, no secret
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            bench.house.load_override_w = noise.uniform(200.0, 3500.0)
            await asyncio.sleep(noise.uniform(0.3, 0.8))
        listener.kill()
        out, _ = await listener.communicate()
        arrivals = [float(line) for line in out.split()]
        answers = bench.shelly.answered_s
        return Latencies([1000.0 * (at_s - answers[bisect.bisect(answers, at_s) - 1]) for at_s in arrivals])


async def start_up(inverters: int) -> Start:
    """How soon it commands, and how soon it regulates, with an OpenDTU that was up before."""
    async with running(inverters, settle_s=12.0) as bench:
        command_s = regulating_s = 0.0
        while not (command_s and regulating_s):
            await asyncio.sleep(0.05)
            passed_s = time.monotonic() - bench.started_s
            if not command_s and bench.house.dtu.received:
                command_s = passed_s
            if not regulating_s and command_s and bench.house.grid_w > -20.0:
                regulating_s = passed_s
            if passed_s > 60.0:
                raise TimeoutError("not regulating after 60 s")
        return Start(command_s, regulating_s)


@asynccontextmanager
async def running(inverters: int, interval_s: float = 1.0, settle_s: float = 1.0) -> AsyncIterator[Bench]:
    """A sunny house with devices and the real controller process."""
    house = House(HouseConfig(seed=4, inverters=fleet(inverters)))
    house.sun_override = 0.9
    house.load_override_w = 300.0 * inverters
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zero-export-bench-")))
        broker_port = await stack.enter_async_context(broker(folder))
        shelly = await stack.enter_async_context(TimedShelly(house, "pro3em"))
        await stack.enter_async_context(FakeOpenDtu(house, LOCAL, broker_port))
        await asyncio.sleep(settle_s)
        (folder / "config.yaml").write_text(_config(house, folder, broker_port, shelly.host, interval_s))
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app",
            "run",
            "--config",
            str(folder / "config.yaml"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            yield Bench(house, shelly, process, broker_port, started_s)
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[int]:
    """Mosquitto where it is installed, else the embedded broker; its port."""
    program = broker_program()
    if program is None:
        async with embedded_broker() as port:
            yield port
        return
    port = free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} {LOCAL}\nallow_anonymous true\n")
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "mosquitto.conf"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(0.5)
        yield port
    finally:
        process.kill()
        await process.wait()


def broker_program() -> str | None:
    """Where Mosquitto is; None where it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def _config(house: House, folder: Path, broker_port: int, meter: str, interval_s: float) -> str:
    return yaml.safe_dump(
        {
            "data_dir": str(folder / "data"),
            "mqtt": {"host": LOCAL, "port": broker_port},
            "meter": {"type": "shelly", "host": meter, "interval_s": interval_s},
            "control": {"min_command_interval_s": 0.5 if interval_s < 1.0 else 2.5},
            "inverters": [{"serial": i.serial, "max_watt": MODELS[i.model].rated_w} for i in house.config.inverters],
            "http": {"host": LOCAL, "port": free_port()},
        }
    )


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])
