"""From settings, the gate and the grid operator's cap to one goal. Order: cap, pause, override, price, target."""

from __future__ import annotations

from dataclasses import dataclass

from app.model import Gate, Mode, Settings


@dataclass(frozen=True, slots=True)
class Goal:
    """What to regulate to. ``target_w`` is grid power; None means: no regulation, inverters released."""

    mode: Mode
    target_w: float | None
    reason: str


def goal(settings: Settings, gate: Gate | None, export_limit_w: float | None) -> Goal:
    """The goal of now. ``gate`` is None where neither a price nor anybody asks for anything."""
    if not settings.enabled:
        return _opened(Mode.PAUSED, export_limit_w, "paused")
    if gate is None:
        return _held(Mode.LIMIT, "holding the target", settings, export_limit_w)
    if gate.mode is Mode.OPEN:
        return _opened(Mode.OPEN, export_limit_w, gate.reason)
    return _held(gate.mode, gate.reason, settings, export_limit_w)


def _held(mode: Mode, reason: str, settings: Settings, export_limit_w: float | None) -> Goal:
    """Hold the target; one that asks for more export than the cap allows is cut to the cap."""
    least_w = float("-inf") if export_limit_w is None else 0.0 - export_limit_w
    return Goal(mode, max(least_w, settings.target_point_w), reason)


def _opened(mode: Mode, export_limit_w: float | None, reason: str) -> Goal:
    if export_limit_w is None:
        return Goal(mode, None, f"{reason}: inverters released to their maximum")
    return Goal(mode, 0.0 - export_limit_w, f"{reason}: exporting up to {export_limit_w:g} W")
