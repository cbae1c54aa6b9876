"""Looking round: everybody who announces himself or sends by himself, asked, and put in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from app.discover.browse import browse
from app.discover.confirm import FAMILIES, Group, confirm, groups
from app.discover.paste import Found, as_yaml, plain
from app.discover.sma import SMA, hear
from app.model import DeviceError
from app.outbound import new_session

MOST = 64  # devices that are asked: whoever is in the network can announce as many as he likes
AT_A_TIME = 8
LOOKED_FOR = FAMILIES | {SMA: "multicast from the same network; docs/meters.md says what stops it"}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is. ``nothing_of``: what was looked for in vain; ``problems``: sentences."""

    found: tuple[Found, ...]
    nothing_of: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def of_use(self) -> bool:
        """Whether anything can go into a configuration."""
        return any(one.lines for one in self.found)

    def __str__(self) -> str:
        """The lines for config.yaml; whatever is no configuration is a comment."""
        parts = [as_yaml(self.found)] if self.found else []
        if self.nothing_of:
            where = "" if self.found else " (in a container, only with the network of the host)"
            head = f"# Looked for, and found nothing of{where}:\n"
            parts.append(head + "".join(f"#   {one}\n" for one in self.nothing_of))
        if self.problems:
            parts.append("".join(f"# {plain(problem, 400)}\n" for problem in self.problems))
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        found = [one.as_json() for one in self.found]
        return {"found": found, "nothing_of": list(self.nothing_of), "problems": list(self.problems)}


async def discover(seconds: float, interface: IPv4Address | None, say: Say) -> Outcome:
    """Look round for so long, and ask whoever announced himself. ``interface``: an address of ours, else all."""
    say(f"looking for {', '.join(LOOKED_FOR)} for {seconds:g} s ...")
    heard = await asyncio.gather(browse(seconds, interface), hear(seconds, interface), return_exceptions=True)
    problems: list[str] = []
    announced, meters = (_or_none(outcome, problems) for outcome in heard)
    found = await _ask_all(groups(announced), say)
    found += [one for one in meters if isinstance(one, Found)]
    found = list({(one.family, one.host, one.product): one for one in found}.values())
    there = {one.family for one in found}
    nothing_of = tuple(f"{family}: {why}" for family, why in LOOKED_FOR.items() if family not in there)
    return Outcome(tuple(sorted(found, key=Found.rank)), nothing_of, tuple(problems))


def _or_none(outcome: Sequence[Any] | BaseException, problems: list[str]) -> Sequence[Any]:
    if isinstance(outcome, DeviceError):
        problems.append(str(outcome))
        return ()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def _ask_all(asked: Iterable[Group], say: Say) -> list[Found]:
    """Whoever answers as what he says he is."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(group: Group) -> Found | None:
        async with turns:
            say(f"asking {plain(group.name)} at {group.host}, which may be {group.family} ...")
            try:
                return await confirm(session, group)
            except DeviceError as error:
                say(f"  it is not that: {plain(str(error), 200)}")
                return None

    async with new_session() as session:
        found = await asyncio.gather(*(one(group) for group in list(asked)[:MOST]))
    return [one for one in found if one is not None]
