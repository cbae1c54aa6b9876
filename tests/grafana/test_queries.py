"""Every query of the dashboard, run by a real InfluxDB (1.6, which speaks the same InfluxQL) on the lines that the
program writes: two inverters that answer at different times, and another site beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.model import Gate, Mode, Outlook, Phase, PriceSlot, PriceState, Reading, Settings
from app.telemetry.influx import line
from app.telemetry.projector import Projector
from tests.conftest import free_port
from tests.grafana.test_dashboard import ANNOTATION, PANELS, VARIABLES
from tests.telemetry.ticks import EAST, LEDGER, WEST, make_inverter, make_tick

INFLUXD = shutil.which("influxd")
SECONDS = 600
CLOSED_AT_S = 400
OTHER = "116180400009"
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
    """A real server, asked as Grafana asks it."""

    port: int
    now_ms: int

    def _post(self, path: str, body: bytes, **parameters: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=20) as answer:
            return bytes(answer.read())

    def write(self, lines: list[str]) -> None:
        self._post("write", "\n".join(lines).encode(), db="zero_export", precision="ms")

    def ask(self, text: str, **parameters: str) -> list[dict[str, Any]]:
        body = urllib.parse.urlencode({"q": text}).encode()
        answer = json.loads(self._post("query", body, db="zero_export", epoch="ms", **parameters))
        (result,) = answer["results"]
        assert "error" not in result, (result["error"], text)
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def panel(self, title: str, index: int = 0, *, kind: str | None = None, **choice: Any) -> list[dict[str, Any]]:
        (panel,) = [p for p in PANELS if p["title"] == title and kind in (None, p["type"])]
        return self.ask(self.filled(panel["targets"][index]["query"], **choice))

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
        }
        for old, new in replaced.items():
            text = text.replace(old, new)
        assert "$" not in text.replace("$/", "/"), text
        return text


@contextmanager
def running(folder: Path) -> Iterator[Influx]:
    port = free_port()
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, rpc=free_port()))
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([str(INFLUXD), "run", "-config", str(config)], stdout=quiet, stderr=quiet)
    try:
        influx = Influx(port, round(time.time() * 1000))
        for _ in range(400):
            try:
                influx.ask('CREATE DATABASE "zero_export"')
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        yield influx
    finally:
        process.terminate()
        process.wait(10)


def recorded(start_s: float) -> list[str]:
    """Ten minutes: grid and control each second, each inverter every five, and not all at the same time."""
    home, cabin = Projector("home", url), Projector("cabin", url)
    west = {"power_w": 300.0, "dc_power_w": 310.0, "yield_day_wh": 1000.0, "yield_total_kwh": 100.0, "acked_w": 200.0}
    outlook = Outlook(slots(start_s + SECONDS), ())
    lines = []
    for second in range(SECONDS):
        opened = second < CLOSED_AT_S
        now_s, phases = (
            start_s + second,
            (Phase(20.0, 230.0, 1.5, 0.95), Phase(0.0, 231.0, 0.2), Phase(0.0, 232.0, 0.1)),
        )
        grid_w = -80.0 if second == 300 else 20.0
        inverters = (
            make_inverter(EAST, "Roof east", 1 + second // 5, utc_s=start_s + second // 5 * 5),
            make_inverter(WEST, "Roof west", 1 + (second + 2) // 5, utc_s=start_s + (second + 2) // 5 * 5 - 2, **west),
        )
        tick = make_tick(
            float(second),
            utc_s=now_s,
            reading=Reading(grid_w, 99.8 + second, now_s, phases),
            grid_w=grid_w,
            pv_w=700.0,
            limit_w=700.0,
            inverters=inverters,
            settings=Settings(enabled=second < 500),
            mode=Mode.OPEN if opened else Mode.LIMIT,
            price=PriceState(4.5 if opened else -3.0, 32.0, estimated=False),
            gate=Gate(Mode.OPEN if opened else Mode.LIMIT, "", start_s, by_hand=second < 60),
            outlook=outlook,
        )
        other = make_inverter(OTHER, "Cabin", 1 + second // 5, utc_s=now_s, power_w=5000.0)
        beside = make_tick(float(second), utc_s=now_s, inverters=(other,))
        lines += [line(point) for point in (*home.points(tick), *cabin.points(beside))]
    return lines


def slots(now_s: float) -> tuple[PriceSlot, ...]:
    """Half hours, from an hour ago to a day ahead; what is to come is not confirmed."""
    starts = [now_s // 1800 * 1800 + 1800 * index for index in range(-2, 48)]
    return tuple(PriceSlot(at_s, at_s + 1800, 7.0, 29.0, confirmed=at_s < now_s) for at_s in starts)


def url(settings: Settings) -> str:
    state = "off" if settings.enabled else "on"
    back = "http%3A%2F%2Fpi%3A3000%2Fd%2Fzero-export"
    return f"http://pi:8080/api/toggle?state={state}&exp=1750000000&sig=ab12&redirect={back}"


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    if INFLUXD is None:
        pytest.skip("needs a real InfluxDB: apt install influxdb")
    with running(tmp_path_factory.mktemp("influx")) as server:
        start_s = server.now_ms / 1000.0 - SECONDS
        lines = recorded(start_s)
        for i in range(0, len(lines), 5000):
            server.write(lines[i : i + 5000])
        yield server


def values(series: list[dict[str, Any]], column: int = 1) -> list[float]:
    return [row[column] for one in series for row in one["values"] if row[column] is not None]


@pytest.mark.parametrize("every", ["1s", "10s", "1m"])
@pytest.mark.parametrize("inverter", [".*", EAST, f"({EAST}|{WEST})"])
def test_every_query_of_every_panel_gives_data(influx: Influx, every: str, inverter: str) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            found = influx.ask(influx.filled(target["query"], every=every, inverter=inverter))
            assert values(found), (panel["title"], target["query"])


def test_the_choices_are_the_stored_sites_and_inverters(influx: Influx) -> None:
    found = {v["name"]: influx.ask(influx.filled(v["query"]["query"])) for v in VARIABLES}
    assert sorted(values(found["site"])) == ["cabin", "home"]  # type: ignore[comparison-overlap]
    assert sorted(values(found["inverter"])) == [EAST, WEST]  # type: ignore[comparison-overlap]


def test_the_switch_has_the_state_and_its_link_in_one_row(influx: Influx) -> None:
    (one,) = influx.panel("Zero Export Status")
    assert one["columns"] == ["time", "enabled", "toggle_url"]
    ((_, enabled, link),) = one["values"]
    assert enabled == 0
    assert link == url(Settings(enabled=False))


def test_a_site_that_records_nothing_has_no_switch(influx: Influx) -> None:
    assert influx.panel("Zero Export Status", site="empty") == []


@pytest.mark.parametrize(
    ("title", "all_of_them", "east_only"),
    [
        ("Power AC", 700.0, 400.0),
        ("Temperature", 41.3, 41.3),
        ("Production Today", 2234.0, 1234.0),
        ("Production Total", 667.8, 567.8),
        ("Peak Power AC", 700.0, 400.0),
        ("Peak Power DC", 730.0, 420.0),
    ],
)
def test_stats_sum_the_inverters_of_the_site(influx: Influx, title: str, all_of_them: float, east_only: float) -> None:
    assert values(influx.panel(title, kind="stat")) == [pytest.approx(all_of_them)]
    assert values(influx.panel(title, kind="stat", inverter=EAST)) == [pytest.approx(east_only)]


@pytest.mark.parametrize("every", ["1s", "2s", "10s", "1m"])
def test_total_lines_are_right_at_every_resolution(influx: Influx, every: str) -> None:
    for index, (name, expected) in enumerate([("All AC", 700.0), ("All DC", 730.0), ("All limits", 700.0)]):
        (one,) = influx.panel("AC+DC Power & Limit", index, every=every)
        assert one["columns"] == ["time", name]
        assert set(values([one])) == {expected}


def test_each_inverter_has_a_line_with_its_name(influx: Influx) -> None:
    for index, east_w, west_w in ((3, 400.0, 300.0), (4, 420.0, 310.0), (5, 500.0, 200.0)):
        found = influx.panel("AC+DC Power & Limit", index)
        assert {one["tags"]["name"]: set(values([one])) for one in found} == {
            "Roof east": {east_w},
            "Roof west": {west_w},
        }
    panels = influx.panel("Panel DC Voltages")
    assert {(one["tags"]["serial"], one["tags"]["channel"]) for one in panels} == {
        (serial, channel) for serial in (EAST, WEST) for channel in "12"
    }


def test_a_short_export_is_seen_at_every_resolution(influx: Influx) -> None:
    assert min(values(influx.panel("Grid Power", 1, every="1m"))) == -80.0
    assert min(values(influx.panel("Grid Power", 0, every="1m"))) > 0.0


def test_what_was_not_recorded_is_a_gap(influx: Influx) -> None:
    (one,) = influx.panel("Grid Power", 0, every="1m")
    known = [row[1] is not None for row in one["values"]]
    assert known.count(False) > 40
    assert known[-5:-1] == [True] * 4


def test_the_price_of_now_and_the_ledger_are_single_numbers(influx: Influx) -> None:
    expected = {
        "Export Earns": -3.0,
        "Import Costs": 32.0,
        "Exported Today": LEDGER.today.export_wh,
        "Export Earned Today": LEDGER.today.earned_c / 100.0,
        "Curtailed Today": LEDGER.today.curtailed_wh,
        "Saved Today": LEDGER.today.saved_c / 100.0,
        "Curtailed in Total": LEDGER.total.curtailed_wh,
        "Saved in Total": LEDGER.total.saved_c / 100.0,
    }
    assert {title: values(influx.panel(title, kind="stat")) for title in expected} == {
        title: [pytest.approx(value)] for title, value in expected.items()
    }


def test_the_prices_ahead_are_seen_in_a_range_that_ends_in_the_future(influx: Influx) -> None:
    known = {index: values(influx.panel("Price", index, every="1m")) for index in (2, 3)}
    ahead = {index: values(influx.panel("Price", index, every="1m", ahead_s=86_400)) for index in (2, 3)}
    assert set(ahead[2]) == {7.0}
    assert set(ahead[3]) == {29.0}
    assert all(len(ahead[index]) >= len(known[index]) + 45 for index in ahead)


def test_the_gate_shows_when_it_closed_and_who_decided(influx: Influx) -> None:
    (one,) = influx.panel("Gate", 0, every="10s")
    seen = [row[1] for row in one["values"] if row[1] is not None]
    assert sorted(set(seen)) == [1.0, 2.0]
    assert seen == sorted(seen, reverse=True), "open first, then held"
    (hands,) = influx.panel("Gate", 1, every="10s")
    by_hand = [row[1] for row in hands["values"] if row[1] is not None]
    assert by_hand == sorted(by_hand, reverse=True)
    assert (by_hand[0], by_hand[-1]) == (1.0, 0.0)


def test_a_change_of_the_mode_is_marked_with_its_words(influx: Influx) -> None:
    (one,) = influx.ask(influx.filled(ANNOTATION["query"]))
    assert one["columns"] == ["time", "text"]
    at_s = [row[0] / 1000 - (influx.now_ms / 1000 - SECONDS) for row in one["values"]]
    assert at_s[-1] == pytest.approx(CLOSED_AT_S, abs=1.5)
    assert "limit" in one["values"][-1][1]
    assert influx.ask(influx.filled(ANNOTATION["query"], site="empty")) == []
