"""AlphaESS's cloud: signed requests, its codes instead of statuses, and systems that may be offline."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.meters.fakes.web import WebFake

APP_ID, SECRET = "alphaef7900ee81dbbce9", "c2d2ef6c047c49678e2c332fb2d74c3c"  # of the portal's own example
SERIAL = "AL2002321010043"
WINDOW_S = 300.0


@dataclass
class FakeSystem:
    """One house; the powers as documented: ``battery_w`` positive while it discharges, ``grid_w`` import."""

    soc: Any = 61.0
    battery_w: Any = 1264.0
    grid_w: Any = 11.0
    pv_w: float = 0.0
    unseen_w: float = 0.0  # of inverters that it does not see, and which its load does not miss
    offline: bool = False
    changes: dict[str, Any] = field(default_factory=dict)  # of what it says, by key

    def data(self, battery_sign: int, grid_sign: int) -> dict[str, Any]:
        numbers = isinstance(self.battery_w, int | float) and isinstance(self.grid_w, int | float)
        load_w = max(0.0, self.pv_w + self.unseen_w + self.battery_w + self.grid_w) if numbers else 300.0
        found = {
            "ppv": self.pv_w,
            "ppvDetail": {"ppv1": self.pv_w, "ppv2": 0.0, "ppv3": 0.0, "ppv4": 0.0, "pmeterDc": 0.0},
            "pload": load_w,
            "soc": self.soc,
            "pgrid": grid_sign * self.grid_w if numbers else self.grid_w,
            "pgridDetail": {"pmeterL1": grid_sign * self.grid_w if numbers else None, "pmeterL2": 0.0, "pmeterL3": 0.0},
            "pbat": battery_sign * self.battery_w if numbers else self.battery_w,
            "prealL1": 0.0,
            "pev": 0,
        }
        return {key: value for key, value in {**found, **self.changes}.items() if value is not ...}


class FakeCloud(WebFake):
    """``codes``: what it answers instead, first come first served. ``least_s``: asked sooner, it refuses (6053)."""

    def __init__(self, **systems: FakeSystem) -> None:
        super().__init__()
        self.systems = systems or {SERIAL: FakeSystem()}
        self.signs = (1, 1)
        self.codes: list[int] = []
        self.code: int | None = None
        self.skew_s = 0.0
        self.least_s = 0.0
        self.nothing = False
        self.post_only = False
        self._last_s: dict[str, float] = {}
        self.section: dict[str, Any] = {}

    @property
    def login(self) -> dict[str, Any]:
        return {"app_id": APP_ID, "app_secret": SECRET, "base_url": f"http://{self.host}/api"}

    @property
    def system(self) -> FakeSystem:
        return next(iter(self.systems.values()))

    def count(self, what: str) -> int:
        return sum(f"/{what}" in path for path in self.asked)

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/getEssList", self._list)
        router.add_get("/api/getLastPowerData", self._power)

    async def _list(self, request: web.Request) -> web.Response:
        rows = [{"sysSn": serial, "popv": 5.0, "emsStatus": "Normal"} for serial in self.systems]
        return self._refused(request) or self._answer(rows)

    async def _power(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        serial, now_s = request.query.get("sysSn", ""), time.monotonic()
        last_s, self._last_s[serial] = self._last_s.get(serial, float("-inf")), now_s
        if now_s - last_s < self.least_s:
            return self._error(6053)
        if serial not in self.systems:
            return self._error(6002)
        if self.systems[serial].offline:
            return self._error(6042)
        return self._answer(None if self.nothing else self.systems[serial].data(*self.signs))

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.post_only:
            return web.Response(status=405, text="method not allowed")
        if self.codes or self.code is not None:
            return self._error(self.codes.pop(0) if self.codes else self.code or 0)
        for name, code in (("sign", 6010), ("appId", 6011), ("timeStamp", 6012)):
            if not request.headers.get(name):
                return self._error(code)
        stamp, app_id = request.headers["timeStamp"], request.headers["appId"]
        if abs(time.time() + self.skew_s - float(stamp)) > WINDOW_S:
            return self._error(6006)
        good = hashlib.sha512((app_id + SECRET + stamp).encode()).hexdigest()
        return None if request.headers["sign"] == good else self._error(6007)

    def _answer(self, data: Any) -> web.Response:
        return self._json({"code": 200, "msg": "Success", "expMsg": None, "data": data, "extra": None})

    def _error(self, code: int) -> web.Response:
        return self._json({"code": code, "msg": "操作失败", "expMsg": None, "data": None, "extra": None})

    def _json(self, document: Any) -> web.Response:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.skew_s))
        return web.json_response(document, headers={"Date": date})
