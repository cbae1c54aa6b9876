"""The ledger: energy, what limits held back, and what the gate saved or cost; the figures are worked out by hand."""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kept import Kept
from app.ledger import KeptLedger, LedgerKeeper
from app.model import (
    Ac,
    Account,
    Decision,
    Gate,
    InverterState,
    Ledger,
    MeterState,
    Mode,
    Phase,
    PriceState,
    Reading,
    Settings,
    Snapshot,
)
from app.potential import METHOD
from tests import ledger_process
from tests.conftest import local_time, until

NOON = 1_750_000_000.0  # 2025-06-15, 15:06:40 UTC
MAX_W, SUN_W = 2000.0, 1500.0
OLD_FILE = """{
 "currency": "AUD",
 "since_utc_s": 1750000000.0,
 "total": {"import_wh": 1.5, "export_wh": 5.0, "curtailed_wh": 240.0, "uncertain_s": 0.0, "earned_c": -0.02,
  "saved_c": 0.909},
 "days": {
  "2025-06-15": {"import_wh": 1.5, "export_wh": 0.0, "curtailed_wh": 120.0, "uncertain_s": 0.0, "earned_c": 0.0,
   "saved_c": 0.429},
  "2025-06-16": {"import_wh": 0.0, "export_wh": 5.0, "curtailed_wh": 120.0, "uncertain_s": 0.0, "earned_c": -0.02,
   "saved_c": 0.48}
 },
 "sun": {
  "best": {"1": {"60": {"share": 0.75, "day": 20254, "free": true}, "61": {"share": 0.15, "day": 20254,
   "free": false}}},
  "seen": 269.28246272748373,
  "possible": 269.28246272748373
 }
}"""
pytestmark = pytest.mark.usefixtures("in_utc")


class House:
    """One inverter under a sun that gives 1500 W, in a house whose grid power, gate and price a test moves."""

    def __init__(
        self,
        kept: KeptLedger | None = None,
        *,
        currency: str = "AUD",
        cap_w: float | None = None,
        limit_w: float = MAX_W,
    ) -> None:
        self.keeper = LedgerKeeper(currency, cap_w, kept)
        self.now_s, self.utc_s, self.reports = 5000.0, NOON, 0
        self.import_wh: float | None = None
        self.yield_kwh: float | None = None
        self.seen = self.turn(0.0, None, limit_w=limit_w)

    def turn(
        self,
        after_s: float,
        grid_w: float | None,
        *,
        gate: Mode | None = None,
        price: PriceState | None = None,
        limit_w: float = MAX_W,
        mode: Mode = Mode.LIMIT,
    ) -> Ledger:
        """One turn of the loop so much later."""
        self.now_s += after_s
        self.utc_s += after_s
        self.reports += 1
        ac = Ac(power_w=min(limit_w, SUN_W), yield_total_kwh=self.yield_kwh)
        at_s = self.now_s + self.reports * 1e-6
        export_wh = None if self.import_wh is None else 0.0
        reading = Reading(grid_w or 0.0, at_s, self.utc_s, (Phase(),), self.import_wh, export_wh)
        roof = InverterState("1", "Roof", MAX_W, 40.0, reachable=True, ac=ac, power_at_s=at_s, commanded_w=limit_w)
        snapshot = Snapshot(self.now_s, self.utc_s, MeterState(reading), (roof,), Settings(), price)
        asked = None if gate is None else Gate(gate, "", self.utc_s)
        self.seen = self.keeper.observe(snapshot, Decision(mode, "", grid_w=grid_w, gate=asked))
        return self.seen

    def hours(self, hours: float, grid_w: float | None, **now: Any) -> Account:
        """So long at one grid power; what the day's account says then."""
        self.turn(0.0, grid_w, **now)
        for _ in range(round(hours * 720)):
            self.turn(5.0, grid_w, **now)
        return self.seen.today

    def known(self) -> House:
        """The sun of this quarter of an hour has been seen without limits, and that is on no account."""
        self.hours(0.1, None)
        return self


def cents(export_c: float | None, import_c: float | None = None) -> PriceState:
    return PriceState(export_c, import_c, estimated=False, currency="AUD")


def same(account: Account, **expected: float) -> None:
    """Everything that is not named is 0."""
    for name in ("import_wh", "export_wh", "curtailed_wh", "uncertain_s", "earned_c", "saved_c"):
        assert getattr(account, name) == pytest.approx(expected.get(name, 0.0), rel=1e-6, abs=1e-9), name


