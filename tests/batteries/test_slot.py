"""The battery's place beside the loop: its latest state, what is wrong with it, and the rules for it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from app.access import Access
from app.batteries import BatterySlot
from app.batteries.base import percent
from app.batteries.slot import told
from app.control.battery_rules import BatteryRules
from app.model import BatteryState, DeviceDataError, DeviceUnavailable
from tests.batteries.conftest import section

KEYS = {"type": "mqtt", "soc_topic": "b/soc", "power_topic": "b/power"}
STATE = BatteryState("Cellar", 60.0, 500.0, 100.0)


def slot(access: Access, **keys: Any) -> BatterySlot:
    return BatterySlot(section(**KEYS, **keys), access)


async def test_before_anything_came_nothing_is_known(access: Access) -> None:
    found = slot(access, name="Cellar", capacity_wh=5000, max_charge_w=2500).state
    assert found == BatteryState("Cellar", interval_s=10.0, capacity_wh=5000.0, max_charge_w=2500.0)


async def test_a_fault_leaves_the_values_and_is_told_once(access: Access, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app")
    place = slot(access)
    place.take(STATE)
    for number in range(3):
        place.take(DeviceUnavailable(f"it is silent ({number})"))
    assert place.state == replace(STATE, fault="it is silent (2)")
    place.take(replace(STATE, at_s=130.0))
    assert place.state.fault is None
    assert [record.getMessage() for record in caplog.records] == [
        "battery: it is silent (0)",
        "battery Cellar is back: 60 %, charging with 500 W",
    ]


async def test_what_is_stale_is_a_fault_with_its_reason(access: Access) -> None:
    place = slot(access)
    assert place.faults(0.0, 1000.0) == ()
    [fault] = place.faults(40.0, 1040.0)
    assert (fault.key, fault.since_utc_s) == ("battery", 1000.0)
    assert "Nothing is known of the battery for 40 s: nothing comes." in fault.text
    place.take(STATE)
    assert place.faults(110.0, 1110.0) == ()
    place.take(DeviceUnavailable("the cloud is away"))
    assert place.faults(129.0, 1129.0) == (), "one failure is none yet"
    [fault] = place.faults(131.0, 1131.0)
    assert "for 31 s: the cloud is away." in fault.text


async def test_a_driver_with_a_bug_is_a_fault_and_is_told_to_who_runs_it(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = slot(access)

    async def broken(_emit: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(place._battery, "run", broken)
    with pytest.raises(ZeroDivisionError):
        await place.run()
    assert "its driver has failed (ZeroDivisionError)" in str(place.state.fault)


def test_a_state_in_words() -> None:
    shown = [told(replace(STATE, power_w=power_w)) for power_w in (-500.0, 0.3, None)]
    assert shown == ["60 %, discharging with 500 W", "60 %, idle", "60 %, power unknown"]
    assert told(replace(STATE, soc_pct=None)) == "charge unknown, charging with 500 W"


def test_the_rules_are_those_of_the_section() -> None:
    assert section(**KEYS).rules == BatteryRules()
    asked = {
        "allow_charge": False,
        "auto_charge_below_soc": 90.0,
        "auto_charge_w": 1000.0,
        "auto_charge_max_w": 2000.0,
        "full_soc_pct": 98.0,
        "bias_w": 10.0,
        "bias_full_w": 20.0,
        "taper": False,
        "strict": True,
        "stale_s": 60.0,
    }
    assert section(**KEYS, **asked).rules == BatteryRules(**asked)  # type: ignore[arg-type]
    assert section(**KEYS, interval_s=1).rules.stale_s == 15.0
    assert section(**KEYS, interval_s=60).rules.stale_s == 180.0


@pytest.mark.parametrize(
    "keys",
    [
        {"auto_charge_w": -1.0},
        {"auto_charge_below_soc": 101.0},
        {"full_soc_pct": 20.0},
        {"bias_w": float("nan")},
        {"stale_s": 0.0},
    ],
)
def test_rules_that_cannot_be_meant_are_refused(keys: dict[str, float]) -> None:
    [name] = keys
    with pytest.raises(ValueError, match=f"{name}: .* is not within"):
        BatteryRules(**keys)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=name):
        section(**KEYS, **keys)


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0), (55.5, 55.5), (100.4, 100.0), (-0.5, 0.0)])
def test_a_charge(value: Any, expected: float) -> None:
    assert percent(value, "soc") == expected


@pytest.mark.parametrize("value", [None, True, "x", [], float("nan"), -5, 102, 10**400])
def test_what_is_no_charge(value: Any) -> None:
    with pytest.raises(DeviceDataError, match="soc is"):
        percent(value, "soc")
