"""The grid meters of a GX device, as it names them over MQTT: whether one of them is our own message. Pure."""

from __future__ import annotations

import json

from app.model import DeviceDataError

MANY = 10  # grid meters of one device: more are not told apart
LONGEST = 200  # signs of a name
_OURS = ("mqtt grid", "mqtt_grid", "dbus-mqtt-grid")  # ProductName, service and ProcessName of the driver
WHERE = ("ProductName", "Mgmt/ProcessName")


class GridServices:
    """What is known of them. ``instance``: the one that is read; None: whichever the device takes."""

    def __init__(self, instance: int | None) -> None:
        self._instance = instance
        self._names: dict[str, dict[str, str]] = {}  # by instance: what stands at `WHERE`

    def take(self, topic: str, payload: bytes) -> None:
        """Take in ``N/<portal>/grid/<instance>/<path>``; an empty message says that it is gone."""
        _, _, _, instance, path = topic.split("/", 4)
        name = _text(payload)
        if name is None:
            self._names.get(instance, {}).pop(path, None)
            if not self._names.get(instance, True):
                del self._names[instance]
        elif instance in self._names or len(self._names) < MANY:
            self._names.setdefault(instance, {})[path] = name

    def forget(self) -> None:
        """The connection is gone."""
        self._names.clear()

    @property
    def named(self) -> bool:
        """Whether the one meter that is read has told its name."""
        return str(self._instance) in self._names

    def check(self) -> None:
        """Raise `DeviceDataError` where the power may be the one that we publish ourselves."""
        for instance, names in self._names.items():
            ours = any(mark in name.lower() for name in names.values() for mark in _OURS)
            if ours and self._instance in (None, _number(instance)):
                raise DeviceDataError(
                    f"its grid meter {instance} ({', '.join(sorted(names.values()))}) gets its power over MQTT, from "
                    "what venus publishes here: it would feed back on itself; set venus.grid to false, or name "
                    "another grid meter of it in meter.instance"
                )


def _text(payload: bytes) -> str | None:
    """The text in a message; None: it has none."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    value = document.get("value") if isinstance(document, dict) else None
    return value[:LONGEST] if isinstance(value, str) and value else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
