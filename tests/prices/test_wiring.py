"""The whole installation with a price: from the configuration to the inverters, and what is said on the way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from app.config import ConfigError, load
from app.prices.amber import AmberConfig
from tests.conftest import Mosquitto
from tests.e2e.conftest import installation_of
from tests.prices.amber_server import SITE, TOKEN, FakeAmber, current, iso

BARE = """
meter: {type: shelly, host: 10.0.0.5}
inverters: [{serial: "116180400000", max_watt: 1500}]
"""
CONTRACT = 'price: {type: amber, token: "${AMBER_TOKEN}", site_id: "${AMBER_SITE_ID:-}"}\n'


def written(folder: Path, price: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(BARE + price)
    return path


def test_the_section_of_the_contract_is_accepted(tmp_path: Path) -> None:
    price = load(written(tmp_path, CONTRACT), {"AMBER_TOKEN": TOKEN}).price
    assert isinstance(price, AmberConfig)
    assert (price.token, price.site_id) == (TOKEN, "")
    assert (price.rules.export_threshold_c, price.rules.hysteresis_c) == (0.0, 0.5)
    price = load(written(tmp_path, CONTRACT), {"AMBER_TOKEN": TOKEN, "AMBER_SITE_ID": SITE}).price
    assert isinstance(price, AmberConfig)
    assert price.site_id == SITE
    assert load(written(tmp_path, ""), {}).price is None


@pytest.mark.parametrize(
    ("text", "environment", "problem"),
    [
        (CONTRACT, {}, "config.yaml:4: price.token: AMBER_TOKEN is not set"),
        (CONTRACT, {"AMBER_TOKEN": ""}, "config.yaml:4: price.token: is empty or no Amber token"),
        (CONTRACT, {"AMBER_TOKEN": "psk_se cret"}, "config.yaml:4: price.token: is empty or no Amber token"),
        ("price: {type: amber}\n", {}, "config.yaml:4: price.token: is missing"),
        (
            "price: {type: ambre, token: psk_secret}\n",
            {},
            "config.yaml:4: price: 'ambre' is no known type",
        ),
        ("price: {type: amber, token: psk_secret, side_id: A}\n", {}, "config.yaml:4: price.side_id: unknown key"),
        ("price: {type: amber, token: 12345678}\n", {}, "config.yaml:4: price.token: is empty or no Amber token"),
    ],
)
def test_its_mistakes_are_named_and_the_token_is_not(
    tmp_path: Path, text: str, environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text), environment)
    assert problem in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("psk_se", "12345678"))


@pytest.mark.e2e
async def test_paid_export_opens_a_running_installation(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Amber is slow at first: the target is held until the price is known."""
    begin_s = time.time() // 60.0 * 60.0
    async with FakeAmber() as amber, installation_of(tmp_path, mosquitto) as place:
        amber.document = current(begin_s=begin_s, endTime=iso(begin_s + 1800.0))
        answers = asyncio.Event()
        amber.script = [answers]
        place.configure(price={"type": "amber", "token": TOKEN, "base_url": amber.base_url})
        await place.app.start()
        shown = await place.app.when(lambda status: status["mode"] == "limit" and abs(place.house.grid_w) < 100.0)
        assert shown["price"]["export_value_c"] is None
        answers.set()
        shown = await place.app.when(lambda status: status["mode"] == "open" and place.house.grid_w < -500.0)
        assert shown["price"]["export_value_c"] == pytest.approx(10.67878, abs=0.001)
        assert (shown["price"]["estimated"], shown["price"]["fault"]) == (False, None)
        assert await place.app.stop() == 0
        assert not place.app.logged(TOKEN)
        assert not place.app.logged("Traceback")


@pytest.mark.e2e
async def test_a_refused_token_leaves_regulation_alone(tmp_path: Path, mosquitto: Mosquitto) -> None:
    async with FakeAmber() as amber, installation_of(tmp_path, mosquitto) as place:
        place.configure(price={"type": "amber", "token": "psk_wrong", "base_url": amber.base_url})
        await place.app.start()
        shown = await place.app.when(
            lambda s: s["mode"] == "limit" and s["price"]["fault"] and s["limit_w"] is not None
        )
        assert shown["price"]["export_value_c"] is None
        assert "refuses the login (HTTP 403)" in shown["price"]["fault"]
        assert len(amber.asked) == 1
        assert await place.app.stop() == 0
        assert not place.app.logged("psk_wrong")
