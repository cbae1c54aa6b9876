"""``python -m bench``: the core's speed, the process's latency, memory and CPU, and how fast it starts."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from bench import sqlite
from bench.core import simulated_day_s, steps_per_s
from bench.process import broker_program, latencies, start_up, usage

FLEETS = (1, 4, 20)


def main() -> int:
    """Measure and print; with --json as one document."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="per measurement of the process (default: 60)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    options = parser.parse_args()
    found = asyncio.run(_measure(options.seconds, quiet=options.json))
    if options.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


async def _measure(seconds: float, *, quiet: bool) -> dict[str, float]:
    found: dict[str, float] = {}

    def tell(key: str, value: float, text: str) -> None:
        found[key] = round(value, 2)
        if not quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    if not quiet:
        name = "Mosquitto" if broker_program() else "the embedded broker (install mosquitto for the real one)"
        sys.stdout.write(f"broker: {name}; about {7 + 4 * seconds / 60:.0f} minutes\n")
    for count in FLEETS:
        rate = steps_per_s(count)
        tell(f"core_steps_per_s_{count}", rate, f"core, {count:2} inverters: {rate:8.0f} steps/s")
    day_s = simulated_day_s()
    tell("simulated_day_s", day_s, f"simulator, 24 h of the household scenario: {day_s:.1f} s")
    for key, value, text in await asyncio.to_thread(lambda: list(sqlite.measure())):
        tell(key, value, text)
    start = await start_up(1)
    tell("first_command_s", start.command_s, f"start: first, safe command after {start.command_s:.1f} s")
    tell("regulating_s", start.regulating_s, f"start: export over after {start.regulating_s:.1f} s")
    delays = await latencies(seconds)
    for share in (0.5, 0.99):
        value = delays.percentile(share)
        text = f"reading to published limit, p{share * 100:.0f}: {value:.1f} ms ({len(delays.samples_ms)} commands)"
        tell(f"latency_p{share * 100:.0f}_ms", value, text)
    for count in FLEETS:
        used = await usage(count, seconds)
        tell(
            f"memory_mb_{count}",
            used.memory_mb,
            f"process, {count:2} inverters at 1 Hz: {used.memory_mb:5.1f} MB resident",
        )
        tell(
            f"cpu_pct_{count}", used.cpu_pct, f"process, {count:2} inverters at 1 Hz: {used.cpu_pct:5.2f} % of one core"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
