"""``python -m scripts.baseline``: accept what the law does now as the figures that must not get worse.

Run it in the top folder of the checkout, after a change that is meant to move them, and commit the file it writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.simulator.scoreboard import cores, play_all, short_plan
from app.simulator.standings import figures

BASELINE = Path("tests/simulator/baseline.json")


def main() -> int:
    """Run the short form of the scoreboard and write its figures."""
    found = figures(play_all(short_plan(), cores()))
    BASELINE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{BASELINE}: {len(found)} figures\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
