"""The controller's own topics, at a real broker."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.api.mqtt import MqttSurface
from app.broker import Address, Broker
from app.checks import running
from app.hub import Hub
from app.model import Settings, Tick
from app.state import SettingsStore
from tests.api.ticks import make_tick
from tests.conftest import Mosquitto, until
from tests.test_broker import listening

pytestmark = pytest.mark.e2e


@dataclass
class Surface:
    """One controller, as far as MQTT sees it."""

    broker: Broker
    hub: Hub
    store: SettingsStore
    surface: MqttSurface
    changes: list[Settings] = field(default_factory=list)


@asynccontextmanager
async def surface_at(mosquitto: Mosquitto, folder: Path, name: str = "zero-export-home") -> AsyncIterator[Surface]:
    broker = Broker(Address(mosquitto.host, mosquitto.port), name, ("zeropower/status", "offline"))
    hub, store = Hub(), SettingsStore(folder / name / "settings.json", Settings())
    surface = MqttSurface(broker, "zeropower", hub, store, lambda tick: {"grid_w": tick.decision.grid_w})
    found = Surface(broker, hub, store, surface)
    store.on_change(lambda settings, _source: found.changes.append(settings))
    async with running(broker.run()), running(surface.run()):
        await until(lambda: broker.connected)
        await asyncio.sleep(0.1)
        yield found


async def retained(mosquitto: Mosquitto, topic_filter: str = "zeropower/#") -> dict[str, str]:
    """Everything that the broker keeps."""
    async with listening(mosquitto, topic_filter) as heard:
        await asyncio.sleep(0.3)
    return {topic: payload for topic, payload, kept in heard if kept}


def tick(grid_w: float | None, limit_w: float | None, now_s: float = 100.0) -> Tick:
    one = make_tick()
    decision = replace(one.decision, grid_w=grid_w, limit_w=limit_w)
    return replace(one, snapshot=replace(one.snapshot, now_s=now_s), decision=decision)


async def test_what_is_not_known_any_more_is_not_kept_as_known(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with surface_at(mosquitto, tmp_path) as one:
        one.hub.publish(tick(-12.34, 600.0))
        await asyncio.sleep(0.1)
        kept = await retained(mosquitto)
        assert (kept["zeropower/state/grid_power"], kept["zeropower/state/limit"]) == ("-12.3", "600.0")
        one.hub.publish(tick(None, None, 106.0))
        await asyncio.sleep(0.1)
        kept = await retained(mosquitto)
        assert not {"zeropower/state/grid_power", "zeropower/state/limit"} & set(kept)
        assert json.loads(kept["zeropower/state"]) == {"grid_w": None}
        one.hub.publish(tick(0.0, 0.0, 107.0))
        await asyncio.sleep(0.1)
        kept = await retained(mosquitto)
        assert (kept["zeropower/state/grid_power"], kept["zeropower/state/limit"]) == ("0.0", "0.0")


async def test_a_value_of_the_run_before_is_removed_while_ours_is_unknown(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with surface_at(mosquitto, tmp_path) as one:
        await one.broker.publish("zeropower/state/grid_power", "77.0", qos=1, retain=True)
        one.hub.publish(tick(None, None))
        await asyncio.sleep(0.1)
        assert "zeropower/state/grid_power" not in await retained(mosquitto)


async def test_a_flood_of_commands_is_obeyed_at_its_end_and_cleared(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with surface_at(mosquitto, tmp_path) as one:
        sender = Broker(one.broker.address, "sender")
        async with running(sender.run()):
            await until(lambda: sender.connected)
            for number in range(1000):
                await sender.publish("zeropower/set/enabled", ("on", "off")[number % 2], retain=True)
                await sender.publish("zeropower/set/target_point_w", str(number), retain=True)
            await until(lambda: one.store.current == Settings(enabled=False, target_point_w=999.0), 5.0)
        assert len(one.changes) < 60, "each change is written to the disk"
        await asyncio.sleep(0.5)
        assert not [topic for topic in await retained(mosquitto) if "/set/" in topic]


async def test_garbage_changes_nothing_is_counted_cleared_and_told_once(
    mosquitto: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = ["maybe", "nan", "inf", "1e999", "1_0", "{}", "x" * 50_000, "\x00", "½", "on\n\x1b[2J"]
    async with surface_at(mosquitto, tmp_path) as one:
        before = one.store.current
        for turn in range(3):
            for payload in garbage:
                await one.broker.publish("zeropower/set/enabled", payload, qos=1, retain=turn == 0)
                await one.broker.publish("zeropower/set/target_point_w", payload, qos=1, retain=turn == 0)
        await one.broker.publish("zeropower/state/instance", "garbage", qos=1)
        await one.broker.publish("zeropower/set/unknown", "1", qos=1, retain=True)
        await until(lambda: one.surface.dropped >= 61, 3.0, f"{one.surface.dropped}")
        assert one.store.current == before
        assert one.surface.faults() == ()
        await asyncio.sleep(0.4)
        assert [topic for topic in await retained(mosquitto) if "/set/" in topic] == ["zeropower/set/unknown"]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) <= 4
    assert all(len(line) < 200 for line in told)


async def test_a_command_that_could_not_be_cleared_does_not_replay_over_a_newer_state(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with surface_at(mosquitto, tmp_path) as one:
        honest = one.broker.publish

        async def refusing(topic: str, payload: str, **options: object) -> bool:
            return False if "/set/" in topic else await honest(topic, payload, **options)  # type: ignore[arg-type]

        one.broker.__dict__["publish"] = refusing
        await honest("zeropower/set/enabled", "off", qos=1, retain=True)
        await until(lambda: not one.store.current.enabled, 2.0)
        await asyncio.sleep(0.3)
        one.store.update(enabled=True, source="page")
        del one.broker.__dict__["publish"]
        await one.broker.replay("zeropower/set/enabled")
        await asyncio.sleep(0.5)
        assert one.store.current.enabled
        assert not [topic for topic in await retained(mosquitto) if "/set/" in topic]


# -- another controller --------------------------------------------------------------------------------


async def test_a_restart_is_no_conflict(mosquitto: Mosquitto, tmp_path: Path) -> None:
    for _ in range(2):
        async with surface_at(mosquitto, tmp_path) as one:
            await mosquitto.stop()
            await mosquitto.start()
            await until(lambda: one.broker.connected, 3.0)
            await asyncio.sleep(0.2)
            assert one.surface.faults() == ()


async def test_two_of_one_site_push_each_other_out_and_both_say_so(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with surface_at(mosquitto, tmp_path) as one, surface_at(mosquitto, tmp_path) as other:
        await until(lambda: one.surface.faults() and other.surface.faults(), 10.0)
        (fault,) = one.surface.faults()
        assert fault.key == "instance"
        assert "Another controller uses zeropower/" in fault.text
        assert fault.since_utc_s is not None


async def test_two_sites_with_one_prefix_both_say_so(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.rivals.ANSWER_S", 0.2)
    async with surface_at(mosquitto, tmp_path) as one:
        assert one.surface.faults() == ()
        async with surface_at(mosquitto, tmp_path, "zero-export-other") as other:
            await until(lambda: one.surface.faults() and other.surface.faults(), 3.0)


async def test_the_conflict_is_over_a_minute_after_its_last_sign(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.rivals.REMEMBERED_S", 0.5)
    async with surface_at(mosquitto, tmp_path) as one:
        await one.broker.publish("zeropower/state/instance", "0123456789abcdef 1", qos=1, retain=True)
        await until(one.surface.faults, 1.0)
        await until(lambda: not one.surface.faults(), 2.0)
