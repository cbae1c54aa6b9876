"""What we publish as a grid meter must not be our own meter: refused where the configuration shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.config import Config, ConfigError, load

GX = {"type": "victron", "host": "192.168.1.20"}
BROKER = {"host": "192.168.1.20"}
OTHER = {"host": "192.168.1.9", "port": 1884}
TOPIC = {"type": "mqtt", "topic": "zero-export/venus/grid", "path": "$.grid.power"}


def configured(folder: Path, meter: object, venus: dict[str, Any] | None) -> Config:
    path = folder / "config.yaml"
    document = {"mqtt": OTHER, "meter": meter, "inverters": [{"serial": "116180400001", "max_watt": 1500}]}
    path.write_text(json.dumps(document | ({} if venus is None else {"venus": venus})))
    return load(path, {})


@pytest.mark.parametrize(
    ("meter", "venus", "text"),
    [
        (GX, {"mqtt": BROKER}, "publishes to 192.168.1.20, where the meter"),
        (GX, {"mqtt": {"host": "192.168.1.20:8884"}}, "publishes to 192.168.1.20:8884"),
        (GX | {"host": "Venus.local:1883"}, {"mqtt": {"host": "venus.local"}}, "meter.instance"),
        (GX | {"mqtt": OTHER}, {}, "show our own grid power back to us"),
        (
            {"type": "victron", "mqtt": {"host": "127.0.0.1"}},
            {"mqtt": {"host": "localhost"}},
            "set venus.grid to false",
        ),
        ([{"type": "shelly", "host": "192.168.1.3"}, GX], {"mqtt": BROKER}, "feed|show our own"),
        (GX | {"transport": "modbus"}, {"mqtt": BROKER}, "Modbus cannot tell them apart"),
        (GX | {"transport": "modbus"}, {}, "Modbus cannot tell them apart"),
        (TOPIC, {}, "which is what the meter reads"),
        (TOPIC | {"topic": "my/venus"}, {"topic": "my/venus"}, "which is what the meter reads"),
        (TOPIC | {"mqtt": BROKER}, {"mqtt": BROKER}, "which is what the meter reads"),
        (GX, {"interval_s": 0.5}, "venus.interval_s"),
        (GX, {"interval_s": 60}, "venus.interval_s"),
        (GX, {"topic": "zero-export/#"}, "is not an MQTT topic"),
    ],
)
def test_a_meter_that_may_be_our_own_message_is_a_mistake(
    tmp_path: Path, meter: object, venus: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        configured(tmp_path, meter, venus)


@pytest.mark.parametrize(
    ("meter", "venus"),
    [
        (GX, {}),  # the device says over MQTT which meter it shows
        (GX | {"instance": 40}, {"mqtt": BROKER}),
        (GX, {"mqtt": BROKER, "grid": False}),
        (GX | {"transport": "modbus"}, {"grid": False}),
        (GX | {"transport": "modbus"}, None),
        (TOPIC | {"mqtt": BROKER}, {}),
        (TOPIC | {"topic": "zero-export/venus2"}, {}),
        ({"type": "shelly", "host": "192.168.1.20"}, {"mqtt": BROKER}),
    ],
)
def test_what_can_be_told_apart_is_allowed(tmp_path: Path, meter: object, venus: dict[str, Any] | None) -> None:
    config = configured(tmp_path, meter, venus)
    assert config.publishes_grid == (venus is not None and venus.get("grid", True))


def test_a_section_with_nothing_below_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("meter: {type: shelly, host: a}\ninverters: [{serial: '116180400001', max_watt: 1}]\nvenus:\n")
    venus = load(path, {}).venus
    assert venus is not None
    assert (venus.topic, venus.interval_s, venus.grid, venus.mqtt) == ("zero-export/venus", 2.0, True, None)
