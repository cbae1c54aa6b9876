"""Asks devices whether they are what they announce, and what has to be known of them. It changes nothing there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from app.discover.browse import Announced
from app.discover.opendtu import confirm_opendtu
from app.discover.paste import Found, Line
from app.documents import get_json
from app.model import DeviceAuthError, DeviceDataError
from app.outbound import ask

TIMEOUT_S = 4.0
SHELLY, OPENDTU, HOMEWIZARD, ESPHOME = "Shelly", "OpenDTU", "HomeWizard", "ESPHome"
FAMILIES = {
    SHELLY: "announces itself (mDNS) in the same network",
    OPENDTU: "announces itself only where mDNS is switched on in its network settings",
    HOMEWIZARD: "announces itself (mDNS) in the same network",
    ESPHOME: "announces itself (mDNS) in the same network",
}
_SERVICES = {
    "_shelly._tcp": SHELLY,
    "_opendtu._tcp": OPENDTU,
    "_hwenergy._tcp": HOMEWIZARD,
    "_homewizard._tcp": HOMEWIZARD,
    "_esphomelib._tcp": ESPHOME,
}
_EM = re.compile(r"S(P|\d)EM-(\d{3})")  # SPEM-003CEBEU: a Pro with three channels
HOMEWIZARD_METERS = ("HWE-P1", "HWE-KWH1", "HWE-KWH3", "SDM230-wifi", "SDM630-wifi")


@dataclass(frozen=True, slots=True)
class Group:
    """All that one device announces."""

    family: str
    name: str
    announced: tuple[Announced, ...]

    @property
    def host(self) -> str:
        """Where it is asked, as ``address[:port]``."""
        return host_of(self.announced[0])

    def service(self, name: str) -> Announced | None:
        """What it announces of this kind."""
        return next((one for one in self.announced if one.service == name), None)


def groups(announced: Iterable[Announced]) -> list[Group]:
    """The devices that may be ours; a device may announce several services under one name."""
    everything = sorted(announced, key=lambda one: (one.service == "_http._tcp", one.service, one.name, one.address))
    families: dict[str, str] = {}
    for one in everything:
        family = _SERVICES.get(one.service) or _by_name(one.name)
        if family is not None:
            families.setdefault(_identity(one), family)
    found: dict[str, list[Announced]] = {}
    for one in everything:
        if _identity(one) in families:
            found.setdefault(_identity(one), []).append(one)
    return [Group(families[key], ones[0].name, tuple(ones)) for key, ones in found.items()]


def _by_name(name: str) -> str | None:
    """What a web server may be, which announces no more than its name."""
    return next((family for family in (SHELLY, OPENDTU) if name.lower().startswith(family.lower())), None)


def _identity(one: Announced) -> str:
    serial = one.properties.get("serial", "") if _SERVICES.get(one.service) == HOMEWIZARD else ""
    return f"{one.address} {serial or one.name}".lower()


def host_of(one: Announced, usual: int = 80) -> str:
    """As a configuration wants it."""
    return one.address if one.port == usual else f"{one.address}:{one.port}"


async def confirm(session: aiohttp.ClientSession, group: Group) -> Found:
    """What a device is. Raises `DeviceError` where it is not what it announces."""
    return await _CONFIRM[group.family](session, group)


async def _shelly(session: aiohttp.ClientSession, group: Group) -> Found:
    return found_shelly(group.host, await get_json(session, f"http://{group.host}/shelly", TIMEOUT_S))


def found_shelly(host: str, about: Any) -> Found:
    """The Shelly of an answer to ``/shelly``. Raises `DeviceDataError`."""
    model = about.get("model" if "gen" in about else "type") if isinstance(about, dict) else None
    if not isinstance(about, dict) or "mac" not in about or not isinstance(model, str):
        raise DeviceDataError(f"{host} answers, but is no Shelly")
    channels = _channels(model, about)
    product = f"Shelly {model}"
    if channels is None:
        return Found(SHELLY, product, host, (), ("it has no clamps for a grid connection",))
    lines = [Line("type", "shelly"), Line("host", host)]
    if channels == 2:
        lines.append(Line("channel", 0, "the clamp at the grid connection: 0 or 1"))
    if about.get("auth") or about.get("auth_en"):
        lines.append(Line("password", "${SHELLY_PASSWORD}", "as set in the device; put it into .env"))
    return Found(SHELLY, product, host, (Line("meter", tuple(lines)),))


def _channels(model: str, about: dict[str, Any]) -> int | None:
    """How many clamps it has; None: it is no grid meter."""
    if "gen" not in about:
        return {"SHEM": 2, "SHEM-3": 3}.get(model)
    known = _EM.match(model)
    return None if known is None else int(known[2])


async def _opendtu(session: aiohttp.ClientSession, group: Group) -> Found:
    try:
        return await confirm_opendtu(session, group.host, TIMEOUT_S)
    except DeviceAuthError:
        if group.service("_opendtu._tcp") is None:
            raise
    remark = "it tells nothing without a password: allow readonly access in its security settings, and look again"
    return Found(OPENDTU, "OpenDTU", group.host, (Line("opendtu", (Line("host", group.host),)),), (remark,))


async def _homewizard(session: aiohttp.ClientSession, group: Group) -> Found:
    """Version 1 where it is switched on, since it needs no token."""
    v1, v2 = group.service("_hwenergy._tcp"), group.service("_homewizard._tcp")
    kind = next((one.properties["product_type"] for one in group.announced if "product_type" in one.properties), "")
    switched_on = False
    if v1 is not None:
        try:
            about = await get_json(session, f"http://{host_of(v1)}/api", TIMEOUT_S)
            if not isinstance(about, dict) or "product_type" not in about:
                raise DeviceDataError(f"{host_of(v1)} answers, but is no HomeWizard device")
            kind = str(about["product_type"])
            switched_on = v1.properties.get("api_enabled") != "0"
        except DeviceAuthError:  # its API is off
            if not kind:
                raise
    if v2 is not None and not switched_on:
        url, headers = f"https://{host_of(v2, 443)}/api", {"X-Api-Version": "2"}
        answer = await ask(session, url, TIMEOUT_S, headers=headers, ssl=False)
        if answer.status not in (200, 401):
            raise DeviceDataError(f"{url} answers HTTP {answer.status}")
    v1_host, v2_host = None if v1 is None else host_of(v1), None if v2 is None else host_of(v2, 443)
    return found_homewizard(kind, v1_host, v2_host, switched_on=switched_on)


def found_homewizard(kind: str, v1_host: str | None, v2_host: str | None, *, switched_on: bool) -> Found:
    """A HomeWizard device at its addresses of both versions."""
    product, host = f"HomeWizard {kind}", (v1_host if switched_on else v2_host) or v1_host or ""
    if kind not in HOMEWIZARD_METERS:
        return Found(HOMEWIZARD, product, host, (), ("it is no meter of a grid connection",))
    lines = [Line("type", "homewizard"), Line("host", host)]
    remarks = []
    pair = f"zero-export pair homewizard {v2_host or host}"
    if switched_on:
        remarks += [f"with a token it also tells how old its values are: {pair}"] if v2_host else []
    elif v2_host:
        lines.append(Line("token", "${HOMEWIZARD_TOKEN}", f"{pair} makes it"))
    else:
        remarks.append("its local API is off: in the app, Settings, Meters, this meter, Local API")
    return Found(HOMEWIZARD, product, host, (Line("meter", tuple(lines)),), tuple(remarks))


async def _esphome(session: aiohttp.ClientSession, group: Group) -> Found:
    web = group.service("_http._tcp")
    host = host_of(web) if web is not None else group.announced[0].address
    answer = await ask(session, f"http://{host}/", TIMEOUT_S)
    if answer.status not in (200, 401):
        raise DeviceDataError(f"http://{host}/ answers HTTP {answer.status}: it has no web_server")
    lines = (Line("type", "esphome"), Line("host", host), Line("sensor", None, "name of its sensor of the grid power"))
    return Found(ESPHOME, f"ESPHome {group.name}", host, (Line("meter", lines),), ready=False)


_CONFIRM: dict[str, Callable[[aiohttp.ClientSession, Group], Awaitable[Found]]] = {
    SHELLY: _shelly,
    OPENDTU: _opendtu,
    HOMEWIZARD: _homewizard,
    ESPHOME: _esphome,
}
