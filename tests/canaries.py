"""A configuration with a mark wherever a secret may stand."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

MARK = "CANARY"


def canary(name: str) -> str:
    return f"{MARK}-{name}-4b7e"


def forms(text: str) -> Iterable[str]:
    """How a secret could be written."""
    return text, quote(text, safe=""), base64.b64encode(text.encode()).decode().rstrip("=")


def everything(host: str, ports: dict[str, int]) -> dict[str, Any]:
    """A configuration with a canary wherever a secret may stand."""

    def at(name: str) -> str:
        return f"{host}:{ports.get(name, 9)}"

    return {
        "mqtt": {"host": at("mqtt"), "username": "app", "password": canary("mqtt")},
        "meter": [
            {"type": "shelly", "host": at("shelly"), "password": canary("shelly")},
            {"type": "home_assistant", "url": f"http://{at('bearer')}", "token": canary("hass"), "entity": "sensor.p"},
            {"type": "esphome", "host": at("json"), "username": "u", "password": canary("esphome"), "sensor": "p"},
            {"type": "victron", "mqtt": {"host": at("json"), "username": "u", "password": canary("venus")}},
            {
                "type": "http_json", "url": f"http://{at('json')}/meter?api_key={canary('query')}&x=1", "path": "$.p",
                "username": "u", "password": canary("json"), "headers": {"X-Api-Key": canary("header")},
            },
            {"type": "http_json", "url": f"http://{at('bearer')}/", "path": "$.p", "bearer_token": canary("bearer")},
            {"type": "tasmota", "host": at("json"), "id": "SML.Power", "password": canary("asked")},
            {"type": "http_json", "preset": "poweropti", "host": at("json"), "api_key": canary("apikey")},
            {"type": "enphase", "host": at("bearer"), "password": canary("digest")},
            {
                "type": "enphase", "host": at("json"), "gateway_serial": "122012345678", "enlighten_username": "u",
                "enlighten_password": canary("enlighten"), "enlighten_role": "installer",
                "enlighten_url": f"http://{at('bearer')}", "entrez_url": f"http://{at('bearer')}",
            },
            {"type": "tibber", "host": at("json"), "password": canary("pulse")},
        ],
        "inverters": [{"serial": "116180400000", "max_watt": 1500}],
        "price": {"type": "amber", "token": canary("amber"), "base_url": f"http://{at('amber')}/v1"},
        "battery": {
            "type": "alphaess", "app_id": "app", "app_secret": canary("alpha"), "base_url": f"http://{at('bearer')}",
        },
        "enphase": {
            "host": at("hook"), "token": canary("envoy"), "certificate": "any", "interval_s": 1,
            "publish": {"mqtt": {"host": at("json"), "username": "u", "password": canary("told")}},
            "ensemble": {"interval_s": 10},
        },
        "venus": {"grid": False, "mqtt": {"host": at("json"), "username": "u", "password": canary("gx")}},
        "influxdb": {"url": f"http://{at('influx')}", "token": canary("influx")},
        "recorder": {},
        "alerts": {
            "webhook": {"url": f"http://{at('hook')}/{canary('hook')}", "bearer_token": canary("hookkey")},
            "after_s": 0,
        },
        "http": {
            "host": "127.0.0.1", "port": ports.get("http", 9), "token": canary("http"), "read_token": canary("look"),
        },
        "log": {"level": "DEBUG"},
    }  # fmt: skip
