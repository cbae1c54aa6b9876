"""Whether an action can be done, whether it is in force, and if not, what to think of that. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from app.enphase.ensemble.actions import (
    AcbSleep,
    AcbWake,
    Automatic,
    ChargeFromGrid,
    DryContactSet,
    DryContactSwitch,
    Grid,
    Reserve,
    StorageMode,
    is_tariff,
)
from app.model import DryContact, EnsembleState, StorageBattery

SETTLED_S = 10.0  # relays and tariff show a change after some seconds
OVERWRITTEN_S = 150.0  # the cloud pushes its own tariff within one or two minutes
ACB_SETTLED_S = 1800.0  # AC Batteries report every 10 to 15 minutes


def objection(action: Automatic | Grid, state: EnsembleState) -> str | None:
    """Why the gateway cannot do it, with what it does know; None where it can."""
    match action:
        case StorageMode() | Reserve() | ChargeFromGrid():
            if state.storage_mode is None and state.reserve_soc_pct is None and state.charge_from_grid is None:
                return (
                    "the gateway tells no storage settings, so it has no IQ Batteries or its firmware is older than 5"
                )
        case DryContactSwitch(id=id_) | DryContactSet(id=id_):
            contact = contact_of(state, id_)
            if contact is None:
                return _unknown("dry contact", id_, (one.id for one in state.dry_contacts))
            if isinstance(action, DryContactSet):
                return _incomplete(action, contact)
        case AcbSleep(serial=serial) | AcbWake(serial=serial):
            if battery_of(state, serial) is None:
                return _unknown("AC Battery", serial, (one.serial for one in state.batteries if one.kind == "ac"))
        case Grid():
            if state.grid is None:
                return "the gateway has no IQ System Controller, so there is no grid relay to move"
    return None


def in_force(action: Automatic | Grid, state: EnsembleState) -> bool | None:
    """Whether the gateway shows it; None where it does not tell."""
    match action:
        case StorageMode():
            if state.storage_mode == action.mode and action.disable_optimized_schedules:
                return not state.optimised_schedules
            return _same(action.mode, state.storage_mode)
        case Reserve():
            return _same(action.soc_pct, state.reserve_soc_pct)
        case ChargeFromGrid():
            return _same(action.on, state.charge_from_grid)
        case DryContactSwitch():
            contact = contact_of(state, action.id)
            return _same(action.state, contact.status if contact else None)
        case DryContactSet():
            contact = contact_of(state, action.id)
            if contact is None or contact.settings is None:
                return None
            return all(getattr(contact.settings, key) == value for key, value in action.settings.given.items())
        case AcbSleep() | AcbWake():
            battery = battery_of(state, action.serial)
            return _sleeps(action, battery) if battery is not None and battery.sleep is not None else None
        case Grid():
            return _same("closed" if action.state == "on" else "open", state.grid.admin_state if state.grid else None)


def complaint(action: Automatic | Grid, state: EnsembleState, *, was_in_force: bool) -> str | None:
    """What is wrong with an action that was written a while ago; None where it is in force."""
    ignored = isinstance(action, StorageMode) and state.optimised_schedules
    shown = in_force(action, state)
    if ignored:
        return (
            f"{action} was written, but optimised schedules are on: the gateway accepts the mode and ignores it; "
            "the batteries follow Enphase's schedule."
        )
    if shown:
        return None
    if shown is None:
        return f"{action} was written, and the gateway does not tell whether it is in force."
    if was_in_force and is_tariff(action):
        return (
            f"Enlighten has overwritten what was set here: {action} is not in force any more, but {now(action, state)}."
        )
    if was_in_force:
        return f"{action} was in force and is not any more: somebody has changed it to {now(action, state)}."
    return f"The gateway took {action} without a word and does not do it: it still shows {now(action, state)}."


def advice(action: Automatic | Grid, state: EnsembleState) -> str:
    """What somebody can do about a complaint."""
    if isinstance(action, StorageMode) and state.optimised_schedules:
        return "Set the mode again with disable_optimized_schedules, or switch savings optimisation off in Enlighten."
    if is_tariff(action):
        return (
            "Set it in the Enphase app, which wins in the end; or ask again for what the gateway has now, to accept it."
        )
    return "Look at the device in the Enphase app; ask again for what you want, or for what it shows, to accept that."


def checks_s(action: Automatic | Grid) -> tuple[float, ...]:
    """How long after a write the gateway is asked whether it has kept it."""
    return (ACB_SETTLED_S,) if isinstance(action, AcbSleep | AcbWake) else (SETTLED_S, OVERWRITTEN_S)


def now(action: Automatic | Grid, state: EnsembleState) -> str:
    """What the gateway shows of the thing that an action sets."""
    match action:
        case StorageMode():
            return f"mode {state.storage_mode}"
        case Reserve():
            return f"reserve {_number(state.reserve_soc_pct)} %"
        case ChargeFromGrid():
            return f"charge from grid {'on' if state.charge_from_grid else 'off'}"
        case Grid():
            return f"the grid relay {state.grid.admin_state if state.grid else None}"
        case DryContactSwitch():
            contact = contact_of(state, action.id)
            return f"{contact.status if contact else None}"
        case DryContactSet():
            contact = contact_of(state, action.id)
            settings = contact.settings if contact else None
            return ", ".join(f"{key} {getattr(settings, key, None)}" for key in action.settings.given)
        case AcbSleep() | AcbWake():
            battery = battery_of(state, action.serial)
            return f"{battery.sleep if battery else None}"


def contact_of(state: EnsembleState, id_: str) -> DryContact | None:
    """A dry contact by its id."""
    return next((one for one in state.dry_contacts if one.id == id_), None)


def battery_of(state: EnsembleState, serial: str) -> StorageBattery | None:
    """An AC Battery by its serial number."""
    return next((one for one in state.batteries if one.kind == "ac" and one.serial == serial), None)


def _same(wanted: object, shown: object) -> bool | None:
    return None if shown is None else wanted == shown


def _sleeps(action: AcbSleep | AcbWake, battery: StorageBattery) -> bool:
    asleep = battery.sleep in ("asleep", "going_to_sleep")
    if isinstance(action, AcbWake):
        return not asleep
    return asleep and (battery.sleep_min_soc_pct, battery.sleep_max_soc_pct) == (action.min_soc_pct, action.max_soc_pct)


def _incomplete(action: DryContactSet, contact: DryContact) -> str | None:
    settings, changes = contact.settings, action.settings
    if settings is None:
        return (
            f"the settings of dry contact {contact.id} could not be read, so they cannot be sent whole, and an "
            "incomplete set may crash the gateway: look at them in the Enphase app"
        )
    low = settings.soc_low_pct if changes.soc_low_pct is None else changes.soc_low_pct
    high = settings.soc_high_pct if changes.soc_high_pct is None else changes.soc_high_pct
    if low is not None and high is not None and low >= high:
        return f"soc_low_pct would be {low:g} and soc_high_pct {high:g}: set both so that low is below high"
    return None


def _unknown(what: str, given: str, known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    return f"{what} {given!r} is not there: " + (f"use one of {names}" if names else "the gateway has none")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"
