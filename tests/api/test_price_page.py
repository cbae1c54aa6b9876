"""The price on the page, in a real browser: what it is, what it does, what it was worth, and deciding in its place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Page, expect

from app.model import Account, Gate, Ledger, Mode, Outlook, Override, PriceSlot, PriceState, Tick

from .conftest import Build, House, Visit
from .ticks import ACCOUNT, METER_FAULT, UTC_S, make_tick

pytestmark = pytest.mark.e2e

HALF_HOUR_S = 1800.0
NOW = PriceState(8.25, 30.0, estimated=False, valid_until_utc_s=UTC_S + 900.0, currency="AUD")
LEDGER = Ledger(
    currency="AUD",
    method="from the sun seen before and after",
    date="2025-06-15",
    since_utc_s=UTC_S - 40 * 86_400.0,
    today=Account(2310.0, 1240.0, 414.0, 30.0, 31.2, 10.4),
    total=Account(81_000.0, 34_200.0, 12_944.0, 7300.0, -812.0, -433.3),
)


def slots(values: list[float | None], *, length_s: float = HALF_HOUR_S, ahead: int = 4) -> tuple[PriceSlot, ...]:
    """One after the other; the last ``ahead`` of them begin after now."""
    start_s = UTC_S - 900.0 - (len(values) - ahead - 1) * length_s
    return tuple(
        PriceSlot(
            start_s + index * length_s,
            start_s + (index + 1) * length_s,
            value,
            None if value is None else value + 21.75,
            confirmed=index < len(values) - ahead,
        )
        for index, value in enumerate(values)
    )


def priced(values: list[float | None] | None = None, *, number: int = 0, **changes: Any) -> Tick:
    """A tick with prices around it, which so far have opened, closed and opened again."""
    known = slots(values if values is not None else [9.0, -4.0, 6.0, 8.25, 3.0, 1.0, -2.0, 4.0], **changes)
    modes = ((UTC_S - 7200.0, Mode.OPEN), (UTC_S - 4500.0, Mode.LIMIT), (UTC_S - 2700.0, Mode.OPEN))
    gate = Gate(Mode.OPEN, "export earns 8.2 c/kWh", UTC_S - 2700.0)
    tick = make_tick(-300.0, utc_s=UTC_S + number, price=NOW, mode=Mode.OPEN, gate=gate)
    return replace(tick, outlook=Outlook(known, modes), ledger=LEDGER)


async def shown(page: Page, selector: str) -> str:
    return (await page.locator(selector).inner_text()).strip()


EXPORT, IMPORT = (0xC2, 0x41, 0x0C), (0x25, 0x63, 0xC4)


async def painted(page: Page, color: tuple[int, int, int]) -> int:
    """How many pixels of the chart have about a colour: edges are blurred."""
    found: int = await page.locator("#price-plot canvas").evaluate(
        """(canvas, [red, green, blue]) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4) {
                const off = [data[i] - red, data[i + 1] - green, data[i + 2] - blue, data[i + 3] - 255];
                count += Math.max(...off.map(Math.abs)) < 70;
            }
            return count;
        }""",
        list(color),
    )
    return found


async def test_the_price_of_now_says_what_it_is_and_what_it_does(house: House, visit: Visit) -> None:
    house.hub.publish(priced())
    page = await visit(house.url)
    await expect(page.locator("#price")).to_have_text("8.3 c/kWh")
    assert await shown(page, "#price-label") == "Export earns"
    assert await shown(page, "#import-label") == "Import costs"
    assert await shown(page, "#import-price") == "30.0 c/kWh"
    assert re.fullmatch(r"Confirmed · until 03:21 pm", await shown(page, "#price-text"))
    assert await shown(page, "#gate") == "Export allowed"
    assert await shown(page, "#gate-reason") == "Export earns 8.2 c/kWh"
    assert re.fullmatch(r"Since 02:21 pm \(45 min\)", await shown(page, "#gate-since"))


async def test_an_estimate_a_cost_and_a_payment_are_said_in_words(house: House, visit: Visit) -> None:
    price = PriceState(-3.2, -1.5, estimated=True, fault="Amber does not answer.", currency="AUD")
    gate = Gate(Mode.SHUTDOWN, "export costs 3.2 c/kWh and import earns 1.5 c/kWh: shut down", UTC_S)
    house.hub.publish(make_tick(price=price, gate=gate))
    page = await visit(house.url)
    await expect(page.locator("#price")).to_have_text("3.2 c/kWh")
    assert await shown(page, "#price-label") == "Export costs"
    assert await shown(page, "#import-label") == "Import earns"
    assert await shown(page, "#import-price") == "1.5 c/kWh"
    assert await shown(page, "#price-text") == "An estimate: it may still change · Amber does not answer."
    assert await shown(page, "#gate") == "Shut down"


async def test_an_unknown_price_is_a_dash_and_no_number(house: House, visit: Visit) -> None:
    gate = Gate(Mode.LIMIT, "the price of export is unknown: holding the target", UTC_S)
    house.hub.publish(make_tick(price=PriceState(currency="EUR"), gate=gate))
    page = await visit(house.url)
    await expect(page.locator("#price")).to_have_text("–")
    assert await shown(page, "#price-text") == "The price of export is not known"
    assert not await page.locator("#import-box").is_visible()
    assert await shown(page, "#price-chart") == "No prices are known for these hours."


async def test_paused_the_price_has_no_say(house: House, visit: Visit) -> None:
    house.store.update(enabled=False, source="test")
    house.hub.publish(priced())
    page = await visit(house.url)
    await expect(page.locator("#gate-since")).to_contain_text("Zero export is paused: the price has no say now")


async def test_without_a_price_section_there_is_no_card(house: House, visit: Visit) -> None:
    asked: list[str] = []
    page = await visit(house.url)
    page.on("request", lambda request: asked.append(request.url))
    house.hub.publish(replace(make_tick(16.0, utc_s=UTC_S + 1), ledger=replace(LEDGER, currency="")))
    await expect(page.locator("#grid")).to_have_text("16")
    assert not await page.locator("#price-card").is_visible()
    assert not [url for url in asked if "prices" in url]


async def test_the_chart_tells_slot_by_slot_by_keyboard(house: House, visit: Visit) -> None:
    house.hub.publish(priced())
    page = await visit(house.url)
    plot = page.locator("#price-plot")
    await expect(plot.locator("canvas")).to_be_visible()
    await plot.focus()
    at = page.locator("#price-chart .at")
    await page.keyboard.press("ArrowRight")
    await expect(at).to_have_text("02:51 pm to 03:21 pm: export earns 8.3 c/kWh, import costs 30.0 c/kWh")
    await page.keyboard.press("ArrowRight")
    await expect(at).to_have_text(
        "03:21 pm to 03:51 pm: export earns 3.0 c/kWh, import costs 24.8 c/kWh, not confirmed"
    )
    for _ in range(3):
        await page.keyboard.press("ArrowLeft")
    await expect(at).to_have_text("01:51 pm to 02:21 pm: export costs 4.0 c/kWh, import costs 17.8 c/kWh")
    for _ in range(20):
        await page.keyboard.press("ArrowRight")
    await expect(at).to_contain_text("04:51 pm to 05:21 pm")
    await page.keyboard.press("Tab")
    assert await shown(page, "#price-next") == "From 04:21 pm export costs 2.0 c/kWh (not confirmed)."


async def test_the_band_below_shows_what_was_done_in_words_and_shapes(house: House, visit: Visit) -> None:
    house.hub.publish(priced())
    page = await visit(house.url, width=1280)
    parts = page.locator(".band .part")
    await expect(parts).to_have_count(3)
    assert [await parts.nth(index).inner_text() for index in range(3)] == ["Export", "Hold", "Export"]
    told = await page.locator(".band").get_attribute("aria-label")
    assert told == "What was done: Export from 01:21 pm, Hold from 01:51 pm, Export from 02:21 pm"
    band, last = await page.locator(".band").bounding_box(), await parts.nth(2).bounding_box()
    plot = await page.locator("#price-plot .u-over").bounding_box()
    assert band
    assert last
    assert plot
    assert (band["x"], band["width"]) == pytest.approx((plot["x"], plot["width"]), abs=1.5), "one scale of time"
    assert (last["x"] + last["width"] - band["x"]) / band["width"] == pytest.approx(105 / 240, abs=0.02), "up to now"


SHAPES: dict[str, list[float | None]] = {
    "nothing": [],
    "twelve": [float(value) for value in range(-6, 6)],
    "two hundred": [float(value % 23 - 5) for value in range(200)],
    "holes": [None, 5.0, None, None, -3.0, None, 2.0, None],
    "nothing but holes": [None] * 12,
    "a spike up and one down": [5.0, 6.0, 2000.0, 7.0, 4.0, -1000.0, 6.0, 5.0],
    "all zero": [0.0] * 8,
    "all very dear": [2000.0] * 8,
}


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("shape", SHAPES)
async def test_any_prices_can_be_shown_at_any_width(house: House, visit: Visit, shape: str, width: int) -> None:
    house.hub.publish(priced(SHAPES[shape]))
    page = await visit(house.url, width=width)
    if "nothing" in shape:
        await expect(page.locator("#price-chart")).to_have_text(re.compile("No prices are known"), use_inner_text=True)
    else:
        await expect(page.locator("#price-plot canvas")).to_be_visible()
        assert await painted(page, EXPORT) > 20
        assert await painted(page, IMPORT) > 20
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_a_spike_leaves_the_rest_readable(house: House, visit: Visit) -> None:
    house.hub.publish(priced([5.0, 9.0, 2000.0, 6.0, 5.0, 9.0, 6.0, 5.0]))
    page = await visit(house.url, width=1280)
    await expect(page.locator("#price-plot canvas")).to_be_visible()
    written = await page.evaluate(
        """() => new Promise(done => {
            const texts = [], write = CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
                texts.push(text);
                return write.call(this, text, ...place);
            };
            document.getElementById("price-card").style.width = "900px";
            setTimeout(() => done(texts), 300);
        })"""
    )
    assert "↑ 2,000" in written
    scale = [int(text) for text in written if re.fullmatch(r"\d+", text)]
    assert 20 <= max(scale) <= 40, scale


async def test_new_prices_are_fetched_when_the_price_changes_and_not_before(house: House, visit: Visit) -> None:
    asked: list[str] = []
    house.hub.publish(priced())
    page = await visit(house.url)
    await expect(page.locator("#price-next")).to_contain_text("04:21 pm")
    page.on("request", lambda request: asked.append(request.url))
    for second in range(1, 4):
        house.hub.publish(replace(priced(number=second), outlook=Outlook(slots([8.25] * 8))))
        await expect(page.locator("#gate-since")).to_be_visible()
    changed = priced([8.25] * 8, number=4)
    price = replace(NOW, export_value_c=8.5)
    house.hub.publish(replace(changed, snapshot=replace(changed.snapshot, price=price)))
    await expect(page.locator("#price-next")).to_have_text(
        "Export earns until 05:21 pm at least; more is not known yet."
    )
    again = len([url for url in asked if url.endswith("/api/events")])  # a new connection asks for everything
    assert len([url for url in asked if url.endswith("/api/prices")]) == 1 + again


class TestOverride:
    """Somebody decides instead of the price."""

    async def test_by_keyboard_alone(self, house: House, visit: Visit) -> None:
        house.hub.publish(priced())
        page = await visit(house.url)
        await expect(page.locator("#override-waiting")).to_have_text("The price decides.")
        await page.locator("#price-plot").focus()
        for _ in range(3):
            await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Export", exact=True)).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.type("30")
        await expect(page.get_by_label("For how long")).to_have_value("30")
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#override-message")).to_have_text("Holding the target until 03:36 pm.")
        assert house.store.current.override == Override(Mode.LIMIT, UTC_S + 1800.0)
        await expect(page.locator("#override-text")).to_contain_text("Holding the target until 03:36 pm, 30 min left")
        hold = page.get_by_role("button", name="Hold the target")
        await expect(hold).to_have_attribute("aria-pressed", "true")
        await expect(hold).to_be_focused()
        await page.get_by_role("button", name="Cancel").focus()
        await page.keyboard.press("Space")
        await expect(page.locator("#override-message")).to_have_text("The price decides.")
        assert house.store.current.override is None
        await expect(page.get_by_role("button", name="Automatic")).to_be_focused()
        assert not await page.locator("#override-running").is_visible()

    async def test_until_the_next_price(self, house: House, visit: Visit) -> None:
        house.hub.publish(priced())
        page = await visit(house.url)
        await page.get_by_label("For how long").select_option("until the next price")
        await page.get_by_role("button", name="Export", exact=True).click()
        await expect(page.locator("#override-message")).to_have_text("Export allowed until 03:21 pm.")
        assert house.store.current.override == Override(Mode.OPEN, UTC_S + 900.0)

    async def test_where_nobody_knows_the_next_price_it_is_not_offered(self, house: House, visit: Visit) -> None:
        house.hub.publish(priced())
        page = await visit(house.url)
        choice = page.get_by_label("For how long")
        await choice.select_option("until the next price")
        unknown = make_tick(utc_s=UTC_S + 1, price=replace(NOW, valid_until_utc_s=None))
        house.hub.publish(unknown)
        await expect(choice).to_have_value("60")
        assert await choice.locator("option:enabled").count() == 3

    async def test_one_that_runs_is_shown_with_its_end_and_in_the_band(self, house: House, visit: Visit) -> None:
        house.store.override(Override(Mode.OPEN, UTC_S + 5400.0), "test")
        gate = Gate(Mode.OPEN, "open by hand until 16:36 UTC", UTC_S - 60.0, by_hand=True)
        tick = priced()
        house.hub.publish(replace(tick, decision=replace(tick.decision, gate=gate)))
        page = await visit(house.url)
        await expect(page.locator("#override-text")).to_have_text("Export allowed until 04:36 pm, 90 min left")
        assert await shown(page, "#gate-reason") == "By hand until 04:36 pm"
        assert await shown(page, "#mode-text") == (
            "Somebody chose to export for a while: the inverters run up to the grid operator's cap."
        )
        await expect(page.locator(".band .part.hand")).to_have_count(1)
        told = await page.locator(".band").get_attribute("aria-label")
        assert told is not None
        assert told.endswith("Export by hand from 03:06 pm")

    async def test_its_end_shows_even_before_the_controller_says_so(self, house: House, visit: Visit) -> None:
        house.store.override(Override(Mode.OPEN, UTC_S + 5.0), "test")
        house.hub.publish(priced())
        page = await visit(house.url)
        await expect(page.locator("#override-running")).to_be_visible()
        await expect(page.locator("#override-running")).to_be_hidden(timeout=30_000)
        await expect(page.get_by_role("button", name="Automatic")).to_have_attribute("aria-pressed", "true")

    async def test_without_a_price_it_is_tucked_away_and_works(self, house: House, visit: Visit) -> None:
        page = await visit(house.url)
        await expect(page.locator("#live-text")).to_have_text("Live")
        assert not await page.locator("#override").is_visible()
        await page.get_by_text("Export for a while").click()
        assert not await page.get_by_role("button", name="Hold the target").is_visible()
        assert await page.get_by_label("For how long").locator("option:enabled").count() == 3
        await page.get_by_role("button", name="Export", exact=True).click()
        await expect(page.locator("#override-message")).to_have_text("Export allowed until 04:06 pm.")
        assert house.store.current.override == Override(Mode.OPEN, UTC_S + 3600.0)
        await page.get_by_role("button", name="Automatic").click()
        await expect(page.locator("#override-message")).to_have_text("The target is held, as always.")
        assert house.store.current.override is None

    async def test_one_that_runs_without_a_price_is_seen_at_once(self, house: House, visit: Visit) -> None:
        house.store.override(Override(Mode.OPEN, UTC_S + 1800.0), "test")
        house.hub.publish(make_tick(utc_s=UTC_S + 1))
        page = await visit(house.url)
        await expect(page.locator("#override-text")).to_be_visible()

    async def test_it_asks_for_the_token(self, build: Build, visit: Visit) -> None:
        house = await build(token="sunshine")
        house.hub.publish(priced())
        page = await visit(house.url, excuse="401 (Unauthorized)")
        await page.get_by_role("button", name="Export", exact=True).click()
        await page.get_by_label("Token", exact=True).fill("sunshine")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator("#override-message")).to_contain_text("Export allowed until")
        assert house.store.current.override is not None

    async def test_a_refusal_is_shown_in_its_own_words(self, house: House, visit: Visit) -> None:
        house.hub.publish(priced())
        page = await visit(house.url, excuse="400 (Bad Request)")
        await expect(page.locator("#override-waiting")).to_be_visible()
        await page.get_by_label("For how long").select_option("until the next price")
        house.utc_s = UTC_S + 5000.0  # the price that the page shows is over
        await page.get_by_role("button", name="Export", exact=True).click()
        await expect(page.locator("#override-message")).to_contain_text("nobody knows when the next price comes")
        assert house.store.current.override is None


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_nothing_has_to_be_scrolled_sideways(house: House, visit: Visit, width: int) -> None:
    house.store.override(Override(Mode.LIMIT, UTC_S + 50_000.0), "test")
    huge = Account(9_999_999.0, 9_999_999.0, 9_999_999.0, 999_999.0, -99_999_999.0, -99_999_999.0)
    tick = replace(priced(), outside=(METER_FAULT,), ledger=replace(LEDGER, total=huge, method="word " * 60))
    price = replace(NOW, export_value_c=-1999.9, import_price_c=2099.9, fault="F" * 120)
    gate = Gate(Mode.LIMIT, "R" * 120, UTC_S)
    decision = replace(tick.decision, gate=gate)
    snapshot = replace(tick.snapshot, price=price)
    house.hub.publish(replace(tick, snapshot=snapshot, decision=decision, excursions=ACCOUNT))
    page = await visit(house.url, width=width)
    await expect(page.locator("#price")).to_have_text("1,999.9 c/kWh")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    card = await page.locator("#price-card").evaluate("card => [card.scrollWidth, card.clientWidth]")
    assert card[0] <= card[1]
