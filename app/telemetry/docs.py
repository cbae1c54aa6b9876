"""Writes docs/telemetry.md from the schema: ``python -m app.telemetry.docs > docs/telemetry.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from app.telemetry.points import SCHEMA, Field, Measurement

_HEAD = """\
# Telemetry

<!-- Written by `python -m app.telemetry.docs > docs/telemetry.md` from app/telemetry/points.py: change that file. -->

Every point has the tag `site`. Numbers are floats (yes and no are 1 and 0), time stamps have milliseconds and are
those of the sample. What is unknown is absent; it is never written as 0. Powers are watts, positive grid power is
import, a limit is AC watts.

Where it goes: with `influxdb` configured, to its `bucket`, and `minute`, `day` and `month` to `<bucket>_1m`; without
it, to SQLite (`data_dir/telemetry.db`, one table per measurement, raw points for 7 days). In SQLite are in any case,
since the page's history needs no InfluxDB: `minute` for 13 months and its quarters of an hour (`minute_15`, the same
columns, SQLite only) for good, `day` and `month` for good, and `event` for a year. There, lowest and highest powers of
a minute are whole watts. [energy.md](energy.md) tells how large that gets, and how to get it out.
"""
_TAIL = """\
## While a store is away

Control never waits for a store. Points for InfluxDB wait on the disk (`data_dir/spool`, 256 MB: weeks), outlive a
stop and a crash of the program, and are sent with their own time stamps when it is back; sending one twice changes
nothing. [influxdb.md](influxdb.md) tells what is guaranteed, and what was measured. Points for SQLite wait in memory
(20 000; the oldest give way and are counted). What is wrong is a fault on the page, in `/api/status` and in the log,
once when it starts and once when it is over. A SQLite file that is damaged is moved aside as `telemetry.damaged`, and
a new one is made.

## The switch in Grafana

The panel *Zero Export Status* shows `enabled` of `control`, and its link is the newest `toggle_url`: a signed link
to this program that names the state it sets, expires, and leads back to the dashboard. It is written when the
settings change and once a minute. The panel looks at the last five minutes only: when nothing is recorded it says
*unknown* and has no link. The link opens in the same tab; where a proxy serves Grafana and this program under the
same origin, Grafana would take it for one of its own pages: give them different names or ports.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(measurement) for measurement in SCHEMA), _TAIL])


def _section(measurement: Measurement) -> str:
    return "\n".join(
        [f"## {measurement.name}", "", measurement.about, *_tags(measurement), "", *_table(measurement), ""]
    )


def _tags(measurement: Measurement) -> list[str]:
    names = ", ".join(f"`{tag}`" for tag in measurement.tags)
    return [f"Tags besides `site`: {names}."] if names else []


def _table(measurement: Measurement) -> Iterator[str]:
    yield "| field | unit | what it is |"
    yield "|---|---|---|"
    yield from (_row(field) for field in measurement.fields)


def _row(field: Field) -> str:
    return f"| `{field.name}` | {field.unit} | {field.about} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
