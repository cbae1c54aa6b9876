"""The main job through the public surfaces: real process, real broker, real protocols."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.simulator.shelly_bodies import Fault
from tests.conftest import Mosquitto, until
from tests.e2e.conftest import Installation, held, installation_of

pytestmark = pytest.mark.e2e

OF_OTHER_MAKES = {"rule_export_w", "rule_shown_w", "writes_today"}


async def test_a_safe_command_within_5_s_and_regulating_within_15_s(tmp_path: Path, mosquitto: Mosquitto) -> None:
    async with installation_of(tmp_path, mosquitto, interval_s=5.0) as place:
        await starts_in_time(place)


async def starts_in_time(place: Installation) -> None:
    await asyncio.sleep(6)  # OpenDTU has been up for a while, as in a house
    await place.app.start()
    await until(lambda: len(place.commands()) > 0, 5.0, "a first command")
    await place.app.when(lambda s: s["mode"] == "limit", 10.0)
    await held(place)
    status = await place.app.status()
    assert status["enabled"] == "on"
    assert status["load_w"] == pytest.approx(600.0, abs=150.0)
    assert [inverter["reachable"] for inverter in status["inverters"]] == [True, True]


@pytest.mark.parametrize("kind", ["gen1-3em", "pro3em-mono", "proem50"])
async def test_other_shellys_and_one_inverter_regulate_too(tmp_path: Path, mosquitto: Mosquitto, kind: str) -> None:
    async with installation_of(tmp_path, mosquitto, inverters=1, kind=kind) as place:
        await place.app.start()
        await held(place)


def released(place: Installation, count: int) -> list[float]:
    """What was released since so many commands: one that regulates may have been under way."""
    return sorted(watts for _, watts in place.commands()[count:] if watts >= 800.0)


async def test_toggling_by_http_releases_once_and_resuming_regulates(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await held(place)
    count = len(place.commands())
    assert await place.app.ask("GET", "/api/toggle") == (200, {"enabled": "off"})
    await until(lambda: len(released(place, count)) >= 2, 6, "the release")
    assert released(place, count) == [800.0, 1500.0]
    await until(lambda: place.house.grid_w < -800.0, 20, "the sun is let through")
    count = len(place.commands())
    await asyncio.sleep(6)
    assert len(place.commands()) == count, "released once, and then left alone"
    history = (await place.app.ask("GET", "/api/history?seconds=60"))[1]
    assert history, "recording goes on while paused"
    assert await place.app.ask("GET", "/api/toggle?state=on") == (200, {"enabled": "on"})
    await until(lambda: len(place.commands()) > count, 3, "resuming commands at once")
    await held(place)


async def test_mqtt_commands_are_obeyed_once_and_their_topics_cleared(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await place.app.when(lambda s: s["mode"] == "limit")
    await place.publish("zeropower/set/enabled", "off", retain=True)
    await place.app.when(lambda s: s["enabled"] == "off", 5)
    await place.publish("zeropower/set/target_point_w", "120")
    await place.app.when(lambda s: s["target_point_w"] == 120.0, 5)
    for nonsense in ("maybe", "nan", "", "1e9"):
        await place.publish("zeropower/set/enabled", nonsense)
        await place.publish("zeropower/set/target_point_w", nonsense)
    await asyncio.sleep(0.5)
    status = await place.app.status()
    assert (status["enabled"], status["target_point_w"]) == ("off", 120.0)
    assert await place.retained("zeropower/set/enabled") is None
    assert await place.retained("zeropower/state/enabled") == "off"
    await place.app.ask("PUT", "/api/settings", json={"enabled": True})
    await place.keeps("zeropower/state/enabled", "on")
    assert await place.retained("zeropower/status") == "online"
    state = json.loads(await place.retained("zeropower/state") or "{}")
    assert state["target_point_w"] == 120.0
    assert float(await place.retained("zeropower/state/grid_power") or "nan") == pytest.approx(0.0, abs=3000.0)
    await place.app.stop()
    assert await place.retained("zeropower/status") == "offline"


async def test_a_killed_process_is_announced_by_its_will(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await place.app.when(lambda s: s["mode"] == "limit")
    assert await place.retained("zeropower/status") == "online"
    await place.app.stop(signal.SIGKILL)
    await place.keeps("zeropower/status", "offline")


async def test_settings_survive_a_restart_until_the_file_says_otherwise(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await place.app.when(lambda s: s.get("mode") is not None)
    await place.app.ask("PUT", "/api/settings", json={"enabled": False, "target_point_w": 77})
    assert await place.app.stop() == 0
    await place.app.start()
    status = await place.app.when(lambda s: s.get("mode") == "paused")
    assert (status["enabled"], status["target_point_w"]) == ("off", 77.0)
    await place.app.stop()
    place.configure(control={"target_point_w": 40})
    await place.app.start()
    status = await place.app.when(lambda s: s.get("mode") == "paused")
    assert status["target_point_w"] == 40.0


async def test_a_clean_stop_leaves_the_fail_safe_limit(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await held(place)
    count = len(place.commands())
    assert await place.app.stop() == 0
    assert dict(place.commands()[count:]) == {"114180400002": 24.0, "116180400001": 45.0}


async def test_a_clean_stop_while_paused_under_a_cap_leaves_the_fail_safe_limit_too(
    installation: Installation,
) -> None:
    place = installation
    place.configure(control={"export_limit_w": 200, "enabled": False})
    await place.app.start()
    await place.app.when(lambda status: status["mode"] == "paused" and (status["limit_w"] or 0.0) > 100.0)
    count = len(place.commands())
    assert await place.app.stop() == 0
    assert dict(place.commands()[count:]) == {"114180400002": 24.0, "116180400001": 45.0}


async def test_an_exit_limit_that_does_not_arrive_is_not_called_left_behind(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await place.app.when(lambda status: status["mode"] == "limit")
    await place.mosquitto.stop()
    assert await place.app.stop() == 0
    assert place.app.logged("could not be sent")
    assert not place.app.logged("left behind")


async def test_dry_run_computes_and_never_commands(installation: Installation) -> None:
    place = installation
    place.app.arguments = ("--dry-run",)
    place.configure(log={"file": str(place.folder / "log" / "zero-export.log")})
    await place.app.start()
    status = await place.app.when(lambda s: s["mode"] == "limit" and s["setpoint_w"] is not None)
    assert status["dry_run"] is True
    await asyncio.sleep(3)
    assert await place.app.stop() == 0
    assert place.commands() == []
    assert "mode limit: " in (place.folder / "log" / "zero-export.log").read_text()


async def test_the_meter_going_away_fails_safe_and_its_return_recovers(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await held(place)
    place.shelly.fault = Fault.HANG
    status = await place.app.when(lambda s: s["mode"] == "fail_safe", 8.0)
    assert status["grid_w"] is None
    assert any("does not answer within" in fault["text"] for fault in status["faults"])
    await until(lambda: max(watts for _, watts in place.commands()[-2:]) <= 45.0, 8, "the fail-safe limits")
    place.shelly.fault = None
    await place.app.when(lambda s: s["mode"] == "limit" and not s["faults"], 20)
    await held(place)


async def test_the_broker_going_away_stops_neither_metering_nor_recording(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await held(place)
    await place.mosquitto.stop()
    status = await place.app.when(lambda s: any(fault["key"] == "broker" for fault in s["faults"]), 10)
    assert status["meter"]["age_s"] < 2.5
    place.house.load_override_w = 300.0
    await place.app.when(lambda s: s["grid_w"] is not None and s["grid_w"] < -100.0)  # nothing can be commanded
    await place.mosquitto.start()
    await held(place)
    assert place.app.process is not None
    assert place.app.process.returncode is None
    assert not place.app.logged("Traceback")


async def test_everything_of_seed_data_is_recorded_in_sqlite(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await held(place)
    await asyncio.sleep(7)
    assert await place.app.stop() == 0
    with sqlite3.connect(place.folder / "data" / "telemetry.db") as database:
        database.row_factory = sqlite3.Row
        for table in ("grid", "inverter", "panel", "dtu", "control"):
            row = database.execute(f"SELECT * FROM {table} ORDER BY utc_ms DESC LIMIT 1").fetchone()
            assert row is not None, table
        for table in ("grid", "inverter", "panel"):
            rows = [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
            empty = {key for key in rows[0] if all(row[key] is None for row in rows)}
            assert empty <= OF_OTHER_MAKES, f"{table}: never recorded although reported"


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"mqtt": {"host": "127.0.0.1", "port": 9}}, "cannot reach the MQTT broker at 127.0.0.1:9"),
        ({"meter": {"type": "shelly", "host": "127.0.0.1:9"}}, "cannot reach http://127.0.0.1:9/shelly"),
    ],
)
async def test_what_cannot_be_reached_is_named_and_tried_again(
    installation: Installation, keys: dict[str, Any], sentence: str
) -> None:
    place = installation
    place.configure(**keys)
    await place.app.start()
    await until(lambda: place.app.logged(sentence), 12, sentence)
    assert len([line for line in place.app.log if sentence in line]) <= 2, "once, not for every try"
    assert place.app.process is not None
    assert place.app.process.returncode is None
    assert await place.app.stop() == 0
    assert not place.app.logged("Traceback")


async def test_a_busy_port_is_one_sentence_and_exit_1(installation: Installation) -> None:
    place = installation
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", place.app.port)
    async with server:
        await place.app.start()
        assert place.app.process is not None
        assert await asyncio.wait_for(place.app.process.wait(), 30) == 1
        await asyncio.sleep(0.1)
    assert [line for line in place.app.log if f"127.0.0.1:{place.app.port}" in line and "http.port" in line]
    assert not place.app.logged("Traceback")


async def test_events_stream_one_tick_each(installation: Installation) -> None:
    place = installation
    await place.app.start()
    await place.app.when(lambda s: s["mode"] == "limit")
    seen: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, session.get(place.app.url + "/api/events") as response:
        async for line in response.content:
            if line.startswith(b"data:"):
                seen.append(json.loads(line[5:]))
            if len(seen) >= 3:
                break
    assert all("grid_w" in tick for tick in seen)
    _, metrics = await place.app.ask("GET", "/metrics")
    assert "zero_export_grid_power_watts" in metrics
