"""What was found as lines for config.yaml. Pure. Texts of devices stand in comments only, and cannot leave them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_PLAIN = re.compile(r"[a-z][a-z_]*|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(:\d+)?")
_WORDS = {"on", "off", "yes", "no", "true", "false", "null", "y", "n"}  # that YAML takes for something else


@dataclass(frozen=True, slots=True)
class Line:
    """One key. Its value: lines below it, a list of such, or a plain one; None: to be filled in."""

    key: str
    value: str | int | tuple[Line, ...] | list[tuple[Line, ...]] | None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A device that is what it says. ``ready``: its lines are complete; none: it is of no use here."""

    family: str
    product: str
    host: str
    lines: tuple[Line, ...]
    remarks: tuple[str, ...] = ()
    ready: bool = True

    def rank(self) -> tuple[bool, bool, bool, str]:
        """What is of use first, and meters beside meters."""
        return (not self.lines, not self.ready, all(line.key != "meter" for line in self.lines), self.host)

    def as_json(self) -> dict[str, Any]:
        """For machines; what is to be filled in is null."""
        remarks = [plain(remark, 400) for remark in self.remarks]
        about = {"family": self.family, "product": plain(self.product), "host": self.host}
        return {**about, "ready": self.ready, "config": _tree(self.lines), "remarks": remarks}


def as_yaml(found: Iterable[Found]) -> str:
    """A whole document; of what can be there once, such as the meter, all but the first is a comment."""
    taken: set[str] = set()
    parts = []
    for one in found:
        keys = {line.key for line in one.lines}
        active = one.ready and not keys & taken
        if active:
            taken |= keys
        head = [f"{plain(one.product)} at {one.host}{'' if one.lines else ': of no use here'}"]
        head += [plain(remark, 400) for remark in one.remarks]
        if one.lines and not active:
            head.append("instead of the one above:" if one.ready else "with what is missing, and instead of any above:")
        body = [line if active else f"# {line}" for line in _rendered(one.lines, active=active)]
        parts.append("".join(f"{line}\n" for line in (*(f"# {line}" for line in head), *body)))
    return "\n".join(parts)


def plain(text: str, longest: int = 60) -> str:
    """A text of a device as one harmless line."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _rendered(lines: Sequence[Line], indent: str = "", *, active: bool = True) -> Iterator[str]:
    for line in lines:
        remark = f" # {plain(line.remark, 200)}" if line.remark else ""
        match line.value:
            case None:
                yield f"{indent}{'# ' if active else ''}{line.key}:{remark}"
            case list() as items:
                yield f"{indent}{line.key}:{remark}"
                for item in items:
                    first, *others = _rendered(item, indent + "    ", active=active)
                    yield f"{indent}  - {first.strip()}"
                    yield from others
            case tuple() as inner:
                yield f"{indent}{line.key}:{remark}"
                yield from _rendered(inner, indent + "  ", active=active)
            case _:
                yield f"{indent}{line.key}: {_scalar(line.value)}{remark}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value not in _WORDS else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _tree(lines: Sequence[Line]) -> dict[str, Any]:
    return {line.key: _branch(line.value) for line in lines}


def _branch(value: Any) -> Any:
    match value:
        case list():
            return [_tree(item) for item in value]
        case tuple():
            return _tree(value)
    return value
