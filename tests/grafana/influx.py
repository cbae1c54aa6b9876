"""A real InfluxDB (1.6, which speaks the same InfluxQL), asked as Grafana asks it. A bucket is a database there."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.telemetry.influx import line
from app.telemetry.points import LASTING, Point
from tests.conftest import free_port
from tests.grafana import boards
from tests.grafana.boards import Json

INFLUXD = shutil.which("influxd")
DATABASES = {boards.RAW: "zero_export", boards.LASTING: "zero_export_1m"}
BATCH = 5000
STARTS_WITHIN_S = 60.0
CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[continuous_queries]
  enabled = false
"""


@dataclass(frozen=True)
class Influx:
    """The server. ``now_ms``: the moment that every query takes for now, however long the test takes."""

    port: int
    now_ms: int

    def write(self, points: Iterable[Point]) -> None:
        """Points into the database that the program writes them to."""
        lines: dict[str, list[str]] = {name: [] for name in DATABASES.values()}
        for point in points:
            source = boards.LASTING if point.measurement in LASTING else boards.RAW
            lines[DATABASES[source]].append(line(point))
        for database, found in lines.items():
            for i in range(0, len(found), BATCH):
                self.post(found[i : i + BATCH], database)

    def post(self, lines: Iterable[str], database: str) -> None:
        """Lines as they are into a database."""
        self._post("write", "\n".join(lines).encode(), db=database, precision="ms")

    def ask(self, text: str, source: str = boards.RAW) -> list[Json]:
        """What one statement answers."""
        body = urllib.parse.urlencode({"q": text}).encode()
        answer = json.loads(self._post("query", body, db=DATABASES[source], epoch="ms"))
        (result,) = answer["results"]
        assert "error" not in result, (result["error"], text)
        series: list[Json] = result.get("series", [])
        return series

    def panel(self, uid: str, title: str, index: int = 0, *, kind: str | None = None, **choice: Any) -> list[Json]:
        """What one target of a panel gets."""
        (panel,) = [p for p in boards.panels(uid) if p["title"] == title and kind in (None, p["type"])]
        target = panel["targets"][index]
        return self.ask(self.filled(target["query"], **choice), target["datasource"]["uid"])

    def filled(
        self,
        text: str,
        *,
        site: str = "home",
        inverter: str = ".*",
        last_s: int = 3600,
        ahead_s: int = 0,
        every: str = "10s",
    ) -> str:
        """What Grafana puts into a query before it sends it."""
        replaced = {
            "${site:raw}": site,
            "${inverter:regex}": inverter,
            "$timeFilter": f"time >= {self.now_ms - last_s * 1000}ms and time <= {self.now_ms + ahead_s * 1000}ms",
            "$__interval": every,
            "now()": f"{self.now_ms}ms",
        }
        for old, new in replaced.items():
            text = text.replace(old, new)
        assert "$" not in text.replace("$/", "/"), text
        return text

    def _post(self, path: str, body: bytes, **parameters: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            return bytes(answer.read())


@contextmanager
def running(folder: Path) -> Iterator[Influx]:
    """Started for one test module; skips where it is not installed."""
    if INFLUXD is None:
        pytest.skip("needs a real InfluxDB: apt install influxdb")
    port = free_port()
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, rpc=free_port()))
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([INFLUXD, "run", "-config", str(config)], stdout=quiet, stderr=quiet)
    try:
        influx = Influx(port, round(time.time() * 1000))
        _wait_for(influx)
        for name in DATABASES.values():
            influx.ask(f'CREATE DATABASE "{name}"')
        yield influx
    finally:
        process.terminate()
        process.wait(30)


def values(series: list[Json], column: int = 1) -> list[Any]:
    """Everything known in one column."""
    return [row[column] for one in series for row in one["values"] if row[column] is not None]


def _wait_for(influx: Influx) -> None:
    deadline_s = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            influx.ask("SHOW DATABASES")
        except urllib.error.URLError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
        else:
            return
