"""The whole controller as Home Assistant finds it."""

from __future__ import annotations

import pytest

from tests.api.fake_home import fake_home
from tests.e2e.conftest import Installation, until

pytestmark = pytest.mark.e2e

MODE, SWITCH = "sensor.zero_export_home_mode", "switch.zero_export_home_enabled"
PRICE = {"type": "fixed", "currency": "EUR", "export_value_c": -1, "import_price_c": 31}


async def test_it_is_found_steered_and_taken_back(installation: Installation) -> None:
    installation.configure(homeassistant=None, price=PRICE)
    await installation.app.start()
    async with fake_home("127.0.0.1", installation.mosquitto.port) as home:
        await until(lambda: home.state(MODE) == "limit" and home.state(SWITCH) == "on", 60.0)
        await until(lambda: home.state("sensor.zero_export_home_import_price") == "0.31", 30.0)
        serials = [one.serial for one in installation.house.config.inverters]
        powers = [f"sensor.zero_export_home_{serial}_power" for serial in serials]
        unknown = ("", "unknown", "unavailable")
        await until(lambda: not any(home.state(power) in unknown for power in powers), 30.0)

        await home.command(SWITCH, "off")
        await until(lambda: home.state(SWITCH) == "off" and home.state(MODE) == "paused", 30.0)
        assert (await installation.app.status())["enabled"] == "off"

        assert await installation.app.stop() == 0
        await until(lambda: home.state(MODE) == "unavailable", 30.0)
        installation.configure()
        await installation.app.start()
        await until(lambda: not home.messages, 60.0, "the discovery messages taken back")
        assert await installation.app.stop() == 0
