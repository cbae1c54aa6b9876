"""``python -m bench``: the core's speed, the stores, the page, and the process's latency, memory, CPU and start."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable

from bench import page, sqlite, telemetry
from bench.core import simulated_day_s, steps_per_s
from bench.process import broker_program, latencies, start_up, usage

FLEETS = (1, 4, 20)


Found = tuple[str, float, str]


def main() -> int:
    """Measure and print; with --json as one document."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="per measurement of the process (default: 60)")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part and no other; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    options = parser.parse_args()
    found = asyncio.run(_measure(options.only or list(PARTS), options.seconds, quiet=options.json))
    if options.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


async def _measure(parts: list[str], seconds: float, *, quiet: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in parts:
        async for key, value, text in PARTS[part](seconds):
            found[key] = round(value, 2)
            if not quiet:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
    return found


async def _core(_seconds: float) -> AsyncIterator[Found]:
    for count in FLEETS:
        rate = steps_per_s(count)
        yield f"core_steps_per_s_{count}", rate, f"core, {count:2} inverters: {rate:8.0f} steps/s"
    day_s = simulated_day_s()
    yield "simulated_day_s", day_s, f"simulator, 24 h of the household scenario: {day_s:.1f} s"


async def _process(seconds: float) -> AsyncIterator[Found]:
    name = "Mosquitto" if broker_program() else "the embedded broker (install mosquitto for the real one)"
    start = await start_up(1)
    yield "first_command_s", start.command_s, f"start: first, safe command after {start.command_s:.1f} s ({name})"
    yield "regulating_s", start.regulating_s, f"start: export over after {start.regulating_s:.1f} s"
    delays = await latencies(seconds)
    for share in (0.5, 0.99):
        value = delays.percentile(share)
        text = f"reading to published limit, p{share * 100:.0f}: {value:.1f} ms ({len(delays.samples_ms)} commands)"
        yield f"latency_p{share * 100:.0f}_ms", value, text
    for count in FLEETS:
        used = await usage(count, seconds)
        text = f"process, {count:2} inverters at 1 Hz: {used.memory_mb:5.1f} MB resident"
        yield f"memory_mb_{count}", used.memory_mb, text
        text = f"process, {count:2} inverters at 1 Hz: {used.cpu_pct:5.2f} % of one core"
        yield f"cpu_pct_{count}", used.cpu_pct, text


async def _sqlite(_seconds: float) -> AsyncIterator[Found]:
    for found in await asyncio.to_thread(lambda: list(sqlite.measure())):
        yield found


async def _page(_seconds: float) -> AsyncIterator[Found]:
    loads = await page.page_loads()
    for name, load in (("here", loads.here), ("phone", loads.phone)):
        size_kb = load.transferred_b / 1000.0
        yield f"page_{name}_kb", size_kb, f"page, {name}: {size_kb:.0f} kB in {load.requests} requests"
        yield f"page_{name}_paint_ms", load.first_paint_ms, f"page, {name}: first paint {load.first_paint_ms:.0f} ms"
        yield f"page_{name}_values_ms", load.values_ms, f"page, {name}: live values {load.values_ms:.0f} ms"


PARTS: dict[str, Callable[[float], AsyncIterator[Found]]] = {
    "core": _core,
    "telemetry": telemetry.measure,
    "sqlite": _sqlite,
    "page": _page,
    "process": _process,
}


if __name__ == "__main__":
    sys.exit(main())