class TestWhatTheGateSaves:
    """A tenth of an hour: of the sun's 1500 W the house takes 285, the limit of 300 leaves an import of -15 or 15."""

    def test_export_that_would_cost_is_saved(self) -> None:
        # free: 1185 W of export at -4 c = 4.74 c/h paid; held: 15 W of import at 30 c = 0.45 c/h
        account = House().known().hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, import_wh=1.5, curtailed_wh=120.0, saved_c=0.1 * (4.74 - 0.45))

    def test_export_that_would_earn_is_lost(self) -> None:
        # free: 1185 W at 8 c = 9.48 c/h earned; held: 0.45 c/h paid
        account = House().known().hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(8.0, 30.0), limit_w=300.0)
        same(account, import_wh=1.5, curtailed_wh=120.0, saved_c=0.1 * (-9.48 - 0.45))

    def test_at_exactly_nothing_only_the_import_counts(self) -> None:
        account = House().known().hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(0.0, 30.0), limit_w=300.0)
        same(account, import_wh=1.5, curtailed_wh=120.0, saved_c=-0.045)

    def test_a_shutdown_while_import_is_paid_for(self) -> None:
        # held: 285 W of import at -20 c = 5.7 c/h earned; free: 1215 W of export at -30 c = 36.45 c/h paid
        price = cents(-30.0, -20.0)
        account = House().known().hours(0.1, 285.0, gate=Mode.SHUTDOWN, price=price, limit_w=0.0, mode=Mode.SHUTDOWN)
        same(account, import_wh=28.5, curtailed_wh=150.0, saved_c=0.1 * (5.7 + 36.45))

    def test_sun_that_the_house_could_have_used_costs_its_import(self) -> None:
        # a house of 3000 W: 2700 W of import at 30 c held, 1500 W free
        account = House().known().hours(0.1, 2700.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, import_wh=270.0, curtailed_wh=120.0, saved_c=-0.1 * 36.0)

    def test_export_that_remains_costs_too(self) -> None:
        # the inverter's minimum is more than the house takes: 50 W at -4 c; free it would be 1250 W
        account = House().known().hours(0.1, -50.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, export_wh=5.0, curtailed_wh=120.0, earned_c=-0.02, saved_c=0.1 * (5.0 - 0.2))

    def test_free_would_have_been_up_to_the_cap(self) -> None:
        house = House(cap_w=500.0).known()
        account = house.hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, import_wh=1.5, curtailed_wh=120.0, saved_c=0.1 * (2.0 - 0.45))

    def test_an_unknown_import_price_leaves_the_import_out(self) -> None:
        account = House().known().hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(-4.0), limit_w=300.0)
        same(account, import_wh=1.5, curtailed_wh=120.0, saved_c=0.474)
        account = House().known().hours(0.1, 2700.0, gate=Mode.LIMIT, price=cents(-4.0), limit_w=300.0)
        same(account, import_wh=270.0, curtailed_wh=120.0)

    @pytest.mark.parametrize("price", [None, PriceState(), cents(None, 30.0), cents(math.nan, 30.0)])
    def test_an_unknown_price_moves_no_money(self, price: PriceState | None) -> None:
        account = House().known().hours(0.1, -15.0, gate=Mode.LIMIT, price=price, limit_w=300.0)
        same(account, export_wh=1.5, curtailed_wh=120.0)

    @pytest.mark.parametrize("grid_w", [None, math.nan])
    def test_an_unknown_grid_power_leaves_what_is_held_back(self, grid_w: float | None) -> None:
        account = House().known().hours(0.1, grid_w, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, curtailed_wh=120.0)

    @pytest.mark.parametrize(
        ("gate", "mode"), [(Mode.OPEN, Mode.OPEN), (None, Mode.LIMIT), (Mode.LIMIT, Mode.PAUSED)], ids=str
    )
    def test_what_the_cap_or_the_target_holds_back_is_not_the_gates(self, gate: Mode | None, mode: Mode) -> None:
        account = House().known().hours(0.1, -15.0, gate=gate, mode=mode, price=cents(8.0, 30.0), limit_w=300.0)
        same(account, export_wh=1.5, curtailed_wh=120.0, earned_c=0.012)

    def test_what_is_held_back_of_an_unknown_sun_is_uncertain(self) -> None:
        house = House(limit_w=300.0)
        account = house.hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, import_wh=1.5, uncertain_s=360.0)


