"""The past on the page: an hour to a year, closer and farther, and back to now."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from playwright.async_api import Page, Route, expect

from tests.conftest import until

from .archive import DAY_S, FakeArchive
from .conftest import Build, House, Visit
from .ticks import UTC_S, make_tick

pytestmark = pytest.mark.e2e

EXPORT = (0xC2, 0x41, 0x0C)


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive(recent=True)


def asked(archive: FakeArchive) -> tuple[float, float] | None:
    """From when to when the page asked last; both as ages in seconds."""
    found = [one for one in archive.asked if one.startswith("history?from")]
    query = parse_qs(found[-1].partition("?")[2]) if found else {}
    return (UTC_S - float(query["from"][0]), UTC_S - float(query["to"][0])) if query else None


async def asks(archive: FakeArchive, begin: float, end: float, *, within: float) -> None:
    """Wait until the page asks for a stretch of time, by its ages; it may ask for others on the way, or twice."""
    wanted = pytest.approx((begin, end), abs=within)
    await until(lambda: asked(archive) == wanted, 30.0, f"asked for {wanted}, not {asked(archive)}")


async def drag(page: Page, begin: float, end: float) -> None:
    """With the mouse over the chart, in shares of its width."""
    await page.locator("#plot").scroll_into_view_if_needed()
    box = await page.locator("#plot .u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + begin * box["width"], middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + (begin + end) / 2 * box["width"], middle, steps=3)
    await page.mouse.move(box["x"] + end * box["width"], middle, steps=3)
    await page.mouse.up()


async def pinch(page: Page, begin: float, end: float) -> None:
    """Two fingers, ``begin`` apart and then ``end``, in shares of the width of the chart."""
    await page.locator("#plot").scroll_into_view_if_needed()
    box = await page.locator("#plot .u-over").bounding_box()
    assert box is not None
    session = await page.context.new_cdp_session(page)
    y = box["y"] + box["height"] / 2

    def fingers(apart: float) -> list[dict[str, float]]:
        return [{"x": box["x"] + box["width"] * (0.5 + side * apart / 2), "y": y, "id": side} for side in (-1, 1)]

    await session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": fingers(begin)})
    for step in range(1, 6):
        points = fingers(begin + (end - begin) * step / 5)
        await session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    await session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


SPANS = {
    "6 h": ("seconds=21600", "Last 6 hours"),
    "24 h": ("seconds=86400", "Last 24 hours"),
    "7 d": ("seconds=604800", "Last 7 days"),
    "30 d": ("seconds=2592000", "Last 30 days"),
    "1 y": (f"from={UTC_S - 365 * DAY_S:.0f}&to={UTC_S:.0f}", "Last year"),
}


@pytest.mark.parametrize("name", SPANS)
async def test_every_span_is_one_click_away(house: House, visit: Visit, archive: FakeArchive, name: str) -> None:
    page = await visit(house.url)
    await expect(page.locator("#chart-title")).to_have_text("Last hour")
    query, title = SPANS[name]
    async with page.expect_response(f"**/api/history?{query}"):
        await page.get_by_role("button", name=name, exact=True).click()
    await expect(page.locator("#chart-title")).to_have_text(title)
    await expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")


async def test_dragging_leads_closer_and_a_double_click_back(house: House, visit: Visit, archive: FakeArchive) -> None:
    page = await visit(house.url, width=1280)
    async with page.expect_response("**/api/history?seconds=86400"):
        await page.get_by_role("button", name="24 h").click()
    await drag(page, 0.25, 0.5)
    await asks(archive, 0.75 * DAY_S, 0.5 * DAY_S, within=900)
    await expect(page.locator("#chart-title")).to_have_text(re.compile("June.*[–-]"))
    await expect(page.get_by_role("button", name="24 h")).to_have_attribute("aria-pressed", "false")
    async with page.expect_response("**/api/history?seconds=86400"):
        await page.locator("#plot .u-over").dblclick()
    await expect(page.locator("#chart-title")).to_have_text("Last 24 hours")
    await expect(page.get_by_role("button", name="Back to now")).to_be_hidden()


async def test_while_it_shows_the_past_it_stays_put(house: House, visit: Visit, archive: FakeArchive) -> None:
    page = await visit(house.url)
    await page.get_by_role("button", name="Zoom in").click()
    await until(lambda: asked(archive) is not None, 30.0)
    title = await page.locator("#chart-title").inner_text()
    legend = page.locator("#legend")
    await expect(legend).not_to_contain_text("612 W")
    before = await legend.inner_text()
    house.hub.publish(make_tick(-77.0, utc_s=UTC_S + 60))
    await expect(page.locator("#grid")).to_have_text("77")
    assert await legend.inner_text() == before
    assert await page.locator("#chart-title").inner_text() == title
    await page.get_by_role("button", name="Back to now").click()
    await expect(page.get_by_role("button", name="1 h", exact=True)).to_be_focused()
    await expect(page.locator("#chart-title")).to_have_text("Last hour")
    house.hub.publish(make_tick(-78.0, utc_s=UTC_S + 61))
    await expect(legend).to_contain_text("−78 W")


async def test_the_keys_zoom_and_move(house: House, visit: Visit, archive: FakeArchive) -> None:
    page = await visit(house.url)
    async with page.expect_response("**/api/history?seconds=86400"):
        await page.get_by_role("button", name="24 h").click()
    await page.locator("#plot").focus()
    await page.keyboard.press("+")
    await asks(archive, 0.75 * DAY_S, 0.25 * DAY_S, within=120)
    await page.keyboard.press("Shift+ArrowLeft")
    await asks(archive, DAY_S, 0.5 * DAY_S, within=120)
    await page.keyboard.press("-")
    await asks(archive, 1.25 * DAY_S, 0.25 * DAY_S, within=120)
    await page.keyboard.press("PageDown")
    await asks(archive, DAY_S, 0.0, within=120)  # and never beyond now
    await expect(page.get_by_role("button", name="Later")).to_be_disabled()
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#legend .at")).to_have_text(re.compile("June.*grid down to −"))
    await page.keyboard.press("Escape")
    await expect(page.locator("#chart-title")).to_have_text("Last 24 hours")


async def test_two_fingers_zoom(house: House, visit: Visit, archive: FakeArchive) -> None:
    page = await visit(house.url)
    async with page.expect_response("**/api/history?seconds=86400"):
        await page.get_by_role("button", name="24 h").click()
    await pinch(page, 0.2, 0.8)
    await asks(archive, 0.625 * DAY_S, 0.375 * DAY_S, within=2000)


async def test_it_goes_neither_beyond_400_days_nor_below_two_minutes(
    house: House, visit: Visit, archive: FakeArchive
) -> None:
    page = await visit(house.url)
    async with page.expect_response("**/api/history?from=*"):
        await page.get_by_role("button", name="1 y").click()
    await page.locator("#plot").focus()
    await page.keyboard.press("-")
    await asks(archive, 400 * DAY_S, 0.0, within=2)
    for _ in range(30):
        await page.keyboard.press("+")
    await asks(archive, 200 * DAY_S + 60, 200 * DAY_S - 60, within=120)
    shown = asked(archive)
    assert shown
    assert shown[0] - shown[1] == pytest.approx(120.0, abs=2)


async def test_export_that_the_mean_hides_is_seen_as_a_band(house: House, visit: Visit, archive: FakeArchive) -> None:
    """By day the mean imports 15 W, and the least exports: its colour must be there, and go with the line."""
    page = await visit(house.url, width=1280)
    async with page.expect_response("**/api/history?seconds=2592000"):
        await page.get_by_role("button", name="30 d").click()
    script = """([red, green, blue]) => {
        const canvas = document.querySelector("#plot canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) count += data[i + 3] > 90 && data[i + 3] < 200 &&
            Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue) < 60;
        return count;
    }"""
    async with asyncio.timeout(20):
        while await page.evaluate(script, list(EXPORT)) < 500:
            await asyncio.sleep(0.1)
    await page.get_by_role("button", name="Grid").click()
    async with asyncio.timeout(20):
        while await page.evaluate(script, list(EXPORT)) > 50:
            await asyncio.sleep(0.1)


async def test_the_chart_is_a_table_too(house: House, visit: Visit, archive: FakeArchive) -> None:
    page = await visit(house.url)
    async with page.expect_response("**/api/history?seconds=86400"):
        await page.get_by_role("button", name="24 h").click()
    await page.locator("#summary summary").click()
    table = page.locator("#summary table")
    await expect(table.locator("tbody tr")).to_have_count(4)
    await expect(table).to_contain_text("Grid")
    grid = await table.locator("tbody tr").first.locator("td").all_inner_texts()
    assert grid[2].startswith("−4"), "the least of the minutes, not of the means"
    assert int(grid[3].removesuffix(" W").replace(",", "")) > 1300


async def test_the_newest_wish_wins_over_late_answers(house: House, visit: Visit, archive: FakeArchive) -> None:
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Live")
    held = asyncio.Event()
    left = asyncio.Event()

    async def late(route: Route) -> None:
        await held.wait()
        await route.fulfill(
            json={"utc_s": [UTC_S - 9.0], "grid_w": [4321.0], "pv_w": [1.0], "load_w": [1.0], "limit_w": [1.0]}
        )
        left.set()

    await page.route("**/api/history?seconds=21600", late)
    async with page.expect_request("**/api/history?seconds=21600"):
        await page.get_by_role("button", name="6 h").click()
    async with page.expect_response("**/api/history?seconds=86400"):
        await page.get_by_role("button", name="24 h").click()
    async with page.expect_response("**/api/history?seconds=21600"):
        held.set()
    await left.wait()
    await page.locator("#summary summary").click()
    await expect(page.locator("#summary tbody tr")).to_have_count(4)
    assert "4,321" not in await page.locator("#summary").inner_text()


class TestDownload:
    """What is shown, as a file."""

    async def test_it_is_the_range_that_is_shown(
        self, house: House, visit: Visit, archive: FakeArchive, tmp_path: Path
    ) -> None:
        page = await visit(house.url)
        async with page.expect_response("**/api/history?seconds=86400"):
            await page.get_by_role("button", name="24 h").click()
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download CSV").click()
        file = await download.value
        assert file.suggested_filename == "minute.csv"
        await file.save_as(tmp_path / "minute.csv")
        assert (tmp_path / "minute.csv").read_text().startswith("time,grid_w\n")
        query = parse_qs(next(one for one in archive.asked if one.startswith("export")).partition("?")[2])
        assert float(query["to"][0]) - float(query["from"][0]) == pytest.approx(DAY_S, abs=70)

    async def test_the_token_goes_with_it(self, build: Build, visit: Visit) -> None:
        house = await build(token="sunshine", read_token="moonlight")
        house.hub.publish(make_tick())
        page = await visit(house.url, excuse="401 (Unauthorized)")
        await page.get_by_label("Token", exact=True).fill("moonlight")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator("#grid")).to_have_text("15")
        async with page.expect_request("**/api/export?*") as sent:
            await page.get_by_role("button", name="Download CSV").click()
        assert (await (await sent.value).all_headers())["authorization"] == "Bearer moonlight"

    async def test_a_refusal_is_said(self, house: House, visit: Visit, archive: FakeArchive) -> None:
        archive.missing = ("export",)
        page = await visit(house.url, excuse="404 (Not Found)")
        await page.get_by_role("button", name="Download CSV").click()
        message = page.locator("#download-message")
        await expect(message).to_have_text("/api/export is not served here")
        assert await message.get_attribute("lang") == "en"
