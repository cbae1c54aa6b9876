"""What `doctor` says of an Enphase system: who it is, what it gives, which limits it takes, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.checks import Check, until
from app.inverters.base import EXAMINE_S
from app.inverters.enphase.bydpel import DpelControl
from app.inverters.enphase.byprofile import ProfileControl
from app.inverters.enphase.config import BATTERY_ALLOWANCE_W
from app.inverters.enphase.profiles import Profiles
from app.inverters.enphase.quirks import SHAPE_QUIRK
from app.model import DeviceAuthError, DeviceError

if TYPE_CHECKING:
    from app.inverters.enphase.driver import Enphase

INSTALLER = (
    "Log in with an account that has installer rights (ask Enphase's support for DIY installer access), or give an "
    "installer's token; before firmware 7, username: installer and its own password."
)
COLLAPSE = (
    "A battery of another make (Tesla Powerwall) that regulates to zero as well is faster than the sun is dimmed: the "
    "production collapses to 0 W."
)


async def examine(driver: Enphase) -> list[Check]:
    """All findings, the gateway itself first; without it there are no others."""
    try:
        about = await driver.link.about()
    except DeviceError as error:
        return [Check("inverter", "fail", str(error), "Check host, and that the gateway is in this network.")]
    detail = f"{driver.link.name}: serial {about.serial}, firmware {about.software}"
    checks = [Check("inverter", "ok", detail)]
    if about.serial != driver.config.serial:
        step = f'Put serial: "{about.serial}" into config.yaml, or correct host.'
        checks = [Check("inverter", "fail", f"{detail}; configured is {driver.config.serial}", step)]
    checks.append(await _production(driver))
    checks += await _rule(driver)
    checks += _battery(driver)
    if driver.left is not None and (note := driver.states()[0].note):
        checks.append(
            Check("inverter", "warn", note, f"Put control: {driver.left.control} back, release it, then change.")
        )
    return checks


async def _production(driver: Enphase) -> Check:
    await until(lambda: driver.states()[0].power_at_s is not None, EXAMINE_S)
    state = driver.states()[0]
    if state.power_at_s is None or state.ac.power_w is None:
        fault = driver.gateway().fault or driver.last_trouble or f"no production was told within {EXAMINE_S:.0f} s"
        return Check("inverter", "fail", fault, "Check host and login of this inverter in config.yaml.")
    values = (("serial", state.serial), ("power_w", state.ac.power_w), ("limit_w", None))
    detail = f"{state.name} ({state.serial}): {state.ac.power_w:.1f} W, by {driver.meter.source}"
    if driver.meter.slowest_s:
        step = "Without clamps the gateway asks its microinverters every 5 to 15 min: set reaction_s: 1200."
        return Check("inverter", "warn", detail, step, values)
    return Check("inverter", "ok", detail, values=values)


async def _rule(driver: Enphase) -> list[Check]:
    """Whether the way that is configured works here."""
    control, way = driver.control, f"control: {driver.config.control}"
    try:
        shown = await driver.rule.look()
    except DeviceAuthError as error:
        return [Check("inverter", "fail", f"{way}: {error}", INSTALLER)]
    except DeviceError as error:
        return [
            Check("inverter", "fail", f"{way}: {error}", "docs/enphase.md tells which firmware takes which control.")
        ]
    checks = [Check("inverter", "ok", f"{way}: it shows {shown or 'none of our rules'}")]
    if isinstance(control, ProfileControl):
        checks = [_profiles(control.profiles, way)] if control.profiles is not None else []
    elif isinstance(control, DpelControl):
        checks += _habits(control)
    problem = control.problem()
    if problem is not None:
        step = "Copy the names as they are listed, double spaces and version included."
        if isinstance(control, DpelControl):
            step = "A limit of somebody else's is not lifted; docs/enphase.md says more."
        checks.append(Check("inverter", "fail", problem, step))
    if driver.config.control == "production":
        step = "Prefer dpel or grid_profile: it switches all off, and Enphase's cloud switches it on again every hour."
        checks.append(Check("inverter", "warn", f"{way} is the last resort", step))
    if driver.link.role == "owner":
        checks.append(
            Check("inverter", "warn", "the token is an owner's: reading works, limits may be refused", INSTALLER)
        )
    return checks


def _profiles(found: Profiles, way: str) -> Check:
    marked = [f"{'* ' if name == found.selected else '- '}{name!r}" for name in found.known]
    lines = "".join(f"\n        {line}" for line in marked[:60])
    moving = "; the gateway is rewriting its profiles just now" if found.migrating else ""
    detail = f"{way}: {len(found.known)} grid profiles, * is selected{moving}{lines}"
    return Check("inverter", "ok" if found.known else "fail", detail, values=(("selected_profile", found.selected),))


def _habits(control: DpelControl) -> list[Check]:
    checks = []
    limit = control.law.limit_in(control.document) if control.document is not None else None
    if limit is not None:
        ours = "given by us" if control.past.found is not None else "not ours, so it is the normal state and stays"
        checks.append(Check("inverter", "ok", f"{limit}, {ours}"))
    for told in control.habits.told:
        step = "It is reckoned with; the keys inverted, resend_s and reaction_s say otherwise."
        checks.append(Check("inverter", "warn", f"of this firmware it is told that {told}", step))
    settings = (control.document or {}).get("dynamic_pel_settings", {})
    if "installed_capacity" in settings:
        text = f"{SHAPE_QUIRK.told} ({SHAPE_QUIRK.source}); dynamic_limiting: false keeps it as it is"
        checks.append(Check("inverter", "ok", text))
    return checks


def _battery(driver: Enphase) -> list[Check]:
    if not driver.battery:
        return []
    config = driver.config
    whose = "as configured" if config.battery else "as the gateway shows"
    if config.control == "grid_profile":
        step = (
            "Ask Enphase for a zero profile that allows 200 W, or reserve the battery while export is limited: "
            "price.on_change.command can do that, or the battery actions of docs/enphase.md."
        )
        return [Check("inverter", "warn", f"there is a battery ({whose}). {COLLAPSE}", step)]
    if config.control == "dpel" and driver.allowance_w < BATTERY_ALLOWANCE_W / 2.0:
        step = f"Set allowance_w: {BATTERY_ALLOWANCE_W:g}, or leave the key out."
        return [Check("inverter", "warn", f"there is a battery ({whose}). {COLLAPSE}", step)]
    detail = f"there is a battery ({whose}): no less than {driver.allowance_w:g} W of export is asked for"
    return [Check("inverter", "ok", detail)]
