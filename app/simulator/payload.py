"""How OpenDTU reads what is sent below ``cmd/``: C++'s lenient number parsing, then 16 bits. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from app.simulator.radio import JobKind

_NUMBER = re.compile(
    r"\s*(?P<sign>[+-]?)(?:0x(?P<hex>[0-9a-f]+)|(?P<decimal>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|(?P<word>inf|nan))",
    re.IGNORECASE,
)
LIMITS = {
    "limit_nonpersistent_relative": (True, False),
    "limit_nonpersistent_absolute": (False, False),
    "limit_persistent_relative": (True, True),
    "limit_persistent_absolute": (False, True),
}
COMMANDS = (*LIMITS, "power", "restart", "reset_rf_stats")


@dataclass(frozen=True, slots=True)
class LimitValue:
    """A limit as it goes through the air: per cent or watts, in steps of 0.1."""

    number: float
    relative: bool
    persistent: bool

    @property
    def type_word(self) -> tuple[bool, bool]:
        """Only limits of the same type replace each other in the queue."""
        return self.relative, self.persistent

    def watts(self, rated_w: float) -> float:
        """What the inverter makes of it."""
        return self.number * rated_w / 100.0 if self.relative else self.number


def parse_number(payload: str) -> float | None:
    """A leading number, whatever follows it; None without one; `OverflowError` beyond single precision."""
    match = _NUMBER.match(payload)
    if match is None:
        return None
    value = float(int(match["hex"], 16)) if match["hex"] else float(match["decimal"] or match["word"])
    if match["decimal"] and (value > 3.4e38 or 0.0 < value < 1.2e-38):
        raise OverflowError(payload)
    return -value if match["sign"] == "-" else value


def parse_command(command: str, payload: str, *, retained: bool) -> tuple[JobKind, LimitValue | bool] | None:
    """What to do on the air, or None for what OpenDTU ignores.

    Replayed retained messages are ignored for non-persistent limits and restarts, but obeyed for the others.
    """
    if command in LIMITS:
        relative, persistent = LIMITS[command]
        number = None if retained and not persistent else parse_number(payload)
        return None if number is None else (JobKind.LIMIT, _limit(number, relative=relative, persistent=persistent))
    if command == "power":
        number = parse_number(payload)
        return None if number is None else (JobKind.POWER, number >= 1.0)
    if command == "restart" and payload == "1" and not retained:
        return JobKind.RESTART, True
    return None


def _limit(number: float, *, relative: bool, persistent: bool) -> LimitValue:
    if relative:
        number = 100.0 if math.isnan(number) else min(100.0, number)
    tenths = int(number * 10.0 + 1e-4) & 0xFFFF if math.isfinite(number) else 0
    return LimitValue(tenths / 10.0, relative, persistent)
