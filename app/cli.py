"""The command line: ``zero-export …`` or ``python -m app …``."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from app import exporting, logs, releasing, service
from app.config import Config, ConfigError, RecorderConfig, load, schema
from app.dotenv import environment_for
from app.enphase.ensemble import command as ensemble_command
from app.fields import valid_host
from app.model import DeviceError
from app.redact import Redactor, secrets_of
from app.simulator import options as simulation

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it

OK, FAILURE, BAD_CONFIG = 0, 1, 2

EPILOG = """\
start here:
  zero-export demo                  the whole system with a simulated house; no hardware, no other server
  zero-export discover              which meters and OpenDTUs are there? the lines for config.yaml
  zero-export check                 is config.yaml right? every mistake at once, with its line
  zero-export doctor                does each real device answer? what to do where it does not
  zero-export doctor inverter --step-test   how does each inverter react? small steps on the real system
  zero-export run --dry-run         compute, record and show everything, command nothing
  zero-export run                   regulate
  zero-export service install       have systemd run it, without Docker
  zero-export export --from 7d      what was recorded, as CSV
  zero-export release               open the inverters again

exit codes: 0 ok, 1 failure, 2 the configuration is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    except KeyboardInterrupt:
        return FAILURE
    except BrokenPipeError:
        sys.stderr.close()
        return FAILURE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zero-export",
        description="Caps solar inverters at what the house uses, so that nothing is exported.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_running(commands)
    _add_trying(commands)
    _add_finding(commands)
    _add_law(commands)
    _add_keeping(commands)
    return parser


def _add_running(commands: Subparsers) -> None:
    run = _command(commands, "run", _run, "regulate (or watch, with --dry-run) until stopped")
    run.add_argument("--dry-run", action="store_true", help="compute, record and show, and never command an inverter")
    run.add_argument("--record", action="store_true", help="keep every tick in data_dir/ticks, for replay")

    demo = commands.add_parser("demo", help="the whole system with a simulated house behind the real protocols")
    demo.set_defaults(command=_demo)
    demo.add_argument("--host", default="127.0.0.1", help="address of the page (default: this machine only)")
    demo.add_argument("--port", type=_port, default=8080, help="port of the page (default: 8080)")
    demo.add_argument(
        "--speed", type=_above_zero, default=1.0, metavar="N", help="the sun's day passes N times faster (default: 1)"
    )
    demo.add_argument(
        "--seconds", type=_above_zero, metavar="N", help="stop by itself after N seconds (default: run until Ctrl-C)"
    )

    demo.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep its history here (default: forgotten at the end)"
    )


def _add_trying(commands: Subparsers) -> None:
    _command(commands, "check", _check, "validate the configuration: every mistake as file:line: key: what is wrong")

    doctor = _command(commands, "doctor", _doctor, "try each real device once and say what to do")
    doctor.add_argument(
        "what",
        nargs="*",
        metavar="device",
        help="meter, mqtt, inverter, battery, enphase, price, venus or telemetry (default: all that are configured)",
    )
    doctor.add_argument("--json", action="store_true", help="print the result as JSON")
    doctor.add_argument(
        "--step-test", action="store_true", help="measure how the inverters react: small steps on the real system"
    )
    doctor.add_argument(
        "--serial", action="append", default=[], metavar="S", help="step only this inverter (default: all enabled ones)"
    )


def _add_finding(commands: Subparsers) -> None:
    discover_text = "look for meters and OpenDTUs in the network, and print the lines for config.yaml"
    discover = commands.add_parser("discover", help=discover_text, description=f"{discover_text}. It changes nothing.")
    discover.set_defaults(command=_discover)
    discover.add_argument(
        "--seconds", type=_above_zero, default=6.0, metavar="N", help="how long to look round (default: 6)"
    )
    discover.add_argument(
        "--interface",
        type=_address,
        metavar="ADDRESS",
        help="look in the network of this address of ours (default: all)",
    )
    discover.add_argument("--json", action="store_true", help="print the result as JSON")

    pair_text = "get the token of a meter by pressing its button"
    pair = commands.add_parser("pair", help=pair_text, description=f"{pair_text}, for version 2 of HomeWizard's API.")
    pair.set_defaults(command=_pair)
    pair.add_argument("product", choices=["homewizard"], help="what it is")
    pair.add_argument("host", type=_host, metavar="HOST", help="address of the meter")
    pair.add_argument(
        "--seconds", type=_above_zero, default=120.0, metavar="N", help="wait so long for the button (default: 120)"
    )


