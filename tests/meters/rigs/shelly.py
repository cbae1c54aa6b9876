"""Shelly meters of Gen1 and of Gen2 and later."""

from __future__ import annotations

from typing import Any

from tests.meters.contract import Case
from tests.meters.rigs.http import http_rig

MISSING = dict.fromkeys((Case.DUPLICATE, Case.OLD), "the answers that are read carry no time of the value")
MISSING |= {Case.RESTART: "its counters come in another answer, or outlive a restart, and 0 W alone is a power"}


def _gen1(power: Any, _stamp_s: float) -> dict[str, Any]:
    return {
        "/shelly": {"type": "SHEM", "mac": "02005E100001", "auth": False, "num_emeters": 2},
        "/status": {"emeters": [{"power": power, "is_valid": True}, {"power": 5.0, "is_valid": True}]},
    }


def _gen2(power: Any, _stamp_s: float) -> dict[str, Any]:
    about = {"mac": "02005E100002", "gen": 2, "model": "SPEM-003CEBEU", "auth_en": False, "profile": "triphase"}
    return {"/shelly": about, "/rpc/EM.GetStatus": {"id": 0, "total_act_power": power}}


KEYS = {"type": "shelly", "host": "{at}"}
QUICK = {"app.meters.shelly.login.LONGEST_REFUSED_S": 0.3, "app.meters.shelly.login.LONGEST_THROTTLED_S": 0.3}
RIGS = [
    http_rig("shelly gen1", KEYS, _gen1, MISSING, quick=QUICK),
    http_rig("shelly gen2", KEYS, _gen2, MISSING, quick=QUICK),
]
