"""The grid profiles of a gateway (``/installer/agf/index.json``): which there are, and which one is in force. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from app.model import DeviceDataError

MOST = 500  # profiles that are looked at
LONGEST = 200  # characters of a name
_ACCEPTED = re.compile(r"(?<!not )\baccepted\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Profiles:
    """Real names, with their versions. ``migrating``: the gateway is rewriting them."""

    selected: str | None
    known: tuple[str, ...]
    migrating: bool = False

    def problem(self, name: str) -> str | None:
        """Why this profile cannot be selected, None where it can."""
        if name in self.known:
            return None
        if not self.known:
            return f"the gateway lists no grid profiles, so it does not know {name!r}"
        return f"the gateway knows no grid profile {name!r}{self._close(name)}; it lists {self.listed()}"

    def listed(self) -> str:
        """All names, as they are to be written."""
        most = 12
        more = f" and {len(self.known) - most} more" if len(self.known) > most else ""
        return ", ".join(repr(name) for name in self.known[:most]) + more

    def _close(self, name: str) -> str:
        spaces = [one for one in self.known if one.split() == name.split()]
        if spaces:
            return f": it differs only in spaces from {spaces[0]!r}"
        versions = [one for one in self.known if one.rpartition(":")[0] == name or _bare(one) == _bare(name)]
        if versions:
            return f": it differs only in its version from {versions[0]!r}"
        near = difflib.get_close_matches(name, self.known, 1, 0.8)
        return f": it is close to {near[0]!r}" if near else ""


def parse(document: Any) -> Profiles:
    """Out of the gateway's list. Raises `DeviceDataError`."""
    rows = document.get("profiles") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise DeviceDataError("/installer/agf/index.json holds no list of profiles")
    names = (_name(row) for row in rows[:MOST] if isinstance(row, dict))
    selected = document.get("selected_profile")
    return Profiles(
        selected[:LONGEST] if isinstance(selected, str) and selected and not _broken(selected) else None,
        tuple(dict.fromkeys(name for name in names if name and not _broken(name))),
        document.get("migration_in_progress") is True,
    )


def accepted(answer: str) -> bool:
    """Whether the gateway's words say that it took a profile: it says 200 in any case."""
    return _ACCEPTED.search(answer) is not None


def _name(row: dict[str, Any]) -> str:
    name, version = row.get("profile_name"), row.get("profile_version")
    if isinstance(row.get("profile_id"), str) and ":" in row["profile_id"]:
        return str(row["profile_id"])[:LONGEST]
    if not isinstance(name, str) or not name:
        return ""
    return f"{name}:{version}"[:LONGEST] if isinstance(version, str) and version else name[:LONGEST]


def _broken(name: str) -> bool:
    """Whether it holds halves of letters, which JSON knows and nobody else."""
    return any("\ud800" <= sign <= "\udfff" for sign in name)


def _bare(name: str) -> list[str]:
    return name.rpartition(":")[0].split()
