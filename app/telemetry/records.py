"""What the stored telemetry is asked by others, about this site. SQLite's own thread answers."""

from __future__ import annotations

import sqlite3

from app.telemetry import csvfile
from app.telemetry.archive import Archive
from app.telemetry.history import Columns, History
from app.telemetry.points import Event
from app.telemetry.rollup import Minute
from app.telemetry.sqlite import SqliteSink
from app.telemetry.tables import Row, UnreadableError


class Records:
    """The SQLite file of this installation, by the site's name, and its history."""

    def __init__(self, sqlite: SqliteSink, site: str) -> None:
        self._sqlite = sqlite
        self.site = site
        self.history = History(self.rows)

    async def between(self, since_utc_s: float, until_utc_s: float) -> Columns:
        """Powers over a time, as `History` gives them."""
        return await self.history.between(since_utc_s, until_utc_s)

    async def rows(self, since_utc_s: float, until_utc_s: float, step_s: int) -> list[Row]:
        """Stored mean powers, oldest first; none where the file cannot be read."""
        return await self._sqlite.ask(lambda file: file.rows(self.site, since_utc_s, until_utc_s, step_s), [])

    async def last_minute(self) -> Minute | None:
        """The newest stored minute."""
        return await self._sqlite.ask(lambda file: file.last_minute(self.site), None)

    async def accounts(self, span: str, since_utc_s: float) -> list[Row]:
        """Days or months (``span``) that began since then, oldest first, as `points.ACCOUNT` names their values."""
        return await self._sqlite.ask(lambda file: file.accounts(self.site, span, since_utc_s), [])

    async def journal(self, before_utc_s: float, count: int) -> list[tuple[float, Event]]:
        """Events before then, newest first."""
        return await self._sqlite.ask(lambda file: file.journal(self.site, before_utc_s, count), [])

    async def csv(
        self, table: str, since_utc_s: float, until_utc_s: float, after: tuple[int, int] | None = None
    ) -> tuple[str, tuple[int, int] | None]:
        """The next rows of a table as CSV, and where it goes on; None at its end.

        Raises `UnreadableError`: half a table must not look like a whole one.
        """

        def read(file: Archive) -> tuple[str, tuple[int, int] | None]:
            page = file.page(table, self.site, since_utc_s, until_utc_s, after)
            return csvfile.lines(page.rows), page.after  # written in SQLite's thread: it takes as long as to read them

        try:
            return await self._sqlite.ask_or_fail(read)
        except (sqlite3.Error, OSError) as error:
            raise UnreadableError(str(error)) from error
