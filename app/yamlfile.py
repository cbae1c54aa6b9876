"""YAML with line numbers, and variables from the environment: one pass, no recursion, no surprises."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
Location = tuple[int | str, ...]
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<op>:-|:\?)(?P<arg>[^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the file; shown as ``file:line: key: what is wrong``."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key + ': ' if self.key else ''}{self.text}"


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` lists everything found, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems), key=lambda p: (p.line, p.key, p.text))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass
class Document:
    """The plain data of a file, and where each part of it stands."""

    file: str
    data: Any
    lines: dict[Location, int]
    problems: list[Problem] = field(default_factory=list)
    unset: set[Location] = field(default_factory=set)

    def has(self, location: Location) -> bool:
        """Whether the file itself holds this key."""
        return location in self.lines

    def unresolved(self, location: Location) -> bool:
        """Whether the value here needed a variable that is not set."""
        return location in self.unset

    def problem(self, location: Location, text: str) -> Problem:
        """A problem at the nearest enclosing place that the file holds."""
        near = location
        while near and near not in self.lines:
            near = near[:-1]
        return Problem(self.file, self.lines.get(near, 1), ".".join(str(part) for part in location), text)


def load_document(path: Path, environment: dict[str, str]) -> Document:
    """Parse the file and expand its variables. Raises `ConfigError` where there is no document at all."""
    name = str(path)
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode("utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            [Problem(name, 1, "", f"cannot read the file: {reason}; pass its path with --config")]
        ) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(name, 1, "", "is not UTF-8 text")]) from None
    if len(text) > MAX_BYTES:
        raise ConfigError([Problem(name, 1, "", f"is larger than {MAX_BYTES // 1024} kB")])
    try:
        root = yaml.compose(text, Loader=_NoAliases)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([Problem(name, line, "", f"is not valid YAML: {error.problem}")]) from None
    except _AliasError as error:
        raise ConfigError(
            [Problem(name, error.args[0], "", "aliases (*name) are not supported: write it out")]
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([Problem(name, 1, "", f"is not valid YAML: {str(error).splitlines()[0]}")]) from None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError([Problem(name, 1, "", "is empty or no mapping: start from the config.yaml of the project")])
    document = Document(name, None, {(): 1})
    document.data = _plain(root, (), document, environment)
    return document


class _AliasError(Exception):
    """An alias stands on this line."""


class _NoAliases(yaml.SafeLoader):
    """Anchors can make a few bytes expand to gigabytes, and nothing here needs them."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise _AliasError(line)
        return super().compose_node(parent, index)


def _plain(node: yaml.Node, location: Location, document: Document, environment: dict[str, str]) -> Any:
    document.lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, location, document, environment)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*location, i), document, environment) for i, item in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:str":
        return _expanded(node, location, document, environment)
    return _scalar(node, location, document)


def _mapping(
    node: yaml.MappingNode, location: Location, document: Document, environment: dict[str, str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        here = (*location, key)
        if key in result:
            document.problems.append(
                Problem(document.file, key_node.start_mark.line + 1, ".".join(map(str, here)), "is there twice")
            )
        result[key] = _plain(value_node, here, document, environment)
        document.lines[here] = key_node.start_mark.line + 1
    return result


def _scalar(node: yaml.Node, location: Location, document: Document) -> Any:
    try:
        loader = yaml.SafeLoader("")
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        document.problems.append(document.problem(location, f"{node.value!r} is no value that can be used here"))
        return None


def _expanded(node: yaml.Node, location: Location, document: Document, environment: dict[str, str]) -> Any:
    """Replace variables; what they give stays text, and the configuration's types read it."""
    text = str(node.value)

    def value_of(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        value = _variable(name, environment, document, location)
        if value:
            return value
        if match["op"] == ":-":
            return match["arg"] or ""
        if match["op"] is None and value == "" and name in environment:
            return ""
        hint = (
            match["arg"] if match["op"] == ":?" else ""
        ) or f"set it in .env or the environment, or give a default: ${{{name}:-...}}"
        document.problems.append(document.problem(location, f"{name} is not set: {hint}"))
        document.unset.add(location)
        return ""

    return _VARIABLE.sub(value_of, text)


def _variable(name: str, environment: dict[str, str], document: Document, location: Location) -> str | None:
    """The variable, or the content of the file that ``NAME_FILE`` points to (Docker secrets)."""
    if name in environment:
        return environment[name]
    path = environment.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        document.problems.append(document.problem(location, f"{name}_FILE: cannot read {path}: {error}"))
        return None
