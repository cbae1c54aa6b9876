"""YAML with line numbers and variables, and no surprises: nothing in a file can hang, explode or be overlooked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.variables import expand

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
MAX_TEXT = 4096
MAX_NUMBER = 40
MAX_SHOWN = 100
MAX_SENTENCE = 400
Location = tuple[int | str, ...]
_TAG = "tag:yaml.org,2002:"
_TEXTS = {_TAG + name for name in ("str", "timestamp", "merge", "value")}
_NUMBERS = {_TAG + name for name in ("int", "float", "bool", "null")}
_CONTAINERS = {_TAG + name for name in ("map", "seq")}
_SECRET = re.compile(r"pass(word|wd|phrase)|token|secret|bearer|auth|headers|api_?key|webhook", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=//)[^\s/?#]*@")
_QUERY = re.compile(r"(://[^\s?#'\"]*\?)[^\s'\"]+")
_KEY = re.compile(r"[\w-]{1,40}")


def load_plain(path: Path) -> Any:
    """The data of a file of our own."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


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
        lines = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        more = len(self.problems) - len(lines)
        super().__init__("\n".join([*lines, f"… and {more} more"] if more else lines))


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
        """A problem at the nearest enclosing place that the file holds. It never shows a secret."""
        near = location
        while near and near not in self.lines:
            near = near[:-1]
        key = ".".join(str(part) if _KEY.fullmatch(str(part)) else "…" for part in location)
        return Problem(self.file, self.lines.get(near, 1), key, self._public(text, location))

    def complain(self, location: Location, text: str) -> None:
        """Note a problem."""
        self.problems.append(self.problem(location, text))

    def _public(self, text: str, location: Location) -> str:
        """The text without the value of a secret key, and without the logins and queries of URLs."""
        if is_secret(location):
            value = self._at(location)
            text = text.removeprefix(f"{value!r}: ")
            for shown in (repr(value), str(value)):
                text = text.replace(shown, "***") if len(shown) > 3 else text
        text = _QUERY.sub(r"\1***", _LOGIN.sub("***@", text))
        return text if len(text) <= MAX_SENTENCE else f"{text[:MAX_SENTENCE]}…"

    def _at(self, location: Location) -> Any:
        value = self.data
        for part in location:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                break
        return value


def is_secret(location: Location) -> bool:
    """Whether what stands here must not be shown, going by the names of the keys."""
    return any(isinstance(part, str) and _SECRET.search(part) for part in location)


def load_document(path: Path, environment: Mapping[str, str]) -> Document:
    """Parse the file and expand its variables. Raises `ConfigError` where there is no document at all."""
    name = str(path)
    root = _parsed(_text(path), name)
    if not isinstance(root, yaml.MappingNode):
        raise _refusal(name, 1, "is empty or no mapping: start from the config.yaml of the project")
    document = Document(name, None, {(): 1})
    document.data = _Reader(document, environment).plain(root, ())
    return document


def _refusal(name: str, line: int, text: str) -> ConfigError:
    return ConfigError([Problem(name, line, "", text)])


def _text(path: Path) -> str:
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "an error of the system"
        raise _refusal(name, 1, f"cannot read the file: {reason}; pass its path with --config") from None
    if len(data) > MAX_BYTES:
        raise _refusal(name, 1, f"is larger than {MAX_BYTES // 1024} kB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(name, line, "is not UTF-8 text: save the file as UTF-8") from None


def _parsed(text: str, name: str) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        return root
    except _ForbiddenError as error:
        raise _refusal(name, error.line, str(error)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _refusal(name, line, f"is not valid YAML: {_reason(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refusal(name, line, "is not valid YAML: a control character stands here") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _refusal(name, 1, "is not valid YAML") from None


def _reason(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, but for what it would quote of a password that stands there without quotes."""
    problem = error.problem or "it breaks off here"
    if "tag handle" in problem:
        return "a value begins with !: put it in quotes"
    return problem.replace("character '\\t'", "a tab") if "'\\t'" in problem else problem


class _ForbiddenError(Exception):
    """Valid YAML that is not wanted here."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Without aliases, which make gigabytes of a few bytes, and without depths that no setting has."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _ForbiddenError(line, "aliases (*name) are not supported: write it out, or put it in quotes")
        if self.depth >= MAX_DEPTH:
            raise _ForbiddenError(line, f"is nested more than {MAX_DEPTH} levels deep: close the brackets")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reader:
    """From YAML's nodes to plain data, noting every problem and where each value stands."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment

    def plain(self, node: yaml.Node, location: Location) -> Any:
        self._document.lines.setdefault(location, node.start_mark.line + 1)
        if node.tag not in _TEXTS | _NUMBERS | _CONTAINERS:
            self._document.complain(location, "begins with !, a YAML tag: put the value in quotes")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*location, index)) for index, item in enumerate(node.value)]
        if node.tag in _NUMBERS and ":" not in node.value:
            return self._number(node, location)
        return self._expanded(str(node.value), location)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            here = (*location, key)
            self._document.lines[here] = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.complain(here, "a key is a word: remove the brackets before the colon")
            elif key in result:
                self._document.complain(here, "is there twice")
            result[key] = self.plain(value_node, here)
        return result

    def _number(self, node: yaml.Node, location: Location) -> Any:
        """A number, true or false, or null."""
        try:
            if len(node.value) <= MAX_NUMBER:
                return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError):
            pass
        self._document.complain(location, "is no value that can be used here: put it in quotes if it is a text")
        return None

    def _expanded(self, text: str, location: Location) -> str:
        """Replace variables; what they give stays text, and the configuration's types read it."""
        expanded = expand(text[: MAX_TEXT + 1], self._environment)
        if len(text) > MAX_TEXT or len(expanded.text) > MAX_TEXT:
            self._document.complain(location, f"is longer than {MAX_TEXT} characters")
            return ""
        for problem in expanded.problems:
            self._document.complain(location, problem)
        if expanded.unset:
            self._document.unset.add(location)
        return expanded.text
