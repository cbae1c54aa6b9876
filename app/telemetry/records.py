"""What the stored telemetry is asked by others, about this site. SQLite's own thread answers."""

from __future__ import annotations

import sqlite3

from app.telemetry.archive import Page, Row
from app.telemetry.points import Event
from app.telemetry.rollup import Minute
from app.telemetry.sqlite import SqliteSink


class UnreadableError(Exception):
    """The store cannot be read now."""


class Records:
    """The SQLite file of this installation, by the site's name."""

    def __init__(self, sqlite: SqliteSink, site: str) -> None:
        self._sqlite = sqlite
        self.site = site

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

    async def page(
        self, table: str, since_utc_s: float, until_utc_s: float, after: tuple[int, int] | None = None
    ) -> Page:
        """The next rows of a table. Raises `UnreadableError`: half a table must not look like a whole one."""
        try:
            return await self._sqlite.ask_or_fail(
                lambda file: file.page(table, self.site, since_utc_s, until_utc_s, after)
            )
        except (sqlite3.Error, OSError) as error:
            raise UnreadableError(str(error)) from error
