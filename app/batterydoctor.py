"""What `doctor` says of the battery: its charge and power, and which way round it counts."""

from __future__ import annotations

import asyncio
import time

from app.access import Access
from app.batteries import BatteryConfig
from app.batteries.slot import told
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import Check, running, until
from app.config import Config
from app.model import BatteryState, DeviceAuthError, DeviceDataError, DeviceError
from app.outbound import new_session

SHORTEST_WAIT_S, LONGEST_WAIT_S = 15.0, 60.0
LOOK = "Compare with the battery's own app: while it charges, it must say so here. If it is turned round, set {key}."


async def battery(config: Config, section: BatteryConfig) -> Check:
    """Listen to the battery until it has told of itself once."""
    name = f"zero-export-{config.site}-doctor-battery"
    own, heard = Broker(Address.of(config.mqtt), name), list[BatteryState | DeviceError]()
    async with new_session() as session:
        brokers = Brokers(own, config.mqtt, name)
        driver = section.driver(Access(session, brokers.at, config.data_dir))
        started_s = time.monotonic()
        works = [broker.run() for broker in (own, *brokers.others)]
        async with running(*works):
            task = asyncio.create_task(driver.run(heard.append))
            try:
                await until(lambda: bool(heard), min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, 3.5 * section.every_s)))
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    return _check(section, heard[-1] if heard else None, time.monotonic() - started_s)


def _check(section: BatteryConfig, outcome: BatteryState | DeviceError | None, waited_s: float) -> Check:
    if isinstance(outcome, BatteryState):
        values = (("soc_pct", outcome.soc_pct), ("power_w", outcome.power_w), ("latency_ms", round(1000.0 * waited_s)))
        key = "sign" if section.type == "alphaess" else "invert: true"
        status = "ok" if outcome.soc_pct is not None and outcome.power_w is not None else "warn"
        step = LOOK.format(key=f"battery.{key}")
        if status == "warn":
            step = "It does not tell both now; run this again in a minute, and check the keys of the battery section."
        return Check("battery", status, f"{outcome.name}: {told(outcome)}", step, values)
    match outcome:
        case None:
            return Check("battery", "fail", f"{section.type}: nothing within {waited_s:.0f} s", _ADDRESS)
        case DeviceAuthError():
            step = "Check the login in the battery section; the next try is best some minutes later."
        case DeviceDataError():
            step = "Check the type and the keys of the battery section: docs/batteries.md names them all."
        case _:
            step = _ADDRESS
    return Check("battery", "fail", str(outcome), step)


_ADDRESS = "Check the address or the topics in the battery section, and that what tells of the battery is on."
