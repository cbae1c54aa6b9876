"""The SQLite file over the years: what is folded, what goes, how it is asked, and files of earlier versions."""

from __future__ import annotations

import asyncio
import math
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.telemetry.archive import Archive, open_read_only, pages
from app.telemetry.database import Database
from app.telemetry.points import ACCOUNT, EVENT, MINUTE, SCHEMA, Event, Point, known
from app.telemetry.records import Records
from app.telemetry.rollup import Minute
from app.telemetry.sqlite import SqliteSink
from app.telemetry.tables import UnreadableError, columns_of

NOW_S = 1_750_000_500.0  # a quarter of an hour begins here
DAY_S, WEEK_S = 86_400.0, 7 * 86_400.0
SITE = (("site", "home"),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close()


def minute(utc_s: float, grid_w: float = 100.0, known_s: float = 60.0, site: str = "home") -> Point:
    values = Minute(
        utc_s,
        *(grid_w, grid_w - 40.4, grid_w + 30.4, known_s),
        *(2.0 * grid_w, 0.0, 900.0, 60.0),
        import_wh=grid_w / 60.0,
    )
    return Point("minute", (("site", site),), known(MINUTE, values), utc_s)


def event(utc_s: float, text: str = "") -> Point:
    return Point("event", SITE, known(EVENT, Event("mode", text or f"{utc_s:.3f}")), utc_s)


def minutes(since_s: float, until_s: float, step: int = 1) -> list[Point]:
    first = math.ceil(since_s / 60.0)
    return [minute(60.0 * at, 100.0 + at % 7) for at in range(first, math.ceil(until_s / 60.0), step)]


def tidied(database: Database, now_s: float = NOW_S) -> None:
    for _ in range(1000):
        if database.tidy(now_s, WEEK_S):
            return
    pytest.fail("never done")


def count(database: Database, table: str) -> int:
    return int(database._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class TestFolding:
    """Minutes become quarters of an hour while they are there, and are thinned after 13 months."""

    def test_a_quarter_is_the_sum_of_its_minutes(self, database: Database) -> None:
        at_s = NOW_S - 7200.0
        database.insert([minute(at_s, 100.0), minute(at_s + 60.0, 400.0, 30.0), minute(at_s + 840.0, -50.0, 0.0)])
        tidied(database)
        (row,) = database._connection.execute(
            "SELECT utc_ms, grid_w, grid_min_w, grid_max_w, grid_s, pv_s, pv_max_w, import_wh, load_w, load_s "
            "FROM minute_15"
        ).fetchall()
        assert row == (at_s * 1000, 200.0, -90.0, 430.0, 90.0, 180.0, 900.0, pytest.approx(7.5), None, 0.0)

    def test_what_is_not_over_waits(self, database: Database) -> None:
        database.insert(minutes(NOW_S - 3600.0, NOW_S))
        tidied(database)
        last_ms = database._connection.execute("SELECT max(utc_ms) FROM minute_15").fetchone()[0]
        assert last_ms == (NOW_S - 1800.0) * 1000, "the one that ended now may still get a minute"

    def test_a_minute_that_comes_late_is_folded_again(self, database: Database) -> None:
        database.insert([minute(NOW_S - 1800.0, 100.0)])
        tidied(database)
        database.insert([minute(NOW_S - 1740.0, 200.0), minute(NOW_S)])
        tidied(database, NOW_S + 1800.0)
        assert database._connection.execute("SELECT grid_w FROM minute_15 ORDER BY utc_ms").fetchone() == (150.0,)

    @pytest.mark.parametrize("off_days", [0, 45, 500])
    def test_a_year_is_folded_in_steps_whatever_is_missing(self, database: Database, off_days: int) -> None:
        begin_s = NOW_S - 100 * DAY_S
        found = [*minutes(begin_s - off_days * DAY_S, begin_s - (off_days - 1) * DAY_S, 15)] if off_days else []
        found += minutes(begin_s, NOW_S - 1800.0, 15)
        database.insert(found)
        assert not database.tidy(NOW_S, WEEK_S), "30 days at once"
        tidied(database)
        assert count(database, "minute_15") == len(found)

    def test_minutes_go_after_13_months_and_quarters_stay(self, database: Database) -> None:
        old = minutes(NOW_S - 410 * DAY_S, NOW_S - 390 * DAY_S)
        database.insert(old)
        before = database.archive.rows("home", 0.0, math.inf, 3600)
        tidied(database)
        assert count(database, "minute") == 10 * 1440
        assert count(database, "minute_15") == 20 * 96
        after = database.archive.rows("home", 0.0, math.inf, 3600)
        assert [utc_s for utc_s, _ in after] == [utc_s for utc_s, _ in before]
        for (_, was), (_, now) in zip(before, after, strict=True):
            assert now == pytest.approx(was), "means of quarters are those of their minutes"

    def test_a_clock_that_was_ahead_for_a_while_does_not_end_the_folding(self, database: Database) -> None:
        database.insert([minute(NOW_S + 900 * DAY_S)])
        tidied(database, NOW_S + 901 * DAY_S)
        database.insert(minutes(NOW_S - 7200.0, NOW_S - 3600.0))
        tidied(database)
        assert count(database, "minute_15") == 5

    def test_each_site_is_folded_on_its_own(self, database: Database) -> None:
        database.insert([minute(NOW_S - 7200.0, 100.0), minute(NOW_S - 7200.0, 300.0, site="cabin")])
        tidied(database)
        for site, grid_w in (("home", 100.0), ("cabin", 300.0)):
            ((_, values),) = database.archive.rows(site, 0.0, math.inf, 900)
            assert values[0] == grid_w


class TestSeries:
    """What the page's history asks."""

    @pytest.mark.parametrize("step_s", [60, 300, 840, 900, 3600, 27_000])
    @pytest.mark.parametrize("folded", [False, True])
    def test_a_range_is_found_whatever_is_folded(self, database: Database, step_s: int, folded: bool) -> None:
        database.insert(minutes(NOW_S - 3 * DAY_S, NOW_S))
        if folded:
            tidied(database)
        since_s = (NOW_S - 2 * DAY_S) // step_s * step_s
        until_s = since_s + 10 * step_s if step_s < 27_000 else NOW_S
        rows = database.archive.rows("home", since_s, until_s, step_s)
        assert [utc_s for utc_s, _ in rows] == [since_s + i * step_s for i in range(len(rows))]
        assert len(rows) >= 6
        for utc_s, values in rows[:-1]:
            own = [100.0 + at % 7 for at in range(int(utc_s) // 60, int(utc_s + step_s) // 60)]
            assert values[0] == pytest.approx(sum(own) / len(own))
            assert values[1] == pytest.approx(2 * sum(own) / len(own))
            assert values[4:] == (round(min(own) - 40.4), round(max(own) + 30.4))

    def test_fine_steps_show_quarters_where_they_are_all_that_is_left(self, database: Database) -> None:
        database.insert(minutes(NOW_S - 402 * DAY_S, NOW_S - 398 * DAY_S))
        tidied(database)
        rows = database.archive.rows("home", NOW_S - 401 * DAY_S, NOW_S - 399 * DAY_S, 60)
        gone = [utc_s for utc_s, _ in rows if utc_s < NOW_S - 400 * DAY_S]
        assert len(gone) == 96
        assert len(rows) == 96 + 1440
        assert [utc_s for utc_s, _ in rows] == sorted({utc_s for utc_s, _ in rows})

    @pytest.mark.parametrize("step_s", [60, 900])
    def test_the_key_finds_them(self, database: Database, step_s: int) -> None:
        """Nothing is scanned: a year is as fast as its rows."""
        database.insert(minutes(NOW_S - DAY_S, NOW_S))
        tidied(database)
        query, given = database.archive.series_query("home", NOW_S - DAY_S, NOW_S, step_s)
        plan = [row[3] for row in database._connection.execute(f"EXPLAIN QUERY PLAN {query}", given)]
        for table in ("minute_15", "minute"):
            assert f"SEARCH {table} USING PRIMARY KEY (site=? AND utc_ms>? AND utc_ms<?)" in plan
        assert not [line for line in plan if line.startswith("SCAN minute")]

    @pytest.mark.parametrize("table", ["grid", "event", "minute", "minute_15", "day"])
    def test_a_page_of_a_table_is_found_by_its_key_or_index(self, database: Database, table: str) -> None:
        asked: list[str] = []
        database._connection.set_trace_callback(asked.append)
        database.archive.page(table, "home", 0.0, NOW_S, (5, 7))
        database.archive.journal("home", NOW_S, 10)
        database._connection.set_trace_callback(None)
        for query in asked:
            plan = [row[3] for row in database._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
            assert len(plan) == 1, plan
            assert plan[0].startswith("SEARCH"), plan


class TestTables:
    """Whole tables, page by page."""

    @pytest.mark.parametrize("size", [1, 2, 7, 100])
    def test_no_row_is_left_out_or_comes_twice(self, database: Database, size: int) -> None:
        """Even where many have the same time stamp."""
        stamps = [NOW_S + index // 5 for index in range(23)]
        database.insert([event(utc_s, str(index)) for index, utc_s in enumerate(stamps)])
        found: list[object] = []
        page = database.archive.page("event", "home", NOW_S, NOW_S + 4.0, None, size)
        found += [row[3] for row in page.rows]
        while page.after is not None:
            page = database.archive.page("event", "home", NOW_S, NOW_S + 4.0, page.after, size)
            found += [row[3] for row in page.rows]
        assert found == [str(index) for index in range(20)]

    def test_the_end_is_not_included(self, database: Database) -> None:
        database.insert(minutes(NOW_S, NOW_S + 600.0))
        found = [
            row[0] for page in pages(database.archive, "minute", "home", NOW_S + 60.0, NOW_S + 240.0) for row in page
        ]
        assert found == [(NOW_S + 60.0 * i) * 1000 for i in (1, 2, 3)]

    def test_every_table_has_its_columns_and_none_gives_the_signed_link_away(self, database: Database) -> None:
        for measurement in SCHEMA:
            names = [column.name for column in columns_of(measurement.name)]
            assert names == ["site", *measurement.tags, *(f.name for f in measurement.fields if f.name != "toggle_url")]
            assert database.archive.page(measurement.name, "home", 0.0, math.inf).rows == []

    def test_the_journal_is_newest_first_and_goes_back_in_steps(self, database: Database) -> None:
        database.insert([event(NOW_S + index) for index in range(10)])
        first = database.archive.journal("home", math.inf, 4)
        assert [utc_s for utc_s, _ in first] == [NOW_S + i for i in (9, 8, 7, 6)]
        second = database.archive.journal("home", first[-1][0], 100)
        assert [utc_s for utc_s, _ in second] == [NOW_S + i for i in (5, 4, 3, 2, 1, 0)]
        assert second[0][1] == Event("mode", f"{NOW_S + 5:.3f}")

    def test_accounts_are_by_the_names_of_the_schema(self, database: Database) -> None:
        for index in range(3):
            fields = (("import_wh", 100.0 * index), ("pv_wh", 5.0))
            database.insert([Point("day", SITE, fields, NOW_S + index * DAY_S)])
        (utc_s, values), _ = database.archive.accounts("home", "day", NOW_S + 1.0)
        known_values = dict(zip((field.name for field in ACCOUNT), values, strict=True))
        assert (utc_s, known_values["import_wh"], known_values["pv_wh"]) == (NOW_S + DAY_S, 100.0, 5.0)
        assert known_values["saved_c"] is None, "unknown, not 0"


class TestTheFileStaysSmall:
    """What is deleted is given back to the disk."""

    def test_events_stay_a_year_and_raw_points_a_week(self, database: Database) -> None:
        ages = (1.0, 6.9 * DAY_S, 7.1 * DAY_S, 365 * DAY_S, 367 * DAY_S)
        database.insert([event(NOW_S - age_s) for age_s in ages])
        database.insert([Point("grid", SITE, (("power_w", 1.0),), NOW_S - age_s) for age_s in ages])
        tidied(database)
        assert (count(database, "event"), count(database, "grid")) == (4, 2)

    def test_it_shrinks_when_much_has_gone(self, database: Database, path: Path) -> None:
        _fill(database, 20_000)
        assert database.is_compact()
        full_b = _size(path)
        tidied(database)
        assert count(database, "event") == 0
        assert _size(path) < full_b - 3_000_000
        assert _free(database) <= 1000

    def test_a_file_that_cannot_shrink_is_written_anew_and_nothing_is_lost(self, path: Path) -> None:
        _old_file(path)
        database = Database(path)
        assert not database.is_compact()
        assert database.tidy(NOW_S, WEEK_S) in (True, False), "it is used all the same"
        assert database.make_anew()
        assert database.is_compact()
        assert count(database, "minute") == 1000
        assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        assert not [file.name for file in path.parent.iterdir() if not file.name.startswith("telemetry.db")]

    def test_without_room_it_stays_as_it_is(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _old_file(path)
        monkeypatch.setattr("app.telemetry.database.FREE_DISK", 1e12)
        with closing(Database(path)) as database:
            assert not database.make_anew()
            assert count(database, "minute") == 1000

    async def test_the_store_writes_an_old_file_anew_by_itself(self, path: Path) -> None:
        _old_file(path)
        sink = SqliteSink(path, raw=False, flush_s=0.01, utc=lambda: NOW_S)
        sink.offer(minutes(NOW_S - 600.0, NOW_S))
        await sink._flush()
        assert sink.fault() is None
        assert len(await Records(sink, "home").rows(0.0, math.inf, 60)) == 1010
        await sink.close()
        with closing(Database(path)) as database:
            assert database.is_compact()

    async def test_a_stop_while_it_is_written_anew_leaves_it_whole(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _old_file(path)
        sink = SqliteSink(path, raw=False, flush_s=0.01, utc=lambda: NOW_S)
        began, stopped = asyncio.Event(), threading.Event()
        loop, made, hurry = asyncio.get_running_loop(), Database.make_anew, Database.hurry

        def slow(database: Database) -> bool:
            loop.call_soon_threadsafe(began.set)
            assert stopped.wait(30.0)
            return made(database)

        def hurried(database: Database) -> None:
            hurry(database)
            stopped.set()

        monkeypatch.setattr(Database, "make_anew", slow)
        monkeypatch.setattr(Database, "hurry", hurried)
        monkeypatch.setattr("app.telemetry.database.HURRIED_EVERY", 10)
        task = asyncio.create_task(sink._flush())
        await began.wait()
        await sink.close()
        await task
        with closing(Database(path)) as database:
            assert not database.is_compact()
            assert count(database, "minute") == 1000


class TestReadingBesideAWriter:
    """The file of a running controller, or of one that is gone."""

    def test_what_is_written_is_seen_and_nothing_can_be_changed(self, database: Database, path: Path) -> None:
        with closing(open_read_only(path, 1.0)) as reader:
            database.insert(minutes(NOW_S - 600.0, NOW_S))
            assert len(Archive(reader).rows("home", 0.0, math.inf, 60)) == 10
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.execute("DELETE FROM minute")

    def test_a_file_whose_name_is_strange(self, tmp_path: Path) -> None:
        path = tmp_path / "a%20b?mode=rw#c" / "telemetry.db"
        Database(path).close()
        with closing(open_read_only(path, 1.0)) as reader:
            assert Archive(reader).extent("minute", "home") is None

    def test_a_file_that_is_not_there_is_not_made(self, path: Path) -> None:
        with pytest.raises(sqlite3.OperationalError):
            open_read_only(path, 1.0)
        assert not path.exists()


async def test_half_a_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").mkdir()
    sink = SqliteSink(tmp_path / "telemetry.db", raw=False)
    with pytest.raises(UnreadableError):
        await Records(sink, "home").csv("minute", 0.0, math.inf)
    await sink.close()


def _fill(database: Database, rows: int) -> None:
    luck = random.Random(1)
    database.insert([event(NOW_S - 400 * DAY_S + i, luck.randbytes(150).hex()) for i in range(rows)])


def _size(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def _free(database: Database) -> int:
    return int(database._connection.execute("PRAGMA freelist_count").fetchone()[0])


def _old_file(path: Path) -> None:
    """As the version before wrote it: no way to shrink, and no table of quarters."""
    columns = ", ".join(f"{field.name} REAL" for field in MINUTE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("PRAGMA journal_mode = WAL")
        columns += ", PRIMARY KEY (site, utc_ms)"
        connection.execute(f"CREATE TABLE minute (utc_ms INTEGER NOT NULL, site TEXT, {columns}) WITHOUT ROWID")
        rows = [((NOW_S - 7200.0 * 10 + 60 * i) * 1000, "home", float(i)) for i in range(1000)]
        connection.executemany("INSERT INTO minute (utc_ms, site, grid_w) VALUES (?, ?, ?)", rows)
        connection.commit()
