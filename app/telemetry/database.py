"""The SQLite file: one wide table per measurement of the schema. Synchronous; used from one worker thread.

A minute takes about 130 bytes: 68 MB a year. After 13 months only its quarter of an hour is left (5 MB a year), which
is made while it is there. The file shrinks with what is deleted.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.telemetry.archive import Archive
from app.telemetry.points import MEASUREMENTS, RAW, SCHEMA, TEXT, Measurement, Point, Value
from app.telemetry.rollup import NAMES
from app.telemetry.tables import COARSE_S, KEYED, MINUTE_15

log = logging.getLogger(__name__)

BUSY_S = 1.0
DAY_S = 86_400.0
EVENTS_S = 366 * DAY_S
MINUTES_S = 400 * DAY_S
PRUNED_AT_ONCE = 5000
FOLDED_AT_ONCE_MS = 30 * 86_400_000
LATE_MS = 600_000  # a minute is written that long after its end at the latest
AGAIN_MS = 7_200_000  # what is newer is folded again, since a restart may have completed a minute
SPARE_PAGES, SPARE_SHARE = 1000, 0.1  # free pages that stay: they are soon used again
GIVEN_BACK_AT_ONCE = 1000  # pages
HURRIED_EVERY = 10_000  # steps of SQLite, some milliseconds
FREE_DISK = 3.0  # times the size of the file, to make it anew
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_INCREMENTAL = 2
_SETUP = f"""
PRAGMA auto_vacuum = {_INCREMENTAL};
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 4194304;
PRAGMA cache_size = -512;
"""
_FINE = ("_min_w", "_max_w")  # kept to the watt, which halves the file
_STORED = (*SCHEMA, MINUTE_15)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself can no longer be used."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


class Database:
    """An open file with all tables. Every method may raise `sqlite3.Error` or OSError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            self._connection.executescript(_SETUP)
            for measurement in _STORED:
                self._create(measurement)
        except BaseException:
            self._connection.close()
            raise
        self.archive = Archive(self._connection)
        self._hurried = False

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def hurry(self) -> None:
        """Let `make_anew` fail soon, and leave the file as it is; from any thread."""
        self._hurried = True

    def insert(self, points: Sequence[Point]) -> None:
        """Store points, all of them or none."""
        rows: dict[str, list[list[Value | None]]] = {}
        for point in points:
            values: dict[str, Value] = {"utc_ms": round(point.utc_s * 1000.0), **dict(point.tags), **dict(point.fields)}
            if point.measurement == "minute":
                values = {name: _shortened(name, value) for name, value in values.items()}
            row = [values.get(name) for name in _names(MEASUREMENTS[point.measurement])]
            rows.setdefault(point.measurement, []).append(row)
        with self._transaction():
            for table, values_of in rows.items():
                names = _names(MEASUREMENTS[table])
                into = f"{table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
                self._connection.executemany(f"INSERT OR REPLACE INTO {into}", values_of)

    def tidy(self, now_utc_s: float, raw_s: float) -> bool:
        """Some of what keeps the file small: fold minutes, delete what is old, give pages back. True: all is done."""
        done = self._prune(now_utc_s, raw_s)
        for site in self._sites():
            done = self._fold(site, round(now_utc_s * 1000.0)) and done
            done = self._thin(site, round((now_utc_s - MINUTES_S) * 1000.0)) and done
        return self._give_back() and done

    def is_compact(self) -> bool:
        """Whether pages can be given back; a file of an earlier version has to be made anew for that."""
        return self._number("PRAGMA auto_vacuum") == _INCREMENTAL

    def make_anew(self) -> bool:
        """Write the whole file again, so that pages can be given back; False: there is no room for that.

        Raises `sqlite3.OperationalError` where it cannot be done, `hurry` included; the file is as it was then.
        """
        size_b = self._number("PRAGMA page_count") * self._number("PRAGMA page_size")
        if shutil.disk_usage(self.path.parent).free < FREE_DISK * size_b:
            return False
        # the usual places for a file of this size are small, where the disk is an image
        folder = str(self.path.parent.absolute()).replace("'", "''")
        self._connection.execute(f"PRAGMA temp_store_directory = '{folder}'")
        self._connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        self._connection.set_progress_handler(lambda: self._hurried, HURRIED_EVERY)
        try:
            self._connection.execute("VACUUM")
        finally:
            self._connection.set_progress_handler(None, 0)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _prune(self, now_utc_s: float, raw_s: float) -> bool:
        kept_s = {measurement.name: EVENTS_S if measurement.name == "event" else raw_s for measurement in RAW}
        with self._transaction():
            gone = [self._delete(name, round((now_utc_s - age_s) * 1000.0)) for name, age_s in kept_s.items()]
        return max(gone) < PRUNED_AT_ONCE

    def _delete(self, table: str, before_ms: int) -> int:
        chosen = f"SELECT rowid FROM {table} WHERE utc_ms < ? LIMIT {PRUNED_AT_ONCE}"  # noqa: S608
        return self._connection.execute(f"DELETE FROM {table} WHERE rowid IN ({chosen})", (before_ms,)).rowcount  # noqa: S608

    def _sites(self) -> list[str]:
        found: list[str] = []
        while site := self._connection.execute(
            "SELECT min(site) FROM minute WHERE site > ?", (found[-1] if found else "",)
        ).fetchone()[0]:
            found.append(site)
        return found

    def _fold(self, site: str, now_ms: int) -> bool:
        """Minutes to quarters of an hour, from the last quarter on."""
        step_ms = COARSE_S * 1000
        limit_ms = (now_ms - LATE_MS) // step_ms * step_ms
        query = "SELECT max(utc_ms) FROM minute_15 WHERE site = ? AND utc_ms < ?"
        last_ms = self._connection.execute(query, (site, limit_ms)).fetchone()[0]
        query = "SELECT min(utc_ms) FROM minute WHERE site = ? AND utc_ms >= ? AND utc_ms < ?"
        first = (site, 0 if last_ms is None else last_ms + step_ms, limit_ms)
        next_ms = self._connection.execute(query, first).fetchone()[0]
        if next_ms is None:
            return True
        begin_ms = next_ms // step_ms * step_ms
        if last_ms is not None and begin_ms - last_ms <= AGAIN_MS:
            begin_ms = last_ms - AGAIN_MS
        end_ms = min(begin_ms + FOLDED_AT_ONCE_MS, limit_ms)
        with self._transaction():
            self._connection.execute(_FOLD, {"site": site, "since": begin_ms, "until": end_ms, "step": step_ms})
        return bool(end_ms == limit_ms)

    def _thin(self, site: str, before_ms: int) -> bool:
        """Delete minutes that are old and folded."""
        query = "SELECT min(utc_ms) FROM minute WHERE site = ?"
        oldest_ms = self._connection.execute(query, (site,)).fetchone()[0]
        query = "SELECT max(utc_ms) FROM minute_15 WHERE site = ? AND utc_ms < ?"
        folded_ms = self._connection.execute(query, (site, before_ms)).fetchone()[0]
        if oldest_ms is None or folded_ms is None:
            return True
        step_ms = COARSE_S * 1000
        end_ms = min(before_ms, folded_ms + step_ms, oldest_ms + PRUNED_AT_ONCE * 60_000) // step_ms * step_ms
        with self._transaction():
            query = "DELETE FROM minute WHERE site = ? AND utc_ms < ?"
            gone = self._connection.execute(query, (site, end_ms)).rowcount
        return gone == 0

    def _give_back(self) -> bool:
        free, all_pages = self._number("PRAGMA freelist_count"), self._number("PRAGMA page_count")
        spare = max(SPARE_PAGES, round(all_pages * SPARE_SHARE))
        if free <= spare or not self.is_compact():
            return True
        given_back = min(free - spare // 2, GIVEN_BACK_AT_ONCE)
        self._connection.executescript(f"PRAGMA incremental_vacuum({given_back})")  # execute would take one page only
        return given_back < GIVEN_BACK_AT_ONCE

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    def _create(self, measurement: Measurement) -> None:
        """Make the table, or add the columns that a newer schema has."""
        name = measurement.name
        columns = [f"{tag} TEXT" for tag in ("site", *measurement.tags)]
        columns += [f"{field.name} {'TEXT' if field.unit == TEXT else 'REAL'}" for field in measurement.fields]
        key = ", PRIMARY KEY (site, utc_ms)) WITHOUT ROWID" if name in KEYED else ")"
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} (utc_ms INTEGER NOT NULL, {', '.join(columns)}{key}"
        )
        there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({name})")}
        for column in columns:
            if column.split()[0] not in there:
                self._connection.execute(f"ALTER TABLE {name} ADD COLUMN {column}")
        if name not in KEYED:
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS {name}_utc_ms ON {name} (utc_ms)")


