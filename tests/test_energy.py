"""Energy from powers and counters: what is on the account, and when; the figures are worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.counter import Mark
from app.energy import HELD_S, Gain, KeptCounter, KeptEnergy, SiteEnergy
from app.model import Ac, InverterState, MeterState, Phase, Reading, Settings, Snapshot

UTC_S = 1_750_000_000.0
ONE, THREE = (Phase(),), (Phase(), Phase(), Phase())


@dataclass
class Site:
    """A meter and one inverter of 2000 W; a test moves time, powers and counters."""

    phases: tuple[Phase, ...] = ONE
    kept: KeptEnergy | None = None
    now_s: float = 5000.0
    utc_s: float = UTC_S
    import_wh: float | None = 70_000.0
    export_wh: float | None = 30_000.0
    yield_kwh: float | None = 500.0
    reachable: bool = True
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("import_wh", "export_wh", "pv_wh"), 0.0))
    gains: list[Gain] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.energy = SiteEnergy(70_000.0, self.kept)

    def restart(self, off_s: float, *, now_s: float = 30.0) -> None:
        """The program ends now, as it is kept by now, and starts again."""
        self.energy = SiteEnergy(70_000.0, self.energy.kept())
        self.utc_s += off_s
        self.now_s = now_s

    def turn(self, after_s: float = 1.0, grid_w: float | None = None, pv_w: float | None = None) -> Site:
        self.now_s += after_s
        self.utc_s += after_s
        reading = Reading(grid_w or 0.0, self.now_s, self.utc_s, self.phases, self.import_wh, self.export_wh)
        ac = Ac(power_w=pv_w, yield_total_kwh=self.yield_kwh)
        roof = InverterState("1", "Roof", 2000.0, 40.0, reachable=self.reachable, ac=ac, power_at_s=self.now_s)
        snapshot = Snapshot(self.now_s, self.utc_s, MeterState(reading), (roof,), Settings())
        self.gains = self.energy.observe(snapshot, grid_w)
        for gain in self.gains:
            assert gain.wh > 0.0
            self.sums[gain.name] += gain.wh
        return self

    def has(self, **sums: float) -> None:
        assert self.sums == pytest.approx({"import_wh": 0.0, "export_wh": 0.0, "pv_wh": 0.0} | sums)


class TestAMeterThatCountsWhatTheBillCounts:
    """One phase: the counters are the energy."""

    def test_power_fills_the_time_until_the_counter_shows(self) -> None:
        site = Site().turn(grid_w=3600.0)
        for _ in range(10):
            site.turn(grid_w=3600.0)
        site.has(import_wh=10.0)
        site.import_wh = 70_009.5
        site.turn(grid_w=3600.0).has(import_wh=11.0)  # what is shown stays
        site.turn(grid_w=3600.0).has(import_wh=11.0)  # 9.5 counted and 1 since: less than is shown
        site.turn(grid_w=3600.0).has(import_wh=11.5)
        site.import_wh = 70_014.0
        site.turn(grid_w=0.0).has(import_wh=14.0)

    def test_a_power_that_the_meter_does_not_count_is_not_there(self) -> None:
        """Readings that jump about zero would export all day; the counter says how much it was."""
        site = Site().turn(grid_w=7.0)
        for minute in range(60):
            for _ in range(30):
                site.turn(grid_w=-7.0).turn(grid_w=7.0)
            site.import_wh = 70_001.0 + minute
            site.turn()
        assert site.sums["export_wh"] < 0.1
        assert site.sums["import_wh"] == pytest.approx(60.0, abs=0.1)

    @pytest.mark.parametrize("off_s", [60.0, 3600.0, 86_400.0])
    def test_a_gap_is_what_both_counters_say(self, off_s: float) -> None:
        site = Site().turn(grid_w=100.0)
        site.restart(off_s)
        site.import_wh, site.export_wh = 70_020.0, 30_007.0
        site.turn().has(import_wh=20.0, export_wh=7.0)
        assert [gain.since_utc_s for gain in site.gains] == [UTC_S + 1.0] * 2
        site.turn().has(import_wh=20.0, export_wh=7.0)

    def test_a_kill_before_anything_was_saved_counts_nothing_twice(self) -> None:
        site = Site().turn(grid_w=3600.0).turn(grid_w=3600.0)
        saved, sums = site.energy.kept(), dict(site.sums)
        for second in range(50):
            site.import_wh = 70_000.0 + second
            site.turn(grid_w=3600.0)
        site.energy, site.sums = SiteEnergy(70_000.0, saved), sums  # the account of then too
        site.import_wh = 70_080.0
        site.turn(30.0, grid_w=3600.0).has(import_wh=80.0)

    def test_without_counters_power_is_all_there_is(self) -> None:
        site = Site(import_wh=None, export_wh=None).turn(grid_w=3600.0)
        site.turn(grid_w=-3600.0).turn(grid_w=0.0).has(import_wh=1.0, export_wh=1.0)
        site.restart(3600.0)
        site.turn(grid_w=3600.0).turn(grid_w=3600.0).has(import_wh=2.0, export_wh=1.0)

    def test_one_counter_alone_is_followed_alone(self) -> None:
        site = Site(export_wh=None).turn(grid_w=-3600.0)
        for second in range(5):
            site.import_wh = 70_000.0 + second
            site.turn(grid_w=-3600.0)
        site.has(import_wh=4.0, export_wh=5.0)

    def test_a_reset_leaves_what_was_integrated(self) -> None:
        site = Site().turn(grid_w=3600.0)
        site.import_wh = 3.0
        for _ in range(400):
            site.turn(grid_w=3600.0)
        site.has(import_wh=400.0)
        site.import_wh = 93.0
        site.turn(grid_w=3600.0)
        assert site.sums["import_wh"] == pytest.approx(401.0, abs=0.01)


class TestAMeterThatCountsEachPhaseOnItsOwn:
    """Three phases: both counters are too high, and their difference is right."""

    def test_while_running_the_net_power_counts(self) -> None:
        site = Site(THREE).turn(grid_w=3600.0)
        for second in range(60):
            site.import_wh, site.export_wh = 70_000.0 + 2.0 * second, 30_000.0 + second
            site.turn(grid_w=3600.0)
        site.has(import_wh=60.0)

    @pytest.mark.parametrize(
        ("imported_wh", "exported_wh", "expected"),
        [(500.0, 200.0, {"import_wh": 300.0}), (200.0, 500.0, {"export_wh": 300.0}), (50.0, 50.0, {})],
    )
    def test_a_gap_is_their_difference(
        self, imported_wh: float, exported_wh: float, expected: dict[str, float]
    ) -> None:
        site = Site(THREE).turn(grid_w=0.0)
        site.restart(3600.0)
        site.import_wh, site.export_wh = 70_000.0 + imported_wh, 30_000.0 + exported_wh
        site.turn(grid_w=0.0).has(**expected)
        assert all(gain.since_utc_s == UTC_S + 1.0 for gain in site.gains)

    def test_an_outage_while_running_is_a_gap_too(self) -> None:
        site = Site(THREE).turn(grid_w=3600.0).turn(grid_w=3600.0)
        for _ in range(600):
            site.turn()
        site.has(import_wh=2.0)
        site.turn(grid_w=3600.0)
        site.import_wh = 70_602.0  # 2 Wh before the gap are on the account, and one after it
        site.turn(grid_w=3600.0).has(import_wh=602.0)
        assert site.gains[-1].since_utc_s == UTC_S + 4.0, "since the last power that was known"

    def test_what_was_counted_before_the_kill_is_not_counted_again(self) -> None:
        site = Site(THREE).turn(grid_w=3600.0)
        for _ in range(20):
            site.turn(grid_w=3600.0)
        site.restart(100.0)
        site.import_wh = 70_120.0
        site.turn(grid_w=0.0).has(import_wh=120.0)

    def test_a_reset_in_a_gap_is_unknown(self) -> None:
        site = Site(THREE).turn(grid_w=0.0)
        site.restart(3600.0)
        site.import_wh, site.export_wh = 5.0, 2.0
        for _ in range(400):
            site.turn(grid_w=0.0)
        site.has()


class TestInverters:
    """Their power while it is known, and their own counters for the rest."""

    def test_power_counts_while_it_is_known(self) -> None:
        site = Site().turn(pv_w=1800.0)
        for second in range(20):
            site.yield_kwh = 500.0 + second * 0.0006  # DC: somewhat more
            site.turn(pv_w=1800.0)
        site.has(pv_wh=10.0)

    def test_a_gap_is_what_the_inverter_has_counted(self) -> None:
        site = Site().turn(pv_w=1800.0).turn(pv_w=1800.0)
        site.restart(3600.0)
        site.yield_kwh = 501.2
        site.turn(pv_w=1800.0).has(pv_wh=1200.0)
        assert site.gains[-1].since_utc_s == UTC_S + 2.0

    def test_a_radio_that_was_away(self) -> None:
        site = Site().turn(pv_w=1800.0).turn(pv_w=1800.0)
        site.reachable = False
        for _ in range(1000):
            site.turn(pv_w=1800.0)
        site.has(pv_wh=1.0)
        site.reachable, site.yield_kwh = True, 500.4
        site.turn(pv_w=1800.0).has(pv_wh=400.0)

    def test_a_report_does_not_stand_for_ever(self) -> None:
        site = Site().turn(pv_w=1800.0)
        roof = InverterState("1", "Roof", 2000.0, 40.0, reachable=True, ac=Ac(power_w=3600.0), power_at_s=site.now_s)
        total_wh = 0.0
        for _ in range(600):
            site.now_s += 1.0
            snapshot = Snapshot(site.now_s, site.utc_s, MeterState(), (roof,), Settings())
            total_wh += sum(gain.wh for gain in site.energy.observe(snapshot, None))
        assert total_wh == pytest.approx(0.5 + HELD_S)

    @pytest.mark.parametrize("yield_kwh", [0.0, 499.0, 500.0 + 3.0, None])
    def test_a_total_that_cannot_be_counts_nothing(self, yield_kwh: float | None) -> None:
        """In an hour 2000 W give no 3 kWh."""
        site = Site().turn(pv_w=0.0)
        site.restart(3600.0)
        site.yield_kwh = yield_kwh
        for _ in range(400):
            site.turn(pv_w=0.0)
        site.has()

    def test_a_night_gives_nothing(self) -> None:
        site = Site().turn(pv_w=100.0).turn(pv_w=0.0)
        site.reachable = False
        site.turn(36_000.0)
        site.reachable, site.yield_kwh = True, 500.002
        site.turn(pv_w=5.0).has(pv_wh=2.0)

    def test_every_inverter_is_kept(self) -> None:
        kept = KeptEnergy(inverters={"gone": KeptCounter(Mark(7.0, UTC_S))})
        site = Site(kept=kept).turn(pv_w=0.0)
        assert site.energy.kept().inverters == kept.inverters | {"1": KeptCounter(Mark(500_000.0, UTC_S + 1.0))}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.1, 20.0), st.floats(-5000.0, 5000.0) | st.none(), st.floats(0.0, 1.0), st.booleans()),
        max_size=40,
    )
)
def test_a_followed_account_is_never_below_the_counter_nor_far_above(
    turns: list[tuple[float, float | None, float, bool]],
) -> None:
    """Whatever the powers say, and whenever the program is killed."""
    site = Site().turn()
    counted_wh = 0.0
    for after_s, grid_w, share, killed in turns:
        if killed:
            site.restart(after_s)
        counted_wh += share * after_s
        site.import_wh = 70_000.0 + counted_wh
        site.turn(after_s, grid_w)
        assert site.sums["import_wh"] >= counted_wh - 1.0 - 1e-6
        assert site.sums["import_wh"] <= counted_wh + 5000.0 * 10.0 / 3600.0 * 3 + 1.0
