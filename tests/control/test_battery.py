"""Beside a battery that regulates by itself: room to charge, none that nobody needs, and no fight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.control import ControlSettings
from app.control.battery import BatteryRoom
from app.control.battery_rules import BatteryRules
from app.control.household import Load
from app.control.regulate import Regulator
from app.control.turns import Fight, Turns
from app.model import BatteryState, Mode, Reading, Room
from app.simulator.house import House, HouseConfig
from app.simulator.parameters import BatteryConfig, DtuConfig, InverterConfig, LoadConfig
from app.simulator.scenarios import CLEAR, FRIDGE, KETTLE, LIGHTS
from tests.closed_loop import ClosedLoop

TARGET_W = 15.0


@dataclass
class Meeting:
    """A house of ``house_w`` and a battery; a reading every second, a report every ``interval_s``.

    ``pv_w`` is what the inverters give; the battery takes ``battery_w``, whatever that does to the grid.
    """

    rules: BatteryRules = field(default_factory=BatteryRules)
    house_w: float = 400.0
    pv_w: float = 900.0
    battery_w: float = 500.0
    limit_w: float = 3000.0
    target_w: float = TARGET_W
    soc_pct: float | None = 50.0
    most_w: float | None = 2500.0
    interval_s: float = 2.0
    tells: bool = True
    now_s: float = 100.0
    told: BatteryState = field(default_factory=lambda: BatteryState("battery"))

    def __post_init__(self) -> None:
        self.room = BatteryRoom(self.rules)
        self.due_s = self.now_s

    def run(self, seconds: int) -> Room:
        for _ in range(seconds):
            self.now_s += 1.0
            if self.tells and self.now_s >= self.due_s:
                self.due_s = self.now_s + self.interval_s
                self.told = BatteryState(
                    "battery", self.soc_pct, self.battery_w, self.now_s, self.interval_s, max_charge_w=self.most_w
                )
            grid_w = self.house_w + self.battery_w - self.pv_w
            load_w = grid_w + self.pv_w
            self.last = self.room.step(
                self.now_s,
                self.told,
                Reading(grid_w, self.now_s, self.now_s),
                Load(load_w, load_w, load_w),
                self.limit_w,
                self.target_w,
            )
        return self.last

    @property
    def plan_w(self) -> float:
        """What the law plans for."""
        assert self.last.room_w is not None
        return self.house_w + self.battery_w + self.last.room_w


def meet(rules: dict[str, Any] | None = None, **changes: Any) -> Meeting:
    meeting = Meeting(BatteryRules(**(rules or {})), **changes)
    meeting.run(10)
    return meeting


# What room is left.


@pytest.mark.parametrize(
    ("rules", "changes", "beyond_house_w"),
    [
        ({}, {}, 2500.0),
        ({"auto_charge_max_w": 1000.0}, {}, 1000.0),
        ({"allow_charge": False}, {}, 500.0),
        ({}, {"soc_pct": 99.6}, 500.0),
        ({"full_soc_pct": 90.0}, {"soc_pct": 91.0}, 500.0),
        ({}, {"soc_pct": 95.0}, 1000.0),
        ({}, {"soc_pct": 97.5}, 700.0),
        ({"taper": False}, {"soc_pct": 97.5}, 2500.0),
        ({}, {"most_w": None}, 600.0),
        ({}, {"soc_pct": None}, 600.0),
        ({}, {"battery_w": 0.0, "pv_w": 400.0, "most_w": None}, 100.0),
        ({"auto_charge_below_soc": 90.0}, {"battery_w": 0.0, "pv_w": 400.0, "most_w": None}, 1500.0),
        (
            {"auto_charge_below_soc": 90.0, "auto_charge_w": 800.0},
            {"battery_w": 0.0, "pv_w": 400.0, "most_w": None},
            800.0,
        ),
        (
            {"auto_charge_below_soc": 90.0},
            {"battery_w": 0.0, "pv_w": 400.0, "most_w": None, "soc_pct": 91.0},
            100.0,
        ),
        ({"auto_charge_below_soc": 90.0}, {"most_w": None}, 600.0),
        ({}, {"battery_w": -800.0, "pv_w": 0.0, "house_w": 800.0, "soc_pct": 100.0}, 0.0),
    ],
)
def test_it_plans_for_the_house_and_what_the_battery_would_take(
    rules: dict[str, Any], changes: dict[str, Any], beyond_house_w: float
) -> None:
    meeting = meet(rules, **changes)
    assert meeting.plan_w - meeting.house_w == pytest.approx(beyond_house_w)


@pytest.mark.parametrize(
    ("changes", "target_w"),
    [({}, 15.0 + 7.0), ({"soc_pct": 99.6}, 15.0 + 50.0), ({"target_w": -300.0}, -300.0 + 7.0)],
)
def test_the_import_that_is_wanted_depends_on_whether_it_is_full(changes: dict[str, Any], target_w: float) -> None:
    assert meet({"bias_w": 7.0}, **changes).last.target_w == target_w


def test_no_import_is_asked_for_that_the_battery_would_make_up_for() -> None:
    meeting = meet(soc_pct=100.0, battery_w=-65.0, pv_w=335.0)
    assert meeting.last.target_w == 0.0
    assert meeting.plan_w == pytest.approx(meeting.house_w), "and what it gives, the sun may give"
    meeting.battery_w, meeting.pv_w = 0.0, 400.0
    assert meeting.run(500).target_w == 0.0
    assert meeting.run(120).target_w == TARGET_W + 50.0, "it is tried again now and then"


# What the house takes.


def test_a_drop_of_the_house_counts_at_once_and_what_the_battery_takes_of_it_is_no_load() -> None:
    meeting = meet(house_w=2000.0, pv_w=2500.0)
    meeting.house_w = 500.0
    meeting.run(1)
    assert meeting.plan_w == pytest.approx(500.0 + 2500.0)
    meeting.battery_w = 2000.0
    for _ in range(6):
        meeting.run(1)
        assert meeting.plan_w == pytest.approx(500.0 + 2500.0)


def test_a_rise_of_the_house_counts_at_once_and_stays_when_the_battery_makes_up_for_it() -> None:
    meeting = meet(soc_pct=100.0, battery_w=0.0, pv_w=400.0)
    meeting.house_w = 2400.0
    meeting.run(1)
    assert meeting.plan_w == pytest.approx(2400.0)
    meeting.battery_w = -2000.0
    for _ in range(6):
        meeting.run(1)
        assert meeting.plan_w == pytest.approx(2400.0)


def test_while_the_battery_gives_way_to_the_sun_the_house_stays_the_same() -> None:
    """The meter shows nothing of a raise that the battery makes room for: what is known of the load are bounds."""
    meeting = meet(soc_pct=100.0, house_w=2400.0, battery_w=-2000.0, pv_w=400.0)
    for given_w in range(0, 2001, 250):
        meeting.battery_w, meeting.pv_w, meeting.now_s = -2000.0 + given_w, 400.0 + given_w, meeting.now_s + 2.0
        told = BatteryState("battery", 100.0, meeting.battery_w, meeting.now_s, 2.0, max_charge_w=2500.0)
        load = Load(400.0, 400.0, 400.0 + given_w)  # most likely what it was: so a house without a battery would be
        room = meeting.room.step(meeting.now_s, told, Reading(0.0, meeting.now_s, 0.0), load, 2500.0, TARGET_W)
        assert room.room_w is not None
        assert load.watts + room.room_w == pytest.approx(2400.0)


def test_through_a_slow_cloud_a_drop_counts_as_soon() -> None:
    meeting = meet(house_w=2000.0, pv_w=2500.0, interval_s=15.0)
    meeting.house_w = 500.0
    meeting.run(1)
    assert meeting.plan_w == pytest.approx(500.0 + 2500.0)
    assert (meeting.last.raise_w_per_s or 0.0) < 100.0, "and what is seen so late is raised slowly"


# What it takes at most.


@pytest.mark.parametrize("most_w", [None, 2500.0])
def test_what_it_does_not_take_is_found_and_tried_again_more_and_more_seldom(most_w: float | None) -> None:
    meeting = meet(most_w=most_w, battery_w=700.0, pv_w=1100.0)
    meeting.pv_w = 1500.0
    meeting.run(20)
    assert meeting.plan_w == pytest.approx(400.0 + 700.0), "no more than it takes"
    tried = 0
    for _ in range(1800):
        meeting.pv_w = meeting.plan_w - TARGET_W
        before_w = meeting.plan_w
        meeting.run(1)
        tried += meeting.plan_w > before_w
    assert 3 <= tried <= 9


def test_when_it_takes_more_again_more_is_offered_and_sooner_than_step_by_step() -> None:
    meeting = meet(battery_w=700.0, pv_w=1100.0)
    meeting.pv_w = 1500.0
    meeting.run(20)
    for _ in range(60):
        meeting.pv_w = meeting.plan_w - TARGET_W
        meeting.battery_w = min(2500.0, meeting.pv_w - meeting.house_w)
        meeting.run(1)
    assert meeting.plan_w == pytest.approx(400.0 + 2500.0)


def test_one_that_does_not_begin_to_charge_gets_no_room_for_ever() -> None:
    meeting = meet({"auto_charge_below_soc": 90.0}, battery_w=0.0, pv_w=400.0, most_w=None)
    exported_s = 0
    for _ in range(600):
        meeting.pv_w = meeting.plan_w - TARGET_W
        meeting.run(1)
        exported_s += meeting.house_w - meeting.pv_w < -50.0
    assert exported_s < 60
    assert meeting.plan_w == pytest.approx(meeting.house_w)


def found(takes_w: float = 700.0) -> Meeting:
    """At 98 % it was found to take so much."""
    meeting = meet({"taper": False}, battery_w=takes_w, pv_w=400.0 + takes_w, soc_pct=98.0)
    meeting.pv_w += 400.0
    meeting.run(20)
    meeting.pv_w = 400.0 + takes_w
    return meeting


def test_what_it_takes_shrinks_as_it_fills() -> None:
    meeting = found()
    meeting.soc_pct, meeting.battery_w, meeting.pv_w = 99.0, 350.0, 750.0
    meeting.run(3)
    assert meeting.plan_w == pytest.approx(400.0 + 350.0)


def test_a_charge_that_is_mistaken_for_a_moment_offers_little_more() -> None:
    meeting = found()
    meeting.soc_pct = 0.0
    meeting.run(2)
    assert meeting.plan_w <= 400.0 + 2.0 * 700.0 + 100.0
    meeting.soc_pct = 98.0
    meeting.run(2)
    assert meeting.plan_w <= 400.0 + 700.0 + 400.0, "as when it takes more again"


def test_what_it_has_given_it_may_take_again() -> None:
    meeting = found()
    before_w = meeting.plan_w
    meeting.run(5)
    assert meeting.plan_w == before_w, "more is tried after a while only"
    meeting.battery_w, meeting.pv_w = -300.0, 100.0
    meeting.run(6)
    assert meeting.plan_w > before_w


def test_an_export_while_more_is_given_is_the_battery_s_delay() -> None:
    meeting = meet(limit_w=1000.0)
    for _ in range(20):
        meeting.limit_w += 60.0
        meeting.pv_w += 60.0
        meeting.battery_w = meeting.pv_w - 60.0 - meeting.house_w
        meeting.run(1)
    assert meeting.plan_w == pytest.approx(400.0 + 2500.0, abs=80.0)


@pytest.mark.parametrize("own_w", [-50.0, 30.0])
def test_what_its_own_regulator_aims_at_is_not_too_much_sun(own_w: float) -> None:
    meeting = meet(pv_w=1000.0, battery_w=600.0 + own_w)
    for house_w in (400.0, 500.0, 400.0, 520.0, 400.0):
        meeting.house_w, meeting.battery_w = house_w, 1000.0 - house_w + own_w
        meeting.run(8)
    for _ in range(90):
        meeting.pv_w = meeting.plan_w - TARGET_W
        meeting.battery_w = min(2500.0, meeting.pv_w - meeting.house_w + own_w)
        meeting.run(1)
    assert meeting.plan_w == pytest.approx(400.0 + 2500.0, abs=130.0)


def test_a_battery_that_exports_of_its_own_accord_gets_no_room() -> None:
    """Somebody sells what it holds: it regulates nothing now, and the sun is not to be added to that."""
    meeting = meet(battery_w=-2000.0, house_w=500.0, pv_w=400.0)
    meeting.run(10)
    assert meeting.last.room_w is not None
    assert meeting.last.room_w <= 0.0
    meeting.battery_w = 0.0
    meeting.pv_w = 500.0
    meeting.run(10)
    assert meeting.plan_w > 500.0


# Data that are missing, and two regulators.


@pytest.mark.parametrize("power_w", [None, float("nan")])
def test_without_a_power_it_is_lost(power_w: float | None) -> None:
    meeting = meet()
    told = replace(meeting.told, power_w=power_w)
    load = Load(900.0, 900.0, 900.0)
    room = meeting.room.step(meeting.now_s, told, Reading(0.0, meeting.now_s, 0.0), load, 3000.0, TARGET_W)
    assert (room.lost, room.room_w, room.target_w) == (True, None, TARGET_W)


def test_old_data_are_none_and_fresh_ones_begin_anew() -> None:
    meeting = meet()
    meeting.tells = False
    assert not meeting.run(25).lost
    room = meeting.run(10)
    assert (room.lost, room.room_w, room.target_w, room.raise_w_per_s) == (True, None, TARGET_W, None)
    meeting.tells, meeting.house_w, meeting.battery_w = True, 600.0, 300.0
    meeting.run(5)
    assert meeting.plan_w == pytest.approx(600.0 + 2500.0)


def swing(fight: Fight, now_s: float, seconds: int, *, house: bool = False) -> float:
    """A minute or more in which battery and limits swing against each other every 10 s."""
    for _ in range(seconds):
        now_s += 1.0
        up = int(now_s / 10.0) % 2
        fight.look(now_s, 300.0 + 400.0 * up, 900.0 - 400.0 * up, 200.0 + 400.0 * (house and not up))
    return now_s


def test_a_fight_is_recognised_slowed_and_over_after_a_calm_while() -> None:
    fight = Fight()
    now_s = swing(fight, 0.0, 60)
    assert fight.slowed
    assert fight.share == 0.5
    now_s = swing(fight, now_s, 120)
    assert fight.share <= 0.25, "half again while it goes on"
    for _ in range(3600):
        now_s += 1.0
        fight.look(now_s, 300.0, 900.0, 200.0)
    assert not fight.slowed


def test_a_house_that_swings_is_no_fight() -> None:
    fight = Fight()
    swing(fight, 0.0, 600, house=True)
    assert not fight.slowed


def test_a_swing_is_as_large_as_it_was_from_turn_to_turn() -> None:
    turns, swings_w = Turns(), []
    for now_s, value in enumerate((0.0, 200.0, -100.0, 300.0, -500.0)):
        if turns.add(value, float(now_s)):
            swings_w.append(turns.swing_w)
    assert swings_w == [0.0, 300.0, 400.0]


def test_small_movements_are_no_turns() -> None:
    turns = Turns()
    for second in range(100):
        turns.add(100.0 * (second % 2), float(second))
    assert turns.count(100.0) == 0


# On the simulated plant.

FAST = BatteryConfig()


def feed(told: Callable[[BatteryConfig], float | None]) -> Callable[[House], BatteryState | None]:
    """The reports of the simulated battery; ``told``: what is known of the most that it takes."""

    def state(house: House) -> BatteryState | None:
        if house.battery is None:
            return None
        config, one = house.battery.config, house.battery.report
        return BatteryState("battery", one.soc_pct, one.power_w, one.at_s, config.report_s, max_charge_w=told(config))

    return state


def knows(config: BatteryConfig) -> float | None:
    return config.charge_w


def nothing(_config: BatteryConfig) -> float | None:
    return None


class Beside(ClosedLoop):
    """Two inverters, a usual household and a battery; what it exports, and what the battery does not get."""

    def __init__(
        self,
        battery: BatteryConfig,
        told: Callable[[BatteryConfig], float | None] = knows,
        *,
        appliances: Any = (FRIDGE, KETTLE, LIGHTS),
        **rules: Any,
    ) -> None:
        roofs = tuple(
            InverterConfig(serial=f"11618040000{i}", name=f"roof {i}", phase=i, mute_chance=0.0) for i in range(2)
        )
        config = HouseConfig(
            seed=2,
            load=LoadConfig(base_w=300.0, appliances=appliances),
            sun=CLEAR,
            dtu=DtuConfig(up_since_s=86_400.0),
            inverters=roofs,
            battery=battery,
        )
        super().__init__(config, ControlSettings(battery=BatteryRules(**rules)), battery=feed(told))
        self.run(120)
        self.export_ws = self.could_ws = self.starved_ws = self.longest_s = run_s = 0.0
        self._run_s = run_s

    def live(self, seconds: int) -> None:
        battery = self.house.battery
        assert battery is not None
        for _ in range(seconds):
            self.run(1)
            could_w = min(battery.wants_w, max(0.0, self.house.feedable_w - sum(self.house.load_w)))
            self.could_ws += could_w
            self.starved_ws += max(0.0, could_w - max(0.0, battery.power_w))
            self.export_ws += max(0.0, -self.house.grid_w)
            self._run_s = self._run_s + 1.0 if self.house.grid_w < -60.0 else 0.0
            self.longest_s = max(self.longest_s, self._run_s)


@pytest.mark.parametrize(
    ("battery", "told", "starved"),
    [
        pytest.param(replace(FAST, delay_s=0.5), knows, 0.05, id="half a second"),
        pytest.param(FAST, knows, 0.05, id="a second"),
        pytest.param(replace(FAST, delay_s=3.0), knows, 0.05, id="three seconds"),
        pytest.param(replace(FAST, report_s=15.0, report_lag_s=10.0), knows, 0.1, id="cloud"),
        pytest.param(replace(FAST, target_w=-50.0), knows, 0.1, id="aims at export"),
        pytest.param(replace(FAST, target_w=30.0), knows, 0.05, id="aims at import"),
        pytest.param(replace(FAST, charge_w=800.0), nothing, 0.1, id="small, and nobody knows"),
    ],
)
def test_it_charges_and_the_house_exports_for_seconds_only(
    battery: BatteryConfig, told: Callable[[BatteryConfig], float | None], starved: float
) -> None:
    house = Beside(battery, told)
    house.live(480)
    assert house.could_ws > 60_000.0
    assert house.starved_ws < starved * house.could_ws
    assert house.longest_s <= 16.0
    own_ws = max(0.0, -battery.target_w) * 480.0  # what it exports all the time by itself
    assert house.export_ws - own_ws < 30_000.0


def test_a_full_battery_is_not_discharged_instead_of_the_sun() -> None:
    house = Beside(replace(FAST, soc_pct=100.0), appliances=(FRIDGE, LIGHTS))
    house.live(120)
    given_ws = 0.0
    for _ in range(240):
        house.live(1)
        given_ws += max(0.0, -house.house.battery_w)
    assert given_ws / 240.0 < 40.0, "watts, in the mean"
    assert house.longest_s < 8.0


def test_the_ups_and_downs_of_the_battery_are_no_appliances() -> None:
    """It is tried what it takes, and it takes less and less: the house does nothing at all meanwhile."""
    house = Beside(replace(FAST, capacity_wh=2000.0, soc_pct=97.0), nothing, appliances=())
    house.live(600)
    assert house.could_ws > 30_000.0
    regulator = house.controller._regulator
    assert isinstance(regulator, Regulator)
    seen = regulator._appliances.known
    assert [one for one in seen if one.since_s > 60.0] == [], "once the inverters have been heard"


@pytest.mark.parametrize("strict", [False, True])
def test_without_data_it_is_as_without_a_battery_or_nothing_is_given(strict: bool) -> None:
    house = Beside(FAST, strict=strict, appliances=(FRIDGE, LIGHTS))
    assert house.house.battery_w > 1000.0
    last = feed(knows)(house.house)
    house._battery = lambda _house: last
    house.run(60)
    assert house.last.room is not None
    assert house.last.room.lost, "and app.batteries.slot tells the fault"
    assert (house.last.mode is Mode.FAIL_SAFE) is strict
    if strict:
        least_w = sum(state.min_w for state in house.driver.states())
        assert house.last.limit_w == pytest.approx(least_w), "at once, and all the way"
        assert house.house.pv_w < least_w + 30.0
    house._battery = feed(knows)
    house.run(90)
    assert str(house.last.mode) == "limit"
    assert house.last.room is not None
    assert not house.last.room.lost
    assert house.house.battery_w > 1000.0
