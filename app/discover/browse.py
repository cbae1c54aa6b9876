"""What devices announce by multicast DNS. The only place that knows zeroconf."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Any

from app.model import DeviceUnavailable

SERVICES = ("_shelly._tcp", "_opendtu._tcp", "_hwenergy._tcp", "_homewizard._tcp", "_esphomelib._tcp", "_http._tcp")
RESOLVE_S = 3.0  # for the address behind a name
MOST = 256  # names that are remembered


@dataclass(frozen=True, slots=True)
class Announced:
    """Somebody says that he is there. Nothing of it is proven, and any text may be in it."""

    service: str
    name: str
    address: str
    port: int
    properties: Mapping[str, str] = field(default_factory=dict)


async def browse(seconds: float, interface: IPv4Address | None) -> list[Announced]:
    """Everybody who announces himself within this time. Raises `DeviceUnavailable` where that cannot be heard."""
    try:
        from zeroconf import InterfaceChoice, IPVersion  # noqa: PLC0415 - nothing else needs it
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf  # noqa: PLC0415
    except ModuleNotFoundError:
        raise DeviceUnavailable(
            "devices that announce themselves are not found without zeroconf: pip install zeroconf"
        ) from None
    names: dict[tuple[str, str], None] = {}

    def heard(service_type: str, name: str, **_state: Any) -> None:
        if len(names) < MOST:
            names[service_type, name] = None

    choice = InterfaceChoice.All if interface is None else [str(interface)]
    try:
        zeroconf = AsyncZeroconf(interfaces=choice, ip_version=IPVersion.V4Only)
    except OSError as error:
        raise DeviceUnavailable(
            f"cannot listen for devices that announce themselves (mDNS): {error.strerror}"
        ) from None
    browser = AsyncServiceBrowser(zeroconf.zeroconf, [f"{one}.local." for one in SERVICES], handlers=[heard])
    try:
        await asyncio.sleep(seconds)
        found = await asyncio.gather(*(_resolve(zeroconf, *key) for key in list(names)))
    finally:
        await browser.async_cancel()
        await zeroconf.async_close()
    return [one for one in found if one is not None]


async def _resolve(zeroconf: Any, service_type: str, name: str) -> Announced | None:
    """Address, port and properties of a name; None: it does not tell them, or they cannot be those of a neighbour."""
    from zeroconf import Error  # noqa: PLC0415
    from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415

    try:
        info = AsyncServiceInfo(service_type, name)
        told = await info.async_request(zeroconf.zeroconf, 1000.0 * RESOLVE_S)
    except Error:  # a name that is none
        return None
    if not told or not info.port:
        return None
    near = [address for address in info.parsed_addresses() if is_near(address)]
    if not near:
        return None
    properties = {
        key.decode(errors="replace"): (value or b"").decode(errors="replace") for key, value in info.properties.items()
    }
    return Announced(
        service_type.removesuffix(".local."), name.removesuffix(f".{service_type}"), near[0], info.port, properties
    )


def is_near(address: str) -> bool:
    """Whether it is an address of a house: nobody is asked anywhere else because of an announcement."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return found.version == 4 and found.is_private and not found.is_multicast and not found.is_unspecified
