"""Recording ticks and replaying them: what is kept, what survives, and what a changed law is shown to do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gzip
import json
import math
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app import cli
from app.config import load
from app.control import Controller, ControlSettings
from app.hub import Hub
from app.meters.http_json import HttpJson, HttpJsonConfig
from app.model import Decision, DeviceError, MeterState, Mode, Snapshot, Tick
from app.recorder import WAITING, Recorder, Segments
from app.recording import FORMAT, Header, Note, RecordingError, TickLine, decode, encode_header, encode_tick
from app.replay import Report, replay
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from tests.closed_loop import ClosedLoop
from tests.conftest import until
from tests.telemetry.ticks import make_inverter, make_tick, one_command

SETTINGS = ControlSettings()


class Watched(Controller):
    """A controller whose ticks are kept."""

    def __init__(self, settings: ControlSettings) -> None:
        super().__init__(settings)
        self.ticks: list[Tick] = []

    def step(self, snapshot: Snapshot) -> Decision:
        decision = super().step(snapshot)
        self.ticks.append(Tick(snapshot, decision))
        return decision


@functools.cache
def some_minutes() -> tuple[Tick, ...]:
    """A house under control: a kettle, a cloud, a lost meter, a pause."""
    loop = ClosedLoop(HouseConfig(seed=3, inverters=fleet(2)))
    loop.controller = watched = Watched(SETTINGS)
    loop.house.sun_override, loop.house.load_override_w = 0.9, 500.0
    loop.run(60)
    loop.house.load_override_w = 1400.0
    loop.run(30)
    loop.house.load_override_w, loop.house.sun_override = 400.0, 0.2
    loop.run(40)
    loop.house.sun_override, loop.meter_answers = 0.9, False
    loop.run(15)
    loop.meter_answers = True
    loop.run(35)
    loop.settings = replace(loop.settings, enabled=False)
    loop.run(20)
    loop.settings = replace(loop.settings, enabled=True)
    loop.run(40)
    return tuple(watched.ticks)


@pytest.fixture(autouse=True)
def _lived() -> None:
    """They are lived through before a test's own loop runs."""
    some_minutes()


def uneventful(seconds: int, from_s: float = 0.0) -> list[Tick]:
    """Nothing can be commanded, so that no law needs a memory."""
    law, ticks = Controller(SETTINGS), []
    for second in range(seconds):
        snapshot = make_tick(from_s + second, inverters=(make_inverter(enabled=False),)).snapshot
        ticks.append(Tick(snapshot, law.step(snapshot)))
    return ticks


def header(**changes: object) -> Header:
    known = Header(FORMAT, "0.1.0", "home", "a1", True, 1_750_000_000.0, SETTINGS, ("116180400001",))
    return replace(known, **changes)  # type: ignore[arg-type]


def store(folder: Path, ticks: Sequence[Tick], *, each: int = 60, max_bytes: int = 10**9, **changes: object) -> None:
    """What the recorder does every minute, at once."""
    segments = Segments(folder, max_bytes)
    for index in range(0, len(ticks), each):
        segments.write(header(index=index, **changes), b"".join(map(encode_tick, ticks[index : index + each])))
    segments.close()


