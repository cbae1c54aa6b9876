"""What ESPHome says of its sensors, in events and in answers. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from app.documents import optional
from app.meters.push import Wanted, in_watts
from app.model import DeviceDataError, DeviceError, DeviceUnavailable

PING_S = 10.0  # the device sends one so often, whatever its sensors do
LISTED_S = 2.5  # after the beginning of a stream, it has told all that it has
SHOWN = 6  # names of sensors in a sentence
_STATE = re.compile(r"^\s*[+-]?[\d.]+(?:[eE][+-]?\d+)?\s*(.*?)\s*$")


class Heard:
    """What a stream has brought so far. Times are on the monotonic clock."""

    def __init__(self, wanted: Wanted, now_s: float) -> None:
        self._wanted = wanted
        self.alive_s = self.told_s = self._since_s = now_s
        self._told = False  # anything of any of its sensors
        self.good = False  # whether there was a reading
        self._new: dict[str, tuple[float, float]] = {}  # by name: watts, and when; since the last reading
        self._found: set[str] = set()
        self._begun: set[str] = set()  # of which a value came
        self._others: dict[str, None] = {}  # names of other power sensors, in order

    def find(self, document: Mapping[str, Any]) -> str | None:
        """Which of the wanted sensors an event is of."""
        self._told = True
        told = str(document.get("name_id") or document.get("id") or "")
        domain, own = told[:6], told[7:]
        if domain != "sensor" or told[6:7] not in ("-", "/"):
            return None
        for name in self._wanted.names:
            if name == own or object_id(name) == object_id(own):
                self._found.add(name)
                return name
        if str(document.get("state", "")).endswith("W") and len(self._others) < SHOWN:
            self._others[own[:40]] = None
        return None

    def take(self, name: str, value_w: float, now_s: float, *, old: bool) -> tuple[float, float, Any] | None:
        """When, power and phases, once all sensors have published since the last time.

        ``old``: the event tells all about the sensor, as those do that come at the beginning.
        """
        first = name not in self._begun
        self._begun.add(name)
        if first and old:
            return None
        self._new[name] = value_w, now_s
        if len(self._new) < len(self._wanted.names):
            return None
        at_s = min(at_s for _, at_s in self._new.values())
        values_w = {name: value_w for name, (value_w, _) in self._new.items()}
        self._new = {}
        return at_s, *self._wanted.power(values_w)

    def silence(self, who: str, now_s: float) -> DeviceError:
        """What to say where nothing comes."""
        unknown = [name for name in self._wanted.names if name not in self._found]
        if unknown and self._told and now_s - self._since_s > LISTED_S:
            others = f"; it has {', '.join(self._others)}" if self._others else ", and no other power sensor"
            return DeviceDataError(f"{who} has no sensor {', '.join(unknown)}{others}: check meter.sensor")
        missing = [name for name in self._wanted.names if name not in self._new]
        return DeviceUnavailable(f"{who}: {', '.join(missing)} has published nothing for a while")


def object_id(name: str) -> str:
    """The id that ESPHome makes of a name: small letters, and _ for what is no letter, digit, - or _."""
    return re.sub(r"[^a-z0-9_/-]", "_", name.lower())


def value_of(document: Mapping[str, Any], what: str) -> float:
    """Watts, out of an event or an answer. Raises `DeviceDataError` naming ``what``."""
    number, state = document.get("value"), str(document.get("state", ""))
    if optional(number) is None:
        said = state or str(number)
        raise DeviceDataError(f"{what} has no value ({said[:20]}): its device has not measured any; look at its log")
    match = _STATE.match(state)
    return in_watts(number, match[1] if match else "", what, "give it unit_of_measurement: W in the YAML of the device")


def document_of(text: str) -> dict[str, Any]:
    """The object that an event or an answer holds. Raises `DeviceDataError`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise DeviceDataError("the device sends a state that is no JSON") from None
    if not isinstance(document, dict):
        raise DeviceDataError("the device sends a state that is no JSON object")
    return document
