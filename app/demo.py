"""The demo: embedded broker, simulated devices and the unchanged controller, in one process."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.config import Config
from app.simulator.devices import FakeOpenDtu, FakeShelly
from app.simulator.fleet import fleet
from app.simulator.house import Energy, House, HouseConfig
from app.simulator.models import MODELS
from app.simulator.parameters import DtuConfig, SunConfig
from app.simulator.prices import FakePrices

LOCAL = "127.0.0.1"
DAY_S = 86_400.0
SEED = 10  # a house whose first kettle boils for two minutes only
EXPORT_LIMIT_W = 800.0  # so that the grid power shows where the price lets the sun out


async def demo(host: str, port: int, speed: float, seconds: float | None, data_dir: Path | None) -> int:
    """Run until ``seconds`` have passed (None: until Ctrl-C or SIGTERM), then say what happened; the exit code."""
    stop = asyncio.Event()
    with _signals(stop), tempfile.TemporaryDirectory(prefix="zero-export-demo-") as scratch:
        try:
            return await _run(host, port, speed, seconds, data_dir or Path(scratch), stop)
        except ModuleNotFoundError as error:
            if error.name != "amqtt":
                raise
            return _fail("the demo's MQTT broker is not installed: pip install '.[demo]' in the checkout")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _fail(f"port {port} is in use already: stop what uses it, or choose another one with --port")
            return _fail(f"the demo cannot start: {error}")


async def _run(host: str, port: int, speed: float, seconds: float | None, data_dir: Path, stop: asyncio.Event) -> int:
    from app.runtime import run  # noqa: PLC0415 - wires everything; nobody imports it to read this file
    from app.simulator.broker import embedded_broker  # noqa: PLC0415 - an optional dependency

    house = House(
        HouseConfig(seed=SEED, sun=SunConfig(speed=speed), dtu=DtuConfig(up_since_s=DAY_S), inverters=fleet(2))
    )

    def ready(_address: str) -> None:
        house.energy = Energy()  # what happened before the controller started is not its doing
        _say(f"Zero export demo: open {_url(host, port)} (Ctrl-C stops)")
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, stop.set)

    async with (
        embedded_broker() as broker_port,
        FakeShelly(house, "pro3em") as shelly,
        FakeOpenDtu(house, LOCAL, broker_port),
        FakePrices(house.config.sun) as prices,
    ):
        document = _config(house, host, port, broker_port, shelly.host, data_dir)
        config = Config.model_validate(document | _priced(prices.url))
        code = await run(config, stop=stop, on_ready=ready)
        energy = house.energy
    _say(summary(energy))
    return code


def _config(house: House, host: str, port: int, broker_port: int, meter: str, data_dir: Path) -> dict[str, Any]:
    """What a user of these devices would write into `config.yaml`."""
    return {
        "site": "demo",
        "data_dir": str(data_dir),
        "mqtt": {"host": LOCAL, "port": broker_port},
        "meter": {"type": "shelly", "host": meter},
        "inverters": [
            {"serial": one.serial, "name": one.name, "max_watt": MODELS[one.model].rated_w}
            for one in house.config.inverters
        ],
        "http": {"host": host, "port": port, "public_url": _url(host, port)},
    }


def _priced(url: str) -> dict[str, Any]:
    """What a user with a dynamic tariff would add."""
    return {
        "control": {"export_limit_w": EXPORT_LIMIT_W},
        "price": {
            "type": "http_json",
            "url": url,
            "interval_s": 10,
            "currency": "EUR",
            "slots": "$.prices[*]",
            "start": "$.start",
            "end": "$.end",
            "export_value": "$.export_value_c",
            "import_price": "$.import_price_c",
            "estimated": "$.estimated",
        },
    }


def summary(energy: Energy) -> str:
    """What the house did, in one sentence."""
    used = 100.0 * energy.pv_wh / energy.available_wh if energy.available_wh else 0.0
    return (
        f"{energy.seconds / 60.0:.1f} minutes: load {energy.load_wh:.0f} Wh, "
        f"sun {energy.available_wh:.0f} Wh available and {energy.pv_wh:.0f} Wh used ({used:.0f} %), "
        f"exported {energy.export_wh:.1f} Wh ({energy.unlimited_export_wh:.1f} Wh without limiting), "
        f"imported {energy.import_wh:.0f} Wh ({energy.unlimited_import_wh:.0f} Wh without limiting)."
    )


def _url(host: str, port: int) -> str:
    name = LOCAL if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - a listening address is no destination
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop in order."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1
