"""InfluxDB is away, slow, or back; the process is killed meanwhile: in the end everything is there, as it was."""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.model import Fault
from app.telemetry.influx import InfluxSink, line
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from app.telemetry.rollup import Minute
from app.telemetry.spool import POINTS, Spool
from tests.conftest import Victoria, free_port, until
from tests.grafana.boards import RAW
from tests.grafana.influx import DATABASES
from tests.grafana.influx import running as running_influx
from tests.telemetry.ticks import EAST, UTC_S, WEST, make_inverter, make_tick
from tests.telemetry.writes import PATIENCE_S, config, fast, point, running, serving

ROOT = Path(__file__).parent.parent.parent


def value(one: str) -> int:
    return int(one.split("power_w=")[1].split(" ")[0])


@asynccontextmanager
async def recording(folder: Path, port: int, first: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.telemetry.spool_process",
        *(str(folder), str(port), str(first)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def accepted(process: asyncio.subprocess.Process, count: int) -> list[int]:
    """Let it record that many, kill it, and take what it has printed."""
    assert process.stdout is not None
    printed = [int(await process.stdout.readline()) for _ in range(count)]
    process.kill()
    rest = (await process.stdout.read()).decode()
    return [*printed, *(int(number) for number in rest.split("\n")[:-1])]


async def test_ten_kills_in_an_outage_lose_nothing_that_was_accepted(tmp_path: Path) -> None:
    dice, port, known = random.Random(1), free_port(), list[int]()
    for _ in range(10):
        async with recording(tmp_path, port, len(known) and known[-1] + 1000) as process:
            known += await accepted(process, dice.randrange(5, 60))
    async with serving(lambda *_: 204, port) as server, running(fast(tmp_path, port)) as sink:
        await until(lambda: sink.stats.pending == 0 and sink.stats.written > 0, PATIENCE_S)
        assert (sink.stats.dropped, sink.stats.refused, sink.spool_fault()) == (0, 0, None)
    taken = [one for one in server.taken if one.startswith("grid,")]
    assert len(known) > 100
    assert set(map(line, map(point, known))) <= set(taken)
    assert len(taken) == len(set(taken)), "and nothing twice"
    days = [value(one) for one in server.taken if one.startswith("day,")]
    assert days == sorted(days), "what replaces what was before it comes after it"
    assert days[-1] >= known[-1]


async def test_killed_between_the_answer_and_the_deletion_the_same_is_sent_again(tmp_path: Path) -> None:
    hang = asyncio.Event()
    async with serving(lambda *_: 204) as server:
        handle = server.handle

        async def take_and_hang(request: Any) -> Any:
            answer = await handle(request)
            if not hang.is_set():
                await hang.wait()
            return answer

        server.handle = take_and_hang  # type: ignore[method-assign]
        async with recording(tmp_path, server.port, 0) as process:
            await until(lambda: server.taken, PATIENCE_S, "the first request")
            known = await accepted(process, 20)
        before = list(server.taken)
        hang.set()
        async with running(fast(tmp_path, server.port)) as sink:
            await until(lambda: sink.stats.pending == 0 and sink.stats.written > 0, PATIENCE_S)
    assert set(before) <= set(server.taken[len(before) :]), "all that was not acknowledged came again"
    assert {line(point(i)) for i in known} <= set(server.taken)
    for key, fields in server.stored.items():
        if key.startswith("grid,"):
            assert fields == f"power_w={(int(key.rsplit(' ', 1)[1]) - round(UTC_S * 1000)) // 1000}"


async def test_after_an_outage_the_newest_come_first_and_the_rest_oldest_first_beside_them(tmp_path: Path) -> None:
    away = InfluxSink(config(free_port()), tmp_path / "spool")
    for start in range(0, 40_000, 500):
        away.offer([point(i) for i in range(start, start + 500)])
        await away.store()
    await away.close()
    numbers = itertools.count(40_000)

    def answer(_bucket: str, lines: list[str]) -> int:
        if value(lines[0]) < 40_000:  # while old ones come, there is a new one
            sink.offer([point(next(numbers))])
        return 204

    async with serving(answer) as server:
        sink = InfluxSink(config(server.port), tmp_path / "spool", flush_s=0.0)
        sink.offer([point(next(numbers))])
        await sink.store()
        async with running(sink):
            await until(lambda: sink.stats.pending == 0, PATIENCE_S)
    old = [[value(one) for one in r] for r in server.requests if value(r[0]) < 40_000]
    new = [[value(one) for one in r] for r in server.requests if value(r[0]) >= 40_000]
    assert [number for request in old for number in request] == list(range(40_000))
    assert [number for request in new for number in request] == list(range(40_000, next(numbers)))
    kinds = "".join("new " if value(r[0]) >= 40_000 else "old " for r in server.requests)
    assert kinds == "new " + "old new " * len(old)


async def test_a_value_that_is_replaced_all_the_time_ends_as_the_newest_whatever_the_order_of_events(
    tmp_path: Path,
) -> None:
    dice = random.Random(7)
    newest: dict[str, str] = {}
    numbers = itertools.count()
    status = 204

    def points() -> list[Point]:
        found = []
        for measurement in ("day", "month", "minute", "forecast"):
            one = point(next(numbers), measurement, UTC_S + 1000.0 * dice.randrange(3))
            found.append(one)
            series, fields, at = line(one).split(" ")
            newest[f"{series} {at}"] = fields
        return [*found, point(next(numbers))]

    async with serving(lambda *_: status) as server:
        for _ in range(6):  # starts of the program
            sink = fast(tmp_path, server.port)
            async with running(sink):
                for _ in range(30):
                    status = dice.choice([204, 204, 503, 500, 404])
                    sink.offer(points())
                    await asyncio.sleep(dice.choice([0.0, 0.01, 0.05]))
            await sink.close()
        status = 204
        async with running(fast(tmp_path, server.port)) as sink:
            sink.offer(points())
            await sink.store()
            await until(lambda: sink.stats.pending == 0, PATIENCE_S)
    stored = {key: fields for key, fields in server.stored.items() if not key.startswith("grid,")}
    assert stored == newest
    assert len(newest) == 12


async def test_six_hours_without_influxdb_in_little_memory(tmp_path: Path) -> None:
    at_s = UTC_S
    clock: Callable[[], float] = lambda: at_s  # noqa: E731
    spool = Spool(tmp_path / "spool", 256_000_000, utc_s=clock, now_s=clock)
    noise = random.Random(3)
    expected: set[str] = set()
    tracemalloc.start()
    try:
        for second in range(6 * 3600):
            at_s = UTC_S + second
            now_ms = round(at_s * 1000)
            lines = [f"grid,site=home power_w={noise.gauss(15.0, 40.0):.2f} {now_ms}"]
            lines += [f"control,site=home load_w={noise.gauss(420.0, 40.0):.2f},mode_number=1 {now_ms}"]
            if second % 5 == 0:
                lines += [f"inverter,site=home,serial={s} ac_power_w={noise.random()} {now_ms}" for s in (EAST, WEST)]
            spool.accept(POINTS, lines)
            expected.update(map(hash_of, lines))
            if second % 5 == 0:
                spool.tend()
            if second % 60 == 0 and (newest := spool.newest(POINTS)):  # a server that answers with an error
                spool.give_back(newest)
        held_b = sum(
            stat.size
            for stat in tracemalloc.take_snapshot().statistics("filename")
            if "app/telemetry" in stat.traceback[0].filename
        )
    finally:
        tracemalloc.stop()
    assert held_b < 2_000_000
    state = spool.state
    assert (state.pending, state.dropped, state.fault) == (len(expected), 0, None)
    assert state.oldest_utc_s == UTC_S
    spool.close()
    taken: list[str] = []

    def take(_bucket: str, lines: list[str]) -> int:
        taken.extend(map(hash_of, lines))
        return 204

    async with serving(take) as server, running(fast(tmp_path, server.port)) as sink:
        await until(lambda: sink.stats.pending == 0 and sink.stats.written > 0, PATIENCE_S)
    assert len(taken) == len(expected)
    assert set(taken) == expected
    stamps = [int(request[0].rsplit(" ", 1)[1]) for request in server.requests]
    assert stamps == sorted(stamps)


def hash_of(one: str) -> str:
    return one if len(one) < 40 else f"{hash(one)}"


async def test_a_server_that_is_too_slow_for_many_lines_gets_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.telemetry.influx.REQUEST_S", 0.5)
    faults: list[Fault | None] = []
    released = asyncio.Event()
    async with serving(lambda *_: 204) as server:
        handle = server.handle

        async def slow(request: Any) -> Any:
            if len((await request.text()).split("\n")) > 1000:
                faults.append(sink.fault())
                await released.wait()
            return await handle(request)

        server.handle = slow  # type: ignore[method-assign]
        sink = fast(tmp_path, server.port)
        async with running(sink):
            sink.offer([point(i) for i in range(4000)])
            await until(lambda: sink.stats.pending == 0, PATIENCE_S)
        released.set()
    assert faults, "the large request came"
    assert list(dict.fromkeys(server.taken)) == [line(point(i)) for i in range(4000)]


async def test_a_disk_that_takes_nothing_does_not_keep_points_from_the_server(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    async with serving(lambda *_: 204) as server, running(fast(tmp_path, server.port)) as sink:
        for i in range(20):
            sink.offer([point(i), point(i, "minute")])
            await asyncio.sleep(0.01)
        await until(lambda: sink.stats.pending == 0 and sink.stats.written == 40, PATIENCE_S)
        fault = sink.spool_fault()
        assert fault is not None
        assert fault.key == "spool"
        assert sink.fault() is None
    assert {line(point(i)) for i in range(20)} <= set(server.taken)


def ticks() -> list[Point]:
    """Ten seconds of a house, with texts that need care."""
    projector = Projector("home", lambda _: 'http://pi/api/toggle?state=off&sig="x\\"')
    found = []
    for second in range(10):
        inverters = (
            make_inverter(EAST, 'Roof \\ "east", a=b', 1 + second, utc_s=UTC_S + second),
            make_inverter(WEST, "Dach Süd ☀", 1 + second, utc_s=UTC_S + second),
        )
        found += projector.points(make_tick(float(second), inverters=inverters, reason="holding\r\n15 W, 'so'"))
    return [*found, projector.minute(Minute(UTC_S - 20.0, pv_w=1.5, pv_s=60.0))]


async def test_what_the_spool_holds_comes_back_from_an_influxdb_1_as_it_was(tmp_path: Path) -> None:
    """Also where a file of the spool is posted by hand, as it is."""
    sink = InfluxSink(config(free_port()), tmp_path / "spool")
    offered = ticks()
    sink.offer(offered)
    await sink.store()
    files = [path.read_text() for path in sorted((tmp_path / "spool").rglob("*.lp"))]
    await sink.close()
    assert len(files) == 3
    with running_influx(tmp_path) as influx:
        influx.post(files, DATABASES[RAW])
        found: dict[tuple[str, int, frozenset[tuple[str, str]]], dict[str, object]] = {}
        for series in influx.ask("SELECT * FROM /.*/ GROUP BY *"):
            for row in series["values"]:
                known = {k: v for k, v in zip(series["columns"][1:], row[1:], strict=True) if v is not None}
                found[series["name"], row[0], frozenset(kv for kv in series["tags"].items() if kv[1])] = known
    expected: dict[tuple[str, int, frozenset[tuple[str, str]]], dict[str, object]] = {}
    for one in offered:
        key = (one.measurement, round(one.utc_s * 1000), frozenset(one.tags))
        fields = {name: v.replace("\r\n", "  ") if isinstance(v, str) else v for name, v in one.fields}
        expected[key] = {**expected.get(key, {}), **fields}
    assert found == expected


async def test_a_day_of_a_house_is_whole_in_a_real_server_after_an_outage(tmp_path: Path, victoria: Victoria) -> None:
    await victoria.stop()
    sink = fast(tmp_path, victoria.port)
    async with running(sink):
        for second in range(60):
            sink.offer([point(second), point(second, "day", UTC_S), point(second, "forecast", UTC_S)])
            await sink.store()
        await until(lambda: sink.fault() is not None, PATIENCE_S)
    await sink.close()
    await victoria.start()
    async with running(fast(tmp_path, victoria.port)) as again:
        await until(lambda: again.stats.pending == 0 and again.stats.written == 180, PATIENCE_S)
    ((_, values, at),) = await victoria.series("grid_power_w")
    assert values == [float(i) for i in range(60)]
    assert at == [round((UTC_S + i) * 1000) for i in range(60)]
    ((_, days, _),) = await victoria.series("day_power_w")
    assert max(days) == 59.0  # it keeps all that came for one time stamp, unless told otherwise (docs/influxdb.md)
