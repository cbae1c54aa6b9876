"""Several meters of different pace in one slot, and when an outage of them is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.control.safety import Ladder, Trust
from app.control.settings import ControlSettings
from app.meters.base import Emit
from app.meters.correct import Corrected, Correction
from app.meters.slot import MeterSlot
from app.model import DeviceUnavailable, MeterState, Reading


class Handed:
    """A meter that tells what it is handed."""

    def __init__(self, name: str, interval_s: float) -> None:
        self.name, self.interval_s = name, interval_s
        self.emit: Emit

    async def run(self, emit: Emit) -> None:
        self.emit = emit
        await asyncio.Event().wait()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[MeterSlot, Handed, Handed]]:
    """A slow meter and a fast one that are summed."""
    slow, fast = Handed("slow", 10.0), Handed("fast", 1.0)
    slot = MeterSlot([Corrected(one, Correction(), lambda: float("inf")) for one in (slow, fast)])
    task = asyncio.create_task(slot.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    yield slot, slow, fast
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def passed(
    pair: tuple[MeterSlot, Handed, Handed], from_s: int, until_s: int, *, slow_works: bool = True
) -> list[float]:
    """The ages of the sum at each second while the two tell their values; -1 where there is none."""
    slot, slow, fast = pair
    ages_s = []
    for second in range(from_s, until_s):
        if second % 10 == 0 and slow_works:
            slow.emit(Reading(1000.0 + second, second + 0.1, 0.0))
        fast.emit(Reading(-100.0, second + 0.2, 0.0))
        reading = slot.state.reading
        ages_s.append(-1.0 if reading is None else second + 0.2 - reading.at_s)
    return ages_s


def trust(state: MeterState, now_s: float) -> Trust:
    return Ladder(ControlSettings(), 0.0).assess(state, now_s).trust


async def test_a_slow_and_a_fast_meter_make_a_sum_that_is_as_old_as_the_slow_one(
    pair: tuple[MeterSlot, Handed, Handed],
) -> None:
    slot, _slow, fast = pair
    ages_s = passed(pair, 0, 60)
    assert min(ages_s[1:]) >= 0.0
    assert max(ages_s[1:]) < 11.0
    state = slot.state
    assert state.reading is not None
    assert state.reading.power_w == 950.0, "of the last ten seconds, both"
    assert (state.interval_s, state.due_s, state.fault) == (10.0, 10.0, None)
    assert trust(state, 60.0) is Trust.FRESH
    fast.emit(DeviceUnavailable("gone"))
    assert slot.state.fault == "gone"


async def test_a_sum_grows_old_where_one_of_them_is_silent(pair: tuple[MeterSlot, Handed, Handed]) -> None:
    passed(pair, 0, 60)
    ages_s = passed(pair, 60, 100, slow_works=False)
    assert ages_s == sorted(ages_s), "the fast one alone makes no new sum"
    assert trust(pair[0].state, 99.0) is Trust.FAIL_SAFE


async def test_a_bug_in_a_driver_is_told_as_a_fault_and_passed_on() -> None:
    class Broken(Handed):
        async def run(self, emit: Emit) -> None:
            raise KeyError("power")

    slot = MeterSlot([Corrected(one, Correction()) for one in (Handed("good", 1.0), Broken("broken", 1.0))])
    with pytest.raises(ExceptionGroup):
        await slot.run()
    assert slot.state.fault == "broken: its driver has failed (KeyError)"


def test_an_outage_is_noticed_by_how_often_a_reading_comes_and_not_by_how_often_it_changes() -> None:
    state = MeterState(Reading(40.0, 100.0, 0.0), None, 50.0, 9, 1.0)
    assert trust(state, 102.0) is Trust.FRESH
    assert trust(state, 104.0) is Trust.HOLD
    assert trust(state, 105.1) is Trust.FAIL_SAFE
