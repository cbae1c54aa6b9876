"""The spool for InfluxDB: how fast, how large, and what an outage of a day costs. About a minute.

``python -m bench.telemetry outage FOLDER`` is a process that lives through one, for its memory to be measured.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from app.config import InfluxConfig
from app.model import (
    Ac,
    Account,
    Decision,
    GatewayState,
    InverterState,
    Ledger,
    MeterState,
    Mode,
    Panel,
    Phase,
    Reading,
    Settings,
    Snapshot,
    Tick,
)
from app.telemetry.influx import InfluxSink, line
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from app.telemetry.spool import Spool, lane_of
from bench.process import free_port

LOCAL = "127.0.0.1"
DAY_S = 86_400
SAMPLE_S = 3600
UTC_S = 1_750_000_000.0
LOOK_S = 0.005
Found = tuple[str, float, str]


async def measure(_seconds: float = 0.0) -> AsyncIterator[Found]:
    """Key, value and text of each figure."""
    sample = [list(points) for points in recorded(SAMPLE_S)]
    with tempfile.TemporaryDirectory(prefix="zero-export-bench-") as folder:
        for found in _written(Path(folder) / "a", sample):
            yield found
        async for found in _drained(Path(folder) / "a", sample):
            yield found
        growth_mb = await _outage_mb(Path(folder) / "b")
        yield "outage_memory_mb", growth_mb, f"telemetry, 24 h without InfluxDB: memory {growth_mb:+.1f} MB"


def _written(folder: Path, sample: list[list[Point]]) -> Iterator[Found]:
    """The sample into a spool, as an outage would."""
    started_s = time.perf_counter()
    lines = [[(lane_of(point.measurement), line(point)) for point in points] for points in sample]
    count, spent_s = sum(map(len, lines)), time.perf_counter() - started_s
    yield "lines_made_per_s", count / spent_s, f"telemetry: {count / spent_s:.0f} lines made per second"
    at_s = UTC_S
    spool = Spool(folder, 10**9, utc_s=lambda: at_s, now_s=lambda: at_s)
    started_s = time.perf_counter()
    for found in lines:
        at_s += 1.0
        for lane in {lane for lane, _ in found}:
            spool.accept(lane, [text for other, text in found if other == lane])
        spool.tend()
    spent_s = time.perf_counter() - started_s
    yield "lines_spooled_per_s", count / spent_s, f"telemetry: {count / spent_s:.0f} lines a second into the spool"
    at_s += SAMPLE_S  # old enough to be packed whatever its size
    for lane, take in (("points", spool.newest), ("lasting", spool.oldest)):
        if parcel := take(lane):
            spool.give_back(parcel)
    for _ in range(10):
        spool.tend()
    raw_mb = sum(len(text.encode()) + 1 for found in lines for _, text in found) / SAMPLE_S * DAY_S / 1e6
    kept_mb = spool.state.used_b / SAMPLE_S * DAY_S / 1e6
    text = f"telemetry, 2 inverters at 1 Hz: {count / SAMPLE_S:.1f} lines/s, {raw_mb:.1f} MB a day"
    yield "raw_mb_per_day", raw_mb, text
    yield (
        "spool_mb_per_day",
        kept_mb,
        f"telemetry: {kept_mb:.1f} MB a day in the spool, 256 MB are {256 / kept_mb:.0f} days",
    )
    spool.close()


async def _drained(folder: Path, sample: list[list[Point]]) -> AsyncIterator[Found]:
    """Twenty hours of backlog to a local server, with the loop watched meanwhile."""
    port = free_port()
    sink = InfluxSink(InfluxConfig(url=f"http://{LOCAL}:{port}", token="bench"), folder)  # noqa: S106 - no secret
    for hour in range(1, 20):
        for points in sample:
            sink.offer([replace(point, utc_s=point.utc_s + hour * SAMPLE_S) for point in points])
            await sink.store()
    quiet = await _lateness_ms(2.0)
    waited, hours = sink.stats.pending, 20
    async with _server(port):
        task = asyncio.create_task(sink.run())
        started_s = time.perf_counter()
        busy = await _lateness_ms(math.inf, sink)
        spent_s = time.perf_counter() - started_s
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await sink.close()
    times = hours * SAMPLE_S / spent_s
    text = f"telemetry: {waited / spent_s:.0f} lines a second to a local server, {times:.0f} times real time"
    yield "lines_drained_per_s", waited / spent_s, text
    yield "drain_times_real_time", times, f"telemetry: {hours} h of backlog sent in {spent_s:.1f} s"
    for name, late in (("idle", quiet), ("draining", busy)):
        p99_ms = late[int(0.99 * len(late))]
        text = f"loop late while {name}: p99 {p99_ms:.1f} ms, at most {late[-1]:.1f} ms"
        yield f"loop_late_p99_ms_{name}", p99_ms, text


async def _lateness_ms(seconds: float, sink: InfluxSink | None = None) -> list[float]:
    """How late a timer of the loop comes, sorted; for some seconds, or until the sink has nothing left."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    late: list[float] = []
    while loop.time() < end_s and (sink is None or sink.stats.pending or not late):
        due_s = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        late.append(1000.0 * (loop.time() - due_s))
    return sorted(late)


