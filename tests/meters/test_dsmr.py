"""The P1 port of a smart meter over TCP: telegrams, what stands between them, and when none comes."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.meters import dsmr, push
from app.meters.dsmr import Cutter, Dsmr, DsmrConfig, parse
from app.meters.obis import text_telegram
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading
from tests.conftest import free_port, until

from .fakes.p1 import Dongle, dongle, household, powers, stamp, telegram


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(push, "FIRST_PAUSE_S", 0.05)


class Tried:
    """A driver at work, and what it has said."""

    def __init__(self, place: Dongle, meter: Dsmr) -> None:
        self.dongle, self.meter = place, meter
        self.outcomes: list[Reading | DeviceError] = []
        self.seconds = 0

    @property
    def powers_w(self) -> list[float]:
        return [outcome.power_w for outcome in self.outcomes if isinstance(outcome, Reading)]

    @property
    def errors(self) -> list[str]:
        return [str(outcome) for outcome in self.outcomes if isinstance(outcome, DeviceError)]

    async def send(self, data: bytes) -> None:
        await until(lambda: self.dongle.clients > 0)
        await self.dongle.send(data)

    async def shows(self, power_w: float) -> None:
        """A telegram of the next second arrives."""
        before = len(self.powers_w)
        while len(self.powers_w) == before:
            self.seconds += 1
            await self.send(household(power_w, self.seconds))
            await asyncio.sleep(0.05)
        assert self.powers_w[-1] == power_w

    async def says(self, text: str) -> None:
        await until(lambda: any(text in error for error in self.errors), 20.0, f"{text} in {self.errors[-3:]}")


@asynccontextmanager
async def tried(place: Dongle, **keys: object) -> AsyncIterator[Tried]:
    config = DsmrConfig.model_validate({"type": "dsmr", "host": place.host, "interval_s": 20, **keys})
    found = Tried(place, Dsmr(config))
    task = asyncio.create_task(found.meter.run(found.outcomes.append))
    try:
        yield found
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def place() -> AsyncIterator[Dongle]:
    async with dongle() as found:
        yield found


async def test_telegrams_are_readings(place: Dongle) -> None:
    async with tried(place) as meter:
        await meter.shows(532.0)
        await meter.shows(-2450.0)
        reading = [outcome for outcome in meter.outcomes if isinstance(outcome, Reading)][-1]
        assert (reading.import_wh, reading.export_wh) == (4000.0, 250.0)
        assert meter.errors == []


async def test_one_copy_says_nothing_and_neither_does_the_same_second(place: Dongle) -> None:
    async with tried(place) as meter:
        for power_w in (777.0, 778.0):
            await meter.send(household(power_w, 0))
        await meter.shows(5.0)
        for seconds in (meter.seconds, meter.seconds - 100):
            await meter.send(household(779.0, seconds))
        await meter.shows(6.0)
        assert set(meter.powers_w) == {5.0, 6.0}


async def test_garbage_halves_and_wrong_checksums_between_are_passed_over(place: Dongle) -> None:
    async with tried(place) as meter:
        await meter.shows(5.0)
        wrong = telegram({"0-0:1.0.0": stamp(999), **powers(777.0)}, crc="0000")
        half = household(777.0, 999)[:90]
        for noise in (b"ser2net port 1\r\n", b"!\r\n", b"/\r\n", wrong, half, b"\xff\x00!12\r\n", b"/" * 20_000):
            await meter.send(noise)
            await meter.shows(5.0)
        assert set(meter.powers_w) == {5.0}
        assert meter.errors == []


async def test_a_telegram_that_comes_byte_by_byte(place: Dongle) -> None:
    async with tried(place) as meter:
        await meter.shows(5.0)
        meter.seconds += 1
        for byte in household(7.0, meter.seconds):
            await meter.send(bytes([byte]))
        await until(lambda: meter.powers_w[-1] == 7.0)


async def test_silence_is_told_and_the_connection_is_made_anew(place: Dongle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsmr, "FIRST_S", 0.3)
    async with tried(place, interval_s=0.2) as meter:
        await meter.says("no whole telegram")
        await until(lambda: place.connections >= 3)
        await meter.shows(5.0)


async def test_only_wrong_checksums_are_told_as_such(place: Dongle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsmr, "FIRST_S", 1.0)
    async with tried(place) as meter:
        for _ in range(1000):
            await meter.send(telegram(powers(777.0), crc="0000"))
            await asyncio.sleep(0.05)
            if any("with a wrong checksum" in error for error in meter.errors):
                break
        await meter.says("with a wrong checksum")
        assert meter.powers_w == []


async def test_a_slow_meter_is_no_silent_one(place: Dongle, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    meter = Dsmr(DsmrConfig(type="dsmr", host=place.host), lambda: now_s)
    outcomes: list[Reading | DeviceError] = []
    task = asyncio.create_task(meter.run(outcomes.append))
    await until(lambda: place.clients > 0)
    taken: list[object] = []
    monkeypatch.setattr(meter, "_outcome", lambda *given: taken.append(given))
    for index, seconds in enumerate((0, 10, 20), 1):
        now_s = 100.0 + seconds
        await place.send(household(5.0, seconds))
        await until(functools.partial(lambda wanted: len(taken) == wanted, index), what=f"telegram {index}")
    assert meter._gap_s == 10.0
    assert outcomes == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_burst_does_not_make_a_slow_meter_a_silent_one_for_ever(place: Dongle) -> None:
    async with tried(place, interval_s=0.2) as meter:
        await meter.send(household(5.0, 1) + household(6.0, 2))
        await until(lambda: meter.powers_w == [6.0])
        await meter.says("no whole telegram for 1 s")
        assert meter.meter._gap_s is None, "it is given the time of the beginning again"


async def test_a_dongle_that_goes_and_comes_and_one_that_serves_another(place: Dongle) -> None:
    async with tried(place) as meter:
        await meter.shows(5.0)
        await place.close()
        await meter.says("connection refused")
        await place.listen()
        await meter.shows(6.0)
        place.turned_away = True
        place.drop()
        await meter.says("one client at a time")
        place.turned_away = False
        await meter.shows(7.0)


async def test_a_telegram_without_a_checksum(place: Dongle) -> None:
    async with tried(place) as meter:
        await meter.send(telegram(powers(5.0), crc=""))
        await meter.says("crc: false")
        assert meter.powers_w == []
    async with tried(place, crc=False) as meter:
        await until(lambda: place.connections == 2)
        await meter.send(telegram(powers(5.0), crc=""))
        await until(lambda: meter.powers_w == [5.0])
        await meter.send(telegram(powers(777.0), crc="0000"))
        await meter.send(telegram(powers(6.0), crc=""))
        await until(lambda: meter.powers_w == [5.0, 6.0], what="one that is given has to be right")


async def test_a_direction_that_is_missing_is_told_with_every_telegram(place: Dongle) -> None:
    async with tried(place) as meter:
        await meter.send(telegram({"1-0:1.7.0": "00.500*kW"}) * 2)
        await until(lambda: len(meter.errors) == 2)
        assert "1.7.0 and no 2.7.0" in meter.errors[0]
        assert meter.meter.name in meter.errors[0]


async def test_a_port_where_nobody_listens_and_a_name_that_is_none() -> None:
    for host, text in ((f"127.0.0.1:{free_port()}", "refused"), ("a..b:23", "its name is not known")):
        meter = Dsmr(DsmrConfig(type="dsmr", host=host))
        with pytest.raises(DeviceUnavailable, match=text):
            await meter._connect()


@pytest.mark.parametrize("host", ["192.168.1.20", "meter", "[::1]"])
def test_the_port_has_to_be_given(host: str) -> None:
    with pytest.raises(ValidationError, match="has no port|is not a host"):
        DsmrConfig(type="dsmr", host=host)


def test_the_phases_are_netted() -> None:
    registers = {f"1-0:{n}1.7.0": "0.100*kW" for n in (2, 4, 6)} | {f"1-0:{n}2.7.0": "0.400*kW" for n in (2, 4, 6)}
    found = parse(text_telegram(telegram({**powers(-900.0), **registers})))
    assert found.phases == (Phase(-300.0),) * 3
    one = parse(text_telegram(telegram({**powers(100.0), "1-0:21.7.0": "00.100*kW", "1-0:22.7.0": "00.000*kW"})))
    assert one.phases == (Phase(100.0),)


def test_the_total_counter_is_taken_before_the_tariffs() -> None:
    registers = {"1-0:1.8.0": "5*kWh", "1-0:1.8.1": "1*kWh", "1-0:2.8.1": "1*kWh", "1-0:2.8.2": "x*kWh"}
    found = parse(text_telegram(telegram({**powers(1.0), **registers})))
    assert (found.import_wh, found.export_wh) == (5000.0, None)


@pytest.mark.parametrize("unit", ["", "*kVA", "*kWh"])
def test_a_unit_that_is_none_of_power_is_told(unit: str) -> None:
    with pytest.raises(DeviceDataError, match="not in W or kW"):
        parse(text_telegram(telegram({"1-0:1.7.0": f"00.500{unit}", "1-0:2.7.0": "00.000*kW"})))


@given(st.lists(st.integers(1, 400), max_size=40))
def test_however_the_stream_is_cut_the_telegrams_are_the_same(cuts: list[int]) -> None:
    stream = b"noise" + household(5.0, 1) + b"/half" + household(6.0, 2) + b"\r\n\r\n" + household(7.0, 3)
    cutter, found, start = Cutter(), [], 0
    for cut in [*cuts, len(stream)]:
        found += cutter.feed(stream[start : start + cut])
        start += cut
    assert found == Cutter().feed(stream)
    assert len(found) == 3


@given(st.lists(st.binary(max_size=5000), max_size=10))
def test_no_stream_is_kept(chunks: list[bytes]) -> None:
    cutter = Cutter()
    for chunk in chunks:
        cutter.feed(chunk)
        assert len(cutter._rest) <= dsmr.MAX_TELEGRAM_BYTES


def test_a_telegram_may_not_be_longer_than_any_meter_makes() -> None:
    assert Cutter().feed(telegram({"0-0:96.13.0": "30" * 3000})) != []
    cutter = Cutter()
    long = telegram({"0-0:96.13.0": "30" * 9000})
    assert [found for start in range(0, len(long), 1000) for found in cutter.feed(long[start : start + 1000])] == []
