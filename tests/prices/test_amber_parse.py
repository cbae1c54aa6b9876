"""Amber's answers: which sign, which interval, and for how long it holds."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from app.model import DeviceDataError
from app.prices.amber import POLL_S, active_site, pace_s, parse
from tests.prices.amber_server import T0_S, current, interval, iso, site


@pytest.mark.parametrize(
    ("feed_in", "earns_c"),
    [
        (-10.67878, 10.67878),  # Amber's negative price: you are paid
        (2.13572, -2.13572),  # Amber's positive price: you pay
        (0, 0.0),
        (0.0, 0.0),
        (-0.0, 0.0),
        (-1750.0, 1750.0),
    ],
)
def test_what_export_earns_is_amber_s_feed_in_price_turned_round(feed_in: float, earns_c: float) -> None:
    price = parse(json.loads(json.dumps(current(feed_in)))).price
    assert price.export_value_c == earns_c
    assert math.copysign(1.0, price.export_value_c) == math.copysign(1.0, earns_c), "no -0.0"
    assert price.import_price_c == 31.50177


def test_channels_are_found_by_type_wherever_they_stand() -> None:
    later = [interval(channel, 99.0, type="ForecastInterval") for channel in ("feedIn", "general")]
    earlier = [interval(channel, 88.0, type="ActualInterval") for channel in ("feedIn", "general")]
    price = parse([*earlier, *later, *reversed(current())]).price
    assert (price.export_value_c, price.import_price_c) == (10.67878, 31.50177)


def test_the_controlled_load_is_no_import_price() -> None:
    price = parse([interval("controlledLoad", 18.5), interval("feedIn", -3.0)]).price
    assert (price.export_value_c, price.import_price_c) == (3.0, None)


def test_an_estimate_is_marked_and_so_is_what_does_not_say() -> None:
    silent = interval("feedIn", -3.0)
    del silent["estimate"]
    assert parse(current(estimate=True)).price.estimated
    assert not parse(current(estimate=False)).price.estimated
    assert parse([silent]).price.estimated


@pytest.mark.parametrize(
    ("after_s", "known", "estimated"),
    [
        (-0.001, False, True),
        (0.0, True, False),  # though Amber's startTime is a second later
        (299.9, True, False),
        (300.0, True, True),  # over: good enough to keep on, not to begin
        (345.0, True, True),
        (345.001, False, True),
    ],
)
def test_a_price_holds_for_its_interval_and_a_little_longer(after_s: float, known: bool, estimated: bool) -> None:
    state = parse(current()).at(T0_S + after_s)
    assert (state.export_value_c is not None, state.import_price_c is not None) == (known, known)
    assert state.estimated is estimated
    assert (state.fault is None) is known


def test_the_faults_of_time_say_what_is_wrong() -> None:
    offer = parse(current())
    assert offer.at(T0_S + 400.0).fault == "Amber's last price ended at 00:05 UTC"
    assert "check the clock" in str(offer.at(T0_S - 60.0).fault)


def test_time_zones_are_understood() -> None:
    offer = parse([interval("feedIn", 1.0, startTime="2026-01-01T10:00:01+10:00", endTime="2026-01-01T10:30:00+10:00")])
    assert (offer.from_utc_s, offer.until_utc_s) == (T0_S, T0_S + 1800.0)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        None,
        "CurrentInterval",
        [None, 3, []],
        current()[:2],  # export is not set up
        [interval("feedIn", -3.0, type="ActualInterval"), interval("general", 30.0)],  # the market is down
        *(current(value) for value in (None, True, "-3", float("nan"), float("inf"), -(10**400), 1e6)),
    ],
)
def test_without_a_usable_feed_in_price_there_is_none(document: Any) -> None:
    with pytest.raises(DeviceDataError, match="no feed-in price"):
        parse(document)


@pytest.mark.parametrize(
    "times",
    [
        {"startTime": None},
        {"endTime": 1767225900},
        {"endTime": "soon"},
        {"endTime": "2026-01-01T00:05:00"},  # whose time?
        {"endTime": iso(T0_S)},
        {"endTime": iso(T0_S + 86_400)},  # a price that would hold for a day
    ],
)
def test_without_its_time_a_price_is_none(times: dict[str, Any]) -> None:
    with pytest.raises(DeviceDataError, match="start and end"):
        parse([interval("feedIn", -3.0, **times)])


def test_a_broken_import_price_does_not_cost_us_the_export_price() -> None:
    assert parse(current(general=None)).price.export_value_c == 10.67878


def test_the_one_active_site_is_chosen_and_more_are_listed() -> None:
    closed, pending = site("OLD", "closed"), site("NEW", "pending")
    assert active_site([closed, site("HOME"), pending]) == "HOME"
    with pytest.raises(DeviceDataError, match="one of the active sites: HOME, SHOP"):
        active_site([site("HOME"), closed, site("SHOP")])
    useless: list[Any] = [[], [closed, pending], {}, [None], [{"status": "active"}]]
    for document in useless:
        with pytest.raises(DeviceDataError, match="no active site"):
            active_site(document)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, POLL_S),
        ({"RateLimit-Remaining": "49", "RateLimit-Reset": "300"}, POLL_S),
        ({"RateLimit-Remaining": "2", "RateLimit-Reset": "200"}, 100.0),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "120"}, 122.0),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, POLL_S),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "99999999"}, 902.0),
        ({"RateLimit-Remaining": "many", "RateLimit-Reset": "-5"}, POLL_S),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "²"}, POLL_S),
    ],
)
def test_the_pace_follows_what_the_rate_limit_leaves(headers: dict[str, str], wait_s: float) -> None:
    assert pace_s(headers) == wait_s
