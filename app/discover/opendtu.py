"""What an OpenDTU tells of itself over HTTP, without a login: broker, topics and inverters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import TypeAdapter, ValidationError

from app.discover.paste import Found, Line
from app.documents import get_json, optional
from app.fields import Host, TopicPrefix
from app.inverters.opendtu import OpenDtuInverterConfig
from app.model import DeviceDataError, DeviceError

MOST = 20  # inverters of a configuration
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_TOPIC = re.compile(r"[^$\s]{1,120}")  # no ${NAME}: the configuration would put a secret of the environment there


@dataclass(frozen=True, slots=True)
class Inverter:
    """One behind it. ``max_w`` is None until OpenDTU has asked it, as by day."""

    serial: str
    name: str
    model: str
    max_w: float | None
    channels: int | None


async def confirm_opendtu(session: aiohttp.ClientSession, host: str, timeout_s: float) -> Found:
    """Ask it. Raises `DeviceError`."""

    async def get(path: str) -> dict[str, Any]:
        document = await get_json(session, f"http://{host}/api/{path}", timeout_s)
        if not isinstance(document, dict):
            raise DeviceDataError(f"{host} answers, but is no OpenDTU")
        return document

    system = await get("system/status")
    if "git_hash" not in system:
        raise DeviceDataError(f"{host} answers, but is no OpenDTU")
    mqtt = await get("mqtt/status")
    listed = (await get("livedata/status")).get("inverters")
    inverters = []
    for one in listed[:MOST] if isinstance(listed, list) else ():
        serial = one.get("serial") if isinstance(one, dict) else None
        if isinstance(serial, str) and _fits(OpenDtuInverterConfig, {"serial": serial, "max_watt": 1}):
            inverters.append(parse_inverter(serial, one, await _details(get, serial)))
    return found_opendtu(host, str(system["git_hash"]), mqtt, inverters)


async def _details(get: Any, serial: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is known of an inverter; nothing, where it does not tell."""
    try:
        return await get(f"devinfo/status?inv={serial}"), await get(f"livedata/status?inv={serial}")
    except DeviceError:
        return {}, {}


def parse_inverter(serial: str, listed: dict[str, Any], details: tuple[dict[str, Any], dict[str, Any]]) -> Inverter:
    """An inverter out of ``livedata/status``, ``devinfo/status?inv=`` and ``livedata/status?inv=``."""
    info, live = details
    max_w = optional(info.get("max_power"))
    usable = max_w is not None and max_w >= 1.0 and _fits(OpenDtuInverterConfig, {"serial": serial, "max_watt": max_w})
    shown = live.get("inverters")
    inputs = shown[0].get("DC") if isinstance(shown, list) and shown and isinstance(shown[0], dict) else None
    channels = len(inputs) if isinstance(inputs, dict) and 1 <= len(inputs) <= 6 else None
    return Inverter(
        serial.lower(),
        str(listed.get("name", "")),
        str(info.get("hw_model_name", "")),
        max_w if usable else None,
        channels,
    )


def found_opendtu(host: str, git_hash: str, mqtt: dict[str, Any], inverters: list[Inverter]) -> Found:
    """The lines of all sections that have to do with it."""
    remarks = [] if mqtt.get("mqtt_enabled") is True else ["MQTT is off there: switch it on in its MQTT settings"]
    broker, port, topic = mqtt.get("hostname"), mqtt.get("port"), mqtt.get("mqtt_topic")
    lines: list[Line] = []
    if isinstance(broker, str) and _NAME.fullmatch(broker) and _fits(Host, broker):
        place = [Line("host", broker, "the broker that OpenDTU publishes to")]
        if isinstance(port, int) and 0 < port < 65536 and port != 1883:
            place.append(Line("port", port))
        login = (Line("username", "${MQTT_USERNAME:-}"), Line("password", "${MQTT_PASSWORD:-}"))
        lines.append(Line("mqtt", (*place, *login)))
    where = [Line("host", host)]
    if isinstance(topic, str) and _TOPIC.fullmatch(topic) and _fits(TopicPrefix, topic):
        where.insert(0, Line("topic_prefix", topic.rstrip("/")))
    lines.append(Line("opendtu", tuple(where)))
    if inverters:
        lines.append(Line("inverters", [_inverter(one) for one in inverters]))
    else:
        remarks.append("it has no inverters yet")
    return Found("OpenDTU", f"OpenDTU {git_hash}", host, tuple(lines), tuple(remarks))


def _inverter(one: Inverter) -> tuple[Line, ...]:
    about = ", ".join(text for text in (one.name, one.model) if text)
    whole = None if one.max_w is None else round(one.max_w)
    lines = [
        Line("serial", one.serial, about),
        Line("max_watt", whole, "rated AC power" + ("" if whole else ": fill in")),
    ]
    return (*lines, *((Line("channels", one.channels),) if one.channels else ()))


def _fits(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True
