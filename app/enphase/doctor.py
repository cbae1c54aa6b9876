"""What `doctor` says of an Enphase gateway, whoever speaks to it."""

from __future__ import annotations

import time

import aiohttp

from app.checks import Check
from app.enphase.gateway import Gateway
from app.enphase.token import day
from app.model import DeviceAuthError, DeviceDataError, DeviceError

DAY_S = 86_400.0


async def examine_gateway(gateway: Gateway, name: str = "inverter") -> list[Check]:
    """Who it is, and whether it lets us in; under the ``name`` of the device that is examined. It changes nothing."""
    try:
        about = await gateway.about()
    except DeviceError as error:
        step = "Check host in config.yaml, and whether the gateway is on: once a day it is away for a while."
        return [Check(name, "fail", str(error), step)]
    detail = f"{gateway.name}: gateway {about.serial}, firmware {about.software}"
    values = (("serial", about.serial), ("firmware", about.software))
    if about.wants_token is not gateway.has_token:
        step = (
            "Firmware 7 and later takes no password: give token, token_file or an Enlighten account."
            if about.wants_token
            else "Firmware before 7 knows no tokens: give username and password."
        )
        return [Check(name, "fail", detail, step, values)]
    return [Check(name, "ok", detail, values=values), await _login(gateway, name, about.serial)]


async def _login(gateway: Gateway, name: str, serial: str) -> Check:
    try:
        await gateway.get_text("/ivp/meters")
    except DeviceAuthError as error:
        step = "docs/enphase.md says which login it takes, and where it comes from."
        if gateway.made_for not in (None, serial):
            step = f"The token is made for the gateway {gateway.made_for}, and this is {serial}: make one for this."
        return Check(name, "fail", str(error), step)
    except DeviceDataError:
        pass  # it has no meters, and has let us in
    except DeviceError as error:
        return Check(name, "fail", str(error), "Run this again in a minute: it answers, but not to what needs a login.")
    if not gateway.has_token:
        return Check(name, "ok", f"{gateway.name}: the password of {gateway.login.username} is right")
    return await _token(gateway, name)


async def _token(gateway: Gateway, name: str) -> Check:
    role = gateway.role or "unknown"
    detail = f"{gateway.name}: lets us in as {role}"
    values: tuple[tuple[str, object], ...] = (("role", role),)
    until_s = gateway.token_expires_utc_s
    if until_s is not None:
        days = (until_s - time.time()) / DAY_S
        values += (("token_days", round(days, 1)),)
        detail += f" until {day(until_s)} ({days:.1f} days)"
    ssl = await gateway.ssl()
    if not isinstance(ssl, aiohttp.Fingerprint):
        step = "certificate: any believes whoever answers there: take it out, so that the certificate is remembered."
        return Check(name, "warn", f"{detail}; its certificate is not looked at", step, values)
    detail += f"; its certificate is the one of the first contact ({ssl.fingerprint.hex()[:16]}…)"
    notice = gateway.expiry_notice
    if notice is not None:
        return Check(name, "warn", detail, f"{notice[0].upper()}{notice[1:]}.", values)
    return Check(name, "ok", detail, values=values)
