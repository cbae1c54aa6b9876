"""A step test finds out how an inverter reacts, and says when it cannot: in virtual time, on the simulated house."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from app.control import Controller, ControlSettings
from app.control.stepfit import LimitStep, fit
from app.control.steptest import StepTest
from app.control.trajectory import Anchor, Sent, Trajectory
from app.inverters.opendtu import OpenDtuInverterConfig
from app.model import (
    Decision,
    Mode,
    Phase,
    Progress,
    Reading,
    Settings,
    Snapshot,
    StepResult,
    StepTestReport,
    StepTestRequest,
    Tick,
)
from app.recording import encode_tick
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.meter import MeterSample
from app.simulator.parameters import APPLIANCES, DtuConfig, InverterConfig, LoadConfig, MeterConfig, SunConfig
from tests.closed_loop import ClosedLoop

Shows = Callable[[MeterSample], tuple[float, ...]]
SURE = DtuConfig(loss=0.0)
PROMPT = MeterConfig(phase_s=0.7)  # a value is ready 0.2 s before it is read
JUST = MeterConfig(phase_s=0.9)  # it comes at about the time it is read: some are read twice, some never


@dataclass
class Bench:
    """Stands where the controller stands. ``shows``: what the meter makes of the true powers."""

    loop: ClosedLoop
    test: StepTest
    shows: Shows = lambda sample: sample.phases_w

    def step(self, snapshot: Snapshot) -> Decision:
        command = self.test.step(_with_phases(snapshot, self.shows(self.loop.house.meter.sample)))
        return Decision(Mode.LIMIT, "test", (command,) if command else ())

    def run(self, seconds: float = 450.0) -> StepTestReport:
        """Until it is over."""
        while self.test.running and seconds > 0.0:
            self.loop.run(1)
            seconds -= 1.0
        return self.test.report

    def result(self) -> StepResult:
        """Of a test that comes to its end."""
        report = self.run()
        assert report.result is not None, report.text
        assert report.state is Progress.DONE
        return report.result


def _with_phases(snapshot: Snapshot, watts: tuple[float, ...]) -> Snapshot:
    reading = snapshot.meter.reading
    if reading is None:
        return snapshot
    shown = replace(reading, power_w=sum(watts), phases=tuple(Phase(power_w) for power_w in watts))
    return replace(snapshot, meter=replace(snapshot.meter, reading=shown))


def bench(
    dead_time_s: float = 1.0,
    *,
    sun: float = 0.5,
    load_w: float | None = 900.0,
    load: LoadConfig | None = None,
    meter: MeterConfig = PROMPT,
    seed: int = 3,
    spread: float = 0.1,
    **inverter: Any,
) -> Bench:
    """A quiet house with one inverter in the sun, and no controller."""
    unit = InverterConfig(dead_time_s=dead_time_s, dead_time_spread=spread, **inverter)
    habits, clear = load or LoadConfig(), SunConfig(clouds=False)
    config = HouseConfig(seed=seed, load=habits, sun=clear, meter=meter, dtu=SURE, inverters=(unit,))
    loop = ClosedLoop(config)
    loop.house.sun_override, loop.house.load_override_w = sun, load_w
    one = Bench(loop, StepTest(StepTestRequest(unit.serial, 1)))
    loop.controller = cast(Controller, one)
    return one


@pytest.mark.parametrize("dead_time_s", [1.0, 3.0, 10.0])
def test_the_dead_time_is_found_whatever_it_is(dead_time_s: float) -> None:
    found = bench(dead_time_s).result()
    assert found.verdict == "ok"
    assert found.dead_time_s == pytest.approx(dead_time_s + 0.5, rel=0.2)  # in the air, and until it is read
    assert found.gain == pytest.approx(1.0, abs=0.1)
    assert found.reported_gain == pytest.approx(1.0, abs=0.1)
    assert (found.sign, found.phase) == (1, 1)


def test_a_meter_that_is_read_just_when_it_has_a_new_value_does_not_spoil_it() -> None:
    found = bench(1.0, meter=JUST).result()
    assert found.verdict == "ok"
    assert found.dead_time_s == pytest.approx(1.3, rel=0.2)
    assert found.gain == pytest.approx(1.0, abs=0.1)


def test_its_dead_time_is_the_one_that_the_observer_reckons_with() -> None:
    path = Trajectory(1500.0, 0.2, 1.0)
    path.anchor(Anchor(40.0, 800.0, 800.0, 40.0, bound=True))
    path.send(Sent(100.0, 100.0, 600.0))
    readings = [Reading(900.0 - path.mean_w(at_s - 1.1, at_s, 2.6), at_s, at_s) for at_s in map(float, range(95, 112))]
    found = fit(readings, LimitStep(1500.0, 800.0, Sent(100.0, 100.0, 600.0), 1.1), 2.0)
    assert found.dead_time_s == pytest.approx(2.6, abs=0.06)
    assert found.gain == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("ramp_per_s", "expected_w_per_s"), [(0.1, 150.0), (0.05, 75.0)])
def test_a_slow_ramp_is_found_both_ways(ramp_per_s: float, expected_w_per_s: float) -> None:
    found = bench(3.0, sun=0.9, load_w=1500.0, ramp_up_per_s=ramp_per_s, ramp_down_per_s=ramp_per_s).result()
    assert found.ramp_down_w_per_s == pytest.approx(expected_w_per_s)
    assert found.ramp_up_w_per_s == pytest.approx(expected_w_per_s)


def test_a_fast_ramp_is_no_number_that_the_meter_cannot_tell() -> None:
    found = bench(1.0).result()
    assert found.ramp_down_w_per_s is None
    assert "down at more than" in found.text


def test_old_firmware_with_shaded_panels_shows_half_a_gain_and_no_fault() -> None:
    found = bench(1.0, sun=0.9, shade=(1.0, 1.0, 0.2, 0.2)).result()
    assert found.verdict == "ok"
    assert found.gain == pytest.approx(0.5, abs=0.1)
    assert found.reported_gain == pytest.approx(0.5, abs=0.1)
    assert "shaded" in found.text


def test_a_meter_the_wrong_way_round_is_seen_at_the_first_step() -> None:
    one = bench(1.0)
    one.shows = lambda sample: tuple(-power_w for power_w in sample.phases_w)
    found = one.result()
    assert (found.verdict, found.sign) == ("fail", -1)
    assert "the clamp of phase 1 sits the wrong way round" in found.text
    assert len(found.steps) == 2, "down and up again was enough"


def test_a_clamp_on_another_phase_than_its_voltage_is_seen() -> None:
    """Reckoned with the voltage of another phase, a current counts minus a half: the cosine of 120 degrees."""
    one = bench(1.0)

    def swapped(sample: MeterSample) -> tuple[float, ...]:
        a, b, c = sample.phases_w
        return (b + 300.0, -0.5 * a, c)

    one.shows = swapped
    found = one.result()
    assert (found.verdict, found.phase) == ("fail", 2)
    assert "another phase than its voltage" in found.text


def test_an_inverter_that_the_meter_does_not_see() -> None:
    one = bench(1.0)
    one.shows = lambda sample: (sample.power_w + sample.pv_w, 0.0, 0.0)
    found = one.result()
    assert (found.verdict, found.sign) == ("fail", 0)
    assert "the meter showed nothing of it" in found.text


def test_an_inverter_that_does_not_obey() -> None:
    one = bench(1.0)
    one.loop.run(12)
    one.loop.house.inverters[0].ignores_limit = True
    found = one.result()
    assert (found.verdict, found.sign) == ("fail", 0)
    assert "did not follow its limit" in found.text


def test_a_restless_house_is_given_up_on() -> None:
    one, draw = bench(1.0), random.Random(1)
    while one.test.running:
        one.loop.house.load_override_w = draw.uniform(100.0, 2500.0)
        one.loop.run(draw.uniform(1.0, 5.0))
    report = one.test.report
    assert report.state is Progress.FAILED
    assert "too restless" in report.text
    assert report.result is None


def test_one_kettle_does_not_spoil_it() -> None:
    one = bench(3.0, load_w=900.0)
    one.loop.run(35)
    one.loop.house.load_override_w = 2900.0
    found = one.result()
    assert found.verdict == "ok"
    assert found.dead_time_s == pytest.approx(3.4, rel=0.2)


@pytest.mark.parametrize("seed", [6, 12, 26])
def test_a_fridge_that_starts_does_not_make_a_slow_inverter_look_the_wrong_way_round(seed: int) -> None:
    """Taken for the step, it ends the wait for it: then the step shows while the next one is on trial."""
    habits = LoadConfig(appliances=tuple(one for one in APPLIANCES if one.name in ("fridge", "lights")))
    found = bench(15.0, sun=0.7, load_w=None, seed=seed, load=habits, meter=MeterConfig(), spread=0.2).result()
    assert found.verdict == "ok"
    assert found.dead_time_s == pytest.approx(15.9, rel=0.2)


def test_the_configured_phase_is_compared() -> None:
    one = bench(1.0, phase=0)
    one.loop.driver._inverters["116180400001"].config = OpenDtuInverterConfig(
        serial="116180400001", max_watt=1500, phase=3
    )
    found = one.result()
    assert (found.verdict, found.phase) == ("warn", 1)
    assert "the configuration says 3" in found.text


def test_the_sun_just_below_the_limit_is_not_taken_for_the_limit() -> None:
    one = bench(1.0, sun=0.88)
    one.loop.house.dtu.links["116180400001"].meet(0.0)  # it knows the limit: 1500 W
    found = one.result()
    assert found.steps[0].from_w == pytest.approx(one.loop.house.available_w, rel=0.02)
    assert found.gain == pytest.approx(1.0, abs=0.1)


def test_too_little_sun_is_said() -> None:
    report = bench(1.0, sun=0.05).run()
    assert report.state is Progress.FAILED
    assert "too little for a step" in report.text
    assert report.step == 0


def test_a_meter_that_stops_ends_it() -> None:
    one = bench(1.0)
    one.loop.run(24)
    one.loop.meter_answers = False
    report = one.run(20.0)
    assert report.state is Progress.FAILED
    assert "no grid reading for" in report.text


def test_an_inverter_that_restarts_ends_it() -> None:
    one = bench(1.0)
    one.loop.run(24)
    one.loop.driver._lose_limits("a test")
    assert "restarted" in one.run(5.0).text


def test_nothing_is_ever_sent_above_where_it_began_and_the_end_is_where_it_began() -> None:
    one = bench(1.0)
    one.run()
    limits = [float(message.payload) for message in one.loop.house.dtu.received]
    assert len(limits) == 7, "first it is held at what it gives"
    assert max(limits) == limits[0] == limits[-1]
    assert limits[0] <= one.loop.house.available_w * 1.01


# -- beside a controller -----------------------------------------------------------------------------


@dataclass
class Asked:
    """A controller that is asked for a test."""

    controller: Controller
    request: StepTestRequest | None = None
    report: StepTestReport | None = None
    end: Callable[[], None] = lambda: None

    def step(self, snapshot: Snapshot) -> Decision:
        decision = self.controller.step(replace(snapshot, step_test=self.request))
        if decision.step_test is not None:
            self.report = decision.step_test
            if self.report.state is not Progress.RUNNING:
                self.request = None
        return decision


def regulated(dead_time_s: float = 1.0, inverters: int = 2) -> tuple[ClosedLoop, Asked]:
    """A house that is regulated in full sun, and then asked for a test of its first inverter."""
    units = fleet(inverters, dead_time_s)
    loop = ClosedLoop(HouseConfig(seed=3, sun=SunConfig(clouds=False), meter=PROMPT, dtu=SURE, inverters=units))
    loop.house.sun_override, loop.house.load_override_w = 0.9, 900.0
    loop.run(60)
    asked = Asked(loop.controller, StepTestRequest(units[0].serial, 1))
    loop.controller = cast(Controller, asked)
    return loop, asked


def over(loop: ClosedLoop, asked: Asked, seconds: int = 300) -> StepTestReport:
    while asked.request is not None and seconds > 0:
        loop.run(1)
        seconds -= 1
    assert asked.report is not None
    return asked.report


def test_beside_the_controller_it_exports_nothing_and_hands_back() -> None:
    loop, asked = regulated()
    loop.run(3)
    assert loop.last.mode is Mode.LIMIT
    assert loop.last.reason == f"step test of {asked.report.name}: watching the house for 10 s"  # type: ignore[union-attr]
    before_wh = loop.house.energy.export_wh
    report = over(loop, asked)
    assert report.result is not None, report.text
    assert report.result.verdict == "ok"
    assert loop.house.energy.export_wh - before_wh < 0.02
    loop.run(40)
    assert loop.house.grid_w == pytest.approx(15.0, abs=30.0)
    assert loop.last.step_test is None


def test_what_it_measured_is_what_the_law_reckons_with_from_then_on() -> None:
    loop, asked = regulated(dead_time_s=10.0)
    report = over(loop, asked)
    assert report.result is not None
    assert dict(loop.last.dead_times)[report.serial] == pytest.approx(report.result.dead_time_s, rel=0.15)
    assert asked.controller.learned[report.serial].range_s[0] > 4.0, "short dead times are out of the question now"


def test_the_limit_goes_back_up_no_further_than_the_house_takes_it() -> None:
    loop, asked = regulated()
    while loop.house.dtu.received[-1].serial != fleet(1)[0].serial or asked.report is None or asked.report.step == 0:
        loop.run(1)
    high_w, low_w = (float(message.payload) for message in list(loop.house.dtu.received)[-2:])
    before_wh = loop.house.energy.export_wh
    loop.run(5)  # it has come into force
    loop.house.load_override_w = 900.0 - 0.6 * (high_w - low_w)
    loop.run(15)
    back_w = float(loop.house.dtu.received[-1].payload)
    assert low_w + 20.0 < back_w < high_w - 50.0
    assert loop.house.energy.export_wh - before_wh < 0.05


def test_the_other_inverters_keep_still_meanwhile() -> None:
    loop, asked = regulated()
    before = len(loop.house.dtu.received)
    over(loop, asked)
    sent = list(loop.house.dtu.received)[before:]
    assert {message.serial for message in sent[:6]} == {asked.report.serial}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (lambda loop: setattr(loop, "meter_answers", False), "the controller took over again: the grid reading is"),
        (lambda loop: setattr(loop.house, "load_override_w", 300.0), "the grid power fell to"),
        (lambda loop: setattr(loop, "settings", Settings(target_point_w=100.0)), "the settings or the price changed"),
        (lambda loop: setattr(loop, "settings", Settings(enabled=False)), "the controller took over again: paused"),
    ],
)
def test_trouble_ends_it_at_once_and_the_law_is_back(trouble: Callable[[ClosedLoop], None], said: str) -> None:
    loop, asked = regulated()
    loop.run(16)
    assert asked.report is not None
    assert asked.report.step == 1
    trouble(loop)
    report = over(loop, asked, 10)
    assert report.state is Progress.FAILED
    assert said in report.text
    assert not loop.last.reason.startswith("step test")


def test_a_meter_the_wrong_way_round_is_a_verdict_although_it_looks_like_export() -> None:
    loop, asked = regulated(inverters=1)
    loop.run(8)
    loop.house.meter.inverted = True  # from about 15 W of import, which is as good as nothing
    report = over(loop, asked)
    assert report.result is not None, report.text
    assert (report.result.verdict, report.result.sign) == ("fail", -1)


def test_a_request_while_paused_is_refused_with_the_reason() -> None:
    loop, asked = regulated()
    loop.settings = Settings(enabled=False)
    report = over(loop, asked, 3)
    assert report.state is Progress.FAILED
    assert "the controller cannot test now: paused" in report.text


def test_a_request_that_is_withdrawn_ends_it() -> None:
    loop, asked = regulated()
    loop.run(16)
    asked.request = None
    loop.run(1)
    assert loop.last.step_test is None
    assert not loop.last.reason.startswith("step test")


def test_a_recorded_test_replays_to_the_same_steps() -> None:
    loop, asked = regulated()
    lines: list[bytes] = []

    class Recorder:
        def step(self, snapshot: Snapshot) -> Decision:
            seen = replace(snapshot, step_test=asked.request)
            decision = asked.step(snapshot)
            lines.append(encode_tick(Tick(seen, decision)))
            return decision

    loop.controller = cast(Controller, Recorder())
    report = over(loop, asked)
    ticks = [TypeAdapter(Tick).validate_json(line) for line in lines]
    assert ticks[-1].decision.step_test == report
    anew = Controller(ControlSettings())
    assert [anew.step(tick.snapshot).step_test for tick in ticks] == [tick.decision.step_test for tick in ticks]


# -- what was learned --------------------------------------------------------------------------------


def test_what_was_learned_saves_export_in_the_first_minutes() -> None:
    """A slow inverter in lively houses: known from before, its dead time need not be learned from export."""

    def exported_wh(settings: ControlSettings) -> float:
        total_wh = 0.0
        for seed in range(1, 7):
            loop = ClosedLoop(HouseConfig(seed=seed, sun=SunConfig(clouds=False), inverters=slow), settings)
            loop.house.sun_override = 0.9
            loop.controller._polarity.over(proven=True)  # a test of its own would tell the dead time, too
            loop.run(300)
            total_wh += loop.house.energy.export_wh
        return total_wh

    slow = fleet(1, 10.0)
    known_wh = exported_wh(ControlSettings(learned_dead_time_s={slow[0].serial: 10.6}))
    assert known_wh < exported_wh(ControlSettings())
