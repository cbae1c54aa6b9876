"""Products whose protocol is known: presets.yaml holds their URL, paths and units, and what docs/meters.md says."""

from __future__ import annotations

import functools
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.fields import valid_host
from app.yamlfile import load_plain

FILE = Path(__file__).with_name("presets.yaml")
ABOUT = ("products", "example", "speed", "limits")  # for people
PORT = "port"  # of an address that names none
POWER = ("path", "import_path", "export_path", "phase_paths")  # who gives one of these means no other
WITH_POWER = (*POWER, "refuse_zeros", "alive_path")
NAMED = frozenset(("tasmota", "iobroker", "vzlogger", "fronius", "amis", "emlog", "shrdzm"))  # types of their own


@functools.cache
def presets() -> dict[str, dict[str, Any]]:
    """Every preset by its name."""
    found: dict[str, dict[str, Any]] = load_plain(FILE)
    return found


def asked() -> set[str]:
    """Every key that some preset asks for."""
    return {key for preset in presets().values() for key in _keys(preset)}


def wanted(preset: dict[str, Any]) -> dict[str, Any]:
    """What a preset asks for, in order, with the defaults; None: it is to be given."""
    return {key: preset.get(key) for key in sorted(_keys(preset), key=lambda key: (key != "host", key))}


def filled(given: dict[str, Any]) -> dict[str, Any]:
    """A section with what its preset knows; what the section says itself wins. Raises ValueError.

    ``{host}``, ``{id}`` and such in the preset are keys that the section has to give.
    """
    name = given.get("preset") or (given.get("type") if given.get("type") in NAMED else None)
    if name is None:
        return given
    preset = presets().get(str(name))
    if preset is None:
        raise ValueError(f"preset {name!r} is not known: use one of {', '.join(sorted(presets()))}")
    keys = _keys(preset)
    own = {key: value for key, value in given.items() if key not in keys}
    without = {*ABOUT, PORT, *keys, *own, *(WITH_POWER if any(key in own for key in POWER) else ())}
    known = {key: value for key, value in preset.items() if key not in without}
    needed = _keys(known)
    values = {key: value for key in needed if isinstance(value := given.get(key, preset.get(key)), str | int)}
    missing = sorted(needed - set(values))
    if missing:
        raise ValueError(f"{name}: {', '.join(missing)} is missing: add it")
    if "host" in values:
        values["host"] = _address(str(values["host"]), preset.get(PORT))
    in_url = {key: quote(str(value), safe=":[]" if key == "host" else "") for key, value in values.items()}
    in_path = {key: _Text(value) for key, value in values.items()}

    def put(key: str, value: Any) -> Any:
        return _put(value, in_url if key == "url" else in_path if key.endswith(("path", "paths")) else values)

    return {**{key: put(key, value) for key, value in known.items()}, **own, "preset": str(name)}


class _Text(str):
    """A value in a JSONPath. ``{id:steps}`` is the path of a dotted id, ``{id:group}`` its first step."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        if any(sign in self for sign in "'\"\\[]") or not self.isprintable():
            raise ValueError(f"{str(self)!r} holds a quotation mark, a bracket or a sign that no name has")
        if not spec:
            return str(self)
        steps = [f"[{step}]" if step.isdecimal() else f"['{step}']" for step in self.split(".")]
        return "".join(steps[:1] if spec == "group" else steps)


def _address(host: str, port: int | None) -> str:
    host = valid_host(host)
    return host if port is None or ":" in host.rpartition("]")[2] else f"{host}:{port}"


def _keys(preset: dict[str, Any]) -> set[str]:
    texts = _texts([value for key, value in preset.items() if key not in ABOUT])
    return {key for text in texts for _, key, _, _ in string.Formatter().parse(text) if key}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _put(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_put(one, values) for one in value]
    if isinstance(value, dict):
        return {key: _put(one, values) for key, one in value.items()}
    return value.format_map(values) if isinstance(value, str) else value
