"""``zero-export export``: tables of the store as CSV or Parquet, also beside a running controller."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from app.telemetry import csvfile
from app.telemetry.archive import Archive, open_read_only, pages
from app.telemetry.tables import KEYED, TABLES

OK, FAILURE, WRONG = 0, 1, 2
BUSY_S = 5.0
TELL_EVERY_S = 1.0
EVER_S = 253_402_300_800.0  # the end of the year 9999
GROUP = 50_000  # rows of a Parquet file that are written at once
NO_PYARROW = "--format parquet needs pyarrow: pip install '.[parquet]' in the checkout, or pip install 'pyarrow>=20'"
TEXT = """\
Writes a table of the store as CSV or Parquet: any range, also while the controller runs. Times are UTC (ISO 8601),
units are in the names of the columns, and what is unknown is empty."""
EPILOG = f"""\
what is where (data_dir/telemetry.db):
  minute        every minute of the last 13 months: means, lowest, highest, energy
  minute_15     the same by quarters of an hour, for good
  day, month    energy and money by local day and month, for good
  event         what happened, for a year
  the others    raw points of the last 7 days:
                {", ".join(name for name in TABLES if name not in (*KEYED, "event"))}
With influxdb configured, raw points are in InfluxDB and not here; all the rest is here too.

times: 2026-12-01 (midnight in local time), 2026-12-01T14:30, 2026-12-01T14:30Z, or so long ago: 90m, 12h, 7d, 4w.
--to is not included: --from 2026-11-01 --to 2026-12-01 is November.

examples:
  zero-export export --from 7d > week.csv
  zero-export export --table day --output days.csv
  zero-export export --from 2026-11-01 --to 2026-12-01 --format parquet --output november.parquet
  zero-export export --table event --from 24h

exit codes: 0 written, 1 nothing in that range or not possible, 2 the configuration or the command is wrong
"""
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
Rows = Iterator[list[tuple[object, ...]]]


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options."""
    add = parser.add_argument
    add("--table", choices=list(TABLES), default="minute", metavar="NAME", help="which one (default: minute)")
    add("--from", dest="since", type=moment, metavar="TIME", help="the first row (default: all that there are)")
    add("--to", dest="until", type=moment, metavar="TIME", help="not included any more (default: all that there are)")
    add("--format", choices=["csv", "parquet"], default="csv", help="default: csv")
    add("--output", type=Path, metavar="FILE", help="where to (default: standard output; Parquet needs a file)")


def moment(text: str, now_s: Callable[[], float] = time.time) -> float:
    """A Unix time out of a date, a date and time, or how long ago."""
    ago = _AGO.fullmatch(text.strip())
    if text.strip() == "now" or ago is not None:
        return now_s() - (float(ago[1]) * _UNITS[ago[2]] if ago is not None else 0.0)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: use 2026-12-01, 2026-12-01T14:30, or 7d for so long ago"
        ) from None


def export(options: argparse.Namespace, path: Path, site: str) -> int:
    """Write what is asked for out of the file; the exit code."""
    since_s = 0.0 if options.since is None else options.since
    until_s = EVER_S if options.until is None else options.until
    if since_s >= until_s:
        return _tell("--from is not before --to: swap or change them", WRONG)
    if options.format == "parquet":
        if options.output is None:
            return _tell("--format parquet needs a file: add --output FILE", WRONG)
        if importlib.util.find_spec("pyarrow") is None:
            return _tell(NO_PYARROW, FAILURE)
    if not path.exists():
        return _tell(f"{path} is not there: nothing has been recorded yet, or data_dir is another one", FAILURE)
    try:
        with closing(open_read_only(path, BUSY_S)) as connection:
            return _export(options, Archive(connection), site, since_s, until_s)
    except sqlite3.Error as error:
        return _tell(f"{path} cannot be read: {error}", FAILURE)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _tell(f"cannot write {error.filename or options.output}: {error.strerror}", FAILURE)


def _export(options: argparse.Namespace, archive: Archive, site: str, since_s: float, until_s: float) -> int:
    found = pages(archive, options.table, site, since_s, until_s)
    first = next(found, None)
    if first is None:
        return _tell(_nothing(archive, options.table, site, options), FAILURE)

    def rows() -> Rows:
        yield first
        yield from found

    progress = Progress(sys.stderr)
    if options.format == "parquet":
        with _whole(options.output) as place:
            _write_parquet(place, options.table, progress.follow(rows()))
    elif options.output is not None:
        with _whole(options.output) as place, place.open("w", encoding="utf-8", newline="") as file:
            _write_csv(file, options.table, progress.follow(rows()))
    else:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        _write_csv(sys.stdout, options.table, progress.follow(rows()))
        sys.stdout.flush()
    progress.end(options.table, options.output)
    return OK


def _write_csv(file: TextIO, table: str, rows: Rows) -> None:
    file.write(csvfile.header(table))
    file.writelines(csvfile.lines(page) for page in rows)


def _write_parquet(path: Path, table: str, rows: Rows) -> None:
    from app.telemetry.parquet import ParquetFile  # noqa: PLC0415 - optional, and slow to import

    with closing(ParquetFile(path, table)) as file:
        group: list[tuple[object, ...]] = []
        for page in rows:
            group += page
            if len(group) >= GROUP:
                file.write(group)
                group = []
        if group:
            file.write(group)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside the one that is asked for, which takes its name when it is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _nothing(archive: Archive, table: str, site: str, options: argparse.Namespace) -> str:
    extent = archive.extent(table, site)
    if extent is None:
        return f"{table} has no rows of site {site}: with influxdb configured, raw points are there (see --help)"
    first, last = (csvfile.utc_text(round(utc_s * 1000.0)) for utc_s in extent)
    asked = [f"{name} {_iso(utc_s)}" for name, utc_s in (("from", options.since), ("to", options.until)) if utc_s]
    return f"{table} has nothing {' '.join(asked)}: what it has is from {first} to {last}"


def _iso(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Progress:
    """Says how far a long export is, where somebody watches."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._watched = stream.isatty()
        self._started_s = self._told_s = time.monotonic()
        self._rows = 0

    def follow(self, pages: Rows) -> Rows:
        """The same rows, counted."""
        for page in pages:
            yield page
            self._rows += len(page)
            now_s = time.monotonic()
            if self._watched and now_s - self._told_s >= TELL_EVERY_S:
                self._told_s = now_s
                self._stream.write(f"\r{self._rows} rows, up to {csvfile.utc_text(page[-1][0])} ")
                self._stream.flush()

    def end(self, table: str, output: Path | None) -> None:
        """Say what was done."""
        took_s = time.monotonic() - self._started_s
        clear = "\r" if self._watched else ""
        where = "" if output is None else f" to {output}"
        self._stream.write(
            f"{clear}{self._rows} row{'' if self._rows == 1 else 's'} of {table} written{where} in {took_s:.1f} s\n"
        )


def _tell(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code
