"""What must be known of one inverter after a restart: what was there before us, what we wrote, and how often today."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from app.kept import Kept


@dataclass(frozen=True, slots=True)
class Memory:
    """Registers by address. ``found``: before our first write; ``ours``: our last write, ``before``: just before it.

    ``writes`` on the local ``day``; ``proven``: the registers that the power was seen to follow, as one word.
    """

    found: dict[int, int] | None = None
    found_utc_s: float | None = None
    ours: dict[int, int] = field(default_factory=dict)
    before: dict[int, int] = field(default_factory=dict)
    day: str = ""
    writes: int = 0
    proven: str = ""


def kept(data_dir: Path, name: str) -> Kept[Memory]:
    """The file of an inverter, by its id."""
    readable = re.sub(r"[^0-9A-Za-z]+", "-", name)[:40]
    path = data_dir / f"goodwe-{readable}-{zlib.crc32(name.encode()):08x}.json"
    return Kept(path, Memory, Memory(), f"limits of {name}")
