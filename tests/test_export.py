"""``zero-export export`` as its users run it: real processes, real files, beside a writer."""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.exporting import Progress, moment
from app.telemetry.database import Database
from app.telemetry.points import EVENT, MINUTE, Event, Point, known
from app.telemetry.rollup import Minute
from tests.conftest import local_time

NOW_S = time.time() // 60 * 60
SITE = (("site", "cabin"),)
CONFIG = """\
site: cabin
data_dir: data
mqtt: {host: 192.0.2.1}
meter: {type: shelly, host: 192.0.2.2}
inverters: [{serial: "116180400001", max_watt: 1500}]
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    """The file of a controller that runs, with two hours of minutes and an event."""
    database = Database(folder / "data" / "telemetry.db")
    minutes = [Minute(NOW_S - 7200.0 + 60.0 * i, 100.25 + i, 60.0, 200.0, 60.0) for i in range(120)]
    database.insert([Point("minute", SITE, known(MINUTE, minute), minute.utc_s) for minute in minutes])
    database.insert([Point("event", SITE, known(EVENT, Event("mode", 'limit: "on"\nfor Zoë')), NOW_S - 60.0)])
    yield database
    database.close()


@pytest.fixture
def export(folder: Path) -> Run:
    def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "app", "export", "--config", "config.yaml", *arguments],
            cwd=folder,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **environment},
        )
        said = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert said.returncode == code, said.stderr
        assert "Traceback" not in said.stderr
        return said

    return run


@pytest.mark.usefixtures("database")
class TestCsv:
    """To standard output, or to a file."""

    def test_to_standard_output_with_everything_else_on_the_other_channel(self, export: Run) -> None:
        said = export()
        rows = list(csv.DictReader(io.StringIO(said.stdout, newline="")))
        assert len(rows) == 120
        assert (rows[0]["site"], rows[0]["grid_w"], rows[0]["grid_min_w"], rows[0]["pv_w"]) == (
            "cabin",
            "100.25",
            "60.0",
            "",
        )
        assert datetime.fromisoformat(rows[0]["utc"]).timestamp() == NOW_S - 7200.0
        assert said.stdout.count("\r\n") == 121
        assert said.stderr.startswith("120 rows of minute written in ")

    def test_the_end_is_not_included(self, export: Run) -> None:
        since, until = (datetime.fromtimestamp(NOW_S - age_s).isoformat() for age_s in (1800.0, 600.0))
        rows = list(csv.DictReader(io.StringIO(export("--from", since, "--to", until).stdout)))
        assert len(rows) == 20
        assert datetime.fromisoformat(rows[-1]["utc"]).timestamp() == NOW_S - 660.0

    def test_texts_survive(self, export: Run) -> None:
        said = export("--table", "event", "--from", "7d", PYTHONIOENCODING="ascii")
        (row,) = csv.DictReader(io.StringIO(said.stdout, newline=""))
        assert row["text"] == 'limit: "on"\nfor Zoë'

    def test_a_file_appears_when_it_is_complete(self, export: Run, folder: Path) -> None:
        said = export("--from", "1h", "--output", "hour.csv")
        assert said.stdout == ""
        assert (folder / "hour.csv").read_text(encoding="utf-8").startswith("utc,site,grid_w,")
        assert [file.name for file in folder.iterdir() if "part" in file.name] == []

    def test_a_place_that_cannot_be_written(self, export: Run) -> None:
        assert "cannot write" in export("--output", "nowhere/minutes.csv", code=1).stderr

    def test_a_reader_that_stops_early_is_no_traceback(self, folder: Path) -> None:
        command = f"{sys.executable} -m app export --config config.yaml | head -1"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False, env=environment
        )
        assert done.stdout.startswith("utc,site,")
        assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("database")
class TestParquet:
    """For data frames."""

    def test_types_and_values(self, export: Run, folder: Path) -> None:
        export("--format", "parquet", "--output", "minutes.parquet")
        table = pq.read_table(folder / "minutes.parquet")
        assert table.num_rows == 120
        assert str(table.schema.field("utc").type) == "timestamp[ms, tz=UTC]"
        assert str(table.schema.field("grid_w").type) == "double"
        assert str(table.schema.field("site").type) == "string"
        first = table.slice(0, 1).to_pylist()[0]
        assert (first["utc"].timestamp(), first["grid_w"], first["pv_w"]) == (NOW_S - 7200.0, 100.25, None)

    def test_it_needs_a_file(self, export: Run) -> None:
        assert "add --output FILE" in export("--format", "parquet", code=2).stderr

    def test_without_pyarrow_one_line_says_how_to_get_it(self, export: Run, tmp_path: Path) -> None:
        hidden = tmp_path / "hidden"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(
            "import importlib.util, sys\nfound = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *a: None if name == 'pyarrow' else found(name, *a)\n"
        )
        path = f"{hidden}:{Path(__file__).parent.parent}"
        said = export("--format", "parquet", "--output", "x.parquet", code=1, PYTHONPATH=path)
        assert said.stderr == (
            "--format parquet needs pyarrow: pip install '.[parquet]' in the checkout, or pip install 'pyarrow>=20'\n"
        )


class TestWhatIsNotThere:
    """One sentence each, and an exit code."""

    @pytest.mark.usefixtures("database")
    def test_a_range_without_rows_says_what_there_is(self, export: Run, folder: Path) -> None:
        said = export("--from", "2020-01-01", "--to", "2020-02-01", "--output", "x.csv", code=1)
        assert "minute has nothing from " in said.stderr
        assert "what it has is from " in said.stderr
        assert not (folder / "x.csv").exists()

    @pytest.mark.usefixtures("database")
    def test_a_table_without_rows_says_where_they_may_be(self, export: Run) -> None:
        assert "with influxdb configured, raw points are there" in export("--table", "grid", code=1).stderr

    def test_no_file_at_all(self, export: Run, folder: Path) -> None:
        assert "nothing has been recorded yet" in export(code=1).stderr
        assert not (folder / "data").exists()

    def test_a_file_that_is_none(self, export: Run, folder: Path) -> None:
        (folder / "data").mkdir()
        (folder / "data" / "telemetry.db").write_bytes(b"this was a database once" * 1000)
        assert "cannot be read: file is not a database" in export(code=1).stderr
        assert (folder / "data" / "telemetry.db").read_bytes().startswith(b"this was"), "it is left alone"

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["--from", "yesterday"], "'yesterday' is no time"),
            (["--from", "2026-13-01"], "'2026-13-01' is no time"),
            (["--table", "sqlite_master"], "invalid choice"),
            (["--format", "xml"], "invalid choice"),
            (["--from", "1d", "--to", "2d"], "--from is not before --to"),
        ],
    )
    def test_a_wrong_command(self, export: Run, arguments: list[str], word: str) -> None:
        assert word in export(*arguments, code=2).stderr

    def test_a_wrong_configuration(self, export: Run, folder: Path) -> None:
        (folder / "config.yaml").write_text("site: cabin\n")
        assert "config.yaml" in export(code=2).stderr

    def test_the_help_teaches(self, export: Run) -> None:
        said = export("--help").stdout
        for word in (
            "zero-export export --from 7d > week.csv",
            "InfluxDB",
            "minute_15",
            "--to is not included",
            "exit codes",
        ):
            assert word in said


@pytest.mark.parametrize(
    ("text", "utc_s"),
    [
        ("2026-12-01", 1_796_079_600.0),
        ("2026-12-01T14:30", 1_796_131_800.0),
        ("2026-12-01T14:30Z", 1_796_135_400.0),
        ("2026-12-01T14:30:00.5+01:00", 1_796_131_800.5),
        ("7d", 1e9 - 604_800.0),
        ("90m", 1e9 - 5400.0),
        ("2w", 1e9 - 1_209_600.0),
        ("now", 1e9),
    ],
)
def test_times(text: str, utc_s: float) -> None:
    with local_time("Europe/Berlin"):
        assert moment(text, lambda: 1e9) == utc_s


@pytest.mark.parametrize("text", ["", "7", "7y", "-7d", "tomorrow", "1e9"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        moment(text)


def test_long_work_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("app.exporting.TELL_EVERY_S", 0.0)
    terminal = Terminal()
    progress = Progress(terminal)
    assert len(list(progress.follow(iter([[(1_000, "a"), (61_000, "b")]] * 3)))) == 3
    progress.end("minute", Path("x.csv"))
    said = terminal.getvalue().split("\r")
    assert said[1] == "2 rows, up to 1970-01-01T00:01:01.000Z "
    assert said[-1].startswith("6 rows of minute written to x.csv in ")
