"""Prices by time: the newer word counts, but for what is confirmed; the last one serves a while."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.model import PriceSlot
from app.prices.timetable import MOST, PAST_S, Timetable

T_S = 1_767_225_600.0


def slot(begin: float, end: float, value_c: float, *, confirmed: bool = False) -> PriceSlot:
    """``begin`` and ``end`` in minutes."""
    return PriceSlot(T_S + 60.0 * begin, T_S + 60.0 * end, value_c, value_c + 20.0, confirmed)


def known(*slots: PriceSlot, now: float = 0.0, stale_s: float = 900.0) -> Timetable:
    """A timetable that was told these, one after the other."""
    table = Timetable("Amber", "AUD", stale_s)
    for one in slots:
        table.merge([one], T_S + 60.0 * now)
    return table


def worth(table: Timetable, minute: float) -> tuple[float | None, bool]:
    state = table.at(T_S + 60.0 * minute)
    return state.export_value_c, state.estimated


def test_nothing_known_is_no_fault_of_the_source() -> None:
    state = known().at(T_S)
    assert (state.export_value_c, state.estimated, state.fault, state.currency) == (None, True, None, "AUD")


def test_a_newer_estimate_replaces_an_older_one_and_a_confirmed_price_both() -> None:
    table = known(slot(0, 5, 1.0), slot(0, 5, 2.0))
    assert worth(table, 3) == (2.0, True)
    table.merge([slot(0, 5, 3.0, confirmed=True)], T_S)
    assert worth(table, 3) == (3.0, False)
    table.merge([slot(0, 5, 4.0)], T_S)
    assert worth(table, 3) == (3.0, False), "an estimate does not undo what is settled"
    table.merge([slot(0, 5, 5.0, confirmed=True)], T_S)
    assert worth(table, 3) == (5.0, False)


def test_a_confirmed_part_of_a_longer_forecast_counts_in_its_own_time() -> None:
    table = known(slot(0, 30, 1.0), slot(5, 10, 2.0, confirmed=True), slot(0, 30, 3.0))
    assert [worth(table, minute) for minute in (4.99, 5, 9.99, 10)] == [
        (3.0, True),
        (2.0, False),
        (2.0, False),
        (3.0, True),
    ]


def test_a_slot_begins_at_its_start_and_is_over_at_its_end() -> None:
    table = known(slot(0, 5, 1.0, confirmed=True), slot(5, 10, 2.0, confirmed=True))
    assert [worth(table, minute) for minute in (0, 4.999, 5, 9.999)] == [
        (1.0, False),
        (1.0, False),
        (2.0, False),
        (2.0, False),
    ]


def test_the_last_price_serves_a_while_as_an_estimate_with_a_fault() -> None:
    table = known(slot(0, 5, 1.0, confirmed=True))
    state = table.at(T_S + 600.0)
    assert (state.export_value_c, state.import_price_c, state.estimated) == (1.0, 21.0, True)
    assert state.fault == "Amber's last price ended at 2026-01-01 00:05 UTC"
    assert worth(table, 20) == (1.0, True)
    over = table.at(T_S + 1200.001)
    assert (over.export_value_c, over.fault) == (None, "Amber's last price ended at 2026-01-01 00:05 UTC")
    assert worth(known(slot(0, 5, 1.0, confirmed=True), stale_s=0.0), 5.001) == (None, True)


def test_a_gap_between_two_slots_is_bridged_by_the_one_before() -> None:
    table = known(slot(0, 5, 1.0, confirmed=True), slot(10, 15, 2.0))
    assert worth(table, 7) == (1.0, True)


def test_prices_of_the_future_only_show_that_a_clock_is_wrong() -> None:
    state = known(slot(60, 65, 1.0)).at(T_S)
    assert state.export_value_c is None
    assert "begins in the future: check this computer's clock" in str(state.fault)


def test_what_is_long_over_is_forgotten_but_for_the_last_that_serves() -> None:
    table = known(slot(0, 5, 1.0, confirmed=True), slot(5, 10, 2.0, confirmed=True))
    table.merge([], T_S + PAST_S + 3600.0)
    assert [one.export_value_c for one in table.slots] == [2.0]
    table.clear()
    assert table.slots == ()


def test_a_slot_that_ends_before_it_begins_is_none() -> None:
    assert known(slot(5, 5, 1.0), slot(5, 0, 1.0)).slots == ()


@pytest.mark.parametrize("first", [-MOST - 50, 0, -2 * MOST])
def test_a_flood_of_slots_leaves_those_around_now(first: int) -> None:
    """A quarter of a minute each."""
    table = Timetable("Amber", "AUD", 900.0)
    table.merge([slot(0.25 * number, 0.25 * number + 0.25, 1.0) for number in range(first, first + 3 * MOST)], T_S)
    assert len(table.slots) <= 2 * MOST
    assert worth(table, 0) == (1.0, True)


SLOTS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([5, 15, 30]), st.floats(-50.0, 50.0), st.booleans()).map(
        lambda drawn: slot(drawn[0] * 5, drawn[0] * 5 + drawn[1], drawn[2], confirmed=drawn[3])
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(answers=st.lists(SLOTS, max_size=5), minute=st.floats(0.0, 200.0))
def test_whatever_is_told_in_whatever_order(answers: list[list[PriceSlot]], minute: float) -> None:
    """Confirmed is only what was told as confirmed for that very moment; the view has no overlaps."""
    table = Timetable("Amber", "AUD", 900.0)
    for answer in answers:
        table.merge(answer, T_S)
    now_s = T_S + 60.0 * minute
    told = [one for answer in answers for one in answer if one.start_utc_s <= now_s < one.end_utc_s]
    state = table.at(now_s)
    if not state.estimated:
        assert any(one.confirmed and one.export_value_c == state.export_value_c for one in told)
    if any(one.confirmed for one in told) and len(answers) == 1:
        assert not state.estimated
    view = table.since(T_S)
    assert all(one.end_utc_s <= after.start_utc_s for one, after in pairwise(view))
