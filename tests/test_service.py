"""The controller under systemd: the unit, what it tells its supervisor, and installing without a systemd that runs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import pytest

from app import dotenv, service, systemd
from app.cli import main
from app.notify import Supervisor
from app.serviceunit import NAME, STOP_S, WATCHDOG_S, Installation, unit
from app.watchdog import STALLED_S
from tests.notified import Listener, listener

__all__ = ["listener"]
ANALYZE = shutil.which("systemd-analyze") or "/usr/bin/systemd-analyze"
PLAIN = Installation(
    python=PurePath("/usr/bin/python3"),
    config=PurePath("/etc/zero-export/config.yaml"),
    writable=(PurePath("/var/lib/zero-export"),),
    account="daemon",
)
ODD = replace(
    PLAIN,
    config=PurePath('/srv/sun & "wind" 50% $HOME/config.yaml'),
    writable=(PurePath("/srv/a b/data"), PurePath("/srv/ü")),
    code=PurePath("/opt/zero export"),
    environment=PurePath("/srv/sun 50%/.env"),
)
CONFIG = "meter: {type: shelly, host: 192.168.1.3}\ninverters: [{serial: '116180400001', max_watt: 1500}]\n"


# -- the unit ----------------------------------------------------------------------------------------


def lines(of: Installation) -> list[str]:
    return unit(of).splitlines()


@pytest.mark.parametrize("of", [PLAIN, ODD, replace(PLAIN, account=None), replace(ODD, account=None)])
def test_systemd_finds_nothing_wrong_with_it(of: Installation, tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text(unit(of))
    manager = ["--user"] if of.account is None else []
    verified = subprocess.run(
        [ANALYZE, *manager, "verify", "--man=no", str(file)],
        capture_output=True, text=True, check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_it_is_less_exposed_than_most(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text(unit(PLAIN))
    command = [ANALYZE, "security", "--offline=true", "--threshold=20", str(file)]  # tenths: 2.0 of 10
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-200:]


@pytest.mark.parametrize(
    ("of", "has", "has_not"),
    [
        (
            PLAIN,
            ["ProtectHome=yes", "PrivateTmp=yes", "User=daemon", "WantedBy=multi-user.target"],
            ["EnvironmentFile"],
        ),
        (replace(PLAIN, config=PurePath("/home/pi/config.yaml")), ["ProtectHome=read-only"], []),
        (replace(PLAIN, behind=(PurePath("/root/.pyenv/bin/python"),)), ["ProtectHome=read-only"], []),
        (replace(PLAIN, writable=(PurePath("/tmp/data"),)), ['ReadWritePaths="/tmp/data"'], ["PrivateTmp"]),
        (
            replace(PLAIN, account=None),
            ["WantedBy=default.target", "ProtectHome=read-only"],
            ["User=", "Capab", "After"],
        ),
        (replace(PLAIN, systemd=252), ["RestartSec=2"], ["RestartSteps", "RestartMaxDelaySec"]),
        (replace(PLAIN, systemd=254), ["RestartSec=1", "RestartSteps=6", "RestartMaxDelaySec=60"], []),
        (ODD, ['Environment="PYTHONPATH=/opt/zero export"', "EnvironmentFile=-/srv/sun 50%%/.env"], []),
    ],
)
def test_what_stands_in_it(of: Installation, has: list[str], has_not: list[str]) -> None:
    assert set(has) <= set(lines(of))
    assert not [line for line in lines(of) for word in has_not if line.startswith(word)]
    assert {"Type=notify", "Restart=always", "StartLimitIntervalSec=0", "NoNewPrivileges=yes"} <= set(lines(of))


def test_its_times_fit_those_of_the_program() -> None:
    assert WATCHDOG_S > 2 * STALLED_S
    assert STOP_S >= 12 + 6 * 5 + 5, "the longest close, see runtime"


def test_a_path_that_no_unit_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        unit(replace(PLAIN, config=PurePath("/etc/a\nUser=root/config.yaml")))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("# a comment\n\nA=b\nB=a b=c\nC=\n", True),
        ("A='b'\n", False),
        ('A=b "c"\n', False),
        ("A=b # c\n", False),
        ("A=b\\\n", False),
        ("export A=b\n", False),
        ("A = b\n", False),
        ("; A=b\n", False),
    ],
)
def test_an_env_file_is_given_to_systemd_where_it_reads_the_same(text: str, *, plain: bool, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(text)
    assert dotenv.is_plain(tmp_path / ".env") == plain


# -- what the supervisor hears -----------------------------------------------------------------------


def test_signs_of_life_are_told_once_a_second(listener: Listener) -> None:
    times_s = [100.0, 100.3, 100.9, 101.0, 101.5, 102.1]
    supervisor = Supervisor(listener.socket.getsockname(), iter(times_s).__next__)
    supervisor.ready()
    for _ in times_s:
        supervisor.alive()
    supervisor.stopping()
    assert listener.listen() == ["READY=1", *["WATCHDOG=1"] * 3, "STOPPING=1"]


def test_an_address_in_the_abstract_name_space() -> None:
    name = f"zero-export-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}")
        Supervisor.of({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert end.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "/" + 200 * "x", "vsock:2:1", "@" + 200 * "x"])
def test_nobody_who_listens_is_no_trouble(address: str) -> None:
    supervisor = Supervisor.of({"NOTIFY_SOCKET": address})
    supervisor.ready()
    supervisor.alive()
    supervisor.stopping()


def test_a_supervisor_that_does_not_read_holds_nothing_up(listener: Listener) -> None:
    supervisor = Supervisor(listener.socket.getsockname())
    for _ in range(5000):
        supervisor.ready()
    assert 0 < len(listener.listen()) < 5000


HANGS = """
import time
from app import notify
notify.EVERY_S = 0.0
from app.watchdog import Watchdog
dog = Watchdog(stalled_s=0.6, check_s=0.1)
for _ in range(3):
    dog.turned()
