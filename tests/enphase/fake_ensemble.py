"""Batteries, relays and dry contacts behind a `FakeGateway`: the documents, the writes, and what really happens then.

``optimised``: the tariff has ``opt_schedules`` on: writes of the mode answer 200 and change nothing. ``cloud_after_s``:
so long after a write of the tariff, Enlighten puts back what it has. ``deaf``: every write answers 200 and is ignored.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.enphase.fake import FakeGateway, Handler

CONTACT_KEYS = {
    "id", "type", "grid_action", "micro_grid_action", "gen_action", "override", "load_name", "mode", "soc_low",
    "soc_high", "pv_serial_nb", "manual_override", "essential_start_time", "essential_end_time",
    "black_s_start", "priority",
}  # fmt: skip


def tariff(firmware: str) -> dict[str, Any]:
    storage: dict[str, Any] = {
        "mode": "self-consumption",
        "operation_mode_sub_type": "",
        "reserved_soc": 20.0,
        "very_low_soc": 5,
        "charge_from_grid": False,
        "date": "1700000000",
    }
    if firmware == "8":
        storage["opt_schedules"] = False
    if firmware == "5":
        storage |= {"mode": "savings-mode"}
        del storage["date"]
    return {
        "currency": {"code": "EUR"},
        "logger": "mylogger",
        "date": "1700000000",
        "storage_settings": storage,
        "single_rate": {"rate": 0.0, "sell": 0.0},
        "seasons": [{"id": "season_1", "start": "1/1", "days": []}],
        "seasons_sell": [],
    }


def contact(id_: str, name: str) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "LOAD",
        "grid_action": "none",
        "micro_grid_action": "shed",
        "gen_action": "shed",
        "override": "true",
        "load_name": name,
        "mode": "manual",
        "soc_low": 25.0,
        "soc_high": 70.0,
        "pv_serial_nb": [],
        "manual_override": "true",
        "essential_start_time": 32400.0,
        "essential_end_time": 57600.0,
        "black_s_start": 5.0,
        "priority": 1.0,
    }


@dataclass
class FakeEnsemble:
    """``tariff``, ``contacts`` and the others may be changed at any time, into garbage too."""

    firmware: str = "8"
    optimised: bool = False
    cloud_after_s: float | None = None
    deaf: bool = False
    tariff: Any = None
    statuses: dict[str, str] = field(default_factory=lambda: {"NC1": "open", "NC2": "closed"})
    contacts: Any = None
    mains: str = "closed"
    soc: Any = 61
    milliwatts: Any = -1_250_000  # theirs: it charges
    asleep: dict[str, tuple[int, int]] = field(default_factory=dict)
    acbs: tuple[str, ...] = ()
    iq: tuple[str, ...] = ("122333000001",)
    enpower: bool = True
    collar: bool = False
    combiner: bool = False
    later_s: float = 0.0
    incomplete: list[set[str]] = field(default_factory=list)
    written: list[tuple[str, Any]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: dict[str, Any] = field(default_factory=dict)
    _cloud: Any = None
    _written_s: float | None = None

    def __post_init__(self) -> None:
        self.tariff = self.tariff or tariff(self.firmware)
        self.contacts = self.contacts or [contact("NC1", "Boiler"), contact("NC2", "Pump")]
        if self.optimised:
            self.tariff["storage_settings"]["opt_schedules"] = True
        self._cloud = copy.deepcopy(self.tariff)

    def gateway(self, **more: Any) -> FakeGateway:
        """The gateway that has them."""
        return FakeGateway(
            self.firmware,
            handlers={path: self._unless_replaced(path, do) for path, do in self.handlers.items()},
            **more,
        )

    @property
    def storage(self) -> dict[str, Any]:
        """The storage settings of now."""
        settings: dict[str, Any] = self.tariff["storage_settings"]
        return settings

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "/production.json": lambda _request: self.production(),
            "/api/v1/production": lambda _request: {
                "wattHoursToday": 1, "wattHoursSevenDays": 2, "wattHoursLifetime": 3, "wattsNow": 4,
            },
            "/api/v1/production/inverters": lambda _request: self.inverters(),
            "/inventory.json": lambda _request: self.inventory(),
            "/ivp/ensemble/inventory": lambda _request: self.ensemble(),
            "/ivp/ensemble/secctrl": lambda _request: self.secctrl(),
            "/ivp/ensemble/power": lambda _request: {
                "devices:": [
                    {"serial_num": one, "real_power_mw": self.milliwatts, "apparent_power_mva": 1, "soc": self.soc}
                    for one in self.iq
                ]
            },
            "GET /ivp/ensemble/dry_contacts": lambda _request: {
                "dry_contacts": [{"id": one, "status": state} for one, state in self.statuses.items()]
            },
            "GET /ivp/ss/dry_contact_settings": lambda _request: {"dry_contacts": self.contacts},
            "GET /admin/lib/tariff": lambda _request: self.shown_tariff(),
            "PUT /admin/lib/tariff": self.put_tariff,
            "POST /ivp/ensemble/dry_contacts": self.switch,
            "POST /ivp/ss/dry_contact_settings": self.settle,
            "POST /ivp/ensemble/relay": self.relay,
            "PUT /admin/lib/acb_config": self.sleep,
            "DELETE /admin/lib/acb_config": self.sleep,
        }  # fmt: skip

    def _unless_replaced(self, path: str, handler: Handler) -> Handler:
        return lambda request: self.replaced.get(path, self.replaced.get(request.path)) or handler(request)

    # -- what is told

    def production(self) -> Any:
        acb = {"type": "acb", "activeCount": len(self.acbs), "wNow": 260, "whNow": 930, "state": "discharging"}
        if self.acbs:
            acb["percentFull"] = 25
        return {
            "production": [
                {"type": "inverters", "activeCount": 4, "readingTime": 1, "wNow": 500, "whLifetime": 1000},
                {
                    "type": "eim", "activeCount": 1, "measurementType": "production", "readingTime": 1, "wNow": 510,
                    "whLifetime": 1001.0, "whToday": 10.0, "whLastSevenDays": 70.0,
                },
            ],
            "consumption": [],
            "storage": [acb],
        }  # fmt: skip

    def inverters(self) -> Any:
        return [
            {"serialNumber": one, "lastReportDate": 1, "devType": 11, "lastReportWatts": 130, "maxReportWatts": 260}
            for one in self.acbs
        ]

    def inventory(self) -> Any:
        return [
            {
                "type": "ACB",
                "devices": [
                    {
                        "serial_num": one,
                        "part_num": "800-00930-r03",
                        "percentFull": 25,
                        "charge_status": "discharging",
                        "sleep_enabled": one in self.asleep,
                        "sleep_min_soc": self.asleep.get(one, (25, 30))[0],
                        "sleep_max_soc": self.asleep.get(one, (25, 30))[1],
                        "device_status": ["envoy.global.ok"]
                        + (["envoy.cond_flags.pcu_ctrl.sleep-mode"] if one in self.asleep else []),
                        "communicating": True,
                    }
                    for one in self.acbs
                ],
            }
        ]

    def ensemble(self) -> Any:
        common = {
            "admin_state": 6, "admin_state_str": "ENCHG_STATE_READY", "communicating": True, "installed": 1,
            "img_load_date": 1, "img_pnum_running": "2.6.5973", "last_rpt_date": 1, "part_num": "830",
            "temperature": 29,
            "comm_level_2_4_ghz": 5, "comm_level_sub_ghz": 5,
        }  # fmt: skip
        found: list[dict[str, Any]] = []
        if self.iq:
            battery = {"bmu_fw_version": "2.1", "dc_switch_off": False, "encharge_capacity": 3500, "encharge_rev": 2,
                       "led_status": 12, "maxCellTemp": 30, "percentFull": 60}  # fmt: skip
            found.append({"type": "ENCHARGE", "devices": [common | battery | {"serial_num": one} for one in self.iq]})
        if self.enpower:
            relay = {"serial_num": "222333000001", "mains_admin_state": self.mains, "mains_oper_state": self.mains,
                     "Enpwr_grid_mode": "multimode-ongrid"}  # fmt: skip
            found.append({"type": "ENPOWER", "devices": [common | relay]})
        if self.collar:
            one = {"serial_num": "482520020939", "mid_state": "close", "grid_state": "on_grid", "control_error": 0,
                   "collar_state": "Installed"}  # fmt: skip
            found.append({"type": "COLLAR", "devices": [common | one]})
        if self.combiner:
            one = {"serial_num": "482523040549", "dmir_version": "0.0.2", "fw_version": "0.1.20"}
            found.append({"type": "C6 COMBINER CONTROLLER", "devices": [common | one]})
        return found

    def secctrl(self) -> Any:
        return {
            "ENC_agg_avail_energy": 2100, "ENC_agg_backup_energy": 700, "ENC_agg_soc": self.soc,
            "adjusted_backup_soc": 20,
            "configured_backup_soc": 20, "Enc_max_available_capacity": 3500, "agg_soc": 39, "Max_energy": 7220,
            "ACB_agg_soc": 25, "ACB_agg_energy": 930,
        }  # fmt: skip

    def shown_tariff(self) -> Any:
        ago_s = None if self._written_s is None else time.monotonic() + self.later_s - self._written_s
        if ago_s is not None and self.cloud_after_s is not None and ago_s >= self.cloud_after_s:
            self.tariff, self._written_s = copy.deepcopy(self._cloud), None
        return {"tariff": self.tariff, "schedule": {}}

    # -- what is asked

    async def _told(self, request: web.Request) -> Any:
        said = json.loads(await request.read())
        self.written.append((f"{request.method} {request.path}", said))
        return said

    async def put_tariff(self, request: web.Request) -> Any:
        said = (await self._told(request))["tariff"]
        if not {"currency", "single_rate", "seasons", "storage_settings"} <= set(said):
            return web.Response(status=400, text="bad tariff")
        if not self.deaf:
            wanted = copy.deepcopy(said)
            if self.storage.get("opt_schedules") and wanted["storage_settings"].get("opt_schedules"):
                wanted["storage_settings"]["mode"] = self.storage["mode"]
            self.tariff, self._written_s = self.tariff | wanted, time.monotonic() + self.later_s
        return {"tariff": said}

    async def switch(self, request: web.Request) -> Any:
        said = (await self._told(request))["dry_contacts"]
        if not self.deaf:
            self.statuses[said["id"]] = said["status"]
        return {"dry_contacts": [said]}

    async def settle(self, request: web.Request) -> Any:
        said = (await self._told(request))["dry_contacts"]
        missing = CONTACT_KEYS - set(said)
        if missing:
            self.incomplete.append(missing)
            return web.Response(status=503, text="restarting")
        if not self.deaf:
            self.contacts = [said if one["id"] == said["id"] else one for one in self.contacts]
        return {"dry_contacts": [said]}

    async def relay(self, request: web.Request) -> Any:
        said = await self._told(request)
        if not self.deaf:
            self.mains = said["mains_admin_state"]
        return {"mains_admin_state": said["mains_admin_state"], "mains_oper_state": self.mains}

    async def sleep(self, request: web.Request) -> Any:
        for one in (await self._told(request))["acb_sleep"]:
            if one["serial_num"] not in self.acbs:
                return web.Response(status=400, text="unknown serial number")
            if request.method == "DELETE":
                self.asleep.pop(one["serial_num"], None)
            else:
                self.asleep[one["serial_num"]] = (one["sleep_min_soc"], one["sleep_max_soc"])
        return {"result": "ok"}
