"""Amber's answers: which sign, which channel, which interval."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from app.model import DeviceDataError, DeviceUnavailable, PriceSlot
from app.prices.amber import active_site, parse
from tests.prices.amber_server import T0_S, current, forecast, interval, iso, site


def only(document: list[Any]) -> PriceSlot:
    """The one slot of a document, as it comes over the wire."""
    (slot,) = parse(json.loads(json.dumps(document)))
    return slot


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
    slot = only(current(feed_in))
    assert slot.export_value_c == earns_c
    assert math.copysign(1.0, slot.export_value_c) == math.copysign(1.0, earns_c), "no -0.0"
    assert slot.import_price_c == 31.50177, "the import price keeps its sign"


def test_a_negative_import_price_stays_negative() -> None:
    assert only(current(general=-3.2)).import_price_c == -3.2


def test_channels_are_found_by_type_wherever_they_stand() -> None:
    actual = current(88.0, begin_s=T0_S - 300.0, type="ActualInterval")
    document = [*reversed(forecast(-1.0, begin_s=T0_S + 300.0)), *actual, *reversed(current())]
    now, later = sorted(parse(document), key=lambda slot: slot.start_utc_s)
    assert (now.export_value_c, now.import_price_c, now.confirmed) == (10.67878, 31.50177, True)
    assert (later.export_value_c, later.import_price_c, later.confirmed) == (1.0, 30.0, False)


@pytest.mark.parametrize("where", [0, 1, 2])
def test_the_controlled_load_is_no_import_price(where: int) -> None:
    document = [interval("feedIn", -3.0), interval("general", 30.0)]
    document.insert(where, interval("controlledLoad", 18.5))
    assert only(document).import_price_c == 30.0
    document = [one for one in document if one["channelType"] != "general"]
    assert (only(document).export_value_c, only(document).import_price_c) == (3.0, None)


def test_of_several_feed_in_channels_the_worst_counts_and_one_estimate_makes_it_one() -> None:
    slot = only([interval("feedIn", -10.0), interval("feedIn", 3.0, estimate=True), interval("feedIn", -1.0)])
    assert (slot.export_value_c, slot.confirmed) == (-3.0, False)


@pytest.mark.parametrize("estimate", [True, None, "false", 0])
def test_only_what_says_so_is_confirmed(estimate: Any) -> None:
    silent = interval("feedIn", -3.0)
    del silent["estimate"]
    assert only(current(estimate=False)).confirmed
    assert not only(current(estimate=estimate)).confirmed
    assert not only([silent]).confirmed
    assert not only(forecast(estimate=False)).confirmed, "a forecast is none, whatever it says"


def test_there_is_no_hole_between_two_intervals() -> None:
    """Each begins a second late, at hh:mm:01."""
    now, then = parse([*current(), *forecast(begin_s=T0_S + 300.0)])
    assert (now.start_utc_s, now.end_utc_s, then.start_utc_s) == (T0_S, T0_S + 300.0, T0_S + 300.0)


def test_intervals_of_different_lengths_are_taken_as_they_are() -> None:
    now, then = parse([*current(), *forecast(begin_s=T0_S + 1800.0, minutes=30)])
    assert (now.end_utc_s - now.start_utc_s, then.end_utc_s - then.start_utc_s) == (300.0, 1800.0)


NO_PRICES: list[Any] = [None, True, "-3", float("nan"), float("inf"), -(10**400), 1e6, [1], {}]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        None,
        "CurrentInterval",
        [None, 3, []],
        [interval("feedIn", -3.0, type="ActualInterval"), interval("general", 30.0)],  # the market is down
        *(current(value) for value in NO_PRICES),
        *(
            [interval("feedIn", -3.0, **times)]
            for times in (
                {"startTime": None},
                {"endTime": 1767225900},
                {"endTime": "soon"},
                {"endTime": "2026-01-01T00:05:00"},  # whose time?
                {"endTime": iso(T0_S)},
                {"endTime": iso(T0_S + 86_400)},  # a price that would hold for a day
                {"startTime": "0001-01-01T00:00:00+23:59"},
            )
        ),
        [interval("feedIn", -3.0, type=["CurrentInterval"])],
    ],
)
def test_without_a_usable_feed_in_price_there_is_none(document: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="no current feed-in price"):
        parse(document)


def test_a_site_without_export_is_told_apart() -> None:
    with pytest.raises(DeviceDataError, match="check in Amber's app that export is set up") as refused:
        parse(current()[:2])
    assert not isinstance(refused.value, DeviceUnavailable)


@pytest.mark.parametrize("general", [None, "31.5", float("nan"), True])
def test_a_broken_import_price_does_not_cost_us_the_export_price(general: Any) -> None:
    (slot,) = parse(current(general=general))
    assert (slot.export_value_c, slot.import_price_c) == (10.67878, None)


def test_the_one_active_site_is_chosen_and_more_are_listed() -> None:
    closed, pending = site("OLD", "closed"), site("NEW", "pending")
    assert active_site([closed, site("HOME"), pending]) == "HOME"
    with pytest.raises(DeviceDataError, match="one of the active sites: HOME, SHOP"):
        active_site([site("HOME"), closed, site("SHOP")])
    useless: list[Any] = [[], [closed, pending], {}, [None], [{"status": "active"}]]
    for document in useless:
        with pytest.raises(DeviceDataError, match="no active site"):
            active_site(document)
