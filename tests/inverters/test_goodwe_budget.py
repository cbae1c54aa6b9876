"""A day's writes: how they are spread, and what they cost on a cloudy day."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.inverters.goodwe.budget import Budget
from tests.inverters.cloudy_day import lived

NOON_S = 12 * 3600.0


def test_what_is_in_time_goes_at_the_usual_pace() -> None:
    fresh = Budget(300, 0, NOON_S)
    assert fresh.pause_s == 0.0
    assert fresh.coarseness == 1.0
    assert fresh.grants(80, 50, 1, 0.0) == 80


def test_what_runs_ahead_is_slower_and_coarser_the_further_it_is() -> None:
    ahead = [Budget(300, used, NOON_S) for used in (140, 160, 200, 230)]
    assert sorted(one.pause_s for one in ahead) == [one.pause_s for one in ahead]
    assert sorted(one.coarseness for one in ahead) == [one.coarseness for one in ahead]
    assert ahead[0].pause_s > 0.0
    assert ahead[2].grants(80, 50, 1, 60.0) is None
    assert ahead[2].grants(80, 50, 1, ahead[2].pause_s) == 80
    assert ahead[2].grants(40, 50, 1, 0.0) == 40, "a cut waits for nothing"


def test_the_reserve_is_for_cuts_and_the_last_write_for_the_lowest() -> None:
    assert Budget(300, 240, 60.0).grants(80, 50, 1, 1e9) is None
    assert Budget(300, 240, 60.0).grants(40, 50, 1, 0.0) == 40
    assert Budget(300, 299, 60.0).grants(40, 50, 1, 0.0) == 1
    assert Budget(300, 300, 60.0).grants(40, 50, 1, 0.0) == 1, "what is safe is written whatever it costs"
    assert Budget(300, 300, 60.0).grants(40, 1, 1, 1e9) is None
    assert Budget(300, 297, 60.0, each=2).grants(40, 50, 1, 0.0) == 1


@given(
    each=st.integers(1, 3),
    asked=st.lists(st.tuples(st.integers(1, 100), st.floats(0.0, 3600.0)), max_size=200),
    a_day=st.integers(20, 60),
)
def test_no_order_of_limits_uses_more_than_the_day_has(each: int, asked: list[tuple[int, float]], a_day: int) -> None:
    used, held, rest_s, since_s = 0, 100, 86_400.0, 1e9
    for wanted, wait_s in asked:
        rest_s, since_s = max(0.0, rest_s - wait_s), since_s + wait_s
        if wanted == held:
            continue
        granted = Budget(a_day, used, rest_s, each).grants(wanted, held, 1, since_s)
        assert granted is not None or wanted > held, "a cut is always served"
        if granted is not None and granted != held:
            assert granted <= wanted
            used, held, since_s = used + each, granted, 0.0
        assert used <= a_day


def test_a_cloudy_day_stays_within_its_writes_and_exports_no_more() -> None:
    """An hour with few writes; ``tests/inverters/cloudy_day.py`` prints whole days."""

    async def both() -> None:
        hours = {"begin_h": 10.0, "end_h": 11.0, "tick_s": 2.0}
        free = await lived(**hours, paced=False, writes_per_day=100_000)  # type: ignore[arg-type]
        kept = await lived(**hours, writes_per_day=40)  # type: ignore[arg-type]
        print(f"\nwithout a budget {free}\nwith one         {kept}")
        assert free.writes > 80
        assert kept.writes <= 40
        assert kept.export_wh <= 1.1 * free.export_wh + 2.0
        assert kept.used_wh >= 0.4 * free.used_wh
        assert kept.writes_by[0] < 40 - 8, "the rest of the day keeps some"

    asyncio.run(both())
