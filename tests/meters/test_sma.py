"""SMA meters: what their datagrams say, which of them is listened to, and what is said where there is none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.checks import running
from app.meters import MeterConfig, sma
from app.meters.sma import Sma, SmaConfig, Ticker
from app.meters.speedwire import TICKER_TURN, parse, sender
from app.model import DeviceDataError, DeviceError, DeviceUnavailable
from tests.conftest import until
from tests.meters.fakes.sma import GRID, PV, FakeSma, datagram, free_udp_port, values
from tests.meters.followed import Followed, following

SHM = bytes.fromhex((Path(__file__).parent / "fixtures" / "sma" / "shm2.hex").read_text())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port of our own, and no long waits."""
    monkeypatch.setattr(sma, "PORT", free_udp_port())
    monkeypatch.setattr(sma, "LOOK_ROUND_S", 0.5)
    monkeypatch.setattr(sma, "OPEN_AGAIN_S", 0.2)


def config(**keys: Any) -> SmaConfig:
    found = TypeAdapter(MeterConfig).validate_python({"type": "sma", "interval_s": 0.3, **keys})
    assert isinstance(found, SmaConfig)
    return found


@asynccontextmanager
async def listening(fake: FakeSma, **keys: Any) -> AsyncIterator[Followed]:
    async with running(fake.run()), following(Sma(config(**keys))) as followed:
        yield followed


class TestDatagram:
    def test_that_of_a_home_manager(self) -> None:
        assert SHM.startswith(bytes.fromhex("534d4100000402a000000001024c001060690174b385121df5cb038300010400000018b6"))
        found = parse(SHM)
        assert (sender(SHM), found.susy, found.ticker_ms) == (3011842589, 372, 0xF5CB0383)
        assert found.power_w == pytest.approx(632.6)
        assert [phase.power_w for phase in found.phases] == [286.6, 188.5, 157.5]
        assert found.phases[0].voltage_v == pytest.approx(232.744)
        assert found.phases[0].current_a == pytest.approx(1.29)
        assert found.export_wh == 2000.0

    def test_an_export_is_negative_on_its_phase_too(self) -> None:
        found = parse(datagram(values(-1500.5, import_wh=10.0, export_wh=20.5)))
        assert found.power_w == found.phases[0].power_w == -1500.5
        assert (found.import_wh, found.export_wh) == (10.0, 20.5)

    def test_unknown_values_are_passed_over_and_bytes_behind_the_end_too(self) -> None:
        odd = [(99, 4, 5), (98, 8, 2**60), (97, 7, 1), *values(42.0), (96, 0, 7)]
        assert parse(datagram(odd) + b"\0\0").power_w == 42.0

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (SHM[:300], "300 bytes, 604 are announced"),
            (SHM[:12] + b"\0\x05" + SHM[14:], "broken"),
            (SHM[:12] + b"\xff\xff" + SHM[14:], "65551 are announced"),
            (SHM[:12] + b"\x00\x4e" + SHM[14:], "in the middle of value"),
            (datagram([v for v in values(5.0) if v[:2] != (2, 4)]), "no 2.4.0"),
            (datagram([(14, 4, 49_990)]), "no 1.4.0 and no 2.4.0"),
            (datagram([(1, 4, 2**32 - 1), (2, 4, 0)]), "no house connection"),
            (datagram(values(0.0, import_wh=0.0, export_wh=0.0)), "just started"),
            (datagram(values(5.0), protocol=0x6065), "no energy meter"),
        ],
    )
    def test_a_broken_one_is_an_error(self, data: bytes, text: str) -> None:
        with pytest.raises(DeviceDataError, match=text):
            parse(data)

    def test_counters_that_are_none_are_none(self) -> None:
        found = parse(datagram([(1, 4, 100), (2, 4, 0), (1, 8, 2**64 - 1)]))
        assert (found.power_w, found.import_wh, found.export_wh, found.phases) == (10.0, None, None, ())

    @pytest.mark.parametrize("data", [b"", b"SMA\0", SHM[:27], b"SMA\0" + bytes(600), b"<html>" * 99])
    def test_what_is_no_meters_is_nobodys(self, data: bytes) -> None:
        assert sender(data) is None

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=80), st.integers(0, 600), st.integers(0, 608))
    def test_no_bytes_make_it_fail_but_with_a_sentence(self, junk: bytes, at: int, length: int) -> None:
        for data in (junk, SHM[:28] + junk, (SHM[:at] + junk + SHM[at + len(junk) :])[:length]):
            sender(data)
            with suppress(DeviceDataError):
                parse(data)


class TestTicker:
    def test_only_what_is_newer_counts(self) -> None:
        ticker = Ticker()
        moments = [ticker.moment(ms, s) for ms, s in [(5000, 1.0), (6000, 2.0), (6000, 2.1), (4000, 2.2), (7000, 3.0)]]
        assert moments == [None, 2.0, None, None, 3.0]

    def test_it_turns_over(self) -> None:
        ticker = Ticker()
        ticker.moment(TICKER_TURN - 1500, 1.0)
        assert ticker.moment(TICKER_TURN - 500, 2.0) == 2.0
        assert ticker.moment(500, 3.0) == 3.0
        assert ticker.moment(TICKER_TURN - 500, 3.1) is None  # late, by another way
        assert ticker.moment(1500, 4.0) == 4.0

    def test_a_small_one_is_no_turn_before_its_time(self) -> None:
        ticker = Ticker()
        for second in range(3):
            ticker.moment(4_200_000_000 + 1000 * second, float(second))
        assert [ticker.moment(5, 3.0 + second) for second in range(3)] == [None, None, None]
        assert ticker.moment(4_200_006_000, 6.0) == 6.0

    @pytest.mark.parametrize("before_ms", [1_000_000, 4_200_000_000])
    def test_after_a_restart_of_the_meter_it_goes_on(self, before_ms: int) -> None:
        ticker = Ticker()
        for second in range(5):
            ticker.moment(before_ms + 1000 * second, float(second))
        moments = [ticker.moment(1000 * second, 8.0 + second) for second in range(10)]
        assert all(moment is not None for moment in moments[5:])

    def test_one_that_stands_still_is_told(self) -> None:
        ticker = Ticker()
        ticker.moment(1000, 1.0)
        with pytest.raises(DeviceDataError, match="not advanced"):
            ticker.moment(1000, 40.0)


