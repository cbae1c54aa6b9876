"""The commands to one inverter: which of those on its topics are ours, and whether ours come back at all."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

OWN_S = 30.0  # what the broker has taken comes back in milliseconds, but for a flood
LATE_S = 900.0  # what it has not may lie in the buffers of a frozen one, and come when it goes on
TWICE_S = 1.0  # the same message delivered twice
BACK_S = 3.0  # where others came back, one that did not by now never will

Key = tuple[str, str]


class Whose(Enum):
    """Whom a command is from. STALE: it is ours, and not what we reckon with: late, out of order, or a will."""

    OWN = "own"
    STALE = "stale"
    FOREIGN = "foreign"


@dataclass(slots=True)
class _Sent:
    at_s: float
    taken: bool | None = None  # by the broker; None while that is under way
    due: int = 1
    back_s: float = float("-inf")


@dataclass(slots=True)
class Commands:
    """Remembers what was sent to one inverter, and what of it came back to us as one of the topic's subscribers.

    ``limit``: the command that sets one. ``patience_s``: as long as the gateway may take to show one. ``foreign``,
    ``foreign_at_s``: the last command of somebody else; ``retained``: commands that the broker keeps, by topic.
    """

    limit: str
    patience_s: float
    unheard_s: float | None = None
    hears: bool | None = None  # whether commands come back over this connection; None: nothing has shown it yet
    telling: bool = False  # the gateway showed another limit when the newest went out: showing it tells something
    foreign: str | None = None
    foreign_at_s: float | None = None
    retained: dict[str, str] = field(default_factory=dict)
    _sent: dict[Key, _Sent] = field(default_factory=dict)
    _newest: dict[str, Key] = field(default_factory=dict)
    _wills: deque[str] = field(default_factory=lambda: deque(maxlen=4))

    @property
    def any(self) -> bool:
        """Whether we command this inverter: then nobody else should."""
        return bool(self._newest)

    @property
    def newest(self) -> str | None:
        """The last limit that was sent, or tried to."""
        return self._newest[self.limit][1] if self.limit in self._newest else None

    def expected(self) -> set[str]:
        """The limits that may still take effect: the last one, those shortly before, and our wills."""
        sent = {payload for command, payload in self._sent if command == self.limit}
        return sent.union(self._wills, () if self.newest is None else (self.newest,))

    def expect_will(self, payload: str) -> None:
        """The broker may send this limit in our name."""
        if payload not in self._wills:
            self._wills.append(payload)

    def sending(self, command: str, payload: str, now_s: float) -> None:
        """It is about to go out."""
        key = command, payload
        self._sent = {one: sent for one, sent in self._sent.items() if _young(sent, now_s)}
        sent = self._sent.get(key)
        if sent is None:
            self._sent[key] = _Sent(now_s)
        else:
            sent.at_s, sent.taken, sent.due = now_s, None, sent.due + 1
        self._newest[command] = key

    def sent(self, command: str, payload: str, *, taken: bool) -> None:
        """The broker has it, or has not answered in time."""
        sent = self._sent[command, payload]
        sent.taken = taken
        if taken and command == self.limit and sent.due and self.unheard_s is None:
            self.unheard_s = sent.at_s

    def shown(self) -> None:
        """The gateway shows the newest limit: it was delivered, whether we heard it or not."""
        if self.unheard_s is not None:
            self.unheard_s = None
            self.hears = False if self.telling else self.hears

    def disconnected(self) -> None:
        """What did not come back by now may have been lost on the way."""
        self.unheard_s = self.hears = None

    def blame(self, what: str, now_s: float) -> None:
        """Somebody else commands this inverter."""
        self.foreign, self.foreign_at_s = what, now_s

    def undelivered_since_s(self, now_s: float) -> float | None:
        """Since when the broker takes limits and passes them on to nobody, as its access rules may have it do."""
        if self.unheard_s is None or self.hears is False:
            return None
        patience_s = BACK_S if self.hears else self.patience_s
        return self.unheard_s if now_s - self.unheard_s > patience_s else None

    def whose(self, command: str, payload: str, now_s: float) -> Whose:
        """Take in a command that arrived."""
        key = command, payload
        sent = self._sent.get(key)
        if sent is not None and _young(sent, now_s) and (sent.due or now_s - sent.back_s <= TWICE_S):
            sent.due, sent.back_s = max(0, sent.due - 1), now_s
            self.hears = True
            if command == self.limit:
                self.unheard_s = None
            newest = self._sent.get(self._newest[command])
            in_order = newest is sent or (newest is not None and newest.due > 0)
            return Whose.OWN if in_order and sent.taken is not False else Whose.STALE
        return Whose.STALE if command == self.limit and payload in self._wills else Whose.FOREIGN


def _young(sent: _Sent, now_s: float) -> bool:
    return now_s - sent.at_s <= (OWN_S if sent.taken else LATE_S)
