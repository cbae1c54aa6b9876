"""``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}`` in one value: one pass, no recursion."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_SECRET_BYTES = 65_536
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<op>:-|:\?)(?P<arg>[^{}]*))?\}|(?P<bad>\{))")


@dataclass(frozen=True, slots=True)
class Expanded:
    """A value with its variables replaced, what was wrong with them, and whether one of them is not set."""

    text: str
    problems: tuple[str, ...] = ()
    unset: bool = False


def expand(text: str, environment: Mapping[str, str]) -> Expanded:
    """Replace every variable; what they give is not looked into again."""
    problems: list[str] = []
    unset = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal unset
        name = match["name"]
        if match["bad"]:
            problems.append("${ begins no variable here: write ${NAME}, ${NAME:-default}, or $$ for a dollar sign")
            return ""
        if name is None:
            return "$"
        value = _value(name, environment, problems)
        if value or (match["op"] is None and name in environment):
            return value or ""
        if match["op"] == ":-":
            return match["arg"]
        hint = (match["arg"] if match["op"] else "") or (
            f"set it in .env or the environment, or give a default: ${{{name}:-...}}"
        )
        problems.append(f"{name} is not set: {hint}")
        unset = True
        return ""

    return Expanded(_VARIABLE.sub(value_of, text), tuple(problems), unset)


def _value(name: str, environment: Mapping[str, str], problems: list[str]) -> str | None:
    """The variable, or the content of the file that ``NAME_FILE`` points to (Docker secrets)."""
    if name in environment:
        return environment[name]
    path = environment.get(f"{name}_FILE")
    if not path:
        return None
    try:  # neither the path nor the content is shown: either may be the secret, put in the wrong place
        return _content(Path(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        problems.append(f"{name}_FILE: cannot read the file that it names: {reason}")
        return None


def _content(path: Path) -> str:
    """The text of a small, regular file. Raises OSError or ValueError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("a device or a pipe may never end")
    with path.open("rb") as file:
        return file.read(MAX_SECRET_BYTES).decode("utf-8").strip()
