"""What Home Assistant is told by MQTT discovery: one device for the controller, one per inverter behind it. Pure.

The forms are those of https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. Values come out of the retained
JSON below ``<prefix>/state``; what is unknown there is null, which a template renders as ``None``: unknown, never 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from app.model import Mode, Tick

EXPIRE_S = 120  # a power that is not told again for so long is not known any more
OVERRIDE_MIN = 60
USUAL_TARGET_W = 1000
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Installation:
    """What the devices are made of. ``name``: empty for the usual one; ``page``: where browsers find the controller."""

    site: str
    version: str
    prefix: str = "zeropower"
    name: str = ""
    page: str = ""

    @property
    def id(self) -> str:
        """What every id of this site begins with."""
        return f"zero_export_{self.site}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the devices look like: the inverters' serials and names, the currency of the prices (empty without any)."""

    inverters: tuple[tuple[str, str], ...] = ()
    currency: str = ""
    target_bound_w: int = USUAL_TARGET_W

    @classmethod
    def of(cls, tick: Tick) -> Shown:
        """As it is in this tick."""
        price, target_w = tick.snapshot.price, abs(tick.snapshot.settings.target_point_w)
        return cls(
            tuple((state.serial, state.name) for state in tick.snapshot.inverters),
            price.currency if price is not None else "",
            USUAL_TARGET_W * max(1, math.ceil(target_w / USUAL_TARGET_W)),
        )


def devices(of: Installation, shown: Shown, discovery_prefix: str) -> dict[str, Json]:
    """The messages by topic, the controller first: the inverters are shown as connected via it."""
    messages = {of.id: _controller(of, shown)}
    messages |= {f"{of.id}_{serial}": _inverter(of, serial, name) for serial, name in shown.inverters}
    return {f"{discovery_prefix}/device/{object_id}/config": message for object_id, message in messages.items()}


def _controller(of: Installation, shown: Shown) -> Json:
    name = of.name or ("Zero export" if of.site == "home" else f"Zero export {of.site}")
    page = {"configuration_url": of.page} if of.page else {}
    components = _steered(of, shown) | _measured(shown) | _told(of)
    return _message(of, of.id, {"name": name, "sw_version": of.version, **page}, components)


def _steered(of: Installation, shown: Shown) -> dict[str, Json]:
    command = f"{of.prefix}/set"
    return {
        "enabled": {
            "platform": "switch", "name": None, "icon": "mdi:transmission-tower-off",  # it bears the device's name
            "state_topic": f"{of.prefix}/state/enabled", "command_topic": f"{command}/enabled",
            "payload_on": "on", "payload_off": "off",
        },
        "target": {
            "platform": "number", "name": "Target", "entity_category": "config", "device_class": "power",
            "unit_of_measurement": "W", "mode": "box", "step": 5,
            "min": -shown.target_bound_w, "max": shown.target_bound_w,
            "command_topic": f"{command}/target_point_w", "value_template": _template("value_json.target_point_w"),
        },
        "override": {
            "platform": "select", "name": "Override", "icon": "mdi:hand-back-right-outline",
            "options": ["auto", Mode.LIMIT.value, Mode.OPEN.value], "command_topic": f"{command}/override",
            "command_template": _template(f"value if value == 'auto' else value + ' {OVERRIDE_MIN}'"),
            "value_template": _template("value_json.override.mode if value_json.override else 'auto'"),
        },
        "override_until": {
            "platform": "sensor", "name": "Override until", "device_class": "timestamp",
            "value_template": _template("value_json.override.until_utc if value_json.override else None"),
        },
    }  # fmt: skip


def _measured(shown: Shown) -> dict[str, Json]:
    # of a component that is its platform and nothing else, Home Assistant removes what it had before
    prices = {"export_value": {"platform": "sensor"}, "import_price": {"platform": "sensor"}}
    if shown.currency:
        prices["export_value"] = _price("Export value", "export_value_c", shown.currency)
        prices["import_price"] = _price("Import price", "import_price_c", shown.currency)
    return prices | {
        "grid_power": _power("Grid power", "value_json.grid_w"),
        "pv_power": _power("PV power", "value_json.pv_w"),
        "load_power": _power("Load power", "value_json.load_w"),
        "limit": _power("Limit", "value_json.limit_w"),
        "grid_import": _energy("Grid import", _kwh("import_wh")),
        "grid_export": _energy("Grid export", _kwh("export_wh")),
        "pv_energy": _energy("PV energy", _kwh("pv_wh")),
        "curtailed_energy": _energy("Curtailed energy", _kwh("curtailed_wh")),
    }


