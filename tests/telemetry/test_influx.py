"""The InfluxDB store, against VictoriaMetrics (which takes the v2 write API) and against servers that refuse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from app.config import InfluxConfig
from app.telemetry.influx import InfluxSink, _cause, line
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from app.telemetry.rollup import Minute
from tests.conftest import Victoria, free_port, until
from tests.telemetry.ticks import EAST, UTC_S, make_tick


def point(i: int = 0, measurement: str = "grid") -> Point:
    return Point(measurement, (("site", "home"),), (("power_w", float(i)),), UTC_S + i)


def config(port: int, token: str = "secret") -> InfluxConfig:
    return InfluxConfig(url=f"http://127.0.0.1:{port}", token=token)


def fast(port: int) -> InfluxSink:
    return InfluxSink(config(port), flush_s=0.02, retry_s=(0.02, 0.05))


@asynccontextmanager
async def running(sink: InfluxSink) -> AsyncIterator[InfluxSink]:
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Refuser:
    """A small server that answers writes as it is told, and remembers the lines that it took."""

    answer: Callable[[str, str], int]
    taken: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[web.BaseRequest] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.seen.append(request)
        self.requests.append(body)
        status = self.answer(request.query["bucket"], body)
        if status == 204:
            self.taken += body.split("\n")
            return web.Response(status=204)
        return web.json_response({"code": "x", "message": f"because {status}"}, status=status, headers=self.headers)


@asynccontextmanager
async def refuser(answer: Callable[[str, str], int]) -> AsyncIterator[tuple[Refuser, int]]:
    handler = Refuser(answer)
    app = web.Application()
    app.router.add_post("/api/v2/write", handler.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield handler, runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_a_line_holds_floats_escaped_tags_and_milliseconds() -> None:
    tags = (("site", "home"), ("serial", EAST), ("name", "Roof, east=1"))
    fields = (("power_w", 12.0), ("text", 'say "hi"\nthere'))
    assert line(Point("inverter", tags, fields, 1_750_000_000.1234)) == (
        f'inverter,name=Roof\\,\\ east\\=1,serial={EAST},site=home power_w=12,text="say \\"hi\\" there" 1750000000123'
    )


async def test_a_real_server_stores_what_was_sampled(victoria: Victoria) -> None:
    projector = Projector("home")
    async with running(fast(victoria.port)) as sink:
        sink.offer(projector.points(make_tick()))
        sink.offer(projector.points(make_tick(1.0)))
        await until(lambda: sink.stats.pending == 0 and sink.stats.written > 0)
        assert sink.fault() is None
    found = await victoria.series("grid_power_w|inverter_ac_power_w|panel_voltage_v")
    by_name = {(labels["__name__"], labels.get("channel", "")): (labels, values, at) for labels, values, at in found}
    _, values, at = by_name["grid_power_w", ""]
    assert values == [20.0, 20.0]
    assert at == [round((UTC_S - 0.2) * 1000), round((UTC_S + 0.8) * 1000)]
    labels, values, at = by_name["inverter_ac_power_w", ""]
    assert (values, at) == ([400.0], [round((UTC_S - 2.0) * 1000)])
    assert (labels["site"], labels["serial"], labels["name"]) == ("home", EAST, "Roof east")
    assert by_name["panel_voltage_v", "2"][1] == [33.0]


async def test_an_outage_loses_nothing_and_is_a_fault(victoria: Victoria, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sent = 0
    async with running(fast(victoria.port)) as sink:

        async def offer(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                sink.offer([point(sent)])
                sent += 1

        await offer(50)
        await until(lambda: sink.stats.written == 50)
        await victoria.stop()
        await offer(1300)
        await until(lambda: sink.fault() is not None)
        fault = sink.fault()
        assert fault is not None
        assert f"http://127.0.0.1:{victoria.port} cannot be reached" in fault.text
        assert fault.since_utc_s == pytest.approx(time.time(), abs=5.0)
        await offer(50)
        await asyncio.sleep(0.3)
        assert sink.stats.pending == 1350
        await victoria.start()
        await until(lambda: sink.stats.pending == 0, 15.0)
        assert sink.fault() is None
        assert sink.stats.dropped == 0
    ((_, values, at),) = await victoria.series("grid_power_w")
    assert values == [float(i) for i in range(1400)]
    assert at == [round((UTC_S + i) * 1000) for i in range(1400)]
    said = [record.getMessage() for record in caplog.records if record.name == "app.telemetry.influx"]
    assert said == [], "the fault itself is logged with all others"


@pytest.mark.parametrize(
    ("status", "words", "next_step"),
    [
        (401, "refuses the token (HTTP 401)", "Check influxdb.token"),
        (403, "refuses the token (HTTP 403)", "Check influxdb.token"),
        (404, "does not know bucket zero_export (HTTP 404: because 404)", "Check influxdb.bucket"),
        (503, "is overloaded (HTTP 503)", "Wait"),
        (500, "answers HTTP 500: because 500", "Look into its log"),
        (302, "answers HTTP 302", "Look into its log"),
    ],
)
async def test_a_refusal_is_told_in_plain_words_and_nothing_is_lost(status: int, words: str, next_step: str) -> None:
    now = status
    async with refuser(lambda *_: now) as (server, port), running(fast(port)) as sink:
        sink.offer([point(i) for i in range(10)])
        await until(lambda: sink.fault() is not None)
        fault = sink.fault()
        assert fault is not None
        assert fault.text.startswith(f"InfluxDB at http://127.0.0.1:{port} ")
        assert words in fault.text
        assert fault.next_step.startswith(next_step)
        assert "secret" not in f"{fault}"
        now = 204
        await until(lambda: sink.stats.written == 10)
        assert sink.fault() is None
    assert server.taken == [line(point(i)) for i in range(10)]
    assert server.seen[0].headers["Authorization"] == "Token secret"
    assert dict(server.seen[0].query) == {"org": "solar", "bucket": "zero_export", "precision": "ms"}


@pytest.mark.parametrize("status", [400, 422])
async def test_one_line_that_is_refused_does_not_take_the_others_with_it(status: int) -> None:
    bad = line(point(777))

    def answer(_bucket: str, body: str) -> int:
        return status if bad in body.split("\n") else 204

    async with refuser(answer) as (server, port), running(fast(port)) as sink:
        sink.offer([point(i) for i in range(1000)])
        await until(lambda: sink.stats.pending == 0)
        assert sink.fault() is None
        assert (sink.stats.written, sink.stats.refused) == (999, 1)
    assert sorted(set(server.taken)) == sorted(line(point(i)) for i in range(1000) if i != 777)
    assert len(server.requests) < 60


async def test_a_server_that_refuses_everything_is_not_asked_line_by_line() -> None:
    async with refuser(lambda *_: 400) as (server, port), running(fast(port)) as sink:
        sink.offer([point(i) for i in range(5000)])
        await until(lambda: sink.stats.pending == 0)
        assert sink.stats.refused == 5000
    assert len(server.requests) < 100


async def test_a_batch_that_is_too_large_is_halved() -> None:
    def answer(_bucket: str, body: str) -> int:
        return 413 if len(body) > 5000 else 204

    async with refuser(answer) as (server, port), running(fast(port)) as sink:
        sink.offer([point(i) for i in range(1000)])
        await until(lambda: sink.stats.pending == 0)
        assert sink.stats.written == 1000
    assert len(server.taken) == 1000


async def test_the_server_may_ask_for_a_pause() -> None:
    async with refuser(lambda *_: 429) as (server, port):
        server.headers = {"Retry-After": "30"}
        async with running(fast(port)) as sink:
            sink.offer([point()])
            await until(lambda: sink.fault() is not None)
            await asyncio.sleep(0.3)
            assert len(server.requests) == 1


async def test_minutes_have_a_bucket_of_their_own_whose_absence_holds_up_nothing() -> None:
    minute = Projector("home").minute(Minute(UTC_S - 20.0, pv_w=1.0, pv_s=60.0))

    def answer(bucket: str, _body: str) -> int:
        return 404 if bucket.endswith("_1m") else 204

    async with refuser(answer) as (server, port), running(fast(port)) as sink:
        sink.offer([point(), minute])
        await until(lambda: sink.fault() is not None)
        fault = sink.fault()
        assert fault is not None
        assert "zero_export_1m" in fault.text
        sink.offer([point(1)])
        await until(lambda: sink.stats.written == 2)
    assert [request.query["bucket"] for request in server.seen][:2] == ["zero_export", "zero_export_1m"]
    assert server.taken == [line(point(0)), line(point(1))]


async def test_the_oldest_points_give_way_and_are_counted() -> None:
    sink = InfluxSink(config(free_port()), capacity=100)
    started_s = time.perf_counter()
    sink.offer([point(i) for i in range(1000)])
    assert time.perf_counter() - started_s < 0.5
    assert (sink.stats.pending, sink.stats.dropped) == (100, 900)


async def test_a_stop_writes_what_is_left() -> None:
    async with refuser(lambda *_: 204) as (server, port):
        sink = InfluxSink(config(port))
        async with running(sink):
            sink.offer([point(i) for i in range(700)])
        await sink.close()
    assert server.taken == [line(point(i)) for i in range(700)]


async def test_a_stop_does_not_wait_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.telemetry.influx.CLOSE_S", 0.2)
    released = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    sink = fast(server.sockets[0].getsockname()[1])
    sink.offer([point()])
    started_s = time.perf_counter()
    await sink.close()
    assert time.perf_counter() - started_s < 1.0
    released.set()
    server.close()
    await server.wait_closed()


async def test_a_stop_in_the_middle_of_a_write_loses_nothing() -> None:
    slow = asyncio.Event()

    async def delayed(request: web.Request) -> web.Response:
        taken.append(await request.text())
        await slow.wait()
        return web.Response(status=204)

    taken: list[str] = []
    app = web.Application()
    app.router.add_post("/api/v2/write", delayed)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sink = fast(runner.addresses[0][1])
    async with running(sink):
        sink.offer([point(0)])
        await until(lambda: taken)
        sink.offer([point(1)])
    slow.set()
    await sink.close()
    await runner.cleanup()
    assert set("\n".join(taken).split("\n")) == {line(point(0)), line(point(1))}
    assert sink.stats.pending == 0


async def test_a_token_that_appears_after_the_start_is_used(tmp_path: Path) -> None:
    token_file = tmp_path / "app-token"
    token_file.write_text("not-yet\n")
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(status=204 if seen[-1] == "Token made-later" else 401)

    application = web.Application()
    application.router.add_post("/api/v2/write", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    settings = InfluxConfig(url=f"http://127.0.0.1:{port}", token="not-yet", token_file=token_file)
    try:
        async with running(InfluxSink(settings, flush_s=0.02, retry_s=(0.02, 0.05))) as sink:
            sink.offer([point()])
            await until(lambda: sink.fault() is not None, what="the refusal is a fault")
            token_file.write_text("made-later\n")
            await until(lambda: sink.stats.written == 1, what="the point is written")
            assert sink.fault() is None
    finally:
        await runner.cleanup()
    assert set(seen) == {"Token not-yet", "Token made-later"}


def test_a_server_that_does_not_answer_is_told_so() -> None:
    assert _cause(TimeoutError()) == "no answer in time"
