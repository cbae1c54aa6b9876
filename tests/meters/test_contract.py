"""Every driver with everything that devices do: the right class of result, no false reading, and it goes on after it.

How a driver's protocol expresses each case is told by its rig: `tests/meters/contract.py`.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from app.access import Access
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import running
from app.fields import BrokerConfig
from app.meters import MeterConfig, base, build
from app.meters.docs import sections
from app.model import DeviceError, DeviceUnavailable, Reading
from app.outbound import new_session
from tests.conftest import until
from tests.meters.contract import (
    BACK_W,
    EXPECTED,
    EXPORT_W,
    FALSE_W,
    IMPORT_W,
    SILENT_CASES,
    Case,
    Fake,
    Rig,
    rigs,
)

RIGS = {rig.name: rig for rig in rigs()}
AT_ONCE = 7


def test_every_type_has_a_rig() -> None:
    types = {one for section in sections() for one in typing.get_args(section.model_fields["type"].annotation)}
    tried = {one for rig in RIGS.values() for one in rig.types}
    assert types == tried, "see tests/meters/contract.py"


@pytest.mark.parametrize("name", RIGS)
def test_what_is_not_tried_has_its_reason(name: str) -> None:
    rig = RIGS[name]
    assert all(len(reason) > 10 for reason in rig.missing.values())
    assert {Case.GOOD, Case.EXPORT, Case.MISSING, Case.SILENCE, Case.REFUSED} <= set(rig.cases)


def test_every_case_has_its_expected_result() -> None:
    assert set(Case) == {Case.GOOD, Case.EXPORT, *SILENT_CASES, *EXPECTED}


@dataclass
class Tried:
    """A driver that runs, and what it has said so far."""

    fake: Fake
    outcomes: list[Reading | DeviceError] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def powers_w(self, since: int = 0) -> set[float]:
        return {outcome.power_w for outcome in self.outcomes[since:] if isinstance(outcome, Reading)}

    def errors(
        self, since: int, kind: type[DeviceError] | tuple[type[DeviceError], ...] = DeviceError
    ) -> list[DeviceError]:
        return [
            outcome
            for outcome in self.outcomes[since:]
            if isinstance(outcome, DeviceError) and isinstance(outcome, kind)
        ]

    async def shows(self, case: Case, power_w: float) -> None:
        """The device does so, and the driver says it."""
        await self.fake.show(case, power_w)
        await self.until(lambda: power_w in self.powers_w(), f"a reading of {power_w} W, after {case.value}")

    async def until(self, condition: typing.Callable[[], bool], what: str) -> None:
        await until(condition, 15.0, f"{what}; it said {self.outcomes[-3:]}")


@asynccontextmanager
async def tried(rig: Rig, folder: Path) -> AsyncIterator[Tried]:
    """The driver of a rig, at work with its fake."""
    async with rig.serve(folder) as fake, new_session() as session:
        own = Broker(Address("127.0.0.1", 9), "own")
        brokers = Brokers(own, BrokerConfig(), "contract")
        section = TypeAdapter(MeterConfig).validate_python(fake.section)
        meter = build(section, Access(session, brokers.at, folder / "data"))
        place = Tried(fake)
        async with running(*(broker.run() for broker in brokers.others)):
            place.task = asyncio.create_task(meter.run(place.outcomes.append))
            try:
                yield place
                assert not place.task.done(), "a driver runs for ever"
            finally:
                place.task.cancel()
                await asyncio.gather(place.task, return_exceptions=True)


@pytest.mark.parametrize("name", RIGS)
async def test_a_driver_and_all_that_its_device_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cases side by side, each with a device and a driver of its own: they mostly wait."""
    rig, few = RIGS[name], asyncio.Semaphore(AT_ONCE)
    monkeypatch.setattr(base, "AFTER_REFUSAL_S", 0.3)  # nobody is locked out here
    for constant, value in rig.quick.items():
        monkeypatch.setattr(constant, value)

    async def one(case: Case) -> None:
        folder = tmp_path / case.name.lower()
        folder.mkdir()
        async with few, tried(rig, folder) as place:
            await holds(place, case)

    found = await asyncio.gather(*(one(case) for case in rig.cases), return_exceptions=True)
    failed = [f"{case.name}: {error!r}" for case, error in zip(rig.cases, found, strict=True) if error is not None]
    assert not failed, "\n".join(failed)


async def holds(place: Tried, case: Case) -> None:
    """Raise where a driver does not do as it should."""
    await place.shows(Case.GOOD, IMPORT_W)
    if case in (Case.GOOD, Case.EXPORT):
        await place.shows(case, EXPORT_W if case is Case.EXPORT else BACK_W)
        assert place.powers_w() <= {IMPORT_W, EXPORT_W, BACK_W}
        return
    before = len(place.outcomes)
    await place.fake.show(case, FALSE_W)
    if case not in SILENT_CASES:
        await place.until(lambda: place.errors(before, EXPECTED[case]) != [], f"an error, for {case.value}")
        last = max(i for i, outcome in enumerate(place.outcomes) if isinstance(outcome, Reading))
        assert last < before + 2, "at most the reading that was on its way"
    others = [error for error in place.errors(before) if not isinstance(error, EXPECTED.get(case, DeviceError))]
    assert all(isinstance(error, DeviceUnavailable) for error in others), others  # the machine may be slow
    assert all(20 < len(str(error)) < 400 for error in place.errors(before)), "a sentence"
    assert place.powers_w() == {IMPORT_W}, "no power that was not there"
    await place.shows(Case.GOOD, BACK_W)
    assert place.powers_w() == {IMPORT_W, BACK_W}
