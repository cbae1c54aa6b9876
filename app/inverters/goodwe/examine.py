"""`doctor inverter` for a GoodWe: connect, identify, read the registers, and say which profile fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.checks import Check, until
from app.inverters.base import EXAMINE_S, examined
from app.inverters.goodwe.profiles import PROFILES, QUIRKS, Profile, Register
from app.model import DeviceError, DeviceUnavailable

if TYPE_CHECKING:
    from app.inverters.goodwe.driver import GoodWe

STEP_TEST = "zero-export doctor inverter --step-test"


@dataclass(frozen=True, slots=True)
class Fit:
    """What the registers of one profile and control hold; ``refused``: why they cannot be read."""

    name: str
    text: str
    refused: str | None = None


async def examine(driver: GoodWe) -> list[Check]:
    """The findings, in the order in which they matter. It reads and changes nothing."""
    await until(lambda: driver.tried > 0, EXAMINE_S)
    if not driver.reachable:
        fault = driver.fault or f"the GoodWe at {driver.config.host} has not answered in {EXAMINE_S:.0f} s"
        step = "By night it sleeps; by day check host and unit, and that Modbus TCP is switched on in its dongle."
        return [Check("inverter", "fail", fault, step)]
    checks = [_identified(driver), *await _registers(driver)]
    found_w = driver.limiter.found_w
    if found_w is not None:
        text = f"a limit of {found_w:.0f} W was there before us; no higher one is written"
        step = "Where it is only a leftover: zero-export release --value 100, or found_limit: ignore."
        checks.append(Check("inverter", "warn", text, step, (("found_w", found_w),)))
    if not driver.limiter.proof.proven and all(check.status != "fail" for check in checks):
        text = "no power has proven yet that these registers limit it"
        checks.append(Check("inverter", "warn", text, f"By day, with a calm house: {STEP_TEST}."))
    [state] = driver.states()
    return [*checks, examined(state, "the GoodWe", "Check host and unit.")]


def _identified(driver: GoodWe) -> Check:
    config, found, meter = driver.config, driver.identity, driver.own_meter
    if found.model is None and found.serial is None:
        return Check(
            "inverter", "warn", f"{config.host} answers, and does not tell what it is", "Check unit and profile."
        )
    text = f"{config.host} is {found.model or 'a GoodWe'}, serial number {found.serial or 'unknown'}"
    if meter.connected:
        text += f", with a meter of its own ({meter.power_w or 0.0:.0f} W as it counts)"
    values = (("model", found.model), ("serial", found.serial), ("own_meter_w", meter.power_w))
    if config.serial and found.serial is not None and config.serial.lower() != found.serial.lower():
        step = f"config.yaml says {config.serial}: correct serial, or host and unit."
        return Check("inverter", "warn", text, step, values)
    return Check("inverter", "ok", text, values=values)


async def _registers(driver: GoodWe) -> list[Check]:
    config = driver.config
    try:
        mine = await _fit(driver, config.known, config.scale.registers)
        others = [
            await _fit(driver, profile, (profile.switch, *limits), control)
            for profile in PROFILES.values()
            for control, limits in profile.limits.items()
            if (profile.name, control) != (config.profile, config.scale.control)
        ]
    except DeviceUnavailable as error:
        return [Check("inverter", "fail", str(error), "Try again in a minute.")]
    fitting = [other.name for other in others if other.refused is None]
    also = f"registers of {', '.join(fitting)} answer" if fitting else "no other profile's registers answer either"
    if mine.refused is not None:
        step = f"Set profile and control to what answers: {', '.join(fitting)}." if fitting else "Check unit and model."
        return [Check("inverter", "fail", f"profile {config.profile} does not fit: {mine.refused}; {also}", step)]
    told = "; ".join(f"{quirk}: {QUIRKS[quirk]}" for quirk in config.known.quirks)
    text = f"profile {config.profile}: {mine.text}"
    return [Check("inverter", "ok", f"{text}; also {also}" if fitting else text, values=(("quirks", told),))]


async def _fit(driver: GoodWe, profile: Profile, registers: tuple[Register, ...], control: str = "") -> Fit:
    """Raises `DeviceUnavailable`; a register that is refused is a finding."""
    name = f"profile: {profile.name}, control: {control}"
    try:
        held = await driver.device.held(registers)
    except DeviceUnavailable:
        raise
    except DeviceError as error:
        return Fit(name, "", str(error))
    shown = ", ".join(
        f"register {one.address} ({one.unit}, {one.verified}) holds {held[one.address]}" for one in registers
    )
    return Fit(name, shown)
