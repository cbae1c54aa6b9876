"""How fast a year of minutes is found again, and how large it is."""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.telemetry.archive import PAGE, Archive, pages
from app.telemetry.database import Database
from app.telemetry.history import History
from app.telemetry.points import MINUTE, Point, known
from app.telemetry.rollup import Minute
from app.telemetry.tables import Row

YEAR_S = 365 * 86_400
END_S = 1_750_000_500.0 // 60 * 60
BATCH = 5000
SITE = "home"
Found = tuple[str, float, str]


def measure() -> Iterator[Found]:
    """Key, value and text of each figure; about a minute, most of it to write the year."""
    with tempfile.TemporaryDirectory(prefix="zero-export-bench-") as folder:
        database = Database(Path(folder) / "telemetry.db")
        started_s = time.perf_counter()
        write_year(database)
        written_s = time.perf_counter() - started_s
        rate = YEAR_S / 60 / written_s
        yield "sqlite_minutes_per_s", rate, f"SQLite: {rate:.0f} minutes written per second"
        started_s = time.perf_counter()
        while not database.tidy(END_S, 7 * 86_400.0):
            pass
        folded_s = time.perf_counter() - started_s
        yield "sqlite_fold_s", folded_s, f"SQLite: a year of minutes folded in {folded_s:.1f} s"
        size_mb = sum(file.stat().st_size for file in Path(folder).glob("*.db")) / 1e6
        yield "sqlite_year_mb", size_mb, f"SQLite: a year takes {size_mb:.0f} MB"
        for name, seconds in (("day", 86_400), ("month", 31 * 86_400), ("year", 365 * 86_400), ("most", 400 * 86_400)):
            took_ms, count = history_ms(database.archive, seconds)
            yield f"sqlite_history_{name}_ms", took_ms, f"SQLite: history of a {name}: {took_ms:.0f} ms ({count} rows)"
        started_s = time.perf_counter()
        rows = sum(len(page) for page in pages(database.archive, "minute", SITE, 0.0, math.inf))
        took_s = time.perf_counter() - started_s
        yield "sqlite_export_s", took_s, f"SQLite: {rows} minutes read for export in {took_s:.1f} s, {PAGE} at a time"
        database.close()


def write_year(database: Database) -> None:
    """Every minute of a house whose powers never repeat."""
    luck = random.Random(1)  # noqa: S311 - no secret
    batch: list[Point] = []
    for index in range(YEAR_S // 60):
        minute = _minute(END_S - YEAR_S + 60.0 * index, luck)
        batch.append(Point("minute", (("site", SITE),), known(MINUTE, minute), minute.utc_s))
        if len(batch) == BATCH:
            database.insert(batch)
            batch = []
    database.insert(batch)


def history_ms(archive: Archive, seconds: float) -> tuple[float, int]:
    """The fastest of three questions for the last ``seconds``, and the number of rows that the page gets."""

    async def stored(since_utc_s: float, until_utc_s: float, step_s: int) -> list[Row]:
        return archive.rows(SITE, since_utc_s, until_utc_s, step_s)

    history = History(stored, utc=lambda: END_S)
    took_ms, count = math.inf, 0
    for _ in range(3):
        started_s = time.perf_counter()
        count = len(asyncio.run(history.between(END_S - seconds, END_S))["utc_s"])
        took_ms = min(took_ms, 1000.0 * (time.perf_counter() - started_s))
    return took_ms, count


def _minute(utc_s: float, luck: random.Random) -> Minute:
    hour = utc_s % 86_400.0 / 3600.0
    pv_w = max(0.0, math.sin((hour - 6.0) / 12.0 * math.pi)) * luck.uniform(200.0, 1500.0)
    load_w = luck.uniform(150.0, 900.0)
    grid_w, limit_w = load_w - pv_w, luck.uniform(100.0, 1500.0)
    return Minute(
        utc_s,
        *(grid_w, grid_w - luck.uniform(0.0, 90.0), grid_w + luck.uniform(0.0, 90.0), 60.0 + luck.uniform(-1e-6, 1e-6)),
        *(pv_w, pv_w * 0.9, pv_w * 1.1, 60.0),
        *(load_w, load_w * 0.9, load_w * 1.1, 60.0),
        *(limit_w, limit_w * 0.9, limit_w * 1.1, 60.0),
        *(max(0.0, grid_w) / 60.0, max(0.0, -grid_w) / 60.0, pv_w / 60.0, load_w / 60.0),
    )
