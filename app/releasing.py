"""`zero-export release`: opens the inverters again, with a configuration or, for a GoodWe, by its address alone."""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Callable
from typing import Any

import aiohttp
from pydantic import ValidationError

from app import inverters
from app.access import Access
from app.beside import HTTP_WAIT_S, controller_online, controller_url, get_object
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import running, until
from app.config import Config
from app.control.delivery import acknowledged
from app.fields import valid_host
from app.inverters.goodwe import GoodWeConfig
from app.inverters.goodwe.opening import open_by_hand
from app.inverters.goodwe.profiles import PROFILES
from app.mistakes import sentence
from app.model import DeviceError, InverterState
from app.outbound import new_session

TEXT = "open the inverters again: all enabled ones of the configuration, or one GoodWe by its address alone"
EPILOG = """\
zero-export release                        what a running controller would leave when it is paused
zero-export release --value 100            GoodWe: all of its rated power, whatever was found there before us
zero-export release --host 192.168.1.10    a GoodWe; no configuration is read
"""
BROKER_WAIT_S = 6.0
ANSWER_S = 10.0  # OpenDTU shows within about 5 s what an inverter has acknowledged
Say = Callable[[str], None]


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of the command, but for ``--config``."""
    parser.add_argument(
        "--value", type=_percent, metavar="PCT", help="so much of what each can give (default: as before us)"
    )
    parser.add_argument("--force", action="store_true", help="even if a running controller will take it back")
    host = parser.add_argument_group("without a configuration, for a GoodWe")
    host.add_argument("--host", type=_host, help="its address")
    host.add_argument("--port", type=int, metavar="P", help="default: 502")
    host.add_argument(
        "--unit", type=int, default=GoodWeConfig.model_fields["unit"].default, help="default: %(default)s"
    )
    host.add_argument("--profile", choices=list(PROFILES), default="dns_seed", help="default: %(default)s")
    host.add_argument("--control", choices=["active_pct", "pct", "watts"], help="default: that of the profile")
    host.add_argument("--max-watt", type=float, metavar="W", help="its rated power, where the register counts watts")


def by_host(options: argparse.Namespace) -> GoodWeConfig:
    """The inverter that the options name. Raises `ValueError` with a sentence."""
    host = options.host if options.port is None else f"{options.host.partition(':')[0]}:{options.port}"
    given: dict[str, Any] = {
        "type": "goodwe",
        "name": "by hand",
        "host": host,
        "unit": options.unit,
        "profile": options.profile,
        "control": options.control,
        "max_watt": 5000.0 if options.max_watt is None else options.max_watt,
    }
    try:
        config = GoodWeConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "".join(f"--{part}: ".replace("_", "-") for part in first["loc"])
        raise ValueError(option + sentence(first, {})) from None
    if config.scale.limits[0].unit == "w" and options.max_watt is None and (options.value or 100.0) < 100.0:
        raise ValueError(f"--value {options.value:g}: profile {config.profile} counts watts, so give --max-watt, too")
    return config


async def release_host(config: GoodWeConfig, options: argparse.Namespace, say: Say) -> bool:
    """Open one GoodWe; whether that was done."""
    try:
        say(await open_by_hand(config, options.value or 100.0, rated=options.max_watt is not None))
    except DeviceError as error:
        say(f"not released: {error}")
        return False
    return True


async def release(config: Config, share_pct: float | None, say: Say, *, force: bool) -> bool:
    """Open all enabled inverters; whether that was done with every one."""
    trouble = None if force else await _in_the_way(config)
    if trouble is not None:
        say(f"not released: {trouble}")
        return False
    serials = [item.id for item in config.inverters if item.enabled]
    name = f"zero-export-{config.site}-release"
    async with new_session() as session:
        own = Broker(Address.of(config.mqtt), name)
        brokers = Brokers(own, config.mqtt, name)
        drivers = inverters.build(config.inverters, config.opendtu, Access(session, brokers.at, config.data_dir))
        carriers = list(dict.fromkeys(driver.broker for driver in drivers if driver.broker is not None))
        async with running(*(broker.run() for broker in carriers), *(driver.run() for driver in drivers)):
            await until(lambda: all(broker.connected or broker.fault for broker in carriers), BROKER_WAIT_S)
            opened = [
                await _open(driver, state.serial, share_pct, say)
                for driver in drivers
                for state in driver.states()
                if state.serial in serials
            ]
    if not serials:
        say("not released: every inverter is disabled in the configuration")
    return bool(opened) and all(opened)


async def _in_the_way(config: Config) -> str | None:
    """Why a release would not last; None where nobody would take it back."""
    url = await controller_url(config)
    if url is not None:
        looking = {"Authorization": f"Bearer {config.http.read_token}"} if config.http.read_token else {}
        async with aiohttp.ClientSession(headers=looking, timeout=aiohttp.ClientTimeout(total=HTTP_WAIT_S)) as session:
            status = await get_object(session, f"{url}/api/status") or {}
        if status.get("mode") == "paused" or status.get("dry_run") is True:
            return None
        return f"a controller is running and would take it back ({url}): pause or stop it first, or use --force"
    if "mqtt" in config.model_fields_set and await controller_online(config):
        return "a controller is connected to the broker and would take it back: pause or stop it first, or use --force"
    return None


async def _open(driver: inverters.InverterDriver, serial: str, share_pct: float | None, say: Say) -> bool:
    """One inverter: open it, and wait until it shows that."""

    def state() -> InverterState:
        return next(one for one in driver.states() if one.serial == serial)

    broker = driver.broker
    if broker is not None and not broker.connected:
        say(f"{state().name}: not released: {broker.fault or f'no answer from the MQTT broker at {broker.address}'}")
        return False
    try:
        sent = await driver.release(serial, share_pct)
    except DeviceError as error:
        say(f"{state().name}: not released: {error}")
        return False
    if not sent:
        say(f"{state().name}: not released: {state().note or 'it does not take it; see zero-export doctor inverter'}")
        return False
    rule = state().rule
    if rule is not None:
        say(f"{state().name}: {rule.accepted or 'released'}")
        return True
    await until(lambda: acknowledged(state()), ANSWER_S)
    shown = "as it shows itself" if acknowledged(state()) else "not acknowledged so far"
    say(f"{state().name}: open to {state().commanded_w or 0.0:.0f} W, {shown}")
    return True


def _percent(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 1.0 <= number <= 100.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: use 1 to 100 percent")
    return number


def _host(text: str) -> str:
    try:
        return valid_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(config: Config, options: argparse.Namespace, say: Say) -> bool:
    """`release` with a configuration."""
    return asyncio.run(release(config, options.value, say, force=options.force))


def run_host(config: GoodWeConfig, options: argparse.Namespace, say: Say) -> bool:
    """`release` by an address."""
    return asyncio.run(release_host(config, options, say))
