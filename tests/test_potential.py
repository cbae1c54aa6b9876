"""What the limits hold back: what is told apart, what is learned, and how near the estimate comes to the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model import Ac, Decision, InverterState, MeterState, Mode, Override, Settings, Snapshot
from app.potential import Potential
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig, SunConfig
from app.simulator.sun import Sun
from tests.closed_loop import UTC_0, ClosedLoop

DAY_S = 86_400.0
MORNING = 1_750_032_000.0 // DAY_S * DAY_S  # 00:00 UTC
MAX_W = 1000.0


@dataclass
class Site:
    """Inverters whose sun and limits a test moves; they report every 5 s."""

    potential: Potential = field(default_factory=Potential)
    now_s: float = 100.0
    utc_s: float = MORNING + 12.0 * 3600.0
    held_back_wh: float = 0.0
    uncertain_s: float = 0.0

    def wait(self, seconds: float) -> None:
        """Let time pass in which nobody looks."""
        self.now_s += seconds
        self.utc_s += seconds

    def last(self, seconds: float, *inverters: tuple[float, float | None]) -> tuple[float | None, ...]:
        """So long with this sun and this limit for each; what is held back in the end, None where it is uncertain."""
        states = [self.state(str(number), *inverter) for number, inverter in enumerate(inverters)]
        return self.seen(seconds, *states)

    def seen(self, seconds: float, *states: InverterState) -> tuple[float | None, ...]:
        for _ in range(round(seconds / 5.0)):
            self.now_s += 5.0
            self.utc_s += 5.0
            now = tuple(
                state if state.power_at_s is None else replace(state, power_at_s=self.now_s) for state in states
            )
            seen = self.potential.observe(Snapshot(self.now_s, self.utc_s, MeterState(), now, Settings()))
            self.held_back_wh += seen.power_w / 720.0
            self.uncertain_s += 5.0 * seen.uncertain
        return (None if seen.uncertain else round(seen.power_w),)

    def state(self, serial: str, sun_w: float, limit_w: float | None) -> InverterState:
        power_w = min(sun_w, MAX_W if limit_w is None else limit_w)
        return InverterState(
            serial, serial, MAX_W, 20.0, reachable=True, ac=Ac(power_w=power_w), power_at_s=0.0, commanded_w=limit_w
        )


def near(seen: tuple[float | None, ...], expected_w: float, within_w: float) -> bool:
    (power_w,) = seen
    return power_w is not None and abs(power_w - expected_w) <= within_w


class TestWhatIsToldApart:
    """Whether the limit or the sun sets the power."""

    def test_a_released_inverter_holds_nothing_back(self) -> None:
        assert Site().last(60, (600.0, MAX_W)) == (0,)
        assert Site().last(60, (MAX_W, MAX_W)) == (0,)

    def test_below_its_limit_it_is_the_sun(self) -> None:
        assert Site().last(60, (300.0, 500.0)) == (0,)

    def test_held_before_anything_is_known_is_uncertain(self) -> None:
        assert Site().last(60, (600.0, 300.0)) == (None,)

    def test_held_after_it_was_free(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        assert site.last(300, (600.0, 200.0)) == (400,)

    def test_for_two_hours(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        assert site.last(7000, (600.0, 200.0)) == (400,)
        assert site.last(400, (600.0, 200.0)) == (None,)

    def test_a_limit_just_raised_tells_nothing_yet(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        site.last(300, (600.0, 200.0))
        slow = replace(site.state("0", 200.0, 900.0), ac=Ac(power_w=200.0))
        assert site.seen(25, slow) == (400,)
        assert site.seen(15, slow) == (0,), "by now the sun has gone"

    def test_low_limits_are_met_badly(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        short = replace(site.state("0", 85.0, 100.0))
        assert site.seen(60, short) == (515,), "85 W under a limit of 100 W are no sun of 85 W"

    def test_one_that_is_switched_off_holds_all_back(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        off = replace(site.state("0", 0.0, MAX_W), power_on=False)
        assert site.seen(60, off) == (600,)

    def test_a_cut_that_is_not_acknowledged_counts_as_sent_and_so_does_a_raise_as_not_arrived(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        for commanded_w, acked_w in ((200.0, MAX_W), (MAX_W, 200.0)):
            state = replace(site.state("0", 200.0, 200.0), commanded_w=commanded_w, acked_w=acked_w)
            assert site.seen(60, state) == (400,)

    @pytest.mark.parametrize(("power_w", "seen"), [(None, (0,)), (5.0, (0,)), (400.0, (None,))])
    def test_one_that_cannot_be_reached_sleeps_or_is_uncertain(
        self, power_w: float | None, seen: tuple[float | None, ...]
    ) -> None:
        state = replace(Site().state("0", 0.0, 200.0), reachable=False, ac=Ac(power_w=power_w))
        assert Site().seen(60, state) == seen

    def test_a_report_that_is_old_tells_nothing(self) -> None:
        site = Site()
        site.last(300, (600.0, MAX_W))
        old = replace(site.state("0", 200.0, 200.0), power_at_s=None)
        stuck = Snapshot(
            site.now_s + 400.0, site.utc_s, MeterState(), (replace(old, power_at_s=site.now_s),), Settings()
        )
        assert site.potential.observe(stuck).uncertain
        assert site.seen(5, old) == (None,)

    def test_an_unknown_limit_is_uncertain_unless_it_is_not_ours(self) -> None:
        state = replace(Site().state("0", 300.0, None), ac=Ac(power_w=300.0))
        assert Site().seen(60, state) == (None,)
        assert Site().seen(60, replace(state, enabled=False)) == (0,)

    def test_no_inverters_hold_nothing_back(self) -> None:
        assert Site().seen(5) == (0,)


class TestWhatIsLearned:
    """The clear sky of each quarter of an hour, and how much of it there is now."""

    def test_the_sky_of_yesterday_times_how_clear_it_is_now(self) -> None:
        site = Site()
        site.last(3600, (800.0, MAX_W))
        site.wait(DAY_S - 3600.0)
        site.last(1800, (400.0, MAX_W))
        assert near(site.last(900, (400.0, 100.0)), 310.0, 20.0)

    def test_without_a_free_power_today_it_is_as_clear_as_usual(self) -> None:
        site = Site()
        site.last(3600, (800.0, MAX_W))
        site.wait(DAY_S - 3600.0)
        site.last(3600, (400.0, MAX_W))
        site = Site(Potential(site.potential.kept), utc_s=MORNING + 2 * DAY_S + 12.25 * 3600.0)
        assert near(site.last(600, (999.0, 100.0)), 500.0, 20.0), "three quarters of 800 W"

    def test_a_neighbour_that_nobody_limits_shows_the_sun(self) -> None:
        site = Site()
        assert site.last(600, (500.0, 100.0), (500.0, MAX_W)) == (400,)
        assert near(site.last(3600, (250.0, 100.0), (250.0, MAX_W)), 150.0, 20.0)

    def test_clouds_seen_through_a_low_limit_are_not_the_sky(self) -> None:
        site = Site()
        site.last(3600, (800.0, MAX_W))
        site.wait(DAY_S - 3600.0)
        site.last(900, (800.0, MAX_W))
        for _ in range(10):
            site.last(60, (800.0, 300.0))
            site.last(60, (150.0, 300.0))
        assert near(site.last(60, (800.0, 300.0)), 500.0, 10.0)

    def test_a_limit_that_held_back_a_little_more_than_the_best_changes_nothing(self) -> None:
        site = Site()
        site.last(300, (800.0, MAX_W))
        site.last(300, (900.0, 815.0))
        site.wait(DAY_S - 600.0)
        assert near(site.last(60, (800.0, 300.0)), 500.0, 10.0)

    def test_a_limit_that_held_back_clearly_more_shows_that_it_was_not_the_best(self) -> None:
        site = Site()
        site.last(300, (500.0, MAX_W))
        site.last(300, (900.0, 800.0))
        site.wait(DAY_S - 600.0)
        assert site.last(60, (900.0, 300.0)) == (None,)

    def test_one_that_gives_what_it_was_held_at_has_shown_its_best(self) -> None:
        site = Site()
        site.last(300, (900.0, 500.0))
        site.last(300, (495.0, MAX_W))
        site.wait(DAY_S - 600.0)
        assert near(site.last(60, (495.0, 100.0)), 395.0, 10.0)

    def test_what_was_always_held_is_not_taken_for_the_sky(self) -> None:
        site = Site()
        for _ in range(20):
            site.last(120, (250.0, 300.0))
            assert site.last(120, (800.0, 300.0)) == (None,)

    def test_a_moment_without_limit_in_the_days_before_is_enough(self) -> None:
        site = Site()
        site.last(600, (800.0, 300.0))
        site.last(20, (800.0, MAX_W))  # the limit may not yet be what is seen
        site.last(80, (700.0, MAX_W))
        site.wait(DAY_S - 700.0)
        assert site.last(300, (700.0, 300.0)) == (400,)

    def test_a_gap_around_noon_is_bridged_by_a_curve(self) -> None:
        site = Site(utc_s=MORNING + 6.0 * 3600.0)
        while site.utc_s < MORNING + 19.0 * 3600.0:
            hour = (site.utc_s - MORNING) / 3600.0
            site.last(60, (900.0 * math.sin(math.pi * (hour - 5.0) / 15.0), None if 10.0 < hour < 15.0 else MAX_W))
        site.wait(DAY_S - 6.5 * 3600.0)
        assert near(site.last(60, (900.0, 300.0)), 600.0, 60.0)

    def test_the_best_of_long_ago_gives_way(self) -> None:
        site = Site()
        site.last(300, (900.0, MAX_W))
        site.wait(15 * DAY_S - 300.0)
        site.last(300, (500.0, MAX_W))
        best = site.potential.kept.best["0"]
        assert [seen.share for seen in best.values()] == [0.5]

    def test_but_not_to_what_a_limit_held_back(self) -> None:
        site = Site()
        site.last(300, (900.0, MAX_W))
        site.wait(15 * DAY_S - 300.0)
        assert near(site.last(300, (900.0, 300.0)), 600.0, 10.0)

    def test_a_clock_that_was_wrong_does_no_lasting_harm(self) -> None:
        site = Site(utc_s=12.0 * 3600.0)
        site.last(300, (900.0, MAX_W))
        site.utc_s = MORNING + 12.0 * 3600.0
        site.last(300, (500.0, MAX_W))
        assert site.last(60, (500.0, 100.0)) == (400,)

    def test_a_curve_that_is_wrong_is_corrected_by_what_is_seen(self) -> None:
        site = Site()
        site.last(300, (0.0, MAX_W))
        site.wait(600.0)
        site.last(300, (900.0, 400.0))  # the quarter between two dark ones is held
        site.wait(600.0)
        site.last(300, (0.0, MAX_W))
        site.wait(DAY_S - 1200.0)
        assert site.last(300, (300.0, 400.0)) == (0,)


@given(
    st.lists(
        st.tuples(
            st.floats(-100.0, 4000.0),
            st.floats(-1e5, 1e5),
            st.none() | st.floats(-50.0, 3000.0),
            st.none() | st.floats(0.0, 3000.0),
            st.none() | st.floats(0.0, 3000.0),
            st.sampled_from([None, True, False]),
        ),
        max_size=40,
    )
)
def test_whatever_comes_it_stays_between_nothing_and_everything(turns: list[tuple[Any, ...]]) -> None:
    potential, now_s, utc_s = Potential(), 100.0, MORNING
    for after_s, jump_s, power_w, commanded_w, acked_w, known in turns:
        now_s, utc_s = now_s + max(0.0, after_s), utc_s + after_s + jump_s
        state = InverterState(
            "1", "1", MAX_W, 20.0, reachable=known, power_on=known, ac=Ac(power_w=power_w), power_at_s=now_s
        )
        states = (
            replace(state, commanded_w=commanded_w, acked_w=acked_w),
            replace(state, serial="2", reachable=True, power_on=None, enabled=False),
        )
        seen = potential.observe(Snapshot(now_s, utc_s, MeterState(), states, Settings()))
        assert 0.0 <= seen.power_w <= 2.0 * MAX_W + 100.0


class TestHowNearItComes:
    """Days of a site under the sun of the simulator, which knows the truth; the house takes 350 W."""

    @staticmethod
    def day(potential: Potential, sun: Sun, closed: Callable[[float], bool]) -> tuple[float, float, Site]:
        """The energy truly held back, the part of it while the estimate was certain, and the site."""
        site = Site(potential, utc_s=MORNING + 5.5 * 3600.0)
        limit_w, true_wh, certain_wh = MAX_W, 0.0, 0.0
        while site.utc_s < MORNING + 20.5 * 3600.0:
            available_w = sun.step(site.now_s, 5.0) * MAX_W
            (seen,) = site.last(5, (available_w, limit_w))
            lost_wh = max(0.0, available_w - limit_w) / 720.0
            true_wh, certain_wh = true_wh + lost_wh, certain_wh + (0.0 if seen is None else lost_wh)
            limit_w = 350.0 if closed((site.utc_s - MORNING) / 3600.0) else MAX_W
        return true_wh, certain_wh, site

    @pytest.mark.parametrize(("clouds", "within"), [(False, 0.06), (True, 0.06)])
    def test_closed_around_noon(self, *, clouds: bool, within: float) -> None:
        potential = Potential()
        for number in range(3):
            sun = Sun(SunConfig(start_hour=5.5, clouds=clouds), f"{number}")
            true_wh, certain_wh, site = self.day(potential, sun, lambda hour: 12.0 <= hour < 16.0)
            if number == 0:
                assert site.uncertain_s == pytest.approx(7200.0, abs=120.0), "two hours on, the first day knows no more"
            assert site.held_back_wh == pytest.approx(certain_wh, rel=0.2 if number == 0 else within)
            potential = Potential(potential.kept)
        assert certain_wh == true_wh

    def test_closed_all_day_on_the_first_day(self) -> None:
        sun = Sun(SunConfig(start_hour=5.5, clouds=False), "1")
        true_wh, _, site = self.day(Potential(), sun, lambda _hour: True)
        assert true_wh > 3000.0
        assert site.held_back_wh < 0.1 * true_wh
        assert site.uncertain_s > 9.0 * 3600.0

    @pytest.mark.parametrize("clouds", [False, True])
    def test_under_the_unchanged_controller(self, *, clouds: bool) -> None:
        """Released for half an hour, then held at the target for an hour; the house, its meter and its radio live."""
        sun = SunConfig(start_hour=10.0, clouds=clouds)
        loop = ClosedLoop(HouseConfig(seed=3, step_s=0.5, sun=sun, dtu=DtuConfig(up_since_s=DAY_S)))
        potential, step = Potential(), loop.controller.step
        held_back_ws: list[float] = []

        def watched(snapshot: Snapshot) -> Decision:
            held_back_ws.append(potential.observe(snapshot).power_w)
            return step(snapshot)

        loop.controller.step = watched  # type: ignore[method-assign]
        loop.settings = Settings(override=Override(Mode.OPEN, UTC_0 + 1800.0))
        loop.run(1800)
        before_wh = loop.house.energy.available_wh - loop.house.energy.pv_wh
        held_back_ws.clear()
        loop.run(3600)
        true_wh = loop.house.energy.available_wh - loop.house.energy.pv_wh - before_wh
        assert true_wh > 300.0
        assert sum(held_back_ws) / 3600.0 == pytest.approx(true_wh, rel=0.15)
