"""``zero-export service``: runs the controller under systemd, without Docker."""

from __future__ import annotations

import argparse
import os
import pwd
import subprocess
import sys
from pathlib import Path

from app import dotenv
from app.config import Config, ConfigError, load
from app.files import replace_file
from app.serviceunit import NAME, Installation, unit
from app.systemd import PATIENCE_S, ServiceError, Systemd, lingering, version

OK, FAILURE = 0, 1
ROOT = 0
ACCOUNT = "zero-export"
TEXT = """\
Has systemd run the controller: started with the machine, again when it ends, and stopped with its exit limit.
A unit of your own (--user, the default) needs no root. One of the system (--system, the default for root) runs as the
account that owns the configuration, or as zero-export where root owns it."""
EPILOG = """\
examples:
  zero-export service install             after zero-export check, in the folder of config.yaml
  sudo zero-export service install --system --config /etc/zero-export/config.yaml
  zero-export service install --dry-run   print the unit, change nothing
  zero-export service status

exit codes: 0 done (status: it runs), 1 not possible (status: it does not run), 2 the configuration is wrong
"""


def add_to(parser: argparse.ArgumentParser, default_config: Path) -> None:
    """The options."""
    add = parser.add_argument
    add("what", choices=["install", "remove", "status"], help="install also updates; remove keeps all data")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--user", action="store_true", help="a unit of your own (the default, unless you are root)")
    scope.add_argument("--system", action="store_true", help="a unit of the system (the default for root)")
    add("--config", type=Path, default=default_config, help="default: $CONFIG_PATH, else config.yaml")
    add("--dry-run", action="store_true", help="install: print the unit and change nothing")


def service(options: argparse.Namespace) -> int:
    """Do what the options say. Raises `ConfigError`."""
    manager = Systemd(options.user or (not options.system and os.geteuid() != ROOT))
    try:
        if options.what == "install":
            return _install(options.config.parent.resolve() / options.config.name, manager, dry_run=options.dry_run)
        manager.require()
        return _remove(manager) if options.what == "remove" else _status(manager)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return FAILURE


def _install(path: Path, manager: Systemd, *, dry_run: bool) -> int:
    config = _configured(path)
    account = None if manager.of_user else _account(path)
    installation = _installation(path, config, account)
    try:
        text = unit(installation)
    except ValueError as error:
        raise ServiceError(str(error)) from None
    if dry_run:
        print(text, end="")
        return OK
    manager.require()
    if not manager.of_user and os.geteuid() != ROOT:
        raise ServiceError("a unit of the system is for root: use sudo, or --user for one of your own")
    _prepare(installation)
    file = manager.unit_file
    before = _read(file)
    try:
        replace_file(file, text.encode(), mode=0o644)
    except OSError as error:
        raise ServiceError(f"{file} cannot be written: {error.strerror}") from None
    manager.run("daemon-reload")
    if before in (None, text):
        manager.run("enable", "--now", NAME)
    else:
        manager.run("enable", NAME)
        manager.run("restart", NAME)
    verb = "installed" if before is None else "updated" if before != text else "as it was"
    print(f"{file}: {verb}; it runs {path}, and keeps its data in {installation.writable[0]}")
    print(f"log: {manager.log}")
    _tell_lingering(manager)
    return OK


def _configured(path: Path) -> Config:
    """The configuration as the service will find it: without the variables of this shell. Raises `ConfigError`."""
    try:
        return load(path, dotenv.environment_for(path, {}))
    except ConfigError:
        load(path, dotenv.environment_for(path, os.environ))  # where this is no better, it is the configuration
        print(f"the service has none of this shell's variables: put them into {path.parent / '.env'}", file=sys.stderr)
        raise


def _account(path: Path) -> str:
    """Whom a unit of the system runs as: never root, who could do more than the unit forbids."""
    owner = path.stat().st_uid
    try:
        return pwd.getpwuid(owner).pw_name if owner != ROOT else ACCOUNT
    except KeyError:
        raise ServiceError(f"{path} belongs to {owner}, whom nobody knows: give it to the account to run as") from None


def _installation(path: Path, config: Config, account: str | None) -> Installation:
    """What the unit is about; what is relative there is so to its folder."""
    hook = config.price.on_change if config.price is not None else None
    files = (config.log.file, hook.status_file if hook is not None else None)
    written = [config.data_dir, *(file.parent for file in files if file is not None)]
    here, environment = Path(__file__).resolve().parent.parent, path.parent / ".env"
    python = Path(sys.executable).absolute()  # the link, not where it leads: that is out of the virtual environment
    found_anyway = here.name in ("site-packages", "dist-packages")
    return Installation(
        python=python,
        config=path,
        writable=tuple(dict.fromkeys(Path(os.path.normpath(path.parent / one)) for one in written)),
        behind=(python.resolve(), here, path.resolve()),
        code=None if found_anyway else here,
        environment=environment if environment.exists() and dotenv.is_plain(environment) else None,
        account=account,
        systemd=version(),
    )


