"""The past over HTTP: ranges, accounts, the journal and tables, from a real database."""

from __future__ import annotations

import asyncio
import csv
import io
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator

from app.api.openapi import openapi
from app.model import Account, Ledger
from app.telemetry.points import ACCOUNT, EVENT, MINUTE, Event, Point, known
from app.telemetry.rollup import Minute
from app.telemetry.tables import TABLES, UnreadableError
from tests.conftest import local_time, until

from .conftest import Build, House
from .ticks import UTC_S, make_tick

DAY_S = 86_400.0
SITE = (("site", "home"),)
DOCUMENT = openapi("1.2.3")
BEGUN_S = 1_749_945_600.0  # 2025-06-15T00:00Z, the day of UTC_S


@pytest.fixture(autouse=True)
def in_berlin() -> Iterator[None]:
    """A house with a local day of its own."""
    with local_time("Europe/Berlin"):
        yield


def minute(utc_s: float, grid_w: float = 100.0) -> Point:
    values = Minute(utc_s, grid_w, grid_w - 40.0, grid_w + 30.0, 60.0, import_wh=grid_w / 60.0)
    return Point("minute", SITE, known(MINUTE, values), utc_s)


def day(local: str, name: str = "day", **values: float) -> Point:
    account = Account(**values)
    began_s = datetime.fromisoformat(local if name == "day" else f"{local}-01").timestamp()
    return Point(name, SITE, known(ACCOUNT, account), began_s)


def event(utc_s: float, text: str = "limit: it is on", **more: Any) -> Point:
    return Point("event", SITE, known(EVENT, Event("mode", text, "limit", **more)), utc_s)


