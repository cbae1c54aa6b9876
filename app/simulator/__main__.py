"""``python -m app.simulator``: the simulated devices alone, for a controller that runs elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from app.simulator.devices import FakeOpenDtu, FakeShelly
from app.simulator.fleet import MOST, fleet
from app.simulator.house import House, HouseConfig
from app.simulator.parameters import DtuConfig, SunConfig
from app.simulator.prices import FakePrices
from app.simulator.shelly_bodies import KINDS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line and the environment ask for."""

    mqtt: tuple[str, int]
    http: tuple[str, int]
    prices: tuple[str, int] | None
    username: str
    password: str
    meter: str
    house: HouseConfig


def options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Parse; what is wrong ends the process with a sentence and exit code 2."""
    parser = _parser(environment)
    given = parser.parse_args(arguments)
    if given.speed <= 0 or given.dead_time < 0:
        parser.error("--speed must be above 0, --dead-time not below")
    try:
        inverters = fleet(given.inverters, given.dead_time)
    except ValueError as error:
        parser.error(f"--inverters: {error}")
    return Options(
        mqtt=given.mqtt,
        http=given.http,
        prices=given.prices,
        username=given.username,
        password=environment.get(given.password_env, ""),
        meter=given.meter,
        house=HouseConfig(
            seed=given.seed,
            sun=SunConfig(speed=given.speed),
            dtu=DtuConfig(up_since_s=86_400.0),
            inverters=inverters,
        ),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    broker = f"{environment.get('MQTT_BROKER') or 'localhost'}:{environment.get('MQTT_PORT') or '1883'}"
    parser = argparse.ArgumentParser(
        prog="python -m app.simulator",
        description="A house with sun on its roof, without the house: an OpenDTU that speaks MQTT and a Shelly energy "
        "meter that answers HTTP, both showing the same simulated load, sun and inverters. "
        "Point the controller's mqtt, meter and price sections at them.",
        epilog="example: python -m app.simulator --mqtt localhost:1883 --http 127.0.0.1:8081 --inverters 2",
    )
    add = parser.add_argument
    add("--mqtt", type=_address, default=broker, metavar="HOST:PORT", help="broker to use (default: %(default)s)")
    add("--username", default=environment.get("MQTT_USERNAME", ""), help="at the broker (default: MQTT_USERNAME)")
    add("--password-env", default="MQTT_PASSWORD", metavar="VAR", help="variable with its password (%(default)s)")
    add("--http", type=_address, default="127.0.0.1:8081", metavar="HOST:PORT", help="where the meter is (%(default)s)")
    add(
        "--prices",
        type=_address,
        metavar="HOST:PORT",
        help="serve a price day as JSON there, at /prices (default: not)",
    )
    add("--meter", choices=sorted(KINDS), default="pro3em", help="which Shelly it is (default: %(default)s)")
    add("--inverters", type=int, default=2, metavar="N", help=f"1 to {MOST} inverters behind OpenDTU (%(default)s)")
    add("--dead-time", type=float, default=1.0, metavar="S", help="seconds from limit to effect; real: 1, 3, 10")
    add("--speed", type=float, default=1.0, metavar="N", help="how much faster the sun's day passes")
    add("--seed", type=int, default=1, help="equal seeds give equal houses (default: %(default)s)")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, like localhost:1883")
    return host, int(port)


async def serve(given: Options, stop: asyncio.Event) -> None:
    """Serve devices and prices until ``stop`` is set. Raises OSError when a port is taken."""
    house = House(given.house)
    host, port = given.http
    dtu = FakeOpenDtu(house, *given.mqtt, username=given.username, password=given.password)
    async with AsyncExitStack() as stack:
        shelly = await stack.enter_async_context(FakeShelly(house, given.meter, host=host, port=port))
        log.info("Shelly %s answers on http://%s", given.meter, shelly.host)
        if given.prices is not None:
            host, port = given.prices
            await stack.enter_async_context(FakePrices(house.config.sun, host=host, port=port))
        running = dtu.start()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if running.done():
            running.result()
        await dtu.close()


async def _main(given: Options) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        await serve(given, stop)
    except OSError as error:
        log.error("an address is in use (%s): choose another one with --http or --prices", error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(asyncio.run(_main(options(sys.argv[1:], os.environ))))
