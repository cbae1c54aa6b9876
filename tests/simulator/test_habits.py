"""The household and the sky, generated and recorded, in virtual time."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from app.simulator.house import House, HouseConfig
from app.simulator.load import Load
from app.simulator.parameters import ALWAYS, APPLIANCES, Appliance, LoadConfig, SunConfig
from app.simulator.sun import Sun
from app.simulator.traces import Trace, parse_trace, read_trace

DT = 0.1


def watts(
    appliance: Appliance, seconds: float, seed: str = "a", *, variation: float = 0.15, jitter: float = 0.05
) -> list[float]:
    """What this appliance alone draws, ten times a second from its first use on."""
    config = LoadConfig(base_w=0.0, walk_w=0.0, appliances=(appliance,), variation=variation, jitter=jitter)
    load = Load(config, seed)
    drawn = [sum(load.step(step * DT)) for step in range(round((appliance.first_s[1] + seconds) / DT))]
    return drawn[round(appliance.first_s[1] / DT) :]


def named(name: str) -> Appliance:
    return next(one for one in APPLIANCES if one.name == name)


def test_the_sun_rises_sets_and_clouds_take_a_share_within_seconds() -> None:
    clear = Sun(SunConfig(start_hour=13.0, clouds=False), "a")
    assert clear.step(0.1, 0.1) == pytest.approx(1.0, abs=0.001)
    night = Sun(SunConfig(start_hour=22.0), "a")
    assert night.step(0.1, 0.1) == 0.0
    cloudy = Sun(SunConfig(start_hour=13.0, first_cloud_s=10.0), "a")
    trace = [cloudy.step(step * DT, DT) for step in range(1, 301)]
    assert trace[98] == pytest.approx(1.0, abs=0.001)
    assert 0.5 <= trace[-1] / clear.clear_sky() <= 0.76
    assert max(a - b for a, b in pairwise(trace)) < 0.5 / 5.0 * DT * 1.01


def test_an_appliance_without_variation_is_as_it_is_described() -> None:
    drawn = watts(
        Appliance("hob", 0, 1400, (9, 9), (11, 11), (200, 200), (50, 50), (0, 0)), 500.0, variation=0.0, jitter=0.0
    )
    on = [step * DT for step, (a, b) in enumerate(pairwise(drawn)) if b > a]
    assert set(drawn) == {0.0, 1400.0}
    assert [round(b - a) for a, b in pairwise(on)][:8] == [20] * 8


def test_an_induction_plate_pulses_every_few_seconds() -> None:
    drawn = watts(named("induction plate"), 100.0)
    pulses = sum(b > a + 500.0 for a, b in pairwise(drawn))
    assert 12 <= pulses <= 35


def test_a_washing_machine_heats_with_two_kilowatts_between_its_drum_cycles() -> None:
    drawn = watts(named("washing machine"), 3600.0, variation=0.0, jitter=0.0)
    levels = {round(one) for one in drawn}
    assert {0, 330, 2000, 2330, 550} <= levels
    heating_s = sum(one >= 2000.0 for one in drawn) * DT
    assert 420.0 <= heating_s <= 780.0
    assert max(drawn[:4700]) < 400.0, "it soaks for some minutes before"


def test_a_fridge_draws_more_while_it_starts() -> None:
    fridge = Appliance("fridge", 0, 90, (600, 900), (9, 9), ALWAYS, (0, 0), (0, 0), inrush_w=700)
    drawn = watts(fridge, 2.0, variation=0.0, jitter=0.0)
    assert drawn[:4] == [790.0] * 4
    assert drawn[6:] == [90.0] * 14


def test_every_seed_has_appliances_of_its_own() -> None:
    kettle = Appliance("kettle", 0, 2000, (10, 10), (10, 10), ALWAYS, (0, 0), (0, 0))
    powers, paces = set(), set()
    for seed in range(60):
        drawn = watts(kettle, 70.0, str(seed), jitter=0.0)
        on = [step * DT for step, (a, b) in enumerate(pairwise(drawn)) if b > a]
        powers.add(max(drawn))
        paces.add(on[1] - on[0] if on[0] > DT else on[0])
    assert 1700.0 <= min(powers) < 1740.0
    assert 2260.0 < max(powers) <= 2300.0
    assert 17.0 <= min(paces) < 17.7
    assert 22.3 < max(paces) <= 23.1


def test_no_two_cycles_are_alike() -> None:
    kettle = Appliance("kettle", 0, 2000, (100, 100), (100, 100), ALWAYS, (0, 0), (0, 0))
    drawn = watts(kettle, 2000.0, variation=0.0)
    on = [step * DT for step, (a, b) in enumerate(pairwise(drawn)) if b > a]
    lengths = [b - a for a, b in pairwise(on)]
    assert max(lengths) - min(lengths) > 2.0
    assert all(190.0 <= one <= 210.2 for one in lengths)


# Recorded ones.

LINES = ["# a comment", "t_s,load_w", "0,100", "6,200", "12,300", "", "18,300", "100,400"]


def test_a_trace_is_held_or_joined_by_lines_and_held_in_gaps() -> None:
    trace = parse_trace(LINES, "a.csv")
    assert trace.name == "load_w"
    assert [trace.held(at_s) for at_s in (0.0, 5.9, 6.0, 99.0, 100.0)] == [100.0, 100.0, 200.0, 300.0, 400.0]
    assert [trace.between(at_s) for at_s in (0.0, 3.0, 9.0, 60.0, 99.9)] == [100.0, 150.0, 250.0, 300.0, 300.0]


def test_a_trace_begins_again_after_its_end() -> None:
    trace = parse_trace(["t_s,pv_pu", "50,0.1", "60,0.2", "70,0.3"], "a.csv")
    assert trace.seconds == 30.0
    assert [trace.held(at_s) for at_s in (0.0, 29.9, 30.0, 45.0)] == [0.1, 0.3, 0.1, 0.2]
    assert trace.between(29.0) == 0.3


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "a.csv:0: a trace needs a header, like t_s,load_w, and two rows at least"),
        (["t_s,load_w", "0,1"], "a.csv:2: a trace needs a header, like t_s,load_w, and two rows at least"),
        (["0,100", "1,100"], "a.csv:1: the header has to name two columns, t_s and a value, like t_s,load_w"),
        (["t_s;load_w"], "a.csv:1: the header has to name two columns, t_s and a value, like t_s,load_w"),
        (["# x", "t_s,load_w", "0,a"], "a.csv:3: 'a' is not a number"),
        (["t_s,load_w", "0,nan"], "a.csv:2: 'nan' is not a number"),
        (["t_s,load_w", "0,"], "a.csv:2: '' is not a number"),
        (["t_s,load_w", "0,1,2"], "a.csv:2: two columns are expected, not 3"),
        (["t_s,load_w", "5,1", "5,2"], "a.csv:3: the time 5 does not come after 5"),
    ],
)
def test_what_is_wrong_in_a_trace_is_named_with_its_line(lines: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parse_trace(lines, "a.csv")


def test_a_file_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_bytes("\ufefft_s,load_w\r\n0,100\r\n1,200\r\n".encode())
    assert read_trace(path) == Trace((0.0, 1.0), (100.0, 200.0), 1.0, "load_w")
    path.write_text("t_s,load_w\n0,100\nx,200\n")
    with pytest.raises(ValueError, match=r"load\.csv:3: 'x' is not a number"):
        read_trace(path)


def test_a_house_can_live_by_recorded_loads_and_suns() -> None:
    load = Trace((0.0, 10.0, 20.0), (600.0, 1200.0, 300.0), 10.0)
    sun = Trace((0.0, 10.0, 20.0), (0.0, 0.5, 1.0), 10.0)
    house = House(
        HouseConfig(load=LoadConfig(trace=load, trace_start_s=10.0), sun=SunConfig(trace=sun, trace_start_s=5.0))
    )
    assert house.irradiance == 0.25
    house.run(5.0)
    assert (sum(house.load_w), house.irradiance) == pytest.approx((1200.0, 0.5))
    house.run(5.0)
    assert (sum(house.load_w), house.irradiance) == pytest.approx((300.0, 0.75))
    house.run(12.0)
    assert sum(house.load_w) == pytest.approx(600.0)
    assert house.irradiance == 1.0, "its last row counts as long as the others"


def test_speed_moves_a_recorded_sun_and_not_a_recorded_load() -> None:
    trace = Trace((0.0, 100.0), (0.2, 0.4), 100.0)
    house = House(HouseConfig(load=LoadConfig(trace=trace), sun=SunConfig(trace=trace, speed=5.0)))
    house.run(10.0)
    assert house.irradiance == pytest.approx(0.3)
    assert sum(house.load_w) == pytest.approx(0.2)
