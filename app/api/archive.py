"""What is stored, over HTTP: series, accounts of days and months, the journal, and whole tables as CSV."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from aiohttp import web

from app.api.answers import json_answer
from app.api.guard import RefusedError
from app.api.series import Columns, columns
from app.api.values import iso, number
from app.hub import Hub
from app.localtime import NO_DAY, began_utc_s, later, local_day, months_back
from app.model import Account, Ledger
from app.telemetry import csvfile
from app.telemetry.points import ACCOUNT, Event
from app.telemetry.tables import TABLES, Row, UnreadableError

MAX_HISTORY_S = 31 * 86_400
MAX_RANGE_S = 400 * 86_400
MAX_COUNT = 400
MAX_ENTRIES = 500
MAX_UTC_S = 9_999_999_999
MAX_LOOKUPS = 4  # side by side: each takes the one thread of the store for a while
MAX_EXPORTS = 2
STUCK_S = 60.0  # a client that takes no page of an export for so long is gone
SPANS = {"day": 31, "month": 12}  # and how many where nobody says
_WHOLE = re.compile(r"[0-9]{1,10}")
_NUMBER = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
Series = Callable[[float], Columns | Awaitable[Columns]]
After = tuple[int, int] | None


class Stored(Protocol):
    """The store of an installation. ``csv`` alone may raise, `UnreadableError`."""

    site: str

    async def between(self, since_utc_s: float, until_utc_s: float) -> Columns:
        """Powers over a time."""

    async def accounts(self, span: str, since_utc_s: float) -> list[Row]:
        """Days or months that began since then, oldest first."""

    async def journal(self, before_utc_s: float, count: int) -> list[tuple[float, Event]]:
        """Events before then, newest first."""

    async def csv(self, table: str, since_utc_s: float, until_utc_s: float, after: After = None) -> tuple[str, After]:
        """The next lines of a table, and where it goes on."""


class ArchiveDesk:
    """Answers what is asked about the past. ``history(seconds)``: the last powers; ``stored``: all else."""

    def __init__(
        self, hub: Hub, history: Series, stored: Stored | None, *, utc: Callable[[], float] = time.time
    ) -> None:
        self._hub = hub
        self._history = history
        self._stored = stored
        self._utc = utc
        self._lookups = self._exports = 0

    async def history(self, request: web.Request) -> web.Response:
        """Powers over the last seconds, or from one time to another."""
        query = request.query
        if "from" not in query and "to" not in query:
            seconds = _whole(query, "seconds", 3600, 1, MAX_HISTORY_S)
            with self._looking():
                found = self._history(float(seconds))
                return json_answer(columns(await found if inspect.isawaitable(found) else found))
        if "seconds" in query:
            raise RefusedError(400, "seconds does not go with from and to: send the one or the others")
        if "from" not in query:
            raise RefusedError(400, "to is given, and from is not: send both, as Unix times in seconds")
        since_s, until_s = self._range(query)
        if until_s - since_s > MAX_RANGE_S:
            raise RefusedError(
                400, f"from {since_s} to {until_s} are more than {MAX_RANGE_S // 86_400} days: ask for less at once"
            )
        with self._looking():
            return json_answer(columns(await self._store.between(float(since_s), float(until_s))))

    async def energy(self, request: web.Request) -> web.Response:
        """The accounts of the last days or months, the current one last."""
        span = request.query.get("span", "day")
        if span not in SPANS:
            raise RefusedError(400, f"span {span[:40]!r} is none of {', '.join(SPANS)}: send one of them")
        count = _whole(request.query, "count", SPANS[span], 1, MAX_COUNT)
        tick = self._hub.latest
        ledger = tick.ledger if tick is not None else None
        today = ledger.date if ledger is not None and ledger.date != NO_DAY else local_day(self._utc())
        first = later(today, 1 - count) if span == "day" else months_back(today, count - 1)
        with self._looking():
            rows = await self._store.accounts(span, began_utc_s(first) or 0.0)
        names = [field.name for field in ACCOUNT]
        found = {_date(span, utc_s): _row(span, utc_s, dict(zip(names, values, strict=True))) for utc_s, values in rows}
        current = _current(span, ledger)
        if current is not None:
            found[current["date"]] = current
        return json_answer(
            {
                "currency": ledger.currency if ledger is not None else "",
                "method": ledger.method if ledger is not None else "",
                "rows": [found[date] for date in sorted(found) if date[:10] <= today],
            }
        )

    async def journal(self, request: web.Request) -> web.Response:
        """What happened, newest first."""
        limit = _whole(request.query, "limit", 100, 1, MAX_ENTRIES)
        before_s = _moment(request.query, "before")
        with self._looking():
            found = await self._store.journal(math.inf if before_s is None else before_s, limit + 1)
        return json_answer({"entries": [_entry(*one) for one in found[:limit]], "more": len(found) > limit})

    async def export(self, request: web.Request) -> web.StreamResponse:
        """A table as CSV, of any length: page by page, as fast as the client takes it."""
        table = request.query.get("table", "minute")
        if table not in TABLES:
            raise RefusedError(400, f"table {table[:40]!r} is none of {', '.join(TABLES)}: send one of them")
        since_s, until_s = self._range(request.query, 0, MAX_UTC_S)
        if self._exports >= MAX_EXPORTS:
            raise RefusedError(503, f"{MAX_EXPORTS} exports are under way: ask again later", {"Retry-After": "10"})
        self._exports += 1
        try:
            return await self._export(request, table, float(since_s), float(until_s))
        finally:
            self._exports -= 1

    async def _export(self, request: web.Request, table: str, since_s: float, until_s: float) -> web.StreamResponse:
        try:
            lines, after = await self._store.csv(table, since_s, until_s)
        except UnreadableError as error:
            raise RefusedError(503, f"the store cannot be read ({error}): look at the faults", _LATER) from error
        name = f"zero-export-{self._store.site}-{table}{_days(request.query, since_s, until_s)}.csv"
        headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": f'attachment; filename="{name}"'}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        lines = csvfile.header(table) + lines
        try:
            while True:
                async with asyncio.timeout(STUCK_S):
                    await response.write(lines.encode())
                if after is None:
                    return response
                lines, after = await self._store.csv(table, since_s, until_s, after)
        except (UnreadableError, TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()  # half a table must not look like a whole one
            return response

    @property
    def _store(self) -> Stored:
        if self._stored is None:
            raise RefusedError(503, "there is no store: it is started with the controller", _LATER)
        return self._stored

    def _range(self, query: Mapping[str, str], since_s: int = 0, until_s: int | None = None) -> tuple[int, int]:
        latest = math.ceil(self._utc()) if until_s is None else until_s
        since_s = _whole(query, "from", since_s, 0, MAX_UTC_S, _UNIX)
        until_s = _whole(query, "to", latest, 0, MAX_UTC_S, _UNIX)
        if since_s >= until_s:
            raise RefusedError(400, f"from {since_s} is not before to {until_s}: swap or change them")
        return since_s, until_s

    @contextmanager
    def _looking(self) -> Iterator[None]:
        if self._lookups >= MAX_LOOKUPS:
            text = f"{MAX_LOOKUPS} others are looking at the history just now: ask again in a second"
            raise RefusedError(503, text, {"Retry-After": "1"})
        self._lookups += 1
        try:
            yield
        finally:
            self._lookups -= 1


_LATER = {"Retry-After": "10"}
_UNIX = ", the seconds of a Unix time"


def _whole(query: Mapping[str, str], name: str, default: int, least: int, most: int, what: str = "") -> int:
    given = query.get(name)
    if given is None:
        return default
    value = int(given) if _WHOLE.fullmatch(given) else -1
    if not least <= value <= most:
        raise RefusedError(400, f"{name} {given[:40]!r} is not a whole number from {least} to {most}{what}: send one")
    return value


def _moment(query: Mapping[str, str], name: str) -> float | None:
    given = query.get(name)
    if given is None:
        return None
    value = float(given) if _NUMBER.fullmatch(given) else math.nan
    if not 0.0 <= value <= MAX_UTC_S:
        raise RefusedError(400, f"{name} {given[:40]!r} is not a number from 0 to {MAX_UTC_S}{_UNIX}: send one")
    return value


def _date(span: str, utc_s: float) -> str:
    day = local_day(utc_s)
    return day if span == "day" else day[:7]


def _row(span: str, utc_s: float, values: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        "date": _date(span, utc_s),
        "start_utc": iso(utc_s),
        **{field.name: number(values[field.name]) for field in ACCOUNT},
    }


def _current(span: str, ledger: Ledger | None) -> dict[str, Any] | None:
    """The account that is still going on: newer than the stored one."""
    if ledger is None:
        return None
    account, began_s = (ledger.today, ledger.day_utc_s) if span == "day" else (ledger.month, ledger.month_utc_s)
    return None if began_s is None else _row(span, began_s, _values(account))


def _values(account: Account) -> dict[str, float | None]:
    return {field.name: getattr(account, field.name) for field in ACCOUNT}


def _entry(utc_s: float, event: Event) -> dict[str, Any]:
    return {
        "utc": iso(utc_s),
        "kind": event.kind,
        "text": event.text,
        "key": event.key,
        "next_step": event.next_step,
        "length_s": number(event.length_s),
        "worst_w": number(event.worst_w),
    }


def _days(query: Mapping[str, str], since_s: float, until_s: float) -> str:
    """The range for a file name, as far as it was asked for."""
    given = [utc_s for name, utc_s in (("from", since_s), ("to", until_s)) if name in query]
    return "".join(f"-{datetime.fromtimestamp(utc_s, UTC):%Y%m%d}" for utc_s in given)
