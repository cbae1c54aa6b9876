"""What must outlive the program: the rule that was taken last, and what the gateway held before our first change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.kept import Kept
from app.model import Rule


@dataclass(frozen=True, slots=True)
class Past:
    """``control``: by which way the rule was given. ``found``: what ``/ivp/ss/dpel`` held before our first change.

    ``written``: what we sent last; ``seen``: the gateway has shown it since, so whatever differs now is not ours.
    ``storage``: it shows a battery of its own. ``left``: what another way has left behind, until that way is back.
    """

    control: str = ""
    accepted: Rule | None = None
    accepted_utc_s: float | None = None
    found: dict[str, Any] | None = None
    written: dict[str, Any] | None = None
    seen: bool = False
    storage: bool | None = None
    left: Past | None = None

    @property
    def limits(self) -> bool:
        """Whether a rule of ours holds the gateway back."""
        return self.accepted not in (None, Rule())


class Memory:
    """The past of one gateway, in a file of its own."""

    def __init__(self, data_dir: Path, serial: str, control: str) -> None:
        self._file = Kept(data_dir / f"enphase-{serial}.json", Past, Past(), f"rule of the Enphase gateway {serial}")
        self.past = self._file.read()
        if self.past.control != control:
            self.past = _turned(self.past, control)

    @property
    def left(self) -> Past | None:
        """What another way of control has left behind, and may still be in force."""
        return self.past.left

    async def keep(self, **changes: Any) -> None:
        """Change it, on the disk as well before this returns."""
        self.past = replace(self.past, **changes)
        await self._file.save(self.past)


def _turned(past: Past, control: str) -> Past:
    """The past under another way of control; a limit that nobody has lifted stays known, with what was before it."""
    behind, back = (replace(past, left=None) if past.limits else past.left), Past(control)
    if past.left is not None and past.left.control == control:
        back, behind = past.left, behind if past.limits else None
    return replace(back, storage=past.storage, left=behind)
