"""The systemd unit of an installation, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

NAME = "zero-export.service"
STOP_S = 60  # the exit limit takes up to 12 s, goodbye and stores up to 5 s each
WATCHDOG_S = 20  # our own watchdog ends the process after 8 s, and says where it stood; this one is for the rest
STEPS_SINCE = 254  # systemd's version that knows RestartSteps
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - where nothing of an installation should be


@dataclass(frozen=True, slots=True)
class Installation:
    """What the unit is about; all paths are absolute.

    ``code``: the folder that `app` is imported from; None: Python finds it by itself. ``writable``: data_dir and what
    else is written. ``behind``: where links lead, that have to be followed. ``environment``: a `.env` that systemd
    reads as we do. ``account``: whom a unit of the system runs as; None: it is one of the user's own. ``systemd``: its
    version.
    """

    python: PurePath
    config: PurePath
    writable: tuple[PurePath, ...]
    behind: tuple[PurePath, ...] = ()
    code: PurePath | None = None
    environment: PurePath | None = None
    account: str | None = None
    systemd: int | None = None

    @property
    def paths(self) -> tuple[PurePath, ...]:
        """Everything that it needs to see."""
        return (self.python, self.config, *self.writable, *self.behind, *(() if self.code is None else (self.code,)))


def unit(of: Installation) -> str:
    """The whole file. Raises ValueError for a path that no unit can hold."""
    strange = next((path for path in of.paths if not str(path).isprintable()), None)
    if strange is not None:
        raise ValueError(f"{str(strange)!r} holds a line break or another control character: give it another name")
    sections = {"Unit": _unit(of), "Service": [*_process(of), "", *_sandbox(of)], "Install": [_wanted(of)]}
    head = "# Written by `zero-export service install`; what is changed here is lost with the next one.\n"
    return head + "".join("\n".join((f"[{name}]", *lines, "\n")) for name, lines in sections.items()).rstrip() + "\n"


def _unit(of: Installation) -> list[str]:
    lines = ["Description=Zero-export controller"]
    if of.account is not None:  # a user's systemd knows neither
        lines += ["Wants=network-online.target", "After=network-online.target"]
        lines += [f"RequiresMountsFor={_words((of.config, *of.writable))}"]
    return [*lines, "StartLimitIntervalSec=0"]  # it never gives up: while it is down nobody regulates


def _process(of: Installation) -> list[str]:
    lines = ["Type=notify", "NotifyAccess=main"]
    lines += [f"User={of.account}"] if of.account is not None else []
    lines += [f"WorkingDirectory={_plain(of.config.parent)}"]
    lines += [f"Environment={_word(f'PYTHONPATH={of.code}')}"] if of.code is not None else []
    lines += [f"EnvironmentFile=-{_plain(of.environment)}"] if of.environment is not None else []
    command = (_word(str(of.python)), "-P -m app run --config", _word(str(of.config)))
    lines += [f"ExecStart={' '.join(command).replace('$', '$$')}", "SyslogIdentifier=zero-export"]
    lines += ["Restart=always", *_restart(of), f"WatchdogSec={WATCHDOG_S}"]
    return [*lines, f"TimeoutStopSec={STOP_S}", "KillMode=mixed"]


def _restart(of: Installation) -> list[str]:
    if of.systemd is None or of.systemd < STEPS_SINCE:
        return ["RestartSec=2"]
    return ["RestartSec=1", "RestartSteps=6", "RestartMaxDelaySec=60"]


def _sandbox(of: Installation) -> list[str]:
    """What it cannot do. A user's systemd may not take capabilities away: there, what implies that ends the start."""
    lines = ["NoNewPrivileges=yes", "ProtectSystem=strict", f"ReadWritePaths={_words(of.writable)}"]
    at_home = of.account is None or _any_below(of.paths, _HOMES)
    lines += [f"ProtectHome={'read-only' if at_home else 'yes'}"]
    lines += [] if _any_below(of.paths, _TEMPORARY) else ["PrivateTmp=yes"]
    lines += ["ProtectControlGroups=yes", "ProtectKernelTunables=yes"]
    if of.account is not None:
        lines += ["CapabilityBoundingSet=", "AmbientCapabilities=", "PrivateDevices=yes", "ProtectClock=yes"]
        lines += ["ProtectKernelLogs=yes", "ProtectKernelModules=yes", "ProtectHostname=yes", "RemoveIPC=yes"]
        lines += ["ProtectProc=invisible", "ProcSubset=pid"]
    lines += ["RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK"]  # the last: which networks there are
    lines += ["RestrictNamespaces=yes", "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes"]
    lines += ["MemoryDenyWriteExecute=yes", "SystemCallArchitectures=native"]
    return [*lines, "SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM"]


def _wanted(of: Installation) -> str:
    return f"WantedBy={'default' if of.account is None else 'multi-user'}.target"


def _any_below(paths: Iterable[PurePath], folders: Iterable[str]) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _plain(path: PurePath) -> str:
    return str(path).replace("%", "%%")


def _word(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _words(paths: Iterable[PurePath]) -> str:
    return " ".join(_word(str(path)) for path in paths)