def plain(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def read(path: Path) -> tuple[list[Tick], list[str]]:
    """The ticks of one file, and the notes on it."""
    content = path.read_bytes()
    items = list(decode((content[at : at + 512] for at in range(0, len(content), 512)), path.name))
    ticks = [item.tick for item in items if isinstance(item, TickLine)]
    return ticks, [item.text for item in items if isinstance(item, Note)]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl.gz"))


# -- the same law, and a changed one ---------------------------------------------------------------


def test_the_same_law_decides_the_same_over_several_files(tmp_path: Path) -> None:
    ticks = some_minutes()
    modes = {tick.decision.mode for tick in ticks}
    assert {Mode.LIMIT, Mode.PAUSED, Mode.FAIL_SAFE} <= modes, "the recording is worth replaying"
    store(tmp_path, ticks, max_bytes=60_000)
    assert len(files(tmp_path)) > 1
    report = replay([tmp_path])
    assert (report.ticks, report.differing, report.warm_up_ticks, report.runs) == (len(ticks), 0, 0, 1), report
    assert report.commands_recorded == report.commands_now == sum(len(tick.decision.commands) for tick in ticks) > 0
    assert report.to_utc_s - report.from_utc_s == pytest.approx(len(ticks) - 1)
    assert "decisions are the same" in str(report)


def test_a_changed_setting_shows_both_decisions_in_words(tmp_path: Path) -> None:
    store(tmp_path, some_minutes())
    report = replay([tmp_path], replace(SETTINGS, deadband_w=400.0), keep=3)
    assert report.differing >= report.kinds["commands"] > 0
    assert len(report.differences) == 3
    first = next(d for d in replay([tmp_path], replace(SETTINGS, deadband_w=400.0), keep=None).differences
                 if d.recorded.commands and not d.now.commands)  # fmt: skip
    recorded, now = str(first).splitlines()[1:]
    command = first.recorded.commands[0]
    assert recorded.strip().startswith(f"recorded  {first.recorded.mode}, {command.serial} to {command.limit_w:.1f} W")
    assert first.recorded.reason in recorded
    assert now.strip() == f"now       {first.now.mode}, no command: {first.now.reason}"
    assert f"{report.differing} of {report.ticks} decisions differ" in str(report)
    assert f"{report.differing - 3} more; --all shows them" in str(report)


def test_a_limit_counts_as_different_beyond_half_a_watt(tmp_path: Path) -> None:
    ticks = list(some_minutes())
    at = next(index for index, tick in enumerate(ticks) if tick.decision.commands)

    def found(**changes: object) -> Report:
        first = replace(ticks[at].decision.commands[0], **changes)  # type: ignore[arg-type]
        commands = (first, *ticks[at].decision.commands[1:])
        changed = replace(ticks[at], decision=replace(ticks[at].decision, commands=commands))
        store(tmp_path / str(len(list(tmp_path.iterdir()))), [*ticks[:at], changed, *ticks[at + 1 :]])
        return replay([max(tmp_path.iterdir())])

    limit_w = ticks[at].decision.commands[0].limit_w
    assert found(limit_w=limit_w + 0.4).differing == 0
    assert found(limit_w=limit_w + 0.6).kinds == {"mode": 0, "commands": 1, "reason": 0}
    assert found(limit_w=math.nan).differing == 1
    assert found(serial="other").differing == 1


# -- recordings that do not begin with the program -------------------------------------------------


def falsified(ticks: Sequence[Tick], *seconds: int) -> list[Tick]:
    """The same with another reason recorded at some seconds."""
    changed = list(ticks)
    for at in seconds:
        changed[at] = replace(changed[at], decision=replace(changed[at].decision, reason="something else"))
    return changed


@pytest.mark.parametrize("changes", [{"from_start": False}, {"index": 5000}])
def test_the_first_minute_of_a_recording_from_the_middle_is_not_compared(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    ticks = falsified(uneventful(100), 3, 59, 60, 80)
    report = replay([plain(tmp_path / "x.jsonl", encode_header(header(**changes)), *map(encode_tick, ticks))])
    assert (report.warm_up_ticks, report.ignored, report.differing) == (60, 2, 2)
    assert "not compared: 60 ticks" in str(report)
    assert "(2 differ)" in str(report)
    assert [difference.where for difference in report.differences] == ["x.jsonl:62", "x.jsonl:82"]


def test_the_limits_in_force_are_known_in_the_middle(tmp_path: Path) -> None:
    """Else every inverter that is not commanded again soon would seem to need a first limit for ever."""
    loop = ClosedLoop(HouseConfig(seed=3, inverters=fleet(1)))
    loop.controller = watched = Watched(SETTINGS)
    loop.house.sun_override, loop.house.load_override_w = 0.9, 500.0
    loop.run(300)
    store(tmp_path, watched.ticks[150:], from_start=False)
    report = replay([tmp_path])
    assert report.warm_up_ticks == 60
    assert report.differing + report.ignored < 0.2 * report.ticks


def test_a_new_start_of_the_program_begins_anew_and_a_missing_file_is_a_gap(tmp_path: Path) -> None:
    ticks = uneventful(300)
    parts = [ticks[:100], ticks[100:200], ticks[200:]]
    paths = [
        plain(tmp_path / f"{i}.jsonl", encode_header(header(index=100 * i)), *map(encode_tick, part))
        for i, part in enumerate(parts)
    ]
    restarted = plain(tmp_path / "9.jsonl", encode_header(header(run="b2")), *map(encode_tick, uneventful(50, 300.0)))
    whole, torn = replay([*paths, restarted]), replay([paths[0], paths[2], restarted])
    assert (whole.ticks, whole.runs, whole.warm_up_ticks, whole.segments) == (350, 2, 0, 4)
    assert (torn.ticks, torn.runs, torn.warm_up_ticks) == (250, 3, 60)


def test_too_little_to_compare_is_told(tmp_path: Path) -> None:
    path = plain(tmp_path / "x.jsonl", encode_header(header(from_start=False)), *map(encode_tick, uneventful(30)))
    with pytest.raises(RecordingError, match="nothing to compare.*30 ticks"):
        replay([path])


# -- the format ------------------------------------------------------------------------------------


def test_a_tick_comes_back_as_it_was() -> None:
    odd = make_tick(commands=one_command(), step_s=math.inf, grid_w=1 / 3, load_w=-math.inf, outlook=None)
    items = list(decode([encode_header(header()) + encode_tick(odd)], "x"))
    assert items == [header(), TickLine(2, odd)]
    blind = list(decode([encode_header(header()) + encode_tick(replace(odd, step_s=math.nan))], "x"))[-1]
    assert isinstance(blind, TickLine)
    assert math.isnan(blind.tick.step_s)
    line = encode_tick(replace(odd, step_s=math.nan))
    assert json.loads(line, parse_constant=pytest.fail), "any program can read it"


def test_fields_that_an_old_recording_lacks_have_their_defaults() -> None:
    document = json.loads(encode_tick(make_tick()))
    del document["snapshot"]["broker_fault"], document["snapshot"]["inverters"][0]["resets"], document["step_s"]
    begin = json.loads(encode_header(header()))
    gone = next(field.name for field in dataclasses.fields(ControlSettings))
    del begin["settings"][gone]
    begin["settings"]["flux_compensation"] = 88
    lines = [json.dumps(begin), json.dumps(document), ""]
    unknown, missing, first, second = decode(["\n".join(lines).encode()], "old.jsonl")
    assert isinstance(unknown, Note)
    assert isinstance(missing, Note)
    assert unknown.text == "old.jsonl:1: recorded settings that this version does not have: flux_compensation"
    assert missing.text == f"old.jsonl:1: settings that were not recorded, used with their defaults: {gone}"
    assert first == header()
    assert second == TickLine(2, replace(make_tick(outlook=None), step_s=0.0))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"<html>\n", "x.jsonl:1: is no JSON"),
        (b"[]\n", "x.jsonl:1: is no header, so this is no recording of ticks"),
        (b'{"format": 7}\n', "x.jsonl:1: the format is 7; this version reads 1"),
        (b'{"format": 1}\n', "x.jsonl:1: app: is missing"),
        (encode_header(header()) + b'{"snapshot": 5}\n', "x.jsonl:2: snapshot: "),
        (
            encode_header(header()) + encode_tick(make_tick()).replace(b'"good_in_a_row":0', b'"good_in_a_row":"x"'),
            "x.jsonl:2: snapshot.meter.good_in_a_row: input should be a valid integer",
        ),
        (
            encode_header(header()) + encode_tick(make_tick()).replace(b'"mode":"limit",', b""),
            "x.jsonl:2: decision.mode: is missing",
        ),
        (
            encode_header(header()) + encode_tick(make_tick()) + b"{}}\n" + encode_tick(make_tick()),
            "x.jsonl:3: is no JSON",
        ),
        (encode_header(header()) + 2 * encode_tick(make_tick()), "x.jsonl:3: is not later than the tick before it"),
        (encode_header(header()), "there is no tick in it"),
        (b"", "x.jsonl:1: the file is empty"),
        (b"\x1f\x8b not gzip at all", "x.jsonl:1: is damaged"),
    ],
)
def test_a_bad_file_is_told_with_its_line_and_exits_2(
    tmp_path: Path, content: bytes, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", str(plain(tmp_path / "x.jsonl", content))]) == 2
    told = capsys.readouterr()
    assert expected in told.err
    assert told.out == ""


@pytest.mark.parametrize("what", ["nowhere.jsonl", "."])
def test_what_is_not_there_exits_2(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(tmp_path / what)]) == 2
    assert capsys.readouterr().err.startswith(str(tmp_path))


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    ticks = some_minutes()
    store(tmp_path, ticks, each=20)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    counts = []
    for size in range(0, len(whole), 997):
        found, notes = read(plain(tmp_path / "cut.gz", whole[:size]))
        assert found == list(ticks[: len(found)])
        assert len(notes) == 1
        counts.append(len(found))
    assert counts == sorted(counts)
    assert counts[-1] > 0.9 * len(ticks)
    for tail in (bytes(4096), b"\xff" * 100):  # what a file system may leave after a power cut
        found, notes = read(plain(tmp_path / "torn.gz", whole[: len(whole) // 2] + tail))
        assert 0.2 * len(ticks) < len(found) < len(ticks)
        assert found == list(ticks[: len(found)])
        assert notes


def test_files_joined_into_one_can_be_replayed(tmp_path: Path) -> None:
    ticks = some_minutes()
    store(tmp_path / "ticks", ticks, max_bytes=60_000)
    joined = b"".join(path.read_bytes() for path in files(tmp_path / "ticks"))
    assert replay([plain(tmp_path / "all.jsonl.gz", joined)]).differing == 0
    report = replay([plain(tmp_path / "all.jsonl", gzip.decompress(joined))])
    assert (report.ticks, report.differing, report.runs) == (len(ticks), 0, 1)


# -- the files -------------------------------------------------------------------------------------


def test_the_oldest_are_deleted_so_that_all_stay_within_the_size(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("stays")
    (tmp_path / "copy.jsonl.gz").write_bytes(bytes(50_000))
    segments, ticks, sizes = Segments(tmp_path, 40_000), some_minutes(), []
    for minute in range(60):
        block = [
            replace(tick, step_s=minute + i / 7, snapshot=replace(tick.snapshot, now_s=60.0 * minute + i))
            for i, tick in enumerate(ticks[:60])
        ]
        segments.write(header(index=60 * minute), b"".join(map(encode_tick, block)))
        sizes.append(sum(path.stat().st_size for path in tmp_path.glob("0*.jsonl.gz")))
    segments.close()
    assert 30_000 < max(sizes) <= 40_000
    kept = sorted(tmp_path.glob("0*.jsonl.gz"))
    assert len(kept) >= 3
    assert kept[0].name > "000005"
    assert read(kept[-1])[0][-1].step_s == pytest.approx(59 + 59 / 7)
    assert (tmp_path / "mine.txt").exists()
    assert (tmp_path / "copy.jsonl.gz").exists()


def test_a_new_process_never_writes_into_an_old_file(tmp_path: Path) -> None:
    for run in ("a1", "b2", "c3"):
        store(tmp_path, uneventful(5), run=run)
    assert [path.name[:6] for path in files(tmp_path)] == ["000001", "000002", "000003"]
    assert replay([tmp_path]).runs == 3


@contextlib.asynccontextmanager
async def recording(folder: Path, hub: Hub, flush_s: float = 60.0) -> AsyncIterator[Recorder]:
    recorder = Recorder(folder, 10.0, hub, site="home", settings=SETTINGS, flush_s=flush_s)
    task = asyncio.create_task(recorder.run())
    await asyncio.sleep(0)
    try:
        yield recorder
    finally:
        await recorder.close()
        task.cancel()


async def publish(hub: Hub, ticks: Sequence[Tick]) -> None:
    for tick in ticks:
        hub.publish(tick)
        await asyncio.sleep(0)


async def test_the_recorder_keeps_every_tick_for_its_owner_only(tmp_path: Path) -> None:
    hub, folder, ticks = Hub(), tmp_path / "data" / "ticks", some_minutes()
    async with recording(folder, hub):
        await publish(hub, ticks)
        assert not folder.exists(), "nothing is written before the minute is over"
    (path,) = files(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    report = replay([folder])
    assert (report.ticks, report.differing, report.warm_up_ticks) == (len(ticks), 0, 0)
    assert report.inverters == tuple(state.serial for state in ticks[0].snapshot.inverters)


async def test_a_recorder_that_starts_later_says_so(tmp_path: Path) -> None:
    hub, ticks = Hub(), some_minutes()
    hub.publish(ticks[0])
    async with recording(tmp_path, hub):
        await publish(hub, ticks[1:])
    assert replay([tmp_path]).warm_up_ticks == 60


async def test_a_disk_that_hangs_holds_nothing_up_and_leaves_a_gap(tmp_path: Path) -> None:
    hub, hangs, ticks = Hub(), threading.Event(), uneventful(3 * WAITING)

    def found() -> list[Tick]:
        return [tick for path in files(tmp_path) for tick in read(path)[0]]

    async with recording(tmp_path, hub, flush_s=0.0) as recorder:
        write = recorder._segments.write
        recorder._segments.write = lambda *what: (hangs.wait(20), write(*what))[1]  # type: ignore[method-assign]
        started_s = time.monotonic()
        await publish(hub, ticks[:-1])
        assert time.monotonic() - started_s < 15.0
        assert not files(tmp_path)
        hangs.set()
        await until(lambda: found()[-1:] == [ticks[-2]], what="what still waited")
        hub.publish(ticks[-1])
    assert found() == [ticks[0], *ticks[-1 - WAITING :]]
    begins = [next(iter(decode([path.read_bytes()], path.name))) for path in files(tmp_path)]
    assert [begin.from_start for begin in begins if isinstance(begin, Header)] == [True, False]
    assert replay([tmp_path]).runs == 2


async def test_a_disk_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app.recorder")
    hub, folder, ticks = Hub(), tmp_path / "ticks", uneventful(30)
    folder.write_text("in the way")
    async with recording(folder, hub, flush_s=0.0):
        for tick in ticks[:10]:
            hub.publish(tick)
            await asyncio.sleep(0.01)
        await until(lambda: "cannot be recorded" in caplog.text)
        folder.unlink()
        await asyncio.sleep(0.05)
        for tick in ticks[10:]:
            hub.publish(tick)
            await asyncio.sleep(0.01)
        await until(lambda: "recorded again" in caplog.text)
    assert caplog.text.count("cannot be recorded") == 1
    found = [tick for path in files(folder) for tick in read(path)[0]]
    assert found == ticks[-len(found) :]
    assert not any(item.from_start for path in files(folder) for item in decode([path.read_bytes()], "")
                   if isinstance(item, Header))  # fmt: skip


KILLED = """
import asyncio, sys
from pathlib import Path
from app.hub import Hub
from app.recorder import Recorder
from tests.test_recording import SETTINGS, uneventful

async def main() -> None:
    hub = Hub()
    recorder = Recorder(Path(sys.argv[1]), 10.0, hub, site="home", settings=SETTINGS, flush_s=0.1)
    task = asyncio.create_task(recorder.run())
    for tick in uneventful(2000):
        await asyncio.sleep(0.005)
        hub.publish(tick)
    await task

asyncio.run(main())
"""


async def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root)
    try:
        await until(lambda: sum(path.stat().st_size for path in files(tmp_path)) > 3000, 60, "something written")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    report = replay([tmp_path])
    assert report.ticks > 20
    assert report.differing == 0
    assert "can be read up to about here" in report.notes[0]


def test_recording_a_tick_costs_the_loop_little() -> None:
    """Encoding is all that happens beside control; four inverters with everything known."""
    tick = make_tick(inverters=tuple(make_inverter(f"11618040000{i}", f"Roof {i}") for i in range(4)))
    best_s = math.inf
    for _ in range(20):
        started_s = time.perf_counter()
        for _ in range(20):
            encode_tick(tick)
        best_s = min(best_s, (time.perf_counter() - started_s) / 20)
    assert best_s < 5e-3, "20 us are usual"


# -- secrets ---------------------------------------------------------------------------------------


async def fault_of(url: str) -> str:
    """What a meter says that cannot be read."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(DeviceError) as caught:
            await HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.power"), session).read()
    return str(caught.value)


@pytest.mark.parametrize("status", [200, 401, 404])
async def test_no_login_in_an_address_gets_into_a_recording(status: int) -> None:
    """The faults of a meter name its URL, and even the path of that may hold a token."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text="{}")

    app = web.Application()
    app.router.add_get("/s3cret/power", answer)
    async with TestServer(app) as server:
        address = f"127.0.0.1:{server.port}"
        faults = [
            await fault_of(f"http://{address}/s3cret/power?token=s3cret"),
            f"http://joe:s3cret@{address}/ answers HTTP {status}",
            "see https://10.0.0.6, or ask",
            "cannot reach http://joe:s?3@crs3cret@x/?s3cret",
        ]
    assert "s3cret" not in faults[0], "the driver knows its own secrets"
    law, ticks = Controller(SETTINGS), []
    for second in range(20):
        snapshot = make_tick(second, reading=None).snapshot
        meter = MeterState(None, "; ".join(faults))
        snapshot = replace(snapshot, meter=meter, broker_connected=False, broker_fault=faults[1])
        ticks.append(Tick(snapshot, law.step(snapshot)))
    assert "s3cret" in repr([tick.decision for tick in ticks])
    lines = b"".join(map(encode_tick, ticks))
    assert b"s3cret" not in lines
    assert f"http://{address}".encode() in lines
    assert b"see https://10.0.0.6, or ask" in lines
    assert len(list(decode([encode_header(header()), lines], "x"))) == 21, "it can be read all the same"


# -- the command -----------------------------------------------------------------------------------


def test_the_command_exits_0_or_1_and_tells_in_words_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path / "ticks", some_minutes())
    assert cli.main(["replay", str(tmp_path / "ticks")]) == 0
    assert "decisions are the same" in capsys.readouterr().out
    config = tmp_path / "config.yaml"
    config.write_text(
        "meter: {type: shelly, host: 10.0.0.5}\ninverters: [{serial: '116180400001', max_watt: 1500}]\n"
        "control: {deadband_w: 400}\n"
    )
    arguments = ["replay", "--config", str(config), str(tmp_path / "ticks")]
    assert cli.main(arguments) == 1
    assert "decisions differ" in capsys.readouterr().out
    assert cli.main([*arguments, "--json"]) == 1
    short = json.loads(capsys.readouterr().out)
    assert cli.main([*arguments, "--json", "--all"]) == 1
    full = json.loads(capsys.readouterr().out)
    assert (len(short["differences"]), len(full["differences"])) == (min(10, full["differing"]), full["differing"])
    assert full["differences"][0]["recorded"].keys() == {"mode", "reason", "commands"}
    config.write_text("control: {deadband_w: 400}\n")
    assert cli.main(arguments) == 2


@pytest.mark.parametrize(
    ("line", "max_mb"), [("", None), ("recorder:", 64.0), ("recorder: {}", 64.0), ("recorder: {max_mb: 5}", 5.0)]
)
def test_recording_is_on_where_the_section_is_there(tmp_path: Path, line: str, max_mb: float | None) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"meter: {{type: shelly, host: h}}\ninverters: [{{serial: '116180400001', max_watt: 800}}]\n{line}\n"
    )
    recorder = load(path, {}).recorder
    assert (recorder.max_mb if recorder is not None else None) == max_mb
