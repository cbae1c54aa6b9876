"""Deciding instead of the price: by HTTP, by MQTT, until an end, and never by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.api.override import from_text
from app.control.gate import LONGEST_OVERRIDE_S
from app.model import Mode, Outlook, Override, PriceSlot, PriceState, Settings
from app.state import SettingsStore
from tests.api.test_mqtt import retained, surface_at
from tests.conftest import Mosquitto, until

from .conftest import CHROME, Build, House
from .ticks import UTC_S, make_tick

PRICE = PriceState(4.0, 30.0, False, UTC_S + 240.0, currency="AUD")


@pytest.mark.parametrize(
    ("body", "override"),
    [
        ({"mode": "open", "minutes": 30}, Override(Mode.OPEN, UTC_S + 1800.0)),
        ({"mode": "limit", "minutes": 1.5}, Override(Mode.LIMIT, UTC_S + 90.0)),
        ({"mode": "open", "until": "next_price"}, Override(Mode.OPEN, UTC_S + 240.0)),
        ({"mode": "auto"}, None),
    ],
)
async def test_somebody_decides_for_a_while(house: House, body: dict[str, Any], override: Override | None) -> None:
    house.hub.publish(make_tick(price=PRICE))
    house.store.override(Override(Mode.LIMIT, UTC_S + 9.0), "before")
    for method in ("PUT", "POST"):
        response, answer = await house.ask(method, "/api/override", json=body)
        assert response.status == 200, answer
        assert house.store.current.override == override
    _, shown = await house.ask("GET", "/api/status")
    assert shown["override"] == answer["override"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "mode null"),
        ([], "that is no override"),
        ({"mode": "shutdown", "minutes": 5}, '"shutdown"'),
        ({"mode": "open"}, "need one end"),
        ({"mode": "auto", "minutes": 5}, "auto has none"),
        ({"mode": "open", "minutes": 0}, "minutes 0 is no number from 1 to 1440"),
        ({"mode": "open", "minutes": 1441}, "minutes 1441"),
        ({"mode": "open", "minutes": True}, "minutes true"),
        ({"mode": "open", "minutes": "30"}, 'minutes "30"'),
        ({"mode": "open", "minutes": 10**400}, "minutes 1000"),
        ({"mode": "open", "until": "tomorrow"}, '"tomorrow"'),
        ({"mode": "open", "until": "next_price", "minutes": 5}, "need one end"),
        ({"mode": "open", "minutes": 5, "why": "x"}, "that is no override"),
    ],
)
async def test_what_is_no_override_changes_nothing(house: House, body: Any, words: str) -> None:
    house.hub.publish(make_tick(price=PRICE))
    response, answer = await house.ask("PUT", "/api/override", json=body)
    assert (response.status, words in answer["error"]) == (400, True), answer
    assert house.store.current.override is None


@pytest.mark.parametrize(
    ("price", "words"),
    [
        (None, "no price section"),
        (PriceState(), "nobody knows when the next price comes"),
        (PriceState(4.0, valid_until_utc_s=UTC_S - 60.0), "nobody knows when"),
    ],
)
async def test_without_a_next_price_minutes_are_needed(house: House, price: PriceState | None, words: str) -> None:
    house.hub.publish(make_tick(price=price))
    response, answer = await house.ask("PUT", "/api/override", json={"mode": "open", "until": "next_price"})
    assert (response.status, words in answer["error"]) == (400, True)


async def test_the_rules_of_a_change_hold(build: Build) -> None:
    house = await build(token="a-long-enough-token")
    for headers, status in (({}, 401), (CHROME, 403), ({"Authorization": "Bearer a-long-enough-token"}, 200)):
        body = {"mode": "open", "minutes": 5}
        response, _ = await house.ask("PUT", "/api/override", headers=headers, json=body)
        assert response.status == status
        assert (house.store.current.override is not None) == (status == 200)
    response, _ = await house.ask("POST", "/api/override", data="mode=open", headers={"Content-Type": "text/plain"})
    assert response.status in (401, 415)


async def test_the_prices_around_now(house: House) -> None:
    slot = PriceSlot(UTC_S, UTC_S + 300.0, -2.0, None, confirmed=True)
    house.hub.publish(make_tick(price=PRICE, outlook=Outlook((slot,), ((UTC_S - 60.0, Mode.LIMIT),))))
    _, shown = await house.ask("GET", "/api/prices")
    assert shown == {
        "currency": "AUD",
        "slots": [
            {
                "start_utc": "2025-06-15T15:06:40.000Z",
                "end_utc": "2025-06-15T15:11:40.000Z",
                "export_value_c": -2.0,
                "import_price_c": None,
                "confirmed": True,
            }
        ],
        "modes": [{"since_utc": "2025-06-15T15:05:40.000Z", "mode": "limit"}],
    }


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("open 30", Override(Mode.OPEN, UTC_S + 1800.0)),
        ("LIMIT  5 ", Override(Mode.LIMIT, UTC_S + 300.0)),
        ("open next", Override(Mode.OPEN, UTC_S + 240.0)),
        ('{"mode": "limit", "until": "next_price"}', Override(Mode.LIMIT, UTC_S + 240.0)),
        ("auto", None),
    ],
)
def test_a_few_words_are_enough(text: str, override: Override | None) -> None:
    assert from_text(text, PRICE, UTC_S) == override


@pytest.mark.parametrize("text", ["", "open", "30", "open -5", "open 1_0", "open 99999999999", "{", "open ²", "on 5"])
def test_other_words_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"override|minutes|JSON"):
        from_text(text, PRICE, UTC_S)


@pytest.mark.e2e
async def test_by_mqtt_it_is_obeyed_once_and_cleared(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with surface_at(mosquitto, tmp_path) as one:
        one.hub.publish(make_tick())
        for topic_payload in ("open 30", "open next"):  # the second fails: there is no price, so no next one
            await one.broker.publish("zeropower/set/override", topic_payload, retain=True)
        await until(lambda: one.store.current.override is not None and one.surface.dropped == 1)
        found = one.store.current.override
        assert (found is not None and found.mode) is Mode.OPEN
        await one.broker.publish("zeropower/set/override", "auto")
        await until(lambda: one.store.current.override is None)
        assert "zeropower/set/override" not in await retained(mosquitto)


class TestItsEnd:
    """It ends by itself, also over a restart."""

    def test_it_ends(self, tmp_path: Path) -> None:
        store = SettingsStore(tmp_path / "settings.json", Settings())
        heard: list[str] = []
        store.on_change(lambda _settings, source: heard.append(source))
        store.override(Override(Mode.OPEN, UTC_S + 60.0), "page")
        assert store.expire(UTC_S + 59.9).override is not None
        again = SettingsStore(tmp_path / "settings.json", Settings())
        assert again.current.override == Override(Mode.OPEN, UTC_S + 60.0)
        assert store.expire(UTC_S + 60.0).override is None
        assert heard == ["page", "its end"]
        assert SettingsStore(tmp_path / "settings.json", Settings()).current.override is None

    def test_a_clock_that_was_set_back_does_not_prolong_it(self, tmp_path: Path) -> None:
        store = SettingsStore(tmp_path / "settings.json", Settings())
        store.override(Override(Mode.OPEN, UTC_S + 60.0), "page")
        assert store.expire(UTC_S + 60.0 - LONGEST_OVERRIDE_S - 1.0).override is None

    @pytest.mark.parametrize(
        "kept",
        [5, [], {"mode": "shutdown", "until_utc_s": 1.0}, {"mode": "open"}, {"mode": "open", "until_utc_s": "x"}],
    )
    def test_a_damaged_one_is_none(self, tmp_path: Path, kept: Any) -> None:
        path = tmp_path / "settings.json"
        content = {"settings": {"enabled": False, "target_point_w": 15.0, "override": kept}}
        path.write_text(json.dumps(content | {"configured": {"enabled": True, "target_point_w": 15.0}}))
        assert SettingsStore(path, Settings()).current == Settings(enabled=False)
