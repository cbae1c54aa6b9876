"""From a price, and somebody's override of it, to a mode: what restricts at once, what releases only when sure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.control.gate import LONGEST_OVERRIDE_S, PriceGate, PriceRules, active
from app.model import Gate, MeterState, Mode, Override, PriceState, Settings, Snapshot

UTC_S = 1_775_282_400.0
LIMIT, OPEN, SHUTDOWN = Mode.LIMIT, Mode.OPEN, Mode.SHUTDOWN


class Day:
    """A gate, told one price after the other; ``later_s`` passes before each."""

    def __init__(self, **rules: Any) -> None:
        self.gate = PriceGate(PriceRules(**rules))
        self.now_s, self.utc_s = 100.0, UTC_S
        self.override: Override | None = None
        self.last: Gate | None = None

    def told(self, price: PriceState | None, later_s: float = 1.0) -> Mode | None:
        self.now_s += later_s
        self.utc_s += later_s
        self.last = self.gate.step(
            Snapshot(self.now_s, self.utc_s, MeterState(), (), Settings(override=self.override), price)
        )
        return None if self.last is None else self.last.mode

    def confirmed(self, export_c: float | None, import_c: float | None = 30.0, later_s: float = 1.0) -> Mode | None:
        return self.told(PriceState(export_c, import_c, estimated=False), later_s)

    def estimated(self, export_c: float | None, import_c: float | None = 30.0, later_s: float = 1.0) -> Mode | None:
        return self.told(PriceState(export_c, import_c, estimated=True), later_s)

    def unknown(self, later_s: float = 1.0) -> Mode | None:
        return self.told(PriceState(), later_s)

    @property
    def reason(self) -> str:
        assert self.last is not None
        return self.last.reason


# -- threshold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value_c", "mode"), [(0.001, OPEN), (0.0, LIMIT), (-0.0, LIMIT), (-0.001, LIMIT)])
def test_export_has_to_earn_something(value_c: float, mode: Mode) -> None:
    assert Day().confirmed(value_c) is mode


@pytest.mark.parametrize("before_c", [10.0, -10.0])
@pytest.mark.parametrize("value_c", [0.0, -0.0])
@pytest.mark.parametrize(("at_threshold", "mode"), [("limit", LIMIT), ("allow", OPEN)])
def test_what_to_do_at_exactly_the_threshold_is_configured(
    before_c: float, value_c: float, at_threshold: str, mode: Mode
) -> None:
    day = Day(at_threshold=at_threshold)
    day.confirmed(before_c)
    assert day.confirmed(value_c) is mode


@pytest.mark.parametrize("least_c", [5.0, -2.0])
def test_the_threshold_may_be_anywhere(least_c: float) -> None:
    day = Day(export_threshold_c=least_c)
    assert [day.confirmed(least_c + more_c) for more_c in (0.1, 0.0, 0.1, -0.1)] == [OPEN, LIMIT, OPEN, LIMIT]


def test_what_is_no_number_is_unknown() -> None:
    assert Day().confirmed(float("nan")) is LIMIT
    assert Day(on_unknown="allow").confirmed(float("nan")) is OPEN


# -- estimates ---------------------------------------------------------------------------------------


def test_an_estimate_closes_at_once_and_never_opens() -> None:
    day = Day()
    assert day.estimated(1750.0) is LIMIT
    assert day.reason == "export earns 1750.0 c/kWh by an estimate: holding the target until it is confirmed"
    assert day.confirmed(3.0) is OPEN
    assert day.estimated(2.0) is OPEN, "and it keeps open what a confirmed price opened"
    assert day.estimated(-2.0) is LIMIT
    assert day.estimated(2.0) is LIMIT
    assert day.confirmed(2.0) is OPEN


# -- hysteresis and dwell ----------------------------------------------------------------------------


def test_it_closes_at_the_threshold_and_opens_past_the_hysteresis() -> None:
    day = Day(hysteresis_c=0.5)
    values = (0.5, 0.51, 0.3, 0.01, 0.0, 0.3, 0.5, 0.6)
    assert [day.confirmed(value_c) for value_c in values] == [LIMIT, OPEN, OPEN, OPEN, LIMIT, LIMIT, LIMIT, OPEN]
    day.confirmed(-1.0)
    day.confirmed(0.3)
    assert day.reason == "export earns 0.3 c/kWh, not yet 0.5 c more than the threshold: holding the target"


def test_where_the_threshold_allows_its_edge_the_hysteresis_s_edge_is_enough() -> None:
    day = Day(hysteresis_c=0.5, at_threshold="allow")
    assert [day.confirmed(value_c) for value_c in (0.49, 0.5, 0.0, -0.01)] == [LIMIT, OPEN, OPEN, LIMIT]


def test_the_edge_is_where_people_have_put_it() -> None:
    """The sum of 0.1 and 0.2 as computers reckon it is more than 0.3."""
    day = Day(export_threshold_c=0.1, hysteresis_c=0.2, at_threshold="allow")
    assert [day.confirmed(value_c) for value_c in (0.29, 0.3)] == [LIMIT, OPEN]


def test_it_stays_closed_for_its_dwell_time_and_closes_without_one() -> None:
    day = Day(dwell_s=60.0)
    assert day.confirmed(5.0) is OPEN, "it has been closed for long enough when it starts"
    assert day.confirmed(-5.0) is LIMIT
    assert day.confirmed(5.0, later_s=30.0) is LIMIT
    assert day.reason == "export earns 5.0 c/kWh: holding the target for 30 s more (price.dwell_s)"
    assert day.confirmed(5.0, later_s=29.9) is LIMIT
    assert day.confirmed(5.0, later_s=0.2) is OPEN
    assert day.confirmed(-5.0, later_s=0.1) is LIMIT


def test_the_dwell_time_counts_from_the_closing() -> None:
    day = Day(dwell_s=60.0)
    modes = [day.confirmed(value_c, later_s=40.0) for value_c in (5.0, -5.0, -4.0, 5.0)]
    assert modes == [OPEN, LIMIT, LIMIT, OPEN]


def test_the_dwell_time_is_no_matter_of_the_wall_clock() -> None:
    day = Day(dwell_s=60.0)
    day.confirmed(-5.0)
    day.confirmed(5.0)
    day.confirmed(-5.0)
    day.utc_s += 3600.0
    assert day.confirmed(5.0) is LIMIT


# -- unknown prices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_unknown", "after_open", "after_limit"), [
    ("limit", LIMIT, LIMIT), ("allow", OPEN, OPEN), ("hold", OPEN, LIMIT),
])  # fmt: skip
def test_what_to_do_with_an_unknown_price_is_configured(on_unknown: str, after_open: Mode, after_limit: Mode) -> None:
    day = Day(on_unknown=on_unknown)
    day.confirmed(5.0)
    assert day.unknown() is after_open
    day.confirmed(-5.0)
    assert day.unknown() is after_limit
    assert day.reason.startswith("the price of export is unknown: ")


def test_before_the_first_price_hold_means_closed() -> None:
    assert Day(on_unknown="hold").unknown() is LIMIT


def test_a_shutdown_may_be_held_or_end_when_the_price_is_lost() -> None:
    for on_unknown, mode in (("hold", SHUTDOWN), ("limit", LIMIT)):
        day = Day(on_unknown=on_unknown, shutdown_when_import_negative=True)
        assert day.confirmed(-3.0, -2.0) is SHUTDOWN
        assert day.unknown() is mode


# -- shut down ---------------------------------------------------------------------------------------


def test_it_shuts_down_only_where_wanted_and_only_while_taking_pays_and_giving_does_not() -> None:
    assert Day().confirmed(-3.0, -2.0) is LIMIT
    for import_c, export_c, mode in (
        (-2.0, -3.0, SHUTDOWN),
        (0.0, -3.0, LIMIT),
        (None, -3.0, LIMIT),
        (-2.0, 3.0, OPEN),
    ):
        assert Day(shutdown_when_import_negative=True).confirmed(export_c, import_c) is mode


def test_it_neither_shuts_down_nor_comes_back_on_an_estimate() -> None:
    day = Day(shutdown_when_import_negative=True)
    day.confirmed(5.0)
    assert day.estimated(-3.0, -2.0) is LIMIT, "but it closes"
    assert day.confirmed(-3.0, -2.0) is SHUTDOWN
    assert day.reason == "export costs 3.0 c/kWh and import earns 2.0 c/kWh: shut down"
    assert day.estimated(-3.0, 2.0) is SHUTDOWN
    assert day.estimated(5.0, 30.0) is SHUTDOWN
    assert "the inverters stay shut down until it is confirmed" in day.reason
    assert day.confirmed(-3.0, 2.0) is LIMIT
    assert day.confirmed(5.0, 2.0) is OPEN


def test_the_dwell_time_counts_once_from_when_export_was_closed() -> None:
    day = Day(shutdown_when_import_negative=True, dwell_s=60.0)
    assert day.confirmed(5.0, 2.0) is OPEN
    assert day.confirmed(-3.0, -2.0, later_s=1.0) is SHUTDOWN
    assert day.confirmed(-3.0, 2.0, later_s=30.0) is LIMIT
    assert day.confirmed(5.0, 2.0, later_s=29.0) is LIMIT
    assert day.confirmed(5.0, 2.0, later_s=2.0) is OPEN


def test_the_dwell_time_does_not_prolong_a_shutdown() -> None:
    """It is over with what it was for; only export has to wait."""
    day = Day(shutdown_when_import_negative=True, dwell_s=600.0)
    assert [day.confirmed(5.0), day.confirmed(-3.0, -2.0)] == [OPEN, SHUTDOWN]
    assert day.confirmed(5.0, 30.0, later_s=300.0) is LIMIT
    assert day.reason == "export earns 5.0 c/kWh: holding the target for 300 s more (price.dwell_s)"
    assert day.confirmed(5.0, 30.0, later_s=301.0) is OPEN


def test_what_earns_more_than_the_threshold_never_shuts_down() -> None:
    day = Day(shutdown_when_import_negative=True, hysteresis_c=0.5)
    assert day.confirmed(0.3, -5.0) is LIMIT
    assert day.confirmed(0.0, -5.0) is SHUTDOWN
    assert day.confirmed(0.3, -5.0) is LIMIT


# -- by hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [LIMIT, OPEN])
@pytest.mark.parametrize("price", [None, PriceState(), PriceState(-3.0, 3.0, False), PriceState(9.0, 3.0, True)])
def test_an_override_decides_until_its_end(mode: Mode, price: PriceState | None) -> None:
    day = Day()
    by_price = day.told(price)
    day.override = Override(mode, day.utc_s + 60.0)
    assert day.told(price) is mode
    assert day.last is not None
    assert (day.last.by_hand, "06:01 UTC" in day.reason) == (True, True)
    assert day.told(price, later_s=58.9) is mode
    assert day.told(price, later_s=0.2) is by_price
    assert day.last is None or not day.last.by_hand


def test_the_price_is_followed_behind_an_override() -> None:
    day = Day(hysteresis_c=0.5)
    day.confirmed(5.0)
    day.override = Override(LIMIT, day.utc_s + 60.0)
    assert day.confirmed(5.0) is LIMIT
    day.override = None
    assert day.estimated(4.0) is OPEN, "opened by a confirmed price, before the override and behind it"
    day.override = Override(OPEN, day.utc_s + 60.0)
    assert day.estimated(-4.0) is OPEN
    day.override = None
    assert day.estimated(4.0) is LIMIT, "an override confirms nothing"


@pytest.mark.parametrize("set_by_s", [-86_400.0 * 365 * 5, -86_400.0 - 61.0, 61.0, 86_400.0 * 365])
def test_an_override_does_not_outlive_a_clock_that_is_set(set_by_s: float) -> None:
    day = Day()
    day.override = Override(OPEN, day.utc_s + 60.0)
    assert day.confirmed(-3.0) is OPEN
    day.utc_s += set_by_s
    assert day.confirmed(-3.0) is LIMIT


def test_an_override_lasts_a_day_at_most() -> None:
    for left_s, in_force in ((0.0, False), (0.1, True), (LONGEST_OVERRIDE_S, True), (LONGEST_OVERRIDE_S + 0.1, False)):
        assert (active(Override(OPEN, 1000.0 + left_s), 1000.0) is not None) is in_force


# -- what is shown -----------------------------------------------------------------------------------


def test_it_says_since_when_and_a_new_reason_is_no_new_mode() -> None:
    day = Day()
    assert day.told(None) is None
    day.confirmed(5.0)
    assert day.last is not None
    since_s = day.last.since_utc_s
    day.estimated(4.0, later_s=300.0)
    assert (day.last.since_utc_s, day.last.reason) == (since_s, "export earns 4.0 c/kWh")
    day.confirmed(-4.0)
    assert (day.last.since_utc_s, day.last.reason) == (day.utc_s, "export costs 4.0 c/kWh: holding the target")


# -- whatever comes ----------------------------------------------------------------------------------

PRICES = st.one_of(
    st.just(PriceState()),
    st.builds(
        PriceState,
        export_value_c=st.one_of(st.sampled_from([0.0, -0.0, 0.5, float("nan")]), st.floats(-50.0, 50.0)),
        import_price_c=st.one_of(st.none(), st.floats(-50.0, 50.0)),
        estimated=st.booleans(),
    ),
)
RULES = st.fixed_dictionaries(
    {
        "at_threshold": st.sampled_from(["limit", "allow"]),
        "hysteresis_c": st.sampled_from([0.0, 0.5]),
        "dwell_s": st.sampled_from([0.0, 30.0]),
        "on_unknown": st.sampled_from(["limit", "hold"]),
        "shutdown_when_import_negative": st.booleans(),
    }
)


@settings(max_examples=200, deadline=None)
@given(rules=RULES, prices=st.lists(st.tuples(PRICES, st.sampled_from([1.0, 20.0, 300.0])), max_size=25))
def test_it_never_opens_on_anything_but_a_confirmed_price_that_pays(
    rules: dict[str, Any], prices: list[tuple[PriceState, float]]
) -> None:
    day, before = Day(**rules), LIMIT
    for price, later_s in prices:
        mode = day.told(price, later_s)
        assert mode is not None
        value_c = price.export_value_c
        known = value_c is not None and value_c == value_c
        if mode is OPEN and before is not OPEN:
            assert known
            assert not price.estimated
            assert value_c is not None
            assert value_c >= rules["hysteresis_c"]
        if known and value_c is not None and value_c < 0.0:
            assert mode is not OPEN, "and it closes at once"
        if mode is SHUTDOWN and before is not SHUTDOWN:
            assert not price.estimated
            assert (price.import_price_c or 0.0) < 0.0
        before = mode


@settings(max_examples=100, deadline=None)
@given(
    rules=RULES,
    prices=st.lists(st.tuples(PRICES, st.sampled_from([None, LIMIT, OPEN, LIMIT])), max_size=25),
)
def test_an_override_leaves_no_trace(rules: dict[str, Any], prices: list[tuple[PriceState, Mode | None]]) -> None:
    """Beside it, a gate that nobody has touched does the same, but for the time of the override."""
    touched, alone = Day(**rules), Day(**rules)
    for price, mode in prices:
        touched.override = None if mode is None else Override(mode, touched.utc_s + 10.0)
        by_price = alone.told(price)
        assert touched.told(price) is (by_price if mode is None else mode)