def _told(of: Installation) -> dict[str, Json]:
    texts = "value_json.faults | map(attribute='text') | list"
    steps = "value_json.faults | map(attribute='next_step') | list"
    return {
        "mode": {
            "platform": "sensor", "name": "Mode", "device_class": "enum", "options": [mode.value for mode in Mode],
            "value_template": _template("value_json.mode"),
        },
        "reason": {
            "platform": "sensor", "name": "Reason", "entity_category": "diagnostic", "icon": "mdi:text",
            "value_template": _template("value_json.reason[:255]"),  # the longest state that there is
        },
        "fault": {
            "platform": "binary_sensor", "name": "Fault", "device_class": "problem",
            "value_template": _template("'ON' if value_json.faults else 'OFF'"),
            "json_attributes_topic": f"{of.prefix}/state",
            "json_attributes_template": _template(f"{{'faults': {texts}, 'next_steps': {steps}}} | tojson"),
        },
        "fail_safe": {
            "platform": "binary_sensor", "name": "Fail-safe", "device_class": "problem",
            "value_template": _template(f"'ON' if value_json.mode == '{Mode.FAIL_SAFE}' else 'OFF'"),
        },
        "gateway": _connected("Gateway", "value_json.gateways | map(attribute='online') | first"),
        "meter_age": {
            "platform": "sensor", "name": "Meter age", "entity_category": "diagnostic", "enabled_by_default": False,
            "device_class": "duration", "unit_of_measurement": "s", "state_class": "measurement",
            "expire_after": EXPIRE_S, "value_template": _template("value_json.ages.meter_s"),
        },
    }  # fmt: skip


def _inverter(of: Installation, serial: str, name: str) -> Json:
    def its(key: str) -> str:
        return f"value_json.inverters | selectattr('serial', 'eq', '{serial}') | map(attribute='{key}') | first"

    answers = _template(f"'online' if ({its('reachable')}) else 'offline'")
    answering = {
        "availability": [*_availability(of), {"topic": f"{of.prefix}/state", "value_template": answers}],
        "availability_mode": "all",
    }
    components = {
        "power": _power("Power", its("power_w")) | answering,
        "limit": _power("Limit", its("limit_w")),
        "energy": _energy("Energy", its("yield_total_kwh")),
        "temperature": {
            "platform": "sensor", "name": "Temperature", "entity_category": "diagnostic",
            "device_class": "temperature", "unit_of_measurement": "°C", "state_class": "measurement",
            "expire_after": EXPIRE_S, "value_template": _template(its("temperature_c")), **answering,
        },
        "reachable": _connected("Reachable", its("reachable")),
    }  # fmt: skip
    return _message(of, f"{of.id}_{serial}", {"name": name, "serial_number": serial, "via_device": of.id}, components)


def _message(of: Installation, device_id: str, device: Json, components: dict[str, Json]) -> Json:
    """One discovery message, with the ids of everything in it."""
    stem = device_id.replace("-", "_")
    for key, part in components.items():
        if len(part) > 1:
            part |= {"unique_id": f"{device_id}_{key}", "default_entity_id": f"{part['platform']}.{stem}_{key}"}
    return {
        "device": {"identifiers": [device_id], **device},
        "origin": {"name": "zero-export", "sw_version": of.version},
        "availability": _availability(of),
        "state_topic": f"{of.prefix}/state",
        "components": components,
    }


def _availability(of: Installation) -> list[Json]:
    return [{"topic": f"{of.prefix}/status"}]


def _power(name: str, expression: str) -> Json:
    return {
        "platform": "sensor", "name": name, "device_class": "power", "unit_of_measurement": "W",
        "state_class": "measurement", "suggested_display_precision": 0, "expire_after": EXPIRE_S,
        "value_template": _template(expression),
    }  # fmt: skip


def _energy(name: str, expression: str) -> Json:
    return {
        "platform": "sensor", "name": name, "device_class": "energy", "unit_of_measurement": "kWh",
        "state_class": "total_increasing", "suggested_display_precision": 2, "value_template": _template(expression),
    }  # fmt: skip


def _kwh(key: str) -> str:
    return f"(value_json.ledger.total.{key} / 1000) | round(3) if value_json.ledger else None"


def _price(name: str, key: str, currency: str) -> Json:
    known = f"value_json.price and value_json.price.{key} is not none"
    return {
        "platform": "sensor", "name": name, "unit_of_measurement": f"{currency}/kWh", "state_class": "measurement",
        "suggested_display_precision": 4,
        "value_template": _template(f"(value_json.price.{key} / 100) | round(6) if {known} else None"),
    }  # fmt: skip


def _connected(name: str, expression: str) -> Json:
    return {
        "platform": "binary_sensor", "name": name, "device_class": "connectivity", "entity_category": "diagnostic",
        "payload_on": "True", "payload_off": "False", "value_template": _template(expression),
    }  # fmt: skip


def _template(expression: str) -> str:
    return "{{ " + expression + " }}"
