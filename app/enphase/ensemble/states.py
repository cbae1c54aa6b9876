"""From what pyenphase read to our state: it copies values out of documents unseen, so each is looked at. Pure."""

from __future__ import annotations

import math
from typing import Any

from app.model import (
    Combiner,
    DryContact,
    DryContactSettings,
    EnsembleState,
    GridRelay,
    MeterCollar,
    StorageBattery,
)

MOST_DEVICES = 100
MAX_TEXT = 40


def state_of(data: Any, name: str, at_s: float) -> EnsembleState:
    """The state in a `pyenphase.EnvoyData`; what is missing or makes no sense is None."""
    storage = data.tariff.storage_settings if data.tariff is not None else None
    total = data.battery_aggregate or data.encharge_aggregate
    batteries = (*_iq_batteries(data), *_ac_batteries(data))[:MOST_DEVICES]
    acb = data.acb_power
    soc = total.state_of_charge if total is not None else acb.state_of_charge if acb is not None else None
    return EnsembleState(
        name=name,
        at_s=at_s,
        soc_pct=_number(soc, 0, 100),
        power_w=_power_w(batteries, _negative(acb.power) if acb is not None else None),
        available_wh=_number(total.available_energy if total is not None else acb.charge_wh if acb else None, 0),
        capacity_wh=_number(total.max_available_capacity if total is not None else None, 0),
        batteries=batteries,
        storage_mode=_text(storage.mode) if storage is not None else None,
        reserve_soc_pct=_number(storage.reserved_soc, 0, 100) if storage is not None else None,
        charge_from_grid=_flag(storage.charge_from_grid) if storage is not None else None,
        optimised_schedules=_flag(storage.opt_schedules) if storage is not None else None,
        grid=_grid(data.enpower) if data.enpower is not None else None,
        dry_contacts=_dry_contacts(data),
        collar=_collar(data.collar) if data.collar is not None else None,
        combiner=_combiner(data.c6cc) if data.c6cc is not None else None,
    )


def _power_w(batteries: tuple[StorageBattery, ...], acb_w: float | None) -> float | None:
    """All of them together; ``acb_w`` is what the gateway tells of the AC Batteries, fresher than each one's report."""
    summed = [one for one in batteries if acb_w is None or one.kind == "iq"]
    powers = [acb_w, *(one.power_w for one in summed)]
    known = [power for power in powers if power is not None]
    return sum(known) if known else None


def _iq_batteries(data: Any) -> list[StorageBattery]:
    told, powers = data.encharge_inventory or {}, data.encharge_power or {}
    found = []
    for serial in [*told, *(one for one in powers if one not in told)][:MOST_DEVICES]:
        power = powers.get(serial)
        milliwatts = _negative(power.real_power_mw) if power is not None else None
        soc = power.soc if power is not None else told[serial].percent_full
        power_w = None if milliwatts is None else milliwatts / 1000.0
        found.append(StorageBattery(_text(serial) or "", "iq", _number(soc, 0, 100), power_w))
    return found


def _ac_batteries(data: Any) -> list[StorageBattery]:
    found = []
    for serial, one in list((data.acb_inventory or {}).items())[:MOST_DEVICES]:
        found.append(
            StorageBattery(
                _text(serial) or "",
                "ac",
                _number(one.percent_full, 0, 100),
                _negative(one.last_report_watts),
                sleep=_text(one.sleep_state),
                sleep_min_soc_pct=_number(one.sleep_min_soc, 0, 100),
                sleep_max_soc_pct=_number(one.sleep_max_soc, 0, 100),
            )
        )
    return found


def _dry_contacts(data: Any) -> tuple[DryContact, ...]:
    told, settings = data.dry_contact_status or {}, data.dry_contact_settings or {}
    ids = [*told, *(one for one in settings if one not in told)][:MOST_DEVICES]
    return tuple(
        DryContact(
            _text(id_) or "",
            _text(told[id_].status) if id_ in told else None,
            _settings(settings[id_]) if id_ in settings else None,
        )
        for id_ in ids
    )


def _settings(one: Any) -> DryContactSettings:
    return DryContactSettings(
        load_name=_text(one.load_name) or "",
        mode=_text(one.mode),
        soc_low_pct=_number(one.soc_low, 0, 100),
        soc_high_pct=_number(one.soc_high, 0, 100),
        grid_action=_text(one.grid_action),
        micro_grid_action=_text(one.micro_grid_action),
        generator_action=_text(one.generator_action),
        override=_flag(one.override),
    )


def _grid(one: Any) -> GridRelay:
    return GridRelay(_text(one.mains_admin_state), _text(one.mains_oper_state), _text(one.grid_mode))


def _collar(one: Any) -> MeterCollar:
    return MeterCollar(_text(one.mid_state), _text(one.grid_state), _text(one.collar_state), _flag(one.communicating))


def _combiner(one: Any) -> Combiner:
    return Combiner(_text(one.admin_state_str), _flag(one.communicating), _text(one.firmware_version))


def _negative(value: Any) -> float | None:
    """A power with our sign: theirs is positive while the battery gives."""
    number = _number(value)
    return None if number is None else 0.0 - number


def _number(value: Any, low: float = -math.inf, high: float = math.inf) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if known and low <= value <= high else None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(sign for sign in str(value)[:MAX_TEXT] if sign.isprintable())


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
