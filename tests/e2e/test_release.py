"""`zero-export release` for what is no GoodWe: OpenDTU on a real broker, a slow inverter, and who stands in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from app.cli import main
from tests.e2e.conftest import Installation, held, until
from tests.enphase.cloud import FakeCloud
from tests.enphase.fake import SERIAL
from tests.enphase.fake_limits import NORMAL, ZERO, Limits
from tests.inverters.enphase.conftest import PROFILES

pytestmark = pytest.mark.e2e


async def release(config: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The command, in a thread beside the devices: exit code, and what it said."""
    capfd.readouterr()
    code = await asyncio.to_thread(main, ["release", "--config", str(config), *arguments])
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    return code, said


async def known(place: Installation) -> None:
    links = place.house.dtu.links.values()
    await until(lambda: all(link.rated_w is not None for link in links), 20.0, "OpenDTU to know its inverters")


async def test_inverters_behind_opendtu_are_opened_and_show_it(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    place = installation
    await known(place)
    code, said = await release(place.app.config, capfd, "--value", "40")
    assert code == 0, said
    assert {watts for _, watts in place.commands()} == {
        0.4 * one.rated_w for one in place.house.dtu.links.values() if one.rated_w is not None
    }
    code, said = await release(place.app.config, capfd)
    assert code == 0, said
    assert said.count("as it shows itself") == len(place.house.config.inverters)
    assert all(one.limit_pct == 100.0 for one in place.house.dtu.links.values())


async def test_a_controller_that_regulates_is_in_the_way_and_a_paused_one_is_not(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    place = installation
    await place.app.start()
    await held(place)
    code, said = await release(place.app.config, capfd)
    assert (code, "would take it back" in said) == (1, True), said
    await place.app.ask("GET", "/api/toggle?state=off")
    await place.app.when(lambda status: status["mode"] == "paused")
    code, said = await release(place.app.config, capfd)
    assert code == 0, said


async def test_a_controller_that_only_the_broker_knows_is_in_the_way(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    place = installation
    await known(place)
    await place.publish("zeropower/status", "online", retain=True)
    code, said = await release(place.app.config, capfd)
    assert (code, place.commands()) == (1, [])
    assert "a controller is connected to the broker and would take it back" in said
    code, said = await release(place.app.config, capfd, "--force")
    assert code == 0, said
    assert place.commands() != []


async def test_a_broker_that_is_gone_and_inverters_that_are_disabled_are_told(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    place = installation
    place.configure(mqtt={"host": "127.0.0.1", "port": 9})
    code, said = await release(place.app.config, capfd)
    assert code == 1
    assert "not released" in said
    place.configure(inverters=[{"serial": "116180400001", "max_watt": 1500, "enabled": False}])
    code, said = await release(place.app.config, capfd)
    assert (code, "every inverter is disabled" in said) == (1, True)


async def test_a_slow_inverter_is_given_its_normal_rule(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    limits = Limits()
    async with (
        FakeCloud(portal_role="installer", lifetime_s=12 * 3600.0).serve() as cloud,
        limits.behind("7").serve() as gateway,
    ):
        limits.selected = ZERO
        system = {
            "type": "enphase", "host": gateway.host, "serial": SERIAL, "max_watt": 8200, "control": "grid_profile",
            "normal_export_w": 5000, "interval_s": 5, **PROFILES, **cloud.keys,
        }  # fmt: skip
        config = tmp_path / "config.yaml"
        price = {"type": "fixed", "currency": "EUR", "export_value_c": -1.0}
        config.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "inverters": [system], "price": price}))
        code, said = await release(config, capfd)
        assert (code, limits.selected) == (0, NORMAL), said
        code, said = await release(config, capfd, "--value", "50")
        assert (code, limits.selected) == (1, NORMAL), said
        assert "cannot be opened to 50 %" in said
