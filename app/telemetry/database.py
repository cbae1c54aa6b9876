"""The SQLite file: one wide table per measurement of the schema. Synchronous; used from one worker thread."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.telemetry.points import LASTING, MEASUREMENTS, RAW, SCHEMA, TEXT, Measurement, Point, Value
from app.telemetry.rollup import NAMES, Minute, Values

log = logging.getLogger(__name__)

BUSY_S = 1.0
PRUNED_AT_ONCE = 5000
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SETUP = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 4194304;
PRAGMA cache_size = -512;
"""
Row = tuple[float, Values]


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
            for measurement in SCHEMA:
                self._create(measurement)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def insert(self, points: Sequence[Point]) -> None:
        """Store points, all of them or none."""
        rows: dict[str, list[list[Value | None]]] = {}
        for point in points:
            values: dict[str, Value] = {"utc_ms": round(point.utc_s * 1000.0), **dict(point.tags), **dict(point.fields)}
            row = [values.get(name) for name in _names(MEASUREMENTS[point.measurement])]
            rows.setdefault(point.measurement, []).append(row)
        with self._transaction():
            for table, values_of in rows.items():
                names = _names(MEASUREMENTS[table])
                into = f"{table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
                self._connection.executemany(f"INSERT OR REPLACE INTO {into}", values_of)

    def prune(self, before_utc_s: float) -> bool:
        """Delete some raw points older than this; True when none is left."""
        with self._transaction():
            gone = [self._prune(measurement.name, round(before_utc_s * 1000.0)) for measurement in RAW]
        return max(gone) < PRUNED_AT_ONCE

    def rows(self, site: str, since_utc_s: float, step_s: int) -> list[Row]:
        """Mean powers of ``step_s`` from stored minutes: utc_s, then one value per name of the rollup."""
        means = ", ".join(f"sum({name}_w * {name}_s) / sum({name}_s)" for name in NAMES)
        query = f"""
            SELECT utc_ms / :step * (:step / 1000) AS utc_s, {means} FROM minute
            WHERE site = :site AND utc_ms >= :since GROUP BY 1 ORDER BY 1
        """  # noqa: S608 - the names are ours
        given = {"site": site, "since": round(since_utc_s * 1000.0), "step": step_s * 1000}
        return [(float(utc_s), tuple(values)) for utc_s, *values in self._connection.execute(query, given)]

    def last_minute(self, site: str) -> Minute | None:
        """The newest stored minute."""
        fields = [field.name for field in MEASUREMENTS["minute"].fields]
        query = f"SELECT utc_ms, {', '.join(fields)} FROM minute WHERE site = ? ORDER BY utc_ms DESC LIMIT 1"  # noqa: S608
        row = self._connection.execute(query, (site,)).fetchone()
        return Minute(row[0] / 1000.0, **dict(zip(fields, row[1:], strict=True))) if row else None

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

    def _prune(self, table: str, before_ms: int) -> int:
        chosen = f"SELECT rowid FROM {table} WHERE utc_ms < ? LIMIT {PRUNED_AT_ONCE}"  # noqa: S608
        return self._connection.execute(f"DELETE FROM {table} WHERE rowid IN ({chosen})", (before_ms,)).rowcount  # noqa: S608

    def _create(self, measurement: Measurement) -> None:
        """Make the table, or add the columns that a newer schema has."""
        name = measurement.name
        columns = [f"{tag} TEXT" for tag in ("site", *measurement.tags)]
        columns += [f"{field.name} {'TEXT' if field.unit == TEXT else 'REAL'}" for field in measurement.fields]
        key = ", PRIMARY KEY (site, utc_ms)) WITHOUT ROWID" if name in LASTING else ")"
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} (utc_ms INTEGER NOT NULL, {', '.join(columns)}{key}"
        )
        there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({name})")}
        for column in columns:
            if column.split()[0] not in there:
                self._connection.execute(f"ALTER TABLE {name} ADD COLUMN {column}")
        if name not in LASTING:
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS {name}_utc_ms ON {name} (utc_ms)")


def _names(measurement: Measurement) -> tuple[str, ...]:
    return ("utc_ms", "site", *measurement.tags, *(field.name for field in measurement.fields))


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, in place of the one before; returns where it is."""
    kept = path.with_suffix(".damaged")
    os.replace(path, kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return kept
