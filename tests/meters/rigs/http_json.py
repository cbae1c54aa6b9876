"""``http_json`` and the types that are presets of it; `tests/meters/test_presets.py` has the other products."""

from __future__ import annotations

from typing import Any

from tests.meters.contract import Case
from tests.meters.rigs.http import ABSENT, http_rig

UUID = "3c6a2d30-6b4f-11ee-8f4b-0f5f6e1d2c3b"
NO_TIME = dict.fromkeys((Case.DUPLICATE, Case.OLD), "its answers carry no time of the value")
NO_COUNTERS = {Case.RESTART: "it shows no counters beside the power, and 0 W alone is a power like others"}


def _parts(power: Any, imported: str, exported: str) -> dict[str, Any]:
    """Import and export apart; what is no number stands at both, and zeros are zeros."""
    if not isinstance(power, int | float) or power != power:
        return {imported: power, exported: power}
    return {imported: max(0, power), exported: max(0, -power)}


def _of(power: Any, energy_wh: float) -> float:
    """A counter, which is 0 as well where everything is."""
    return 0 if power == 0 else energy_wh


RIGS = [
    http_rig(
        "http_json",
        {
            "type": "http_json",
            "url": "http://{at}/meter",
            "path": "$.power",
            "time_path": "$.time",
            "import_energy_path": "$.total",
            "refuse_zeros": True,
        },
        lambda power, s: {"/meter": {"power": power, "time": int(1000 * s), "total": _of(power, 5.5)}},
        {},
    ),
    http_rig(
        "http_json digest",
        {
            "type": "http_json",
            "url": "http://{at}/",
            "path": "$.p",
            "login": "digest",
            "username": "u",
            "password": "p",
        },
        lambda power, _s: {"/": {"p": power}},
        NO_TIME | NO_COUNTERS,
    ),
    http_rig(
        "tasmota",
        {"type": "tasmota", "host": "{at}", "id": "SML.Power"},
        lambda power, _s: {"/cm": {"StatusSNS": {"SML": {"Power": power, "In": _of(power, 9.1), "Number": "0901"}}}},
        NO_TIME,
    ),
    http_rig(
        "iobroker",
        {"type": "iobroker", "host": "{at}", "id": "a.0.#b"},
        lambda power, s: {"/getBulk/a.0.%23b": [{"id": "a.0.#b", "val": power, "ts": int(1000 * s), "ack": True}]},
        NO_COUNTERS,
    ),
    http_rig(
        "vzlogger",
        {"type": "vzlogger", "host": "{at}", "uuid": UUID},
        lambda power, s: {
            f"/{UUID}": {"data": [{"uuid": UUID, "tuples": [] if power is ABSENT else [[int(1000 * s), power]]}]}
        },
        NO_COUNTERS,
    ),
    http_rig(
        "fronius",
        {"type": "fronius", "host": "{at}"},
        lambda power, _s: {
            "/solar_api/v1/GetPowerFlowRealtimeData.fcgi": {
                "Head": {"Status": {"Code": 0}},
                "Body": {"Data": {"Site": {"P_Grid": power, "P_PV": None}}},
            }
        },
        NO_TIME | NO_COUNTERS,
    ),
    http_rig(
        "fronius_meter",
        {"type": "http_json", "preset": "fronius_meter", "host": "{at}"},
        lambda power, s: {
            "/solar_api/v1/GetMeterRealtimeData.cgi": {
                "Head": {"Status": {"Code": 0}},
                "Body": {"Data": {"1": {"Meter_Location_Current": 0, "PowerReal_P_Sum": power, "TimeStamp": s}}},
            }
        },
        NO_COUNTERS,
    ),
    http_rig(
        "amis",
        {"type": "amis", "host": "{at}"},
        lambda power, _s: {"/rest": {"saldo": power, "1.8.0": _of(power, 5), "2.8.0": 0}},
        NO_TIME,
    ),
    http_rig(
        "emlog",
        {"type": "emlog", "host": "{at}"},
        lambda power, _s: {"/pages/getinformation.php": _parts(power, "Leistung170", "Leistung270")},
        NO_TIME | NO_COUNTERS,
    ),
    http_rig(
        "shrdzm",
        {"type": "shrdzm", "host": "{at}", "username": "u", "password": "p"},
        lambda power, _s: {"/getLastData": _parts(power, "1.7.0", "2.7.0")},
        NO_TIME | NO_COUNTERS,
    ),
    http_rig(
        "iammeter",
        {"type": "http_json", "preset": "iammeter", "host": "{at}"},
        lambda power, _s: {"/api/monitorjson": {"Datas": [[230.0, 1.0, power], [230.0, 0.0, 0.0], [230.0, 0.0, 0.0]]}},
        NO_TIME | NO_COUNTERS,
    ),
]
