"""What may be asked of storage and relays, in which words it is refused, and how writes are spaced."""

from __future__ import annotations

import asyncio
import fcntl
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.config import ConfigError, load
from app.enphase.ensemble.actions import parse
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.effect import complaint, in_force, objection
from app.enphase.ensemble.journal import Journal, JournalFile, TooSoonError
from app.model import DryContact, DryContactSettings, EnsembleState, GridRelay, Mode, StorageBattery

RESERVE = {"action": "reserve", "soc_pct": 30}
MODE = {"action": "storage_mode", "mode": "backup"}
NC1 = {"action": "dry_contact", "id": "NC1", "state": "closed"}
SLEEP = {"action": "acb_sleep", "serial": "1219", "min_soc_pct": 10, "max_soc_pct": 20}
OFF = {"action": "grid", "state": "off", "confirm": "ISLAND"}
ALL = [
    RESERVE, MODE, NC1, SLEEP, OFF,
    {"action": "charge_from_grid", "on": True},
    {"action": "dry_contact_settings", "id": "NC1", "settings": {"load_name": "Bain-marie é", "soc_low_pct": 20}},
    {"action": "acb_wake", "serial": "1219"},
    {"action": "grid", "state": "on"},
]  # fmt: skip
STATE = EnsembleState(
    "gateway",
    1.0,
    batteries=(StorageBattery("1219", "ac", sleep="asleep", sleep_min_soc_pct=10.0, sleep_max_soc_pct=20.0),),
    storage_mode="backup",
    reserve_soc_pct=30.0,
    charge_from_grid=True,
    grid=GridRelay("open", "open"),
    dry_contacts=(
        DryContact("NC1", "closed", DryContactSettings("Boiler", "soc", 25.0, 70.0, override=True)),
        DryContact("NC2", "open", None),
    ),
)


@pytest.mark.parametrize("data", ALL, ids=lambda data: str(data["action"]))
def test_every_action_is_read_and_has_words_for_people(data: dict[str, Any]) -> None:
    action = parse(data)
    assert action.action == data["action"]
    assert str(action)
    assert parse({**action.model_dump(exclude_none=True)}) == action


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "that is none of storage_mode"),
        ([RESERVE], "that is none of"),
        ({"action": "explode"}, "action 'explode' is none of"),
        ({"action": {}}, "is none of"),
        ({"action": ["reserve"]}, "is none of"),
        (RESERVE | {"soc_pct": 101}, "soc_pct: 101: input should be less than or equal to 100"),
        (RESERVE | {"soc_pct": -1}, "soc_pct: -1"),
        (RESERVE | {"soc_pct": "30"}, "soc_pct: '30': should be a whole number"),
        (RESERVE | {"soc_pct": True}, "soc_pct"),
        (RESERVE | {"soc_pct": 30.5}, "soc_pct"),
        (RESERVE | {"soc_pct": float("nan")}, "soc_pct"),
        (RESERVE | {"extra": 1}, "extra: unknown key"),
        (MODE | {"mode": "economic"}, "mode: 'economic': input should be 'backup', 'self-consumption' or 'economy'"),
        ({"action": "charge_from_grid", "on": "yes"}, "on: 'yes': should be true or false"),
        ({"action": "dry_contact", "id": "", "state": "open"}, "id"),
        (NC1 | {"id": "N\x00"}, "id"),
        (NC1 | {"state": "half"}, "state"),
        ({"action": "dry_contact_settings", "id": "NC1", "settings": {}}, "settings: names no setting"),
        ({"action": "dry_contact_settings", "id": "NC1", "settings": {"grid_action": "boom"}}, "settings.grid_action"),
        (SLEEP | {"min_soc_pct": 30}, "min_soc_pct 30 is above max_soc_pct 20: swap them"),
        ({"action": "grid", "state": "off"}, 'send "confirm": "ISLAND"'),
        (OFF | {"confirm": "island"}, "confirm"),
        (OFF | {"confirm": True}, "confirm"),
    ],
)
def test_what_is_wrong_is_refused_with_the_key_and_the_value(data: Any, told: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        parse(data)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_deep_value_does_not_break_the_reader() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(ValueError, match="soc_pct"):
        parse(RESERVE | {"soc_pct": deep})


@pytest.mark.parametrize("data", [one for one in ALL if one != ALL[6]], ids=lambda data: str(data["action"]))
def test_what_is_so_already_is_seen(data: dict[str, Any]) -> None:
    wanted = data | ({"state": "on"} if data == OFF else {})
    expected = data["action"] != "acb_wake" and data.get("state") != "on"
    assert in_force(parse(data), STATE) is expected, wanted


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (NC1 | {"id": "NC9"}, "dry contact 'NC9' is not there: use one of NC1, NC2"),
        ({"action": "acb_wake", "serial": "5"}, "AC Battery '5' is not there: use one of 1219"),
        ({"action": "dry_contact_settings", "id": "NC2", "settings": {"mode": "soc"}}, "may crash the gateway"),
        (
            {"action": "dry_contact_settings", "id": "NC1", "settings": {"soc_low_pct": 80}},
            "soc_low_pct would be 80 and soc_high_pct 70",
        ),
    ],
)
def test_what_the_gateway_does_not_have_is_refused_with_what_it_has(data: dict[str, Any], told: str) -> None:
    assert told in (objection(parse(data), STATE) or "")


