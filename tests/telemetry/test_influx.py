"""The InfluxDB store, against VictoriaMetrics (which takes the v2 write API) and against servers that refuse."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from pathlib import Path

import pytest

from app.telemetry.influx import InfluxSink, _cause, line
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from app.telemetry.rollup import Minute
from tests.conftest import Victoria, free_port, until
from tests.telemetry.ticks import EAST, UTC_S, make_tick
from tests.telemetry.writes import PATIENCE_S, config, fast, point, running, serving, writing


def test_a_line_holds_floats_escaped_tags_and_milliseconds() -> None:
    tags = (("site", "home"), ("serial", EAST), ("name", "Roof, east=1"))
    fields = (("power_w", 12.0), ("text", 'say "hi"\nthere\rnow'))
    assert line(Point("inverter", tags, fields, 1_750_000_000.1234)) == (
        f"inverter,name=Roof\\,\\ east\\=1,serial={EAST},site=home "
        'power_w=12,text="say \\"hi\\" there now" 1750000000123'
    )


async def test_a_real_server_stores_what_was_sampled(tmp_path: Path, victoria: Victoria) -> None:
    projector = Projector("home")
    async with running(fast(tmp_path, victoria.port)) as sink:
        sink.offer(projector.points(make_tick()))
        sink.offer(projector.points(make_tick(1.0)))
        await until(lambda: sink.stats.pending == 0 and sink.stats.written > 0, PATIENCE_S)
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


async def test_an_outage_loses_nothing_and_is_a_fault(
    tmp_path: Path, victoria: Victoria, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent = 0
    async with running(fast(tmp_path, victoria.port)) as sink:

        async def offer(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                sink.offer([point(sent)])
                sent += 1

        await offer(50)
        await until(lambda: sink.stats.written == 50, PATIENCE_S)
        await victoria.stop()
        await offer(1300)
        await until(lambda: sink.fault() is not None, PATIENCE_S)
        fault = sink.fault()
        assert fault is not None
        assert f"http://127.0.0.1:{victoria.port} cannot be reached" in fault.text
        assert fault.since_utc_s == pytest.approx(time.time(), abs=PATIENCE_S)
        await offer(50)
        await until(lambda: sink.stats.pending == 1350, PATIENCE_S)
        assert sink.stats.oldest_s > 0.0
        assert (sink.stats.spool_b or 0) > 1350 * 30
        await victoria.start()
        await until(lambda: sink.stats.pending == 0, PATIENCE_S)
        assert sink.fault() is None
        stats = sink.stats
        assert (stats.dropped, stats.refused, stats.written, stats.oldest_s, stats.spool_b) == (0, 0, 1400, 0.0, 0)
    ((_, values, at),) = await victoria.series("grid_power_w")
    assert values == [float(i) for i in range(1400)]
    assert at == [round((UTC_S + i) * 1000) for i in range(1400)]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("app.telemetry")]
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
async def test_a_refusal_is_told_in_plain_words_and_nothing_is_lost(
    tmp_path: Path, status: int, words: str, next_step: str
) -> None:
    now = status
    async with writing(tmp_path, lambda *_: now) as (server, sink):
        sink.offer([point(i) for i in range(10)])
        await until(lambda: sink.fault() is not None, PATIENCE_S)
        fault = sink.fault()
        assert fault is not None
        assert fault.text.startswith(f"InfluxDB at http://127.0.0.1:{server.port} ")
        assert words in fault.text
        assert fault.next_step.startswith(next_step)
        assert "secret" not in f"{fault}"
        now = 204
        await until(lambda: sink.stats.written == 10, PATIENCE_S)
        await until(lambda: sink.fault() is None, PATIENCE_S)
    assert server.taken == [line(point(i)) for i in range(10)]
    assert server.seen[0].headers["Authorization"] == "Token secret"
    assert server.seen[0].headers["Content-Encoding"] == "gzip"
    assert dict(server.seen[0].query) == {"org": "solar", "bucket": "zero_export", "precision": "ms"}


@pytest.mark.parametrize("status", [400, 422])
async def test_one_line_that_is_refused_does_not_take_the_others_with_it(tmp_path: Path, status: int) -> None:
    bad = line(point(777))
    async with writing(tmp_path, lambda _, lines: status if bad in lines else 204) as (server, sink):
        sink.offer([point(i) for i in range(1000)])
        await until(lambda: sink.stats.pending == 0, PATIENCE_S)
        assert sink.fault() is None
        assert (sink.stats.written, sink.stats.refused) == (999, 1)
    assert sorted(set(server.taken)) == sorted(line(point(i)) for i in range(1000) if i != 777)
    assert len(server.requests) < 60
    said, kept = (tmp_path / "spool" / "quarantine.lp").read_text().splitlines()
    assert kept == bad
    assert said.startswith("# 20")
    assert said.endswith(f"HTTP {status}: because {status}")


async def test_what_a_server_says_it_has_dropped_is_looked_for_and_the_rest_counts_as_taken(tmp_path: Path) -> None:
    """As InfluxDB 2 answers points before its retention: it takes the others, and says how many it has not."""
    taken: set[str] = set()

    def answer(_bucket: str, lines: list[str]) -> int | tuple[int, object]:
        old = [one for one in lines if int(one.split("power_w=")[1].split(" ")[0]) < 1500]
        taken.update(set(lines) - set(old))
        said = f"failure writing points to database: partial write: points beyond retention policy dropped={len(old)}"
        return (422, {"code": "unprocessable entity", "message": said}) if old else 204

    async with writing(tmp_path, answer) as (server, sink):
        sink.offer([point(i) for i in range(3000)])
        await until(lambda: sink.stats.pending == 0, PATIENCE_S)
        assert (sink.stats.written, sink.stats.refused, sink.stats.dropped) == (1500, 1500, 0)
    assert taken == {line(point(i)) for i in range(1500, 3000)}
    assert len(server.requests) < 20, "a half that is refused as a whole is not halved again"
    kept = (tmp_path / "spool" / "quarantine.lp").read_text()
    assert kept.count("grid,site=home") == 1500


async def test_a_server_that_refuses_everything_is_to_blame_and_not_the_points(tmp_path: Path) -> None:
    now = 400
    async with serving(lambda *_: now) as server:
        sink = InfluxSink(config(server.port), tmp_path / "spool", flush_s=0.02, retry_s=(0.5, 1.0))
        async with running(sink):
            sink.offer([point(i) for i in range(5000)])
            await until(lambda: sink.fault() is not None, PATIENCE_S)
            fault = sink.fault()
            assert fault is not None
            assert "refuses every point (HTTP 400: because 400)" in fault.text
            assert len(server.requests) < 100
            assert (sink.stats.pending, sink.stats.refused) == (5000, 0)
            now = 204
            await until(lambda: sink.stats.pending == 0, PATIENCE_S)
            assert sink.stats.refused == 0
    assert set(server.taken) == {line(point(i)) for i in range(5000)}
    assert not (tmp_path / "spool" / "quarantine.lp").exists()


def at_rest(sink: InfluxSink) -> bool:
    """Whether no parcel is on its way: a server that changes its mind within one has refused lines and taken others."""
    return not any(flow._parcel is not None and flow.pause.over for flow in sink._flows)


async def test_a_server_that_begins_to_refuse_everything_loses_no_point_either(tmp_path: Path) -> None:
    now = 204
    async with writing(tmp_path, lambda *_: now) as (server, sink):
        sink.offer([point(0)])
        await until(lambda: sink.stats.written == 1, PATIENCE_S)
        now = 400
        for i in range(1, 40, 2):
            sink.offer([point(i), point(i + 1)])
            count = len(server.requests)
            await until(lambda count=count: len(server.requests) > count, PATIENCE_S)
        await until(lambda: sink.fault() is not None and at_rest(sink), PATIENCE_S)
        now = 204
        await until(lambda: sink.stats.pending == 0, PATIENCE_S)
        assert sink.stats.refused == 0
    assert set(server.taken) == {line(point(i)) for i in range(41)}
    assert not (tmp_path / "spool" / "quarantine.lp").exists()


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_a_token_that_the_server_repeats_is_not_told(tmp_path: Path, status: int) -> None:
    """Also one that stands in a file only."""
    (tmp_path / "token").write_text("from-the-file")
    echo = {"message": 'header authorization="from-the-file" is strange'}
    async with serving(lambda *_: (status, echo)) as server:
        sink = fast(tmp_path, server.port, token_file=str(tmp_path / "token"))
        async with running(sink):
            sink.offer([point(0)])
            await until(lambda: sink.fault() is not None, PATIENCE_S)
            fault = sink.fault()
    assert fault is not None
    assert "is strange" in fault.text
    assert "from-the-file" not in fault.text


async def test_many_bad_points_in_a_row_are_put_aside_by_a_server_that_takes_others(tmp_path: Path) -> None:
    async with writing(tmp_path, lambda _, lines: 400 if any("bad" in one for one in lines) else 204) as (server, sink):
        sink.offer([point(i, "bad") for i in range(100)])
        await until(lambda: sink.fault() is not None, PATIENCE_S)
        for i in range(100_000):
            sink.offer([point(i)])
            await asyncio.sleep(0.02)
            if sink.stats.refused == 100:
                break
        await until(lambda: sink.stats.pending == 0 and sink.fault() is None, PATIENCE_S)
    assert sink.stats.refused == 100
    assert {one.split(" ")[0] for one in server.taken} == {"grid,site=home"}


async def test_a_batch_that_is_too_large_is_halved(tmp_path: Path) -> None:
    async with writing(tmp_path, lambda _, lines: 413 if len(lines) > 100 else 204) as (server, sink):
        sink.offer([point(i) for i in range(1000)])
        await until(lambda: sink.stats.pending == 0, PATIENCE_S)
        assert (sink.stats.written, sink.stats.refused) == (1000, 0)
    assert server.taken == [line(point(i)) for i in range(1000)]


@pytest.mark.parametrize("status", [429, 503])
async def test_the_server_may_ask_for_a_pause_which_holds_for_all_that_waits(tmp_path: Path, status: int) -> None:
    async with serving(lambda *_: status) as server:
        server.headers = {"Retry-After": "30"}
        async with running(fast(tmp_path, server.port)) as sink:
            sink.offer([point(), point(1, "minute"), point(2, "forecast")])
            await until(lambda: sink.fault() is not None, PATIENCE_S)
            sink.offer([point(3)])
            await until(lambda: sink.stats.pending == 4, PATIENCE_S)
            await asyncio.sleep(0.3)
            assert len(server.requests) == 1
            assert sink._busy._until_s - asyncio.get_running_loop().time() == pytest.approx(30.0, abs=29.0)


async def test_requests_are_small_and_gzipped(tmp_path: Path) -> None:
    sink = InfluxSink(config(free_port()), tmp_path / "spool")
    for start in range(0, 20_000, 100):
        sink.offer([point(i) for i in range(start, start + 100)])
        await sink.store()
    await sink.close()
    async with serving(lambda *_: 204) as server, running(fast(tmp_path, server.port)) as again:
        await until(lambda: again.stats.pending == 0 and again.stats.written > 0, PATIENCE_S)
    assert server.taken == [line(point(i)) for i in range(20_000)]
    assert max(len(request) for request in server.requests) <= 5000
    assert max(len(gzip.compress("\n".join(request).encode())) for request in server.requests) <= 1_000_000
    assert len(server.requests) <= 10


async def test_minutes_have_a_bucket_of_their_own_whose_absence_holds_up_nothing(tmp_path: Path) -> None:
    minute = Projector("home").minute(Minute(UTC_S - 20.0, pv_w=1.0, pv_s=60.0))
    async with writing(tmp_path, lambda bucket, _: 404 if bucket.endswith("_1m") else 204) as (server, sink):
        sink.offer([point(), minute])
        await until(lambda: sink.fault() is not None, PATIENCE_S)
        fault = sink.fault()
        assert fault is not None
        assert "zero_export_1m" in fault.text
        sink.offer([point(1)])
        await until(lambda: sink.stats.written == 2, PATIENCE_S)
        assert sink.stats.pending == 1
    assert server.buckets[:2] == ["zero_export", "zero_export_1m"]
    assert server.taken == [line(point(0)), line(point(1))]


async def test_points_that_the_disk_is_too_slow_for_give_way_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.telemetry.influx.INBOX", 100)
    sink = InfluxSink(config(free_port()), tmp_path / "spool")
    sink.offer([point(i) for i in range(1000)])
    assert (sink.stats.pending, sink.stats.dropped) == (100, 900)
    await sink.close()


async def test_a_stop_writes_what_is_left(tmp_path: Path) -> None:
    async with serving(lambda *_: 204) as server:
        sink = InfluxSink(config(server.port), tmp_path / "spool")
        async with running(sink):
            sink.offer([point(i) for i in range(700)])
        await sink.close()
    assert server.taken == [line(point(i)) for i in range(700)]


async def test_a_stop_does_not_wait_for_a_server_that_hangs_and_the_next_start_has_its_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.telemetry.influx.CLOSE_S", 0.2)
    released = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    sink = fast(tmp_path, server.sockets[0].getsockname()[1])
    sink.offer([point()])
    async with asyncio.timeout(9.0):  # a request may take ten seconds
        await sink.close()
    released.set()
    server.close()
    await server.wait_closed()
    assert caplog.messages == []
    async with serving(lambda *_: 204) as well, running(fast(tmp_path, well.port)) as again:
        await until(lambda: again.stats.written == 1, PATIENCE_S)
    assert well.taken == [line(point())]


async def test_a_stop_in_the_middle_of_a_write_loses_nothing(tmp_path: Path) -> None:
    taken: list[str] = []
    slow = asyncio.Event()

    async with serving(lambda *_: 204) as server:
        handle = server.handle

        async def delayed(request):  # type: ignore[no-untyped-def]
            taken.extend((await request.text()).split("\n"))
            await slow.wait()
            return await handle(request)

        server.handle = delayed  # type: ignore[method-assign]
        sink = fast(tmp_path, server.port)
        async with running(sink):
            sink.offer([point(0)])
            await until(lambda: server.seen or taken, PATIENCE_S)
            sink.offer([point(1)])
        slow.set()
        await sink.close()
    assert set(server.taken) == {line(point(0)), line(point(1))}
    assert sink.stats.pending == 0


async def test_a_token_that_appears_after_the_start_is_used(tmp_path: Path) -> None:
    token_file = tmp_path / "app-token"
    token_file.write_text("not-yet\n")

    async with serving(lambda *_: 204) as server:

        def answer(*_: object) -> int:
            return 204 if server.seen[-1].headers["Authorization"] == "Token made-later" else 401

        server.answer = answer
        settings = config(server.port, token="not-yet", token_file=token_file)
        sink = InfluxSink(settings, tmp_path / "spool", flush_s=0.02, retry_s=(0.02, 3600.0))
        async with running(sink):
            sink.offer([point()])
            await until(lambda: sink.fault() is not None, PATIENCE_S, "the refusal is a fault")
            token_file.write_text("made-later\n")
            await until(lambda: sink.stats.written == 1, PATIENCE_S, "the point is written")
            assert sink.fault() is None
        assert [r.headers["Authorization"] for r in server.seen] == ["Token not-yet", "Token made-later"]


def test_a_server_that_does_not_answer_is_told_so() -> None:
    assert _cause(ConnectionResetError(104, "Connection reset by peer")) == "Connection reset by peer"
    assert _cause(ConnectionError()) == "ConnectionError"
