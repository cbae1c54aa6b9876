"""A Home Assistant at a real broker: it finds the controller, sees it change, and steers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.api.discovery import Discovery
from app.api.homeassistant import Installation
from app.api.mqtt import MqttSurface
from app.api.status import status
from app.broker import Address, Broker
from app.checks import running
from app.hub import Hub
from app.model import PriceState, Settings, Tick
from app.state import SettingsStore
from tests.api.fake_home import FakeHome, fake_home
from tests.api.ticks import LEDGER, METER_FAULT, make_inverter, make_tick
from tests.api.ticks import UTC_S as NOW_UTC_S
from tests.conftest import Mosquitto, until
from tests.stack.conftest import PASSWORDS, StackBroker, stack_broker
from tests.test_broker import listening

pytestmark = pytest.mark.e2e

CONFIG = "homeassistant/device/zero_export_home/config"
GARAGE = "homeassistant/device/zero_export_home_116180400001/config"
WAIT_S = 20.0


@dataclass
class Controller:
    """What of a controller MQTT sees. Every tick is of another second."""

    broker: Broker
    hub: Hub
    store: SettingsStore
    now_s: float = 100.0

    def turn(self, **changes: Any) -> None:
        """One turn of the loop, a while after the last one."""
        self.now_s += 10.0
        tick = make_tick(ledger=LEDGER, **changes)
        self.hub.publish(replace(tick, snapshot=replace(tick.snapshot, now_s=self.now_s, settings=self.store.current)))

    async def until(self, condition: Callable[[], bool], what: str = "", **changes: Any) -> None:
        """Turn until a condition holds."""

        def holds() -> bool:
            self.turn(**changes)
            return condition()

        await until(holds, WAIT_S, what)

    async def shows(self, home: FakeHome, wanted: dict[str, str], **changes: Any) -> None:
        """Turn until Home Assistant shows these states."""
        seen: dict[str, str] = {}

        def all_of_them() -> bool:
            seen.update({name: home.state(name) for name in wanted})
            return seen == wanted

        await self.until(all_of_them, f"{wanted}", **changes)


@asynccontextmanager
async def controller_at(
    mosquitto: Mosquitto | StackBroker, folder: Path, discovery_prefix: str | None = "homeassistant", **login: str
) -> AsyncIterator[Controller]:
    address = Address("127.0.0.1", mosquitto.port, **login)
    broker = Broker(address, "zero-export-home", ("zeropower/status", "offline"))
    hub, store = Hub(), SettingsStore(folder / "settings.json", Settings())
    one = Controller(broker, hub, store)

    def describe(tick: Tick) -> dict[str, Any]:
        return status(tick, store.current, now_s=tick.snapshot.now_s + 0.5, version="1.2.3", site="home")

    surface = MqttSurface(broker, "zeropower", hub, store, describe, utc=lambda: NOW_UTC_S)
    file = folder / "homeassistant.json"
    discovery = Discovery(broker, hub, Installation("home", "1.2.3"), discovery_prefix, file, clock=lambda: one.now_s)
    async with running(broker.run()), running(surface.run()), running(discovery.run()):
        await until(lambda: broker.connected, WAIT_S)
        yield one
        await surface.close()


async def retained(mosquitto: Mosquitto, topic_filter: str) -> set[str]:
    """The topics for which the broker keeps something: it answers a subscription before what is asked afterwards."""
    async with listening(mosquitto, topic_filter) as heard:
        asker = Broker(Address(mosquitto.host, mosquitto.port), "asker")
        async with running(asker.run()):
            await until(lambda: asker.connected, WAIT_S)
            await asker.publish(topic_filter.replace("#", "end"), "now", qos=1)
            await until(lambda: any(payload == "now" for _, payload, _ in heard), WAIT_S)
    return {topic for topic, _, kept in heard if kept}


async def test_it_finds_everything_and_sees_it_change(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with controller_at(mosquitto, tmp_path) as one, fake_home(mosquitto.host, mosquitto.port) as home:
        shown = {
            "sensor.zero_export_home_grid_power": "14.6",
            "sensor.zero_export_home_grid_import": "9.8",
            "switch.zero_export_home_enabled": "on",
            "number.zero_export_home_target": "15.0",
            "binary_sensor.zero_export_home_fault": "off",
            "sensor.zero_export_home_116180400001_power": "612.4",
            "binary_sensor.zero_export_home_116180400001_reachable": "on",
        }
        await one.shows(home, shown)
        assert home.entities["sensor.zero_export_home_116180400001_power"].device["name"] == "Garage"
        hidden = {
            "sensor.zero_export_home_116180400001_power": "unavailable",
            "binary_sensor.zero_export_home_116180400001_reachable": "off",
            "binary_sensor.zero_export_home_fault": "on",
            "sensor.zero_export_home_grid_power": "unknown",
        }
        await one.shows(home, hidden, grid_w=None, inverters=(make_inverter(reachable=False),), faults=(METER_FAULT,))
        assert home.entities["binary_sensor.zero_export_home_fault"].attributes["faults"] == [METER_FAULT.text]
    async with fake_home(mosquitto.host, mosquitto.port) as home:
        await until(lambda: home.state("sensor.zero_export_home_pv_power") == "unavailable", WAIT_S)


async def test_its_switch_its_number_and_its_choice_are_obeyed_and_shown(mosquitto: Mosquitto, tmp_path: Path) -> None:
    switch, number, select = (
        f"{kind}.zero_export_home_{name}"
        for kind, name in (("switch", "enabled"), ("number", "target"), ("select", "override"))
    )
    async with controller_at(mosquitto, tmp_path) as one, fake_home(mosquitto.host, mosquitto.port) as home:
        await one.until(lambda: (home.state(switch), home.state(select)) == ("on", "auto"))
        await home.command(switch, "off")
        await one.until(lambda: home.state(switch) == "off")
        assert one.store.current.enabled is False
        await home.command(number, "-40")
        await one.until(lambda: home.state(number) == "-40.0")
        await home.command(select, "open")
        await one.until(lambda: home.state(select) == "open")
        assert one.store.current.override is not None
        assert one.store.current.override.until_utc_s == NOW_UTC_S + 3600.0
        assert home.state("sensor.zero_export_home_override_until") == "2025-06-15T16:06:40.000Z"
        await home.command(select, "auto")
        await one.until(lambda: home.state(select) == "auto")
        await home.command(switch, "on")
        await one.until(lambda: home.state(switch) == "on")
    assert not await retained(mosquitto, "zeropower/set/#")


async def test_with_its_login_at_the_stacks_broker_it_finds_and_steers(tmp_path: Path) -> None:
    with stack_broker() as stack:
        app, home = ({"username": user, "password": PASSWORDS[user]} for user in ("app", "home"))
        async with controller_at(stack, tmp_path, **app) as one, fake_home("127.0.0.1", stack.port, **home) as house:
            await one.shows(house, {"switch.zero_export_home_enabled": "on", "number.zero_export_home_target": "15.0"})
            await house.command("switch.zero_export_home_enabled", "off")
            await house.command("number.zero_export_home_target", "35")
            await one.shows(house, {"switch.zero_export_home_enabled": "off", "number.zero_export_home_target": "35.0"})
            before = house.discoveries
            await house.announce()
            await one.until(lambda: house.discoveries >= before + 2)


async def test_after_its_restart_it_is_told_again(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with controller_at(mosquitto, tmp_path) as one, fake_home(mosquitto.host, mosquitto.port) as home:
        await one.until(lambda: home.state("switch.zero_export_home_enabled") == "on")
        before = home.discoveries
        await home.announce()
        await one.until(lambda: home.discoveries >= before + 2, "the controller and its inverter")
    async with fake_home(mosquitto.host, mosquitto.port) as home:  # and it is retained, whoever restarts
        await until(lambda: home.state("switch.zero_export_home_enabled") == "unavailable", WAIT_S)


async def test_a_broker_that_has_forgotten_everything_is_told_again(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with controller_at(mosquitto, tmp_path) as one:
        async with fake_home(mosquitto.host, mosquitto.port) as home:
            await one.until(lambda: GARAGE in home.messages)
        await mosquitto.stop()
        await until(lambda: not one.broker.connected, WAIT_S)
        await mosquitto.start()
        async with fake_home(mosquitto.host, mosquitto.port) as home:
            await one.until(lambda: {CONFIG, GARAGE} <= home.messages.keys())


async def test_names_and_prices_come_and_go_while_it_runs(mosquitto: Mosquitto, tmp_path: Path) -> None:
    power, price = "sensor.zero_export_home_116180400001_power", "sensor.zero_export_home_import_price"
    async with controller_at(mosquitto, tmp_path) as one, fake_home(mosquitto.host, mosquitto.port) as home:
        await one.until(lambda: power in home.entities and price not in home.entities)
        priced: dict[str, Any] = {
            "inverters": (make_inverter(name="Roof"),),
            "price": PriceState(8.0, 31.0, currency="EUR"),
        }
        await one.shows(home, {price: "0.31"}, **priced)
        await one.until(lambda: power in home.entities and home.entities[power].device["name"] == "Roof", **priced)
        await one.until(lambda: CONFIG in home.messages and price not in home.entities)


@pytest.mark.parametrize("discovery_prefix", [None, "elsewhere"])
async def test_what_is_not_wanted_any_more_is_removed(
    mosquitto: Mosquitto, tmp_path: Path, discovery_prefix: str | None
) -> None:
    """The section is taken out, or its prefix changed; what belongs to others stays."""
    async with controller_at(mosquitto, tmp_path) as one:
        async with fake_home(mosquitto.host, mosquitto.port) as home:
            await one.until(lambda: {CONFIG, GARAGE} <= home.messages.keys())
        await one.broker.publish("homeassistant/device/other/config", "{}", qos=1, retain=True)
    async with controller_at(mosquitto, tmp_path, discovery_prefix) as one:
        async with listening(mosquitto, "homeassistant/#") as heard:
            await one.until(lambda: {(CONFIG, ""), (GARAGE, "")} <= {(topic, text) for topic, text, _ in heard})
        assert await retained(mosquitto, "homeassistant/#") == {"homeassistant/device/other/config"}
    assert len(await retained(mosquitto, "elsewhere/#")) == (0 if discovery_prefix is None else 2)


async def test_an_inverter_that_is_taken_out_is_removed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with controller_at(mosquitto, tmp_path) as one, fake_home(mosquitto.host, mosquitto.port) as home:
        await one.until(lambda: {CONFIG, GARAGE} <= home.messages.keys())
        one.turn(inverters=(make_inverter("114180400002", "Roof"),))
        await until(lambda: GARAGE not in home.messages, WAIT_S)
        assert "sensor.zero_export_home_116180400001_power" not in home.entities
        assert "sensor.zero_export_home_114180400002_power" in home.entities


async def test_without_the_section_nothing_is_told_and_nothing_kept(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with listening(mosquitto, "#") as heard, controller_at(mosquitto, tmp_path, None) as one:
        await one.until(lambda: any(topic == "zeropower/state" for topic, _, _ in heard))
    assert not [topic for topic, _, _ in heard if topic.startswith("homeassistant")]
    assert not (tmp_path / "homeassistant.json").exists()
