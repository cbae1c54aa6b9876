"""The HTTP server: reading for everybody in the house, changes by the rules in `guard`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any

from aiohttp import web

from app.api import metrics as exposition
from app.api.answers import MAX_BODY, add_headers, json_answer, refusal, server_log
from app.api.archive import ArchiveDesk, Series, Stored
from app.api.changes import Changes
from app.api.door import Door
from app.api.ensemble import EnsembleDesk
from app.api.events import HEARTBEAT_S, Events
from app.api.guard import RefusedError
from app.api.listener import ACCEPTED_AT_ONCE, Listener, queue_up, whole
from app.api.openapi import openapi
from app.api.pages import Pages
from app.api.prices import outlook
from app.api.status import STALLED_S, status, tick_age_s
from app.api.step_test import StepTestDesk
from app.config import HttpConfig
from app.enphase.ensemble.driver import Ensemble
from app.hub import Hub
from app.model import Fault, Tick
from app.state import SettingsStore
from app.steptests import StepTests

log = logging.getLogger(__name__)

ANSWER_S = 20.0  # for a client to take its answer
KEEPALIVE_S = 30.0


class HttpServer:
    """Serves the API and the page.

    ``history(seconds)`` gives the stored series as columns: ``utc_s``, and `series.NAMES` in watts; ``stored`` is all
    else of the past. ``faults()`` gives those from outside the control loop, ``dropped()`` counts messages that could
    not be used, by source.
    """

    def __init__(
        self,
        config: HttpConfig,
        hub: Hub,
        store: SettingsStore,
        history: Series,
        *,
        version: str,
        site: str,
        faults: Callable[[], tuple[Fault, ...]] = tuple,
        tests: StepTests | None = None,
        stored: Stored | None = None,
        ensemble: Ensemble | None = None,
        dropped: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._config = config
        self._hub = hub
        self._store = store
        self._about = {"version": version, "site": site}
        self._faults = faults
        self._dropped = dropped
        self._clock = clock
        self._utc = utc
        self._pages = Pages()
        self._door = Door(config, clock=clock)
        self._changes = Changes(config, store, self._pages, self._door, hub, utc=utc)
        self._tests = StepTestDesk(tests or StepTests(()))
        self._ensemble = EnsembleDesk(ensemble, clock=clock)
        self._archive = ArchiveDesk(hub, history, stored, utc=utc)
        self._events = Events(hub, self._status, heartbeat_s=heartbeat_s)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        if self._server is None:
            return self._config.port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def readers(self) -> int:
        """How many event streams are open."""
        return self._events.readers

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken or not allowed."""
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=2.0,
            lingering_time=1.0,
            auto_decompress=False,
            logger=server_log(),
        )
        await runner.setup()
        if runner.server is None:
            raise AssertionError("setup makes the server")
        self._listener = Listener(runner.server)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._listener, self._config.host, self._config.port, backlog=ACCEPTED_AT_ONCE
            )
            queue_up(self._server)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is None or self._runner is None:
            return
        self._server.close()
        self._events.close()
        await self._runner.cleanup()
        if self._listener is not None:
            self._listener.close()
        self._server = self._runner = self._listener = None

    def application(self) -> web.Application:
        """The routes, for the server and for tests of them."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY)
        app.on_response_prepare.append(add_headers)
        reading, changing = self._door.reading, self._door.changing
        app.add_routes(
            [
                web.get("/", self._file),
                web.get("/web/{name:.+}", self._file),
                web.get("/api/status", reading(self._get_status)),
                web.get("/api/toggle", self._changes.toggle, allow_head=False),
                web.post("/api/toggle", self._changes.toggle),
                web.put("/api/settings", changing(self._changes.settings)),
                web.post("/api/settings", changing(self._changes.settings)),
                web.put("/api/override", changing(self._changes.override)),
                web.post("/api/override", changing(self._changes.override)),
                web.get("/api/prices", reading(self._get_prices)),
                web.get("/api/step-test", reading(self._tests.get)),
                web.post("/api/step-test", changing(self._tests.start)),
                web.delete("/api/step-test", changing(self._tests.cancel)),
                web.get("/api/ensemble", reading(self._ensemble.get)),
                web.post("/api/ensemble", changing(self._ensemble.act)),
                web.get("/api/events", reading(self._events.stream), allow_head=False),
                web.get("/api/history", reading(self._archive.history)),
                web.get("/api/energy", reading(self._archive.energy)),
                web.get("/api/journal", reading(self._archive.journal)),
                web.get("/api/export", reading(self._archive.export), allow_head=False),
                web.get("/healthz", self._get_health),
                web.get("/metrics", reading(self._get_metrics)),
                web.get("/openapi.json", reading(self._get_openapi)),
            ]
        )
        return app

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer whole requests only, and keep the connection until the answer is sent."""
        try:
            await whole(request)
        except (RefusedError, web.HTTPException) as error:
            return refusal(request, error)
        with self._listener.answering(request.transport) if self._listener is not None else nullcontext():
            response = await _answered(request, handler)
            try:
                async with asyncio.timeout(ANSWER_S):
                    await response.prepare(request)
                    await response.write_eof()
            except (TimeoutError, ConnectionError):  # it is gone, or takes nothing
                if request.transport is not None:
                    request.transport.abort()
            return response

    def _status(self, tick: Tick | None) -> dict[str, Any]:
        return status(tick, self._store.current, now_s=self._clock(), extra_faults=self._faults(), **self._about)

    async def _file(self, request: web.Request) -> web.Response:
        return self._pages.file(request)

    async def _get_status(self, _request: web.Request) -> web.Response:
        return json_answer(self._status(self._hub.latest))

    async def _get_prices(self, _request: web.Request) -> web.Response:
        return json_answer(outlook(self._hub.latest))

    async def _get_health(self, _request: web.Request) -> web.Response:
        age_s = tick_age_s(self._hub.latest, self._clock())
        healthy = age_s is not None and age_s <= STALLED_S
        word = "ok" if healthy else "starting" if age_s is None else "stalled"
        data = {"status": word, "tick_age_s": age_s, "max_age_s": STALLED_S, "version": self._about["version"]}
        return json_answer(data, status=200 if healthy else 503)

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        body = exposition.metrics(
            self._hub.latest,
            self._store.current,
            self._dropped(),
            now_s=self._clock(),
            extra_faults=self._faults(),
            **self._about,
        )
        return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE})

    async def _get_openapi(self, _request: web.Request) -> web.Response:
        return json_answer(openapi(self._about["version"], self._config))


async def _answered(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (RefusedError, web.HTTPException) as error:
        return refusal(request, error)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return json_answer({"error": "this request hit a bug in the controller: look at its log and report it"}, 500)