def _names(measurement: Measurement) -> tuple[str, ...]:
    return ("utc_ms", "site", *measurement.tags, *(field.name for field in measurement.fields))


def _shortened(name: str, value: Value) -> Value:
    """What SQLite keeps in few bytes: whole numbers."""
    if isinstance(value, str):
        return value
    return float(round(value)) if name.endswith(_FINE) else round(value, 3) if name.endswith("_s") else value


def _folding() -> str:
    known = [f"{name}_s" for name in NAMES]
    parts = {f"{name}_w": f"sum({name}_w * {name}_s) / sum({name}_s)" for name in NAMES}
    parts |= {f"{name}_min_w": f"min({name}_min_w)" for name in NAMES}
    parts |= {f"{name}_max_w": f"max({name}_max_w)" for name in NAMES}
    fields = {field.name: parts.get(field.name, f"sum({field.name})") for field in MINUTE_15.fields}
    fields |= {name: f"coalesce(sum({name}), 0.0)" for name in known}
    return f"""
        INSERT OR REPLACE INTO minute_15 (utc_ms, site, {", ".join(fields)})
        SELECT utc_ms / :step * :step, site, {", ".join(fields.values())} FROM minute
        WHERE site = :site AND utc_ms >= :since AND utc_ms < :until GROUP BY 1
    """  # noqa: S608 - the names are ours


_FOLD = _folding()


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, in place of the one before; returns where it is."""
    kept = path.with_suffix(".damaged")
    os.replace(path, kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return kept