async def _outage_mb(folder: Path) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.telemetry", "outage", str(folder), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return float(said)


async def outage(folder: Path) -> float:
    """A day of points for a server that is not there, as fast as it goes; growth of the memory in MB."""
    sink = InfluxSink(InfluxConfig(url=f"http://{LOCAL}:{free_port()}", token="bench"), folder)  # noqa: S106
    task = asyncio.create_task(sink.run())
    sample = [list(points) for points in recorded(600)]
    for points in sample:
        sink.offer(points)
        await sink.store()
    before_mb = most_mb = _memory_mb()
    for round_ in range(1, DAY_S // 600):
        for points in sample:
            sink.offer([replace(point, utc_s=point.utc_s + round_ * 600.0) for point in points])
            await sink.store()
        most_mb = max(most_mb, _memory_mb())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await sink.close()
    return most_mb - before_mb


def recorded(seconds: int) -> Iterator[list[Point]]:
    """The points of a house with two inverters and a meter read once a second, whose values never rest."""
    projector, luck = Projector("home"), random.Random(1)  # noqa: S311 - a repeatable house
    for second in range(seconds):
        yield projector.points(_tick(second, luck))


def _tick(second: int, luck: random.Random) -> Tick:
    grid_w, load_w = round(luck.gauss(15.0, 30.0), 1), round(luck.gauss(700.0, 40.0), 1)
    phases = tuple(Phase(round(luck.gauss(grid_w / 3, 9.0), 1), round(luck.gauss(231, 1), 1), 1.2, 0.9) for _ in "123")
    reading = Reading(
        grid_w, 100.0 + second, UTC_S + second - 0.2, phases, 1e6 + second, 2000.0, latency_s=luck.random() / 9
    )
    inverters = tuple(
        _inverter(serial, (second + i * 2) // 5, luck) for i, serial in enumerate(("116180400001", "116180400002"))
    )
    gateway = GatewayState("opendtu", True, float(second), -61.0, 43.0, 120_000.0, data_seq=1 + second // 5)
    ledger = Ledger(
        "EUR", "bench", "2025-06-15", UTC_S, Account(import_wh=second / 9), day_utc_s=UTC_S, month_utc_s=UTC_S
    )
    snapshot = Snapshot(
        100.0 + second, UTC_S + second, MeterState(reading, None, 1.0, 9), inverters, Settings(), gateways=(gateway,)
    )
    decision = Decision(
        Mode.LIMIT,
        "holding 15 W",
        target_w=15.0,
        grid_w=grid_w,
        pv_w=load_w - grid_w,
        load_w=load_w,
        setpoint_w=load_w - 15.0,
        limit_w=round(load_w),
        error_w=grid_w - 15.0,
        trim_p_w=luck.gauss(0, 5),
        trim_i_w=luck.gauss(0, 5),
        trim_d_w=0.0,
    )  # fmt: skip
    return Tick(snapshot, decision, step_s=luck.random() / 1000, ledger=ledger)


def _inverter(serial: str, seq: int, luck: random.Random) -> InverterState:
    def near(value: float, digits: int = 1) -> float:
        return round(luck.gauss(value, value / 50), digits)

    ac = Ac(
        near(350),
        near(231),
        near(1.5, 2),
        near(50, 2),
        0.99,
        near(3),
        near(365),
        near(41),
        near(95),
        1000.0 + seq,
        500.0 + seq / 1000,
    )
    panels = tuple(
        Panel(c, f"P{c}", near(180), near(31), near(5.8, 2), 500.0 + seq, 250.0 + seq / 1000, near(45)) for c in (1, 2)
    )
    return InverterState(
        serial=serial,
        name=f"Roof {serial[-1]}",
        max_w=800.0,
        min_w=24.0,
        reachable=True,
        producing=True,
        ac=ac,
        panels=panels,
        data_seq=seq + 1,
        utc_s=UTC_S + seq * 5,
        acked_w=float(300 + seq % 100),
        commanded_w=float(300 + seq % 100),
    )


@asynccontextmanager
async def _server(port: int) -> AsyncIterator[None]:
    """A server that takes everything, in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    process.start()
    try:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(LOCAL, port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield
    finally:
        process.kill()
        process.join()


def _serve(port: int) -> None:
    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    application = web.Application(client_max_size=64_000_000)
    application.router.add_post("/api/v2/write", take)
    web.run_app(application, host=LOCAL, port=port, print=None, access_log=None)


def _memory_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024.0


if __name__ == "__main__" and sys.argv[1] == "outage":
    sys.stdout.write(f"{asyncio.run(outage(Path(sys.argv[2])))}\n")
