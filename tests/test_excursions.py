"""The account of exports beyond what is allowed: what is counted, what is not, and what survives."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app import kept as kept_module
from app.config import Config
from app.excursions import Day, Evidence, ExcursionCounter
from app.kept import Kept
from app.model import Decision, Excursions, MeterState, Mode, Settings, Snapshot

NOON = 1_750_000_000.0  # 2025-06-15, 15:06:40 UTC
INVERTER = {"serial": "116180400001", "max_watt": 1500}
METER = {"type": "shelly", "host": "192.0.2.1"}
pytestmark = pytest.mark.usefixtures("in_utc")


def kept(path: Path) -> Kept[Evidence]:
    return Kept(path, Evidence, Evidence(), "excursions")


class House:
    """A house whose clocks and grid power a test moves."""

    def __init__(
        self,
        kept: Evidence | None = None,
        *,
        over_w: float = 50.0,
        longer_s: float = 15.0,
        cap_w: float | None = None,
        utc_s: float = NOON,
        now_s: float = 5000.0,
    ) -> None:
        self.counter = ExcursionCounter(over_w, longer_s, cap_w, kept)
        self.now_s, self.utc_s = now_s, utc_s
        self.seen: Excursions = self.turn(0.0, 15.0)

    def turn(
        self, after_s: float, grid_w: float | None, *, target_w: float | None = 15.0, mode: Mode = Mode.LIMIT
    ) -> Excursions:
        """One turn of the loop so much later."""
        self.now_s += after_s
        self.utc_s += after_s
        snapshot = Snapshot(self.now_s, self.utc_s, MeterState(), (), Settings())
        self.seen = self.counter.observe(snapshot, Decision(mode, "", target_w=target_w, grid_w=grid_w))
        return self.seen

    def lasting(
        self, seconds: float, grid_w: float | None, *, target_w: float | None = 15.0, mode: Mode = Mode.LIMIT
    ) -> Excursions:
        """So many seconds at one grid power, a turn each second; the account at their end."""
        for _ in range(round(seconds)):
            self.turn(0.0, grid_w, target_w=target_w, mode=mode)
            self.turn(1.0, grid_w, target_w=target_w, mode=mode)
        return self.seen


def test_an_export_counts_once_it_is_strong_and_long_enough() -> None:
    house = House()
    assert house.lasting(14, -300.0).today == 0
    assert house.seen.current_s == pytest.approx(14.0)
    assert house.counter.fault() is None
    assert house.lasting(1, -420.0).today == 1
    seen = house.turn(0.0, 10.0)
    assert (seen.current_s, seen.today, seen.total) == (0.0, 1, 1)
    assert seen.longest_today_s == pytest.approx(15.0)
    assert seen.worst_today_w == 420.0
    assert seen.last is not None
    assert (seen.last.began_utc_s, seen.last.worst_w) == (NOON, 420.0)


def test_what_is_too_weak_or_too_short_is_energy_only() -> None:
    house = House()
    house.lasting(3600, -50.0)
    for _ in range(20):
        house.lasting(14, -500.0)
        house.turn(0.0, 0.0)
    assert (house.seen.today, house.seen.total, house.seen.in_24_h, house.seen.last) == (0, 0, 0, None)
    assert house.seen.beyond_today_wh == pytest.approx(50.0 + 20 * 14 * 500.0 / 3600.0)


def test_the_windows_of_grid_operators() -> None:
    house = House()
    house.lasting(20, -200.0)
    house.lasting(300, 0.0)
    house.lasting(75, -200.0)
    assert (house.seen.in_10_min, house.seen.in_24_h) == (2, 2)
    assert (house.seen.over_60_s, house.seen.today_over_60_s) == (1, 1)
    assert house.seen.longest_s == pytest.approx(75.0)
    house.lasting(300, 0.0)
    assert (house.seen.in_10_min, house.seen.in_24_h) == (1, 2)
    house.turn(23 * 3600.0, 0.0)
    assert (house.seen.in_10_min, house.seen.in_24_h) == (0, 2)
    house.turn(3600.0, 0.0)
    assert (house.seen.in_24_h, house.seen.total) == (0, 2)


@pytest.mark.parametrize(
    ("cap_w", "target_w", "mode", "grid_w", "counted"),
    [
        (None, 15.0, Mode.LIMIT, -60.0, True),
        (None, -200.0, Mode.LIMIT, -240.0, False),
        (None, -200.0, Mode.LIMIT, -260.0, True),
        (None, None, Mode.PAUSED, -5000.0, False),
        (None, None, Mode.OPEN, -5000.0, False),
        (800.0, -800.0, Mode.PAUSED, -840.0, False),
        (800.0, -800.0, Mode.PAUSED, -860.0, True),
        (800.0, -800.0, Mode.OPEN, -860.0, True),
        (800.0, 15.0, Mode.LIMIT, -700.0, False),
        (0.0, 0.0, Mode.PAUSED, -60.0, True),
        (None, 15.0, Mode.NIGHT, -60.0, True),
    ],
)
def test_what_is_allowed(cap_w: float | None, target_w: float | None, mode: Mode, grid_w: float, counted: bool) -> None:
    seen = House(cap_w=cap_w).lasting(16, grid_w, target_w=target_w, mode=mode)
    assert seen.today == counted


def test_pausing_ends_an_excursion() -> None:
    house = House()
    house.lasting(20, -300.0)
    seen = house.turn(0.0, -300.0, target_w=None, mode=Mode.PAUSED)
    assert (seen.current_s, house.counter.fault()) == (0.0, None)
    house.lasting(60, -300.0, target_w=None, mode=Mode.PAUSED)
    assert (house.seen.today, house.seen.unknown_today_s) == (1, 0.0)
    assert house.lasting(20, -300.0).today == 2


@pytest.mark.parametrize(
    ("mode", "grid_w"), [(Mode.FAIL_SAFE, None), (Mode.HOLD, -300.0), (Mode.HOLD, 15.0), (Mode.LIMIT, math.nan)]
)
def test_while_the_grid_power_is_unknown_an_excursion_neither_grows_nor_ends(mode: Mode, grid_w: float | None) -> None:
    house = House()
    house.lasting(10, -300.0)
    assert house.lasting(600, grid_w, mode=mode).current_s is None
    assert house.seen.unknown_today_s == pytest.approx(600.0)
    assert house.seen.today == 0
    assert house.seen.beyond_today_wh == pytest.approx(10 * 300 / 3600)
    assert house.lasting(5, -300.0).today == 1
    assert house.seen.longest_today_s == pytest.approx(15.0)
    house.lasting(600, grid_w, mode=mode)
    fault = house.counter.fault()
    assert fault is not None
    assert fault.text == (
        "The house has exported up to 300 W more than is allowed, for 15 s; since then the grid power is unknown."
    )
    assert house.turn(0.0, 15.0).current_s == 0.0
    assert house.counter.fault() is None


def test_it_is_a_fault_while_it_goes_on() -> None:
    house = House()
    house.lasting(20, -310.0)
    fault = house.counter.fault()
    assert fault is not None
    assert (fault.key, fault.since_utc_s) == ("excursion", NOON)
    assert fault.text == "The house has exported up to 310 W more than is allowed, for 20 s."
    assert fault.next_step
    house.turn(0.0, -49.0)
    assert house.counter.fault() is None


def test_a_loop_that_stood_still_knows_nothing_of_that_time() -> None:
    house = House()
    house.turn(0.0, -300.0)
    house.turn(8.0, -300.0)
    assert house.seen.current_s == pytest.approx(2.1)
    assert house.seen.unknown_today_s == pytest.approx(5.9)


def test_a_new_day_begins_at_local_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Australia/Sydney")
    time.tzset()
    midnight = datetime(2025, 6, 16).timestamp()
    house = House(utc_s=midnight - 70.0)
    house.lasting(65, -100.0)
    assert (house.seen.today, house.seen.today_over_60_s) == (1, 1)
    house.lasting(10, -100.0)
    assert house.seen.current_s == pytest.approx(75.0)
    assert (house.seen.today, house.seen.longest_today_s) == (0, 0.0), "it belongs to the day on which it began"
    assert house.seen.beyond_today_wh == pytest.approx(100 * 5 / 3600, rel=0.3)
    days = house.counter.evidence().days
    assert days["2025-06-15"].count == 1
    assert days["2025-06-15"].longest_s == pytest.approx(75.0)
    assert (house.seen.total, house.seen.in_10_min) == (1, 1)


@pytest.mark.parametrize("begins", [datetime(2025, 3, 30), datetime(2025, 10, 26)])
def test_the_days_when_clocks_change_are_single_days(monkeypatch: pytest.MonkeyPatch, begins: datetime) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    house = House(utc_s=begins.timestamp())
    ends_s = begins.replace(day=begins.day + 1).timestamp()
    while house.utc_s < ends_s - 600.0:
        house.lasting(20, -100.0)
        house.turn(580.0, 0.0)
    assert house.seen.today == house.seen.total == round((ends_s - begins.timestamp()) / 600.0) - 1
    assert set(house.counter.evidence().days) == {begins.date().isoformat()}


@pytest.mark.parametrize("jump_s", [-86_400.0 * 20_000, -86_400.0, 86_400.0, 86_400.0 * 3000, 1e15, math.nan])
def test_a_clock_that_jumps_costs_no_evidence(jump_s: float) -> None:
    house = House()
    house.lasting(10, -100.0)
    right_s, house.utc_s = house.utc_s, house.utc_s + jump_s
    house.lasting(10, -100.0)
    assert house.seen.longest_s == pytest.approx(20.0), "lengths do not go by that clock"
    house.utc_s = right_s + 10.0
    house.turn(0.0, 0.0)
    assert (house.seen.today, house.seen.total, house.seen.in_10_min) == (1, 1, 1)
    house.lasting(20, -100.0)
    assert (house.seen.today, house.seen.in_24_h) == (2, 2)


def test_a_restart_keeps_the_evidence() -> None:
    first = House()
    first.lasting(70, -250.0)
    first.lasting(300, 0.0)
    first.lasting(20, -100.0)
    second = House(first.counter.evidence(), utc_s=first.utc_s + 60.0, now_s=3.0)  # the machine was restarted too
    assert (second.seen.today, second.seen.today_over_60_s, second.seen.in_10_min, second.seen.in_24_h) == (2, 1, 2, 2)
    assert second.seen.since_utc_s == NOON
    assert second.seen.longest_s == pytest.approx(70.0)
    assert second.seen.last == first.seen.last
    assert second.seen.current_s == 0.0
    much_later = House(second.counter.evidence(), utc_s=first.utc_s + 90_000.0)
    assert (much_later.seen.today, much_later.seen.in_24_h, much_later.seen.total) == (0, 0, 2)
    behind = House(second.counter.evidence(), utc_s=10.0)  # no clock of its own, and no network yet
    assert (behind.seen.in_10_min, behind.seen.in_24_h) == (2, 2), "rather too long than not at all"


def test_days_and_memory_are_bounded() -> None:
    house = House(Evidence(days={f"20{year}-01-01": Day(1) for year in range(10, 99)}, since_utc_s=0.0))
    for _ in range(200):
        house.turn(86_400.0, -10.0)
        house.turn(1.0, -10.0)
    assert len(house.counter.evidence().days) == 92
    house = House(longer_s=1.0)
    for _ in range(3000):
        house.lasting(2, -100.0)
        house.turn(0.0, 0.0)
    assert house.seen.total == 3000
    assert house.seen.in_24_h == 1000
    assert len(house.counter.evidence().recent_utc_s) == 1000


Turn = tuple[float, float | None, float | None, Mode, float]
TURNS = st.lists(
    st.tuples(
        st.floats(-5.0, 1e5) | st.sampled_from([0.0, 1.0]),
        st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([-100.0, 15.0]),
        st.none() | st.floats(-1e5, 1e5) | st.just(15.0),
        st.sampled_from(list(Mode)),
        st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1e10, 1e10),
    ),
    max_size=30,
)


@given(TURNS)
def test_it_never_fails_and_nothing_is_ever_negative(turns: list[Turn]) -> None:
    house = House(longer_s=1.0)
    before = house.seen
    for after_s, grid_w, target_w, mode, utc_s in turns:
        house.utc_s = utc_s
        seen = house.turn(after_s, grid_w, target_w=target_w, mode=mode)
        shown = [getattr(seen, name) for name in Excursions.__slots__ if name not in ("last", "since_utc_s")]
        assert all(value is None or 0 <= value < math.inf for value in shown), seen
        assert seen.today <= seen.total
        assert seen.over_60_s <= seen.total
        assert seen.total >= before.total
        assert seen.longest_s >= before.longest_s
        before = seen
    TypeAdapter(Evidence).dump_json(house.counter.evidence())


class TestTheFile:
    """Kept in the data folder."""

    async def test_what_is_saved_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "data" / "excursions.json"
        house = House(kept(path).read())
        house.lasting(70, -250.0)
        await kept(path).save(house.counter.evidence())
        shown = json.loads(path.read_text())
        assert shown["days"]["2025-06-15"]["count"] == 1
        assert shown["last"]["worst_w"] == 250.0
        assert kept(path).read() == house.counter.evidence()
        assert not list(path.parent.glob("*.tmp"))

    async def test_only_what_has_changed_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_module, "SAVE_EVERY_S", 0.02)
        path = tmp_path / "excursions.json"
        store = kept(path)
        house = House(store.read())
        task = asyncio.create_task(store.run(house.counter.evidence))
        async with asyncio.timeout(30):
            while not path.exists():
                await asyncio.sleep(0.01)
        first = path.stat().st_mtime_ns, path.stat().st_ino
        await asyncio.sleep(0.1)
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == first
        house.lasting(20, -250.0)
        async with asyncio.timeout(30):
            while path.stat().st_ino == first[1]:
                await asyncio.sleep(0.01)
        task.cancel()
        assert kept(path).read().total == 1

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0\xff",
            b"[]",
            b"null",
            b'{"total": -1}',
            b'{"total": "many"}',
            b'{"longest_s": NaN}',
            b'{"recent_utc_s": [1e999]}',
            b'{"days": {"2025-06-15": 3}}',
            b"[" * 100_000,
        ],
    )
    async def test_a_damaged_file_is_kept_aside(
        self, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "excursions.json"
        path.write_bytes(content)
        assert kept(path).read() == Evidence()
        assert path.with_suffix(".damaged").read_bytes() == content
        assert len(caplog.records) == 1
        assert "starting anew" in caplog.text

    async def test_a_full_disk_is_told_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "data").write_text("a file where the folder should be")
        store = kept(tmp_path / "data" / "excursions.json")
        caplog.set_level(logging.INFO)
        house = House()
        for _ in range(3):
            house.lasting(20, -100.0)
            await store.save(house.counter.evidence())
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        (tmp_path / "data").unlink()
        await store.save(house.counter.evidence())
        assert (tmp_path / "data" / "excursions.json").exists()


def test_the_configuration() -> None:
    def built(**changes: object) -> Config:
        return Config.model_validate({"meter": METER, "inverters": [INVERTER], **changes})

    assert (built().excursions.over_w, built().excursions.longer_s) == (50.0, 15.0)
    assert built(excursions={"over_w": 20, "longer_s": 5}).excursions.over_w == 20.0
    for wrong in ({"over_w": -1}, {"longer_s": 0}, {"longer_s": math.nan}, {"watts": 5}):
        with pytest.raises(ValueError, match="excursions"):
            built(excursions=wrong)