def _add_law(commands: Subparsers) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="a scoreboard: this law beside those of other projects in the same simulated houses",
        description=simulation.TEXT,
        epilog=simulation.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulate.set_defaults(command=_simulate)
    simulation.add_to(simulate)

    replay_text = "re-run the law on recorded ticks and show where it decides otherwise; exit code 1 where it does"
    replay = commands.add_parser("replay", help=replay_text, description=replay_text)
    replay.set_defaults(command=_replay)
    replay.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="recorded files, or a folder of them (data_dir/ticks)"
    )
    replay.add_argument(
        "--config", type=Path, help="use the control section of this configuration (default: as it was recorded)"
    )
    replay.add_argument("--json", action="store_true", help="print the result as JSON")
    replay.add_argument("--all", action="store_true", help="show every difference (default: the first 10)")

    ensemble = commands.add_parser("ensemble", help=ensemble_command.TEXT, description=ensemble_command.TEXT)
    ensemble_command.add_to(ensemble, lambda inner, name, text: _command(inner, name, _ensemble, text))


def _add_keeping(commands: Subparsers) -> None:
    export = _command(
        commands, "export", _export, "write what was recorded as CSV or Parquet: any range, also while it runs"
    )
    export.description, export.epilog = exporting.TEXT, exporting.EPILOG
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    exporting.add_to(export)

    service_text = "have systemd run it: install, remove or show the service"
    service_command = commands.add_parser(
        "service",
        help=service_text,
        description=service.TEXT,
        epilog=service.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    service_command.set_defaults(command=service.service)
    service.add_to(service_command, _default_config())

    release = _command(commands, "release", _release, releasing.TEXT)
    release.epilog, release.formatter_class = releasing.EPILOG, argparse.RawDescriptionHelpFormatter
    releasing.add_to(release)

    schema_command = commands.add_parser("schema", help="print the JSON Schema of config.yaml, for editors")
    schema_command.set_defaults(command=_schema)


def _command(
    commands: Subparsers, name: str, function: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(command=function)
    command.add_argument(
        "--config",
        type=Path,
        default=_default_config(),
        help="the configuration file (default: $CONFIG_PATH, else config.yaml)",
    )
    return command


def _default_config() -> Path:
    return Path(os.environ.get("CONFIG_PATH", "config.yaml"))


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: use 1 to 65535")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: use one like 192.168.1.5") from None


def _host(text: str) -> str:
    try:
        return valid_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _load(options: argparse.Namespace) -> Config:
    return load(options.config, environment_for(options.config, os.environ))


def _run(options: argparse.Namespace) -> int:
    from app import runtime  # noqa: PLC0415 - check and schema need none of it

    config = _load(options)
    if options.dry_run:
        config = config.model_copy(update={"control": config.control.model_copy(update={"dry_run": True})})
    if options.record and config.recorder is None:
        config = config.model_copy(update={"recorder": RecorderConfig()})
    try:
        logs.setup(config.log, Redactor(secrets_of(config)))
    except OSError as error:
        print(f"cannot write the log file {config.log.file}: {error.strerror}; change log.file", file=sys.stderr)
        return FAILURE
    try:
        return asyncio.run(_until_signalled(lambda stop: runtime.run(config, stop=stop)))
    except runtime.CannotListenError as error:
        print(
            f"cannot listen on {config.http.host}:{config.http.port}: {error.strerror or error}; "
            "stop the program that uses the port, or change http.port",
            file=sys.stderr,
        )
        return FAILURE


async def _until_signalled(start: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    return await start(stop)


def _demo(options: argparse.Namespace) -> int:
    try:
        from app.demo import demo  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"the demo needs {error.name}: pip install '.[demo]' in the checkout, or use make demo", file=sys.stderr)
        return FAILURE
    logs.quiet()
    return asyncio.run(
        demo(
            host=options.host,
            port=options.port,
            speed=options.speed,
            seconds=options.seconds,
            data_dir=options.data_dir,
        )
    )


def _check(options: argparse.Namespace) -> int:
    config = _load(options)
    print(
        f"{options.config}: ok ({len(config.inverters)} inverter{'s' if len(config.inverters) > 1 else ''}, "
        f"meter {', '.join(meter.type for meter in config.meter)})"
    )
    return OK


def _doctor(options: argparse.Namespace) -> int:
    from app import doctor  # noqa: PLC0415

    unknown = [what for what in options.what if what not in doctor.DEVICES]
    if unknown:
        print(f"doctor: {unknown[0]!r} is none of {', '.join(doctor.DEVICES)}", file=sys.stderr)
        return BAD_CONFIG
    config = _load(options)
    enabled = [item.id for item in config.inverters if item.enabled and item.takes_watts]
    strange = [serial for serial in options.serial if serial.lower() not in enabled]
    if strange:
        print(f"doctor: --serial {strange[0]!r} is none of {', '.join(enabled)}", file=sys.stderr)
        return BAD_CONFIG
    logs.quiet()
    serials = [serial.lower() for serial in options.serial] or enabled
    output = sys.stderr if options.json else sys.stdout
    try:
        checks = asyncio.run(
            doctor.examine(
                config,
                options.what or list(doctor.DEVICES),
                serials if options.step_test else [],
                lambda line: print(line, file=output, flush=True),
            )
        )
    except asyncio.CancelledError:
        return FAILURE
    if options.json:
        print(json.dumps({"checks": [check.as_json() for check in checks]}, indent=1))
    else:
        for check in checks:
            print(check)
    return OK if all(check.status != "fail" for check in checks) else FAILURE


def _discover(options: argparse.Namespace) -> int:
    from app.discover import discover  # noqa: PLC0415

    logs.quiet()
    outcome = asyncio.run(discover(options.seconds, options.interface, _tell))
    print(json.dumps(outcome.as_json(), indent=1) if options.json else str(outcome).rstrip())
    if not outcome.of_use:
        return FAILURE
    _tell("put these lines into config.yaml, then: zero-export check, and zero-export doctor")
    return OK


def _pair(options: argparse.Namespace) -> int:
    from app.pairing import pair_homewizard  # noqa: PLC0415

    try:
        token = asyncio.run(pair_homewizard(options.host, options.seconds, _tell))
    except DeviceError as error:
        print(error, file=sys.stderr)
        return FAILURE
    print(f"# into .env:\nHOMEWIZARD_TOKEN={token}\n\n# into config.yaml:")
    print(f'meter:\n  type: homewizard\n  host: {options.host}\n  token: "${{HOMEWIZARD_TOKEN}}"')
    return OK


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _simulate(options: argparse.Namespace) -> int:
    from app.simulator import command  # noqa: PLC0415

    return command.simulate(options)


def _replay(options: argparse.Namespace) -> int:
    from app import replay, runtime  # noqa: PLC0415

    settings = runtime.control_settings(_load(options)) if options.config is not None else None
    try:
        report = replay.replay(options.files, settings, keep=None if options.all else replay.SHOWN)
    except replay.RecordingError as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    print(json.dumps(report.as_json(), indent=1) if options.json else report)
    return FAILURE if report.differing else OK


def _export(options: argparse.Namespace) -> int:
    config = _load(options)
    return exporting.export(options, config.data_dir / "telemetry.db", config.site)


def _release(options: argparse.Namespace) -> int:
    logs.quiet()
    if options.host is None:
        return OK if releasing.run(_load(options), options, _tell) else FAILURE
    try:
        config = releasing.by_host(options)
    except ValueError as error:
        print(f"release: {error}", file=sys.stderr)
        return BAD_CONFIG
    return OK if releasing.run_host(config, options, _tell) else FAILURE


def _ensemble(options: argparse.Namespace) -> int:
    config = _load(options)
    logs.quiet()
    return ensemble_command.run(config, options)


def _schema(_options: argparse.Namespace) -> int:
    print(json.dumps(schema(), indent=1))
    return OK
