"""What doctor says of the sections `enphase` and `venus`: who is asked, and where others read what we tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.checks import Check
from app.config import Config
from app.doctor import examine
from tests.conftest import Mosquitto, free_port
from tests.enphase.fake_envoy import FakeEnvoy


async def asked(folder: Path, what: str, **sections: Any) -> list[Check]:
    document = {
        "data_dir": str(folder),
        "mqtt": {"host": f"127.0.0.1:{free_port()}"},
        "meter": {"type": "shelly", "host": "127.0.0.1"},
        "inverters": [{"serial": "116180400001", "max_watt": 1500}],
    }
    return await examine(Config.model_validate(document | sections), [what])


@pytest.mark.parametrize("what", ["enphase", "venus"])
async def test_a_section_that_is_not_there_is_told_with_its_page(tmp_path: Path, what: str) -> None:
    (check,) = await asked(tmp_path, what)
    assert (check.status, check.detail) == ("ok", f"there is no {what} section")
    assert f"docs/{what}.md" in check.next_step


async def test_the_brokers_of_those_who_listen_are_tried(tmp_path: Path, mosquitto: Mosquitto) -> None:
    there, away = {"host": "127.0.0.1", "port": mosquitto.port}, {"host": f"127.0.0.1:{free_port()}"}
    (good,) = await asked(tmp_path, "venus", venus={"mqtt": there})
    assert (good.name, good.status) == ("venus", "ok")
    assert "zero-export/venus is told there" in good.detail
    (bad,) = await asked(tmp_path, "venus", venus={"mqtt": away})
    assert (bad.status, bad.next_step) == ("fail", "Check venus.mqtt in config.yaml, and that this broker runs.")
    fake = FakeEnvoy("8")
    async with fake.gateway.serve():
        checks = await asked(tmp_path, "enphase", enphase=fake.login() | {"publish": {"mqtt": there}})
        assert [check.status for check in checks] == ["ok", "ok", "ok"]
        assert "firmware D8.3.5528" in checks[0].detail
        assert "lets us in as owner" in checks[1].detail
        assert fake.gateway.valid not in "".join(map(str, checks))
        *_, last = await asked(tmp_path, "enphase", enphase=fake.login() | {"publish": {}})
        assert (last.status, last.next_step) == ("fail", "Check mqtt in config.yaml, and that this broker runs.")