def check(path: str, status: int, data: Any) -> None:
    """The answer is as the description says."""
    content = DOCUMENT["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]
    Draft202012Validator(content["schema"] | {"components": DOCUMENT["components"]}).validate(data)


async def refused(house: House, path: str, word: str, status: int = 400) -> None:
    response, data = await house.ask("GET", path)
    assert response.status == status, data
    assert word in data["error"]
    check(path.partition("?")[0], status, data)


class TestRanges:
    """`/api/history` from one time to another."""

    async def test_minutes_with_their_lowest_and_highest(self, house: House) -> None:
        first_s = (UTC_S - 3 * DAY_S) // 60 * 60
        await house.keep(minute(first_s + 60.0 * i, 10.0 * i) for i in range(10))
        _, data = await house.ask("GET", f"/api/history?from={first_s + 120:.0f}&to={first_s + 300:.0f}")
        assert data == {
            "utc_s": [first_s + 120.0, first_s + 180.0, first_s + 240.0],
            "grid_w": [20.0, 30.0, 40.0],
            "pv_w": [None] * 3,
            "load_w": [None] * 3,
            "limit_w": [None] * 3,
            "grid_min_w": [-20.0, -10.0, 0.0],
            "grid_max_w": [50.0, 60.0, 70.0],
        }
        check("/api/history", 200, data)

    @pytest.mark.parametrize(("days", "most"), [(1, 1440), (2, 1500), (31, 1500), (400, 1500)])
    async def test_a_long_one_has_few_rows(self, house: House, days: int, most: int) -> None:
        house.utc_s = UTC_S
        first_s = UTC_S // 900 * 900 - days * DAY_S
        step_s = 60 if days < 3 else 3600
        await house.keep(minute(first_s + step_s * i) for i in range(int(days * DAY_S / step_s)))
        _, data = await house.ask("GET", f"/api/history?from={first_s:.0f}&to={first_s + days * DAY_S:.0f}")
        assert most / 3 < len(data["utc_s"]) <= most
        assert data["grid_w"][0] == pytest.approx(100.0)

    @pytest.mark.parametrize(
        ("query", "word"),
        [
            ("from=1&to=2&seconds=60", "does not go with"),
            ("to=1750000000", "from is not"),
            ("from=x", "from 'x' is not a whole number"),
            ("from=-5", "from '-5'"),
            ("from=1.5", "from '1.5'"),
            ("from=1e9", "from '1e9'"),
            ("from=٣", "whole number"),
            ("from=1750000000&to=x", "to 'x'"),
            ("from=1750000000&to=1750000000", "is not before"),
            ("from=1750000001&to=1750000000", "is not before"),
            ("from=1715000000&to=1750000000", "more than 400 days"),
            ("from=99999999999", "whole number"),
        ],
    )
    async def test_what_is_no_range_is_told(self, house: House, query: str, word: str) -> None:
        await refused(house, f"/api/history?{query}", word)
        assert house.asked == []

    async def test_without_a_store_it_says_so(self, house: House) -> None:
        house.server._archive._stored = None
        await refused(house, f"/api/history?from={UTC_S - 100:.0f}", "no store", 503)


class TestEnergy:
    """`/api/energy`."""

    def ledger(self, **today: float) -> Ledger:
        began_s = datetime.fromisoformat("2025-06-15").timestamp()
        month_s = datetime.fromisoformat("2025-06-01").timestamp()
        now, month = Account(**today), Account(import_wh=9000.0)
        return Ledger("EUR", "by the sun", "2025-06-15", 0.0, now, Account(), month, began_s, month_s)

    async def test_the_last_days_and_the_current_one_as_it_is_now(self, house: House) -> None:
        await house.keep(
            day(f"2025-06-{n:02}", import_wh=100.0 * n, pv_wh=50.0, export_wh=10.0) for n in (10, 12, 14, 15)
        )
        house.hub.publish(replace(make_tick(), ledger=self.ledger(import_wh=7.0, saved_c=1.25)))
        _, data = await house.ask("GET", "/api/energy?span=day&count=5")
        check("/api/energy", 200, data)
        assert (data["currency"], data["method"]) == ("EUR", "by the sun")
        assert [row["date"] for row in data["rows"]] == ["2025-06-12", "2025-06-14", "2025-06-15"]
        first, _, last = data["rows"]
        assert first == {
            "date": "2025-06-12", "start_utc": "2025-06-11T22:00:00.000Z", "import_wh": 1200.0, "export_wh": 10.0,
            "pv_wh": 50.0, "self_used_wh": 40.0, "load_wh": 1240.0, "curtailed_wh": 0.0, "uncertain_s": 0.0,
            "earned_c": 0.0, "saved_c": 0.0,
        }  # fmt: skip
        assert (last["import_wh"], last["saved_c"]) == (7.0, 1.25), "newer than the stored one"

    async def test_months(self, house: House) -> None:
        await house.keep(day(f"2025-{n:02}", "month", import_wh=1000.0 * n) for n in (1, 4, 5, 6))
        house.hub.publish(replace(make_tick(), ledger=self.ledger()))
        _, data = await house.ask("GET", "/api/energy?span=month&count=3")
        assert [(row["date"], row["import_wh"]) for row in data["rows"]] == [
            ("2025-04", 4000.0), ("2025-05", 5000.0), ("2025-06", 9000.0),
        ]  # fmt: skip
        assert data["rows"][0]["start_utc"] == "2025-03-31T22:00:00.000Z"
        _, data = await house.ask("GET", "/api/energy?span=month")
        assert len(data["rows"]) == 4

    async def test_before_the_first_tick_the_stored_ones_are_shown(self, build: Build) -> None:
        house = await build()
        await house.keep([day("2025-06-14", import_wh=5.0)])
        _, data = await house.ask("GET", "/api/energy")
        check("/api/energy", 200, data)
        assert [(row["date"], row["import_wh"]) for row in data["rows"]] == [("2025-06-14", 5.0)]

    async def test_what_an_earlier_version_did_not_know_is_null(self, house: House) -> None:
        began_s = datetime.fromisoformat("2025-06-14").timestamp()
        await house.keep([Point("day", SITE, (("import_wh", 1.0),), began_s)])
        _, data = await house.ask("GET", "/api/energy")
        row = next(row for row in data["rows"] if row["date"] == "2025-06-14")
        assert (row["import_wh"], row["pv_wh"]) == (1.0, None)

    @pytest.mark.parametrize(
        ("query", "word"),
        [("span=week", "'week' is none of day, month"), ("count=0", "count '0'"), ("count=401", "401")],
    )
    async def test_what_cannot_be_asked_is_told(self, house: House, query: str, word: str) -> None:
        await refused(house, f"/api/energy?{query}", word)


class TestJournal:
    """`/api/journal`."""

    async def test_page_after_page(self, house: House) -> None:
        await house.keep(event(UTC_S + i / 1000.0, f"number {i}") for i in range(25))
        seen: list[str] = []
        before = ""
        for more in (True, True, False):
            _, data = await house.ask("GET", f"/api/journal?limit=10{before}")
            check("/api/journal", 200, data)
            assert data["more"] is more
            seen += [entry["text"] for entry in data["entries"]]
            oldest = datetime.fromisoformat(data["entries"][-1]["utc"])
            before = f"&before={oldest.timestamp()}"
        assert seen == [f"number {i}" for i in reversed(range(25))]

    async def test_an_entry_says_all_that_is_known(self, house: House) -> None:
        await house.keep([event(UTC_S, "it exported", next_step="look", length_s=16.0, worst_w=320.0)])
        _, data = await house.ask("GET", "/api/journal")
        assert data["entries"] == [
            {
                "utc": datetime.fromtimestamp(UTC_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "kind": "mode", "text": "it exported", "key": "limit", "next_step": "look", "length_s": 16.0,
                "worst_w": 320.0,
            }
        ]  # fmt: skip

    async def test_nothing_yet(self, house: House) -> None:
        assert (await house.ask("GET", "/api/journal"))[1] == {"entries": [], "more": False}

    @pytest.mark.parametrize(
        ("query", "word"),
        [("limit=0", "limit '0'"), ("limit=501", "501"), ("before=nan", "'nan'"), ("before=1_0", "1_0")],
    )
    async def test_what_cannot_be_asked_is_told(self, house: House, query: str, word: str) -> None:
        await refused(house, f"/api/journal?{query}", word)


class TestExport:
    """`/api/export`."""

    async def test_csv_as_an_attachment(self, house: House) -> None:
        await house.keep([minute(BEGUN_S, 1.5), minute(BEGUN_S + 60.0, math.nan)])
        response, text = await house.ask("GET", f"/api/export?table=minute&from={BEGUN_S:.0f}&to={BEGUN_S + 86400:.0f}")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"] == (
            'attachment; filename="zero-export-home-minute-20250615-20250616.csv"'
        )
        assert response.headers["Cache-Control"] == "no-store"
        lines = text.split("\r\n")
        assert lines[0].startswith("utc,site,grid_w,grid_min_w,grid_max_w,grid_s,pv_w,")
        assert lines[1].startswith("2025-06-15T00:00:00.000Z,home,1.5,")
        assert lines[2].startswith("2025-06-15T00:01:00.000Z,home,,"), "unknown is empty, and not 0"
        assert lines[3:] == [""]

    async def test_texts_are_quoted(self, house: House) -> None:
        wild = 'a "fault", with\r\nlines; and ümlauts'
        await house.keep([event(UTC_S, wild)])
        _, text = await house.ask("GET", "/api/export?table=event")
        (row,) = csv.DictReader(io.StringIO(text, newline=""))
        assert (row["text"], row["utc"]) == (wild, "2025-06-15T15:06:40.000Z")

    async def test_many_pages_are_one_table(self, house: House) -> None:
        await house.keep(event(UTC_S - 7000.0 + i // 3, str(i)) for i in range(6500))
        _, text = await house.ask("GET", "/api/export?table=event")
        assert [row["text"] for row in csv.DictReader(io.StringIO(text))] == [str(i) for i in range(6500)]

    @pytest.mark.parametrize("table", sorted(TABLES))
    async def test_every_table_even_without_rows(self, house: House, table: str) -> None:
        response, text = await house.ask("GET", f"/api/export?table={table}")
        assert response.status == 200
        assert text.startswith("utc,site,")
        assert text.count("\r\n") == 1

    async def test_whoever_may_look_gets_no_link_that_switches(self, house: House) -> None:
        await house.keep([Point("control", SITE, (("toggle_url", "http://x/?sig=secret"), ("mode", "limit")), UTC_S)])
        _, text = await house.ask("GET", "/api/export?table=control")
        assert "limit" in text
        assert "secret" not in text
        assert "toggle_url" not in text

    @pytest.mark.parametrize(
        ("query", "word"),
        [
            ("table=sqlite_master", "none of grid, inverter"),
            ("table=minute;drop", "none of"),
            ("table=", "none of"),
            ("from=5&to=5", "not before"),
            ("from=tomorrow", "Unix time"),
        ],
    )
    async def test_what_cannot_be_asked_is_told(self, house: House, query: str, word: str) -> None:
        await refused(house, f"/api/export?{query}", word)

    async def test_a_store_that_cannot_be_read_is_an_error(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: Any) -> Any:
            raise UnreadableError("disk I/O error")

        monkeypatch.setattr(house.records, "csv", broken)
        await refused(house, "/api/export", "disk I/O error", 503)

    async def test_half_a_table_is_no_whole_one(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connection breaks, so that the client knows."""
        await house.keep(event(UTC_S + i, str(i)) for i in range(3000))
        whole = house.records.csv

        async def breaks(table: str, since_s: float, until_s: float, after: Any = None) -> Any:
            if after is not None:
                raise UnreadableError("disk I/O error")
            return await whole(table, since_s, until_s, after)

        monkeypatch.setattr(house.records, "csv", breaks)
        with pytest.raises(aiohttp.ClientError):
            await house.ask("GET", "/api/export?table=event")

    async def test_two_at_once_and_others_come_back(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        going, asked = asyncio.Event(), 0

        async def slow(*_: Any) -> Any:
            nonlocal asked
            asked += 1
            await going.wait()
            return "", None

        monkeypatch.setattr(house.records, "csv", slow)
        first = [asyncio.create_task(house.ask("GET", "/api/export")) for _ in range(2)]
        async with asyncio.timeout(20):
            while asked < 2:
                await asyncio.sleep(0.01)
        response, data = await house.ask("GET", "/api/export")
        assert (response.status, response.headers["Retry-After"]) == (503, "10")
        assert "2 exports are under way" in data["error"]
        assert (await house.ask("GET", "/api/journal"))[0].status == 200, "looking goes on"
        going.set()
        assert {response.status for response, _ in await asyncio.gather(*first)} == {200}
        assert (await house.ask("GET", "/api/export"))[0].status == 200

    async def test_a_client_that_leaves_frees_its_place(self, house: House) -> None:
        await house.keep(event(UTC_S - 60_000.0 + i, "x" * 400) for i in range(20_000))
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            writer.write(b"GET /api/export?table=event HTTP/1.1\r\nHost: pi\r\n\r\n")
            assert b"200 OK" in await reader.readline()
            writer.transport.abort()
            await until(lambda: not house.server._archive._exports, 30.0, "its place is free")
        assert (await house.ask("GET", "/api/export"))[0].status == 200

    async def test_it_needs_the_read_token_where_there_is_one(self, build: Build) -> None:
        house = await build(token="may-change-91bc", read_token="only-looking-7f3a")
        for path in ("/api/export", "/api/journal", "/api/energy", f"/api/history?from={UTC_S - 60:.0f}"):
            assert (await house.ask("GET", path))[0].status == 401
            headers = {"Authorization": "Bearer only-looking-7f3a"}
            assert (await house.ask("GET", path, headers=headers))[0].status == 200
