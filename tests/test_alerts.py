"""Who is told of faults, by a real program and a real server: once each, and never at control's expense."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.alerts import QUEUED, Alerts, Watch
from app.config import AlertsConfig, Config
from app.model import Fault
from tests.conftest import free_port, until

METER = Fault("meter", "The meter is silent: no reading for 9 s.", "Check its power.", 1_750_000_000.0)
DISK = Fault("sqlite", "The disk is full.", "Make room.", 1_750_000_000.0)
SECRET = "canary-7f3a"


class House:
    """The faults of now, and the alerts that are watched over them."""

    def __init__(self, **alerts: Any) -> None:
        self.faults: tuple[Fault, ...] = ()
        self.alerts = Alerts(AlertsConfig.model_validate({"after_s": 0, **alerts}), "home", lambda: self.faults)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.alerts.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Listener:
    """A server that notes what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answers: list[int] = []
        self.location = ""
        self.hangs = False

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.json()))
        if self.hangs:
            await asyncio.sleep(60)
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": self.location} if self.location else {})

    def told(self) -> list[tuple[str, str]]:
        return [(body["state"], body["key"]) for _, body in self.requests]


@pytest.fixture
async def listener() -> AsyncIterator[tuple[Listener, str]]:
    listener = Listener()
    application = web.Application()
    application.router.add_post("/hook/{secret}", listener.take)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    yield listener, f"http://127.0.0.1:{server.port}/hook/{SECRET}"
    await server.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.alerts.LOOK_S", 0.01)
    monkeypatch.setattr("app.hooks.Webhook.retry_s", (0.01, 0.02, 0.03))


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], tuple[str, Path]]:
    """Makes a program of a few lines; it may write to the file that is given back."""

    def make(lines: str) -> tuple[str, Path]:
        out = tmp_path / "out"
        path = tmp_path / "tell.sh"
        path.write_text(f"#!/bin/sh\nOUT={out}\n{lines}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path), out

    return make


class TestWhatIsTold:
    """The judgement, in virtual time."""

    def test_a_fault_that_lasts_is_told_once_and_so_is_its_end(self) -> None:
        watch = Watch(30.0)
        assert [watch.look([METER], float(s)) for s in range(30)] == [([], [])] * 30
        assert watch.look([METER], 30.0) == ([METER], [])
        assert [watch.look([METER], 31.0 + s) for s in range(600)] == [([], [])] * 600
        assert [watch.look([], 631.0 + s) for s in range(29)] == [([], [])] * 29
        assert watch.look([], 660.0) == ([], [METER])
        assert watch.look([], 661.0) == ([], [])

    def test_a_short_one_is_not_told_and_neither_is_its_end(self) -> None:
        watch = Watch(30.0)
        found = [watch.look([METER] if s < 29 else [], float(s)) for s in range(200)]
        assert found == [([], [])] * 200

    @pytest.mark.parametrize(("on_s", "off_s"), [(1, 1), (40, 5), (2, 29), (29, 1)])
    def test_a_thousand_flaps_are_one_fault_and_one_recovery(self, on_s: int, off_s: int) -> None:
        watch, now_s = Watch(30.0), 0
        new: list[Fault] = []
        over: list[Fault] = []

        def last(seconds: int, faults: list[Fault]) -> None:
            nonlocal now_s
            for _ in range(seconds):
                now_s += 1
                begun, ended = watch.look(faults, float(now_s))
                new.extend(begun)
                over.extend(ended)

        for _ in range(1000):
            last(on_s, [METER])
            last(off_s, [])
        assert (len(new), over) == (1, [])
        last(60, [])
        assert (len(new), len(over)) == (1, 1)

    def test_rare_blips_are_never_told(self) -> None:
        watch = Watch(30.0)
        found = [watch.look([METER] if s % 40 < 5 else [], float(s)) for s in range(4000)]
        assert found == [([], [])] * 4000

    def test_a_new_text_is_no_new_fault(self) -> None:
        watch = Watch(1.0)
        texts = [Fault("meter", f"No reading for {s} s.", "Check.") for s in range(100)]
        new = [fault for s, fault in enumerate(texts) for fault in watch.look([fault], float(s))[0]]
        assert [fault.text for fault in new] == ["No reading for 1 s."]
        assert watch.look([], 200.0) == ([], [texts[-1]])

    def test_each_fault_goes_its_own_way(self) -> None:
        watch = Watch(10.0)
        watch.look([METER], 0.0)
        assert watch.look([METER, DISK], 10.0) == ([METER], [])
        assert watch.look([DISK], 20.0) == ([DISK], [METER])


async def test_a_webhook_is_told(listener: tuple[Listener, str]) -> None:
    server, url = listener
    house = House(webhook={"url": url, "bearer_token": "sesame", "headers": {"X-Title": "Zero export"}})
    async with house.watched():
        house.faults = (METER,)
        await until(lambda: server.requests)
        house.faults = ()
        await until(lambda: len(server.requests) == 2)
    headers, body = server.requests[0]
    assert headers["Authorization"] == "Bearer sesame"
    assert headers["X-Title"] == "Zero export"
    assert headers["Content-Type"] == "application/json"
    stamp = body.pop("time")
    assert stamp.endswith("Z")
    assert body == {
        "site": "home",
        "state": "fault",
        "key": "meter",
        "text": METER.text,
        "next_step": METER.next_step,
        "since": "2025-06-15T15:06:40.000Z",
    }
    assert server.told() == [("fault", "meter"), ("recovered", "meter")]
    assert server.requests[1][1]["next_step"] == ""


async def test_a_command_is_told_in_its_environment_and_on_its_input(
    script: Callable[[str], tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MQTT_PASSWORD", "INFLUXDB_TOKEN", "AMBER_TOKEN", "PYTHONPATH"):
        monkeypatch.setenv(name, SECRET)
    program, out = script('{ cat; echo; echo "$1"; env; } > $OUT.part; mv $OUT.part $OUT')
    house = House(command=[program, "an argument; with $HOME"])
    nasty = Fault("gateway:\0\ud800", 'A "$(touch x)" name\nwith all\0 of it', "", None)
    async with house.watched():
        house.faults = (nasty,)
        await until(out.exists)
    text, argument, *environment = out.read_text().splitlines()
    assert json.loads(text)["key"] == nasty.key
    assert argument == "an argument; with $HOME"
    names = {line.split("=")[0] for line in environment if "=" in line}
    assert {"ALERT_STATE", "ALERT_KEY", "ALERT_TEXT", "ALERT_NEXT_STEP", "ALERT_SITE", "ALERT_SINCE"} <= names
    assert names <= {*(n for n in names if n.startswith("ALERT_")), "PATH", "HOME", "LANG", "TZ", "PWD", "SHLVL", "_"}
    assert 'ALERT_TEXT=A "$(touch x)" name' in environment
    assert "ALERT_STATE=fault" in environment
    assert SECRET not in out.read_text()


async def test_a_command_that_hangs_is_killed_with_all_it_started(
    script: Callable[[str], tuple[str, Path]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.hooks.COMMAND_TIMEOUT_S", 0.5)
    program, out = script("sleep 600 & echo $! $$ > $OUT.part; mv $OUT.part $OUT; sleep 600")
    house = House(command=[program])
    async with house.watched():
        house.faults = (METER,)
        await until(lambda: "was killed" in caplog.text)
    pids = [int(pid) for pid in out.read_text().split()]
    await until(lambda: not any(alive(pid) for pid in pids), what=f"the end of {pids}")
    assert len(caplog.records) == 1


async def test_stopping_kills_a_command_that_runs(script: Callable[[str], tuple[str, Path]]) -> None:
    program, out = script("echo $$ > $OUT.part; mv $OUT.part $OUT; sleep 600")
    house = House(command=[program])
    async with house.watched():
        house.faults = (METER,)
        await until(out.exists)
    await until(lambda: not alive(int(out.read_text())))


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waits for its parent's notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("lines", "said"),
    [("exit 3", "ended with exit code 3"), ("kill -9 $$", "ended with exit code -9"), (None, "cannot be started")],
)
async def test_a_command_that_fails_is_one_line_in_the_log(
    script: Callable[[str], tuple[str, Path]], lines: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    program = script(lines)[0] if lines is not None else "/nowhere/tell.sh"
    house = House(command=[program, SECRET])
    assert ("is not there" in caplog.text) == (lines is None), "told at once, and not only when it is needed"
    caplog.clear()
    async with house.watched():
        for faults in ((METER,), (), (DISK,), (METER, DISK), ()):
            house.faults = faults
            await asyncio.sleep(0.05)
        await until(lambda: said in caplog.text)
        await asyncio.sleep(0.1)
    assert len(caplog.records) == 1
    assert SECRET not in caplog.text


async def test_a_webhook_that_refuses_is_tried_again_and_then_told(
    listener: tuple[Listener, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="app")
    server, url = listener
    server.answers = [500] * 3
    house = House(webhook={"url": url})
    async with house.watched():
        house.faults = (METER,)
        await until(lambda: len(server.requests) == 4)
        await asyncio.sleep(0.05)
        assert not caplog.records, "the fourth time it worked"
        server.answers = [403] * 8
        house.faults = (METER, DISK)
        await until(lambda: caplog.records)
        house.faults = (DISK,)
        await until(lambda: len(server.requests) == 12)
        house.faults = ()
        await until(lambda: "works again" in caplog.text)
    assert "answers HTTP 403; the alert about sqlite is lost" in caplog.records[0].getMessage()
    assert len(caplog.records) == 2
    assert SECRET not in caplog.text


async def test_a_redirect_is_not_followed(listener: tuple[Listener, str], caplog: pytest.LogCaptureFixture) -> None:
    server, url = listener
    server.answers, server.location = [307] * 4, url.replace("/hook/", "/hook/elsewhere")
    house = House(webhook={"url": url, "bearer_token": "sesame"})
    async with house.watched():
        house.faults = (METER,)
        await until(lambda: "answers HTTP 307" in caplog.text)
    assert len(server.requests) == 4


@pytest.mark.parametrize("how", ["nobody listens", "silence", "no port"])
async def test_a_webhook_that_cannot_be_reached(
    listener: tuple[Listener, str], how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.hooks.WEBHOOK_TIMEOUT_S", 0.1)
    server, url = listener
    server.hangs = True
    port = {"nobody listens": f":{free_port()}/", "no port": ":99999/"}.get(how)
    house = House(webhook={"url": url if port is None else f"http://127.0.0.1{port}{SECRET}"})
    async with house.watched():
        house.faults = (METER,)
        await until(lambda: caplog.records)
    assert ("has not answered within" if how == "silence" else "cannot be reached") in caplog.text
    assert SECRET not in caplog.text


async def test_one_hook_that_hangs_does_not_hold_up_the_other(
    listener: tuple[Listener, str], script: Callable[[str], tuple[str, Path]]
) -> None:
    server, url = listener
    program, out = script("echo x > $OUT; sleep 600")
    house = House(webhook={"url": url}, command=[program])
    async with house.watched():
        house.faults = (METER,)
        await until(out.exists)
        house.faults = ()
        await until(lambda: server.told() == [("fault", "meter"), ("recovered", "meter")])


async def test_what_waits_is_bounded_and_the_newest_is_kept(listener: tuple[Listener, str]) -> None:
    server, url = listener
    house = House(webhook={"url": url})
    faults = tuple(Fault(f"f{index}", "text", "step") for index in range(5 * QUEUED))
    house.faults = faults
    house.alerts._look()
    async with house.watched():
        await until(lambda: len(server.requests) == QUEUED)
        await asyncio.sleep(0.05)
    assert [key for _, key in server.told()] == [fault.key for fault in faults[-QUEUED:]]


async def test_control_is_not_held_up(script: Callable[[str], tuple[str, Path]]) -> None:
    program, out = script("cat > /dev/null; echo x >> $OUT")
    house = House(command=[program])
    longest_s = 0.0
    async with house.watched():
        before_s = time.perf_counter()
        house.faults = tuple(Fault(f"f{index}", "text" * 400, "step") for index in range(20))
        while not (out.exists() and out.read_text().count("x") == 20):
            await asyncio.sleep(0.005)
            longest_s, before_s = max(longest_s, time.perf_counter() - before_s), time.perf_counter()
    assert longest_s < 2.0


class TestTheConfiguration:
    """What is accepted, and that no secret is shown."""

    @pytest.mark.parametrize(
        ("alerts", "said"),
        [
            ({}, "command, webhook or both"),
            ({"command": []}, "command, webhook or both"),
            ({"command": "tell.sh"}, "is a list"),
            ({"command": ["tell.sh", ""]}, "empty"),
            ({"command": ["tell\0"]}, "NUL"),
            ({"webhook": {}}, "url"),
            ({"webhook": {"url": "ftp://x/y"}}, "is not a URL"),
            ({"webhook": {"url": "https://user:word@example.org/"}}, "without a login"),
            ({"webhook": {"url": "https://example.org/a b"}}, "is not a URL"),
            ({"webhook": {"url": "https://example.org/", "bearer_token": "a\r\nb"}}, "line break"),
            ({"webhook": {"url": "https://example.org/", "headers": {"a": "b\nc"}}}, "line break"),
            ({"command": ["x"], "after_s": -1}, "after_s"),
            ({"command": ["x"], "repeat_s": 5}, "repeat_s"),
        ],
    )
    def test_mistakes_are_named(self, alerts: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            AlertsConfig.model_validate(alerts)

    def test_nobody_is_told_unless_asked(self) -> None:
        built = Config.model_validate(
            {
                "meter": {"type": "shelly", "host": "192.0.2.1"},
                "inverters": [{"serial": "116180400001", "max_watt": 1500}],
            }
        )
        assert built.alerts is None

    def test_secrets_are_not_shown(self) -> None:
        webhook = {"url": f"https://example.org/{SECRET}", "bearer_token": SECRET, "headers": {"X-Key": SECRET}}
        config = AlertsConfig.model_validate({"webhook": webhook})
        assert SECRET not in repr(config)
        assert config.webhook is not None
        assert config.webhook.url.endswith(SECRET)
