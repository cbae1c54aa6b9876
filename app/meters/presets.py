"""Products whose protocol is known: presets.yaml holds their URL, paths and units, and what docs/meters.md says."""

from __future__ import annotations

import functools
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.yamlfile import load_plain

FILE = Path(__file__).with_name("presets.yaml")
ABOUT = ("products", "example", "speed", "limits")  # for people
NAMED = frozenset(("tasmota", "iobroker", "vzlogger", "fronius", "amis", "emlog", "shrdzm"))  # types of their own


@functools.cache
def presets() -> dict[str, dict[str, Any]]:
    """Every preset by its name."""
    found: dict[str, dict[str, Any]] = load_plain(FILE)
    return found


def asked() -> set[str]:
    """Every key that some preset asks for."""
    return {key for preset in presets().values() for key in _keys(preset)}


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
    own = dict(given)
    wanted = _keys(preset)
    missing = sorted(key for key in wanted if not isinstance(own.get(key), str | int) and key not in preset)
    if missing and "url" not in given:
        raise ValueError(f"{name}: {', '.join(missing)} is missing: add it")
    values = {key: str(own.pop(key, preset.get(key, ""))) for key in wanted}
    known = {
        key: _put(value, values, in_url=key == "url") for key, value in preset.items() if key not in (*ABOUT, *wanted)
    }
    return {**known, **own, "preset": str(name)}


def _keys(preset: dict[str, Any]) -> set[str]:
    return {key for text in _texts(preset) for _, key, _, _ in string.Formatter().parse(text) if key}


def _texts(preset: dict[str, Any]) -> list[str]:
    values = [value for key, value in preset.items() if key not in ABOUT]
    return [
        text for value in values for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]


def _put(value: Any, values: dict[str, str], *, in_url: bool) -> Any:
    if isinstance(value, list):
        return [_put(one, values, in_url=in_url) for one in value]
    if not isinstance(value, str):
        return value
    return value.format_map(
        {k: quote(v, safe=":[]" if k == "host" else "") if in_url else v for k, v in values.items()}
    )
