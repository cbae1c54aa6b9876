"""Write `.env`: addresses and secrets of this installation. Standard library only, safe to run again.

A new file starts from `.env.example`. An existing one keeps every value; it gets the keys that it lacks,
and a value for each secret that is still empty.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_KEY = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
_ALPHABET = string.ascii_letters + string.digits  # nothing that a shell, Compose or a login form reads otherwise
_LENGTH = 32
_PLACEHOLDER_HOST = "192.168.x.x"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of `.env.example`: its comment, its example value, and whether its value is a secret to invent."""

    key: str
    value: str
    comment: str

    @property
    def secret(self) -> bool:
        """Marked so in the example."""
        return "[secret]" in self.comment


def entries(example: str) -> Iterator[Entry]:
    """The keys of the example file, in its order."""
    comment = ""
    for line in example.splitlines():
        if match := _KEY.match(line):
            yield Entry(match[1], match[2], comment)
            comment = ""
        else:
            comment = line if line.startswith("#") else ""


def new_secret() -> str:
    """A password that fits into every form it has to be typed into."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def lan_address() -> str | None:
    """The address under which others in the house see this machine; None where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # picks the route, sends nothing
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


def time_zone() -> str | None:
    """The machine's zone name, where it says so."""
    try:
        return Path("/etc/timezone").read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        target = str(Path("/etc/localtime").resolve())
        return target.partition("zoneinfo/")[2] or None


def value_for(entry: Entry, address: str | None, zone: str | None) -> str:
    """What a new file gets for this key."""
    if entry.secret and not entry.value:
        return new_secret()
    if entry.key == "PUBLIC_URL" and address:
        return entry.value.replace(_PLACEHOLDER_HOST, address)
    if entry.key == "TZ" and zone:
        return zone
    return entry.value


def updated(example: str, existing: str | None, address: str | None, zone: str | None) -> tuple[str, list[str]]:
    """The new text of `.env`, and the keys that were added or filled in."""
    known = {entry.key: entry for entry in entries(example)}
    lines: list[str] = []
    present: set[str] = set()
    changed: list[str] = []
    for line in (example if existing is None else existing).splitlines():
        key, value = match.groups() if (match := _KEY.match(line)) else ("", "")
        present.add(key)
        entry = known.get(key)
        if entry and (existing is None or (entry.secret and not value.strip())):
            changed.append(key)
            lines.append(f"{key}={value_for(entry, address, zone)}")
        else:
            lines.append(line)
    for entry in known.values():
        if entry.key not in present:
            changed.append(entry.key)
            lines += ["", entry.comment, f"{entry.key}={value_for(entry, address, zone)}"]
    return "\n".join(lines) + "\n", changed


def write_private(path: Path, text: str) -> None:
    """Replace the file at once, readable by its owner only."""
    scratch = path.with_name(f"{path.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def _ahoydtu(values: dict[str, str], config: str) -> list[str]:
    """What to type into AhoyDTU, where the configuration has one."""
    if not re.search(r"^[^#\n]*type: *[\"']?ahoydtu", config, re.MULTILINE):
        return []
    user, password = values.get("AHOYDTU_MQTT_USERNAME", ""), values.get("AHOYDTU_MQTT_PASSWORD", "")
    topic = values.get("AHOYDTU_TOPIC_PREFIX", "")
    return [f"AhoyDTU, Settings, MQTT: the same host and port, topic {topic}", f"  user {user}, password {password}"]


def advice(values: dict[str, str], config: str, address: str | None) -> str:
    """What is left for a person to do."""
    todo = [f"  .env: {key}={value}" for key, value in values.items() if "x.x" in value]
    if re.search(r"^[^#\n]*11x{4,}", config, re.MULTILINE):
        todo.append("  config.yaml: the serial number and the rated power of each inverter")
    host, topic = address or "the address of this machine", values.get("OPENDTU_TOPIC_PREFIX", "")
    user, password = values.get("OPENDTU_MQTT_USERNAME", ""), values.get("OPENDTU_MQTT_PASSWORD", "")
    home = values.get("HOME_MQTT_USERNAME", "")
    return "\n".join(
        [
            *(["Still to fill in:", *todo] if todo else ["Nothing left to fill in."]),
            "OpenDTU, Settings, MQTT:",
            f"  host {host}, port 1883, base topic {topic}/",
            f"  user {user}, password {password}",
            *_ahoydtu(values, config),
            f"Home Assistant, MQTT: the same host and port, user {home}, password HOME_MQTT_PASSWORD in .env",
            "Grafana: user admin, password GRAFANA_PASSWORD in .env",
        ]
    )


def main(folder: Path) -> int:
    """Bring `.env` in this folder up to date and say what is left to do."""
    path = folder / ".env"
    example = (folder / ".env.example").read_text(encoding="utf-8")
    existing = path.read_text(encoding="utf-8") if path.exists() else None
    address = lan_address()
    text, changed = updated(example, existing, address, time_zone())
    if text != existing:
        write_private(path, text)
    path.chmod(0o600)
    if existing is None:
        print(".env is written.")
    else:
        print(f".env is kept; added: {', '.join(changed)}." if changed else ".env is kept; it has everything.")
    config = folder / "config.yaml"
    values = {match[1]: match[2] for line in text.splitlines() if (match := _KEY.match(line))}
    print(advice(values, config.read_text(encoding="utf-8") if config.exists() else "", address))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
