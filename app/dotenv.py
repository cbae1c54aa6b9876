"""The `.env` file beside the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.yamlfile import ConfigError, Problem

MAX_BYTES = 64 * 1024
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")


def environment_for(config: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, completed by the `.env` beside the configuration; the environment wins."""
    return read(config.parent / ".env") | dict(environment)


def read(path: Path) -> dict[str, str]:
    """``KEY=value`` lines; quotes around a value and comment lines are dropped. {} where there is no file."""
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:  # not shown: it may be the rest of a secret
            problems.append(Problem(str(path), number, "", "is no KEY=value line"))
            continue
        values[match[1]] = _unquoted(match[2])
    if problems:
        raise ConfigError(problems)
    return values


def is_plain(path: Path) -> bool:
    """Whether systemd reads the same out of it: no quotes, no comments behind values, no ``export``."""
    lines = [line for line in _text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return not any(sign in line for line in lines for sign in "'\"\\#;") and not any(
        line.lstrip().startswith("export") or re.search(r"\s=|=\s", line) for line in lines
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError([Problem(str(path), 1, "", f"is larger than {MAX_BYTES // 1024} kB")])
        return data.decode("utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError([Problem(str(path), 1, "", f"cannot read the file: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), 1, "", "is not UTF-8 text: save the file as UTF-8")]) from None


def _unquoted(text: str) -> str:
    value = text.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    comment = next((at for at in range(1, len(text)) if text[at] == "#" and text[at - 1].isspace()), len(text))
    return text[:comment].strip()
