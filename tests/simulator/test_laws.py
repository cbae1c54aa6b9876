"""The peers' laws on a house of ideal devices: what each is known for, and that each does its job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from app.simulator.laws import Law, Published, Seen
from app.simulator.laws.hoymiles_zero_export import hoymiles_zero_export
from app.simulator.laws.integrator import integrator
from app.simulator.laws.lektronik import lektronik
from app.simulator.laws.opendtu_onbattery import opendtu_onbattery
from app.simulator.laws.opendtu_pr3227 import opendtu_pr3227
from app.simulator.laws.plain_pid import plain_pid

STEP_S, SLOT_S, ANSWER_S = 0.1, 2.0, 0.2


def tuned_hoymiles_zero_export(target_w: float = 15.0) -> Law:
    return hoymiles_zero_export(
        target_w=target_w,
        tolerance_w=10.0,
        max_point_w=target_w + 10.0,
        min_point_w=target_w - 25.0,
        loop_s=5.0,
        jump_pct=0.0,
        fast_decrease=True,
    )


# Each with the seconds that it may take to end the export after a drop of the load.
LAWS: dict[str, tuple[Callable[..., Law], float]] = {
    "HoymilesZeroExport": (hoymiles_zero_export, 50.0),
    "HoymilesZeroExport, tuned": (tuned_hoymiles_zero_export, 12.0),
    "lektronik": (lektronik, 12.0),
    "OpenDTU-OnBattery": (opendtu_onbattery, 15.0),
    "OpenDTU PR 3227": (opendtu_pr3227, 22.0),
    "plain PID": (plain_pid, 20.0),
    "integrator": (integrator, 10.0),
}
EVERY_LAW = pytest.mark.parametrize("name", LAWS)


@dataclass
class Unit:
    """An inverter without ramps, noise or losses, and what OpenDTU knows of it."""

    serial: str = "1"
    rated_w: float = 1500.0
    min_w: float = 45.0
    mppts: int = 1
    pdl: bool = False
    dead_time_s: float = 1.0
    sun_w: tuple[float, ...] = (1500.0,)
    reachable: bool = True
    answers: bool = True
    in_force_w: float = 1500.0
    pending: list[tuple[float, float]] = field(default_factory=list)  # (sent at, watts)
    coming: list[tuple[float, float]] = field(default_factory=list)  # (in force from, watts)
    acked_at_s: float = 0.0
    stats: tuple[float, tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        self.shown_w = self.in_force_w

    @property
    def trackers_w(self) -> tuple[float, ...]:
        return tuple(min(sun, self.in_force_w / self.mppts) for sun in self.sun_w)

    @property
    def power_w(self) -> float:
        return sum(self.trackers_w)

    def step(self, now_s: float) -> None:
        while self.coming and self.coming[0][0] <= now_s + 1e-9:
            self.in_force_w = self.coming.pop(0)[1]
        while self.answers and self.pending and self.pending[0][0] + SLOT_S <= now_s + 1e-9:
            self.shown_w, self.acked_at_s = self.pending.pop(0)[1], now_s

    @property
    def seen(self) -> Seen:
        at_s, trackers_w = self.stats or (None, ())
        return Seen(
            serial=self.serial,
            rated_w=self.rated_w,
            min_w=self.min_w,
            mppts=self.mppts,
            pdl=self.pdl,
            reachable=self.reachable,
            power_w=sum(trackers_w) if self.stats else None,
            power_at_s=at_s,
            mppt_w=trackers_w,
            limit_w=self.shown_w,
            acked=not self.pending,
            acked_at_s=self.acked_at_s,
        )


class Ideal:
    """A `Site`: ``load_w`` may change at any time; ``commands`` are (time, serial, watts)."""

    def __init__(
        self, law: Law, *units: Unit, load_w: float = 500.0, poll_s: float = 5.0, meter_s: float = 1.0
    ) -> None:
        self.units = units or (Unit(),)
        self.load_w, self.poll_s, self.meter_interval_s = load_w, poll_s, meter_s
        self.meter_answers = True
        self.now_s = self.grid_at_s = 0.0
        self.commands: list[tuple[float, str, float]] = []
        self.gate_open = False
        self.battery = None
        self.published: tuple[Published, ...] = ()
        self._steps = 0
        self.grid_w = self.true_grid_w
        self._wake_s: float | None = 0.0
        self._poll()
        self._living = law(self)

    @property
    def true_grid_w(self) -> float:
        return self.load_w - sum(unit.power_w for unit in self.units)

    @property
    def inverters(self) -> tuple[Seen, ...]:
        return tuple(unit.seen for unit in self.units)

    @property
    def sent_w(self) -> list[float]:
        return [watts for _, _, watts in self.commands]

    def limit_w(self, serial: str, watts: float) -> None:
        unit = next(unit for unit in self.units if unit.serial == serial)
        self.commands.append((self.now_s, serial, watts))
        unit.pending = [(self.now_s, watts)]
        if unit.answers and unit.reachable:
            unit.coming.append((self.now_s + ANSWER_S + unit.dead_time_s, watts))

    def limit_pct(self, serial: str, percent: float) -> None:
        self.limit_w(serial, percent / 100.0 * next(u.rated_w for u in self.units if u.serial == serial))

    def run(self, seconds: float) -> None:
        """Live on."""
        for _ in range(round(seconds / STEP_S)):
            self._steps += 1
            self.now_s = self._steps * STEP_S
            for unit in self.units:
                unit.step(self.now_s)
            if self._steps % round(self.poll_s / STEP_S) == 0:
                self._poll()
            new = self.meter_answers and self._steps % round(self.meter_interval_s / STEP_S) == 0
            if new:
                self.grid_w, self.grid_at_s = self.true_grid_w, self.now_s
            if new if self._wake_s is None else self.now_s >= self._wake_s - 1e-6:
                pause_s = next(self._living)
                self._wake_s = None if pause_s is None else self.now_s + pause_s

    def _poll(self) -> None:
        for unit in self.units:
            if unit.reachable:
                unit.stats = self.now_s, unit.trackers_w


@EVERY_LAW
@pytest.mark.parametrize("dead_time_s", [1.0, 3.0])
def test_after_a_drop_of_the_load_the_export_ends_in_time(name: str, dead_time_s: float) -> None:
    law, within_s = LAWS[name]
    site = Ideal(law(), Unit(dead_time_s=dead_time_s), load_w=1200.0)
    site.run(120.0)
    site.load_w = 400.0
    site.run(within_s * (1.0 if dead_time_s < 2.0 else 2.0))
    exports = []
    for _ in range(40):
        site.run(0.5)
        exports.append(-site.true_grid_w)
    assert max(exports) < 50.0


@EVERY_LAW
def test_a_steady_load_is_met_at_the_target(name: str) -> None:
    site = Ideal(LAWS[name][0](), load_w=700.0)
    site.run(150.0)
    assert site.true_grid_w == pytest.approx(15.0, abs=26.0)  # the widest tolerance is 25 W


@EVERY_LAW
def test_the_target_is_a_setting(name: str) -> None:
    site = Ideal(LAWS[name][0](target_w=100.0), load_w=700.0)
    site.run(200.0)
    assert site.true_grid_w == pytest.approx(100.0, abs=26.0)


@EVERY_LAW
def test_limits_stay_between_minimum_and_rating(name: str) -> None:
    site = Ideal(
        LAWS[name][0](),
        Unit("1"),
        Unit("2", rated_w=800.0, min_w=24.0, sun_w=(800.0,), in_force_w=800.0),
        load_w=1000.0,
    )
    for load_w in (1000.0, 0.0, 5000.0, 300.0, 30.0, 2200.0):
        site.load_w = load_w
        site.run(60.0)
    bounds = {unit.serial: (unit.min_w, unit.rated_w) for unit in site.units}
    assert {serial for _, serial, _ in site.commands} == {"1", "2"}
    assert all(bounds[serial][0] - 1e-6 <= watts <= bounds[serial][1] + 1e-6 for _, serial, watts in site.commands)


@EVERY_LAW
def test_an_inverter_out_of_reach_is_left_alone_and_taken_back(name: str) -> None:
    site = Ideal(LAWS[name][0](), Unit("1"), Unit("2"), load_w=1000.0)
    site.run(100.0)
    site.units[1].reachable = False
    site.load_w = 900.0
    site.run(25.0)  # what was begun before may still go out
    gone_s = site.now_s
    site.load_w = 1400.0
    site.run(60.0)
    site.load_w = 800.0
    site.run(40.0)
    assert "1" in {serial for at_s, serial, _ in site.commands if at_s > gone_s}
    assert "2" not in {serial for at_s, serial, _ in site.commands if at_s > gone_s}
    site.units[1].reachable = True
    back_s = site.now_s
    site.load_w = 2000.0
    site.run(60.0)
    assert "2" in {serial for at_s, serial, _ in site.commands if at_s > back_s}


class TestHoymilesZeroExport:
    def test_it_begins_at_the_minimum(self) -> None:
        site = Ideal(hoymiles_zero_export(), load_w=5000.0)
        site.run(10.5)
        assert site.sent_w == [45.0]

    def test_import_makes_it_jump_to_full_power(self) -> None:
        site = Ideal(hoymiles_zero_export(), load_w=700.0)
        site.run(100.0)
        site.load_w = 900.0
        site.run(25.0)
        assert 1500.0 in site.sent_w[-2:]

    def test_without_the_jump_it_goes_where_it_should(self) -> None:
        site = Ideal(tuned_hoymiles_zero_export(), load_w=700.0)
        site.run(100.0)
        site.load_w = 900.0
        site.run(25.0)
        assert max(site.sent_w) == pytest.approx(885.0, abs=15.0)

    def test_a_big_cut_is_made_at_four_fifths(self) -> None:
        site = Ideal(hoymiles_zero_export(max_point_w=10_000.0), load_w=1260.0)
        site.run(120.0)
        settled_w = site.sent_w[-1]
        site.load_w = 260.0
        commands = len(site.commands)
        site.run(30.0)
        error_w = 260.0 - settled_w - 15.0
        assert site.sent_w[commands] == pytest.approx(settled_w + 0.8 * error_w, abs=16.0)

    def test_limits_are_whole_percents_of_the_rating(self) -> None:
        site = Ideal(tuned_hoymiles_zero_export(), load_w=777.0)
        site.run(100.0)
        assert all(watts / 15.0 == pytest.approx(round(watts / 15.0)) for watts in site.sent_w)

    def test_inverters_are_served_one_after_the_other(self) -> None:
        site = Ideal(hoymiles_zero_export(), Unit("1"), Unit("2"), load_w=1000.0)
        site.run(60.0)
        (first_s, one, _), (second_s, two, _) = site.commands[:2]
        assert (one, two) == ("1", "2")
        assert SLOT_S <= second_s - first_s <= SLOT_S + 0.6

    def test_after_ten_seconds_without_an_answer_it_goes_on(self) -> None:
        site = Ideal(hoymiles_zero_export(), Unit("1", answers=False), Unit("2"), load_w=1000.0)
        site.run(40.0)
        assert site.commands[1][0] - site.commands[0][0] == pytest.approx(10.0, abs=0.6)

    def test_with_nobody_in_reach_it_pauses(self) -> None:
        site = Ideal(hoymiles_zero_export(), load_w=700.0)
        site.run(100.0)
        site.units[0].reachable = False
        site.run(25.0)
        commands = len(site.commands)
        site.load_w = 100.0
        site.run(100.0)
        assert len(site.commands) == commands
        site.units[0].reachable = True
        site.run(45.0)
        assert len(site.commands) > commands


class TestLektronik:
    def test_it_rests_for_five_seconds_after_each_change(self) -> None:
        site = Ideal(lektronik(), load_w=700.0)
        site.run(60.0)
        site.load_w = 300.0
        site.run(30.0)
        times = [at_s for at_s, _, _ in site.commands]
        assert min(later - sooner for sooner, later in pairwise(times)) == pytest.approx(5.0)

    def test_then_it_reacts_to_the_next_reading(self) -> None:
        site = Ideal(lektronik(), load_w=700.0)
        site.run(60.0)
        site.load_w = 300.0
        site.run(1.0)
        assert site.commands[-1][0] > 60.0

    def test_while_the_sun_sets_the_output_it_climbs_and_then_starts_from_the_power(self) -> None:
        site = Ideal(lektronik(), Unit(sun_w=(300.0,)), load_w=1000.0)
        site.run(60.0)
        assert site.sent_w[-1] == 1500.0
        site.load_w = 200.0
        site.run(2.0)
        assert site.sent_w[-1] == pytest.approx(300.0 + (200.0 - 300.0) - 15.0, abs=2.0)


class TestOpenDtuOnBattery:
    def test_it_waits_for_statistics_and_a_reading_two_seconds_newer(self) -> None:
        site = Ideal(opendtu_onbattery(), poll_s=7.0)
        for load_w in 20 * (700.0, 400.0):
            site.load_w = load_w
            site.run(3.3)
        assert len(site.commands) >= 10
        for (sooner_s, _, _), (later_s, _, _) in pairwise(site.commands):
            polled_s = next(7.0 * i for i in range(100) if 7.0 * i >= sooner_s + SLOT_S - 1e-6)
            assert later_s > polled_s + 2.0

    def test_a_failed_command_is_given_up_for_a_new_one(self) -> None:
        site = Ideal(opendtu_onbattery(), Unit(answers=False), load_w=700.0)
        site.run(40.0)
        assert len(site.commands) >= 2
        assert site.commands[1][0] - site.commands[0][0] >= 10.0

    def test_the_one_that_can_give_up_most_is_reduced_first(self) -> None:
        site = Ideal(opendtu_onbattery(), Unit("1", sun_w=(300.0,)), Unit("2", sun_w=(900.0,)), load_w=1000.0)
        site.run(4.0)
        assert [serial for _, serial, _ in site.commands] == ["2"]
        assert site.sent_w == [pytest.approx(685.0)]

    def test_nothing_winds_up_while_the_sun_sets_the_output(self) -> None:
        site = Ideal(opendtu_onbattery(), Unit(in_force_w=900.0, sun_w=(500.0,)), load_w=1200.0)
        site.run(60.0)
        assert site.commands == []

    def test_small_errors_are_left_alone_within_the_hysteresis(self) -> None:
        site = Ideal(opendtu_onbattery(hysteresis_w=20.0), Unit(in_force_w=700.0), load_w=724.0)
        site.run(30.0)
        assert site.commands == []
        site.load_w = 740.0
        site.run(10.0)
        assert site.sent_w == [pytest.approx(725.0)]

    def test_shaded_trackers_are_made_up_for_by_a_higher_limit(self) -> None:
        roof = Unit(mppts=2, sun_w=(750.0, 60.0), in_force_w=600.0)
        site = Ideal(opendtu_onbattery(overscaling=True), roof, load_w=500.0)
        site.run(30.0)
        assert site.sent_w[0] == pytest.approx(2.0 * (485.0 - 60.0))
        assert site.true_grid_w == pytest.approx(15.0, abs=2.0)

    def test_a_silent_meter_means_the_base_load(self) -> None:
        site = Ideal(opendtu_onbattery(), load_w=700.0)
        site.run(30.0)
        site.meter_answers = False
        site.run(50.0)
        assert site.units[0].power_w == pytest.approx(100.0, abs=2.0)


class TestOpenDtuPr3227:
    def test_it_starts_from_the_limit_in_force_and_then_acts_every_ten_seconds(self) -> None:
        site = Ideal(opendtu_pr3227(), load_w=700.0)
        site.run(5.0)
        assert site.sent_w == [1500.0]
        site.run(10.0)
        first, second = site.commands
        assert second[0] - first[0] == pytest.approx(10.0, abs=0.2)
        assert second[2] == pytest.approx(685.0, abs=1.0)

    def test_it_never_asks_for_much_more_than_is_produced(self) -> None:
        site = Ideal(opendtu_pr3227(), Unit(in_force_w=300.0, sun_w=(300.0,)), load_w=2000.0)
        site.run(60.0)
        assert max(site.sent_w) == 600.0

    def test_upward_corrections_are_scaled_down_for_a_slow_meter(self) -> None:
        site = Ideal(opendtu_pr3227(), Unit(in_force_w=600.0), load_w=615.0, meter_s=18.0)
        site.run(60.0)
        site.load_w = 815.0
        site.run(28.0)
        assert site.sent_w[-1] == pytest.approx(600.0 + 200.0 * 10.0 / (18.0 + 2.0), abs=1.0)

    def test_a_silent_meter_means_the_minimum_once(self) -> None:
        site = Ideal(opendtu_pr3227(), load_w=700.0)
        site.run(30.0)
        site.meter_answers = False
        site.run(100.0)
        assert site.sent_w[-2:] == [pytest.approx(685.0, abs=1.0), 45.0]


class TestPlainPid:
    @pytest.mark.parametrize("dead_time_s", [1.0, 3.0])
    def test_it_is_stable(self, dead_time_s: float) -> None:
        site = Ideal(plain_pid(), Unit(dead_time_s=dead_time_s), load_w=300.0)
        site.run(60.0)
        site.load_w = 1300.0
        site.run(60.0)
        grid = []
        for _ in range(30):
            site.run(1.0)
            grid.append(site.true_grid_w)
        assert max(abs(watts - 15.0) for watts in grid) < 10.0

    def test_its_integral_winds_up_to_the_clamp_and_no_further(self) -> None:
        site = Ideal(plain_pid(), Unit(sun_w=(300.0,)), load_w=1000.0)
        site.run(300.0)
        assert site.units[0].in_force_w == 1500.0
        site.load_w, site.units[0].sun_w = 600.0, (1500.0,)
        site.run(5.0)
        assert site.sent_w[-1] < 1200.0


class TestIntegrator:
    def test_it_corrects_every_five_seconds_by_the_whole_error(self) -> None:
        site = Ideal(integrator(), load_w=700.0)
        site.run(4.0)
        assert site.sent_w == [pytest.approx(685.0, abs=1.0)]
        site.load_w = 500.0
        site.run(5.0)
        assert site.sent_w[-1] == pytest.approx(485.0, abs=1.0)

    def test_it_winds_up_while_the_sun_sets_the_output(self) -> None:
        site = Ideal(integrator(), Unit(sun_w=(300.0,), in_force_w=300.0), load_w=500.0)
        site.run(60.0)
        assert site.units[0].in_force_w == 1500.0
        site.load_w = 250.0  # 50 W of export: it unwinds 65 W at a time, and the export lasts
        site.run(60.0)
        assert site.true_grid_w == pytest.approx(-50.0)

    def test_a_lost_command_is_not_built_upon(self) -> None:
        site = Ideal(integrator(), Unit(answers=False), load_w=700.0)
        site.run(30.0)
        assert site.sent_w == [pytest.approx(685.0, abs=1.0)] * len(site.sent_w)
        assert len(site.sent_w) >= 5
