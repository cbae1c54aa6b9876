"""From settings, price and cap to one goal: who wins, and what a price may do."""

from __future__ import annotations

import pytest

from app.control.policy import goal
from app.model import Mode, PriceState, Settings

ON, PAUSED = Settings(enabled=True, target_point_w=15.0), Settings(enabled=False, target_point_w=15.0)
NAN = float("nan")


def price(export_value_c: float | None, *, estimated: bool = False) -> PriceState:
    return PriceState(export_value_c, 30.0, estimated)


def test_without_a_price_section_the_target_is_held() -> None:
    aim = goal(ON, None, None)
    assert (aim.mode, aim.target_w, aim.reason) == (Mode.LIMIT, 15.0, "holding the target")


@pytest.mark.parametrize(
    ("value_c", "estimated", "opened", "mode"),
    [
        (10.7, False, False, Mode.OPEN),
        (10.7, False, True, Mode.OPEN),
        (0.001, False, False, Mode.OPEN),
        (0.0, False, True, Mode.LIMIT),  # nothing is earned at exactly 0
        (-0.0, False, True, Mode.LIMIT),
        (-2.1, False, True, Mode.LIMIT),
        (10.7, True, False, Mode.LIMIT),  # an estimate does not open
        (10.7, True, True, Mode.OPEN),  # and does not close
        (0.0, True, True, Mode.LIMIT),  # unless it says that export does not pay: then at once
        (-2.1, True, True, Mode.LIMIT),
        (None, False, True, Mode.LIMIT),
        (None, True, True, Mode.LIMIT),
        (NAN, False, True, Mode.LIMIT),
    ],
)
def test_export_opens_for_a_confirmed_gain_only(
    value_c: float | None, estimated: bool, opened: bool, mode: Mode
) -> None:
    aim = goal(ON, price(value_c, estimated=estimated), 5000.0, opened=opened)
    assert (aim.mode, aim.target_w) == (mode, -5000.0 if mode is Mode.OPEN else 15.0)


@pytest.mark.parametrize(("value_c", "mode"), [(5.1, Mode.OPEN), (5.0, Mode.LIMIT), (4.9, Mode.LIMIT)])
def test_the_threshold_has_to_be_passed(value_c: float, mode: Mode) -> None:
    assert goal(ON, price(value_c), None, 5.0, opened=True).mode is mode


def test_open_without_a_cap_needs_no_regulation() -> None:
    aim = goal(ON, price(8.25), None)
    assert (aim.mode, aim.target_w) == (Mode.OPEN, None)
    assert aim.reason == "export earns 8.2 c/kWh: inverters released to their maximum"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (price(None), "the price of export is unknown: holding the target"),
        (price(-2.14), "export costs 2.1 c/kWh: holding the target"),
        (price(0.0), "export earns 0.0 c/kWh: holding the target"),
        (price(4.0, estimated=True), "the price of export is not confirmed yet: holding the target"),
    ],
)
def test_the_reason_says_why_export_stays_closed(known: PriceState, reason: str) -> None:
    assert goal(ON, known, None).reason == reason


@pytest.mark.parametrize("known", [None, price(None), price(-20.0), price(20.0)])
def test_pause_comes_before_price_and_the_cap_before_both(known: PriceState | None) -> None:
    assert goal(PAUSED, known, None, opened=True).mode is Mode.PAUSED
    assert goal(PAUSED, known, None, opened=True).target_w is None
    assert goal(PAUSED, known, 200.0, opened=True).target_w == -200.0


def test_a_target_beyond_the_cap_is_cut_to_it() -> None:
    assert goal(Settings(target_point_w=-800.0), None, 300.0).target_w == -300.0
    assert goal(Settings(target_point_w=-800.0), None, None).target_w == -800.0
    assert goal(Settings(target_point_w=-100.0), price(-1.0), 300.0).target_w == -100.0
    assert str(goal(PAUSED, None, 0.0).target_w) == "0.0"
