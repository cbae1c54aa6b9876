"""The SQLite store: wide tables, a week of raw points, and faults instead of exceptions."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.telemetry.database import Database
from app.telemetry.points import MEASUREMENTS, SCHEMA, Point
from app.telemetry.projector import Projector
from app.telemetry.records import Records
from app.telemetry.rollup import Minute
from app.telemetry.sqlite import SqliteSink
from app.telemetry.tables import MINUTE_15
from tests.telemetry.ticks import EAST, UTC_S, make_tick

MINUTE = Minute(UTC_S - 20.0, grid_w=5.0, grid_min_w=-3.0, grid_max_w=9.0, grid_s=40.0, import_wh=0.1, export_wh=0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "telemetry.db"


@asynccontextmanager
async def running(sink: SqliteSink) -> AsyncIterator[SqliteSink]:
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await sink.close()


async def until(condition: object, timeout_s: float = 8.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def points(now_s: float = UTC_S) -> list[Point]:
    projector = Projector("home", lambda _: "http://app")
    return [*projector.points(make_tick(utc_s=now_s)), projector.minute(MINUTE)]


def grid_point(utc_s: float, power_w: float = 1.0) -> Point:
    return Point("grid", (("site", "home"),), (("power_w", power_w),), utc_s)


async def test_every_field_has_its_column(path: Path) -> None:
    Database(path).close()
    for measurement in (*SCHEMA, MINUTE_15):
        columns = {row[1]: row[2] for row in query(path, f"PRAGMA table_info({measurement.name})")}
        wanted = {field.name: "TEXT" if field.unit == "text" else "REAL" for field in measurement.fields}
        wanted |= {"utc_ms": "INTEGER", "site": "TEXT", **dict.fromkeys(measurement.tags, "TEXT")}
        assert columns == wanted


async def test_points_become_rows(path: Path) -> None:
    async with running(SqliteSink(path, raw=True, flush_s=0.01, utc=lambda: UTC_S + 60.0)) as sink:
        sink.offer(points())
        await until(lambda: sink.stats.written)
        assert sink.fault() is None
    (row,) = query(path, "SELECT utc_ms, site, power_w, l1_power_w, latency_ms FROM grid")
    assert row == (round((UTC_S - 0.2) * 1000), "home", 20.0, 10.0, pytest.approx(41.0))
    measured = query(path, "SELECT serial, name, ac_power_w, limit_w FROM inverter ORDER BY utc_ms")
    assert measured == [(EAST, "Roof east", 400.0, None), (EAST, "Roof east", None, 500.0)]
    assert query(path, "SELECT channel, voltage_v FROM panel") == [("1", 32.0), ("2", 33.0)]
    assert query(path, "SELECT mode, mode_number, toggle_url FROM control") == [("limit", 1.0, "http://app")]
    assert query(path, "SELECT utc_ms, grid_w, export_wh, pv_w FROM minute") == [
        (round(MINUTE.utc_s * 1000), 5.0, 0.02, None)
    ]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


async def test_with_an_influxdb_only_what_lasts_is_kept(path: Path) -> None:
    async with running(SqliteSink(path, raw=False, flush_s=0.01, utc=lambda: UTC_S + 60.0)) as sink:
        sink.offer(points())
        await until(lambda: sink.stats.written)
        assert (await Records(sink, "home").last_minute()) == MINUTE
        assert (await Records(sink, "cabin").last_minute()) is None
    assert query(path, "SELECT count(*) FROM grid") == [(0,)]
    assert query(path, "SELECT kind, key FROM event") == [("mode", "limit")]
    assert query(path, "SELECT import_wh, pv_wh FROM day") == [(1.0, 7.0)]
    assert query(path, "SELECT import_wh, pv_wh FROM month") == [(0.0, 0.0)]


async def test_a_minute_written_again_replaces_itself(path: Path) -> None:
    async with running(SqliteSink(path, raw=False, flush_s=0.01, utc=lambda: UTC_S + 60.0)) as sink:
        sink.offer(points())
        sink.offer(points())
        await until(lambda: sink.stats.written == 8)  # the minute, its day, its month and an event, twice
    assert query(path, "SELECT count(*) FROM minute") == [(1,)]


async def test_long_ranges_are_weighted_means(path: Path) -> None:
    projector = Projector("home")
    values = [(100.0, 60.0), (400.0, 30.0), (None, 0.0)]
    minutes = [Minute(1_750_000_200.0 + 60.0 * i, pv_w=w, pv_s=s) for i, (w, s) in enumerate(values)]
    async with running(SqliteSink(path, raw=False, flush_s=0.01, utc=lambda: UTC_S + 60.0)) as sink:
        sink.offer([projector.minute(minute) for minute in minutes])
        await until(lambda: sink.stats.written == 3)
        records = Records(sink, "home")
        assert await records.rows(0.0, math.inf, 60) == [
            (1_750_000_200.0, (None, 100.0, None, None, None, None)),
            (1_750_000_260.0, (None, 400.0, None, None, None, None)),
            (1_750_000_320.0, (None, None, None, None, None, None)),
        ]
        (whole,) = await records.rows(0.0, math.inf, 600)
        assert whole == (1_750_000_200.0, (None, 200.0, None, None, None, None))


async def test_a_newer_schema_adds_its_columns(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE grid (utc_ms INTEGER NOT NULL, site TEXT, power_w REAL)")
        connection.execute("INSERT INTO grid VALUES (1, 'home', 7.0)")
        connection.commit()
    database = Database(path)
    database.insert([point for point in points() if point.measurement == "grid"])
    database.close()
    assert query(path, "SELECT power_w, import_wh FROM grid ORDER BY utc_ms") == [(7.0, None), (20.0, 1_000_000.0)]


async def test_raw_points_go_after_a_week_and_minutes_stay(path: Path) -> None:
    now_s = time.time()
    sink = SqliteSink(path, raw=True, flush_s=0.01)
    async with running(sink):
        minute = replace(points()[-1], utc_s=now_s - 300 * 86_400.0)
        sink.offer([grid_point(now_s - 8 * 86_400.0), grid_point(now_s - 6 * 86_400.0), minute])
        await until(lambda: sink.stats.written == 3)
    assert query(path, "SELECT count(*) FROM grid") == [(1,)]
    assert query(path, "SELECT count(*) FROM minute") == [(1,)]


async def test_a_damaged_file_is_moved_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this was a database once" * 1000)
    async with running(SqliteSink(path, raw=True, flush_s=0.01)) as sink:
        sink.offer(points(time.time()))
        await until(lambda: sink.stats.written)
        assert sink.fault() is None
    assert path.with_suffix(".damaged").read_bytes().startswith(b"this was")
    assert query(path, "SELECT count(*) FROM control") == [(1,)]
    assert [r.getMessage() for r in caplog.records if "is damaged" in r.getMessage()]


async def test_a_file_that_gets_damaged_while_it_is_used_is_moved_aside(path: Path) -> None:
    async with running(SqliteSink(path, raw=True, flush_s=0.01)) as sink:
        for i in range(2000):
            sink.offer([grid_point(time.time() + i)])
        await until(lambda: sink.stats.written == 2000)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 8)
    async with running(SqliteSink(path, raw=True, flush_s=0.01)) as sink:
        sink.offer(points(time.time()))
        await until(lambda: path.with_suffix(".damaged").exists() and sink.stats.written)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_full_disk_is_a_fault_and_nothing_is_lost(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.telemetry.sqlite.RETRY_S", (0.02, 0.02))
    caplog.set_level(logging.INFO)
    full = True
    made = Database.__init__

    def small(self: Database, file: Path) -> None:
        made(self, file)
        limit = 60 if full else 100_000
        self._connection.execute(f"PRAGMA max_page_count = {limit}")

    monkeypatch.setattr(Database, "__init__", small)
    async with running(SqliteSink(path, raw=True, flush_s=0.01, retention_s=1e12)) as sink:
        sink.offer([grid_point(UTC_S + i) for i in range(8000)])
        await until(sink.fault)
        fault = sink.fault()
        assert fault is not None
        assert "no room on the disk" in fault.text
        assert fault.next_step.startswith("Make room")
        full = False
        await until(lambda: sink.fault() is None)
        assert sink.stats.written == 8000
    assert query(path, "SELECT count(*), count(DISTINCT utc_ms) FROM grid") == [(8000, 8000)]
    said = [r.getMessage() for r in caplog.records if r.name == "app.telemetry.sqlite"]
    assert said == [], "the fault itself is logged with all others"


async def test_a_locked_file_is_a_fault_until_it_is_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.telemetry.sqlite.RETRY_S", (0.02, 0.02))
    monkeypatch.setattr("app.telemetry.database.BUSY_S", 0.05)
    async with running(SqliteSink(path, raw=True, flush_s=0.01, retention_s=1e12)) as sink:
        sink.offer([grid_point(UTC_S)])
        await until(lambda: sink.stats.written == 1)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            sink.offer([grid_point(UTC_S + 1.0)])
            await until(sink.fault)
            fault = sink.fault()
            assert fault is not None
            assert "locked" in fault.text
        await until(lambda: sink.fault() is None)
        assert sink.stats.written == 2


async def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    async with running(SqliteSink(tmp_path / "data" / "telemetry.db", raw=True, flush_s=0.01)) as sink:
        sink.offer(points())
        await until(sink.fault)
        fault = sink.fault()
        assert fault is not None
        assert "cannot be written" in fault.text
        assert "data_dir" in fault.next_step
        assert await Records(sink, "home").rows(0.0, math.inf, 60) == []
        assert await Records(sink, "home").last_minute() is None


async def test_how_long_points_wait_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where the folder should be")
    now_s = UTC_S
    sink = SqliteSink(tmp_path / "a" / "telemetry.db", raw=True, flush_s=0.01, utc=lambda: now_s)
    async with running(sink):
        assert sink.stats.oldest_s == 0.0
        sink.offer([grid_point(UTC_S - 7.0)])
        await until(sink.fault)
        now_s += 30.0
        sink.offer([grid_point(UTC_S)])
        assert (sink.stats.pending, sink.stats.oldest_s) == (2, 30.0)


async def test_the_oldest_points_give_way_and_are_counted(path: Path) -> None:
    sink = SqliteSink(path, raw=True, capacity=100, retention_s=1e12)
    for i in range(1000):
        sink.offer([grid_point(UTC_S + i)])
    assert (sink.stats.pending, sink.stats.dropped) == (100, 900)
    await sink.close()
    assert query(path, "SELECT min(utc_ms), count(*) FROM grid") == [(round((UTC_S + 900.0) * 1000), 100)]


async def test_a_stop_in_the_middle_of_a_write_neither_loses_nor_doubles(path: Path) -> None:
    for delay_s in (0.0, 0.001, 0.005, 0.01, 0.02):
        sink = SqliteSink(path, raw=True, flush_s=0.0, retention_s=1e12)
        sink.offer([grid_point(UTC_S + i) for i in range(3000)])
        task = asyncio.create_task(sink.run())
        await asyncio.sleep(delay_s)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await sink.close()
        assert query(path, "SELECT count(*), count(DISTINCT utc_ms) FROM grid") == [(3000, 3000)]
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DELETE FROM grid")
            connection.commit()


async def test_the_event_loop_goes_on_while_a_write_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.telemetry.database.BUSY_S", 6.0)
    async with running(SqliteSink(path, raw=True, flush_s=0.01)) as sink:
        sink.offer([grid_point(UTC_S)])
        await until(lambda: sink.stats.written == 1)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            sink.offer([grid_point(UTC_S + 1.0)])
            longest_s, before_s = 0.0, time.perf_counter()
            while sink.fault() is None:
                await asyncio.sleep(0.005)
                longest_s, before_s = max(longest_s, time.perf_counter() - before_s), time.perf_counter()
        assert longest_s < 3.0


def test_every_measurement_is_known() -> None:
    assert set(MEASUREMENTS) == {
        "grid",
        "inverter",
        "panel",
        "dtu",
        "battery",
        "control",
        "price",
        "forecast",
        "ledger",
        "store",
        "envoy_meter",
        "microinverter",
        "envoy_device",
        "envoy_battery",
        "event",
        "minute",
        "day",
        "month",
    }
