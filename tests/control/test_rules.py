"""Slow inverters: the rule that fits the mode, given seldom, and again where it got lost or is not kept."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest

from app.control import Controller, ControlSettings
from app.control.policy import Goal
from app.control.rules import wanted
from app.leaving import exit_rules
from app.model import (
    Ac,
    Command,
    Decision,
    InverterState,
    MeterState,
    Mode,
    Override,
    PriceState,
    Reading,
    Rule,
    RuleState,
    Settings,
    Snapshot,
)

CLOSED, NORMAL, STOPPED = Rule(0.0), Rule(), Rule(0.0, produce=False)
PROFILES = RuleState(300.0, 120.0, steps=(0.0, None))
DPEL = RuleState(60.0, 75.0)
PAYS, COSTS = PriceState(5.0, 30.0, estimated=False), PriceState(-5.0, 30.0, estimated=False)


def state(rule: RuleState, power_w: float | None = 3000.0, now_s: float = 0.0, **changes: object) -> InverterState:
    known = {"ac": Ac(power_w=power_w), "power_at_s": now_s, "reachable": True, "guardable": False}
    return InverterState("122", "Roof", 8200.0, 0.0, rule=rule, **(known | changes))  # type: ignore[arg-type]


@dataclass
class Site:
    """A gateway that takes every rule, unless told otherwise, and a meter that shows ``grid_w``."""

    rule: RuleState = PROFILES
    takes: bool = True
    grid_w: float | None = 200.0
    power_w: float = 3000.0
    price: PriceState | None = COSTS
    reachable: bool | None = True
    settings: Settings = field(default_factory=Settings)
    others: tuple[InverterState, ...] = ()
    control: ControlSettings = field(default_factory=ControlSettings)
    now_s: float = 1000.0
    given: list[tuple[float, Rule]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.controller = Controller(self.control)

    def run(self, seconds: float, tick_s: float = 1.0) -> Decision:
        for _ in range(round(seconds / tick_s)):
            self.now_s += tick_s
            self.last = self.controller.step(self.snapshot())
            for command in self.last.rules:
                self.given.append((self.now_s, command.rule))
                self._take(command.rule)
        return self.last

    def snapshot(self) -> Snapshot:
        reading = None if self.grid_w is None else Reading(self.grid_w, self.now_s, 1.7e9 + self.now_s)
        meter = MeterState(reading, good_in_a_row=9, there=self.grid_w is not None)
        own = state(self.rule, self.power_w, self.now_s, reachable=self.reachable)
        return Snapshot(self.now_s, 1.7e9 + self.now_s, meter, (own, *self.others), self.settings, price=self.price)

    def _take(self, rule: Rule) -> None:
        if self.takes:
            changed = rule != self.rule.accepted
            since_s = self.now_s if changed else self.rule.accepted_at_s
            self.rule = replace(self.rule, accepted=rule, accepted_at_s=since_s, refused=None, tried_at_s=self.now_s)
            self.show(rule)
        else:
            self.rule = replace(self.rule, refused="it says no", tried_at_s=self.now_s)

    def show(self, rule: Rule | None) -> None:
        self.rule = replace(self.rule, shown=rule, shown_at_s=self.now_s)

    @property
    def rules(self) -> list[Rule]:
        return [rule for _, rule in self.given]

    @property
    def faults(self) -> set[str]:
        return {fault.key for fault in self.last.faults}


@pytest.mark.parametrize(
    ("goal", "slow", "rule"),
    [
        (Goal(Mode.LIMIT, 15.0, ""), PROFILES, CLOSED),
        (Goal(Mode.LIMIT, -100.0, ""), PROFILES, CLOSED),
        (Goal(Mode.LIMIT, -100.0, ""), DPEL, Rule(100.0)),
        (Goal(Mode.LIMIT, 15.0, ""), replace(DPEL, least_export_w=200.0), Rule(200.0)),
        (Goal(Mode.LIMIT, 15.0, ""), replace(PROFILES, least_export_w=200.0), CLOSED),
        (Goal(Mode.OPEN, None, ""), PROFILES, NORMAL),
        (Goal(Mode.OPEN, -5000.0, ""), PROFILES, NORMAL),
        (Goal(Mode.OPEN, -5000.0, ""), replace(PROFILES, normal_export_w=8000.0), CLOSED),
        (Goal(Mode.OPEN, -5000.0, ""), replace(DPEL, normal_export_w=5000.0), NORMAL),
        (Goal(Mode.OPEN, -5000.0, ""), DPEL, Rule(5000.0)),
        (Goal(Mode.PAUSED, None, ""), DPEL, NORMAL),
        (Goal(Mode.PAUSED, -5000.0, ""), DPEL, Rule(5000.0)),
        (Goal(Mode.SHUTDOWN, 15.0, ""), PROFILES, CLOSED),
        (Goal(Mode.SHUTDOWN, 15.0, ""), replace(DPEL, can_stop=True), STOPPED),
    ],
)
def test_the_rule_that_fits(goal: Goal, slow: RuleState, rule: Rule) -> None:
    assert wanted(goal, slow) == rule


def test_it_follows_the_price_and_never_the_load() -> None:
    site = Site()
    for load_w in range(0, 600, 7):
        site.grid_w = float(load_w)
        site.run(1)
    assert site.rules == [CLOSED]
    assert site.last.mode is Mode.LIMIT
    site.price = PAYS
    site.run(400)
    assert site.rules == [CLOSED, NORMAL]
    assert str(site.last.mode) == "open"
    assert not site.last.commands
    assert not site.last.wills
    assert not site.faults


def test_switches_keep_their_distance_in_both_directions() -> None:
    site = Site(price=PAYS)
    for _ in range(20):
        site.run(60)
        site.price = COSTS if site.price is PAYS else PAYS
    times = [at_s for at_s, _ in site.given]
    assert all(later - sooner >= 300.0 for sooner, later in itertools.pairwise(times))
    site.run(301)
    assert site.rule.accepted == wanted(Goal(site.last.mode, site.last.target_w, ""), site.rule)


@pytest.mark.parametrize(
    ("confirmed", "given"), [(PAYS, [NORMAL]), (COSTS, [NORMAL, CLOSED]), (None, [NORMAL, CLOSED])]
)
def test_an_estimate_closes_only_when_it_is_not_confirmed_in_time(
    confirmed: PriceState | None, given: list[Rule]
) -> None:
    site = Site(price=PAYS)
    site.run(400)
    site.price = replace(COSTS, estimated=True)
    (ruling,) = site.run(25).rulings
    assert (ruling.wanted, site.rules) == (CLOSED, [NORMAL])
    assert "to be confirmed" in ruling.waiting
    site.price = confirmed or site.price
    site.run(2)
    assert site.rules == (given if confirmed is not None else [NORMAL])
    site.run(20)
    assert site.rules == given


def test_a_hand_does_not_wait_for_a_price() -> None:
    site = Site(price=PAYS)
    site.run(400)
    site.price = replace(COSTS, estimated=True)
    site.settings = Settings(override=Override(Mode.LIMIT, 1.7e9 + site.now_s + 3600.0))
    site.run(1)
    assert site.rules == [NORMAL, CLOSED]


def test_while_it_waits_that_is_told() -> None:
    site = Site(price=PAYS)
    site.run(2)
    site.price = COSTS
    (ruling,) = site.run(10).rulings
    assert ruling.wanted == CLOSED
    assert ruling.waiting.startswith("289 s more")


def test_a_restart_gives_no_rule_twice_and_keeps_the_distance() -> None:
    before = Site()
    before.run(5)
    site = Site(rule=before.rule, now_s=before.now_s)
    site.run(60)
    assert site.rules == []
    site.price = PAYS
    site.run(200)
    assert site.rules == [], "the switch before the restart counts"
    site.run(60)
    assert site.rules == [NORMAL]


def test_what_shows_the_right_rule_at_the_first_start_is_left_alone() -> None:
    site = Site(rule=replace(PROFILES, shown=CLOSED, shown_at_s=1000.0))
    site.run(60)
    assert site.rules == []


def test_a_rule_that_somebody_changed_is_given_again_without_waiting_for_the_distance() -> None:
    site = Site()
    site.run(100)
    site.show(NORMAL)
    site.takes = False
    site.run(5)
    assert "rule_changed:122" in site.faults
    assert site.rules == [CLOSED, CLOSED]
    site.takes = True
    site.run(120)
    assert site.rules == [CLOSED] * 3
    assert not site.faults


def test_what_is_refused_is_tried_again_more_and_more_seldom_and_told() -> None:
    site = Site(takes=False)
    site.run(3600)
    times = [at_s for at_s, _ in site.given]
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert pauses[:5] == [60.0, 120.0, 240.0, 480.0, 900.0]
    assert max(pauses) == 900.0
    (fault,) = [fault for fault in site.last.faults if fault.key == "rule_refused:122"]
    assert "it says no" in fault.text
    site.takes = True
    site.run(901)
    assert not site.faults


def test_what_cannot_be_reached_gets_its_rule_when_it_is_back() -> None:
    site = Site()
    site.run(400)
    site.price, site.reachable = PAYS, False
    site.run(60)
    assert "rule_waits:122" not in site.faults
    site.run(70)
    assert "rule_waits:122" in site.faults
    assert site.rules == [CLOSED]
    site.reachable = True
    site.run(1)
    assert site.rules == [CLOSED, NORMAL]


def test_a_rule_is_believed_when_power_follows() -> None:
    site = Site(grid_w=-2500.0)
    (ruling,) = site.run(100).rulings
    assert ruling.obeyed is None, "it has its time to react"
    site.grid_w = -20.0
    (ruling,) = site.run(60).rulings
    assert ruling.obeyed is True
    assert not site.faults


def test_a_rule_without_effect_is_told_and_given_again() -> None:
    site = Site(grid_w=-2500.0)
    (ruling,) = site.run(190).rulings
    assert ruling.obeyed is False
    assert "rule_broken:122" in site.faults
    assert site.rules == [CLOSED, CLOSED]
    site.run(240)
    assert len(site.rules) <= 4
    site.run(86_400, tick_s=30.0)
    assert len(site.rules) < 35, "more and more seldom, down to once an hour"


def test_a_restart_gives_again_what_has_to_be_sent_again_and_again() -> None:
    site = Site(rule=replace(DPEL, accepted=CLOSED, accepted_at_s=990.0, shown=CLOSED, shown_at_s=995.0, kept_up=False))
    site.run(3)
    assert set(site.rules) == {CLOSED}
    site.rule = replace(site.rule, kept_up=True)
    count = len(site.rules)
    site.run(300)
    assert len(site.rules) == count


def test_the_export_of_others_is_not_blamed_on_an_inverter_in_the_dark() -> None:
    site = Site(grid_w=-2500.0, power_w=20.0)
    (ruling,) = site.run(600).rulings
    assert ruling.obeyed is None
    assert site.faults == {"export"}


def test_a_limit_of_production_is_judged_by_production() -> None:
    slow = replace(DPEL, own_meter=False)
    site = Site(rule=slow)
    site.others = ()
    site.run(1)
    limited = [state(site.rule, watts, acked_w=500.0) for watts in (480.0, 3000.0)]
    for shown, obeyed in zip(limited, (True, False), strict=True):
        controller = Controller(ControlSettings())
        for second in range(300):
            now_s = site.now_s + second
            own = replace(shown, power_at_s=now_s)
            meter = MeterState(Reading(50.0, now_s, now_s), good_in_a_row=9)
            last = controller.step(Snapshot(now_s, now_s, meter, (own,), Settings(), price=COSTS))
        assert last.rulings[0].obeyed is obeyed


def test_without_a_meter_it_works_and_nothing_is_claimed() -> None:
    site = Site(grid_w=None)
    (ruling,) = site.run(600).rulings
    assert (ruling.obeyed, site.rules, site.last.mode, site.faults) == (None, [CLOSED], Mode.LIMIT, set())


def test_a_lost_meter_changes_no_rule_and_is_told() -> None:
    site = Site()
    site.run(30)
    late = replace(site.snapshot(), now_s=site.now_s + 60.0)
    decision = site.controller.step(late)
    assert not decision.rules
    (fault,) = [fault for fault in decision.faults if fault.key == "meter"]
    assert "by themselves" in fault.text


def test_people_decide_before_the_price() -> None:
    site = Site()
    site.run(310)
    site.settings = Settings(override=Override(Mode.OPEN, 1.7e9 + site.now_s + 3600.0))
    site.run(2)
    assert site.rules == [CLOSED, NORMAL]
    site.settings = Settings(enabled=False)
    site.run(2)
    assert site.last.mode is Mode.PAUSED
    assert site.rules == [CLOSED, NORMAL]


def fast(now_s: float, power_w: float) -> InverterState:
    return InverterState(
        "116", "Garage", 800.0, 24.0, reachable=True, ac=Ac(power_w=power_w), power_at_s=now_s, data_seq=round(now_s)
    )


def test_beside_a_fast_inverter_each_gets_what_it_can_follow() -> None:
    site = Site(grid_w=-300.0)
    commands: list[Command] = []
    for _ in range(60):
        site.others = (fast(site.now_s, 500.0),)
        commands += site.run(1).commands
    assert {command.serial for command in commands} == {"116"}
    assert site.rules == [CLOSED]
    assert {will.serial for will in site.last.wills} == {"116"}
    assert not any(fault.key == "unguarded:122" for fault in site.last.faults)


@pytest.mark.parametrize(
    ("how", "accepted", "given"),
    [
        ("keep", NORMAL, []),
        ("release", CLOSED, [NORMAL]),
        ("fail_safe", NORMAL, [CLOSED]),
        ("fail_safe", CLOSED, []),
    ],
)
def test_what_a_clean_stop_leaves_behind(how: str, accepted: Rule, given: list[Rule]) -> None:
    site = Site(rule=replace(PROFILES, accepted=accepted))
    assert list(exit_rules(site.snapshot().inverters, how).values()) == given  # type: ignore[arg-type]


def test_a_clean_stop_closes_what_somebody_opened_just_now() -> None:
    site = Site(rule=replace(PROFILES, accepted=CLOSED, shown=NORMAL, shown_at_s=900.0))
    assert list(exit_rules(site.snapshot().inverters, "fail_safe").values()) == [CLOSED]


def test_it_is_not_night_while_the_slow_one_is_there() -> None:
    site = Site(price=PAYS, control=ControlSettings(export_limit_w=5000.0))
    site.others = (replace(fast(site.now_s, 0.0), reachable=False),)
    assert site.run(30).mode is Mode.OPEN
    site.reachable = False
    assert site.run(3).mode is Mode.NIGHT
