"""What Home Assistant is told: the message itself, its grammar, and what its templates make of every state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.api.homeassistant import Installation, Shown, devices
from app.api.status import status
from app.model import Ac, Fault, MeterState, Mode, Override, PriceState, Settings, Tick

from .fake_home import GRAMMAR, Value, entities_of, render
from .ticks import GATE, LEDGER, METER_FAULT, UTC_S, make_inverter, make_tick

HERE = Path(__file__).parent
HOME = Installation("home", "1.2.3", page="http://192.168.1.2:8080")
SCHEMA: dict[str, Any] = json.loads((HERE / "homeassistant-schema.json").read_text(encoding="utf-8"))
PRICED = make_tick(price=PriceState(7.94, 31.5, currency="EUR"), ledger=LEDGER, gate=GATE)
TWO = (make_inverter(), make_inverter("114180400002", "Roof", reachable=False))


def told(tick: Tick, of: Installation = HOME) -> dict[str, dict[str, Any]]:
    return devices(of, Shown.of(tick), "homeassistant")


def problems(message: dict[str, Any]) -> list[str]:
    """What the schema has against a message, each component with what it shares with the others."""
    document = message | {"components": message["components"] | entities_of(message)}
    errors = Draft202012Validator(SCHEMA).iter_errors(document)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def states(tick: Tick, settings: Settings | None = None) -> dict[str, str]:
    """What every entity of the state document shows, by its id without the domain."""
    document = status(tick, settings or tick.snapshot.settings, now_s=100.5, version="1.2.3", site="home")
    value_json = json.loads(json.dumps(document), object_hook=Value)
    found: dict[str, str] = {}
    for message in told(tick).values():
        for part in entities_of(message).values():
            if "value_template" in part:
                name = part["default_entity_id"].partition(".")[2].removeprefix("zero_export_home_")
                found[name] = render(part["value_template"], value_json=value_json)
    return found


def test_the_message_is_the_one_that_was_looked_at() -> None:
    golden = HERE / "golden" / "homeassistant.json"
    assert told(PRICED) == json.loads(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("tick", [make_tick(), PRICED, make_tick(inverters=TWO)])
@pytest.mark.parametrize("of", [HOME, Installation("my-site_2", "1", "two/zero", "House")])
def test_it_keeps_to_what_home_assistant_documents(tick: Tick, of: Installation) -> None:
    assert [problem for message in told(tick, of).values() for problem in problems(message)] == []


@pytest.mark.parametrize(
    ("component", "change"),
    [
        ("grid_import", {"unit_of_measurement": "W"}),
        ("grid_import", {"state_class": "measurement"}),
        ("grid_power", {"unit_of_measurement": "kWh"}),
        ("grid_power", {"object_id": "grid_power"}),
        ("grid_power", {"entity_category": "config"}),
        ("mode", {"state_class": "measurement"}),
        ("export_value", {"unit_of_measurement": "ct/kWh"}),
        ("enabled", {"unit_of_measurement": "W"}),
        ("enabled", {"availability_topic": "zeropower/status"}),  # not beside a shared list
    ],
)
def test_the_schema_refuses_what_home_assistant_would(component: str, change: dict[str, str]) -> None:
    message = next(iter(told(PRICED).values()))
    message["components"][component] |= change
    assert problems(message)


def test_all_ids_are_of_this_site_and_of_nothing_else() -> None:
    one, other = (told(PRICED, replace(HOME, site=site)) for site in ("home", "barn"))
    ids = [
        {part[key] for message in messages.values() for part in entities_of(message).values()}
        for messages in (one, other)
        for key in ("unique_id", "default_entity_id")
    ]
    count = sum(len(entities_of(message)) for message in one.values())
    assert [len(found) for found in ids] == [count] * 4
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[3]
    assert not one.keys() & other.keys()
    assert [message["device"]["name"] for message in other.values()] == ["Zero export barn", "Garage"]


def test_inverters_are_devices_behind_the_controller_which_comes_first() -> None:
    first, *rest = told(make_tick(inverters=TWO)).values()
    assert [message["device"]["via_device"] for message in rest] == first["device"]["identifiers"] * 2
    assert not any("connections" in message["device"] for message in (first, *rest))


def test_every_template_keeps_to_the_grammar() -> None:
    for message in told(PRICED).values():
        for part in entities_of(message).values():
            templates = [value for key, value in part.items() if key.endswith("template")]
            templates += [item["value_template"] for item in part["availability"] if "value_template" in item]
            assert all(GRAMMAR.fullmatch(template) for template in templates), templates


def test_a_house_as_it_is_shown() -> None:
    found = states(PRICED)
    assert found["grid_power"] == "14.6"
    assert found["grid_import"] == "9.8"
    assert found["grid_export"] == "1.121"
    assert found["curtailed_energy"] == "11.4"
    assert found["export_value"] == "0.0794"
    assert found["import_price"] == "0.315"
    assert (found["mode"], found["fault"], found["fail_safe"]) == ("limit", "OFF", "OFF")
    assert (found["override"], found["override_until"]) == ("auto", "None")
    assert (found["116180400001_power"], found["116180400001_reachable"]) == ("612.4", "True")
    assert found["116180400001_energy"] == "1204.5"
    assert found["gateway"] == "True"
    assert found["meter_age"] == "0.8"


def test_nothing_unknown_is_shown_as_a_number() -> None:
    """Every number of a house that knows nothing is unknown; a price of exactly nothing is a number."""
    nothing = make_inverter(ac=Ac(), reachable=None, producing=None, commanded_w=None, power_at_s=None)
    tick = make_tick(
        None, inverters=(nothing,), meter=MeterState(), gateways=(), pv_w=None, limit_w=None, price=PriceState()
    )
    unknown = states(replace(tick, snapshot=replace(tick.snapshot, price=PriceState(currency="EUR"))))
    words = {"mode", "reason", "override", "fault", "fail_safe", "target"}
    assert {name: text for name, text in unknown.items() if name not in words and text not in ("None", "")} == {}
    free = states(make_tick(price=PriceState(0.0, 0.0, currency="EUR")))
    assert (free["export_value"], free["import_price"]) == ("0.0", "0.0")


def test_faults_and_an_override_as_they_are_shown() -> None:
    fault = replace(METER_FAULT, text='"quoted" <and> ünusual')
    tick = make_tick(mode=Mode.FAIL_SAFE, reason="x" * 300, faults=(fault, Fault("b", "two", "")))
    found = states(tick, Settings(override=Override(Mode.OPEN, UTC_S)))
    assert (found["fault"], found["fail_safe"], len(found["reason"])) == ("ON", "ON", 255)
    assert (found["override"], found["override_until"]) == ("open", "2025-06-15T15:06:40.000Z")
    part = next(iter(told(tick).values()))["components"]["fault"]
    value_json = json.loads(json.dumps({"faults": [{"text": fault.text, "next_step": "try"}]}), object_hook=Value)
    attributes = json.loads(render(part["json_attributes_template"], value_json=value_json))
    assert attributes == {"faults": [fault.text], "next_steps": ["try"]}


def test_without_prices_there_are_none_and_earlier_ones_are_removed() -> None:
    components = next(iter(told(make_tick()).values()))["components"]
    assert components["export_value"] == components["import_price"] == {"platform": "sensor"}


@pytest.mark.parametrize(("target_w", "bound_w"), [(15.0, 1000), (-1000.0, 1000), (1000.5, 2000), (-99_000.0, 99_000)])
def test_the_target_in_force_is_within_what_can_be_set(target_w: float, bound_w: int) -> None:
    number = next(iter(told(make_tick(settings=Settings(target_point_w=target_w))).values()))["components"]["target"]
    assert (number["min"], number["max"]) == (-bound_w, bound_w)


def test_the_page_is_linked_only_where_it_has_an_address() -> None:
    assert "configuration_url" not in next(iter(told(make_tick(), replace(HOME, page="")).values()))["device"]
