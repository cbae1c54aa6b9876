"""What an Enphase gateway adds to the record: each reading, report and change once, at its own time."""

from __future__ import annotations

from dataclasses import replace

from app.model import EnvoyDevice, EnvoyEvent, EnvoyState, Microinverter
from app.telemetry.envoy import DEVICE_EVERY_S
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from tests.enphase.fake_envoy import make_envoy
from tests.telemetry.ticks import UTC_S, make_tick

NAMES = ("envoy_meter", "microinverter", "envoy_device", "envoy_battery")
NEWS = (EnvoyEvent("3025", "Gone", "122000000001", "pcu ", "Fri Nov 04, 2022 07:12 AM CET"),)


def told(projector: Projector, envoy: EnvoyState | None, at_s: float = 0.0) -> list[Point]:
    """What a tick adds of the gateway."""
    points = projector.points(make_tick(at_s, envoy=envoy))
    return [p for p in points if p.measurement in NAMES or dict(p.fields).get("kind") == "envoy"]


def one(points: list[Point], measurement: str, **tags: str) -> Point:
    (found,) = [p for p in points if p.measurement == measurement and tags.items() <= dict(p.tags).items()]
    return found


def test_every_part_is_told_with_its_tags_at_its_own_time() -> None:
    found = told(Projector("home"), make_envoy(99.0, UTC_S - 1.0))
    grid = one(found, "envoy_meter", kind="grid", phase="L1")
    assert (dict(grid.fields)["power_w"], grid.utc_s) == (-112.5, UTC_S - 1.0)
    assert dict(one(found, "envoy_meter", kind="pv", phase="L3").fields)["power_w"] == 2.5, "the truth, however small"
    assert len([p for p in found if p.measurement == "envoy_meter"]) == 12
    report = one(found, "microinverter", serial="122000000002")
    assert (dict(report.fields)["power_w"], report.utc_s) == (60.0, UTC_S - 121.0)
    relay = dict(one(found, "envoy_device", serial="122100000001", kind="relay").fields)
    assert relay == {
        "ok": 1.0,
        "status": "envoy.global.ok",
        "producing": 0.0,
        "communicating": 1.0,
        "provisioned": 1.0,
        "operating": 1.0,
        "relay_closed": 1.0,
    }
    assert dict(one(found, "envoy_battery").fields) == {"soc_pct": 62.0, "power_w": 750.5, "capacity_wh": 7000.0}


def test_nothing_is_told_twice_and_each_change_once() -> None:
    projector, envoy = Projector("home"), make_envoy(99.0, UTC_S - 1.0)
    told(projector, envoy)
    assert told(projector, envoy, 1.0) == []
    assert told(projector, None, 2.0) == []
    assert told(projector, envoy, 3.0) == [], "what came back is what it was"
    assert envoy.devices is not None
    assert envoy.microinverters is not None
    relay = envoy.devices[3]
    open_now = tuple(replace(one, relay="open") if one is relay else one for one in envoy.devices)
    later = (replace(envoy.microinverters[0], reported_utc_s=UTC_S + 3.0), *envoy.microinverters[1:])
    found = told(projector, replace(envoy, devices=open_now, microinverters=later, news=NEWS), 4.0)
    assert sorted(p.measurement for p in found) == ["envoy_device", "event", "microinverter"]
    assert dict(one(found, "envoy_device").fields)["relay_closed"] == 0.0
    (event,) = [dict(p.fields) for p in found if p.measurement == "event"]
    assert event["text"] == "Gone (pcu 122000000001, Fri Nov 04, 2022 07:12 AM CET)"
    assert told(projector, replace(envoy, devices=open_now, microinverters=later, news=NEWS), 5.0) == []
    new = told(projector, make_envoy(105.0, UTC_S + 5.0, devices=open_now, microinverters=later), 6.0)
    assert {p.measurement for p in new} == {"envoy_meter", "envoy_battery"}
    again = told(projector, replace(envoy, devices=open_now), 5.0 + DEVICE_EVERY_S)
    assert len([p for p in again if p.measurement == "envoy_device"]) == 6


def reports(*inverters: Microinverter) -> list[Point]:
    return told(Projector("home"), EnvoyState("enphase", microinverters=inverters))


def test_a_report_of_long_ago_is_no_news_and_one_from_the_future_is_of_now() -> None:
    assert reports(Microinverter("1", 5.0, UTC_S - 90_000.0)) == []
    assert reports(Microinverter("1")) == []
    (ahead,) = reports(Microinverter("1", 5.0, UTC_S + 5000.0))
    assert ahead.utc_s == UTC_S


def test_what_is_unknown_is_absent() -> None:
    envoy = make_envoy(99.0, UTC_S)
    assert told(Projector("home"), replace(envoy, meters=(), microinverters=None, devices=None, battery=None)) == []
    assert told(Projector("home"), EnvoyState("enphase", devices=(EnvoyDevice("1", "relay"),))) == []
