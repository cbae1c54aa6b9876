"""A slow inverter on the page: its rule, the one that it is to get, and why that waits."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from app.model import Ac, InverterState, Rule, RuleState, Ruling

from .conftest import House, Visit
from .ticks import make_tick

pytestmark = pytest.mark.e2e

WORDS = {
    "en-AU": ("export up to 0 W", "to become: normal export", "it shows: normal export", "its power does not follow"),
    "de-DE": ("Einspeisung bis 0 W", "wird zu: normale Einspeisung", "es zeigt: normale", "die Leistung folgt nicht"),
}


@pytest.mark.parametrize("locale", WORDS)
async def test_rules_and_why_they_wait_are_shown(house: House, visit: Visit, locale: str) -> None:
    rule = RuleState(300.0, 600.0, accepted=Rule(0.0), accepted_at_s=40.0, shown=Rule(), shown_at_s=90.0)
    slow = InverterState(
        "122", "Roof", 8200.0, 0.0, reachable=True, ac=Ac(power_w=3000.0), power_at_s=99.0, guardable=False, rule=rule
    )
    ruling = Ruling("122", Rule(), obeyed=False, waiting="240 s more, since it was switched only 60 s ago")
    house.hub.publish(make_tick(inverters=(slow,), rulings=(ruling,)))
    page = await visit(house.url, width=900, locale=locale)
    card = page.locator(".inverter")
    for words in (*WORDS[locale], "240 s more, since it was switched only 60 s ago"):
        await expect(card).to_contain_text(words)
    assert await card.locator(".figures > div:visible").count() == 3, "no figures that it cannot have"
