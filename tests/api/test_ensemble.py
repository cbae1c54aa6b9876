"""Storage, relays and dry contacts over HTTP and on the page; the gateway behind them is in tests/enphase."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect

from app.api.http import HttpServer
from app.config import HttpConfig
from app.enphase.ensemble.actions import Automatic, Grid
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.desk import Desk
from app.enphase.ensemble.driver import Ensemble
from app.enphase.ensemble.journal import JournalFile
from app.hub import Hub
from app.model import Combiner, DeviceUnavailable, EnsembleState, Settings
from app.state import SettingsStore

from .conftest import Build, Visit
from .test_openapi import answer, validate
from .ticks import STORAGE, UTC_S, make_tick

BACKUP = {"action": "storage_mode", "mode": "backup"}


@dataclass
class Storage:
    """A gateway without a wire: it shows what it has, and notes what it is sent."""

    state: EnsembleState = STORAGE
    sent: list[Automatic | Grid] = field(default_factory=list)
    away: bool = False

    async def read(self, _now_s: float) -> EnsembleState:
        if self.away:
            raise DeviceUnavailable("enphase at 10.0.0.9 does not answer within 90 s")
        return self.state

    async def send(self, action: Automatic | Grid) -> None:
        self.sent.append(action)


@dataclass
class Rig:
    storage: Storage
    url: str

    async def ask(self, method: str, path: str = "/api/ensemble", **request: Any) -> tuple[int, Any]:
        headers = {"User-Agent": "curl/8", **request.pop("headers", {})}
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, self.url + path, headers=headers, **request) as response,
        ):
            data = await response.json()
        validate(answer("/api/ensemble", method, response.status), data)
        return response.status, data


async def rig_of(folder: Path, *, dry_run: bool = False, **http: Any) -> tuple[Rig, HttpServer]:
    storage, config, journal = Storage(), EnsembleConfig(), JournalFile(folder / "ensemble.json")
    driver = Ensemble(Desk(storage, journal, config), journal, config, "enphase at 10.0.0.9", dry_run=dry_run)
    driver.state = STORAGE
    store = SettingsStore(folder / "settings.json", Settings())
    http_config = HttpConfig(host="127.0.0.1", port=0, **http)
    server = HttpServer(http_config, Hub(), store, lambda _: None, version="1", site="home", ensemble=driver)  # type: ignore[arg-type, return-value]
    await server.start()
    return Rig(storage, f"http://127.0.0.1:{server.port}"), server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made, server = await rig_of(tmp_path)
    yield made
    await server.stop()


async def test_it_is_shown_and_commanded(rig: Rig) -> None:
    status, data = await rig.ask("GET")
    assert (status, data["ensemble"]["storage_mode"], data["ensemble"]["power_w"]) == (200, "self-consumption", 1250.0)
    status, data = await rig.ask("POST", json=BACKUP)
    assert (status, data["written"], data["text"]) == (200, True, "storage mode backup: the gateway took it")
    assert [str(one) for one in rig.storage.sent] == ["storage mode backup"]
    status, data = await rig.ask("POST", json={"action": "reserve", "soc_pct": 20})
    assert (status, data["written"]) == (200, False)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"action": "reserve", "soc_pct": 200}, 400, "soc_pct: 200"),
        ({"action": "grid", "state": "off"}, 400, 'send "confirm": "ISLAND"'),
        ({"action": "dry_contact", "id": "NC7", "state": "open"}, 409, "use one of NC1, NC2"),
        ([], 400, "is none of"),
    ],
)
async def test_what_is_refused_changes_nothing(rig: Rig, body: Any, status: int, told: str) -> None:
    found, data = await rig.ask("POST", json=body)
    assert (found, rig.storage.sent) == (status, [])
    assert told in data["error"]


async def test_too_soon_says_when(rig: Rig) -> None:
    await rig.ask("POST", json=BACKUP)
    status, data = await rig.ask("POST", json={"action": "reserve", "soc_pct": 50})
    assert status == 409
    assert "try again in 60 s" in data["error"]


async def test_an_outage_is_not_ours(rig: Rig) -> None:
    rig.storage.away = True
    status, data = await rig.ask("POST", json=BACKUP)
    assert status == 502
    assert "does not answer within 90 s" in data["error"]


async def test_the_house_is_taken_off_the_grid_with_its_word_only(rig: Rig) -> None:
    status, data = await rig.ask("POST", json={"action": "grid", "state": "off", "confirm": "ISLAND"})
    assert (status, data["text"]) == (200, "grid off: the gateway took it")
    assert [str(one) for one in rig.storage.sent] == ["grid off"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"headers": {"Origin": "http://evil.example"}, "json": BACKUP}, 403),
        ({"headers": {"Host": "evil.example"}, "json": BACKUP}, 421),
        ({"headers": {"Authorization": "Bearer wrong-token"}, "json": BACKUP}, 401),
        ({"headers": {"Authorization": "Bearer only-looking-7f3a"}, "json": BACKUP}, 403),
        ({"json": BACKUP}, 401),
        ({"headers": {"Authorization": "Bearer may-change-91bc"}, "data": "x=1"}, 415),
        ({"headers": {"Authorization": "Bearer may-change-91bc"}, "json": BACKUP}, 200),
    ],
)
async def test_the_rules_of_every_change_hold(tmp_path: Path, request_: dict[str, Any], status: int) -> None:
    rig, server = await rig_of(tmp_path, token="may-change-91bc", read_token="only-looking-7f3a")
    found, _ = await rig.ask("POST", **request_)
    assert (found, len(rig.storage.sent)) == (status, int(status == 200))
    await server.stop()


async def test_a_dry_run_and_a_house_without_one_refuse(tmp_path: Path, build: Build) -> None:
    rig, server = await rig_of(tmp_path, dry_run=True)
    status, data = await rig.ask("POST", json=BACKUP)
    assert (status, rig.storage.sent) == (409, [])
    assert "dry run" in data["error"]
    await server.stop()
    house = await build()
    response, data = await house.ask("POST", "/api/ensemble", json=BACKUP)
    assert response.status == 409
    assert "enphase.ensemble" in data["error"]
    _, data = await house.ask("GET", "/api/ensemble")
    assert data == {"ensemble": None}


@pytest.mark.e2e
async def test_long_words_of_the_gateway_fit_on_a_phone(build: Build, visit: Visit) -> None:
    house = await build()
    page = await visit(house.url, width=360)
    long = Combiner("ENCHG_STATE_" + "X" * 28, communicating=True, firmware="1")
    house.hub.publish(replace(make_tick(), ensemble=replace(STORAGE, combiner=long, optimised_schedules=True)))
    await expect(page.locator("#ensemble-combiner")).to_contain_text("XXX")
    await expect(page.locator("#ensemble-ignored")).to_contain_text("Optimised schedules are on")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    followed = replace(STORAGE, optimised_schedules=False)
    house.hub.publish(replace(make_tick(utc_s=UTC_S + 1), ensemble=followed))
    await expect(page.locator("#ensemble-ignored")).to_be_hidden()


@pytest.mark.e2e
@pytest.mark.parametrize(("lang", "words"), [("en", "going to sleep"), ("de", "schläft ein")])
async def test_the_page_has_a_card_where_there_is_one(build: Build, visit: Visit, lang: str, words: str) -> None:
    house = await build()
    house.hub.publish(make_tick())
    page = await visit(f"{house.url}/?lang={lang}")
    await expect(page.locator("#inverters > *").first).to_be_visible()
    await expect(page.locator("#ensemble")).to_be_hidden()
    house.hub.publish(replace(make_tick(), ensemble=STORAGE))
    card = page.locator("#ensemble")
    await expect(card).to_be_visible()
    await expect(card).to_contain_text("Boiler")
    await expect(card).to_contain_text(words)
    evil = replace(
        STORAGE, storage_mode="<img src=x onerror=alert(1)>", grid=None, collar=None, batteries=(), fault="gone"
    )
    house.hub.publish(replace(make_tick(), ensemble=evil))
    await expect(card).to_contain_text("<img src=x")
    await expect(card).to_contain_text("gone")
    await expect(page.locator("#ensemble-grid")).to_be_hidden()
