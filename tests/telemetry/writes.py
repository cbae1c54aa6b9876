"""A server that takes writes as InfluxDB does, and answers them as it is told; and a sink that writes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from app.config import InfluxConfig
from app.telemetry.influx import InfluxSink
from app.telemetry.points import Point
from tests.telemetry.ticks import UTC_S

PATIENCE_S = 60.0  # other tests run beside this one


def point(i: int = 0, measurement: str = "grid", at_s: float | None = None) -> Point:
    """A point whose value tells which it is."""
    return Point(measurement, (("site", "home"),), (("power_w", float(i)),), UTC_S + i if at_s is None else at_s)


def config(port: int, *, token: str = "secret", **more: Any) -> InfluxConfig:
    return InfluxConfig.model_validate({"url": f"http://127.0.0.1:{port}", "token": token, **more})


def fast(folder: Path, port: int, **more: Any) -> InfluxSink:
    """A sink in a hurry."""
    return InfluxSink(config(port, **more), folder / "spool", flush_s=0.02, retry_s=(0.02, 0.05))


@asynccontextmanager
async def running(sink: InfluxSink) -> AsyncIterator[InfluxSink]:
    """Run it until the end of the block, without closing it."""
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Server:
    """Answers writes as ``answer(bucket, lines)`` says: a status, or a status and the body. Remembers what it took."""

    answer: Callable[[str, list[str]], int | tuple[int, object]]
    port: int = 0
    taken: list[str] = field(default_factory=list)
    requests: list[list[str]] = field(default_factory=list)
    buckets: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[web.BaseRequest] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        lines = (await request.text()).split("\n")
        bucket = request.query["bucket"]
        self.seen.append(request)
        self.requests.append(lines)
        self.buckets.append(bucket)
        said = self.answer(bucket, lines)
        status, body = said if isinstance(said, tuple) else (said, {"code": "x", "message": f"because {said}"})
        if status == 204:
            self.taken += lines
            return web.Response(status=204)
        return web.json_response(body, status=status, headers=self.headers)

    @property
    def stored(self) -> dict[str, str]:
        """What a database would hold: the fields of each series and time stamp, the last ones written."""
        return {f"{series} {at}": fields for series, fields, at in (line.split(" ") for line in self.taken)}


Answer = Callable[[str, list[str]], int | tuple[int, object]]


@asynccontextmanager
async def serving(answer: Answer, port: int = 0) -> AsyncIterator[Server]:
    """Run a server; on a free port unless one is given."""
    server = Server(answer)

    async def handle(request: web.Request) -> web.Response:
        return await server.handle(request)  # which a test may replace

    application = web.Application(client_max_size=64_000_000)
    application.router.add_post("/api/v2/write", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def writing(folder: Path, answer: Answer) -> AsyncIterator[tuple[Server, InfluxSink]]:
    """A server, and a sink that writes to it."""
    async with serving(answer) as server, running(fast(folder, server.port)) as sink:
        yield server, sink
