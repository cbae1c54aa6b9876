"""The scoreboard: what it says, that it says the same again, and that our figures do not get worse."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import struct
from array import array
from pathlib import Path

import pytest

from app.cli import main
from app.simulator import report
from app.simulator.command import Progress
from app.simulator.laws.catalogue import LAWS, OURS
from app.simulator.scenarios import SCENARIOS
from app.simulator.score import Score
from app.simulator.score import score as judge
from app.simulator.scoreboard import (
    ALL_KNOWING,
    REFERENCE,
    Board,
    Case,
    Plan,
    Trial,
    cores,
    play_all,
    record,
    short_plan,
    traced,
)
from app.simulator.standings import figures, in_words, standing, summary
from app.simulator.trial import Record

BASELINE = Path(__file__).parent / "baseline.json"
WORSE_SHARE = 0.05
SLACK = {"Wh/h": 0.3, "excursions/h": 0.25, "longest s": 0.5, "commands/h": 5.0}  # 0.25/h: one more in all trials
BRIEF = ["--hours", "0.05", "--dead-time", "1", "--seed", "1", "--jobs", "1"]


def worsened(found: dict[str, float], baseline: dict[str, float]) -> list[str]:
    """What is worse than the baseline by more than 5 % and a little, in words."""
    lines = []
    for name, value in found.items():
        slack = next(slack for unit, slack in SLACK.items() if name.endswith(unit))
        if name not in baseline:
            lines.append(f"{name}: not in the baseline")
        elif value > baseline[name] * (1.0 + WORSE_SHARE) + slack:
            lines.append(f"{name}: {value:g}, was {baseline[name]:g}")
    return lines


def test_none_of_our_figures_got_worse() -> None:
    found = figures(play_all(short_plan(), min(2, cores())))
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    worse = worsened(found, baseline)
    assert not worse, "\n".join(
        [
            "the law got worse by more than 5 %:",
            *worse,
            "if that is meant: make baseline (or: python -m scripts.baseline)",
        ]
    )


def test_a_figure_that_got_worse_is_named_with_both_values() -> None:
    baseline = {"dead time 1 s, export Wh/h": 100.0, "dead time 1 s, commands/h": 300.0}
    assert worsened({"dead time 1 s, export Wh/h": 105.2, "dead time 1 s, commands/h": 250.0}, baseline) == []
    assert worsened({"dead time 1 s, export Wh/h": 105.4, "dead time 1 s, commands/h": 321.0}, baseline) == [
        "dead time 1 s, export Wh/h: 105.4, was 100",
        "dead time 1 s, commands/h: 321, was 300",
    ]
    assert worsened({"dead time 3 s, longest s": 1.0}, baseline) == ["dead time 3 s, longest s: not in the baseline"]


def test_equal_seeds_give_equal_figures_however_many_processes_there_are() -> None:
    plan = Plan((Case("three", 180.0), Case("hob", 180.0)), (1.0,), (3, 4), (OURS, "HZE"))
    alone = play_all(plan, 1)
    assert play_all(plan, 2) == alone
    fewer = play_all(Plan(plan.cases, (1.0,), (3, 4), ("HZE",)), 1)
    assert fewer.scores.items() <= alone.scores.items(), "nor which laws run, not even those of the reference"
    first, second = (alone.scores[Trial("hob", 1.0, seed, OURS)] for seed in (3, 4))
    assert first != second, "another seed is another house"


# How we stand: scores made by hand.


def score(export_wh_h: float, missed_wh_h: float, excursions_h: float = 0.0, commands_h: float = 0.0) -> Score:
    return Score(export_wh_h, missed_wh_h, excursions_h, 0.0, 0.0, commands_h, 0.0)


def board(scores: dict[tuple[str, str], Score], laws: tuple[str, ...] = (OURS, "HZE", "simple-pid")) -> Board:
    """One dead time, one seed; scores by scenario and law."""
    names = dict.fromkeys(name for name, _ in scores)
    plan = Plan(tuple(Case(name) for name in names), (1.0,), (1,), laws)
    return Board(plan, {Trial(name, 1.0, 1, law): found for (name, law), found in scores.items()})


def one_house(ours: Score, **peers: Score) -> Board:
    scores = {("calm", REFERENCE): score(1.0, 10.0), ("calm", OURS): ours}
    names = {"hze": "HZE", "pid": "simple-pid"}
    return board(scores | {("calm", names[name]): found for name, found in peers.items()})


def test_a_house_is_won_only_against_every_peer_and_under_both_weights() -> None:
    won = summary(one_house(score(10.0, 50.0), hze=score(50.0, 40.0), pid=score(12.0, 50.0)), 1.0)
    assert (won.cheaper, won.rivals, won.dominated, won.losses) == (1, 1, 0, ())
    # 10 + 50 is more than 15 + 40; but 3 x 10 + 50 less than 3 x 15 + 40
    lost = summary(one_house(score(10.0, 50.0), hze=score(15.0, 40.0), pid=score(50.0, 50.0)), 1.0)
    assert (lost.cheaper, lost.dominated) == (0, 0)
    assert in_words(lost.losses) == ["calm: not cheaper than HZE (w = 1) with 1 of the seeds"]


def test_a_peer_that_is_better_on_both_axes_dominates() -> None:
    lost = summary(one_house(score(10.0, 50.0), hze=score(9.0, 45.0), pid=score(9.95, 10.0)), 1.0)
    assert [(loss.peer, loss.dominated) for loss in lost.losses] == [("HZE", True), ("simple-pid", False)]
    assert lost.dominated == 1


def test_small_differences_are_none() -> None:
    within = one_house(score(10.0, 50.0), hze=score(9.9, 49.6), pid=score(9.9, 49.6))
    assert summary(within, 1.0).cheaper == 1
    tiny = one_house(score(0.02, 0.03), hze=score(0.03, 0.03), pid=score(0.0, 0.0))
    assert summary(tiny, 1.0).cheaper == 1


def test_energies_of_scenarios_in_which_export_is_wanted_count_in_no_ratio() -> None:
    scores = {("calm", REFERENCE): score(2.0, 10.0), ("price", REFERENCE): score(100.0, 100.0)}
    scores |= {("calm", OURS): score(3.0, 15.0, commands_h=10.0), ("price", OURS): score(900.0, 900.0, commands_h=30.0)}
    found = board(scores, (OURS,))
    ours = standing(found, OURS, 1.0, found.plan.cases)
    assert (ours.export_ratio, ours.missed_ratio, ours.mean.export_wh_h) == (1.5, 1.5, 3.0)
    assert ours.mean.commands_h == 20.0


def test_houses_with_a_battery_count_in_no_sum_and_in_no_contest() -> None:
    scores = {("calm", REFERENCE): score(2.0, 10.0), ("battery_full", REFERENCE): score(50.0, 50.0)}
    scores |= {("calm", OURS): score(3.0, 15.0, 1.0, 10.0), ("battery_full", OURS): score(900.0, 900.0, 9.0, 90.0)}
    scores |= {("calm", "HZE"): score(9.0, 45.0), ("battery_full", "HZE"): score(1.0, 1.0)}
    found = board(scores, (OURS, "HZE"))
    ours = standing(found, OURS, 1.0, found.plan.cases)
    assert (ours.export_ratio, ours.mean.export_wh_h, ours.mean.excursions_h, ours.mean.commands_h) == (
        1.5,
        3.0,
        1.0,
        10,
    )
    won = summary(found, 1.0)
    assert (won.rivals, won.cheaper, won.dominated) == (1, 1, 0)
    assert figures(found)["dead time 1 s, export Wh/h"] == 3.0


def test_beside_a_battery_ours_is_told_of_it_and_the_score_has_what_it_did_not_get() -> None:
    found = play_all(Plan((Case("battery_charging", 300.0),), (1.0,), (1,), (OURS, "simple-pid")), 1)
    ours, peer, bound = (
        found.scores[Trial("battery_charging", 1.0, 1, law)] for law in (OURS, "simple-pid", REFERENCE)
    )
    for one in (ours, peer, bound):
        assert one.chargeable_wh_h is not None
        assert one.starved_wh_h is not None
        assert one.chargeable_wh_h > 500.0
    assert (ours.starved_wh_h or 0.0) < 0.05 * (ours.chargeable_wh_h or 0.0)
    assert (peer.starved_wh_h or 0.0) > 2.0 * (ours.starved_wh_h or 0.0), "it knows nothing of the battery"
    assert "beside battery" in report.table(found)
    knowing = found.scores[Trial("battery_charging", 1.0, 1, ALL_KNOWING)]
    assert bound.export_wh_h < knowing.export_wh_h, "the radio's part of it"
    assert (knowing.starved_wh_h or 0.0) < (ours.starved_wh_h or 0.0)
    assert ALL_KNOWING in report.table(found)


@pytest.mark.parametrize(
    ("battery_w", "load_w", "growing"),
    [
        ((0.0, 200.0, 0.0, 300.0, -200.0, 600.0, -600.0), 300.0, 3),
        ((0.0, 200.0, 0.0, 200.0, 0.0, 200.0, 0.0), 300.0, 0),
        ((0.0, 600.0, 0.0, 400.0, 100.0, 300.0), 300.0, 0),
        ((0.0, 200.0, 0.0, 300.0, -200.0, 600.0, -600.0), None, 0),
    ],
    ids=["it grows", "it stays", "it shrinks", "the house does it"],
)
def test_swings_that_grow_are_counted(battery_w: tuple[float, ...], load_w: float | None, growing: int) -> None:
    loads_w = [1000.0 - one_w if load_w is None else load_w for one_w in battery_w]
    nothing = array("d", [0.0] * len(battery_w))
    record = Record(10.0, array("d", loads_w), nothing, nothing, array("d"), nothing, array("d", battery_w), nothing)
    assert judge(record, 15.0, 45.0).growing == growing


def test_the_best_peer_is_the_one_with_the_fewest_excursions() -> None:
    ours, hze, pid = (score(1.0, 1.0, excursions_h=count) for count in (2.0, 8.0, 30.0))
    found = summary(one_house(ours, hze=hze, pid=pid), 1.0)
    assert found.best_peer is not None
    assert (found.best_peer.law, found.excursion_ratio) == ("HZE", 0.25)


# What is printed.


def test_the_table_fits_the_terminal_and_shows_ours_and_the_best_peer_or_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["simulate", "--scenario", "calm", "price", "--law", "zero-export", "hze", "Simple-PID", *BRIEF]
    assert main(options) == 0
    brief = capsys.readouterr().out
    assert main([*options, "--all"]) == 0
    every = capsys.readouterr().out
    for text in (brief, every):
        assert max(map(len, text.splitlines())) <= 120
        assert "DEAD TIME 1 s   2 scenarios, 1 seed" in text
        assert re.search(r"^calm +", text, re.MULTILINE)
        assert re.search(r"^price\* +", text, re.MULTILINE)
        assert re.search(r"^SUMMARY +export /ref +missed /ref +won +dominated", text, re.MULTILINE)
    assert brief.count("zero-export") == every.count("zero-export") == 3
    assert brief.count("reference") == 1
    assert every.count("reference") == 3
    assert every.count("simple-pid") >= 3


@pytest.mark.parametrize(("seeds", "shown"), [(range(1, 6), 2), (range(1, 5), 0)], ids=["enough seeds", "too few"])
def test_the_goals_are_shown_beside_a_complete_run(seeds: range, shown: int) -> None:
    plan = Plan(tuple(map(Case, SCENARIOS)), (1.0, 6.0, 10.0), tuple(seeds), tuple(LAWS))
    trials = (
        Trial(case.name, dead_time_s, seed, law)
        for case in plan.cases
        for dead_time_s in plan.dead_times_s
        for seed in seeds
        for law in (*case.bounds, *LAWS)
    )
    text = report.table(Board(plan, {trial: score(111.1, 222.2, 33.3, 444.4) for trial in trials}), every=True)
    assert (
        len(re.findall(r"^  goal +<= 1\.\d\d +<= 1\.\d\d +>= \d\d% +0 +<= \d\.\d\d +<= \d+$", text, re.MULTILINE))
        == shown
    )
    assert max(map(len, text.splitlines())) <= 120


def test_json_has_every_trial(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--scenario", "steps", "--law", "zero-export", "HZE", "--json", *BRIEF]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["scenarios"] == ["steps"]
    assert (found["dead_times_s"], found["seeds"], found["laws"]) == ([1.0], [1], ["zero-export", "HZE"])
    assert {trial["law"] for trial in found["trials"]} == {"reference", "zero-export", "HZE"}
    ours = next(trial for trial in found["trials"] if trial["law"] == OURS)
    assert ours["settling_s"] > 0.0
    assert ours["export_wh_h"] > 0.0
    assert 0.0 < ours["radio_share"] < 1.0
    assert [one["law"] for one in found["standings"]] == ["reference", "zero-export", "HZE"]
    (how,) = found["summary"]
    assert (how["houses"], how["best_peer"]) == (1, "HZE")
    assert how["won"] + len({loss["seed"] for loss in how["losses"]}) == 1
    assert "2/2 trials" in err


def test_the_list_names_every_scenario_and_every_law(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    out = capsys.readouterr().out
    for name in (*SCENARIOS, *LAWS):
        assert re.search(rf"^  {re.escape(name)}\b", out, re.MULTILINE)


def test_the_help_explains_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    out = capsys.readouterr().out
    for name in (*report.COLUMNS, *report.MORE_COLUMNS):
        assert name.strip() in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scenario", "hobb"], "there is no scenario 'hobb'; there are: steps, kettle, hob,"),
        (["--law", "HZEE"], "there is no law 'HZEE'; there are: zero-export, HZE,"),
        (["--load", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--plot", "nowhere/x.png"], "there is no folder nowhere"),
        (["--plot", "x.gif"], "has to end in one of .png"),
        (["--plot", "x.png", "--window", "20", "40"], "two minutes between 0 and 30"),
        (["--window", "1", "2"], "--window belongs to --plot"),
    ],
)
def test_what_does_not_exist_is_said_before_anything_runs(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", *options]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert not out


@pytest.mark.parametrize("options", [["--seeds", "0"], ["--dead-time", "-1"], ["--hours", "0.001"], ["--jobs", "x"]])
def test_senseless_numbers_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_code:
        main(["simulate", *options])
    assert exit_code.value.code == 2
    assert options[0] in capsys.readouterr().err


# Recorded houses.


def csv(path: Path, name: str, values: list[float], every_s: int = 10) -> Path:
    path.write_text(f"t_s,{name}\n" + "".join(f"{i * every_s},{value}\n" for i, value in enumerate(values)))
    return path


def test_recorded_load_and_sun_take_the_place_of_generated_ones(tmp_path: Path) -> None:
    load = csv(tmp_path / "house.csv", "load_w", [300.0, 900.0, 500.0] * 20)
    sun = csv(tmp_path / "roof.csv", "pv_pu", [0.5] * 100)
    both = record((traced(load, sun, None), Trial("house", 1.0, 1, OURS)))
    assert set(both.load_w) == {300.0, 900.0, 500.0}
    assert len(both.load_w) * both.step_s == pytest.approx(600.0), "as long as the shorter of the two"
    assert max(both.feedable_w) == pytest.approx(min(both.feedable_w), rel=0.02)
    one = record((traced(load, None, 60.0), Trial("house", 1.0, 1, OURS)))
    assert set(one.load_w) == {300.0, 900.0, 500.0}
    assert len(one.load_w) * one.step_s == pytest.approx(60.0)
    assert min(one.feedable_w) > 2.0 * min(both.feedable_w) * 0.9, "noon and no clouds"


def test_other_seeds_begin_elsewhere_in_a_recording(tmp_path: Path) -> None:
    case = traced(csv(tmp_path / "ramp.csv", "load_w", [float(i) for i in range(1000)]), None, 60.0)
    begins = [record((case, Trial("ramp", 1.0, seed, "HZE"))).load_w[0] for seed in (1, 2, 3)]
    assert begins[0] == pytest.approx(12.0, abs=1.0), "after the warm-up of two minutes"
    assert len(set(begins)) == 3


def test_a_recording_is_a_scenario_named_after_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = csv(tmp_path / "my-house.csv", "load_w", [300.0, 900.0, 500.0] * 20)
    assert main(["simulate", "--load", str(load), "--law", "zero-export", "--json", *BRIEF]) == 0
    assert json.loads(capsys.readouterr().out)["scenarios"] == ["my-house"]


@pytest.mark.parametrize(
    ("option", "values", "words"),
    [
        ("--load", [0.3, 0.9], "it has to be the load in watts"),
        ("--load", [300.0, -900.0], "it has to be the load in watts"),
        ("--pv", [300.0, 900.0], "it has to be shares of full sun"),
    ],
)
def test_recordings_in_other_units_are_refused(
    option: str, values: list[float], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", option, str(csv(tmp_path / "odd.csv", "value", values))]) == 2
    assert words in capsys.readouterr().err


# The picture, and the wait.


@pytest.mark.parametrize("laws", [[], ["--law", "zero-export"]], ids=["with peers", "ours alone"])
def test_the_picture_is_a_png_of_a_readable_size(laws: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[plot]'")
    path = tmp_path / "price.png"
    assert main(["simulate", "--scenario", "price", *BRIEF, *laws, "--plot", str(path)]) == 0
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    wide, high = struct.unpack(">II", head[16:24])
    assert wide >= 1200
    assert high >= (800 if not laws else 400)


def test_without_matplotlib_a_picture_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert main(["simulate", "--plot", str(tmp_path / "x.png")]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "pip install" in err
    assert not out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_a_few_lines_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        progress = Progress(40, out)
        for done in range(1, 41):
            progress(done)
    assert terminal.getvalue().count("\n") == 1
    assert f"[{'#' * 30}] 40/40" in terminal.getvalue()
    assert len(file.getvalue().splitlines()) == 10
    assert "\r" not in file.getvalue()
