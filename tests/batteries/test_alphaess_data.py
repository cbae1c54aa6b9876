"""AlphaESS's signature, its values, and which way round they count."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alphaess.data import ENOUGH, Power, SignFinder, Signs, evidence, parse, signature, systems
from app.model import DeviceDataError
from tests.meters.fakes.alphaess import APP_ID, SECRET, FakeSystem

VECTOR = (
    "0f023c2287b8f6b21b0994947465f8e9de0e1542567b1735bdc6c427336b9b64"
    "06285cd94f9215c3e9af958df37fb11c2c9fe792713d8afbdb8c463359a1add8"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_a_request_is_signed_as_the_portal_shows() -> None:
    assert signature(APP_ID, SECRET, "1676353875") == VECTOR


def test_what_a_live_system_says() -> None:
    power = parse(FakeSystem(soc=15.6).data(1, 1))
    assert (power.soc_pct, power.battery, power.grid, power.load_w) == (15.6, 1264.0, 11.0, 1275.0)
    assert power.phases == (11.0, 0.0, 0.0)
    assert (Signs().charging_w(power), Signs().import_w(power)) == (-1264.0, 11.0)
    assert (Signs(-1, -1).charging_w(power), Signs(-1, -1).import_w(power)) == (1264.0, -11.0)


def test_phases_that_are_not_those_of_the_power_are_left_out() -> None:
    data = FakeSystem(grid_w=500.0).data(1, 1)
    assert parse({**data, "pgridDetail": {"pmeterL1": 1.0, "pmeterL2": 2.0, "pmeterL3": 3.0}}).phases == ()
    assert parse({**data, "pgridDetail": None}).phases == ()


@given(JSON)
def test_whatever_comes_is_read_or_refused(document: Any) -> None:
    for read in (parse, systems):
        with suppress(DeviceDataError):
            read(document)
    data = {"soc": document, "pbat": document, "pgrid": document, "pload": document, "ppv": document}
    SignFinder().take(parse({**data, "pgridDetail": document}), 300.0)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize(
    "house",
    [
        FakeSystem(battery_w=-1500.0, grid_w=-900.0, pv_w=3000.0),
        FakeSystem(battery_w=1264.0, grid_w=700.0),
        FakeSystem(battery_w=2000.0, grid_w=-800.0, pv_w=400.0),
        FakeSystem(battery_w=-1000.0, grid_w=-600.0, pv_w=0.0, unseen_w=2200.0),
    ],
    ids=["sun", "evening", "discharging into the grid", "the sun of inverters that it does not see"],
)
def test_the_balance_tells_the_signs(house: FakeSystem, signs: tuple[int, int]) -> None:
    own_pv_w = house.unseen_w or None
    assert evidence(parse(house.data(*signs)), own_pv_w) == Signs(*signs)


@pytest.mark.parametrize(
    ("power", "own_pv_w"),
    [
        (Power(50.0, 150.0, 20.0, 170.0, 0.0), None),
        (Power(50.0, 1000.0, 1000.0, 0.0, 0.0), None),
        (Power(50.0, None, 1000.0, 1000.0, 0.0), None),
        (Power(50.0, 1000.0, 1000.0, None, 0.0), None),
        (Power(50.0, 500.0, 300.0, 5000.0, 0.0), None),
        (Power(50.0, 500.0, 500.0, 1000.0, 0.0), 2000.0),
    ],
    ids=["too small", "no load", "no battery", "unknown load", "no balance", "both would do"],
)
def test_where_the_balance_does_not_tell_nothing_is_said(power: Power, own_pv_w: float | None) -> None:
    assert evidence(power, own_pv_w) == Signs()


def _house(number: int, signs: tuple[int, int] = (-1, -1)) -> Power:
    return parse(FakeSystem(battery_w=-1500.0, grid_w=-900.0 - number, pv_w=3000.0).data(*signs))


def test_a_sign_is_settled_once_and_stays() -> None:
    finder = SignFinder()
    assert [finder.take(_house(number)) for number in range(ENOUGH)] == [False] * (ENOUGH - 1) + [True]
    assert finder.signs == Signs(-1, -1)
    assert not any(finder.take(_house(number, (1, 1))) for number in range(20))
    assert finder.signs == Signs(-1, -1)


def test_the_same_answer_again_and_one_that_says_otherwise_settle_nothing() -> None:
    finder = SignFinder()
    assert not any(finder.take(_house(0)) for _ in range(20)), "repeats of the cloud"
    assert not any(finder.take(_house(number, (sign, sign))) for number in range(20) for sign in (1, -1))
    assert finder.signs == Signs()


def test_each_sign_is_settled_by_itself() -> None:
    finder = SignFinder()
    for number in range(ENOUGH):
        finder.take(parse(FakeSystem(battery_w=20.0, grid_w=800.0 + number).data(1, -1)))
    assert finder.signs == Signs(None, -1)
