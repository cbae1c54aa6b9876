"""From settings, price and the grid operator's cap to one goal. Order: cap, pause, price, target."""

from __future__ import annotations

from dataclasses import dataclass

from app.model import Mode, PriceState, Settings


@dataclass(frozen=True, slots=True)
class Goal:
    """What to regulate to. ``target_w`` is grid power; None means: no regulation, inverters released."""

    mode: Mode
    target_w: float | None
    reason: str


def goal(settings: Settings, price: PriceState | None, export_limit_w: float | None) -> Goal:
    """The goal of now. ``price`` is None where no price section is configured."""
    if not settings.enabled:
        return _opened(Mode.PAUSED, export_limit_w, "paused")
    if price is not None and price.export_value_c is not None and price.export_value_c > 0.0:
        return _opened(Mode.OPEN, export_limit_w, f"export earns {price.export_value_c:.1f} c/kWh")
    return Goal(Mode.LIMIT, settings.target_point_w, "holding the target")


def _opened(mode: Mode, export_limit_w: float | None, reason: str) -> Goal:
    if export_limit_w is None:
        return Goal(mode, None, f"{reason}: inverters released to their maximum")
    return Goal(mode, -export_limit_w, f"{reason}: exporting up to {export_limit_w:g} W")