time.sleep(30)
"""


def test_a_hung_loop_is_not_heard_of_any_more(listener: Listener) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": listener.socket.getsockname()}
    ended = subprocess.run([sys.executable, "-c", HANGS], env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert listener.listen() == ["READY=1", *["WATCHDOG=1"] * 3], "its other threads lived on, and told nothing"


# -- the command -------------------------------------------------------------------------------------


@dataclass
class Machine:
    """A machine with stand-ins for systemd's programs, which note how they are called."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "house" / "config.yaml"

    @property
    def unit(self) -> Path:
        return self.folder / "xdg" / "systemd" / "user" / NAME

    def stand_in(self, program: str, script: str) -> None:
        file = self.folder / "bin" / program
        file.write_text(f'#!/bin/sh\necho "{program} $*" >> {self.folder}/calls\n{script}\n')
        file.chmod(0o755)

    def calls(self) -> list[str]:
        """Those since the last time, but for questions."""
        file = self.folder / "calls"
        said = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [call for call in said if " show" not in call and "--version" not in call]

    def run(self, *arguments: str) -> int:
        return main(["service", *arguments])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    for name in ("bin", "xdg", "house"):
        (tmp_path / name).mkdir()
    found.config.write_text(CONFIG)
    found.stand_in("systemctl", 'case "$*" in *--version*) echo "systemd 255 (255.4-1)" ;; esac')
    found.stand_in("loginctl", "echo no")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("DATA_DIR", raising=False)
    return found


