"""What a controller has recorded, while it runs, after a restart, and from outside."""

from __future__ import annotations

import csv
import io
from datetime import datetime

import pytest

from tests.conftest import until
from tests.e2e.conftest import Installation
from tests.e2e.test_commands import run

pytestmark = pytest.mark.e2e


async def test_energy_and_journal_survive_a_restart_and_come_out(installation: Installation) -> None:
    place = installation
    place.configure()
    await place.app.start()
    first = await place.app.when(
        lambda s: bool(s["ledger"]) and s["ledger"]["today"]["pv_wh"] > 0.1 and s["meter"]["import_wh"] is not None
    )
    _, energy = await place.app.ask("GET", "/api/energy")
    (today,) = energy["rows"]
    assert today["date"] == first["ledger"]["date"]
    assert today["pv_wh"] >= first["ledger"]["today"]["pv_wh"]
    assert await place.app.stop() == 0

    await place.app.start()
    second = await place.app.when(lambda s: bool(s["ledger"]) and s["ledger"]["since_utc"] is not None)
    assert second["ledger"]["since_utc"] == first["ledger"]["since_utc"]
    for span in ("today", "month", "total"):
        for name in ("import_wh", "export_wh", "pv_wh", "curtailed_wh"):
            assert second["ledger"][span][name] >= first["ledger"][span][name], (span, name)

    _, journal = await place.app.ask("GET", "/api/journal")
    started = [entry for entry in journal["entries"] if entry["key"] == "starting"]
    assert started, "the first run's, which is stored"
    assert [entry["utc"] for entry in journal["entries"]] == sorted(
        (e["utc"] for e in journal["entries"]), reverse=True
    )

    # beside the running controller
    code, out, err = await run("export", "--table", "event", "--from", "1h", "--config", str(place.app.config))
    assert (code, "rows of event written" in err) == (0, True)
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert {row["site"] for row in rows} == {"home"}
    assert [row["key"] for row in rows if row["key"] == "starting"]
    assert datetime.fromisoformat(rows[0]["utc"]).tzinfo is not None
    _, table = await place.app.ask("GET", "/api/export?table=day")
    assert table.startswith("utc,site,import_wh,export_wh,pv_wh,")
    assert table.count("\r\n") == 2
    assert await place.app.stop() == 0
    await until(lambda: not list(place.folder.glob("data/*.damaged")))
