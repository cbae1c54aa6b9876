"""Storage, relays and dry contacts as plain JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.api.values import age_s, number
from app.model import DryContact, EnsembleState, StorageBattery


def ensemble(state: EnsembleState, now_s: float | None) -> dict[str, Any]:
    """What the gateway last told; without its age where ``now_s`` is None, for what is sent as it changes."""
    age = {} if now_s is None else {"age_s": age_s(state.at_s, now_s)}
    return age | {
        "name": state.name,
        "fault": state.fault,
        "soc_pct": number(state.soc_pct),
        "power_w": number(state.power_w),
        "available_wh": number(state.available_wh),
        "capacity_wh": number(state.capacity_wh),
        "batteries": [_battery(one) for one in state.batteries],
        "storage_mode": state.storage_mode,
        "reserve_soc_pct": number(state.reserve_soc_pct),
        "charge_from_grid": state.charge_from_grid,
        "optimised_schedules": state.optimised_schedules,
        "grid": asdict(state.grid) if state.grid is not None else None,
        "dry_contacts": [_contact(one) for one in state.dry_contacts],
        "collar": asdict(state.collar) if state.collar is not None else None,
        "combiner": asdict(state.combiner) if state.combiner is not None else None,
    }


def _battery(one: StorageBattery) -> dict[str, Any]:
    return {
        "serial": one.serial,
        "kind": one.kind,
        "soc_pct": number(one.soc_pct),
        "power_w": number(one.power_w),
        "sleep": one.sleep,
        "sleep_min_soc_pct": number(one.sleep_min_soc_pct),
        "sleep_max_soc_pct": number(one.sleep_max_soc_pct),
    }


def _contact(one: DryContact) -> dict[str, Any]:
    settings = one.settings
    return {
        "id": one.id,
        "status": one.status,
        "settings": None
        if settings is None
        else asdict(settings)
        | {"soc_low_pct": number(settings.soc_low_pct), "soc_high_pct": number(settings.soc_high_pct)},
    }
