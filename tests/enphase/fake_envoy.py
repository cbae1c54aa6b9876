"""What an Enphase gateway tells besides its meter: the documents in the shape that its answers have."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from app.enphase import inventory, meters
from app.model import EnvoyState
from tests.enphase.fake import FakeGateway

FOLDER = Path(__file__).parent / "fixtures" / "envoy"
PATHS = {
    "production": meters.REPORT,
    "inverters": inventory.INVERTERS,
    "inventory": inventory.INVENTORY,
    "ensemble_inventory": inventory.ENSEMBLE,
    "secctrl": inventory.SECCTRL,
    "power": inventory.POWER,
    "events": inventory.EVENTS,
}


def fixture(name: str) -> Any:
    """One document, fresh."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def heard(**changes: Any) -> EnvoyState:
    """What the gateway of the fixtures tells; its documents can be changed by name."""
    told = {name: changes.pop(name, fixture(name)) for name in ("meters", "readings", "production")}
    live = meters.readings(told["readings"], meters.measuring(told["meters"])).meters
    return EnvoyState(
        "enphase",
        meters=meters.with_energies(live, meters.report(told["production"])),
        microinverters=inventory.microinverters(changes.pop("inverters", fixture("inverters"))),
        devices=inventory.devices(changes.pop("inventory", fixture("inventory"))),
        events=inventory.events(changes.pop("events", fixture("events"))),
    )


def make_envoy(at_s: float, utc_s: float, **changes: Any) -> EnvoyState:
    """All that a gateway can tell, as it stood at a moment: by day, with its reports of two minutes ago."""
    state = heard()
    stock, secctrl, power = (fixture(name) for name in ("ensemble_inventory", "secctrl", "power"))
    battery = inventory.battery(stock, secctrl, power, None, "battery")
    assert battery is not None
    assert state.microinverters is not None
    known: dict[str, Any] = {
        "serial": "122012345678",
        "software": "D8.3.5528",
        "meters": tuple(replace(meter, at_s=at_s, utc_s=utc_s) for meter in state.meters),
        "microinverters": tuple(replace(one, reported_utc_s=utc_s - 120.0) for one in state.microinverters),
        "devices": (*(state.devices or ()), *inventory.devices(stock)),
        "battery": replace(battery, at_s=at_s),
    }
    return replace(state, **(known | changes))


class FakeEnvoy:
    """A gateway whose documents can be changed by name in ``told``; one that is taken out is not there (404).

    ``now``: its micro-inverters have reported a moment ago, else when the fixtures were written.
    """

    def __init__(self, firmware: str = "8", *, now: bool = False) -> None:
        self.told = {name: fixture(name) for name in PATHS}
        for row in self.told["inverters"] if now else ():
            row["lastReportDate"] = int(time.time()) - 120
        handlers = {path.partition("?")[0]: self._answer(name) for name, path in PATHS.items()}
        self.gateway = FakeGateway(firmware, handlers, meters=fixture("meters"), readings=fixture("readings"))

    def _answer(self, name: str) -> Callable[[Any], Any]:
        return lambda _request: self.told[name] if name in self.told else web.Response(status=404, text="{}")

    def asked(self, name: str) -> int:
        """How often a document was asked for."""
        return self.gateway.asked.count(PATHS[name].partition("?")[0])

    def login(self) -> dict[str, str]:
        """The keys that lead to it."""
        gateway = self.gateway
        way = {"token": gateway.valid} if gateway.has_tokens else {"password": gateway.passwords["envoy"]}
        return {"host": gateway.host, **way}
