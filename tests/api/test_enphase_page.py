"""What an Enphase gateway tells, on the page: there only where one is configured."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.enphase.fake_envoy import make_envoy

from .conftest import House, Visit
from .ticks import UTC_S, make_tick

pytestmark = pytest.mark.e2e


async def rows(page: Page, name: str) -> list[list[str]]:
    """The texts of a table."""
    found: list[list[str]] = await page.locator(f"#enphase [aria-label='{name}'] tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    return found


async def test_a_house_without_one_has_no_card(house: House, visit: Visit) -> None:
    page = await visit(house.url)
    await expect(page.locator("#live-text")).to_have_text("Live")
    await expect(page.locator("#journal")).to_be_attached()
    assert not await page.locator("#enphase").is_visible()
    assert not await page.evaluate(
        "performance.getEntriesByType('resource').some(one => one.name.endsWith('enphase.js'))"
    )


async def test_the_card_shows_meters_inverters_devices_and_the_battery(house: House, visit: Visit) -> None:
    house.hub.publish(make_tick(envoy=make_envoy(98.0, UTC_S)))
    page = await visit(house.url, width=1280)
    card = page.locator("#enphase")
    await expect(card).to_be_visible()
    shown = await rows(page, "Meters of the Enphase gateway")
    assert [row[:2] for row in shown] == [
        ["Production", "783 W"], ["L1", "400 W"], ["L2", "380 W"], ["L3", "3 W"],
        ["Grid", "−36 W"], ["L1", "−112 W"], ["L2", "60 W"], ["L3", "16 W"],
        ["Consumption", "746 W"], ["L1", "288 W"], ["L2", "440 W"], ["L3", "19 W"],
    ]  # fmt: skip
    assert [row[5] for row in shown[::4]] == ["4.2 kWh", "–", "9 kWh"], "the gateway counts no days at the grid"
    assert [row[2] for row in shown[:2]] == ["", "231.0 V"], "a sum of voltages says nothing"
    await expect(card).to_contain_text("Battery: 62 % · charging with 751 W")
    await expect(card).to_contain_text("122012345678 · D8.3.5528")
    summary = card.locator("summary").first
    await expect(summary).to_contain_text("Micro-inverters: 3, 3 producing, last report 2 min ago")
    await summary.click()
    assert (await rows(page, "Micro-inverters"))[0] == ["122000000001", "50 W", "2 min ago", "yes", "yes", "all well"]
    await card.locator("summary").last.click()
    assert (await rows(page, "Relays and batteries"))[0] == [
        "122100000001",
        "Relay",
        "yes",
        "yes",
        "closed",
        "all well",
    ]
    assert (await rows(page, "Relays and batteries"))[1] == ["122300000001", "Battery", "yes", "yes", "–", "all well"]


async def test_what_the_gateway_does_not_tell_any_more_is_gone_and_said(house: House, visit: Visit) -> None:
    house.hub.publish(make_tick(envoy=make_envoy(98.0, UTC_S)))
    page = await visit(house.url)
    await expect(page.locator("#enphase tbody tr").first).to_be_attached()
    silent = make_envoy(98.0, UTC_S, meters=(), microinverters=None, devices=None, battery=None, notes=("It is away.",))
    house.hub.publish(make_tick(envoy=silent, utc_s=UTC_S + 1))
    await expect(page.locator("#enphase .notes")).to_have_text("It is away.")
    await expect(page.locator("#enphase tbody tr")).to_have_count(0)
    assert await page.locator("#enphase details:visible").count() == 0
    assert "Battery" not in await page.locator("#enphase").inner_text()


async def test_in_german(house: House, visit: Visit) -> None:
    house.hub.publish(make_tick(envoy=make_envoy(98.0, UTC_S)))
    page = await visit(house.url, locale="de-DE")
    await expect(page.locator("#enphase")).to_contain_text("Batterie: 62 % · lädt mit 751 W")
    assert (await rows(page, "Zähler des Enphase-Gateways"))[0][0] == "Erzeugung"
