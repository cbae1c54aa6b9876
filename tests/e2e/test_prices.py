"""The gate with everything real: prices over HTTP, the process, the broker, the devices, the page in a browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from app.simulator.parameters import SunConfig
from app.simulator.prices import FakePrices, entry
from app.simulator.shelly_bodies import Fault
from tests.e2e.conftest import Installation, held, until

pytestmark = pytest.mark.e2e
CAP_W = 800.0
FULL_SUN = 1.1  # an inverter that the sun holds back is waited for before another one is raised


def section(url: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "http_json", "url": url, "interval_s": 10, "currency": "EUR", "slots": "$.prices[*]",
        "start": "$.start", "end": "$.end", "export_value": "$.export_value_c", "import_price": "$.import_price_c",
        "estimated": "$.estimated",
    } | more  # fmt: skip


class Prices:
    """What the service says: the price of now, and those before it."""

    def __init__(self, service: FakePrices, *price: float) -> None:
        self._service, self._changes = service, list[tuple[float, float, float]]()
        self.change(*price)

    def change(self, export_c: float, import_c: float) -> None:
        """From now on, for an hour; it is asked for within 10 s."""
        self._changes.append((time.time() - 1.0, export_c, import_c))
        ends = [change[0] for change in self._changes[1:]] + [time.time() + 3600.0]
        self._service.script = [
            entry(start, end, *price) for (start, *price), end in zip(self._changes, ends, strict=True)
        ]


async def exporting(place: Installation, cap_w: float, timeout_s: float = 90.0) -> None:
    """Wait until the true grid power has been at the cap for some seconds."""
    since_s = [place.house.now_s]

    def long_enough() -> bool:
        if abs(place.house.grid_w + cap_w) >= 40.0:
            since_s[0] = place.house.now_s
        return place.house.now_s - since_s[0] > 4.0

    await until(long_enough, timeout_s, f"export at the cap; now {place.house.grid_w:.0f} W")


async def test_the_gate_opens_and_closes_and_the_grid_and_the_page_follow(
    installation: Installation, browser: Browser, tmp_path: Path
) -> None:
    place, status_file = installation, tmp_path / "status"
    place.house.sun_override = FULL_SUN
    async with FakePrices(SunConfig()) as prices:
        price = Prices(prices, -3.0, 20.0)
        hook = {"status_file": str(status_file), "command": ["/bin/sh", "-c", f"env > {tmp_path}/env"]}
        place.configure(control={"export_limit_w": CAP_W}, price=section(prices.url, on_change=hook))
        await place.app.start()
        page = await browser.new_page()
        await place.app.when(lambda seen: seen["mode"] == "limit" and seen["price"]["export_value_c"] == -3.0)
        await held(place)
        assert status_file.read_text().strip() == "zero"
        await page.goto(place.app.url)
        await expect(page.locator("#price-card")).to_be_visible()
        await expect(page.locator("#gate")).to_have_text("Holding the target")

        price.change(7.5, 30.0)
        seen = await place.app.when(lambda seen: seen["gate"]["mode"] == "open")
        assert (seen["price"]["export_value_c"], seen["price"]["currency"]) == (7.5, "EUR")
        await exporting(place, CAP_W)
        await expect(page.locator("#gate")).to_have_text("Export allowed")
        await expect(page.locator("#price")).to_contain_text("7.5")
        assert status_file.read_text().strip() == "normal"
        assert "ZERO_EXPORT_MODE=open" in (tmp_path / "env").read_text()

        price.change(-2.0, 15.0)
        await place.app.when(lambda seen: seen["gate"]["mode"] == "limit")
        await held(place)
        await expect(page.locator("#gate")).to_have_text("Holding the target")
        seen = await place.app.status()
        assert seen["ledger"]["today"]["export_wh"] > 0.5
        assert seen["faults"] == []
        _, around = await place.app.ask("GET", "/api/prices")
        assert [slot["export_value_c"] for slot in around["slots"]] == [-3.0, 7.5, -2.0]
        assert [change["mode"] for change in around["modes"]] == ["limit", "open", "limit"]
        await page.close()


async def test_people_decide_for_a_while_and_fail_safe_comes_first(installation: Installation) -> None:
    place = installation
    place.house.sun_override = FULL_SUN
    async with FakePrices(SunConfig()) as prices:
        Prices(prices, -3.0, 20.0)
        place.configure(control={"export_limit_w": CAP_W}, price=section(prices.url))
        await place.app.start()
        await held(place)
        code, answer = await place.app.ask("PUT", "/api/override", json={"mode": "open", "minutes": 5})
        assert (code, answer["override"]["mode"]) == (200, "open")
        await exporting(place, CAP_W)
        seen = await place.app.status()
        assert (seen["gate"]["by_hand"], seen["override"]["mode"]) == (True, "open")

        place.shelly.fault = Fault.HANG
        await place.app.when(lambda seen: seen["mode"] == "fail_safe", 30.0)
        await until(lambda: place.house.pv_w < 150.0, 30.0, "the inverters at their minima")
        place.shelly.fault = None
        await exporting(place, CAP_W)
        await place.publish("zeropower/set/override", "auto", retain=True)
        await place.app.when(lambda seen: seen["override"] is None and seen["gate"]["mode"] == "limit")
        await held(place)
        assert await place.retained("zeropower/set/override") is None


async def test_a_restart_without_the_service_is_no_gap(installation: Installation) -> None:
    place = installation
    async with FakePrices(SunConfig()) as prices:
        Prices(prices, 9.0, 30.0)
        place.configure(control={"export_limit_w": CAP_W}, price=section(prices.url))
        await place.app.start()
        await place.app.when(lambda seen: seen["mode"] == "open")
        assert await place.app.stop() == 0
    await place.app.start()
    seen = await place.app.when(lambda seen: seen["mode"] == "open")
    assert (seen["price"]["export_value_c"], seen["price"]["estimated"]) == (9.0, False)
    assert "cannot reach" in (await place.app.when(lambda seen: seen["price"]["fault"] is not None))["price"]["fault"]
