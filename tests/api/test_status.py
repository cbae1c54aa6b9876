"""The one projection that HTTP, the event stream and MQTT share."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

from jsonschema import Draft202012Validator

from app.api.openapi import openapi
from app.api.status import status
from app.api.values import iso
from app.model import Ac, Fault, MeterState, Mode, Override, PriceState, Settings

from .ticks import ACCOUNT, BATTERY, GATE, LEDGER, METER_FAULT, UTC_S, make_inverter, make_tick

show = partial(status, version="1.2.3", site="home")


def test_a_regulating_house() -> None:
    tick = make_tick(grid_w=-7.25)
    shown = show(tick, Settings(enabled=True, target_point_w=20.0), now_s=100.5)
    assert (shown["enabled"], shown["mode"], shown["reason"]) == ("on", "limit", "holding 15 W of import")
    assert (shown["grid_w"], shown["pv_w"], shown["limit_w"]) == (-7.25, 612.4, 640.0)
    assert (shown["target_w"], shown["target_point_w"]) == (15.0, 20.0)
    assert shown["meter"]["age_s"] == 0.8
    assert [phase["power_w"] for phase in shown["meter"]["phases"]] == [-120.0, 80.0, 54.6]
    inverter = shown["inverters"][0]
    assert (inverter["serial"], inverter["power_w"], inverter["age_s"]) == ("116180400001", 612.4, 2.5)
    assert (inverter["limit_w"], inverter["acked_w"], inverter["acked_age_s"]) == (640.0, 640.0, 4.5)
    assert [panel["name"] for panel in inverter["panels"]] == ["East", None]
    assert shown["ages"] == {"tick_s": 0.5, "meter_s": 0.8, "inverters_s": {"116180400001": 2.5}}
    assert shown["time_utc"] == "2025-06-15T15:06:40.000Z"
    assert (shown["site"], shown["version"], shown["dry_run"], shown["price"]) == ("home", "1.2.3", False, None)


def test_before_the_first_tick_nothing_is_known_and_nothing_is_zero() -> None:
    shown = show(None, Settings(enabled=False), now_s=3.0)
    assert (shown["enabled"], shown["mode"]) == ("off", "starting")
    assert shown["grid_w"] is shown["pv_w"] is shown["limit_w"] is shown["meter"] is shown["time_utc"] is None
    assert shown["inverters"] == shown["faults"] == []


def test_a_battery_is_shown_with_its_age_and_what_is_wrong_with_it() -> None:
    shown = show(make_tick(battery=replace(BATTERY, fault="it is silent")), Settings(), now_s=100.5)["battery"]
    assert (shown["name"], shown["soc_pct"], shown["power_w"], shown["age_s"]) == ("Cellar", 61.5, -420.0, 2.5)
    assert (shown["capacity_wh"], shown["max_charge_w"], shown["fault"]) == (10_000.0, 3000.0, "it is silent")
    assert show(make_tick(), Settings(), now_s=100.5)["battery"] is None


def test_unknown_stays_null() -> None:
    bare = make_inverter(ac=Ac(), panels=(), power_at_s=None, commanded_w=None, acked_w=None, reachable=None)
    tick = make_tick(None, inverters=(bare,), meter=MeterState(fault="no answer"), pv_w=None, limit_w=None)
    shown = show(tick, Settings(), now_s=100.0)
    assert shown["grid_w"] is shown["load_w"] is shown["pv_w"] is None
    assert (shown["meter"]["power_w"], shown["meter"]["age_s"], shown["meter"]["fault"]) == (None, None, "no answer")
    inverter = shown["inverters"][0]
    for key in ("power_w", "age_s", "limit_w", "acked_w", "reachable", "temperature_c", "yield_day_wh"):
        assert inverter[key] is None, key


def test_what_is_no_number_never_reaches_json() -> None:
    strange = make_inverter(ac=Ac(power_w=math.nan, temperature_c=math.inf), max_w=-math.inf)
    tick = make_tick(math.nan, inverters=(strange,), pv_w=-math.inf, load_w=-0.0001, price=PriceState(math.nan))
    shown = show(tick, Settings(), now_s=100.0)
    text = json.dumps(shown, allow_nan=False)
    assert "-0.0" not in text
    assert shown["grid_w"] is shown["pv_w"] is shown["price"]["export_value_c"] is None
    assert shown["load_w"] == 0.0


def test_faults_of_the_tick_and_from_elsewhere_each_once() -> None:
    disk = Fault("disk", "The disk is full.", "Delete something.")
    tick = make_tick(None, mode=Mode.FAIL_SAFE, faults=(METER_FAULT,))
    again = replace(METER_FAULT, text="the same again")
    shown = show(tick, Settings(), now_s=100.0, extra_faults=(disk, again))
    assert [fault["key"] for fault in shown["faults"]] == ["meter", "disk"]
    assert shown["faults"][0]["text"] == METER_FAULT.text
    assert shown["faults"][0]["since"] == iso(UTC_S - 75.0)
    assert shown["faults"][1] == {"key": "disk", "text": disk.text, "next_step": disk.next_step, "since": None}


def test_faults_outside_the_core_come_with_the_tick() -> None:
    disk = Fault("disk", "The disk is full.", "Delete something.", UTC_S)
    again = replace(METER_FAULT, text="the same again")
    tick = make_tick(None, faults=(METER_FAULT,), outside=(again, disk))
    assert tick.faults == (METER_FAULT, disk)
    assert [fault["key"] for fault in show(tick, Settings(), now_s=100.0)["faults"]] == ["meter", "disk"]


def test_the_account_of_excursions() -> None:
    shown = show(make_tick(excursions=ACCOUNT), Settings(), now_s=100.0)
    assert shown["excursions"] == {
        "over_w": 50.0,
        "longer_s": 15.0,
        "current_s": 0.0,
        "today": 2,
        "today_over_60_s": 1,
        "longest_today_s": 75.5,
        "worst_today_w": 412.0,
        "beyond_today_wh": 23.4,
        "unknown_today_s": 240.0,
        "in_10_min": 1,
        "in_24_h": 3,
        "total": 17,
        "over_60_s": 4,
        "longest_s": 610.0,
        "since": "2025-06-14T15:06:40.000Z",
        "last": {"began": "2025-06-15T14:51:40.000Z", "length_s": 22.0, "worst_w": 310.0},
    }
    schema = {"$ref": "#/components/schemas/Status", "components": openapi("1.2.3")["components"]}
    Draft202012Validator(schema).validate(shown)
    unknown = replace(ACCOUNT, current_s=None, last=None)
    shown = show(make_tick(excursions=unknown), Settings(), now_s=100.0)
    assert shown["excursions"]["current_s"] is shown["excursions"]["last"] is None
    Draft202012Validator(schema).validate(shown)
    assert show(make_tick(dry_run=True), Settings(), now_s=100.0)["excursions"] is None


def test_who_else_commands_an_inverter_and_whether_it_is_guarded() -> None:
    inverter = make_inverter(guarded=True, foreign="solar/1/cmd/power: 0", foreign_at_s=90.0)
    (shown,) = show(make_tick(inverters=(inverter,)), Settings(), now_s=100.0)["inverters"]
    assert (shown["guarded"], shown["foreign"], shown["foreign_age_s"]) == (True, "solar/1/cmd/power: 0", 10.0)
    (shown,) = show(make_tick(), Settings(), now_s=100.0)["inverters"]
    assert (shown["guarded"], shown["foreign"], shown["foreign_age_s"]) == (False, None, None)


def test_a_loop_that_stands_still_is_the_first_fault() -> None:
    tick = make_tick(faults=(METER_FAULT,))
    assert [f["key"] for f in show(tick, Settings(), now_s=105.0)["faults"]] == ["meter"]
    late = show(tick, Settings(), now_s=105.1)
    assert [f["key"] for f in late["faults"]] == ["stalled", "meter"]
    assert "nothing is regulated" in late["faults"][0]["text"]


def test_a_price_and_when_it_ends() -> None:
    price = PriceState(-2.5, 31.0, False, UTC_S + 300, currency="AUD")
    shown = show(make_tick(price=price), Settings(), now_s=100.0)
    assert shown["price"] == {
        "export_value_c": -2.5,
        "import_price_c": 31.0,
        "estimated": False,
        "valid_until_utc": "2025-06-15T15:11:40.000Z",
        "fault": None,
        "currency": "AUD",
    }
    assert (shown["gate"], shown["override"], shown["ledger"]) == (None, None, None)


def test_what_the_gate_asks_for_and_what_it_made_of_it() -> None:
    override = Override(Mode.OPEN, UTC_S + 1800.0)
    shown = show(make_tick(gate=GATE, ledger=LEDGER), Settings(override=override), now_s=100.0)
    assert shown["gate"] == {
        "mode": "limit",
        "reason": "export costs 2.0 c/kWh: holding the target",
        "since_utc": "2025-06-15T14:56:40.000Z",
        "by_hand": False,
    }
    assert shown["override"] == {"mode": "open", "until_utc": "2025-06-15T15:36:40.000Z"}
    assert shown["ledger"]["today"]["saved_c"] == 2.8
    assert (shown["ledger"]["currency"], shown["ledger"]["total"]["export_wh"]) == ("AUD", 1120.5)


def test_a_time_that_is_no_date_is_unknown() -> None:
    assert iso(1e30) is iso(math.nan) is iso(None) is None
