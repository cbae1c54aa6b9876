"""Who is told of the mode: a status file and a real program, once per change, and never at the expense of control."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.modehook import ModeHook, ModeHookConfig
from app.model import Gate, Mode, PriceState
from tests.conftest import until

SECRET = "canary-51c0"
PAID = PriceState(10.678, 31.5, estimated=False, currency="AUD")
COSTS = PriceState(-2.5, 11.0, estimated=False, currency="AUD")


def gate(mode: Mode, reason: str = "because") -> Gate:
    return Gate(mode, reason, 1_750_000_000.0)


@asynccontextmanager
async def running(hook: ModeHook) -> AsyncIterator[ModeHook]:
    task = asyncio.create_task(hook.run())
    try:
        yield hook
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., ModeHook]:
    """Makes a hook whose program has these lines; it may add to the file ``out`` of the test's folder."""

    def built(lines: str | None = None, *arguments: str, **config: Any) -> ModeHook:
        if lines is not None:
            path = tmp_path / "changed.sh"
            path.write_text(f"#!/bin/sh\nOUT={tmp_path / 'out'}\n{lines}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
            config["command"] = [str(path), *arguments]
        return ModeHook(ModeHookConfig.model_validate(config), "home")

    return built


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waits for its parent's notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


class TestTheStatusFile:
    """`normal` while export is open, else `zero`, and nothing more: other tools compare it."""

    async def test_it_follows_the_mode(self, make: Callable[..., ModeHook], tmp_path: Path) -> None:
        path = tmp_path / "status"
        async with running(make(status_file=str(path))) as hook:
            for mode, content in (
                (Mode.OPEN, b"normal"),
                (Mode.LIMIT, b"zero"),
                (Mode.OPEN, b"normal"),
                (Mode.SHUTDOWN, b"zero"),
            ):
                hook.observe(gate(mode), PAID)
                await until(lambda content=content: path.exists() and path.read_bytes() == content)
        assert list(tmp_path.iterdir()) == [path]
        assert hook.faults() == ()

    async def test_there_is_none_until_the_first_mode_is_known(
        self, make: Callable[..., ModeHook], tmp_path: Path
    ) -> None:
        async with running(make(status_file=str(tmp_path / "status"))) as hook:
            hook.observe(None, None)
            await asyncio.sleep(0.05)
            assert not (tmp_path / "status").exists()

    async def test_a_restart_puts_it_right(self, make: Callable[..., ModeHook], tmp_path: Path) -> None:
        path = tmp_path / "status"
        path.write_text("normal\nand what an editor left")
        async with running(make(status_file=str(path))) as hook:
            hook.observe(gate(Mode.LIMIT), COSTS)
            await until(lambda: path.read_bytes() == b"zero")

    async def test_a_folder_that_is_not_there_is_a_fault_until_it_is(
        self, make: Callable[..., ModeHook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.modehook.RETRY_S", 0.05)
        path = tmp_path / "run" / "status"
        async with running(make(status_file=str(path))) as hook:
            hook.observe(gate(Mode.OPEN), PAID)
            await until(hook.faults)
            (fault,) = hook.faults()
            assert (fault.key, fault.since_utc_s is not None) == ("mode_file", True)
            assert fault.text == (
                f"The status file {path} cannot be written, so it may show an old state: No such file or directory."
            )
            hook.observe(gate(Mode.LIMIT), COSTS)
            await asyncio.sleep(0.12)
            assert hook.faults()[0].since_utc_s == fault.since_utc_s
            path.parent.mkdir()
            await until(lambda: not hook.faults())
            assert path.read_bytes() == b"zero"

    @pytest.mark.parametrize("where", ["a folder of the system that nobody may write to", "a folder has its name"])
    async def test_what_cannot_be_written_leaves_nothing_behind(
        self, make: Callable[..., ModeHook], tmp_path: Path, where: str
    ) -> None:
        path = Path("/sys/kernel/zero_export") if "system" in where else tmp_path / "status"
        if "name" in where:
            path.mkdir()
        async with running(make(status_file=str(path))) as hook:
            hook.observe(gate(Mode.OPEN), PAID)
            await until(hook.faults)
            assert hook.faults()[0].key == "mode_file"
        assert [p.name for p in tmp_path.iterdir()] == (["status"] if "name" in where else [])

    async def test_nobody_ever_reads_half_of_it(self, make: Callable[..., ModeHook], tmp_path: Path) -> None:
        path = tmp_path / "status"
        path.write_text("zero")
        seen: set[bytes] = set()
        async with running(make(status_file=str(path))) as hook:
            for turn in range(200):
                hook.observe(gate(Mode.OPEN if turn % 2 else Mode.LIMIT), PAID)
                await asyncio.sleep(0.001)
                seen.add(path.read_bytes())
        assert seen == {b"zero", b"normal"}


class TestTheCommand:
    """Run once after each change."""

    async def test_it_is_told_in_its_environment_and_finds_the_file_written(
        self, make: Callable[..., ModeHook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("MQTT_PASSWORD", "AMBER_TOKEN", "PYTHONPATH"):
            monkeypatch.setenv(name, SECRET)
        status, out = tmp_path / "status", tmp_path / "out"
        script = f"{{ cat {status}; echo; echo $1; env; }} > $OUT.part; mv $OUT.part $OUT"
        hook = make(script, "an argument; with $HOME", status_file=str(status))
        async with running(hook):
            hook.observe(gate(Mode.LIMIT, 'export costs\nA "$(touch x)" of 2.5\0'), COSTS)
            await until(out.exists)
        content, argument, *environment = lines_of(out)
        assert content == "zero"
        assert argument == "an argument; with $HOME"
        assert {
            "ZERO_EXPORT_MODE=limit",
            "ZERO_EXPORT_STATUS=zero",
            "ZERO_EXPORT_PRICE_C=-2.5",
            "ZERO_EXPORT_IMPORT_PRICE_C=11",
            "ZERO_EXPORT_REASON=export costs",
            'A "$(touch x)" of 2.5',
            "ZERO_EXPORT_SITE=home",
        } <= set(environment)
        assert SECRET not in out.read_text()

    @pytest.mark.parametrize(
        ("price", "shown"),
        [
            (None, "|"),
            (PriceState(), "|"),
            (PriceState(0.0, None), "0|"),
            (PriceState(-0.0, -3.25), "0|-3.25"),
            (PriceState(float("nan"), 31.50177), "|31.5018"),
        ],
    )
    async def test_an_unknown_price_is_empty_and_none_is_zero(
        self, make: Callable[..., ModeHook], tmp_path: Path, price: PriceState | None, shown: str
    ) -> None:
        hook = make('echo "$ZERO_EXPORT_PRICE_C|$ZERO_EXPORT_IMPORT_PRICE_C" >> $OUT')
        async with running(hook):
            hook.observe(gate(Mode.LIMIT), price)
            await until(lambda: lines_of(tmp_path / "out"))
        assert lines_of(tmp_path / "out") == [shown]

    async def test_it_runs_at_the_start_and_after_each_change_of_the_mode_only(
        self, make: Callable[..., ModeHook], tmp_path: Path
    ) -> None:
        hook, out = make("echo $ZERO_EXPORT_MODE >> $OUT"), tmp_path / "out"
        async with running(hook):
            for count, mode in enumerate((Mode.LIMIT, Mode.OPEN, Mode.SHUTDOWN, Mode.LIMIT), start=1):
                for _ in range(20):
                    hook.observe(gate(mode, f"reason {time.perf_counter()}"), PAID)
                await until(lambda count=count: len(lines_of(out)) == count)
            await asyncio.sleep(0.05)
        assert lines_of(out) == ["limit", "open", "shutdown", "limit"]
        assert hook.faults() == ()

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            ("exit 3", "ended with exit code 3"),
            ("kill -9 $$", "ended with exit code -9"),
            ("sleep 600", "was not done within 0.3 s and was killed"),
        ],
    )
    async def test_its_failure_is_a_fault_until_it_works_again(
        self, make: Callable[..., ModeHook], tmp_path: Path, lines: str, said: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        hook = make(f"echo x >> $OUT; [ $ZERO_EXPORT_MODE = open ] || {lines}", SECRET, timeout_s=0.3)
        async with running(hook):
            hook.observe(gate(Mode.LIMIT), COSTS)
            await until(hook.faults)
            (fault,) = hook.faults()
            await asyncio.sleep(0.1)
            assert len(lines_of(tmp_path / "out")) == 1, "it is not repeated until the next change"
            hook.observe(gate(Mode.OPEN), PAID)
            await until(lambda: not hook.faults())
        assert fault.key == "mode_command"
        assert fault.text == f"The command {tmp_path / 'changed.sh'}, run as the mode became limit, {said}."
        assert len(caplog.records) == 1
        assert SECRET not in caplog.text + fault.text + fault.next_step

    async def test_after_a_failure_it_is_told_of_a_mode_that_it_has_known_before(
        self, make: Callable[..., ModeHook], tmp_path: Path
    ) -> None:
        hook, out = make("echo $ZERO_EXPORT_MODE >> $OUT; [ $ZERO_EXPORT_MODE = limit ]"), tmp_path / "out"
        async with running(hook):
            for count, mode in enumerate((Mode.LIMIT, Mode.OPEN, Mode.LIMIT), start=1):
                hook.observe(gate(mode), PAID)
                await until(lambda count=count: len(lines_of(out)) == count)
            await until(lambda: not hook.faults())
        assert lines_of(out) == ["limit", "open", "limit"]

    @pytest.mark.parametrize("how", ["not there", "not executable", "no program"])
    async def test_one_that_cannot_be_started_is_told_at_the_start_too(
        self, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "changed.sh"
        if how != "not there":
            path.write_text("\x01\x02")
        if how == "no program":
            path.chmod(0o755)
        hook = ModeHook(ModeHookConfig(command=(str(path), SECRET)), "home")
        assert ("is not there or cannot be run" in caplog.text) == (how != "no program")
        async with running(hook):
            hook.observe(gate(Mode.OPEN), PAID)
            await until(hook.faults)
        assert "cannot be started" in hook.faults()[0].text
        assert SECRET not in caplog.text + hook.faults()[0].text

    async def test_one_that_hangs_is_killed_with_all_it_started(
        self, make: Callable[..., ModeHook], tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        hook = make("sleep 600 & echo $! $$ > $OUT.part; mv $OUT.part $OUT; sleep 600", timeout_s=0.5)
        async with running(hook):
            hook.observe(gate(Mode.LIMIT), COSTS)
            await until(hook.faults)
        pids = [int(pid) for pid in out.read_text().split()]
        await until(lambda: not any(alive(pid) for pid in pids), what=f"the end of {pids}")

    async def test_stopping_kills_it(self, make: Callable[..., ModeHook], tmp_path: Path) -> None:
        out = tmp_path / "out"
        hook = make("echo $$ > $OUT.part; mv $OUT.part $OUT; sleep 600")
        async with running(hook):
            hook.observe(gate(Mode.LIMIT), COSTS)
            await until(out.exists)
        await until(lambda: not alive(int(out.read_text())))


class TestModesThatFlip:
    """While the command is busy the newest mode waits; the file follows at once."""

    async def test_only_the_newest_is_told_after_a_slow_command(
        self, make: Callable[..., ModeHook], tmp_path: Path
    ) -> None:
        out, go, status = tmp_path / "out", tmp_path / "go", tmp_path / "status"
        script = f"echo $ZERO_EXPORT_MODE >> $OUT; while [ ! -e {go} ]; do sleep 0.02; done"
        async with running(make(script, status_file=str(status))) as hook:
            hook.observe(gate(Mode.LIMIT), COSTS)
            await until(lambda: lines_of(out))
            for mode in (Mode.OPEN, Mode.LIMIT, Mode.OPEN, Mode.SHUTDOWN, Mode.OPEN):
                hook.observe(gate(mode), PAID)
                await asyncio.sleep(0.01)
            await until(lambda: status.read_text() == "normal")
            assert lines_of(out) == ["limit"]
            go.touch()
            await until(lambda: len(lines_of(out)) == 2)
            await asyncio.sleep(0.05)
        assert lines_of(out) == ["limit", "open"]

    @pytest.mark.parametrize(("exit_code", "told"), [(0, ["limit"]), (1, ["limit", "limit"])])
    async def test_one_that_comes_back_meanwhile_is_told_again_only_after_a_failure(
        self, make: Callable[..., ModeHook], tmp_path: Path, exit_code: int, told: list[str]
    ) -> None:
        out, go = tmp_path / "out", tmp_path / "go"
        script = f"echo $ZERO_EXPORT_MODE >> $OUT; while [ ! -e {go} ]; do sleep 0.02; done; exit {exit_code}"
        async with running(make(script)) as hook:
            hook.observe(gate(Mode.LIMIT), COSTS)
            await until(lambda: lines_of(out))
            hook.observe(gate(Mode.OPEN), PAID)
            await asyncio.sleep(0.01)
            hook.observe(gate(Mode.LIMIT), COSTS)
            go.touch()
            await until(lambda: len(lines_of(out)) == len(told))
            await asyncio.sleep(0.1)
        assert lines_of(out) == told

    async def test_control_is_not_held_up(self, make: Callable[..., ModeHook], tmp_path: Path) -> None:
        hook = make("sleep 600", status_file=str(tmp_path / "status"))
        async with running(hook):
            longest_s = 0.0
            for turn in range(300):
                before_s = time.perf_counter()
                hook.observe(gate(Mode.OPEN if turn % 2 else Mode.LIMIT), PAID)
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.perf_counter() - before_s)
        assert longest_s < 3.0


class TestTheConfiguration:
    """What is accepted."""

    @pytest.mark.parametrize(
        ("section", "said"),
        [
            ({}, "status_file, command or both"),
            ({"status_file": ""}, "status_file, command or both"),
            ({"command": []}, "status_file, command or both"),
            ({"command": "changed.sh"}, "is a list"),
            ({"command": ["changed.sh", ""]}, "empty"),
            ({"command": ["changed\0"]}, "NUL"),
            ({"command": ["x"], "timeout_s": 0}, "timeout_s"),
            ({"command": ["x"], "shell": True}, "shell"),
        ],
    )
    def test_mistakes_are_named(self, section: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            ModeHookConfig.model_validate(section)