@pytest.mark.parametrize("data", ALL, ids=lambda data: str(data["action"]))
def test_an_empty_house_refuses_everything(data: dict[str, Any]) -> None:
    empty = EnsembleState("gateway", 1.0)
    assert objection(parse(data), empty)
    assert in_force(parse(data), empty) is None
    told = complaint(parse(data), empty, was_in_force=False)
    assert "does not tell whether it is in force" in (told or ""), "what nobody can tell is no success"


# -- spacing

CONFIG = EnsembleConfig(tariff_writes_per_day=3)


def test_two_writes_of_one_thing_are_spaced_and_those_of_two_are_not() -> None:
    journal = Journal().noted(parse(NC1), CONFIG, 1000.0)
    journal = journal.noted(parse(NC1 | {"id": "NC2"}), CONFIG, 1001.0)
    with pytest.raises(TooSoonError, match=r"written 10 s ago, .* at least 30 s apart: try again in 20 s") as caught:
        journal.noted(parse(NC1), CONFIG, 1010.0)
    assert caught.value.wait_s == 20.0
    journal.noted(parse(NC1), CONFIG, 1030.0)


def test_everything_in_the_tariff_is_one_thing_and_has_a_daily_budget() -> None:
    journal = Journal().noted(parse(MODE), CONFIG, 0.0)
    with pytest.raises(TooSoonError, match="at least 60 s apart: try again in 25 s"):
        journal.noted(parse(RESERVE), CONFIG, 35.0)
    journal = journal.noted(parse(RESERVE), CONFIG, 60.0).noted(parse(MODE), CONFIG, 120.0)
    with pytest.raises(
        TooSoonError, match=r"3 times in the last 24 h, .*tariff_writes_per_day allows 3: try again in 22.0 h"
    ):
        journal.noted(parse(RESERVE), CONFIG, 7200.0)
    journal.noted(parse(RESERVE), CONFIG, 86_400.0)


def test_the_way_back_to_the_grid_never_waits() -> None:
    journal = Journal().noted(parse(OFF), CONFIG, 100.0)
    journal = journal.noted(parse({"action": "grid", "state": "on"}), CONFIG, 100.1)
    with pytest.raises(TooSoonError):
        journal.noted(parse(OFF), CONFIG, 101.0)


def test_a_clock_that_was_set_back_does_not_lock_for_long() -> None:
    journal = Journal().noted(parse(MODE), CONFIG, 1e9)
    with pytest.raises(TooSoonError) as caught:
        journal.noted(parse(MODE), CONFIG, 5e8)
    assert caught.value.wait_s <= 60.0


async def test_the_journal_outlives_the_program_and_a_damaged_one_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.json"
    file = JournalFile(path)
    for number, action in enumerate(map(parse, ALL)):
        await file.change(partial(Journal.noted, action=action, config=EnsembleConfig(), utc_s=1000.0 * number))
        await file.change(partial(Journal.expecting, action=action, utc_s=5.0))
    before = await file.change(lambda journal: Journal(journal.written, journal.tariff, journal.expected, Mode.OPEN))
    assert await JournalFile(path).read() == before
    assert len(before.expected) == 7  # asleep and awake, and off and on, are one thing each
    path.write_text('{"written": {"x": "y"}}')
    assert await file.read() == Journal()
    assert path.with_suffix(".damaged").exists()


async def test_two_processes_do_not_both_write_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, action = JournalFile(tmp_path / "data" / "ensemble.json"), parse(MODE)
    noting = partial(Journal.noted, action=action, config=CONFIG, utc_s=1000.0)
    await file.change(lambda journal: journal)
    with (tmp_path / "data" / "ensemble.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writing = asyncio.create_task(file.change(noting))
        await asyncio.sleep(0.1)
        assert (await file.read(), writing.done()) == (Journal(), False)
        fcntl.flock(other, fcntl.LOCK_UN)
        assert (await writing).tariff == (1000.0,)
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr("app.enphase.ensemble.journal.LOCKED_S", 0.05)
        with pytest.raises(OSError, match="unavailable"):
            await file.change(noting)


# -- the configuration

FILE = """\
meter: {type: shelly, host: 10.0.0.5}
inverters: [{serial: "116180400000", max_watt: 1500}]
enphase:
  host: 10.0.0.9
  password: "345678"
  ensemble:
    actions:
      limit: [%s]
"""


def configured(tmp_path: Path, action: str) -> Any:
    path = tmp_path / "config.yaml"
    path.write_text(FILE % action)
    return load(path, {})


def test_actions_of_modes_are_those_of_everywhere(tmp_path: Path) -> None:
    config = configured(tmp_path, '{action: dry_contact, id: NC1, state: closed}, {action: reserve, soc_pct: "40"}')
    assert [str(one) for one in config.enphase.ensemble.actions.limit] == ["dry contact NC1 closed", "reserve 40 %"]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ('{action: grid, state: "off", confirm: ISLAND}', "the grid relay is never moved by itself"),
        ('{action: grid, state: "on"}', "the grid relay is never moved by itself"),
        ("{action: reserv, soc_pct: 3}", "'reserv' is no known action: did you mean 'reserve'?"),
        ("{soc_pct: 3}", "action is missing: add it (for example action: reserve)"),
        ("{action: reserve, soc_pct: 300}", "300"),
    ],
)
def test_a_wrong_action_in_the_file_is_told_with_its_line(tmp_path: Path, action: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, action)
    assert told in str(caught.value)
    assert "config.yaml:8" in str(caught.value)
