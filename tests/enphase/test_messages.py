"""The four documents on MQTT, key by key as those who read them know them, and what may not come in."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enphase import inventory, meters
from app.enphase.messages import documents
from app.model import DeviceError, EnvoyState
from tests.enphase.fake_envoy import fixture, heard

PHASE = ["power", "current", "voltage", "power_react", "power_appearent", "power_factor", "frequency"]
ENERGY = ["whToday", "vahToday", "whLifetime", "vahLifetime"]
COUNTED = {
    "pv": ["energy_forward"],
    "grid": ["energy_forward", "energy_reverse"],
    "consumption": ["energy_forward"],
}


def test_the_meters_have_every_key_in_its_place() -> None:
    found = documents(heard())["meters"]
    assert list(found) == ["pv", "grid", "consumption"]
    for kind, meter in found.items():
        for phase in ("L1", "L2", "L3"):
            assert set(meter[phase]) == {*PHASE, *ENERGY} | (
                {"energy_forward", "energy_reverse"} if kind == "grid" else {"energy_forward"}
            )
        rest = [key for key in meter if key not in ("L1", "L2", "L3")]
        assert rest == [key for key in PHASE if key not in ("power_factor", "frequency")] + ENERGY + COUNTED[kind]


def test_the_meters_tell_what_the_gateway_measures() -> None:
    found = documents(heard())["meters"]
    assert found["pv"]["L1"] == {
        "power": 400.0,
        "current": 1.736,
        "voltage": 231.0,
        "power_react": 30.0,
        "power_appearent": 401.124,
        "power_factor": 1.0,
        "frequency": 50.0,
        "whToday": 1500.25,
        "vahToday": 1600.0,
        "whLifetime": 1200000.5,
        "vahLifetime": 1300000.0,
        "energy_forward": 1200.001,
    }
    grid = found["grid"]
    assert (grid["power"], grid["L1"]["power"]) == (-36.162, -112.5), "export is negative"
    assert grid["voltage"] == 693.0, "the sum of the phases"
    assert (grid["energy_forward"], grid["energy_reverse"]) == (3738.205, 1512.345)
    assert grid["L3"]["energy_reverse"] == 412.345
    assert (grid["whToday"], grid["L1"]["vahToday"]) == (0.0, 0.0), "as the gateway reports it, which counts no days"
    assert {line.today_wh for line in (heard().meters[1].total, *heard().meters[1].phases)} == {None}
    used = found["consumption"]
    assert used["power"] == pytest.approx(746.338), "what is produced and what comes from the grid"
    assert used["L1"]["power"] == 287.5
    assert used["L1"]["power_appearent"] == pytest.approx(math.hypot(287.5, 90.0), abs=1e-3)
    assert (used["whToday"], used["energy_forward"]) == (9000.0, 6000.0)


def test_a_little_production_is_shown_as_none_there_and_nowhere_else() -> None:
    state = heard()
    found = documents(state)["meters"]["pv"]
    assert (found["L3"]["power"], found["L3"]["current"], found["L3"]["power_react"]) == (0.0, 0.0, 90.0)
    assert found["power"] == 782.5
    assert state.meters[0].phases[2].power_w == 2.5
    dark = fixture("readings")
    for channel in dark[0]["channels"]:
        channel["activePower"] = 1.2
    night = documents(heard(readings=dark))["meters"]["pv"]
    assert (night["power"], night["current"]) == (0.0, 0.0)


def test_a_phase_without_voltage_is_left_out() -> None:
    split = fixture("readings")
    for row in split[:2]:
        row["channels"][1] |= {"voltage": 0.0, "activePower": 0.0, "current": 0.0}
    found = documents(heard(readings=split))["meters"]
    for meter in found.values():
        assert [key for key in meter if key.startswith("L")] == ["L1", "L3"]
    assert found["grid"]["power"] == -96.5
    single = fixture("meters")
    for row in single:
        row["phaseCount"] = 1
    one = documents(heard(meters=single))["meters"]
    assert [key for key in one["grid"] if key.startswith("L")] == ["L1"]
    assert one["grid"]["power"] == -112.5, "the other channels belong to nobody"
    assert one["consumption"]["power"] == 287.5


def test_devices_inverters_and_events_are_those_of_the_reference() -> None:
    found = documents(heard())
    running = {
        "status": ["envoy.global.ok"],
        "producing": True,
        "communicating": True,
        "provisioned": True,
        "operating": True,
    }
    assert found["devices"] == {
        "inverters": {f"12200000000{i}": running for i in (1, 2, 3)},
        "batteries": {},
        "relais": {"122100000001": running | {"producing": False, "relay": "closed", "reason": "ok"}},
    }
    assert list(found["devices"]["relais"]["122100000001"])[-2:] == ["relay", "reason"]
    assert json.dumps(found["inverters"]) == json.dumps(
        {f"12200000000{i}": {"lastReportDate": 1667471311, "lastReportWatts": 40 + 10 * i} for i in (1, 2, 3)}
    )
    events = found["events"]
    assert list(events) == [str(number) for number in range(3015, 3025)]
    assert events["3021"] == {
        "message": "DC Voltage Too Low: Clear",
        "serialNumber": "122000000001",
        "type": "pcu channel 1",
        "datetime": "Thu Nov 03, 2022 07:42 AM CET",
    }
    assert events["3015"]["type"] == "pcu ", "as the gateway writes it"


def test_what_is_unknown_has_no_key_and_no_document() -> None:
    assert documents(EnvoyState("enphase")) == {}
    bare = heard(
        production={"production": [], "consumption": []}, inverters=[{"serialNumber": "1", "lastReportDate": 0}]
    )
    found = documents(bare)
    assert found["inverters"] == {"1": {}}
    assert "whToday" not in found["meters"]["pv"]
    assert "energy_forward" not in found["meters"]["pv"]
    assert found["meters"]["grid"]["energy_forward"] == 3738.205


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*fixture("readings")[0], *fixture("inventory")[0], "type", "aaData"]), inner)
    ),
    max_leaves=12,
)


def spoilt(document: Any, places: list[int], value: Any) -> Any:
    """The document with one value replaced, somewhere."""
    whole = json.loads(json.dumps(document))
    part = whole
    for place in places:
        inside = list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []
        if not inside:
            return value
        key = inside[place % len(inside)]
        if not isinstance(part[key], dict | list) or place == places[-1]:
            part[key] = value
            break
        part = part[key]
    return whole


@given(
    st.sampled_from(["meters", "readings", "production", "inverters", "inventory", "events"]),
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
    ANY,
)
def test_whatever_a_document_holds_it_is_refused_in_words_or_goes_out_as_json(
    name: str, places: list[int], value: Any
) -> None:
    for changed in (value, spoilt(fixture(name), places, value)):
        with suppress(DeviceError):
            json.dumps(documents(heard(**{name: changed})), allow_nan=False).encode()


@given(ANY, ANY, ANY, ANY)
def test_a_battery_is_known_or_not(stock: Any, secctrl: Any, power: Any, reported: Any) -> None:
    state = inventory.battery(stock, secctrl, power, reported, "battery")
    if state is not None:
        assert state.soc_pct is None or 0.0 <= state.soc_pct <= 100.0
        assert state.power_w is None or math.isfinite(state.power_w)


def test_a_battery_is_one_of_all_of_them() -> None:
    stock, secctrl, power = (fixture(name) for name in ("ensemble_inventory", "secctrl", "power"))
    state = inventory.battery(stock, secctrl, power, None, "battery")
    assert state is not None
    assert (state.soc_pct, state.power_w, state.capacity_wh) == (62.0, 750.5, 7000.0), "charging is positive"
    alone = inventory.battery(stock, None, None, None, "battery")
    assert alone is not None
    assert (alone.soc_pct, alone.power_w) == (62.0, None)
    old = {"storage": [{"type": "acb", "activeCount": 3, "wNow": 260, "state": "discharging", "percentFull": 25}]}
    acb = inventory.battery(None, None, None, old, "battery")
    assert acb is not None
    assert (acb.soc_pct, acb.power_w) == (25.0, -260.0)
    assert inventory.battery([], None, {"devices:": []}, fixture("production"), "battery") is None
    assert [one.kind for one in inventory.devices(stock)] == ["battery", "battery"]


def test_a_gateway_without_clamps_tells_what_its_inverters_reported() -> None:
    plain = {"production": [{"type": "inverters", "activeCount": 3, "readingTime": 1, "wNow": 180, "whLifetime": 9}]}
    (meter,) = meters.report(plain)
    assert (meter.kind, meter.total.power_w, meter.total.lifetime_wh, meter.phases) == ("pv", 180.0, 9.0, ())


def test_a_total_that_only_repeats_the_net_is_not_believed() -> None:
    document = fixture("production")
    net = document["consumption"][1]
    document["consumption"][0] = net | {"measurementType": "total-consumption"}
    assert [meter.kind for meter in meters.report(document)] == ["pv", "grid"]


def test_clamps_at_the_load_tell_the_grid() -> None:
    there, rows = fixture("meters"), fixture("readings")
    there[1]["measurementType"] = "total-consumption"
    found = {meter.kind: meter for meter in meters.readings(rows, meters.measuring(there)).meters}
    assert list(found) == ["pv", "grid", "consumption"]
    assert found["grid"].total.power_w == pytest.approx(-36.162 - 782.5)