async def test_the_one_meter_of_the_network_is_found() -> None:
    async with listening(FakeSma({GRID: 250.0})) as followed:
        reading = await followed.reads(250.0)
    assert reading.import_wh == 1234.5
    assert len(reading.phases) == 3
    assert abs(reading.at_s - time.monotonic()) < 60.0


async def test_of_two_meters_one_has_to_be_named() -> None:
    fake = FakeSma({GRID: 250.0, PV: -4000.0})
    async with listening(fake) as followed:
        error = await followed.says("meter.serial")
    assert isinstance(error, DeviceDataError)
    assert f"{PV} at " in str(error)
    assert f"{GRID} at " in str(error)
    assert followed.readings == []
    async with listening(fake, serial=GRID) as followed:
        await followed.reads(250.0)
        await until(lambda: len(followed.readings) > 3)
    assert followed.powers_w == {250.0}


async def test_a_second_meter_that_comes_later_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeSma({GRID: 250.0})
    async with listening(fake) as followed:
        await followed.reads(250.0)
        fake.powers_w = {PV: -4000.0, GRID: 251.0}
        await followed.reads(251.0)
        await until(lambda: str(PV) in caplog.text)
        fake.powers_w = {PV: -4000.0}
        error = await followed.says("check meter.serial")
        fake.powers_w = {PV: -4000.0, GRID: 252.0}
        await followed.reads(252.0)
    assert str(GRID) in str(error)
    assert caplog.text.count("set meter.serial") == 1
    assert followed.powers_w == {250.0, 251.0, 252.0}


async def test_what_is_sent_to_this_machine_alone_is_heard() -> None:
    async with listening(FakeSma({GRID: -77.5}, to="127.0.0.1"), interface="127.0.0.1") as followed:
        await followed.reads(-77.5)


async def test_silence_says_where_to_look_and_ends() -> None:
    fake = FakeSma()
    async with listening(fake, serial=GRID) as followed:
        error = await followed.says("Direkte Zähler-Kommunikation")
        fake.powers_w, fake.ticker_ms = {GRID: 5.0}, 0  # it was off
        await followed.reads(5.0)
    assert isinstance(error, DeviceUnavailable)
    for word in ("239.12.255.254", "IGMP", "Docker", "no SMA meter heard"):
        assert word in str(error)
    assert len(str(error)) < 400


async def test_broken_datagrams_are_told_and_others_are_not() -> None:
    class Broken(FakeSma):
        def sends(self) -> Iterable[bytes]:
            yield b"<html>"
            yield datagram(values(7777.0), serial=PV, ticker_ms=self.ticker_ms)[:200]
            yield datagram(values(7777.0), protocol=0x6065)
            yield datagram(values(7777.0), ticker_ms=self.ticker_ms)[:200]

    async with listening(Broken(), serial=GRID) as followed:
        error = await followed.says("broken datagram")
        await until(lambda: len(followed.errors) > 3)
    assert isinstance(error, DeviceDataError)
    assert str(GRID) in str(error)
    assert followed.readings == []


async def test_copies_of_an_old_datagram_are_no_readings() -> None:
    fake = FakeSma({GRID: 10.0})
    async with listening(fake, serial=GRID) as followed:
        await followed.reads(10.0)
        fake.tick_ms, fake.powers_w = 0, {GRID: 7777.0}
        sent = fake.sent
        await until(lambda: fake.sent > sent + 5)
        fake.tick_ms, fake.powers_w = 1000, {GRID: 11.0}
        await followed.reads(11.0)
    assert followed.powers_w == {10.0, 11.0}


async def test_it_emits_no_more_than_five_times_a_second() -> None:
    emitted_s: list[float] = []

    meter = Sma(config(serial=GRID))
    async with running(
        FakeSma({GRID: 10.0}, every_s=0.01).run(), meter.run(lambda _outcome: emitted_s.append(time.monotonic()))
    ):
        await until(lambda: len(emitted_s) > 4)
    assert min(later - sooner for sooner, later in pairwise(emitted_s)) > 0.19


async def test_an_address_that_is_not_ours_is_told() -> None:
    async with listening(FakeSma(), interface="192.0.2.77") as followed:
        error = await followed.says("192.0.2.77 is no address of ours")
    assert isinstance(error, DeviceError)


def test_two_programs_can_listen() -> None:
    first, second = sma.open_socket(None), sma.open_socket(None)
    first.close()
    second.close()


@pytest.mark.parametrize(
    "keys", [{"serial": 0}, {"serial": 2**32}, {"serial": "x"}, {"interface": "192.168.x.x"}, {"port": 9522}]
)
def test_a_configuration_that_cannot_work_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)
