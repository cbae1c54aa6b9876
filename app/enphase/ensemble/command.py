"""``zero-export ensemble``: storage, relays and dry contacts from the command line, also while no controller runs.

It talks to the gateway itself. What it writes is counted in data_dir with what the controller writes, and a running
controller looks after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from app.access import Access
from app.api.storage import ensemble as document
from app.broker import Broker
from app.config import Config
from app.enphase.ensemble.actions import CONFIRMATION, AcbSleep, AcbWake, Automatic, Grid, is_tariff, parse
from app.enphase.ensemble.client import EnsembleClient
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.desk import FILE, Desk, RefusedActionError
from app.enphase.ensemble.effect import OVERWRITTEN_S, advice, complaint
from app.enphase.ensemble.journal import JournalFile, TooSoonError
from app.enphase.gateway import Gateway
from app.fields import BrokerConfig
from app.model import DeviceError, EnsembleState
from app.outbound import new_session

OK, FAILURE, WRONG = 0, 1, 2
TEXT = "look at, and set, the storage, relays and dry contacts behind an Enphase gateway"
READ_BACK_S = (3.0, 7.0)
WORDS = {"true": True, "on": True, "false": False, "off": False}
Leaf = Callable[[Any, str, str], argparse.ArgumentParser]


def add_to(parser: argparse.ArgumentParser, leaf: Leaf) -> None:
    """The commands below it; ``leaf(subparsers, name, text)`` makes one."""
    inner = parser.add_subparsers(required=True, metavar="what", dest="what")
    status = leaf(inner, "status", "what the gateway tells now")
    status.add_argument("--json", action="store_true", help="as JSON")
    mode = leaf(inner, "storage-mode", "how the batteries work")
    mode.add_argument("mode", choices=["backup", "self-consumption", "economy"])
    mode.add_argument(
        "--disable-optimized-schedules",
        action="store_true",
        help="without that, firmware with them on ignores the mode",
    )
    reserve = leaf(inner, "reserve", "state of charge that is kept for an outage")
    reserve.add_argument("soc_pct", type=int, metavar="N", help="0 to 100 %%")
    charge = leaf(inner, "charge-from-grid", "whether the batteries may charge from the grid")
    charge.add_argument("switch", choices=["on", "off"])
    contact = leaf(inner, "dry-contact", "open or close a dry contact, or change its settings")
    contact.add_argument("id", metavar="ID", help="as status shows it, for example NC1")
    contact.add_argument("do", choices=["open", "closed", "set"])
    contact.add_argument("changes", nargs="*", metavar="key=value", help="with set: for example load_name=Boiler")
    sleep = leaf(inner, "acb-sleep", "let an AC Battery sleep at a state of charge")
    sleep.add_argument("serial", metavar="SERIAL")
    sleep.add_argument("min_soc_pct", type=int, metavar="MIN", help="0 to 100 %%")
    sleep.add_argument("max_soc_pct", type=int, metavar="MAX", help="MIN to 100 %%")
    wake = leaf(inner, "acb-wake", "wake an AC Battery")
    wake.add_argument("serial", metavar="SERIAL")
    grid = leaf(inner, "grid", "open or close the relay between the house and the grid")
    grid.add_argument("state", choices=["on", "off"])
    grid.add_argument("--confirm", metavar="WORD", help="off needs ISLAND here: the house leaves the grid")
    for one in (mode, reserve, charge, contact, grid):
        one.add_argument(
            "--wait",
            action="store_true",
            help=f"look again after {OVERWRITTEN_S:.0f} s, when the cloud may have undone it",
        )


def run(config: Config, options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    section = config.enphase
    if section is None or section.ensemble is None:
        return _fail("there is no enphase.ensemble section in the configuration: add it, see docs/enphase.md", WRONG)
    try:
        wanted = _asked(options)
        action = None if wanted is None else parse(wanted)
    except ValueError as error:
        return _fail(str(error), WRONG)
    if action is not None and config.control.dry_run:
        return _fail("control.dry_run is set, so nothing is commanded: take it out of the configuration first", FAILURE)
    try:
        return asyncio.run(_with_gateway(config, section.ensemble, action, options))
    except (DeviceError, RefusedActionError, TooSoonError) as error:
        return _fail(str(error), FAILURE)


def _asked(options: argparse.Namespace) -> dict[str, Any] | None:
    """The action as JSON; None for a look. Raises ValueError."""
    match options.what:
        case "storage-mode":
            return {
                "action": "storage_mode",
                "mode": options.mode,
                "disable_optimized_schedules": options.disable_optimized_schedules,
            }
        case "reserve":
            return {"action": "reserve", "soc_pct": options.soc_pct}
        case "charge-from-grid":
            return {"action": "charge_from_grid", "on": options.switch == "on"}
        case "dry-contact" if options.do == "set":
            return {"action": "dry_contact_settings", "id": options.id, "settings": _changes(options.changes)}
        case "dry-contact":
            if options.changes:
                raise ValueError(f"{options.changes[0]!r} is too much: settings are changed with  dry-contact ID set …")
            return {"action": "dry_contact", "id": options.id, "state": options.do}
        case "acb-sleep":
            span = {"min_soc_pct": options.min_soc_pct, "max_soc_pct": options.max_soc_pct}
            return {"action": "acb_sleep", "serial": options.serial} | span
        case "acb-wake":
            return {"action": "acb_wake", "serial": options.serial}
        case "grid":
            if options.state == "off" and options.confirm != CONFIRMATION:
                raise ValueError(
                    f"grid off takes the house off the grid: add  --confirm {CONFIRMATION}  if you mean that"
                )
            confirm = {"confirm": options.confirm} if options.confirm is not None else {}
            return {"action": "grid", "state": options.state} | confirm
    return None


def _changes(given: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for item in given:
        key, sign, value = item.partition("=")
        if not sign:
            raise ValueError(f"{item!r} is not key=value: for example soc_low_pct=20")
        if key == "override":
            changes[key] = WORDS.get(value.lower(), value)
        else:
            changes[key] = int(value) if key.startswith("soc_") and value.isascii() and value.isdigit() else value
    return changes


async def _with_gateway(
    config: Config, ensemble: EnsembleConfig, action: Automatic | Grid | None, options: argparse.Namespace
) -> int:
    if config.enphase is None:
        raise AssertionError("looked at before")
    async with new_session() as session:
        client = EnsembleClient(Gateway.of(Access(session, _no_broker, config.data_dir), config.enphase))
        desk = Desk(client, JournalFile(config.data_dir / FILE), ensemble)
        try:
            if action is None:
                state = await desk.read()
                told = document(state, time.monotonic())
                print(json.dumps(told, indent=1) if options.json else "\n".join(_lines(state)))
                return OK
            outcome = await desk.perform(action)
            print(outcome.text)
            return await _read_back(desk, action, wait=getattr(options, "wait", False)) if outcome.written else OK
        finally:
            await client.close()


async def _read_back(desk: Desk, action: Automatic | Grid, *, wait: bool) -> int:
    if isinstance(action, AcbSleep | AcbWake):
        print("AC Batteries report every 10 to 15 minutes: look then with  zero-export ensemble status")
        return OK
    said: str | None = None
    for pause_s in READ_BACK_S:
        await asyncio.sleep(pause_s)
        state = await desk.read()
        said = complaint(action, state, was_in_force=False)
        if said is None:
            break
    if said is None and wait:
        print(f"in force; looking again in {OVERWRITTEN_S:.0f} s")
        await asyncio.sleep(OVERWRITTEN_S)
        state = await desk.read()
        said = complaint(action, state, was_in_force=True)
    if said is not None:
        return _fail(f"{said} {advice(action, state)}", FAILURE)
    print("in force")
    if is_tariff(action) and not wait:
        print("Enlighten may overwrite it within two minutes; a running controller watches that, or use --wait")
    return OK


def _lines(state: EnsembleState) -> list[str]:
    """What there is, a line each."""
    found = [f"{state.name}: {_pct(state.soc_pct)}, {_watts(state.power_w)}"]
    if state.storage_mode is not None or state.reserve_soc_pct is not None:
        found.append(
            f"storage mode {state.storage_mode}, reserve {_pct(state.reserve_soc_pct)}, "
            f"charge from grid {_word(state.charge_from_grid)}, optimised schedules {_word(state.optimised_schedules)}"
        )
    for one in state.batteries:
        asleep = f", {one.sleep}" if one.sleep else ""
        found.append(f"battery {one.serial} ({one.kind}): {_pct(one.soc_pct)}, {_watts(one.power_w)}{asleep}")
    if state.grid is not None:
        found.append(f"grid relay: asked to be {state.grid.admin_state}, is {state.grid.oper_state}")
    for contact in state.dry_contacts:
        name = f" ({contact.settings.load_name})" if contact.settings and contact.settings.load_name else ""
        found.append(f"dry contact {contact.id}{name}: {contact.status}")
    if state.collar is not None:
        found.append(f"meter collar: MID {state.collar.mid_state}, grid {state.collar.grid_state}")
    if state.combiner is not None:
        found.append(f"combiner: {state.combiner.state}, firmware {state.combiner.firmware}")
    return found


def _pct(value: float | None) -> str:
    return "charge unknown" if value is None else f"{value:g} %"


def _watts(value: float | None) -> str:
    if value is None:
        return "power unknown"
    return f"charging with {value:.0f} W" if value > 0 else f"giving {-value:.0f} W" if value < 0 else "0 W"


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "on" if value else "off"


def _no_broker(_config: BrokerConfig | None) -> Broker:
    raise AssertionError("a gateway needs no broker")


def _fail(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code
