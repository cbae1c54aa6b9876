"""The script that completes a new InfluxDB, against a stand-in for the `influx` command that records what it is asked.

What the command answers is taken from its source and manual; a real InfluxDB 2 was not at hand (docs/verified.md).
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack.compose import MAIN, ROOT, services

INFLUX = r"""#!/bin/sh
echo "$*" >>"$STATE/calls"
name() { while [ $# -gt 0 ]; do case $1 in --name | --username) echo "$2"; return ;; esac; shift; done; }
case "$1 $2 $3" in
  'bucket list '*) grep -P "\t$(name "$@")\t" "$STATE/buckets" || { echo 'Error: bucket not found' >&2; exit 1; } ;;
  'bucket create '*) printf '0000000000000002\t%s\tinfinite\n' "$(name "$@")" | tee -a "$STATE/buckets" ;;
  'auth create '*) [ -e "$STATE/refuse" ] || printf '{\n\t"id": 1,\n\t"token": "made-by-influxdb==",\n\t"x": 1\n}\n' ;;
  *) exit 9 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Database:
    """The stand-in, and what the script left behind."""

    folder: Path

    def initialise(self) -> subprocess.CompletedProcess[str]:
        """Run the script as the image does."""
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "STATE": str(self.folder),
            "TOKEN_DIR": str(self.folder),
            "DOCKER_INFLUXDB_INIT_ORG": "solar",
            "DOCKER_INFLUXDB_INIT_BUCKET": "zero_export",
            "DOCKER_INFLUXDB_INIT_USERNAME": "admin",
        }
        script = ["sh", str(ROOT / "influxdb/init.sh")]
        return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)

    def calls(self, beginning: str) -> list[str]:
        """The commands that begin so."""
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(beginning)]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database right after the image's own setup: one bucket, no users."""
    (tmp_path / "influx").write_text(INFLUX)
    (tmp_path / "influx").chmod(0o755)
    (tmp_path / "buckets").write_text("0000000000000001\tzero_export\t720h0m0s\n")
    return Database(tmp_path)


def test_it_adds_the_bucket_of_one_minute_values_for_ever(database: Database) -> None:
    assert database.initialise().returncode == 0
    assert database.calls("bucket create") == ["bucket create --org solar --name zero_export_1m --retention 0"]


def test_the_image_makes_the_raw_bucket_with_thirty_days() -> None:
    environment = services(MAIN)["influxdb"]["environment"]
    assert environment["DOCKER_INFLUXDB_INIT_RETENTION"] == "30d"
    assert environment["DOCKER_INFLUXDB_INIT_BUCKET"] == "${INFLUXDB_BUCKET:-zero_export}"


def test_the_controllers_token_reaches_its_two_buckets_only(database: Database) -> None:
    database.initialise()
    _, call = database.calls("auth create")
    assert [word for word in call.split() if word.startswith("--")] == [
        *("--org", "--user", "--description"),
        *("--read-bucket", "--write-bucket", "--read-bucket", "--write-bucket", "--json"),
    ]
    assert call.count("0000000000000001") == call.count("0000000000000002") == 2
    token = database.folder / "app-token"
    assert token.read_text() == "made-by-influxdb==\n"
    assert token.stat().st_mode & 0o777 == 0o644


def test_grafana_can_read_both_and_write_none(database: Database) -> None:
    database.initialise()
    call, _ = database.calls("auth create")
    assert call.count("--read-bucket") == 2
    assert "--write-bucket" not in call
    assert (database.folder / "grafana-token").read_text() == "made-by-influxdb==\n"


def test_it_can_run_again(database: Database) -> None:
    database.initialise()
    assert database.initialise().returncode == 0
    assert len(database.calls("bucket create")) == 1


def test_without_a_token_it_fails_loudly_and_leaves_the_old_file(database: Database) -> None:
    (database.folder / "refuse").touch()
    (database.folder / "app-token").write_text("old\n")
    done = database.initialise()
    assert done.returncode == 1
    assert "no token for the dashboards came back" in done.stderr
    assert (database.folder / "app-token").read_text() == "old\n"


def test_the_image_will_run_it() -> None:
    script = ROOT / "influxdb/init.sh"
    assert os.access(script, os.X_OK)
    assert [path.name for path in script.parent.iterdir()] == ["init.sh"]
