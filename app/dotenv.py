"""The `.env` file beside the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.yamlfile import ConfigError, Problem

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


def environment_for(config: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, completed by the `.env` beside the configuration; the environment wins."""
    return read(config.parent / ".env") | dict(environment)


def read(path: Path) -> dict[str, str]:
    """``KEY=value`` lines; quotes around a value and comment lines are dropped. {} where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), 1, "", f"cannot read the file: {error}")]) from None
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            problems.append(Problem(str(path), number, "", f"is no KEY=value line: {line.split('=')[0][:40]!r}"))
            continue
        values[match[1]] = _unquoted(match[2])
    if problems:
        raise ConfigError(problems)
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return re.sub(r"\s+#.*$", "", value)
