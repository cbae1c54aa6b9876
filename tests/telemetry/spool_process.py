"""A process that records without end: ``python -m tests.telemetry.spool_process FOLDER PORT FIRST``.

It offers points to the InfluxDB store, and prints the number of each once the spool has accepted it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from tests.telemetry.writes import fast, point


async def record(folder: Path, port: int, first: int) -> None:
    """Offer, store, print, until killed."""
    sink = fast(folder, port)
    task = asyncio.create_task(sink.run())
    for i in range(first, first + 1_000_000):
        sink.offer([point(i), point(i, "day", 0.0)])
        await sink.store()
        sys.stdout.write(f"{i}\n")
        sys.stdout.flush()
        await asyncio.sleep(0.001)
    task.cancel()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(record(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
