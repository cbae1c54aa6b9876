"""Which meters an Enphase gateway has (``/ivp/meters``). Pure.

Rows of meters that are switched off go on showing numbers, so what a meter is for and whether it is enabled decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.documents import optional
from app.model import DeviceDataError

METERS = "/ivp/meters"
KINDS = {"production": "pv", "net-consumption": "grid", "total-consumption": "consumption"}
MOST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Clamps:
    """One enabled meter: its number, what it is for, what the gateway thinks of it.

    ``phases``: how many of its channels mean something; 0: not known. ``measures``: the gateway does not say otherwise.
    """

    eid: int
    kind: str
    phases: int = 0
    status: str = "normal"
    measures: bool = True


def clamps(document: Any) -> tuple[Clamps, ...]:
    """The meters that are enabled. Raises `DeviceDataError`."""
    return tuple(
        _clamps(int(eid), KINDS[str(row["measurementType"])], row)
        for row in rows(document, METERS)
        if str(row.get("measurementType")) in KINDS and row.get("state") == "enabled"
        if (eid := optional(row.get("eid"))) is not None
    )


def _clamps(eid: int, kind: str, row: dict[str, Any]) -> Clamps:
    status = str(row.get("meteringStatus", "normal"))[:40]
    flags, count = row.get("statusFlags"), row.get("phaseCount")
    told = ", ".join(str(flag)[:40] for flag in flags[:6]) if isinstance(flags, list) else ""
    phases = count if isinstance(count, int) and count in (1, 2, 3) else 0
    return Clamps(eid, kind, phases, f"{status} ({told})" if told else status, status != "not-metering")


def rows(document: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects, not too long. Raises `DeviceDataError`."""
    if (
        not isinstance(document, list)
        or len(document) > MOST_ROWS
        or not all(isinstance(row, dict) for row in document)
    ):
        raise DeviceDataError(f"{what} is no list of meters")
    return document