class TestWhatExportEarns:
    @pytest.mark.parametrize(("value_c", "earned_c"), [(8.0, 0.8), (-4.0, -0.4), (0.0, 0.0)])
    def test_at_either_sign(self, value_c: float, earned_c: float) -> None:
        account = House().hours(0.1, -1000.0, gate=Mode.OPEN, price=cents(value_c, 30.0), mode=Mode.OPEN)
        same(account, export_wh=100.0, earned_c=earned_c)

    def test_the_price_of_the_moment_counts(self) -> None:
        house = House()
        house.hours(0.1, -1000.0, gate=Mode.OPEN, price=cents(8.0), mode=Mode.OPEN)
        account = house.hours(0.1, -1000.0, gate=Mode.OPEN, price=cents(20.0), mode=Mode.OPEN)
        same(account, export_wh=200.0, earned_c=0.8 + 2.0)

    def test_without_prices_there_is_energy_only(self) -> None:
        house = House(currency="")
        same(house.hours(0.1, -1000.0), export_wh=100.0)
        assert (house.seen.currency, house.seen.method) == ("", METHOD)


class TestTime:
    """What passes between two turns."""

    def test_a_gap_counts_nothing(self) -> None:
        house = House()
        house.turn(0.0, 3600.0)
        same(house.turn(10.0, 3600.0).today, import_wh=10.0)
        same(house.turn(10.1, 3600.0).today, import_wh=10.0)
        same(house.turn(1.0, None).today, import_wh=11.0)
        same(house.turn(1.0, 3600.0).today, import_wh=11.0)

    @pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 40 * 86_400.0, -20_000 * 86_400.0, 1e18])
    def test_a_clock_that_jumps_adds_nothing(self, jump_s: float) -> None:
        house = House()
        house.hours(0.1, 1000.0)
        house.utc_s += jump_s
        house.turn(1.0, 1000.0)
        same(house.seen.total, import_wh=100.0 + 1000.0 / 3600.0)
        house.utc_s -= jump_s
        same(house.turn(1.0, 1000.0).total, import_wh=100.0 + 2000.0 / 3600.0)
        assert house.seen.today.import_wh > 100.0, "the day is still there"

    @pytest.mark.parametrize(
        ("zone", "morning", "hours"),
        [("Europe/Berlin", "2025-03-30T00:00+01:00", 23), ("Australia/Sydney", "2025-04-06T00:00+11:00", 25)],
    )
    def test_the_day_is_the_local_one_whatever_its_length(
        self, monkeypatch: pytest.MonkeyPatch, zone: str, morning: str, hours: int
    ) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        house = House()
        house.utc_s = datetime.fromisoformat(morning).timestamp() - 5.0
        house.hours(5.0 / 3600.0 * 2, 1000.0)
        date, begun = house.seen.date, house.seen.today.import_wh
        house.hours(hours - 0.1, 1000.0)
        assert (house.seen.date, begun < 3.0) == (date, True)
        same(house.seen.today, import_wh=begun + 1000.0 * (hours - 0.1))
        house.hours(0.2, 1000.0)
        assert house.seen.date > date
        assert house.seen.today.import_wh == pytest.approx(100.0, abs=5.0)
        assert house.seen.total.import_wh == pytest.approx(1000.0 * (hours + 0.1), abs=10.0)

    def test_old_days_go(self) -> None:
        house = House()
        for _ in range(30):
            house.hours(0.01, 1000.0)
            house.utc_s += 86_400.0
        assert len(house.keeper.kept().days) == 8
        assert house.seen.date in house.keeper.kept().days
        house.utc_s = 0.0
        same(house.hours(0.1, 1000.0), import_wh=100.0)


