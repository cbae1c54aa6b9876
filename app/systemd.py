"""The service manager: `systemctl` and `loginctl`, as far as a service of ours needs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.serviceunit import NAME

SYSTEM_UNITS = Path("/etc/systemd/system")
PATIENCE_S = 120.0  # stopping takes up to a minute


class ServiceError(Exception):
    """It cannot be done; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """The service manager of the system, or of the user."""

    of_user: bool

    def run(self, *arguments: str) -> str:
        """What ``systemctl`` prints. Raises `ServiceError`."""
        return output(["systemctl", *(["--user"] if self.of_user else []), *arguments])

    def require(self) -> None:
        """Raise `ServiceError` where it is not there."""
        if shutil.which("systemctl") is None:
            raise ServiceError("systemd is not on this machine: use Docker, or let its own service manager run it")
        try:
            self.run("show", "--property=Version")
        except ServiceError as error:
            raise ServiceError(f"systemd does not run here{' for this user' * self.of_user}: {error}") from None

    @property
    def unit_file(self) -> Path:
        """Where the unit is, or would be."""
        if not self.of_user:
            return SYSTEM_UNITS / NAME
        home = os.environ.get("XDG_CONFIG_HOME", "")
        return (Path(home) if home.startswith("/") else Path.home() / ".config") / "systemd" / "user" / NAME

    @property
    def log(self) -> str:
        """The command that shows the log."""
        return f"journalctl {'--user ' * self.of_user}-u {NAME.removesuffix('.service')} -e"

    def state(self) -> dict[str, str]:
        """How the unit stands, in systemd's own words."""
        wanted = "LoadState,ActiveState,SubState,UnitFileState,ActiveEnterTimestamp,NRestarts,Result"
        lines = self.run("show", NAME, f"--property={wanted}").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def version() -> int | None:
    """The number of its version; None where it does not tell."""
    try:
        found = re.match(r"systemd (\d{3,5})\b", output(["systemctl", "--version"]))
    except ServiceError:
        return None
    return int(found[1]) if found is not None else None


def output(command: list[str]) -> str:
    """What a program prints. Raises `ServiceError`, with what it said, where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{command[0]} cannot be run: {error}") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise ServiceError(f"{' '.join(command)}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def lingering(name: str) -> bool:
    """Whether a user's services run without his login. False where nobody tells."""
    try:
        return output(["loginctl", "show-user", name, "--property=Linger", "--value"]).strip() == "yes"
    except ServiceError:
        return False
