from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page

from app.api.http import HttpServer
from app.api.links import State, toggle_url
from app.config import HttpConfig
from app.hub import Hub
from app.model import Fault, Settings
from app.state import SettingsStore
from app.steptests import StepTests
from app.telemetry.points import Point
from app.telemetry.records import Records
from app.telemetry.sqlite import SqliteSink

from .archive import FakeArchive
from .ticks import UTC_S, make_tick

CHROME = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0 Safari/537.36"}


@dataclass
class House:
    """A running server with everything behind it, and the clock it lives by."""

    config: HttpConfig
    store: SettingsStore
    hub: Hub
    client: aiohttp.ClientSession
    now_s: float = 100.5
    utc_s: float = UTC_S
    stored: Any = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)
    faults: tuple[Fault, ...] = ()
    sink: SqliteSink = field(init=False)
    records: Records = field(init=False)
    tests: StepTests = field(default_factory=lambda: StepTests(["116180400001"]))
    server: HttpServer = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def enabled(self) -> bool:
        return self.store.current.enabled

    def history(self, seconds: float) -> Any:
        self.asked.append(seconds)
        return self.stored

    def link(self, state: State, *, lasts_s: float = 60.0, key: bytes | None = None) -> str:
        """A signed link, led to this server wherever it listens."""
        expires = int(self.utc_s + lasts_s)
        url = toggle_url(self.config, key or self.store.signing_key, state=state, expires_utc_s=expires)
        return url.replace(self.config.public_url, self.url)

    async def keep(self, points: Iterable[Point]) -> None:
        """Have these in the database."""
        self.sink.offer(list(points))
        await self.sink._flush()

    async def ask(self, method: str, path: str, **request: Any) -> tuple[aiohttp.ClientResponse, Any]:
        """One request, never following redirects; the second value is its JSON, or else its text."""
        url = path if path.startswith("http") else self.url + path
        async with self.client.request(method, url, allow_redirects=False, **request) as response:
            isjson = response.content_type == "application/json"
            return response, await (response.json() if isjson else response.text())


Build = Callable[..., Awaitable[House]]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    started: list[House] = []

    async def start(*, heartbeat_s: float = 15.0, **http: Any) -> House:
        config = HttpConfig(host="127.0.0.1", port=0, **http)
        store = SettingsStore(tmp_path / "settings.json", Settings())
        client = aiohttp.ClientSession(headers={"User-Agent": "curl/8.5.0"})
        house = House(config, store, Hub(), client)
        house.sink = SqliteSink(tmp_path / "telemetry.db", raw=True, utc=lambda: house.utc_s)
        house.records = Records(house.sink, "home")
        house.server = HttpServer(
            config,
            house.hub,
            store,
            house.history,
            version="1.2.3",
            site="home",
            faults=lambda: house.faults,
            tests=house.tests,
            stored=house.records,
            clock=lambda: house.now_s,
            utc=lambda: house.utc_s,
            heartbeat_s=heartbeat_s,
        )
        await house.server.start()
        started.append(house)
        return house

    yield start
    for house in started:
        await house.client.close()
        await house.server.stop()
        await house.sink.close()


@pytest.fixture
async def house(build: Build) -> House:
    """A server with a first tick, and no token."""
    house = await build()
    house.hub.publish(make_tick())
    return house


Visit = Callable[..., Awaitable[Page]]
PATIENCE_MS = 20_000  # of a loaded machine


@pytest.fixture
def archive() -> FakeArchive:
    """What the controller keeps of the past, as the pages of this test see it."""
    return FakeArchive()


@pytest.fixture
async def visit(browser: Browser, archive: FakeArchive) -> AsyncIterator[Visit]:
    """Opens pages; whatever a page complains about in its console fails the test, or asks of another host."""
    complaints: list[str] = []
    excused: list[str] = []

    async def open_page(url: str, *, width: int = 390, excuse: str = "", script: str = "", **options: Any) -> Page:
        excused.extend([excuse] if excuse else [])
        chosen: dict[str, Any] = {"locale": "en-AU", "timezone_id": "UTC", "has_touch": width < 500}
        chosen |= {"reduced_motion": "reduce"} | options  # what moves is drawn by the processor here
        page = await browser.new_page(viewport={"width": width, "height": 844}, **chosen)
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda one: None if "127.0.0.1" in one.url else complaints.append(f"asks {one.url}"))
        await archive.serve(page)
        await page.add_init_script(script)
        await page.goto(url)
        return page

    yield open_page
    assert not [text for text in complaints if not any(one in text for one in excused)]
