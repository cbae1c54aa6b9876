"""What an Enphase gateway tells besides its meter: the documents in the shape that its answers have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "fixtures" / "envoy"


def fixture(name: str) -> Any:
    """One document, fresh."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
