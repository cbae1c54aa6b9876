"""An Enphase gateway with firmware before 7, over plain HTTP, and with a later one, over TLS."""

from __future__ import annotations

from typing import Any

from tests.enphase.fake import FOLDER
from tests.meters.contract import Case
from tests.meters.rigs.http import http_rig


def _documents(power: Any, stamp_s: float) -> dict[str, Any]:
    return {
        "/ivp/meters": [{"eid": 7, "state": "enabled", "measurementType": "net-consumption", "phaseCount": 1}],
        "/ivp/meters/readings": [{"eid": 7, "timestamp": int(stamp_s), "activePower": power, "channels": []}],
    }


MISSING = {Case.RESTART: "its clamps measure themselves: they have no contact to lose, and 0 W is a power like others"}
QUICK = {"app.meters.enphase.LONGEST_PAUSE_S": 1.0}

RIGS = [
    http_rig(
        "enphase",
        {"type": "enphase", "host": "{at}", "password": "012345", "interval_s": 1.0},
        _documents,
        MISSING,
        quick=QUICK,
    ),
    http_rig(
        "enphase tls",
        {"type": "enphase", "host": "{at}", "token": "t0ken-t0ken", "interval_s": 1.0},
        _documents,
        MISSING,
        certificate=FOLDER / "one.pem",
        quick=QUICK,
    ),
]
