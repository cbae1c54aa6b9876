"""A ledger that is fed by a meter whose counter grows by one Wh a millisecond, and saved all the time; for a kill."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from app import kept
from app.kept import Kept
from app.ledger import KeptLedger, LedgerKeeper
from app.model import Decision, MeterState, Mode, Phase, Reading, Settings, Snapshot

MOST_W = 1e8


def snapshot(began_utc_s: float) -> Snapshot:
    """A turn of the loop: one phase, which has counted since then."""
    utc_s, now_s = time.time(), time.monotonic()
    counted_wh = (utc_s - began_utc_s) * 1000.0
    reading = Reading(3.6e6, now_s, utc_s, (Phase(),), counted_wh, 0.0)
    return Snapshot(now_s, utc_s, MeterState(reading), (), Settings())


def file(path: Path) -> Kept[KeptLedger]:
    """Where it is kept."""
    return Kept(path, KeptLedger, KeptLedger(), "ledger")


async def main(path: Path, began_utc_s: float) -> None:
    """Until somebody kills us."""
    kept.SAVE_EVERY_S = 0.02
    place = file(path)
    keeper = LedgerKeeper("", None, place.read(), most_w=MOST_W)
    saving = asyncio.create_task(place.run(keeper.kept))
    while not saving.done():
        keeper.observe(snapshot(began_utc_s), Decision(Mode.LIMIT, "", grid_w=3.6e6))
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
