"""The page and the database of the real process: a click reaches the inverters, and points reach a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.conftest import Mosquitto, Victoria, until
from tests.e2e.conftest import Installation, held, installation_of

pytestmark = pytest.mark.e2e


async def test_the_switch_on_the_page_releases_and_resumes(installation: Installation, browser: Browser) -> None:
    place = installation
    await place.app.start()
    await place.app.when(lambda s: s["mode"] == "limit")
    page = await browser.new_page(viewport={"width": 390, "height": 844})
    await page.goto(place.app.url)
    switch = page.get_by_role("switch")
    await expect(switch).to_be_checked()
    count = len(place.commands())
    await switch.click()
    await place.app.when(lambda s: s["enabled"] == "off", 5)
    await until(lambda: {watts for _, watts in place.commands()[count:]} >= {1500.0, 800.0}, 8, "the release")
    await switch.click()
    await place.app.when(lambda s: s["mode"] == "limit", 5)
    await held(place)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_the_page_shows_what_was_kept_and_hands_it_out(installation: Installation, browser: Browser) -> None:
    place = installation
    await place.app.start()
    await held(place)
    page = await browser.new_page(viewport={"width": 1180, "height": 900}, locale="en-AU")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
    await page.goto(place.app.url)
    await expect(page.locator("#journal")).to_contain_text("starting: waiting")
    await expect(page.locator("#energy")).to_contain_text(
        "Over time", timeout=90_000
    )  # an account is stored each minute
    async with page.expect_download() as download:
        await page.locator("#download").click()
    saved = Path(await (await download.value).path()).read_text(encoding="utf-8")
    assert saved.startswith("utc,site,grid_w")
    assert not complaints


async def test_points_of_several_inverters_reach_a_real_database(
    tmp_path: Path, mosquitto: Mosquitto, victoria: Victoria
) -> None:
    async with installation_of(tmp_path, mosquitto, inverters=4) as place:
        influx = {"url": f"http://127.0.0.1:{victoria.port}", "token": "t", "org": "solar", "bucket": "zero_export"}
        place.configure(influxdb=influx, site="barn")
        await place.app.start()
        await held(place)
        assert await place.app.stop() == 0
        names = ["grid_power_w", "inverter_ac_power_w", "inverter_limit_commanded_w", "control_load_w", "dtu_uptime_s"]
        found = await victoria.series("|".join(names))
        serials = {labels["serial"] for labels, *_ in found if labels["__name__"] == "inverter_ac_power_w"}
        assert serials == {one.serial for one in place.house.config.inverters}
        assert {labels["site"] for labels, *_ in found} == {"barn"}
        assert {labels["__name__"] for labels, *_ in found} == set(names)
        grid = next(values for labels, values, _ in found if labels["__name__"] == "grid_power_w")
        assert len(grid) > 10


async def test_a_database_that_is_away_disturbs_nothing(installation: Installation) -> None:
    place = installation
    place.configure(influxdb={"url": "http://127.0.0.1:9", "token": "sekret-token"})
    await place.app.start()
    await held(place)
    status = await place.app.when(lambda s: any("InfluxDB" in fault["text"] for fault in s["faults"]))
    assert status["mode"] == "limit"
    assert status["meter"]["age_s"] < 2.5
    assert await place.app.stop() == 0
    assert not place.app.logged("sekret-token")
    assert not place.app.logged("Traceback")
