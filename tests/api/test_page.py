"""The page in a real browser: what people see, what they change, and what cannot hurt them."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from app.model import Ac, MeterState, Mode, PriceState, Settings

from .conftest import Build, House, Visit
from .ticks import ACCOUNT, BATTERY, METER_FAULT, UTC_S, make_inverter, make_tick

pytestmark = pytest.mark.e2e


async def text(page: Page | Locator, selector: str) -> str:
    return (await page.locator(selector).inner_text()).strip()


async def test_values_appear_and_follow_every_tick(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Live")
    assert await text(page, "#grid") == "15"
    assert await text(page, "#grid-word") == "Importing from the grid"
    assert await text(page, "#mode") == "Limiting"
    assert await text(page, "#reason") == "Holding 15 W of import"
    assert await page.locator("#pv").text_content() == "612 W"
    assert await page.locator("#load").text_content() == "627 W"
    assert await text(page, "#limit") == "640 W"
    card = page.locator(".inverter")
    assert await card.locator("h3").inner_text() == "Garage"
    shown = await card.inner_text()
    for part in (
        "116180400001",
        "612 W",
        "Producing",
        "Limit 640 W of 1,500 W",
        "640 W ✓",
        "38.6 °C",
        "2.31 kWh",
        "East",
    ):
        assert part in shown, part
    house.hub.publish(make_tick(-320.4, utc_s=UTC_S + 1, mode=Mode.OPEN, price=PriceState(8.25, 30.0, False)))
    await expect(page.locator("#grid")).to_have_text("320")
    assert await text(page, "#grid-word") == "Exporting to the grid"
    assert await text(page, "#price") == "8.3 c/kWh"
    assert await text(page, "#mode") == "Open"
    assert "−320" in await text(page, "#legend")
    assert await page.title() == "−320 W · Zero export"


async def test_what_is_unknown_is_a_dash(house: House, visit: Visit) -> None:
    bare = make_inverter(ac=Ac(), panels=(), power_at_s=None, commanded_w=None, acked_w=None, reachable=None)
    house.hub.publish(make_tick(None, inverters=(bare,), meter=MeterState(), pv_w=None, limit_w=None, target_w=None))
    page = await visit(house.url)
    await expect(page.locator("#grid-word")).to_have_text("Unknown")
    for selector in ("#grid", "#limit", "#meter-age", "#target-now"):
        assert await text(page, selector) == "–", selector
    for selector in ("#pv", "#load", "#grid-flow"):
        assert await page.locator(selector).text_content() == "–", selector
    card = await page.locator(".inverter").inner_text()
    assert "Not heard yet" in card
    assert "No limit sent yet" in card
    assert not re.search(r"\b0\b", card)


async def test_a_battery_has_a_card_of_its_own(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Live")
    card = page.locator("#battery-card")
    await expect(card).to_be_hidden()
    house.hub.publish(make_tick(battery=BATTERY))
    await expect(card).to_be_visible()
    assert await text(page, "#battery-charge") in ("61 %", "62 %")
    assert (await text(page, "#battery-way"), await text(page, "#battery-power")) == ("Discharging", "420 W")
    house.hub.publish(make_tick(battery=replace(BATTERY, power_w=None, soc_pct=None, at_s=None, fault="<b>silent</b>")))
    await expect(page.locator("#battery-power")).to_have_text("–")
    assert [await text(page, f"#battery-{name}") for name in ("charge", "age", "way")] == ["–", "–", "Power"]
    assert await text(page, "#battery-text") == "Cellar · <b>silent</b>"


async def test_the_switch_pauses_and_resumes(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    switch = page.get_by_role("switch", name="Zero export")
    await expect(switch).to_be_enabled()
    assert await switch.get_attribute("aria-checked") == "true"
    await switch.click()
    await expect(page.locator("#message")).to_have_text("Zero export is paused.")
    assert not house.enabled
    await expect(switch).to_have_attribute("aria-checked", "false")
    await switch.press("Space")
    await expect(page.locator("#message")).to_have_text("Zero export is on.")
    assert house.enabled


async def test_a_new_target_is_kept_while_ticks_come_in(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    target, save = page.get_by_label("Target at the grid"), page.get_by_role("button", name="Save")
    await expect(target).to_have_value("15")
    assert await save.is_disabled()
    await page.get_by_role("button", name="5 watts more").click()
    await target.press("End")
    await target.type(".5")
    house.hub.publish(make_tick(16.0, utc_s=UTC_S + 1))
    await expect(page.locator("#grid")).to_have_text("16")
    await expect(target).to_have_value("20.5")
    await save.click()
    await expect(page.locator("#message")).to_contain_text("The target is")
    assert house.store.current == Settings(target_point_w=20.5)
    assert await save.is_disabled()


async def test_a_target_out_of_range_is_explained(house: House, visit: Visit) -> None:
    page = await visit(house.url, excuse="400 (Bad Request)")
    target = page.get_by_label("Target at the grid")
    await target.fill("999999")
    await target.press("Enter")
    await expect(page.locator("#message")).to_contain_text("send one between")
    assert house.store.current == Settings()
    await target.fill("")
    await target.press("Enter")
    await expect(page.locator("#message")).to_have_text("The target is not a number of watts.")


async def test_a_fault_says_what_to_do_and_since_when(house: House, visit: Visit) -> None:
    house.hub.publish(make_tick(None, mode=Mode.FAIL_SAFE, faults=(METER_FAULT,), dry_run=True))
    page = await visit(house.url)
    fault = page.locator(".fault")
    await expect(fault).to_have_count(1)
    shown = await fault.inner_text()
    assert METER_FAULT.text in shown
    assert METER_FAULT.next_step in shown
    assert re.search(r"meter · since .* \(\d+ (s|min)\)", shown)
    assert await page.locator("#dry-run").is_visible()
    assert await text(page, "#mode") == "Fail-safe"
    house.hub.publish(make_tick(utc_s=UTC_S + 1))
    await expect(fault).to_have_count(0)
    assert not await page.locator("#dry-run").is_visible()


async def test_the_worst_excursion_of_today_is_shown(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Live")
    assert not await page.locator("#excursion-box").is_visible(), "a dry run counts none"
    house.hub.publish(make_tick(excursions=replace(ACCOUNT, today=0, unknown_today_s=0.0), utc_s=UTC_S + 1))
    await expect(page.locator("#excursion")).to_have_text("None")
    assert await text(page, "#excursion-label") == "Worst excursion today"
    assert re.fullmatch(
        r"More than 50 W too much for 15 s: 0 today, 17 since .*2025 · 23 Wh beyond what is allowed today",
        await text(page, "#excursion-text"),
    )
    house.hub.publish(make_tick(excursions=ACCOUNT, utc_s=UTC_S + 2))
    await expect(page.locator("#excursion")).to_have_text("75 s · 412 W")
    assert "grid unknown for 4 min today" in await text(page, "#excursion-text")
    house.hub.publish(make_tick(-310.0, excursions=replace(ACCOUNT, current_s=16.2), utc_s=UTC_S + 3))
    await expect(page.locator("#excursion-label")).to_have_text("Excursion now")
    assert await text(page, "#excursion") == "16 s · 310 W"
    house.hub.publish(make_tick(None, excursions=replace(ACCOUNT, current_s=None), utc_s=UTC_S + 4))
    await expect(page.locator("#excursion-label")).to_have_text("Worst excursion today")


async def test_the_dead_man_limit_and_foreign_commands_are_shown(house: House, visit: Visit) -> None:
    conflict = make_inverter(foreign="solar/1/cmd/power: 0", foreign_at_s=98.0)
    house.hub.publish(make_tick(inverters=(make_inverter(serial="116180400002", guarded=True), conflict)))
    page = await visit(house.url)
    armed, other = page.locator(".inverter").nth(0), page.locator(".inverter").nth(1)
    await expect(armed.locator("dl")).to_contain_text("Armed ✓")
    assert not await armed.locator(".note").is_visible()
    await expect(other.locator("dl")).to_contain_text("Not armed")
    assert re.fullmatch(r"Somebody else commanded it \d+ s ago \(solar/1/cmd/power: 0\)", await text(other, ".note"))


async def test_hostile_names_are_only_text(house: House, visit: Visit) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'>&amp;"
    inverter = make_inverter(serial=evil, name=evil, note=evil, foreign=evil, foreign_at_s=99.0)
    inverter = replace(inverter, panels=tuple(replace(panel, name=evil) for panel in inverter.panels))
    fault = replace(METER_FAULT, key=evil, text=evil, next_step=evil)
    gateway = replace(make_tick().snapshot.gateways[0], name=evil, fault=evil)
    price = PriceState(1.0, fault=evil)
    tick = make_tick(inverters=(inverter,), faults=(fault,), gateways=(gateway,), price=price, reason=evil)
    house.hub.publish(tick)
    page = await visit(house.url)
    await expect(page.locator(".inverter h3")).to_have_text(evil)
    for selector in (".fault", ".inverter .note", "#gateways", "#reason", "#price-text"):
        assert evil in await text(page, selector), selector
    assert await page.locator("img, body script").count() == 0


async def test_a_lost_connection_is_shown_and_mended(house: House, visit: Visit) -> None:
    page = await visit(house.url, excuse="Failed to load resource")
    await expect(page.locator("#live-text")).to_have_text("Live")
    config = house.config.model_copy(update={"port": house.server.port})
    await house.server.stop()
    await expect(page.locator("#banner")).to_contain_text("Connection lost", timeout=30_000)
    assert await text(page, "#live-text") == "Offline"
    house.server._config = config
    await house.server.start()
    house.hub.publish(make_tick(99.0, utc_s=UTC_S + 60))
    await expect(page.locator("#grid")).to_have_text("99", timeout=45_000)
    assert not await page.locator("#banner").is_visible()


async def test_old_values_are_grey(house: House, visit: Visit) -> None:
    silent = make_inverter(power_at_s=10.0)
    house.hub.publish(make_tick(inverters=(make_inverter(), replace(silent, serial="116180400002"))))
    house.now_s = 112.0
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Waiting")
    await expect(page.locator("#grid-now")).to_have_class(re.compile("stale"))
    await expect(page.locator(".inverter").nth(0)).not_to_have_class(re.compile("stale"))
    await expect(page.locator(".inverter").nth(1)).to_have_class(re.compile("stale"))
    assert "not turned" in await text(page, ".fault")
    assert await text(page, "#mode") == "Stalled"


@pytest.mark.parametrize("locale", ["en-AU", "de-DE"])
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_nothing_has_to_be_scrolled_sideways(house: House, visit: Visit, width: int, locale: str) -> None:
    long = make_inverter(name="A" * 60, serial="1" * 60)
    house.hub.publish(make_tick(-12345.6, inverters=(make_inverter(), long), faults=(METER_FAULT,), excursions=ACCOUNT))
    page = await visit(house.url, width=width, locale=locale)
    await expect(page.locator(".inverter")).to_have_count(2)
    assert await text(page, ".big") in ("12.3kW", "12,3kW")
    await expect(page.locator(".entries li").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_chart_shows_the_past_and_goes_on(house: House, visit: Visit) -> None:
    house.stored = {"utc_s": [UTC_S - 60 * i for i in range(60, 0, -1)], "grid_w": [100.0 + i for i in range(60)]}
    page = await visit(house.url)
    await expect(page.locator(".plot canvas")).to_be_visible()
    await page.locator("#plot").scroll_into_view_if_needed()
    await page.locator("#plot").focus()
    async with asyncio.timeout(30):
        while not await text(page, ".legend .at"):
            await page.keyboard.press("ArrowLeft")
    assert re.search(r"Grid\s*1[56]\d W", await text(page, "#legend"))
    house.hub.publish(make_tick(-77.0, utc_s=UTC_S + 5))
    await page.get_by_label("Target at the grid").focus()
    await expect(page.locator("#legend")).to_contain_text("−77 W")
    await page.locator("#plot").scroll_into_view_if_needed()
    box = await page.locator(".u-over").bounding_box()
    assert box is not None
    await page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 50)
    await expect(page.locator("#legend")).to_contain_text("13")  # half an hour ago
    await page.get_by_role("button", name="Grid").click()
    await expect(page.get_by_role("button", name="Grid")).to_have_attribute("aria-pressed", "false")
    async with page.expect_response("**/api/history?seconds=21600"):
        await page.get_by_role("button", name="6 h").click()
    assert await text(page, "#chart-title") == "Last 6 hours"


async def test_the_token_is_asked_for_once_and_kept(build: Build, visit: Visit) -> None:
    house = await build(token="sunshine")
    house.hub.publish(make_tick())
    page = await visit(house.url, excuse="401 (Unauthorized)")
    switch = page.get_by_role("switch", name="Zero export")
    await switch.click()
    for token in ("rain", "sunshine"):
        await page.get_by_label("Token", exact=True).fill(token)
        await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#message")).to_have_text("Zero export is paused.")
    assert not house.enabled
    await page.reload()
    await switch.click()
    await expect(page.locator("#message")).to_have_text("Zero export is on.")
    assert house.enabled


async def test_refusing_to_give_the_token_changes_nothing(build: Build, visit: Visit) -> None:
    house = await build(token="sunshine")
    house.hub.publish(make_tick())
    page = await visit(house.url, excuse="401 (Unauthorized)")
    switch = page.get_by_role("switch", name="Zero export")
    await switch.click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#message")).to_contain_text("Nothing has changed")
    await expect(switch).to_have_attribute("aria-checked", "true")
    assert house.enabled


class TestReadToken:
    """Where looking needs a token, too."""

    async def visit(self, build: Build, visit: Visit) -> tuple[House, Page]:
        house = await build(token="sunshine", read_token="moonlight")
        house.hub.publish(make_tick())
        return house, await visit(house.url, excuse="Failed to load resource")

    async def give(self, page: Page, token: str) -> None:
        await page.get_by_label("Token", exact=True).fill(token)
        await page.get_by_role("button", name="Continue").click()

    async def test_nothing_is_shown_before_it_and_everything_after(self, build: Build, visit: Visit) -> None:
        house, page = await self.visit(build, visit)
        house.stored = {"utc_s": [UTC_S - 60 * i for i in range(60, 0, -1)], "grid_w": [100.0] * 60}
        await expect(page.locator("#token-text")).to_contain_text("Looking needs the token")
        assert await text(page, "#grid") == "–"
        await self.give(page, "rain-rain")
        await expect(page.locator("#token-text")).to_contain_text("That was not the token")
        await self.give(page, "moonlight")
        await expect(page.locator("#grid")).to_have_text("15")
        await expect(page.locator("#chart-note")).to_be_hidden()
        house.hub.publish(make_tick(20.0, utc_s=UTC_S + 1))
        await expect(page.locator("#grid")).to_have_text("20")
        assert not await page.locator("#banner").is_visible()
        await page.reload()
        await expect(page.locator("#grid")).to_have_text("20")

    async def test_a_change_asks_for_the_other_one(self, build: Build, visit: Visit) -> None:
        house, page = await self.visit(build, visit)
        await self.give(page, "moonlight")
        switch = page.get_by_role("switch", name="Zero export")
        await switch.click()
        await expect(page.locator("#token-text")).to_contain_text("Changes need the token")
        assert house.enabled
        await self.give(page, "sunshine")
        await expect(page.locator("#message")).to_have_text("Zero export is paused.")
        assert not house.enabled
        await page.reload()
        await expect(page.locator("#live-text")).to_have_text("Live")

    async def test_without_it_the_page_says_so_and_asks_no_more(self, build: Build, visit: Visit) -> None:
        house, page = await self.visit(build, visit)
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#banner")).to_contain_text("Nothing is shown without the token", timeout=30_000)
        assert await text(page, "#live-text") == "Offline"
        assert house.server.readers == 0

    async def test_whoever_guesses_is_told_to_wait(self, build: Build, visit: Visit) -> None:
        _house, page = await self.visit(build, visit)
        for number in range(6):
            await self.give(page, f"guess-number-{number}")
        await expect(page.locator("#banner")).to_contain_text("5 wrong tokens came from this address", timeout=30_000)

    async def test_the_page_that_asks_takes_the_token_that_may_change(self, build: Build, visit: Visit) -> None:
        house = await build(token="sunshine", read_token="moonlight")
        page = await visit(house.url + "/api/toggle", excuse="Failed to load resource")
        assert "now" not in await text(page, "main .muted")
        button = page.get_by_role("button", name="Switch over")
        await button.click()
        for token in ("moonlight", "sunshine"):
            await page.get_by_label("Token").fill(token)
            await button.click()
        await page.wait_for_url(house.url + "/")
        assert not house.enabled


class TestLinks:
    """Clicks that come from another page, as Grafana's do."""

    @pytest.fixture
    async def foreign(self, house: House, browser: Browser) -> Page:
        """A page of another origin."""
        page = await browser.new_page()
        await page.route(
            "http://grafana.test/**", lambda route: route.fulfill(body="<p>Grafana", content_type="text/html")
        )
        await page.route(
            "http://localhost:3000/**", lambda route: route.fulfill(body="<p>Dashboard", content_type="text/html")
        )
        await page.goto("http://grafana.test/d/x")
        return page

    async def click(self, page: Page, url: str) -> None:
        script = (
            "url => { const a = document.createElement('a'); a.href = url; a.text = 'x'; document.body.append(a); }"
        )
        await page.evaluate(script, url)
        await page.click("a")

    async def test_one_click_on_a_signed_link_switches_and_leads_back(self, house: House, foreign: Page) -> None:
        await self.click(foreign, house.link("off"))
        await foreign.wait_for_url("http://localhost:3000/d/zero-export")
        assert not house.enabled

    async def test_an_expired_link_asks_and_then_leads_back(self, house: House, foreign: Page) -> None:
        await self.click(foreign, house.link("off", lasts_s=-5.0))
        await expect(foreign.locator("main")).to_contain_text("has expired")
        assert house.enabled
        await foreign.get_by_role("button", name="Switch off").click()
        await foreign.wait_for_url("http://localhost:3000/d/zero-export")
        assert not house.enabled

    async def test_the_page_that_asks_works_without_scripts(self, house: House, browser: Browser) -> None:
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.route(
            "http://localhost:3000/**", lambda route: route.fulfill(body="<p>Dashboard", content_type="text/html")
        )
        await page.goto(house.link("off", lasts_s=-5.0))
        await page.get_by_role("button", name="Switch off").click()
        await page.wait_for_url("http://localhost:3000/d/zero-export")
        assert not house.enabled

    async def test_foreign_pages_get_nowhere(self, house: House, foreign: Page) -> None:
        await foreign.evaluate(
            """async url => {
                const image = new Image(); image.src = url + '/api/toggle';
                await fetch(url + '/api/toggle', {method: 'POST', mode: 'no-cors'}).catch(() => 0);
                await fetch(url + '/api/toggle', {mode: 'no-cors', credentials: 'include'}).catch(() => 0);
                await fetch(url + '/api/settings', {method: 'PUT', body: '{"enabled":false}',
                    headers: {'Content-Type': 'application/json'}}).catch(() => 0);
                navigator.sendBeacon(url + '/api/toggle?state=off');
                const frame = document.createElement('iframe');
                frame.src = url + '/api/toggle';
                document.body.append(frame);
                const form = document.createElement('form');
                form.method = 'post';
                form.action = url + '/api/toggle?state=off';
                document.body.append(form);
                setTimeout(() => form.submit(), 50);
            }""",
            house.url,
        )
        await foreign.wait_for_url(house.url + "/**")
        assert house.enabled

    async def test_the_token_is_asked_for_here_too(self, build: Build, visit: Visit) -> None:
        house = await build(token="sunshine")
        page = await visit(house.url + "/api/toggle", excuse="401 (Unauthorized)")
        button = page.get_by_role("button", name="Switch off")
        await button.click()
        await page.get_by_label("Token").fill("sunshine")
        await button.click()
        await page.wait_for_url(house.url + "/")
        assert not house.enabled
