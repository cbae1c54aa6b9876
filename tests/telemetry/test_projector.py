"""What a tick adds to the record."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.model import (
    Ac,
    Account,
    Fault,
    GatewayState,
    InverterState,
    Mode,
    Outlook,
    Panel,
    Period,
    PriceState,
    Reading,
    Settings,
    Tick,
)
from app.telemetry.points import MEASUREMENTS, MODE_NUMBERS, SCHEMA, TEXT, Point
from app.telemetry.projector import Projector
from tests.enphase.fake_envoy import make_envoy
from tests.telemetry.ticks import (
    BATTERY,
    EAST,
    LEDGER,
    OUTLOOK,
    RULED,
    UTC_S,
    WEST,
    make_account,
    make_inverter,
    make_tick,
    one_command,
)


def of(found: list[Point], measurement: str) -> list[Point]:
    return [point for point in found if point.measurement == measurement]


def fields(found: list[Point], measurement: str) -> dict[str, float | str]:
    (point,) = of(found, measurement)
    return dict(point.fields)


def test_a_full_tick_fills_every_field_of_the_schema() -> None:
    projector = Projector("home", lambda settings: f"http://app/toggle?state={'off' if settings.enabled else 'on'}")
    projector.points(make_tick())
    projector.points(make_tick(1.0, excursions=make_account(20.0, (20.0,))))
    fault = Fault("meter", "The meter is silent.", "Check it.")
    found = projector.points(
        make_tick(
            60.0,
            outlook=Outlook((replace(OUTLOOK.slots[0], confirmed=False),)),
            inverters=(make_inverter(seq=2, acked_w=400.0, rule=RULED),),
            faults=(fault,),
            settings=Settings(False, 20.0),
            mode=Mode.PAUSED,
            reason="paused",
            price=PriceState(1.0, 2.0, True, 3.0),
            gateways=(GatewayState("opendtu", True, 1.0, -1.0, 2.0, 3.0, data_seq=2),),
            battery=replace(BATTERY, at_s=159.0),
            excursions=make_account(0.0, (20.0,)),
            envoy=make_envoy(159.0, UTC_S + 59.0),
        )
    )
    for measurement in SCHEMA:
        if measurement.name == "minute":
            continue
        written = {name for point in of(found, measurement.name) for name, _ in point.fields}
        assert written == {field.name for field in measurement.fields}, measurement.name


def test_numbers_are_floats_and_text_is_text() -> None:
    units = {m.name: {f.name: f.unit for f in m.fields} for m in SCHEMA}
    for point in Projector("home", lambda _: "http://app").points(make_tick()):
        for name, value in point.fields:
            expected = str if units[point.measurement][name] == TEXT else float
            assert type(value) is expected, (point.measurement, name)


def test_every_point_names_its_site_and_its_tags() -> None:
    for point in Projector("cabin").points(make_tick()):
        tags = dict(point.tags)
        assert tags.pop("site") == "cabin"
        assert tuple(tags) == MEASUREMENTS[point.measurement].tags
    inverter = of(Projector("cabin").points(make_tick()), "inverter")[0]
    assert inverter.tags == (("site", "cabin"), ("serial", EAST), ("name", "Roof east"))


def test_samples_keep_their_own_time_stamps() -> None:
    found = Projector("home").points(make_tick())
    assert of(found, "grid")[0].utc_s == UTC_S - 0.2
    assert {point.utc_s for point in of(found, "panel")} == {UTC_S - 2.0}
    measured, state = of(found, "inverter")
    assert (measured.utc_s, state.utc_s) == (UTC_S - 2.0, UTC_S)
    assert dict(measured.fields)["ac_power_w"] == 400.0
    assert dict(state.fields)["limit_w"] == 500.0


def test_nothing_is_written_twice() -> None:
    projector, tick = Projector("home"), make_tick()
    assert projector.points(tick)
    again = make_tick(0.5, reading=tick.snapshot.meter.reading, inverters=tick.snapshot.inverters)
    assert projector.points(again) == []


def test_control_is_written_about_once_a_second_and_at_once_when_it_matters() -> None:
    projector = Projector("home")
    ticks = [make_tick(i / 4, commands=one_command()) for i in range(9)]
    written = [point for tick in ticks for point in of(projector.points(tick), "control")]
    assert [point.utc_s - UTC_S for point in written] == [0.0, 1.0, 2.0]
    assert [dict(point.fields)["commands"] for point in written] == [1.0, 4.0, 4.0]
    assert of(projector.points(make_tick(2.2, mode=Mode.HOLD)), "control")
    assert of(projector.points(make_tick(2.3, mode=Mode.HOLD, settings=Settings(enabled=False))), "control")


def test_what_is_unknown_is_absent_and_never_zero() -> None:
    blank = InverterState(
        EAST,
        "Roof",
        1500.0,
        45.0,
        ac=Ac(power_w=math.nan, voltage_v=230.0),
        data_seq=1,
        panels=(Panel(1), Panel(2, power_w=math.inf, voltage_v=31.0)),
    )
    reading = Reading(50.0, 99.9, UTC_S)
    tick = make_tick(
        reading=reading,
        inverters=(blank,),
        grid_w=None,
        pv_w=None,
        load_w=None,
        limit_w=None,
        price=PriceState(),
        gateways=(GatewayState("opendtu"),),
        dead_times=(),
        excursions=make_account(None),
        gate=None,
    )
    found = Projector("home").points(tick)
    assert fields(found, "grid") == {"power_w": 50.0, "age_s": pytest.approx(0.1)}
    measured, state = of(found, "inverter")
    assert dict(measured.fields) == {"ac_voltage_v": 230.0}
    assert dict(state.fields) == {"enabled": 1.0, "resets": 0.0, "guarded": 0.0}
    assert fields(found, "panel") == {"voltage_v": 31.0}
    assert not {"grid_w", "pv_w", "load_w", "limit_w", "toggle_url", "excursion_s"} & set(fields(found, "control"))
    assert fields(found, "price") == {"estimated": 1.0}
    assert not of(found, "dtu")


def test_a_dead_meter_gives_no_grid_points() -> None:
    projector = Projector("home")
    first = make_tick()
    projector.points(first)
    stale = make_tick(10.0, reading=first.snapshot.meter.reading, grid_w=None, mode=Mode.FAIL_SAFE)
    assert of(projector.points(stale), "grid") == []
    assert of(Projector("home").points(make_tick(grid_w=None)), "grid") == []


def test_an_inverter_that_says_nothing_new_adds_only_a_heartbeat_of_its_state() -> None:
    projector = Projector("home")
    projector.points(make_tick())
    assert of(projector.points(make_tick(59.0)), "inverter") == []
    (state,) = of(projector.points(make_tick(61.0)), "inverter")
    assert "ac_power_w" not in dict(state.fields)
    assert dict(state.fields)["reachable"] == 1.0


def test_each_inverter_is_followed_by_itself() -> None:
    projector = Projector("home")
    east, west = make_inverter(EAST, seq=1), make_inverter(WEST, "Roof west", seq=1)
    projector.points(make_tick(inverters=(east, west)))
    found = projector.points(make_tick(1.0, inverters=(east, replace(west, data_seq=2))))
    assert {dict(point.tags)["serial"] for point in of(found, "inverter")} == {WEST}
    assert [dict(point.tags)["channel"] for point in of(found, "panel")] == ["1", "2"]


def test_the_toggle_link_is_renewed_on_changes_and_once_a_minute() -> None:
    asked: list[Settings] = []

    def url(settings: Settings) -> str:
        asked.append(settings)
        return f"http://app/{len(asked)}"

    projector = Projector("home", url)
    seen = {}
    for second in range(130):
        settings = Settings(enabled=second < 100)
        for point in of(projector.points(make_tick(float(second), settings=settings)), "control"):
            if "toggle_url" in dict(point.fields):
                seen[second] = dict(point.fields)["toggle_url"]
    assert seen == {0: "http://app/1", 60: "http://app/2", 100: "http://app/3"}
    assert [settings.enabled for settings in asked] == [True, True, False]


def test_the_reason_is_written_when_it_changes() -> None:
    projector = Projector("home")
    reasons = ["a", "a", "b", "b"]
    found = [
        fields(projector.points(make_tick(float(i), reason=r)), "control").get("reason") for i, r in enumerate(reasons)
    ]
    assert found == ["a", None, "b", None]


def test_events_tell_what_changed() -> None:
    projector = Projector("home")
    fault = Fault("meter", "The meter is silent.", "Check its power.")

    def events(tick: Tick) -> list[tuple[object, object]]:
        return [(dict(p.fields)["kind"], dict(p.fields)["text"]) for p in of(projector.points(tick), "event")]

    assert events(make_tick(0.0, mode=Mode.STARTING, reason="waiting")) == [("mode", "starting: waiting")]
    assert events(make_tick(1.0, mode=Mode.STARTING, reason="waiting")) == []
    assert events(make_tick(2.0, mode=Mode.FAIL_SAFE, reason="no meter", faults=(fault,))) == [
        ("mode", "fail_safe: no meter"),
        ("fault", "The meter is silent."),
    ]
    worse = replace(fault, text="The meter is silent for 9 s.")
    assert events(make_tick(3.0, mode=Mode.FAIL_SAFE, reason="no meter", faults=(worse,))) == []
    projector.changed_by("mqtt")
    changed = Settings(enabled=False, target_point_w=20.0)
    assert events(make_tick(4.0, mode=Mode.PAUSED, reason="paused", settings=changed)) == [
        ("mode", "paused: paused"),
        ("settings", "zero export off, target 20 W, by mqtt"),
        ("fault_cleared", "The meter is silent for 9 s."),
    ]


def test_faults_outside_the_core_are_events_with_their_key() -> None:
    projector = Projector("home")
    full = Fault("sqlite", "The disk is full.", "Make room.")

    def events(tick: Tick) -> list[tuple[object, ...]]:
        shown = [dict(p.fields) for p in of(projector.points(tick), "event")]
        return [(p["kind"], p["key"]) for p in shown if p["kind"] != "mode"]

    assert events(make_tick(0.0)) == []
    found = projector.points(make_tick(1.0, outside=(full,)))
    assert [dict(p.fields)["key"] for p in of(found, "event")] == ["sqlite"]
    assert fields(found, "control")["faults"] == 1.0
    assert events(make_tick(2.0, outside=(replace(full, text="It is full by now."),))) == []
    assert events(make_tick(3.0)) == [("fault_cleared", "sqlite")]


def test_an_excursion_is_an_event_when_it_is_over() -> None:
    projector = Projector("home")

    def events(at_s: float, current_s: float | None, *lengths_s: float) -> list[dict[str, object]]:
        found = projector.points(make_tick(at_s, excursions=make_account(current_s, lengths_s)))
        return [dict(p.fields) for p in of(found, "event") if dict(p.fields)["kind"] == "excursion"]

    assert events(0.0, 0.0, 99.0) == [], "one that an earlier run of the program has told of"
    assert events(1.0, 3.0, 99.0) == [], "too short to be one"
    assert events(2.0, 16.0, 99.0, 16.0) == [], "going on"
    assert events(3.0, None, 99.0, 16.0) == [], "nobody knows whether it goes on"
    (event,) = events(4.0, 0.0, 99.0, 17.0)
    assert (event["key"], event["length_s"], event["worst_w"]) == ("excursion", 17.0, 320.0)
    assert event["text"] == "the house exported up to 320 W more than is allowed, for 17 s"
    assert events(5.0, 0.0, 99.0, 17.0) == []
    assert len(events(6.0, 2.0, 99.0, 17.0, 40.0)) == 1, "another one begins at once"


def test_the_account_of_excursions_is_written_when_it_changes_and_once_a_minute() -> None:
    projector = Projector("home")

    def written(at_s: float, **changes: object) -> bool:
        account = make_account(**changes)  # type: ignore[arg-type]
        return "excursions_today" in fields(projector.points(make_tick(at_s, excursions=account)), "control")

    found = [written(float(second)) for second in range(62)]
    assert [second for second, there in enumerate(found) if there] == [0, 60]
    assert written(63.0, current_s=1.0)
    assert "excursion_s" not in fields(projector.points(make_tick(65.0, excursions=None)), "control")


def test_events_of_one_moment_do_not_overwrite_each_other() -> None:
    projector = Projector("home")
    faults = tuple(Fault(f"f{i}", "text", "step") for i in range(5))
    stamps = [round(p.utc_s * 1000) for p in of(projector.points(make_tick(faults=faults)), "event")]
    assert len(set(stamps)) == 6
    assert max(stamps) - min(stamps) < 10


def test_every_mode_has_a_number() -> None:
    assert set(MODE_NUMBERS) == set(Mode)
    assert len(set(MODE_NUMBERS.values())) == len(MODE_NUMBERS)


def test_days_and_months_that_are_over_are_written_once_and_when_they_change() -> None:
    projector = Projector("home")
    june, monday, tuesday = (
        Period(name, UTC_S - days * 86_400.0, Account(import_wh=float(days)))
        for name, days in (("month", 40), ("day", 2), ("day", 1))
    )

    def told(at_s: float, *closed: Period) -> list[tuple[str, float, object]]:
        found = projector.points(make_tick(at_s, ledger=replace(LEDGER, closed=closed)))
        old = [point for name in ("day", "month") for point in of(found, name) if point.utc_s < UTC_S - 80_000.0]
        return [(p.measurement, p.utc_s, dict(p.fields)["import_wh"]) for p in old if p.utc_s != LEDGER.month_utc_s]

    assert told(0.0, monday, june) == [("day", monday.began_utc_s, 2.0), ("month", june.began_utc_s, 40.0)]
    assert told(60.0, monday, june) == []
    changed = replace(monday, account=Account(import_wh=7.0))
    assert told(120.0, changed, tuesday, june) == [
        ("day", monday.began_utc_s, 7.0),
        ("day", tuesday.began_utc_s, 1.0),
    ]


def test_the_battery_is_written_once_for_each_report_and_at_its_time() -> None:
    projector = Projector("home")
    found = [point for at_s in (0.0, 1.0) for point in of(projector.points(make_tick(at_s)), "battery")]
    [point] = found
    assert (dict(point.fields), point.utc_s) == ({"soc_pct": 61.5, "power_w": -420.0}, UTC_S - 0.5)
    assert dict(point.tags)["name"] == "Cellar"
    for nothing in (None, replace(BATTERY, at_s=None), replace(BATTERY, soc_pct=None, power_w=None)):
        assert of(Projector("home").points(make_tick(battery=nothing)), "battery") == []
