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


def goal(
    settings: Settings,
    price: PriceState | None,
    export_limit_w: float | None,
    export_threshold_c: float = 0.0,
    *,
    opened: bool = False,
) -> Goal:
    """The goal of now. ``price`` is None where no price section is configured.

    ``opened``: whether the goal before this one was to open for the price. An estimate keeps it open, and never
    opens: estimates are known to have the wrong sign.
    """
    if not settings.enabled:
        return _opened(Mode.PAUSED, export_limit_w, "paused")
    if price is None:
        return _held("holding the target", settings, export_limit_w)
    value_c = price.export_value_c
    if value_c is None:
        return _held("the price of export is unknown: holding the target", settings, export_limit_w)
    if not value_c > export_threshold_c:  # this way round, a NaN holds the target too
        return _held(f"export {_worth(value_c)}: holding the target", settings, export_limit_w)
    if price.estimated and not opened:
        return _held("the price of export is not confirmed yet: holding the target", settings, export_limit_w)
    return _opened(Mode.OPEN, export_limit_w, f"export {_worth(value_c)}")


def _worth(value_c: float) -> str:
    return f"costs {-value_c:.1f} c/kWh" if value_c < 0.0 else f"earns {value_c:.1f} c/kWh"


def _held(reason: str, settings: Settings, export_limit_w: float | None) -> Goal:
    """Hold the target; one that asks for more export than the cap allows is cut to the cap."""
    least_w = float("-inf") if export_limit_w is None else 0.0 - export_limit_w
    return Goal(Mode.LIMIT, max(least_w, settings.target_point_w), reason)


def _opened(mode: Mode, export_limit_w: float | None, reason: str) -> Goal:
    if export_limit_w is None:
        return Goal(mode, None, f"{reason}: inverters released to their maximum")
    return Goal(mode, 0.0 - export_limit_w, f"{reason}: exporting up to {export_limit_w:g} W")
