"""GoodWe, AlphaESS's cloud as meter and battery, and Amber's prices: one configuration, the real process, no broker."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.checks import running
from tests.conftest import free_port, until
from tests.e2e.conftest import App
from tests.inverters.fake_goodwe import Inverter, dongle
from tests.meters.fakes.alphaess import SECRET, FakeCloud
from tests.prices.amber_server import TOKEN, FakeAmber, current

pytestmark = pytest.mark.e2e
STEP_W, LOAD_W = 50.0, 1500.0


def priced(feed_in_c: float) -> Any:
    """The prices of now, as Amber tells them: positive costs whoever feeds in."""
    return current(feed_in_c, begin_s=time.time() // 300.0 * 300.0)


async def test_it_regulates_and_goes_to_the_lowest_limit_at_once_when_the_cloud_dies(tmp_path: Path) -> None:
    app, cloud = App(tmp_path / "config.yaml", free_port()), FakeCloud()
    roof, house = Inverter(sun_w=4000.0, delay_s=0.8), cloud.system

    async def live() -> None:
        """A full battery does nothing; the cloud sees the load, and not the GoodWe."""
        while True:
            house.soc, house.battery_w = 100.0, 0.0
            house.unseen_w, house.grid_w = roof.power_w, round(LOAD_W - roof.power_w, 1)
            await asyncio.sleep(0.1)

    async with cloud.serve(), dongle(roof) as place, FakeAmber(document=priced(5.0)) as amber, running(live()):
        document = {
            "data_dir": str(tmp_path / "data"),
            "log": {"level": "DEBUG"},
            "meter": {"type": "alphaess", "interval_s": 10, "sign": "import_positive", **cloud.login},
            "battery": {"type": "alphaess", "interval_s": 10, **cloud.login},
            "price": {"type": "amber", "token": TOKEN, "base_url": amber.base_url},
            "inverters": [{"type": "goodwe", "name": "roof", "host": place.host, "max_watt": 5000, "interval_s": 1}],
            "control": {"stale_fail_safe_s": 30},
            "http": {"host": "127.0.0.1", "port": app.port},
        }
        app.config.write_text(yaml.safe_dump(document))
        await app.start()
        try:
            seen = await app.when(lambda s: s["mode"] == "limit" and s["battery"]["soc_pct"] == 100.0, 30.0)
            assert seen["price"]["export_value_c"] == -5.0
            await until(lambda: 0.0 <= house.grid_w <= 65.0 + 2 * STEP_W, 60.0, "the grid power at the target")
            asked, begun_s, before = cloud.count("getLastPowerData"), time.monotonic(), len(roof.writes)
            await until(lambda: cloud.count("getLastPowerData") >= asked + 2, 40.0)
            assert time.monotonic() - begun_s > 9.0, "asked once for both, and no sooner than it may be"
            assert len(roof.writes) - before <= 1, "a calm house costs no writes"
            died_s = time.monotonic()
            await cloud.stop()
            await app.when(lambda s: s["mode"] == "fail_safe", 60.0)
            await until(lambda: roof.limit_w == STEP_W, 10.0, "the lowest limit")
            print(f"\nlowest after {time.monotonic() - died_s:.1f} s, {len(roof.writes)} writes: {roof.writes}")
            assert roof.writes[-2][1][0] >= 20, "in one write"
            assert len(roof.writes) <= 8, "no write is spent for nothing"
            assert all(now != last for last, now in pairwise(roof.writes)), "nothing is written twice"
        finally:
            await app.stop()
        assert not [line for line in app.log if SECRET in line or TOKEN in line or "Traceback" in line]
