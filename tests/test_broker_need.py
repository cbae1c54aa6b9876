"""Who makes the controller connect to its own broker: whoever speaks there, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.config import Config
from app.outbound import new_session
from app.runtime import System

SLOW = {
    "type": "enphase",
    "host": "10.0.0.9",
    "serial": "122012345678",
    "max_watt": 8200,
    "token": "abc",
    "control": "dpel",
}
OPENDTU = {"serial": "116180400000", "max_watt": 1500}


@pytest.mark.parametrize(
    ("sections", "connects"),
    [
        ({}, False),
        ({"venus": {}}, True),
        ({"venus": {"mqtt": {"host": "10.0.0.8"}}}, False),
        ({"mqtt": {"host": "10.0.0.8"}}, True),
        ({"homeassistant": {}}, True),
        ({"price": {"type": "mqtt", "topic": "price", "currency": "EUR"}}, True),
        ({"battery": {"type": "mqtt", "soc_topic": "soc", "power_topic": "power"}}, True),
        ({"enphase": {"host": "10.0.0.9", "token": "abc"}}, False),
        ({"enphase": {"host": "10.0.0.9", "token": "abc", "publish": {}}}, True),
        ({"inverters": [OPENDTU], "meter": {"type": "shelly", "host": "10.0.0.5"}}, True),
    ],
)
async def test_the_broker_is_asked_for_by_those_who_speak_there(
    tmp_path: Path, sections: dict[str, Any], connects: bool
) -> None:
    config = Config.model_validate({"data_dir": str(tmp_path), "inverters": [SLOW]} | sections)
    async with new_session() as session:
        assert ("mqtt" in System(config, session)._edges()) is connects