def _prepare(of: Installation) -> None:
    """Make the folders that are missing, and see that the account can use everything. Raises `ServiceError`."""
    user = _known(of.account) if of.account is not None else None
    for folder in of.writable:
        if not Path(folder).exists():
            try:
                Path(folder).mkdir(parents=True, mode=0o750)
                if user is not None:
                    os.chown(folder, user.pw_uid, user.pw_gid)
            except OSError as error:
                raise ServiceError(f"{folder} cannot be made: {error.strerror}") from None
    if user is None:
        return
    check = _as(user, of, "-m", "app", "check", "--config", str(of.config))
    if check.returncode != 0:
        said = (check.stderr or check.stdout).strip()
        raise ServiceError(
            f"the account {user.pw_name} cannot run it:\n{said}\n"
            f"let it read the program, {of.config} and the .env beside it (chgrp {user.pw_name} …, chmod g+r …)"
        )
    for folder in of.writable:
        probe = f"import os, sys; sys.exit(not os.access({str(folder)!r}, os.R_OK | os.W_OK | os.X_OK))"
        if _as(user, of, "-c", probe).returncode != 0:
            raise ServiceError(f"{user.pw_name} cannot write to {folder}: chown -R {user.pw_name}: '{folder}'")


def _known(account: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(account)
    except KeyError:
        raise ServiceError(
            f"the configuration belongs to root, and the service does not run as root: make the account {account} "
            f"(useradd --system --no-create-home --shell /usr/sbin/nologin {account}) and try again, "
            "or give the configuration to the account that it shall run as"
        ) from None


def _as(user: pwd.struct_passwd, of: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our interpreter as somebody else, in an environment like that of the service. Raises `ServiceError`."""
    environment = {"PATH": os.defpath} | ({"PYTHONPATH": str(of.code)} if of.code is not None else {})
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    try:
        return subprocess.run(  # noqa: S603
            [str(of.python), "-P", *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S,
            cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=groups, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(
            f"the account {user.pw_name} cannot run {of.python}: {error}; "
            "install the program where others may read it (/opt/zero-export), with the Python of the system"
        ) from None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceError(f"{file} cannot be read: {error.strerror}") from None


def _remove(manager: Systemd) -> int:
    if not manager.unit_file.exists():
        print(f"{NAME} is not installed ({_whose(manager)})")
        return OK
    manager.run("disable", "--now", NAME)
    try:
        manager.unit_file.unlink()
    except OSError as error:
        raise ServiceError(f"{manager.unit_file} cannot be removed: {error.strerror}") from None
    manager.run("daemon-reload")
    print(f"{NAME} is stopped and removed; configuration and data are as they were")
    return OK


def _status(manager: Systemd) -> int:
    if not manager.unit_file.exists():
        print(f"{NAME} is not installed ({_whose(manager)}): zero-export service install")
        return FAILURE
    state = manager.state()
    enabled = state.get("UnitFileState") == "enabled"
    starts = "by itself" if enabled else "only by hand: zero-export service install"
    print(f"installed: {manager.unit_file}\nenabled: {'yes' if enabled else 'no'}, it starts {starts}")
    print(f"running: {_running(state)}\nlog: {manager.log}")
    _tell_lingering(manager)
    return OK if state.get("ActiveState") == "active" else FAILURE


def _running(state: dict[str, str]) -> str:
    again = state.get("NRestarts", "0")
    restarts = "" if again in ("", "0") else f"; systemd has started it again {again} times"
    match state.get("ActiveState"):
        case "active":
            return f"yes, since {state.get('ActiveEnterTimestamp') or 'a moment'}{restarts}"
        case "activating":
            waits = state.get("SubState") == "auto-restart"
            return f"no, it {'has ended and is going to be started again' if waits else 'is starting'}{restarts}"
        case "deactivating":
            return "no, it is stopping"
        case "failed":
            return f"no, it has failed ({state.get('Result', 'unknown')}){restarts}: look at the log"
    return "no, it was stopped"


def _whose(manager: Systemd) -> str:
    return "for this user; --system looks at the system" if manager.of_user else "in the system; --user looks at yours"


def _tell_lingering(manager: Systemd) -> None:
    """A user's services end with his last login, unless somebody has said otherwise."""
    name = pwd.getpwuid(os.getuid()).pw_name
    if manager.of_user and not lingering(name):
        print(f"it ends when {name} logs out, and does not start with the machine; for that: loginctl enable-linger")
