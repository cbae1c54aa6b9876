"""What must survive a restart: the settings that people changed, and the key that signs toggle links."""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from app.control.gate import active
from app.files import put_aside, replace_file
from app.model import Mode, Override, Settings

log = logging.getLogger(__name__)

TARGET_RANGE_W = (-100_000.0, 100_000.0)
Listener = Callable[[Settings, str], None]


class SettingsStore:
    """The settings in force. A change made at run time wins until the value in the file changes.

    The file holds, beside each value, the configured value that it replaced; a configured value that
    differs from that one is newer and wins.
    """

    def __init__(self, path: Path, configured: Settings) -> None:
        self._path = path
        self._configured = configured
        self._listeners: list[Listener] = []
        stored = self._read()
        self.signing_key: bytes = _key(stored)
        self.current = _merge(configured, stored)
        self._write()

    def on_change(self, listener: Listener) -> None:
        """Call ``listener(settings, source)`` after every change."""
        self._listeners.append(listener)

    def update(self, *, enabled: bool | None = None, target_point_w: float | None = None, source: str) -> Settings:
        """Change and persist settings. Raises ValueError with a sentence for a target out of range."""
        new = self.current
        if enabled is not None:
            new = replace(new, enabled=enabled)
        if target_point_w is not None:
            new = replace(new, target_point_w=_valid_target(target_point_w))
        return self._change(new, source)

    def override(self, override: Override | None, source: str) -> Settings:
        """Decide instead of the price for a while; None: let the price decide again."""
        return self._change(replace(self.current, override=override), source)

    def expire(self, utc_s: float) -> Settings:
        """The settings of this moment: an override ends by itself."""
        if self.current.override is not None and active(self.current.override, utc_s) is None:
            self.override(None, "its end")
        return self.current

    def _change(self, new: Settings, source: str) -> Settings:
        if new != self.current:
            self.current = new
            log.info("settings changed by %s: %s", source, new)
            self._write()
            for listener in self._listeners:
                listener(new, source)
        return self.current

    def _read(self) -> dict[str, Any]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            return stored if isinstance(stored, dict) else {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            put_aside(self._path, error, "starting from the configuration")
            return {}

    def _write(self) -> None:
        content = {
            "settings": asdict(self.current),
            "configured": asdict(self._configured),
            "signing_key": self.signing_key.hex(),
        }
        try:
            replace_file(self._path, json.dumps(content, indent=1).encode(), mode=0o600)
        except OSError as error:
            log.error("cannot save settings to %s: %s; changes last until the next restart", self._path, error)


def _valid_target(value: float) -> float:
    low, high = TARGET_RANGE_W
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"target_point_w: {value!r} is not a number of watts between {low:g} and {high:g}")
    return float(value)


def _key(stored: dict[str, Any]) -> bytes:
    try:
        key = bytes.fromhex(stored["signing_key"])
        if len(key) >= 32:
            return key
    except (KeyError, TypeError, ValueError):
        pass
    return secrets.token_bytes(32)


def _merge(configured: Settings, stored: dict[str, Any]) -> Settings:
    changed, was = stored.get("settings"), stored.get("configured")
    if not isinstance(changed, dict) or not isinstance(was, dict):
        return configured
    enabled, target = configured.enabled, configured.target_point_w
    override = _override(changed.get("override"))
    if isinstance(changed.get("enabled"), bool) and was.get("enabled") == configured.enabled:
        enabled = changed["enabled"]
    if (
        isinstance(changed.get("target_point_w"), int | float)
        and was.get("target_point_w") == configured.target_point_w
    ):
        try:
            target = _valid_target(changed["target_point_w"])
        except ValueError:
            log.warning("ignoring the stored target_point_w %r", changed["target_point_w"])
    return Settings(enabled=enabled, target_point_w=target, override=override)


def _override(stored: Any) -> Override | None:
    if not isinstance(stored, dict) or stored.get("mode") not in (Mode.LIMIT, Mode.OPEN):
        return None
    until_utc_s = stored.get("until_utc_s")
    return Override(Mode(stored["mode"]), until_utc_s) if isinstance(until_utc_s, float) else None