class TestGaps:
    """The controller is off for a while; the devices go on counting."""

    def off(self, zone: str, since: str, until: str, *, imported_wh: float, given_kwh: float = 0.0) -> House:
        """A house that was off from one local time to the other, and the first turn after that."""
        with local_time(zone):
            house = House()
            house.utc_s = datetime.fromisoformat(since).timestamp() - 2.0
            house.import_wh, house.yield_kwh = 70_000.0, 500.0
            house.turn(1.0, None)
            house.turn(1.0, None)
            began_s, house.keeper = house.utc_s, LedgerKeeper("AUD", None, house.keeper.kept())
            house.utc_s = datetime.fromisoformat(until).timestamp() - 1.0
            house.now_s = 10.0
            house.import_wh, house.yield_kwh = 70_000.0 + imported_wh, 500.0 + given_kwh
            house.turn(1.0, None)
            assert house.utc_s > began_s
        return house

    def days(self, house: House) -> dict[str, Account]:
        return {day: account for day, account in house.keeper.kept().days.items() if account.import_wh > 1e-6}

    def test_an_hour_is_on_its_day(self) -> None:
        house = self.off("UTC", "2025-06-15T10:00", "2025-06-15T11:00", imported_wh=400.0, given_kwh=1.5)
        seen = house.seen
        assert seen.today.import_wh == seen.month.import_wh == seen.total.import_wh == pytest.approx(400.0)
        assert seen.today.pv_wh == pytest.approx(1500.0, rel=0.01)
        assert seen.today.self_used_wh == seen.today.pv_wh
        assert seen.today.load_wh == pytest.approx(1900.0, rel=0.01)

    def test_import_over_midnight_is_on_both_days_by_their_hours(self) -> None:
        house = self.off("Europe/Berlin", "2025-06-15T18:00", "2025-06-16T06:00", imported_wh=1200.0)
        assert house.seen.today.import_wh == pytest.approx(600.0, rel=0.001)
        assert house.seen.total.import_wh == pytest.approx(1200.0)
        (closed,) = (period for period in house.seen.closed if period.account.import_wh)
        assert closed.name == "day"
        assert closed.account.import_wh == pytest.approx(600.0, rel=0.001)
        assert closed.began_utc_s == datetime.fromisoformat("2025-06-15T00:00+02:00").timestamp()

    def test_the_sun_of_a_gap_is_where_the_sun_is(self) -> None:
        """Known is the sun of 9 to 17 o'clock: of a gap from 13 to 11 there are four hours before and two after."""
        house = House()
        for quarter in range(9 * 4, 17 * 4):
            house.utc_s = datetime.fromisoformat("2025-06-14T00:07+00:00").timestamp() + quarter * 900.0
            house.turn(60.0, None)
        house.utc_s = datetime.fromisoformat("2025-06-15T13:00+00:00").timestamp()
        house.yield_kwh = 500.0
        house.turn(60.0, None)
        house.keeper = LedgerKeeper("AUD", None, house.keeper.kept())
        before = house.keeper.kept().days["2025-06-15"].pv_wh
        house.utc_s, house.yield_kwh = datetime.fromisoformat("2025-06-16T11:00+00:00").timestamp(), 506.0
        house.turn(1.0, None)
        assert house.keeper.kept().days["2025-06-15"].pv_wh - before == pytest.approx(4000.0, rel=0.02)
        assert house.seen.today.pv_wh == pytest.approx(2000.0, rel=0.02)

    def test_a_gap_over_the_end_of_a_month(self) -> None:
        house = self.off("Australia/Sydney", "2025-06-29T12:00", "2025-07-02T12:00", imported_wh=7200.0)
        assert {day: round(account.import_wh) for day, account in self.days(house).items()} == {
            "2025-06-29": 1200, "2025-06-30": 2400, "2025-07-01": 2400, "2025-07-02": 1200,
        }  # fmt: skip
        assert house.seen.month.import_wh == pytest.approx(3600.0)
        assert house.seen.total.import_wh == pytest.approx(7200.0)
        (june,) = (period for period in house.seen.closed if period.name == "month")
        assert june.account.import_wh == pytest.approx(3600.0)
        assert house.seen.month_utc_s == datetime.fromisoformat("2025-07-01T00:00+10:00").timestamp()

    @pytest.mark.parametrize(
        ("zone", "since", "until", "first", "second"),
        [
            ("Europe/Berlin", "2025-03-29T12:00", "2025-03-31T00:00", 12.0, 23.0),
            ("Europe/Berlin", "2025-10-25T12:00", "2025-10-27T00:00", 12.0, 25.0),
            ("Australia/Sydney", "2025-04-05T12:00", "2025-04-07T00:00", 12.0, 25.0),
        ],
    )
    def test_days_of_23_and_25_hours(self, zone: str, since: str, until: str, first: float, second: float) -> None:
        house = self.off(zone, since, until, imported_wh=100.0 * (first + second))
        found = [account.import_wh for _, account in sorted(self.days(house).items())]
        assert found == pytest.approx([100.0 * first, 100.0 * second], abs=0.1)

    def test_a_gap_of_many_days_is_all_on_the_total(self) -> None:
        house = self.off("UTC", "2025-04-20T12:00", "2025-06-15T12:00", imported_wh=56_000.0)
        assert house.seen.total.import_wh == pytest.approx(56_000.0)
        assert house.seen.month.import_wh == pytest.approx(14_500.0)
        assert sum(house.keeper.kept().months[month].import_wh for month in ("2025-04", "2025-05", "2025-06")) == (
            pytest.approx(56_000.0)
        )

    def test_the_time_of_a_gap_is_uncertain_where_it_began_held_back(self) -> None:
        for limit_w, uncertain_s in ((300.0, 3600.0), (MAX_W, 0.0)):
            house = House().known()
            house.hours(0.1, 15.0, limit_w=limit_w)
            before_s = house.seen.today.uncertain_s
            house.keeper = LedgerKeeper("AUD", None, house.keeper.kept())
            assert house.turn(3600.0, 15.0, limit_w=limit_w).today.uncertain_s - before_s == uncertain_s


