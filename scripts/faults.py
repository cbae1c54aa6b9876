"""``python -m scripts.faults [--full] [--json FILE]``: break everything, and show what came of it.

Runs the scenarios of `tests/faults`, and the tests elsewhere that stand for a row of the scorecard; prints the table
and writes it into `docs/reliability.md`. Run it in the top folder of the checkout. Exit code 1 where a row failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.scorecard import FILE, FULL, SCENARIOS, Row

DOCUMENT = Path("docs/reliability.md")
LOOK_EVERY_S = 0.5
WORST_FIRST = ("FAIL", "part", "pass", "long")


@dataclass(frozen=True, slots=True)
class Quoted:
    """A row that tests elsewhere stand for."""

    paths: tuple[str, ...]
    only: str = ""  # pytest's -k


QUOTED = {
    23: Quoted(("tests/stack/test_broker_access.py",)),
    30: Quoted(("tests/telemetry/test_outage.py",), "six_hours or newest or real_server or influxdb_1"),
    31: Quoted(("tests/telemetry/test_outage.py", "tests/telemetry/test_spool.py"), "kill"),
    32: Quoted(("tests/telemetry/test_influx.py",), "refused or refuses_everything or dropped or bad_points"),
    33: Quoted(
        ("tests/telemetry/test_influx.py", "tests/telemetry/test_outage.py"), "plain_words or large or pause or slow"
    ),
    34: Quoted(("tests/telemetry/test_spool.py", "tests/telemetry/test_segment.py")),
    37: Quoted(("tests/test_config_mutations.py",)),
    39: Quoted(("tests/api/test_cross_site.py", "tests/api/test_toggle.py")),
    40: Quoted(("tests/api/test_tokens.py",)),
    42: Quoted(("tests/api/test_schemathesis.py",)),
    43: Quoted(("tests/test_canaries.py", "tests/test_secrets.py")),
}
MUTATION = 45  # only in the long form: its own program, which takes long


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, print the table, write it; 1 where a row failed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the long variants too: about an hour on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here as JSON too")
    parser.add_argument("--jobs", default="3", help="tests side by side; most of them wait (default: 3)")
    options = parser.parse_args(arguments)
    begun_s = time.monotonic()
    found = [*scenarios(options.full, options.jobs), *quoted(options.full)]
    found.append(mutation() if options.full else Row(MUTATION, "only in the long form", "long"))
    rows = merged(found)
    minutes = (time.monotonic() - begun_s) / 60.0
    what = f"{'full' if options.full else 'quick'} form, {datetime.now(UTC):%Y-%m-%d}, {minutes:.0f} min"
    text = table(rows)
    sys.stdout.write(f"\n{text}\n{summary(rows)}; {what}\n")
    write(DOCUMENT, "full" if options.full else "quick", f"{summary(rows)}; {what}.\n\n{text}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1) + "\n", encoding="utf-8")
    return 1 if any(row.verdict == "FAIL" for row in rows.values()) else 0


def scenarios(full: bool, jobs: str) -> Iterator[Row]:
    """Run `tests/faults`; each row as soon as it is there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        file.touch()
        environment = {**os.environ, FILE: str(file), FULL: str(int(full))}
        command = [sys.executable, "-m", "pytest", "tests/faults", "-n", jobs, "--dist", "worksteal", "-q"]
        with (Path(folder) / "output").open("w+") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
            shown = 0
            while process.poll() is None or shown < len(_lines(file)):
                for line in _lines(file)[shown:]:
                    shown += 1
                    row = Row(**json.loads(line))
                    _progress(row)
                    yield row
                time.sleep(LOOK_EVERY_S)
            if process.returncode not in (0, 1):
                output.seek(0)
                sys.stderr.write(output.read())
                raise SystemExit(f"pytest ended with {process.returncode}")


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def quoted(full: bool) -> Iterator[Row]:
    """Run the tests elsewhere, and count."""
    environment = {**os.environ, FULL: str(int(full))}
    for number, source in QUOTED.items():
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            command = [sys.executable, "-m", "pytest", *source.paths, "-q", f"--junitxml={report}"]
            if source.only:
                command += ["-k", source.only]
            subprocess.run(command, env=environment, check=False, capture_output=True)  # noqa: S603
            row = _counted(number, source, report)
        _progress(row)
        yield row


def _counted(number: int, source: Quoted, report: Path) -> Row:
    where = ", ".join(f"`{path}`" for path in source.paths)
    if not report.exists():
        return Row(number, f"{where} could not be run", "FAIL")
    suite = next(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own file
    count = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
    bad = count["failures"] + count["errors"]
    passed = count["tests"] - bad - count["skipped"]
    skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
    verdict = "FAIL" if bad or not passed else "pass"
    return Row(number, f"{passed} of {passed + bad} tests pass{skipped} ({where})", verdict)


def mutation() -> Row:
    """Change the core at random, and see whether a test notices."""
    done = subprocess.run([sys.executable, "-m", "scripts.mutation"], check=False, capture_output=True, text=True)
    last = done.stdout.strip().splitlines()[-1:] or ["could not be run"]
    row = Row(MUTATION, f"{last[0]} (`python -m scripts.mutation`)", "FAIL" if done.returncode else "pass")
    _progress(row)
    return row


def merged(found: Sequence[Row]) -> dict[int, Row]:
    """One row for each number, in order: what several tests measured, and the worst of their verdicts."""
    rows: dict[int, Row] = {}
    for number in sorted(SCENARIOS):
        parts = [row for row in found if row.number == number]
        if not parts:
            rows[number] = Row(number, "not run", "FAIL")
            continue
        measured = "; ".join(sorted({part.measured for part in parts}))
        verdict = next(word for word in WORST_FIRST if any(part.verdict == word for part in parts))
        rows[number] = Row(number, measured, verdict)
    return rows


def table(rows: Mapping[int, Row]) -> str:
    """The scorecard in Markdown."""
    lines = ["| | fault | injected | expected | measured | |", "|---|---|---|---|---|---|"]
    for number in sorted(rows):
        scenario, row = SCENARIOS[number], rows[number]
        cells = (scenario.fault, scenario.injected, scenario.expected, row.measured.replace("|", "/"), row.verdict)
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def summary(rows: Mapping[int, Row]) -> str:
    """How many of what."""
    counts = {word: sum(row.verdict == word for row in rows.values()) for word in ("pass", "part", "FAIL")}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def write(document: Path, form: str, text: str) -> None:
    """Put the table between its marks."""
    begin, end = f"<!-- {form} -->\n", f"<!-- /{form} -->"
    old = document.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(old):
        raise SystemExit(f"{document} has no place for the table: {begin.strip()} … {end}")
    document.write_text(pattern.sub(lambda _: f"{begin}{text}{end}", old), encoding="utf-8")


def _progress(row: Row) -> None:
    sys.stdout.write(f"{row.number:3} {row.verdict:5} {SCENARIOS[row.number].fault}: {row.measured}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
