"""What a controller keeps of the past, as the page asks for it: stands in for the server's own handlers."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page, Route

from .ticks import UTC_S

DAY_S = 86_400.0
MAX_ROWS = 1500


def iso(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entry(kind: str, text: str, age_s: float, **more: Any) -> dict[str, Any]:
    """One line of the journal."""
    empty: dict[str, Any] = {"key": None, "next_step": None, "length_s": None, "worst_w": None}
    return {"utc": iso(UTC_S - age_s), "kind": kind, "text": text} | empty | more


METER_SILENT = entry("fault", "The meter does not answer.", 7200.0, key="meter", next_step="Check its network.")
ENTRIES = [
    entry("mode", "limit: holding 15 W of import", 60.0),
    entry("settings", "zero export on, target 15 W, by the page", 600.0),
    entry("excursion", "412 W too much for 75 s", 900.0, length_s=75.5, worst_w=412.0),
    entry("fault_cleared", "The meter answers again.", 7000.0, key="meter"),
    METER_SILENT,
    *(entry("mode", f"change number {number}", 90_000.0 + 3600.0 * number) for number in range(95)),
]


def day_row(age_days: int, **changes: Any) -> dict[str, Any]:
    """One day of energy, the sunnier the longer ago."""
    at = datetime.fromtimestamp(UTC_S, UTC).replace(hour=0, minute=0, second=0) - timedelta(days=age_days)
    pv_wh = 6000.0 + 250.0 * age_days + 1500.0 * math.sin(2.0 * age_days)
    export_wh = 120.0 + 20.0 * age_days
    row = {
        "date": at.strftime("%Y-%m-%d"),
        "start_utc": iso(at.timestamp()),
        "import_wh": 3100.0 + 900.0 * math.cos(age_days),
        "export_wh": export_wh,
        "pv_wh": pv_wh,
        "self_used_wh": pv_wh - export_wh,
        "curtailed_wh": 900.0 + 400.0 * math.sin(age_days),
        "uncertain_s": 0.0,
        "earned_c": 1.5,
        "saved_c": 12.0,
    }
    row["load_wh"] = float(row["import_wh"]) + pv_wh - export_wh  # type: ignore[arg-type]
    return row | changes


def month_row(age: int) -> dict[str, Any]:
    year, month = divmod(2025 * 12 + 5 - age, 12)
    at = datetime(year, month + 1, 1, tzinfo=UTC)
    days = [day_row(day) for day in range(30)]
    sums = {key: sum(day[key] for day in days) for key in days[0] if key not in ("date", "start_utc")}
    return {"date": at.strftime("%Y-%m"), "start_utc": iso(at.timestamp())} | sums


@dataclass
class FakeArchive:
    """`/api/history?from&to`, `/api/energy`, `/api/journal` and `/api/export` by their contract.

    ``recent``: it answers `/api/history?seconds` as well, else the real server does. ``missing``: names of those that
    are not served at all.
    """

    entries: list[dict[str, Any]] = field(default_factory=lambda: list(ENTRIES))
    days: list[dict[str, Any]] = field(default_factory=lambda: [day_row(age) for age in range(30, -1, -1)])
    months: list[dict[str, Any]] = field(default_factory=lambda: [month_row(age) for age in range(11, -1, -1)])
    recent: bool = False
    missing: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def serve(self, page: Page) -> None:
        """Answer these requests of a page."""
        await page.route(re.compile(r"/api/(history|energy|journal|export)\b"), self._answer)

    async def _answer(self, route: Route) -> None:
        parts = urlsplit(route.request.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name = parts.path.removeprefix("/api/")
        self.asked.append(f"{name}?{parts.query}")
        answers = {"history": self._history, "energy": self._energy, "journal": self._journal, "export": self._export}
        if name in self.missing:
            await route.fulfill(status=404, json={"error": f"/api/{name} is not served here"})
        elif name == "history" and "from" not in query and not self.recent:
            await route.fallback()
        else:
            await answers[name](route, query)

    async def _history(self, route: Route, query: dict[str, str]) -> None:
        to_s = float(query.get("to", UTC_S))
        from_s = float(query["from"]) if "from" in query else to_s - float(query["seconds"])
        assert 0.0 < to_s - from_s <= 400 * DAY_S
        step_s = 60.0 * max(1, math.ceil((to_s - from_s) / 60.0 / MAX_ROWS))
        stamps = [from_s + step_s * index for index in range(int((to_s - from_s) / step_s) + 1)]
        hours = [(stamp % DAY_S) / 3600.0 for stamp in stamps]
        pv_w = [max(0.0, 1500.0 * math.sin(math.pi * (hour - 6.0) / 12.0)) for hour in hours]
        load_w = [400.0 + 250.0 * math.sin(hour) ** 2 + (900.0 if 18.0 < hour < 19.0 else 0.0) for hour in hours]
        pv_w = [min(pv, load - 15.0) for pv, load in zip(pv_w, load_w, strict=True)]
        grid_w = [load - pv for pv, load in zip(pv_w, load_w, strict=True)]
        dips = [180.0 if index % 7 else 500.0 for index in range(len(stamps))]
        columns: dict[str, list[float] | list[float | None]] = {
            "utc_s": stamps,
            "grid_w": grid_w,
            "pv_w": pv_w,
            "load_w": load_w,
            "limit_w": [pv + 20.0 for pv in pv_w],
            "grid_min_w": [grid - dip for grid, dip in zip(grid_w, dips, strict=True)],
            "grid_max_w": [None if index % 2 else grid + 300.0 for index, grid in enumerate(grid_w)],
        }
        await route.fulfill(json=columns)

    async def _energy(self, route: Route, query: dict[str, str]) -> None:
        rows = {"day": self.days, "month": self.months}[query["span"]]
        await route.fulfill(json={"currency": "EUR", "method": "an estimate", "rows": rows[-int(query["count"]) :]})

    async def _journal(self, route: Route, query: dict[str, str]) -> None:
        before_s = float(query.get("before", 1e12))
        limit = int(query["limit"])
        older = [one for one in self.entries if datetime.fromisoformat(one["utc"]).timestamp() < before_s]
        await route.fulfill(json={"entries": older[:limit], "more": len(older) > limit})

    async def _export(self, route: Route, query: dict[str, str]) -> None:
        assert query["table"] == "minute"
        assert float(query["to"]) > float(query["from"])
        headers = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="minute.csv"'}
        await route.fulfill(body="time,grid_w\n" + json.dumps(query["from"]) + ",1\n", headers=headers)
