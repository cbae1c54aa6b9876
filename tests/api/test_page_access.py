"""The page for everybody: screen readers, keyboards, weak eyes, slow lines, and lines that break."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Request, expect

from tests.conftest import until

from .archive import FakeArchive
from .conftest import House, Visit
from .test_page_words import everything, open_all
from .ticks import METER_FAULT, UTC_S, make_tick

pytestmark = pytest.mark.e2e

WIDTHS = {"phone": 390, "desktop": 1280}
MAX_BYTES = 150_000


async def complaints(page: Page) -> set[str]:
    """What axe holds to be serious or critical."""
    return {
        f"{one['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:300]}"
        for one in (await Axe().run(page)).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    }


@pytest.mark.parametrize("locale", ["en-AU", "de-DE"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
async def test_axe_finds_nothing_serious(house: House, visit: Visit, device: str, scheme: str, locale: str) -> None:
    house.hub.publish(everything())
    page = await visit(house.url, width=WIDTHS[device], color_scheme=scheme, locale=locale, reduced_motion="reduce")
    await open_all(page, "#enphase td")
    assert not await complaints(page)


async def test_live_regions_are_silent_while_only_values_change(house: House, visit: Visit) -> None:
    tick = replace(everything(), outside=(METER_FAULT,))
    house.hub.publish(tick)
    page = await visit(house.url)
    await open_all(page)
    await page.evaluate(
        """() => {
            window.told = [];
            const regions = document.querySelectorAll("[aria-live=polite], [role=status], [role=alert]");
            new MutationObserver((changes) => {
                for (const { target } of changes) {
                    const node = target.nodeType === 1 ? target : target.parentElement;
                    const region = node?.closest("[aria-live], [role=status], [role=alert]");
                    if (region && region.getAttribute("aria-live") !== "off") window.told.push(node.outerHTML);
                }
            }).observe(document.body, { subtree: true, childList: true, characterData: true });
            return regions.length;
        }"""
    )
    for second in range(1, 5):
        snapshot = replace(tick.snapshot, utc_s=UTC_S + second)
        decision = replace(tick.decision, grid_w=-300.0 - second)
        house.hub.publish(replace(tick, snapshot=snapshot, decision=decision))
        await expect(page.locator("#grid")).to_have_text(f"{300 + second}")
    assert await page.evaluate("window.told") == []


async def test_a_lost_line_is_said_once_and_its_age_is_only_shown(house: House, visit: Visit) -> None:
    page = await visit(house.url, excuse="ERR_")
    await expect(page.locator("#live-text")).to_have_text("Live")
    await house.server.stop()
    await expect(page.locator("#banner")).to_be_visible()
    await expect(page.locator("body")).to_have_class(re.compile("lost"))
    said = await page.locator("#banner [role=alert]").inner_text()
    age = await page.locator("#banner-age").inner_text()
    await expect(page.locator("#banner-age")).not_to_have_text(age)
    assert await page.locator("#banner [role=alert]").inner_text() == said
    colors = [await page.locator(one).evaluate("node => getComputedStyle(node).color") for one in (".big", "#reason")]
    assert colors[0] == colors[1], "what may be old is as pale as a remark"
    assert not await complaints(page)


async def test_a_new_connection_refreshes_everything(house: House, visit: Visit, archive: FakeArchive) -> None:
    archive.recent = True
    page = await visit(house.url, excuse="ERR_")
    await open_all(page)
    await page.get_by_role("button", name="Zoom in").click()
    await expect(page.get_by_role("button", name="Back to now")).to_be_visible()
    config = house.config.model_copy(update={"port": house.server.port})
    await house.server.stop()
    await expect(page.locator("#banner")).to_be_visible()
    archive.asked.clear()
    house.server._config = config
    await house.server.start()
    house.hub.publish(make_tick(99.0, utc_s=UTC_S + 60))
    await expect(page.locator("#grid")).to_have_text("99")
    await expect(page.locator("#banner")).to_be_hidden()
    for name in ("history?from", "energy?span=day", "journal?limit"):
        await until(lambda name=name: any(one.startswith(name) for one in archive.asked), 20.0, name)


async def test_everything_that_can_be_reached_by_keyboard_shows_that_it_is(house: House, visit: Visit) -> None:
    house.hub.publish(everything())
    page = await visit(house.url, width=1280)
    await open_all(page)
    await page.locator("#language").focus()
    seen: list[str] = []
    for _ in range(120):
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(
            """() => {
                const node = document.activeElement;
                return [
                    node.id || node.className || node.textContent || node.tagName, getComputedStyle(node).outlineStyle
                ];
            }"""
        )
        if name == "BODY" or (seen and "Zero export" in name):
            break
        seen.append(name)
        assert outline == "solid", name
    for wanted in ("switch", "target", "price-plot", "plot", "closer", "bars", "scroll", "Older"):
        assert wanted in seen, wanted


async def test_no_motion_where_none_is_wanted(house: House, visit: Visit) -> None:
    page = await visit(house.url, reduced_motion="reduce")
    await expect(page.locator("#flow-pv")).to_have_class(re.compile(r"\bon\b"))
    styles = await page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((node) => {
            const { animationName, transitionDuration } = getComputedStyle(node);
            return [animationName, transitionDuration];
        })"""
    )
    assert set(styles) == {"none", "0s"}


async def test_at_first_it_waits_in_words(house: House, visit: Visit) -> None:
    house.hub.latest = None
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Waiting")
    await expect(page.locator("#no-inverters")).to_have_text("No inverter is known yet.")
    await expect(page.locator("#mode")).to_have_text("Starting")


async def test_it_is_light(house: House, visit: Visit) -> None:
    """All of it, what comes later included, and the first look of it."""
    house.hub.publish(everything())
    page = await visit("about:blank")
    requests: list[Request] = []
    page.on("requestfinished", lambda request: requests.insert(0, request))
    await page.goto(house.url)
    await open_all(page)
    loaded = [request for request in requests if "/api/" not in request.url]
    weight = sum([(await request.sizes())["responseBodySize"] for request in loaded])
    assert len(loaded) > 20
    assert 40_000 < weight <= MAX_BYTES
    assert await page.evaluate(
        "performance.getEntriesByType('resource').every(one => one.name.startsWith(location.origin))"
    )