class TestTheMonth:
    """It begins with its first local day, and what is over stays as it was."""

    @pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland"])
    def test_it_ends_at_local_midnight(self, zone: str) -> None:
        with local_time(zone):
            house = House()
            house.utc_s = datetime(2025, 10, 31, 23, 0).timestamp()
            house.hours(2.0, 1000.0)
            assert house.seen.today == house.seen.month
            assert house.seen.today.import_wh == pytest.approx(1000.0, abs=2.0)
            assert (house.seen.date, house.seen.day_utc_s) == ("2025-11-01", datetime(2025, 11, 1).timestamp())
            assert house.seen.month_utc_s == house.seen.day_utc_s
            ended = {(period.name, period.began_utc_s): period.account.import_wh for period in house.seen.closed}
            assert ended[("day", datetime(2025, 10, 31).timestamp())] == pytest.approx(1000.0, abs=2.0)
            assert ended[("month", datetime(2025, 10, 1).timestamp())] == pytest.approx(1000.0, abs=2.0)

    def test_what_is_over_is_told_as_long_as_it_is_kept_and_stays_the_same(self) -> None:
        house = House()
        house.hours(0.1, 1000.0)
        house.utc_s += 86_400.0
        closed = house.turn(1.0, 1000.0).closed
        assert [period.name for period in closed] == ["day"]
        assert closed[0].account.import_wh == pytest.approx(100.0)
        assert house.turn(1.0, 1000.0).closed is closed


