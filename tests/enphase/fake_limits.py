"""The limits of an Enphase gateway, and a small house behind it: what is switched changes what is exported.

`Limits.answer` is the gateway's side of the protocol without a network, for virtual time; `handlers` puts it behind a
`FakeGateway`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.enphase.fake import FakeGateway, Handler

ZERO = "AS/NZS 4777.2: 2020 Australia A Region 0 kW Export Limit:1.2.2"
NORMAL = "AS/NZS 4777.2: 2020 Australia A Region  5 kW Export Limit:1.2.2"  # two spaces, as in the wild
OTHER = "AS/NZS 4777.2: 2020 Australia B Region:1.2.2"
DPEL, INDEX, SELECT = "/ivp/ss/dpel", "/installer/agf/index.json", "/installer/agf/set_profile.json"
POWER = "/ivp/mod/603980032/mode/power"
PRODUCTION_EID, GRID_EID = 704643328, 704643584
EXPORT_OF = {ZERO: 0.0, NORMAL: 5000.0, OTHER: 10_000.0}
Said = tuple[int, Any]


def off_document() -> dict[str, Any]:
    """A gateway that nobody has limited."""
    return {
        "date": "2024-08-02 08:15:25",
        "dynamic_pel_settings": {"enable": False},
        "filename": "site_settings",
        "version": "00.00.01",
    }


@dataclass(frozen=True, slots=True)
class Held:
    """What holds the microinverters back."""

    export_w: float
    dynamic: tuple[bool, float] | None = None  # of the export, or of the production
    off: bool = False


@dataclass
class Limits:
    """``clock`` tells the time; ``sun_w``, ``load_w`` are functions of it.

    ``reaction_s``: from what is switched to its effect. ``reverts_s``: how often the cloud puts everything back to
    what it was at the beginning. ``dpel`` None: 404; ``status``: what DPEL answers instead of 200; ``deaf``: it says
    200 and keeps what it had; ``idle``: it keeps what it is told, and nothing follows. ``refusal``: what it says,
    with 200, of a profile. ``battery``: one of another make; below 150 W of export the production collapses.
    """

    clock: Callable[[], float] = time.monotonic
    sun_w: Callable[[float], float] = lambda _now_s: 4000.0
    load_w: Callable[[float], float] = lambda _now_s: 600.0
    reaction_s: float = 0.0
    reverts_s: float | None = None
    selected: str = NORMAL
    profiles: tuple[str, ...] = (NORMAL, ZERO, OTHER)
    refusal: str = ""
    dpel: dict[str, Any] | None = field(default_factory=off_document)
    status: int = 200
    deaf: bool = False
    idle: bool = False
    inverted: bool = False
    needs_dynamic: bool = False
    forced_off: bool = False
    battery: bool = False
    encharge: bool = False
    clamps: bool = True
    writes: list[tuple[float, str, Any]] = field(default_factory=list)
    _history: list[tuple[float, Held]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began_s = self.clock()
        self._reverted = 0
        self._first = (self.selected, self.dpel)
        self._history = [(self._began_s, self._held())]

    # -- the house -------------------------------------------------------------------------------------

    @property
    def production_w(self) -> float:
        now_s = self._caught_up()
        held = [held for at_s, held in self._history if at_s <= now_s][-1]
        load_w, sun_w = self.load_w(now_s), self.sun_w(now_s)
        bounds = [sun_w, load_w + held.export_w]
        if held.dynamic is not None:
            of_export, watts = held.dynamic
            bounds.append(load_w + watts if of_export else watts)
        if held.off or (self.battery and min(bounds) < min(sun_w, load_w + 150.0)):
            return 0.0
        return max(0.0, min(bounds))

    @property
    def export_w(self) -> float:
        return max(0.0, self.production_w - self.load_w(self.clock()))

    @property
    def wishes(self) -> list[Any]:
        """What was written, in order."""
        return [what for _, _, what in self.writes]

    def changed(self) -> None:
        """Something was switched by whoever."""
        self._history.append((self._caught_up() + self.reaction_s, self._held()))

    def _caught_up(self) -> float:
        """The time, and what the cloud has done since."""
        now_s = self.clock()
        while self.reverts_s is not None and now_s >= (at_s := self._began_s + (self._reverted + 1) * self.reverts_s):
            self._reverted += 1
            self.selected, self.dpel = self._first
            self.forced_off = False
            self._history.append((at_s + self.reaction_s, self._held()))
        return now_s

    def _held(self) -> Held:
        settings = (self.dpel or {}).get("dynamic_pel_settings", {})
        enforced = settings.get("enable") and not self.idle
        if self.needs_dynamic and not settings.get("enable_dynamic_limiting"):
            enforced = False
        watts = settings.get("limit_value_W", 0.0)
        dynamic = (settings.get("export_limit") is not self.inverted, watts) if enforced else None
        return Held(EXPORT_OF[self.selected], dynamic, self.forced_off)

    # -- the gateway -----------------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: bytes = b"") -> Said:
        """Status, and document or text."""
        now_s = self._caught_up()
        if method != "GET":
            self.writes.append((now_s, path, json.loads(body)))
        match method, path:
            case "GET", "/installer/agf/index.json":
                return 200, self._index()
            case "PUT", "/installer/agf/set_profile.json":
                return self._select(json.loads(body))
            case _, "/ivp/ss/dpel" if self.dpel is None:
                return 404, {"err": "404 - Not Found"}
            case _, "/ivp/ss/dpel" if self.status != 200 and method == "POST":
                return self.status, "<html>sorry</html>"
            case "GET", "/ivp/ss/dpel":
                return 200, self.dpel
            case "POST", "/ivp/ss/dpel":
                return self._limit(json.loads(body))
            case "GET", "/ivp/mod/603980032/mode/power":
                return 200, {"powerForcedOff": self.forced_off}
            case "PUT", "/ivp/mod/603980032/mode/power":
                self.forced_off = json.loads(body) == {"length": 1, "arr": [1]}
                self.changed()
                return 200, ""
            case "GET", "/ivp/meters":
                return 200, self._meters()
            case "GET", "/ivp/meters/readings":
                return 200, self._readings()
            case "GET", "/production.json":
                return 200, self._document()
            case "GET", "/ivp/ensemble/inventory":
                return 200, [{"type": "ENCHARGE", "devices": [{"serial_num": "1"}] if self.encharge else []}]
        return 404, {"err": "404 - Not Found"}

    def _index(self) -> dict[str, Any]:
        rows = [
            {"uuid": "5f15", "profile_id": one, "profile_name": one.rpartition(":")[0], "profile_version": "1.2.2"}
            for one in self.profiles
        ]
        return {"selected_profile": self.selected, "migration_in_progress": False, "profiles": rows}

    def _select(self, asked: Mapping[str, Any]) -> Said:
        name = asked["selected_profile"]
        if self.refusal or name not in self.profiles:
            words = "profile could not be activated, profile is not in profile package"
            return 200, {"message": self.refusal or words}
        self.selected = name
        self.changed()
        return 200, {"message": f"/ivp/grest/profile/x 'selected_profile': '{name}' accepted."}

    def _limit(self, asked: dict[str, Any]) -> Said:
        if not self.deaf:
            self.dpel = {"date": "2024-08-02 08:15:25", **asked}
            self.changed()
        return 200, asked

    def _meters(self) -> list[dict[str, Any]]:
        state = "enabled" if self.clamps else "disabled"
        kinds = ((PRODUCTION_EID, "production"), (GRID_EID, "net-consumption"))
        return [
            {"eid": eid, "state": state, "measurementType": kind, "phaseCount": 1, "meteringStatus": "normal"}
            for eid, kind in kinds
        ]

    def _readings(self) -> list[dict[str, Any]]:
        stamp, load_w = int(1_700_000_000 + self.clock()), self.load_w(self.clock())
        power_w = self.production_w
        common = {"timestamp": stamp, "voltage": 230.4, "freq": 50.0, "current": 1.0, "pwrFactor": 1.0, "channels": []}
        return [
            {"eid": PRODUCTION_EID, "activePower": power_w, "actEnergyDlvd": 1000.0, **common},
            {"eid": GRID_EID, "activePower": load_w - power_w, "actEnergyDlvd": 5.0, "actEnergyRcvd": 6.0, **common},
        ]

    def _document(self) -> dict[str, Any]:
        stamp = int(1_700_000_000 + self.clock() // 300 * 300)
        inverters = {"type": "inverters", "activeCount": 20, "readingTime": stamp, "wNow": round(self.production_w)}
        return {"production": [inverters], "storage": [{"type": "acb", "activeCount": 0}]}

    def handlers(self) -> dict[str, Handler]:
        """The same over HTTP."""
        paths = (DPEL, INDEX, SELECT, POWER, "/ivp/meters", "/ivp/meters/readings", "/production.json")

        async def respond(request: web.Request) -> web.Response:
            status, what = self.answer(request.method, request.path, await request.read())
            return web.Response(status=status, text=what if isinstance(what, str) else json.dumps(what))

        return dict.fromkeys((*paths, "/ivp/ensemble/inventory"), respond)

    def behind(self, firmware: str = "8", **options: Any) -> FakeGateway:
        """A gateway with these limits."""
        return FakeGateway(firmware, handlers=self.handlers(), **options)
