"""What the SQLite file is asked: series, accounts, the journal, and whole tables. Synchronous; it never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from app.telemetry.points import ACCOUNT, EVENT, MINUTE, Event
from app.telemetry.rollup import NAMES, Minute
from app.telemetry.tables import COARSE_S, KEYED, TABLES, Page, Row, columns_of

PAGE = 2000


class Archive:
    """An open file. Every method may raise `sqlite3.Error`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, site: str, since_utc_s: float, until_utc_s: float, step_s: int) -> list[Row]:
        """Means of ``step_s`` (a whole number of minutes), oldest first: utc_s, then one value per name of SERIES."""
        query, given = self.series_query(site, since_utc_s, until_utc_s, step_s)
        return [(float(utc_s), tuple(values)) for utc_s, *values in self._connection.execute(query, given)]

    def series_query(
        self, site: str, since_utc_s: float, until_utc_s: float, step_s: int
    ) -> tuple[str, dict[str, object]]:
        """The query behind `rows`: quarters up to where they are all there is, or coarse enough; then minutes."""
        means = ", ".join(f"sum({name}_w * {name}_s) / sum({name}_s)" for name in NAMES)
        needed = ", ".join(["utc_ms", *(f"{name}_w, {name}_s" for name in NAMES), "grid_min_w", "grid_max_w"])
        parts = " UNION ALL ".join(
            f"SELECT {needed} FROM {table} WHERE site = :site AND utc_ms >= :{since} AND utc_ms < :{until}"  # noqa: S608
            for table, since, until in (("minute_15", "since", "edge"), ("minute", "rest", "until"))
        )
        query = f"""
            SELECT utc_ms / :step * (:step / 1000) AS utc_s, {means}, min(grid_min_w), max(grid_max_w)
            FROM ({parts}) GROUP BY 1 ORDER BY 1
        """  # noqa: S608 - the names are ours
        since_ms, until_ms = _ms(since_utc_s), _ms(until_utc_s)
        edge_ms = self._edge_ms(site, until_ms, coarse=step_s % COARSE_S == 0)
        return query, {
            "site": site,
            "step": step_s * 1000,
            "since": since_ms,
            "edge": min(edge_ms, until_ms),
            "rest": max(edge_ms, since_ms),
            "until": until_ms,
        }

    def _edge_ms(self, site: str, until_ms: int, *, coarse: bool) -> int:
        """Where minutes begin to be read."""
        if coarse:
            query = "SELECT max(utc_ms) FROM minute_15 WHERE site = ? AND utc_ms < ?"
            last_ms = self._connection.execute(query, (site, until_ms)).fetchone()[0]
            return 0 if last_ms is None else int(last_ms) + COARSE_S * 1000
        first_ms = self._connection.execute("SELECT min(utc_ms) FROM minute WHERE site = ?", (site,)).fetchone()[0]
        return until_ms if first_ms is None else int(first_ms) // (COARSE_S * 1000) * (COARSE_S * 1000)

    def last_minute(self, site: str) -> Minute | None:
        """The newest stored minute."""
        fields = [field.name for field in MINUTE]
        query = f"SELECT utc_ms, {', '.join(fields)} FROM minute WHERE site = ? ORDER BY utc_ms DESC LIMIT 1"  # noqa: S608
        row = self._connection.execute(query, (site,)).fetchone()
        return Minute(row[0] / 1000.0, **dict(zip(fields, row[1:], strict=True))) if row else None

    def accounts(self, site: str, span: str, since_utc_s: float) -> list[Row]:
        """Days or months (``span``) that began since then, oldest first: utc_s, then one value per field of ACCOUNT."""
        names = ", ".join(field.name for field in ACCOUNT)
        query = f"SELECT utc_ms, {names} FROM {span} WHERE site = ? AND utc_ms >= ? ORDER BY utc_ms"  # noqa: S608
        found = self._connection.execute(query, (site, _ms(since_utc_s)))
        return [(utc_ms / 1000.0, tuple(values)) for utc_ms, *values in found]

    def journal(self, site: str, before_utc_s: float, count: int) -> list[tuple[float, Event]]:
        """Events before then, newest first."""
        names = ", ".join(field.name for field in EVENT)
        query = f"SELECT utc_ms, {names} FROM event WHERE site = ? AND utc_ms < ? ORDER BY utc_ms DESC LIMIT ?"  # noqa: S608
        found = self._connection.execute(query, (site, _ms(before_utc_s), count))
        return [(utc_ms / 1000.0, Event(*values)) for utc_ms, *values in found]

    def extent(self, table: str, site: str) -> tuple[float, float] | None:
        """The first and the last time stamp of a table; None where it is empty."""
        query = f"SELECT min(utc_ms), max(utc_ms) FROM {TABLES[table].name} WHERE site = ?"  # noqa: S608
        first_ms, last_ms = self._connection.execute(query, (site,)).fetchone()
        return None if first_ms is None else (first_ms / 1000.0, last_ms / 1000.0)

    def page(
        self,
        table: str,
        site: str,
        since_utc_s: float,
        until_utc_s: float,
        after: tuple[int, int] | None = None,
        count: int = PAGE,
    ) -> Page:
        """The next rows of a table, in the order of time. ``after``: as the page before says."""
        names = ", ".join(column.name for column in columns_of(table))
        start_ms, start_row = after if after is not None else (_ms(since_utc_s) - 1, 0)
        row, order, further = "rowid", "utc_ms, rowid", "(utc_ms, rowid) > (:start, :row)"
        if table in KEYED:
            row, order, further = "0", "utc_ms", "utc_ms > :start"
        query = f"""
            SELECT {row}, utc_ms, {names} FROM {TABLES[table].name}
            WHERE site = :site AND {further} AND utc_ms < :until ORDER BY {order} LIMIT :count
        """  # noqa: S608 - the names are those of TABLES
        given = {"site": site, "start": start_ms, "row": start_row, "until": _ms(until_utc_s), "count": count}
        found = self._connection.execute(query, given).fetchall()
        rows = [values[1:] for values in found]
        return Page(rows, (int(found[-1][1]), int(found[-1][0])) if len(found) == count else None)


def pages(
    archive: Archive, table: str, site: str, since_utc_s: float, until_utc_s: float
) -> Iterator[list[tuple[object, ...]]]:
    """A whole table, some rows at a time."""
    page = archive.page(table, site, since_utc_s, until_utc_s)
    while page.rows:
        yield page.rows
        if page.after is None:
            return
        page = archive.page(table, site, since_utc_s, until_utc_s, page.after)


def open_read_only(path: Path, busy_s: float) -> sqlite3.Connection:
    """A file that somebody else may be writing. Raises `sqlite3.Error`."""
    place = f"file:{quote(str(path.absolute()))}"
    try:
        connection = sqlite3.connect(f"{place}?mode=ro", uri=True, timeout=busy_s)
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        if path.with_name(f"{path.name}-wal").exists() or not path.exists():
            raise
        # nobody writes it, and its folder cannot be written, which a reader of such a file wants to
        connection = sqlite3.connect(f"{place}?immutable=1", uri=True)
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    return connection


def _ms(utc_s: float) -> int:
    return round(min(max(utc_s, -1e15), 1e15) * 1000.0)