def test_installing_writes_the_unit_and_starts_it_and_may_be_repeated(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    assert machine.calls() == ["systemctl --user daemon-reload", f"systemctl --user enable --now {NAME}"]
    text = machine.unit.read_text()
    assert f'ExecStart="{sys.executable}" -P -m app run --config "{machine.config}"' in text
    assert f'ReadWritePaths="{machine.config.parent / "data"}"' in text
    assert "RestartSteps=" in text
    assert (machine.config.parent / "data").is_dir(), "systemd would not start it without"
    said = capsys.readouterr().out
    for word in (str(machine.unit), "installed", "journalctl --user -u zero-export", "loginctl enable-linger"):
        assert word in said

    machine.stand_in("loginctl", "echo yes")
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    assert machine.calls()[-1] == f"systemctl --user enable --now {NAME}"
    said = capsys.readouterr().out
    assert "as it was" in said
    assert "enable-linger" not in said

    machine.config.write_text(CONFIG + "data_dir: elsewhere/data\nlog: {file: logs/app.log}\n")
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    assert machine.calls()[1:] == [f"systemctl --user enable {NAME}", f"systemctl --user restart {NAME}"]
    house = machine.config.parent
    assert f'ReadWritePaths="{house / "elsewhere/data"}" "{house / "logs"}"' in machine.unit.read_text()
    assert "updated" in capsys.readouterr().out


def test_the_printed_unit_starts_the_program(machine: Machine) -> None:
    """What stands behind ExecStart, WorkingDirectory and Environment, run as systemd would."""
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    values = dict(line.split("=", 1) for line in machine.unit.read_text().splitlines() if "=" in line)
    command = [word.strip('"') for word in values["ExecStart"].split(" ")]
    command[command.index("run")] = "check"
    key, _, value = values["Environment"].strip('"').partition("=")
    done = subprocess.run(
        command, cwd=values["WorkingDirectory"], env={key: value}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_dry_run_prints_the_unit_and_changes_nothing(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    (machine.config.parent / ".env").write_text("METER_IP=10.0.0.5\n")
    assert machine.run("install", "--user", "--dry-run", "--config", str(machine.config)) == 0
    said = capsys.readouterr().out
    assert said.startswith("# Written by")
    assert f"EnvironmentFile=-{machine.config.parent / '.env'}\n" in said
    assert not machine.unit.exists()
    assert not (machine.config.parent / "data").exists()
    assert machine.calls() == []


def test_a_configuration_with_mistakes_is_refused(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.config.write_text(CONFIG.replace("1500", "much"))
    assert machine.run("install", "--user", "--config", str(machine.config)) == 2
    assert "config.yaml:2: inverters.0.max_watt" in capsys.readouterr().err
    assert machine.run("install", "--user", "--config", str(machine.folder / "none.yaml")) == 2
    assert (machine.calls(), machine.unit.exists()) == ([], False)


def test_what_only_this_shell_knows_is_refused(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.config.write_text(CONFIG.replace("192.168.1.3", '"${METER_IP}"'))
    monkeypatch.setenv("METER_IP", "10.0.0.5")
    assert machine.run("install", "--user", "--config", str(machine.config)) == 2
    said = capsys.readouterr().err
    assert "METER_IP is not set" in said
    assert f"put them into {machine.config.parent / '.env'}" in said
    (machine.config.parent / ".env").write_text("METER_IP='10.0.0.5' # kitchen\n")
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    assert "EnvironmentFile" not in machine.unit.read_text(), "systemd would take the comment for a part of it"


@pytest.mark.parametrize("what", ["install", "remove", "status"])
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (None, "systemd is not on this machine"),
        ('echo "System has not been booted with systemd as init system (PID 1)." >&2; exit 1', "has not been booted"),
        ("exit 4", "exit code 4"),
    ],
)
def test_without_systemd_one_line_says_so(
    machine: Machine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    script: str | None,
    text: str,
) -> None:
    if script is None:
        monkeypatch.setenv("PATH", str(machine.folder / "empty"))
    else:
        machine.stand_in("systemctl", script)
    assert machine.run(what, "--user", "--config", str(machine.config)) == 1
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1
    assert not machine.unit.exists()


def test_a_service_that_does_not_start_is_told(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.stand_in("systemctl", 'case "$*" in *enable*) echo "Job for it failed." >&2; exit 1 ;; esac')
    assert machine.run("install", "--user", "--config", str(machine.config)) == 1
    assert "Job for it failed" in capsys.readouterr().err


def test_removing_stops_it_and_may_be_repeated(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    machine.calls()
    assert machine.run("remove", "--user") == 0
    assert machine.calls() == [f"systemctl --user disable --now {NAME}", "systemctl --user daemon-reload"]
    assert not machine.unit.exists()
    assert machine.config.exists()
    assert (machine.config.parent / "data").exists()
    assert "is stopped and removed" in capsys.readouterr().out
    assert machine.run("remove", "--user") == 0
    assert "is not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "code", "texts"),
    [
        (
            "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=2\n"
            "ActiveEnterTimestamp=Tue 2026-12-01 12:00:00 UTC",
            0,
            ["enabled: yes", "running: yes, since Tue 2026-12-01 12:00:00 UTC", "started it again 2 times"],
        ),
        (
            "ActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nNRestarts=7",
            1,
            ["running: no, it has ended and is going to be started again", "7 times"],
        ),
        ("ActiveState=inactive\nUnitFileState=disabled", 1, ["enabled: no", "running: no, it was stopped"]),
        ("ActiveState=failed\nResult=exit-code", 1, ["running: no, it has failed (exit-code)"]),
        ("ActiveState=deactivating", 1, ["it is stopping"]),
        ("nonsense\n=\n", 1, ["running: no"]),
    ],
)
def test_status_says_it_in_plain_words(
    machine: Machine, capsys: pytest.CaptureFixture[str], state: str, code: int, texts: list[str]
) -> None:
    assert machine.run("status", "--user") == 1
    assert "is not installed (for this user" in capsys.readouterr().out
    assert machine.run("install", "--user", "--config", str(machine.config)) == 0
    machine.stand_in("systemctl", f"cat <<'END'\n{state}\nEND")
    capsys.readouterr()
    assert machine.run("status", "--user") == code
    said = capsys.readouterr().out
    for text in (*texts, str(machine.unit), "log: journalctl --user -u zero-export -e"):
        assert text in said


# -- a unit of the system ----------------------------------------------------------------------------


@pytest.fixture
def of_system(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The same, where whoever runs the tests stands for the account of the service, and for root as well."""
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", machine.folder / "units")
    monkeypatch.setattr(service, "ROOT", -1)
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    return machine


def as_oneself(_user: object, of: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(of.code)}
    return subprocess.run(
        [str(of.python), *arguments], capture_output=True, text=True, check=False, cwd="/", env=environment
    )


def test_a_unit_of_the_system_runs_as_whom_the_configuration_belongs_to(
    of_system: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "_as", as_oneself)
    assert of_system.run("install", "--config", str(of_system.config)) == 0, "root's default"
    text = (of_system.folder / "units" / NAME).read_text()
    name = pwd.getpwuid(os.getuid()).pw_name
    assert f"User={name}\n" in text
    assert "CapabilityBoundingSet=\n" in text
    assert of_system.calls() == ["systemctl daemon-reload", f"systemctl enable --now {NAME}"]
    assert "journalctl -u zero-export" in capsys.readouterr().out


def test_what_the_account_cannot_use_is_told_before_anything_is_written(
    of_system: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(what: str) -> None:
        def run(_user: object, of: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess([], what in arguments, "", "config.yaml: cannot read")

        monkeypatch.setattr(service, "_as", run)

    for what, text in (("check", "cannot run it:\nconfig.yaml: cannot read"), ("-c", "cannot write to")):
        fails(what)
        assert of_system.run("install", "--system", "--config", str(of_system.config)) == 1
        assert text in capsys.readouterr().err
    assert not (of_system.folder / "units").exists()


def test_a_program_that_the_account_cannot_start_is_told(
    of_system: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", sys.executable)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(systemd, "output", lambda _command: "")
    assert of_system.run("install", "--system", "--config", str(of_system.config)) == 1
    assert f"cannot run {sys.executable}: [Errno 13] Permission denied" in capsys.readouterr().err


def test_a_configuration_of_root_wants_an_account(
    of_system: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "ROOT", os.getuid())
    monkeypatch.setattr(service, "ACCOUNT", "nobody-of-this-name")
    monkeypatch.setattr(os, "geteuid", os.getuid)
    assert of_system.run("install", "--system", "--dry-run", "--config", str(of_system.config)) == 0
    assert "User=nobody-of-this-name\n" in capsys.readouterr().out
    assert of_system.run("install", "--system", "--config", str(of_system.config)) == 1
    assert "useradd --system --no-create-home" in capsys.readouterr().err
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert of_system.run("install", "--system", "--config", str(of_system.config)) == 1
    assert "use sudo" in capsys.readouterr().err
