"""Energy, events and stores on the page: where it came from and went, what happened, what waits to be stored."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.async_api import Page, expect

from app.model import Account, Ledger, Mode, StoreState

from .archive import FakeArchive, day_row, entry
from .conftest import House, Visit
from .ticks import METER_FAULT, UTC_S, make_inverter, make_tick

pytestmark = pytest.mark.e2e

LEDGER = Ledger(
    currency="AUD",
    method="from the sun seen before and after",
    date="2025-06-15",
    since_utc_s=UTC_S - 40 * 86_400.0,
    today=Account(2310.0, 1240.0, 414.0, 30.0, 31.2, 10.4, 8000.0),
    month=Account(31_000.0, 9000.0, 5000.0, 40.0, 200.0, 60.0, 90_000.0),
    total=Account(81_000.0, 34_200.0, 12_944.0, 7300.0, -812.0, -433.3, 340_000.0),
)


async def figures(page: Page) -> dict[str, str]:
    """What the energy card says, by its labels."""
    pairs = page.locator("#energy .energy-now dl > div")
    found = [await pairs.nth(index).locator("dt, dd").all_inner_texts() for index in range(await pairs.count())]
    return {label.strip(): value.strip() for label, value in found}


class TestEnergy:
    """Today, this month, in total; days and months."""

    async def test_today_says_where_it_came_from_and_went(self, house: House, visit: Visit) -> None:
        house.hub.publish(make_tick(ledger=LEDGER))
        page = await visit(house.url)
        await expect(page.locator("#energy")).to_contain_text("earned $0.31")
        assert await figures(page) == {
            "Self-use": "85 %",
            "Self-sufficiency": "75 %",
            "Sun": "8 kWh",
            "Used ourselves": "6.76 kWh",
            "Exported": "1.24 kWh\nearned $0.31",
            "Held back": "about 410 Wh\nsaved $0.10",
            "Household": "9.07 kWh",
            "Imported": "2.31 kWh",
        }

    async def test_month_and_total_are_one_click_away(self, house: House, visit: Visit) -> None:
        house.hub.publish(make_tick(ledger=LEDGER))
        page = await visit(house.url)
        await page.get_by_role("button", name="Month", exact=True).click()
        await expect(page.locator("#energy")).to_contain_text("90 kWh")
        await page.get_by_role("button", name="Total").click()
        await expect(page.locator("#energy")).to_contain_text("Since 6 May 2025")
        told = await figures(page)
        assert told["Held back"] == "about 13 kWh\ncost $4.33 · uncertain for 2 h"
        assert told["Exported"] == "34.2 kWh\ncost $8.12"
        await page.locator("summary", has_text="Held back is an estimate").click()
        method = page.get_by_text("from the sun seen before and after")
        await expect(method).to_be_visible()
        assert await method.get_attribute("lang") == "en"

    async def test_a_share_of_nothing_is_a_dash(self, house: House, visit: Visit) -> None:
        house.hub.publish(make_tick(ledger=replace(LEDGER, today=Account())))
        page = await visit(house.url)
        await expect(page.locator("#energy .ratios")).to_be_visible()
        told = await figures(page)
        assert (told["Self-use"], told["Self-sufficiency"], told["Sun"]) == ("–", "–", "0 Wh")

    async def test_sun_that_was_not_counted_gives_no_share(self, house: House, visit: Visit) -> None:
        house.hub.publish(make_tick(ledger=replace(LEDGER, today=Account(1000.0, 500.0))))
        page = await visit(house.url)
        await expect(page.locator("#energy .ratios")).to_be_visible()
        told = await figures(page)
        assert (told["Self-use"], told["Self-sufficiency"]) == ("–", "–")

    @pytest.mark.parametrize(
        ("currency", "expected"), [("EUR", "EUR 0.31"), ("JPY", "JPY 0"), ("cowries", "0.31 cowries")]
    )
    async def test_any_currency_can_be_shown(self, house: House, visit: Visit, currency: str, expected: str) -> None:
        house.hub.publish(make_tick(ledger=replace(LEDGER, currency=currency)))
        page = await visit(house.url)
        await expect(page.locator("#energy")).to_contain_text(re.compile("earned " + expected.replace(" ", r"\s")))

    async def test_days_and_months_are_bars_that_tell(self, house: House, visit: Visit, archive: FakeArchive) -> None:
        archive.days = [day_row(3), day_row(1), day_row(0, import_wh=9e9)]
        house.hub.publish(make_tick(ledger=LEDGER))
        page = await visit(house.url)
        bars = page.locator(".bars")
        await expect(bars.locator(".column")).to_have_count(4)
        await bars.focus()
        await page.keyboard.press("ArrowLeft")
        at = page.locator(".energy-past .at")
        await expect(at).to_have_text(
            re.compile("^Sun,? 15 June?: sun 8 kWh, .*imported 2.31 kWh, .*self-sufficiency 75 %")
        )
        for _ in range(2):
            await page.keyboard.press("ArrowLeft")
        await expect(at).to_have_text(re.compile("^Fri,? 13 June?: not known"))
        heights = await bars.locator(".column .self_used").evaluate_all("all => all.map(one => one.clientHeight)")
        assert heights[1] == 0
        assert heights[0] > 10
        await page.locator(".energy-past summary").click()
        await expect(page.locator(".energy-past tbody tr")).to_have_count(3)
        await page.get_by_role("button", name="Months").click()
        await expect(bars.locator(".column")).to_have_count(12)
        assert "energy?span=month&count=12" in archive.asked

    @pytest.mark.parametrize("missing", [("energy", "journal"), ()])
    async def test_without_an_account_and_without_days_there_is_no_card(
        self, house: House, visit: Visit, archive: FakeArchive, missing: tuple[str, ...]
    ) -> None:
        archive.missing, archive.days = missing, []
        page = await visit(house.url, excuse="404 (Not Found)" if missing else "")
        house.hub.publish(make_tick(stores=(StoreState("sqlite"),), utc_s=UTC_S + 1))
        await expect(page.locator("#stores")).to_be_visible()
        await expect(page.locator("#energy")).to_be_hidden()
        await expect(page.locator("#journal")).to_be_visible(visible=not missing)

    async def test_a_dry_run_shows_the_days_there_were(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        await expect(page.locator(".bars .column")).to_have_count(31)
        assert not await page.locator(".energy-now").is_visible()


class TestJournal:
    """What happened, and when."""

    async def test_the_newest_come_first_with_what_to_do(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        entries = page.locator(".entries li")
        await expect(entries).to_have_count(12)
        shown = await entries.nth(4).inner_text()
        for part in ("Fault", "The meter does not answer.", "Check its network."):
            assert part in shown
        assert "for 75 s · up to 412 W too much" in await entries.nth(2).inner_text()
        assert await entries.nth(4).locator("p").first.get_attribute("lang") == "en"

    async def test_older_ones_on_demand_and_none_twice(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        entries, older = page.locator(".entries li"), page.get_by_role("button", name="Older")
        await expect(older).to_be_visible()
        for _ in range(3):
            if await older.is_visible():
                count = await entries.count()
                await older.click()
                await expect(entries).not_to_have_count(count)
        await expect(entries).to_have_count(100)
        await expect(older).to_be_hidden()
        texts = await entries.locator("p[lang]").all_inner_texts()
        assert texts.count("change number 44") == 1

    async def test_a_kind_is_looked_for_further_back(self, house: House, visit: Visit, archive: FakeArchive) -> None:
        archive.entries.append(entry("fault", "The first of all.", 9e6))
        page = await visit(house.url)
        await page.get_by_role("button", name="Faults").click()
        await expect(page.get_by_text("The first of all.")).to_be_visible()
        await expect(page.locator(".entries li")).to_have_count(3)
        await page.get_by_role("button", name="All", exact=True).click()
        await expect(page.get_by_text("change number 3", exact=True)).to_be_visible()

    async def test_nothing_of_a_kind_is_said(self, house: House, visit: Visit, archive: FakeArchive) -> None:
        archive.entries = archive.entries[:2]
        page = await visit(house.url)
        await page.get_by_role("button", name="Excursions").click()
        await expect(page.get_by_text("Nothing of this kind is written down.")).to_be_visible()

    async def test_what_happens_now_is_added(self, house: House, visit: Visit, archive: FakeArchive) -> None:
        page = await visit(house.url)
        await expect(page.locator(".entries li")).to_have_count(12)
        archive.entries.insert(0, entry("fault", "<b>The meter</b> is silent.", 0.0))
        house.hub.publish(make_tick(None, mode=Mode.FAIL_SAFE, faults=(METER_FAULT,), utc_s=UTC_S + 1))
        await expect(page.locator(".entries li").first).to_contain_text("<b>The meter</b> is silent.")


class TestInverterDetail:
    """Everything that is known of one inverter, for those who open it."""

    async def test_it_is_closed_at_first_and_complete(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        details = page.locator(".inverter details")
        await expect(details).to_have_count(1)
        assert not await details.evaluate("details => details.open")
        await details.locator("summary").click()
        await expect(details.locator("dl")).to_contain_text("232.1 V")
        shown = await details.inner_text()
        for part in ("640 W", "50.01 Hz", "45 W to 1,500 W", "1,205 kWh", "−62 dBm", "34.1 V", "9.70 A", "1.2 kWh"):
            assert part in shown, part
        assert re.search(r"Limit sent\s+640 W, \d+ s ago", shown)

    async def test_it_follows_and_takes_an_inverter_without_inputs(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        details = page.locator(".inverter details")
        await details.locator("summary").click()
        await expect(details.locator("tbody tr")).to_have_count(2)
        house.hub.publish(make_tick(inverters=(make_inverter(panels=()),), utc_s=UTC_S + 1))
        await expect(details.locator("tbody tr")).to_have_count(0)


class TestStores:
    """Telemetry that waits or was lost."""

    async def test_all_is_well_says_nothing(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        sqlite = StoreState("sqlite", written=50, pending=12, oldest_s=4.0)
        influxdb = StoreState("influxdb", written=90, pending=2, oldest_s=1.0, spool_b=732, spool_max_b=256_000_000)
        house.hub.publish(make_tick(stores=(sqlite, influxdb), utc_s=UTC_S + 1))
        await page.locator("#stores-box summary").click()
        rows = [re.compile("sqlite.*50.*12.*4 s"), re.compile("influxdb.*90.*2.*1 s")]
        await expect(page.locator("#stores tbody tr")).to_have_text(rows)
        assert not await page.locator("#stores-line").is_visible()

    async def test_what_waits_and_what_was_lost_is_one_line(self, house: House, visit: Visit) -> None:
        away = StoreState(
            "influxdb", pending=1200, oldest_s=300.0, dropped=3, refused=2, spool_b=1000, spool_max_b=4000
        )
        house.hub.publish(make_tick(stores=(away, StoreState("sqlite"))))
        page = await visit(house.url)
        await expect(page.locator("#stores-line")).to_have_text(
            "Telemetry: influxdb: 1,200 points wait, the oldest for 5 min, its place on the disk is 25 % full,"
            " 3 points lost, 2 points refused"
        )
