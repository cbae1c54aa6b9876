"""From ticks on the hub to what is stored, over restarts and faults."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from app.config import Config
from app.hub import Hub
from app.model import Settings, Tick
from app.state import SettingsStore
from app.telemetry.recorder import Telemetry
from tests.conftest import free_port, until
from tests.telemetry.ticks import EAST, make_tick

START_S = time.time() // 60 * 60 - 600.0


class House:
    """A hub, settings, and telemetry that can be stopped and started again."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.config = Config.model_validate(
            {
                "data_dir": folder,
                "meter": {"type": "shelly", "host": "192.0.2.1"},
                "inverters": [{"serial": EAST, "max_watt": 1500}],
                **more,
            }
        )
        self.hub = Hub()
        self.store = SettingsStore(folder / "settings.json", Settings())
        self.path = folder / "telemetry.db"

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[Telemetry]:
        telemetry = Telemetry(self.config, self.hub, self.store, lambda s: f"http://app/{'off' if s.enabled else 'on'}")
        task = asyncio.create_task(telemetry.run())
        await until(lambda: telemetry._tasks, what="recording")
        try:
            yield telemetry
        finally:
            await telemetry.close()  # as the runtime does: while run is still under way
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def publish(self, ticks: Iterable[Tick]) -> None:
        for tick in ticks:
            self.hub.publish(tick)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def query(self, text: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(text).fetchall()


def ticks(first: int, end: int, **changes: Any) -> list[Tick]:
    return [make_tick(float(s), utc_s=START_S + s, **changes) for s in range(first, end)]


async def test_without_influxdb_all_is_in_sqlite(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with house.recording() as telemetry:
        await house.publish(ticks(0, 91, grid_w=120.0))
        assert telemetry.faults() == ()
    assert house.query("SELECT count(*) FROM control") == [(91,)]
    assert house.query("SELECT DISTINCT toggle_url FROM control WHERE toggle_url IS NOT NULL") == [("http://app/off",)]
    assert house.query("SELECT utc_ms, grid_s, import_wh FROM minute ORDER BY utc_ms") == [
        (round(START_S * 1000), pytest.approx(60.0), pytest.approx(2.0)),
        (round((START_S + 60) * 1000), pytest.approx(30.0), pytest.approx(1.0)),
    ]


async def test_a_restart_goes_on_with_its_minute_and_its_last_hour(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with house.recording():
        await house.publish(ticks(0, 91, grid_w=120.0))
    async with house.recording() as telemetry:
        await until(lambda: telemetry.history._steps)
        assert len((await telemetry.history.query(3600))["utc_s"]) == 2
        await house.publish(ticks(95, 126, grid_w=120.0))
        series = await telemetry.history.query(3600)
        assert series["utc_s"][0] == START_S
        assert series["grid_w"] == [120.0] * len(series["utc_s"])
        assert series["utc_s"] == sorted(set(series["utc_s"]))  # type: ignore[type-var]
    second = house.query(f"SELECT grid_s, import_wh FROM minute WHERE utc_ms = {round((START_S + 60) * 1000)}")
    assert second == [(pytest.approx(55.0), pytest.approx(120.0 * 55 / 3600))]


async def test_who_changed_the_settings_is_recorded(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with house.recording():
        await house.publish(ticks(0, 2))
        settings = house.store.update(enabled=False, source="grafana")
        await house.publish(ticks(2, 4, settings=settings))
    assert house.query("SELECT text FROM event WHERE kind = 'settings'") == [
        ("zero export off, target 15 W, by grafana",)
    ]
    urls = house.query("SELECT toggle_url FROM control WHERE toggle_url IS NOT NULL ORDER BY utc_ms")
    assert urls == [("http://app/off",), ("http://app/on",)]


async def test_stores_that_do_not_work_are_faults_and_the_page_still_has_its_hour(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").mkdir()  # cannot be opened as a file
    port = free_port()
    house = House(tmp_path, influxdb={"url": f"http://127.0.0.1:{port}", "token": "t"})
    async with house.recording() as telemetry:
        await house.publish(ticks(0, 60))
        await until(lambda: any(fault.key == "influxdb" for fault in telemetry.faults()))
        assert len((await telemetry.history.query(600))["utc_s"]) == 12
        assert {store.name: store.pending for store in telemetry.stores()}["influxdb"] > 100
        await until(lambda: {fault.key for fault in telemetry.faults()} == {"influxdb", "sqlite"})


async def test_publishing_a_tick_costs_control_next_to_nothing(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with house.recording():
        many = ticks(0, 500)
        started_s = time.perf_counter()
        for tick in many:
            house.hub.publish(tick)
        assert (time.perf_counter() - started_s) / len(many) < 0.02, "20 us are usual"


def test_influxdb_is_imported_only_where_it_is_used() -> None:
    code = "import app.telemetry.recorder, sys; print('influxdb_client' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
