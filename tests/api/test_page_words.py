"""The page in its languages: every text in one place, numbers and dates as people there write them."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from playwright.async_api import Browser, Page, Route, expect

from app.model import StoreState, Tick
from tests.enphase.fake_envoy import make_envoy

from .conftest import Build, House, Visit
from .test_price_page import priced
from .ticks import ACCOUNT, METER_FAULT, STORAGE, UTC_S, make_inverter, make_tick

pytestmark = pytest.mark.e2e

WEB = files("app.api") / "web"
SCRIPTS = {entry.name: entry.read_text() for entry in WEB.iterdir() if entry.name.endswith(".js")}
INDEX = (WEB / "index.html").read_text()
LANGUAGES = ("en", "de")
NO_STORAGE = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
)
UNITS = {
    "L1",
    "L2",
    "L3",
    "W",
    "kW",
    "Wh",
    "kWh",
    "V",
    "A",
    "Hz",
    "C",
    "dBm",
    "s",
    "min",
    "h",
    "c",
    "L",
    "am",
    "pm",
    "x",
}
DATES = {"Jun", "June", "May"} | {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}


def everything() -> Tick:
    """A tick with something in every part of the page."""
    inverters = (
        make_inverter(guarded=True, foreign="solar/1/cmd/power: 0", foreign_at_s=98.0, note="A note."),
        make_inverter("116180400002", "Shed", enabled=False, reachable=None),
        make_inverter("116180400003", "Barn", reachable=False, power_at_s=None),
    )
    stores = (StoreState("influxdb", 10, 120, 3, 2, 300.0, 10, 20), StoreState("sqlite", 50))
    tick = priced([9.0, -4.0, 6.0, 8.25, 3.0, 1.0, -2.0, 4.0])
    snapshot = replace(tick.snapshot, inverters=inverters)
    envoy = make_envoy(99.0, UTC_S, notes=("A document is missing.",))
    tick = replace(
        tick, snapshot=snapshot, envoy=envoy, stores=stores, excursions=ACCOUNT, outside=(METER_FAULT,), dry_run=True
    )
    return replace(tick, ensemble=STORAGE)


async def texts(page: Page, language: str) -> dict[str, str]:
    found: dict[str, str] = await page.evaluate(f"import('/web/lang/{language}.js').then(module => module.default)")
    return found


async def open_all(page: Page, *later: str) -> None:
    """Open everything that opens, and wait until what comes later is there."""
    for selector in (".bars .column", ".entries li", ".inverter", *later):
        await expect(page.locator(selector).first).to_be_attached()
    await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for selector in ("#summary tbody tr", ".inverter details td", ".energy-past td"):
        await expect(page.locator(selector).first).to_be_attached()


async def test_every_language_says_the_same(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    english, german = [await texts(page, language) for language in LANGUAGES]
    assert list(english) == list(german)
    for key, text in english.items():
        names = re.findall(r"\{\w+\}", text)
        assert sorted(names) == sorted(re.findall(r"\{\w+\}", german[key])), key
        assert german[key].strip(), key


async def test_every_text_is_used_and_every_used_one_is_there(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    known = set(await texts(page, "en"))
    sources = "\n".join([INDEX, (WEB / "confirm.html").read_text(), *SCRIPTS.values()])
    named = set(re.findall(r'\bt\(\s*"([^"]+)"', sources)) | set(
        re.findall(r'data-t(?:-label|-title)?="([^"$]+)"', sources)
    )
    assert not named - known
    built = (*re.findall(r"[`\"]([a-z_]+\.(?:[a-z_]+[._])?)\$[{a-z]", sources), "confirm.now.")
    assert not [key for key in known if f'"{key}"' not in sources and not key.startswith(built)]


class Literals(HTMLParser):
    """Texts that stand in a document itself, but for those for browsers without scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._quiet = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet = self._quiet or tag == "noscript"
        self.found += [value or "" for name, value in attrs if name in ("aria-label", "title", "placeholder", "alt")]

    def handle_endtag(self, tag: str) -> None:
        self._quiet = self._quiet and tag != "noscript"

    def handle_data(self, data: str) -> None:
        self.found += [] if self._quiet else [data.strip()]


def test_the_document_itself_has_no_text() -> None:
    literals = Literals()
    literals.feed(INDEX)
    assert {text for text in literals.found if re.search(r"[^\W\d_]", text)} == {"W"}, "the unit of power"


