"""Every alert rule, evaluated as Grafana does it, on a real database in which each thing has happened to one site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.model import Mode, StoreState
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from tests.grafana.boards import GROUP, RULES, Json
from tests.grafana.influx import Influx, running
from tests.telemetry.ticks import EAST, WEST, make_account, make_inverter, make_tick

SECONDS, STEP_S = 1800, 5
UNITS_S = {"s": 1, "m": 60}
COMPARED: dict[str, Callable[..., bool]] = {
    "gt": lambda value, low: value > low,
    "lt": lambda value, high: value < high,
    "within_range": lambda value, low, high: low < value < high,
}
Labels = tuple[tuple[str, str], ...]
Life = Callable[[int], dict[str, Any]]  # what is other than usual, so many seconds before the end


def beyond(total_wh: float) -> dict[str, Any]:
    """The account of excursions with so much energy of today."""
    return {"excursions": replace(make_account(), beyond_today_wh=total_wh)}


def blind(left_s: int, for_s: int) -> dict[str, Any]:
    """No meter at the end."""
    return {"grid_w": None, "mode": Mode.FAIL_SAFE} if left_s < for_s else {}


def lost(left_s: int, power_w: float, for_s: int = 900) -> dict[str, Any]:
    """One of two inverters falls silent at this power."""
    answers = (SECONDS - max(left_s, for_s)) // STEP_S + 1
    east = make_inverter(EAST, "Roof east", answers, power_w=power_w, reachable=left_s >= for_s)
    return {"inverters": (east, make_inverter(WEST, "Roof west", (SECONDS - left_s) // STEP_S + 1))}


def full(left_s: int, spool_b: int) -> dict[str, Any]:
    """A store whose spool fills up."""
    return {"stores": (StoreState("influxdb", spool_b=spool_b if left_s < 600 else 0, spool_max_b=100),)}


LIVES: dict[str, Life] = {
    "fine": lambda _: {},
    "exporting": lambda left_s: beyond(40.0 * max(0, 600 - left_s) / 600),
    "a little": lambda left_s: beyond(20.0 * max(0, 600 - left_s) / 600),
    "long ago": lambda left_s: beyond(500.0 if left_s < 1200 else 0.0),
    "midnight": lambda left_s: beyond(5.0 if left_s < 300 else 500.0),
    "blind": lambda left_s: blind(left_s, 600),
    "a moment": lambda left_s: blind(left_s, 120),
    "three minutes": lambda left_s: blind(left_s, 180),
    "night without a meter": lambda left_s: {**blind(left_s, 600), "mode": Mode.NIGHT},
    "lost by day": lambda left_s: lost(left_s, 300.0),
    "lost just now": lambda left_s: lost(left_s, 300.0, for_s=300),
    "dusk": lambda left_s: lost(left_s, 4.0),
    "full": lambda left_s: full(left_s, 90),
    "half full": lambda left_s: full(left_s, 50),
    "silent": lambda _: {},  # see `recorded`
}
FIRES = {
    "zero-export-exported": {"exporting"},
    "zero-export-meter": {"blind", "three minutes", "night without a meter"},
    "zero-export-fail-safe": {"blind"},
    "zero-export-unreachable": {"lost by day"},
    "zero-export-spool": {"full"},
    "zero-export-silent": {"silent"},
}


def recorded(now_s: float) -> Iterator[Point]:
    """Half an hour of each life."""
    for site, life in LIVES.items():
        projector = Projector(site)
        for left_s in range(SECONDS, 900 if site == "silent" else 0, -STEP_S):
            changes = life(left_s)
            at_s = float(SECONDS - left_s)
            inverters = tuple(
                replace(one, utc_s=now_s - left_s) for one in changes.pop("inverters", (make_inverter(),))
            )
            yield from projector.points(make_tick(at_s, utc_s=now_s - left_s, inverters=inverters, **changes))


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with running(tmp_path_factory.mktemp("influx")) as server:
        server.write(recorded(server.now_ms / 1000.0))
        yield server


def met(influx: Influx, rule: Json, ago_s: int) -> dict[Labels, bool]:
    """Which series meet the condition in one evaluation; none at all is what the rule says of no data."""
    asked, reduced, compared = (step["model"] for step in rule["data"])
    at_ms = influx.now_ms - ago_s * 1000
    found = influx.ask(asked["query"].replace("now()", f"{at_ms}ms"))
    if not found:
        return {(): rule["noDataState"] == "Alerting"}
    assert (reduced["type"], reduced["reducer"], compared["type"]) == ("reduce", "last", "threshold")
    (condition,) = compared["conditions"]
    kind, bounds = condition["evaluator"]["type"], condition["evaluator"]["params"]
    last = {tuple(sorted(one["tags"].items())): one["values"][-1][1] for one in found}
    return {labels: value is not None and COMPARED[kind](value, *bounds) for labels, value in last.items()}


def firing(influx: Influx, rule: Json, ago_s: int = 0) -> set[Labels]:
    """The series that have met the condition in every evaluation for as long as the rule asks."""
    every_s = UNITS_S[GROUP["interval"][-1]] * int(GROUP["interval"][:-1])
    lasts_s = UNITS_S[rule["for"][-1]] * int(rule["for"][:-1])
    rounds = [met(influx, rule, ago_s + back_s) for back_s in range(0, lasts_s + 1, every_s)]
    return {labels for labels in rounds[0] if all(one.get(labels, False) for one in rounds)}


def test_each_rule_has_a_life_in_which_it_fires() -> None:
    assert set(FIRES) == set(RULES)
    assert set().union(*FIRES.values()) < set(LIVES)


@pytest.mark.parametrize("uid", RULES)
def test_a_rule_fires_where_it_should_and_nowhere_else(influx: Influx, uid: str) -> None:
    seen = {dict(labels)["site"] for labels in met(influx, RULES[uid], 0)}
    assert seen >= set(LIVES) - {"silent"}, "a site that the rule does not see"
    assert {dict(labels)["site"] for labels in firing(influx, RULES[uid])} == FIRES[uid]


def test_the_inverter_that_is_lost_is_named(influx: Influx) -> None:
    ((*labels,),) = firing(influx, RULES["zero-export-unreachable"])
    assert dict(labels) == {"site": "lost by day", "serial": EAST, "name": "Roof east"}


@pytest.mark.parametrize("uid", RULES)
def test_only_one_rule_tells_of_a_database_without_data(influx: Influx, uid: str) -> None:
    in_two_days_s = -2 * 86_400
    assert firing(influx, RULES[uid], in_two_days_s) == ({()} if uid == "zero-export-silent" else set())


def test_a_site_that_falls_silent_is_told_of_within_a_quarter_of_an_hour_and_not_at_once(influx: Influx) -> None:
    rule, stopped_ago_s = RULES["zero-export-silent"], 900
    told = [after_s for after_s in range(0, 901, 60) if firing(influx, rule, stopped_ago_s - after_s)]
    assert 300 < told[0] <= 900
    assert told == list(range(told[0], 901, 60))
