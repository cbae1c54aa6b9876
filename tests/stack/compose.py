"""The compose files as plain data, for the tests of the stack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MAIN, DEMO, HOST = "docker-compose.yml", "docker-compose.demo.yml", "docker-compose.host.yml"
FILES = (MAIN, DEMO, HOST)
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(:?[-?])?([^}]*)\}")


class _Loader(yaml.SafeLoader):
    """Knows Compose's own tags."""


def _empty(_loader: yaml.SafeLoader, _node: yaml.Node) -> list[Any]:
    return []


_Loader.add_constructor("!reset", _empty)


def text(name: str) -> str:
    """A file at the top of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def document(name: str) -> dict[str, Any]:
    """A compose file, merged keys resolved and variables left alone."""
    data: dict[str, Any] = yaml.load(text(name), Loader=_Loader)
    return data


def services(name: str) -> dict[str, dict[str, Any]]:
    """Its services by name."""
    found: dict[str, dict[str, Any]] = document(name)["services"]
    return found


def variables(name: str) -> dict[str, set[str]]:
    """Every variable that a file mentions, with its operators (``:-``, ``:?`` or none)."""
    found: dict[str, set[str]] = {}
    code = "\n".join(line for line in text(name).splitlines() if not line.lstrip().startswith("#"))
    for match in VARIABLE.finditer(code):
        found.setdefault(match[1], set()).add(match[2] or "")
    return found


def example() -> dict[str, str]:
    """Keys of `.env.example` with the comment line above each."""
    found, comment = {}, ""
    for line in text(".env.example").splitlines():
        if line.startswith("#"):
            comment = line
        elif "=" in line:
            found[line.partition("=")[0]] = comment
            comment = ""
    return found