async def test_all_that_is_seen_or_heard_comes_from_the_texts(house: House, visit: Visit) -> None:
    """With every text in brackets, what is outside of them is a number, a unit, a date, or said by the controller."""

    async def bracketed(route: Route) -> None:
        marked = re.sub(r'": "(.*)",', r'": "⟦\1⟧",', (WEB / "lang" / "en.js").read_text())
        await route.fulfill(body=marked, content_type="text/javascript")

    house.hub.publish(everything())
    page = await visit("about:blank")
    await page.route("**/web/lang/en.js", bracketed)
    await page.goto(house.url)
    await open_all(page, "#enphase td")
    told: list[str] = await page.evaluate(
        """() => {
            const ours = (node) => !node.closest("[translate=no], [lang]:not(html), noscript, script");
            const found = [document.title];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) if (ours(walker.currentNode.parentElement)) found.push(walker.currentNode.data);
            for (const node of document.querySelectorAll("[aria-label], [title]")) {
                if (ours(node)) found.push(node.getAttribute("aria-label") ?? node.title);
            }
            return found;
        }"""
    )
    assert sum("⟦" in one for one in told) > 100
    for text in told:
        outside = text
        while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", outside)) != outside:
            outside = shorter
        words = set(re.findall(r"[^\W\d_]+", outside))
        assert words <= UNITS | DATES, text
        assert not re.search(r"undefined|null|NaN", text), text


async def test_german_browsers_get_german(house: House, visit: Visit) -> None:
    house.hub.publish(make_tick(-12_345.0, inverters=(make_inverter(),), excursions=ACCOUNT))
    page = await visit(house.url, locale="de-DE")
    await expect(page.locator("#grid-word")).to_have_text("Einspeisung")
    assert await page.locator("html").get_attribute("lang") == "de"
    assert await page.title() == "−12.345 W · Nulleinspeisung"
    card = await page.locator(".inverter").inner_text()
    assert "38,6 °C" in card
    assert "2,31 kWh" in card
    reason = page.locator("#reason")
    assert (await reason.get_attribute("lang"), await reason.inner_text()) == ("en", "Holding 15 W of import")
    await expect(page.locator("#excursion-text")).to_contain_text("14. Juni 2025")


async def test_the_chosen_language_stays(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    await page.get_by_role("button", name="Deutsch").click()
    await expect(page.locator("#grid-word")).to_have_text("Netzbezug")
    await page.reload()
    await expect(page.locator("#grid-word")).to_have_text("Netzbezug")
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("#grid-word")).to_have_text("Importing from the grid")


async def test_a_language_that_there_is_not_gets_the_next_one(house: House, visit: Visit) -> None:
    page = await visit(house.url, locale="fr-FR")
    await expect(page.locator("#grid-word")).to_have_text("Importing from the grid")
    await page.goto(house.url + "/?lang=de")
    await expect(page.locator("#grid-word")).to_have_text("Netzbezug")


async def test_without_storage_all_works_for_this_visit(build: Build, visit: Visit) -> None:
    house = await build(token="sunshine")
    house.hub.publish(make_tick())
    page = await visit(house.url, script=NO_STORAGE, excuse="401 (Unauthorized)")
    await page.get_by_role("button", name="Deutsch").click()
    await expect(page.locator("#grid-word")).to_have_text("Netzbezug")
    switch = page.get_by_role("switch", name="Nulleinspeisung")
    for word in ("pausiert", "eingeschaltet"):
        await switch.click()
        if word == "pausiert":
            await page.get_by_label("Token", exact=True).fill("sunshine")
            await page.get_by_role("button", name="Weiter").click()
        await expect(page.locator("#message")).to_contain_text(word)
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("#grid-word")).to_have_text("Importing from the grid")


class TestConfirm:
    """The page that asks before a change speaks English by itself: it works without scripts."""

    async def test_its_english_is_that_of_the_texts(self, house: House, browser: Browser, visit: Visit) -> None:
        english = await texts(await visit(house.url), "en")
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(house.url + "/api/toggle")
        marked = page.locator("[data-t]")
        assert await marked.count() == 5
        for index in range(5):
            node = marked.nth(index)
            assert await node.text_content() == english[await node.get_attribute("data-t") or ""]

    async def test_it_speaks_german_too(self, house: House, visit: Visit) -> None:
        page = await visit(house.url + "/api/toggle?state=off", locale="de-DE")
        await expect(page.get_by_role("heading")).to_have_text("Nulleinspeisung ausschalten?")
        await expect(page.locator("main")).to_contain_text("Sie ist jetzt eingeschaltet.")
        await page.get_by_role("button", name="Ausschalten").click()
        await page.wait_for_url(house.url + "/")
        assert not house.enabled