class TestWhatSurvives:
    """The file, and what is made of it."""

    async def test_a_restart_goes_on(self, tmp_path: Path) -> None:
        house = House().known()
        house.hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        await file(tmp_path).save(house.keeper.kept())
        back = House(await asyncio.to_thread(file(tmp_path).read))
        assert (back.seen.today, back.seen.total, back.seen.since_utc_s) == (house.seen.today, house.seen.total, NOON)
        account = back.hours(0.1, 15.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
        same(account, import_wh=3.0, curtailed_wh=240.0, saved_c=0.2 * (4.74 - 0.45))

    @pytest.mark.parametrize(
        ("first", "second", "kept_wh"), [("AUD", "EUR", 0.0), ("", "EUR", 100.0), ("AUD", "", 100.0)]
    )
    def test_another_currency_starts_anew(self, first: str, second: str, kept_wh: float) -> None:
        house = House(currency=first)
        house.hours(0.1, -1000.0, gate=Mode.OPEN, price=cents(8.0), mode=Mode.OPEN)
        house = House(house.keeper.kept(), currency=second)
        assert house.seen.currency == (second or first)
        assert house.seen.total.export_wh == pytest.approx(kept_wh)
        assert house.seen.total.earned_c == pytest.approx(0.008 * kept_wh)

    async def test_a_kill_at_any_moment_loses_nothing_that_the_meter_counts(self, tmp_path: Path) -> None:
        path, began_utc_s = tmp_path / "ledger.json", time.time() - 1000.0
        first_wh, before = 0.0, b""
        for _ in range(4):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.ledger_process", str(path), str(began_utc_s)
            )
            await until(lambda old=before: path.exists() and path.read_bytes() != old, 30.0, "saved")
            await asyncio.sleep(random.uniform(0.0, 0.1))
            process.kill()
            await process.wait()
            before = path.read_bytes()
            if not first_wh:
                kept = ledger_process.file(path).read()
                assert kept.energy.imported is not None
                first_wh = kept.energy.imported.mark.value_wh - kept.total.import_wh
        keeper = LedgerKeeper("", None, ledger_process.file(path).read(), most_w=ledger_process.MOST_W)
        turn = ledger_process.snapshot(began_utc_s)
        assert turn.meter.reading is not None
        assert turn.meter.reading.import_wh is not None
        total = keeper.observe(turn, Decision(Mode.LIMIT, "", grid_w=None)).total
        behind_wh = turn.meter.reading.import_wh - first_wh - total.import_wh
        assert -10_000.0 < behind_wh < 1.0, "no less than the counter, and beyond it no more than a power stood for"
        assert not (tmp_path / "ledger.damaged").exists()

    @pytest.mark.parametrize("knows_pv", [False, True])
    def test_a_file_of_a_version_without_months_and_counters(self, tmp_path: Path, knows_pv: bool) -> None:
        document = json.loads(OLD_FILE)
        for account in (document["total"], *document["days"].values()):
            account.update({"pv_wh": 0.0} if knows_pv else {})
        (tmp_path / "ledger.json").write_text(json.dumps(document))
        house = House(file(tmp_path).read())
        assert not (tmp_path / "ledger.damaged").exists()
        assert house.seen.total.import_wh == house.keeper.kept().days["2025-06-15"].import_wh == 1.5
        assert house.seen.month.export_wh == 5.0
        assert house.seen.month.saved_c == pytest.approx(0.909)
        assert (house.seen.total.pv_wh, house.seen.total.self_used_wh) == (5.0, 0.0), "at least what was exported"
        house.utc_s += 86_400.0
        house.hours(0.1, -100.0)
        assert house.seen.today.self_used_wh == pytest.approx(140.0)
        assert house.seen.total.self_used_wh == pytest.approx(140.0)

    @pytest.mark.parametrize("amount", ["NaN", "1e999", "-Infinity", '"many"', "null"])
    def test_a_damaged_file_is_kept_aside(self, tmp_path: Path, amount: str) -> None:
        path = tmp_path / "ledger.json"
        path.write_text(f'{{"currency": "AUD", "since_utc_s": 1e9, "total": {{"saved_c": {amount}}}, "days": {{}}}}')
        assert file(tmp_path).read() == KeptLedger()
        assert path.with_suffix(".damaged").exists()

    async def test_the_file_stays_small(self, tmp_path: Path) -> None:
        house = House()
        for quarter in range(96 * 30):
            house.utc_s = NOON + quarter * 900.0
            house.turn(5.0, 15.0)
        await file(tmp_path).save(house.keeper.kept())
        assert len(json.loads((tmp_path / "ledger.json").read_text())["sun"]["best"]["1"]) == 96
        assert (tmp_path / "ledger.json").stat().st_size < 16_000


def file(folder: Path) -> Kept[KeptLedger]:
    return Kept(folder / "ledger.json", KeptLedger, KeptLedger(), "ledger")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-5.0, 20.0),
            st.none() | st.floats(-1e5, 1e5),
            st.none() | st.floats(-1e3, 1e3),
            st.none() | st.floats(-1e3, 1e3),
            st.sampled_from([0.0, 300.0, MAX_W]),
            st.sampled_from([None, Mode.LIMIT, Mode.OPEN, Mode.SHUTDOWN]),
        ),
        max_size=30,
    )
)
def test_whatever_happens_the_sums_stay_sums(turns: list[tuple[float, Any, Any, Any, float, Mode | None]]) -> None:
    house = House()
    passed_s = gaps_s = 0.0
    for after_s, grid_w, export_c, import_c, limit_w, gate in turns:
        house.turn(after_s, grid_w, price=cents(export_c, import_c), limit_w=limit_w, gate=gate)
        passed_s += after_s if 0.0 < after_s <= 10.0 else 0.0
        gaps_s += after_s if after_s > 10.0 else 0.0
    account = house.seen.total
    assert 0.0 <= account.curtailed_wh <= MAX_W * passed_s / 3600.0 + 1e-6
    assert 0.0 <= account.uncertain_s <= passed_s + gaps_s + 5.0 * len(turns) + 1e-6, "clocks that go back, too"
    assert min(account.import_wh, account.export_wh) >= 0.0
    assert max(account.import_wh, account.export_wh) <= 1e5 * passed_s / 3600.0 + 1e-6
    assert math.isfinite(account.earned_c + account.saved_c)


def test_a_turn_is_cheap() -> None:
    house = House()
    started_s = time.process_time()
    house.hours(1.0, 15.0, gate=Mode.LIMIT, price=cents(-4.0, 30.0), limit_w=300.0)
    assert (time.process_time() - started_s) / 721 < 5e-3, "50 us are usual"
