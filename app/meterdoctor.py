"""What `doctor` says of the grid meter: its value, how fast it is, and which way round it counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from app import inverters
from app.access import Access
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import Check, running, until
from app.config import Config
from app.inverters import InverterDriver
from app.meters import Meter, build
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import new_session

FIRST_WAIT_S = 10.0  # for the first answer of any kind
METER_WAIT_S = 25.0  # for two readings: a slow meter with a clock of its own needs three of its intervals
PACE_WAIT_S = 21.0  # for a few changes: two of a meter that has something new every 10 s
CHANGES = 4
SUN_WAIT_S = 6.0  # OpenDTU publishes every 5 s
SLOW_ANSWER_MS = 500
GOOD_S, USABLE_S = 2.0, 5.0  # between two new values
NOTHING_W, SURE_W = 5.0, 100.0  # what inverters that give nothing show, and by how much the two may be apart in time
TRY = "Switch on a kettle: the import must rise. If it falls, set invert: true."


@dataclass
class Heard:
    """What a meter has said while it was listened to, and what the inverters gave then; None: not known."""

    kind: str
    readings: list[Reading] = field(default_factory=list)
    fault: DeviceError | None = None
    ended_s: float = 0.0
    pv_w: float | None = None

    def take(self, outcome: Reading | DeviceError) -> None:
        """Take in an outcome of the driver."""
        if isinstance(outcome, Reading):
            self.readings.append(outcome)
            self.fault = None
        else:
            self.fault = outcome

    @property
    def changes_s(self) -> list[float]:
        """When it showed something else than before, the first reading included."""
        found: list[Reading] = []
        for reading in self.readings:
            if not found or (reading.power_w, reading.phases) != (found[-1].power_w, found[-1].phases):
                found.append(reading)
        return [reading.at_s for reading in found]

    @property
    def pace_s(self) -> float | None:
        """The time between two new values; None while none was seen."""
        gaps = [later - sooner for sooner, later in pairwise(self.changes_s)]
        return median(gaps[1:] or gaps) if gaps else None  # the first value had been there for a while


def sun_w(drivers: Sequence[InverterDriver]) -> float | None:
    """What the inverters give together, by live messages; None unless all are known."""
    states = [state for driver in drivers for state in driver.states()]
    powers = [None if state.power_at_s is None else state.ac.power_w for state in states]
    known = [max(0.0, power_w) for power_w in powers if power_w is not None]
    return sum(known) if len(known) == len(powers) else None


async def meters(config: Config) -> list[Check]:
    """Listen to each meter for a few of its values."""
    name = f"zero-export-{config.site}-doctor-meter"
    own = Broker(Address.of(config.mqtt), name)
    async with new_session() as session:
        brokers = Brokers(own, config.mqtt, name)
        access = Access(session, brokers.at, config.data_dir, publishes_grid=config.publishes_grid)
        drivers = [(item.type, build(item, access)) for item in config.meter]
        sun = inverters.build(config.inverters, config.opendtu, access)
        works = [broker.run() for broker in (own, *brokers.others)] + [driver.run() for driver in sun]
        async with running(*works):
            heard = [await listen(kind, driver) for kind, driver in drivers]
            alone = len(heard) == 1 and heard[0].fault is None  # of several, each may see a part of the house only
            if alone and all(driver.broker is None or driver.broker.connected for driver in sun):
                await until(lambda: sun_w(sun) is not None, SUN_WAIT_S)
                heard[0].pv_w = sun_w(sun)
    return [check(one) for one in heard]


async def listen(kind: str, driver: Meter) -> Heard:
    """What a meter says within some seconds."""
    heard = Heard(kind)
    task = asyncio.create_task(driver.run(heard.take))
    try:
        await until(lambda: bool(heard.readings) or heard.fault is not None, FIRST_WAIT_S)
        if heard.fault is None:
            await until(lambda: len(heard.readings) >= 2 or heard.fault is not None, METER_WAIT_S)
        if heard.readings and heard.fault is None:
            await until(lambda: len(heard.changes_s) > CHANGES or heard.fault is not None, PACE_WAIT_S)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    heard.ended_s = time.monotonic()
    return heard


def check(heard: Heard) -> Check:
    """The finding. Pure."""
    if heard.fault is not None or not heard.readings:
        fault = heard.fault or DeviceUnavailable(f"no reading within {METER_WAIT_S:.0f} s")
        return Check("meter", "fail", str(fault), _remedy(fault))
    reading = heard.readings[-1]
    latency_ms = None if reading.latency_s is None else round(1000.0 * reading.latency_s)
    words = "import" if reading.power_w >= 0 else "export"
    phases = f", {len(reading.phases)} phases" if len(reading.phases) > 1 else ""
    findings = [_answering(latency_ms), _speed(heard), direction(reading.power_w, heard.pv_w)]
    detail = f"{heard.kind}: {abs(reading.power_w):.1f} W {words}{phases}"
    detail += "" if latency_ms is None else f", answered in {latency_ms} ms"
    detail += "".join(f", {finding.detail}" for finding in findings if finding.detail)
    worst = "warn" if any(finding.status == "warn" for finding in findings) else "ok"
    steps = [finding.next_step for finding in findings if finding.next_step and finding.status == worst]
    pace_s = heard.pace_s
    values = (
        ("power_w", round(reading.power_w, 1)),
        ("latency_ms", latency_ms),
        ("interval_s", None if pace_s is None else round(pace_s, 1)),
        ("pv_w", None if heard.pv_w is None else round(heard.pv_w, 1)),
    )
    return Check("meter", worst, detail, " ".join(steps), values)


def _remedy(fault: DeviceError) -> str:
    match fault:
        case DeviceAuthError():
            return "Check the login under meter in config.yaml; the next try is best a minute later."
        case DeviceDataError():
            return "Check the type and what else stands under meter in config.yaml: docs/meters.md names every key."
    return "Check the address under meter in config.yaml, and that the device is on."


@dataclass(frozen=True, slots=True)
class Finding:
    """A part of a check."""

    status: str
    detail: str = ""
    next_step: str = ""


def _answering(latency_ms: int | None) -> Finding:
    if latency_ms is not None and latency_ms > SLOW_ANSWER_MS:
        return Finding("warn", "", "It answers slowly: check the WiFi of the meter.")
    return Finding("ok")


def _speed(heard: Heard) -> Finding:
    """Whether it is fast enough."""
    pace_s = heard.pace_s
    if pace_s is None:
        still_s = max(0.0, heard.ended_s - heard.readings[0].at_s)
        step = "Switch something on and run this again, to see how fast it is."
        return Finding("ok", f"the same value for {still_s:.0f} s", step)
    told = f"a new value every {pace_s:.1f} s"
    if pace_s > USABLE_S:
        return Finding(
            "warn",
            told,
            f"That is slow: what is switched off is exported for about {2.0 * pace_s:.0f} s, until it is seen and "
            "acted upon. docs/meters.md names faster ways to read many meters.",
        )
    return Finding("ok", told if pace_s <= GOOD_S else f"{told}, which is usable")


def direction(power_w: float, pv_w: float | None) -> Finding:
    """Which way round it counts, as far as the powers of this moment tell: a house only takes. Pure."""
    if pv_w is None:
        return Finding("ok", "", TRY)
    sun = f"the inverters give {pv_w:.0f} W"
    if -power_w > 1.1 * pv_w + SURE_W:
        return Finding(
            "warn",
            f"while {sun}",
            "It shows more export than there is: turn it round with invert, unless something else feeds in as well.",
        )
    if pv_w <= NOTHING_W and power_w > SURE_W:
        return Finding("ok", f"while {sun}: it counts the right way round")
    return Finding("ok", f"while {sun}: either way round is possible", TRY)
