"""What a replay found, in words and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_jsonable_python

from app.model import Decision

KINDS = ("mode", "commands", "reason")
SAME_LIMIT_W = 0.5
WARM_UP_S = 60.0  # a controller that did not see the beginning has to learn first


@dataclass(frozen=True, slots=True)
class Difference:
    """One tick on which the decisions differ; ``what`` says in which of `KINDS`."""

    where: str
    utc_s: float
    what: tuple[str, ...]
    grid_w: float | None
    recorded: Decision
    now: Decision

    def __str__(self) -> str:
        grid = "grid unknown" if self.grid_w is None else f"grid {self.grid_w:.0f} W"
        return (
            f"{_moment(self.utc_s, '%Y-%m-%d %H:%M:%S')} UTC  {grid}  ({self.where}; {', '.join(self.what)})\n"
            f"  recorded  {_words(self.recorded)}\n"
            f"  now       {_words(self.now)}"
        )

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        decisions = {"recorded": _outcome(self.recorded), "now": _outcome(self.now)}
        return {"where": self.where, "utc_s": self.utc_s, "what": self.what, "grid_w": self.grid_w} | decisions


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay found. ``warm_up_ticks`` were replayed and not compared: ``ignored`` of them differ.

    ``kinds`` counts the differing ticks by what differs; ``differences`` holds the first ones.
    """

    sites: tuple[str, ...]
    inverters: tuple[str, ...]
    versions: tuple[str, ...]
    segments: int
    runs: int
    ticks: int
    from_utc_s: float
    to_utc_s: float
    warm_up_ticks: int
    ignored: int
    commands_recorded: int
    commands_now: int
    differing: int
    kinds: dict[str, int]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        values = {name: value for name, value in asdict(self).items() if name != "differences"}
        found = {"differences": [difference.as_json() for difference in self.differences]}
        document: dict[str, Any] = to_jsonable_python(values | found, inf_nan_mode="null")
        return document

    def __str__(self) -> str:
        return "\n".join(self._paragraphs())

    def _paragraphs(self) -> Iterator[str]:
        span = f"{_moment(self.from_utc_s, '%Y-%m-%d %H:%M:%S')} to {_moment(self.to_utc_s, '%Y-%m-%d %H:%M:%S')} UTC"
        yield f"{', '.join(self.sites)}: {self.ticks} ticks, {span}; inverters {', '.join(self.inverters)}"
        yield f"recorded by version {', '.join(self.versions)}: {count(self.segments, 'segment')}"
        yield from (f"note: {note}" for note in self.notes)
        if self.warm_up_ticks:
            yield (
                f"not compared: {count(self.warm_up_ticks, 'tick')} in the first {WARM_UP_S:.0f} s of what does not "
                f"begin with the start of the program ({self.ignored} differ); "
                f"what the law had learned before is missing later, too, so some differences have no other cause"
            )
        yield f"commands: {self.commands_recorded} recorded, {self.commands_now} now"
        compared = self.ticks - self.warm_up_ticks
        if not self.differing:
            yield f"all {compared} decisions are the same"
            return
        kinds = ", ".join(f"{kind} {self.kinds[kind]}" for kind in KINDS)
        yield f"{self.differing} of {compared} decisions differ: {kinds}"
        for difference in self.differences:
            yield f"\n{difference}"
        if self.differing > len(self.differences):
            yield f"\n{self.differing - len(self.differences)} more; --all shows them"


def differs(recorded: Decision, now: Decision) -> tuple[str, ...]:
    """In which of `KINDS` two decisions differ."""
    same = (recorded.mode is now.mode, _same_commands(recorded, now), recorded.reason == now.reason)
    return tuple(kind for kind, equal in zip(KINDS, same, strict=True) if not equal)


def _same_commands(recorded: Decision, now: Decision) -> bool:
    before = {command.serial: command.limit_w for command in recorded.commands}
    after = {command.serial: command.limit_w for command in now.commands}
    return before.keys() == after.keys() and all(abs(before[s] - after[s]) <= SAME_LIMIT_W for s in before)


def count(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _moment(utc_s: float, form: str) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime(form)


def _words(decision: Decision) -> str:
    commands = ", ".join(f"{command.serial} to {command.limit_w:.1f} W" for command in decision.commands)
    return f"{decision.mode}, {commands or 'no command'}: {decision.reason}"


def _outcome(decision: Decision) -> dict[str, Any]:
    commands = [{"serial": command.serial, "limit_w": command.limit_w} for command in decision.commands]
    return {"mode": decision.mode, "reason": decision.reason, "commands": commands}
