"""The page's series: the last hour in steps of 5 s, what is older in minutes."""

from __future__ import annotations

import math

from app.telemetry.history import History
from app.telemetry.rollup import Values
from tests.telemetry.ticks import UTC_S, make_tick

Row = tuple[float, Values]


class Store:
    """Minutes of a whole day, as the database gives them."""

    def __init__(self, until_s: float = UTC_S) -> None:
        self.asked: list[tuple[float, float, int]] = []
        self.until_s = until_s

    async def __call__(self, since_s: float, until_s: float, step_s: int) -> list[Row]:
        self.asked.append((since_s, until_s, step_s))
        first = int(max(since_s, UTC_S - 86_400.0) // step_s) * step_s
        return [
            (float(t), (1.0, 2.0, 3.0, 4.0, 0.5, 1.5))
            for t in range(first, int(self.until_s) // step_s * step_s, step_s)
        ]


async def nothing(_since_s: float, _until_s: float, _step_s: int) -> list[Row]:
    return []


async def test_means_of_five_seconds() -> None:
    history = History(nothing)
    for second in range(10):
        history.add(make_tick(float(second), grid_w=float(second), pv_w=None if second < 5 else 100.0))
    found = await history.query(600)
    assert found["utc_s"] == [UTC_S, UTC_S + 5.0]
    assert found["grid_w"] == [2.0, 7.0]
    assert found["pv_w"] == [None, 100.0]
    assert (found["grid_min_w"], found["grid_max_w"]) == ([0.0, 5.0], [4.0, 9.0])
    assert set(found) == {"utc_s", "grid_w", "pv_w", "load_w", "limit_w", "grid_min_w", "grid_max_w"}
    assert {len(column) for column in found.values()} == {2}


async def test_only_the_last_hour_is_remembered() -> None:
    history = History(nothing)
    for second in range(0, 5000, 5):
        history.add(make_tick(float(second)))
    times = (await history.query(3600))["utc_s"]
    assert len(times) == 721
    assert times[0] == UTC_S + 4995.0 - 3600.0
    assert len((await history.query(60))["utc_s"]) == 13


async def test_after_a_restart_the_last_hour_comes_from_the_store() -> None:
    store = Store()
    history = History(store, utc=lambda: UTC_S)
    await history.seed()
    history.add(make_tick(0.0))
    times = (await history.query(3600))["utc_s"]
    assert times[0] == UTC_S - 3600.0 + 40.0
    assert len(times) == 60
    assert times == sorted(times)  # type: ignore[type-var]


async def test_ticks_that_came_while_the_store_was_read_are_not_doubled() -> None:
    history = History(Store(UTC_S + 120.0), utc=lambda: UTC_S)
    history.add(make_tick(0.0))
    await history.seed()
    times = (await history.query(3600))["utc_s"]
    assert times == sorted(set(times))  # type: ignore[type-var]
    assert times[-1] == UTC_S


async def test_a_day_comes_from_the_minutes_and_ends_with_what_is_new() -> None:
    store = Store()
    history = History(store)
    history.add(make_tick(0.0, grid_w=77.0))
    found = await history.query(86_400)
    assert store.asked == [(UTC_S - 86_400.0 + 40.0, math.inf, 60)]
    assert len(found["utc_s"]) == 1440
    assert (found["utc_s"][-1], found["grid_w"][-1]) == (UTC_S, 77.0)


async def test_a_month_is_thinned() -> None:
    store = Store()
    history = History(store)
    history.add(make_tick())
    await history.query(31 * 86_400)
    assert store.asked[0][2] == 30 * 60


async def test_a_clock_that_is_set_back_starts_anew() -> None:
    history = History(nothing)
    for second in range(20):
        history.add(make_tick(float(second)))
    history.add(make_tick(20.0, utc_s=UTC_S - 7200.0))
    assert (await history.query(3600))["utc_s"] == [UTC_S - 7200.0]


async def test_before_the_first_tick_there_is_nothing() -> None:
    assert (await History(nothing).query(3600)) == {
        "utc_s": [],
        "grid_w": [],
        "pv_w": [],
        "load_w": [],
        "limit_w": [],
        "grid_min_w": [],
        "grid_max_w": [],
    }
