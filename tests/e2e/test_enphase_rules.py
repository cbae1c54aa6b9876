"""The main job of Zest with everything real: prices by HTTP, the process, an Enphase gateway; no MQTT broker at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.simulator.parameters import SunConfig
from app.simulator.prices import FakePrices
from tests.conftest import free_port, until
from tests.e2e.conftest import App
from tests.e2e.test_prices import Prices, section
from tests.enphase.cloud import FakeCloud
from tests.enphase.fake import SERIAL
from tests.enphase.fake_limits import NORMAL, ZERO, Limits
from tests.inverters.enphase.conftest import PROFILES

pytestmark = pytest.mark.e2e


async def test_profiles_are_switched_by_the_price_and_a_restart_knows_where_it_stood(tmp_path: Path) -> None:
    limits, status_file = Limits(), tmp_path / "status"
    app = App(tmp_path / "config.yaml", free_port())
    hook = {
        "status_file": str(status_file),
        "command": ["/bin/sh", "-c", f"echo $ZERO_EXPORT_STATUS >> {tmp_path}/said"],
    }
    async with (
        FakeCloud(portal_role="installer", lifetime_s=12 * 3600.0).serve() as cloud,
        limits.behind("7").serve() as gateway,
        FakePrices(SunConfig()) as service,
    ):
        price = Prices(service, -3.0, 20.0)
        system: dict[str, Any] = {
            "type": "enphase", "host": gateway.host, "serial": SERIAL, "max_watt": 8200, "control": "grid_profile",
            "normal_export_w": 5000, "interval_s": 5, **PROFILES, **cloud.keys,
        }  # fmt: skip
        document = {
            "data_dir": str(tmp_path / "data"),
            "inverters": [system],
            "price": section(service.url, on_change=hook),
            "http": {"host": "127.0.0.1", "port": app.port},
        }
        app.config.write_text(yaml.safe_dump(document))
        await app.start()
        try:
            await until(lambda: limits.selected == ZERO, 30.0)
            seen = await app.when(lambda seen: seen["inverters"][0]["rule"]["accepted"] is not None)
            assert (seen["mode"], limits.export_w) == ("limit", 0.0)
            await until(lambda: status_file.exists() and status_file.read_text() == "zero")
            price.change(7.5, 30.0)
            seen = await app.when(lambda seen: seen["gate"] is not None and seen["gate"]["mode"] == "open", 40.0)
            await until(lambda: status_file.read_text() == "normal")
            await until(lambda: (tmp_path / "said").read_text().split()[-1] == "normal")
            assert "more, since it was switched" in seen["inverters"][0]["rule"]["waiting"]
            assert (limits.selected, len(limits.writes)) == (ZERO, 1)  # it rests for five minutes after a switch
            assert await app.stop() == 0

            kept = tmp_path / "data" / f"enphase-{SERIAL}.json"
            past = json.loads(kept.read_text())
            kept.write_text(json.dumps(past | {"accepted_utc_s": past["accepted_utc_s"] - 3600.0}))  # an hour goes by
            await app.start()
            await until(lambda: limits.selected == NORMAL, 40.0)
            await app.when(
                lambda seen: seen["inverters"] and seen["inverters"][0]["rule"]["accepted"]["export_w"] is None
            )
            assert (len(limits.writes), limits.export_w) == (2, 3400.0)
            assert not app.logged("MQTT")
            assert not any(secret in line for line in app.log for secret in (cloud.password, *cloud.made))
        finally:
            await app.stop()
