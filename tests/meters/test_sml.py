"""SML as meters send it, with what goes wrong on the way, and what nobody should send."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.meters.obis import signed_power
from app.meters.sml import decode
from app.meters.tibber import parse
from app.model import DeviceDataError, Phase

from .fakes.sml import ESCAPE, VOLT, WATT_HOUR, Entry, crc_x25, frame, framed, household, payload, text


def power_w(data: bytes, *, dzg_fix: bool = False) -> float:
    (telegram,) = decode(data, dzg_fix=dzg_fix).telegrams
    return parse(telegram, set()).power_w


def test_a_whole_telegram() -> None:
    decoded = decode(household(-458.9, 1000, import_wh=3902583))
    assert decoded.broken == 0
    (telegram,) = decoded.telegrams
    found = parse(telegram, set())
    assert (found.power_w, found.import_wh, found.export_wh) == (-458.9, 3902583.0, 0.0)
    assert telegram.stamp_s == 1000.0


@pytest.mark.parametrize(
    ("scaler", "value", "watts"), [(0, -7, -7.0), (-1, 5, 0.5), (-3, 12345, 12.345), (2, 3, 300.0)]
)
def test_the_power_of_ten_is_applied(scaler: int, value: int, watts: float) -> None:
    assert power_w(frame(Entry("16.7.0", value, scaler=scaler))) == watts


def test_no_power_of_ten_is_0() -> None:
    assert power_w(frame(Entry("16.7.0", 7, scaler=None))) == 7.0


@pytest.mark.parametrize("scaler", [100, -100])
def test_a_power_of_ten_out_of_all_bounds_is_no_value(scaler: int) -> None:
    with pytest.raises(DeviceDataError, match="no value"):
        power_w(frame(Entry("16.7.0", 7, scaler=scaler)))


@pytest.mark.parametrize("size", range(1, 9))
def test_numbers_of_every_length(size: int) -> None:
    assert power_w(frame(Entry("16.7.0", -100, size=size))) == -100.0


def test_import_less_export_and_the_phases() -> None:
    apart = frame(Entry("1.7.0", 5), Entry("2.7.0", 700))
    assert power_w(apart) == -695.0
    phases = (Entry("36.7.0", -1393), Entry("56.7.0", -1429), Entry("76.7.0", -1476))
    (telegram,) = decode(frame(Entry("16.7.0", -4297), *phases)).telegrams
    assert parse(telegram, set()).phases == (Phase(-1393.0), Phase(-1429.0), Phase(-1476.0))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ((Entry("1.8.0", 7, WATT_HOUR),), "enter the PIN"),
        ((Entry("15.7.0", 1265, scaler=-1),), "the same for import and export"),
        ((Entry("1.7.0", 5),), "no 2.7.0"),
        ((Entry("16.7.0", 5, VOLT),), "in V"),
        ((Entry("16.7.0", 5, 200),), "in unit 200"),
        ((Entry("16.7.0", 5, None),), "no unit"),
        ((Entry("16.7.0", raw=b"\x01"),), "no value"),
        ((Entry("16.7.0", raw=text(b"n/a")),), "'6e2f61', not a number"),
        ((Entry("16.7.0", raw=b"\x42\x01"),), "no value"),
        ((Entry("16.7.0", 5, storage=96),), "enter the PIN"),
        ((Entry("16.7.0", 0), Entry("1.8.0", 0, WATT_HOUR)), "just started"),
    ],
)
def test_what_is_no_power_says_why(entries: tuple[Entry, ...], told: str) -> None:
    with pytest.raises(DeviceDataError, match=told):
        power_w(frame(*entries))


def test_a_register_without_a_value_does_not_spoil_the_others() -> None:
    assert power_w(frame(Entry("96.1.0", raw=b"\x01", unit=None), Entry("16.7.0", 5))) == 5.0


def test_escape_sequences_in_the_data() -> None:
    for data in (ESCAPE, ESCAPE * 2, ESCAPE + b"\x01\x01\x01\x01", b"\x1b" * 7, ESCAPE + b"\x1a\x00\x00\x00"):
        whole = frame(Entry("96.1.0", raw=text(data), unit=None), Entry("16.7.0", 5))
        assert power_w(whole) == 5.0, data


def test_every_length_of_filling() -> None:
    for length in range(1, 9):
        assert power_w(frame(Entry("96.1.0", raw=text(b"x" * length), unit=None), Entry("16.7.0", 5))) == 5.0


def test_a_wrong_checksum_and_every_piece_are_left_out() -> None:
    whole = household(5.0, 1000)
    assert decode(whole[:-1] + bytes([whole[-1] ^ 1])) == decode(framed(payload([], None), crc=0))
    for cut in range(1, len(whole)):
        assert decode(whole[:cut]).telegrams == ()
        assert decode(whole[cut:]).telegrams == ()
    for place in range(8, len(whole) - 8, 7):
        changed = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        assert decode(changed).telegrams == (), place


def test_two_frames_and_a_broken_one_between() -> None:
    one, two = household(1.0, 1000), household(2.0, 1002)
    broken = two[:40] + b"\x00" + two[41:]
    decoded = decode(one[50:] + one + broken + one[:70] + two + two[:30])
    assert [parse(telegram, set()).power_w for telegram in decoded.telegrams] == [1.0, 2.0]
    assert decoded.broken == 3


def test_a_checksum_of_the_other_kind_is_known() -> None:
    whole = household(5.0, 1000)[:-2]
    crc = 0
    for byte in whole:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    assert crc != crc_x25(whole)
    assert power_w(whole + crc.to_bytes(2, "big")) == 5.0


def test_a_clock_that_is_not_at_its_place_is_found_at_the_registers() -> None:
    content = payload([Entry("16.7.0", 5)], None).replace(
        Entry("16.7.0", 5).encoded(),
        Entry("16.7.0", 5).encoded().replace(b"\x01\x01\x62", b"\x01\x65\x00\x14\x8e\x03\x62", 1),
    )
    (telegram,) = decode(framed(content)).telegrams
    assert telegram.stamp_s == 0x148E03


def dzg(value: int, size: int, status: int | None) -> bytes:
    return frame(
        Entry("1.8.0", 5, WATT_HOUR, status=status), Entry("16.7.0", value, scaler=-2, size=size), seconds=1000
    )


IMPORTS, EXPORTS = 0x1C0104, 0x1C6904


@pytest.mark.parametrize(
    ("value", "size", "status", "watts"),
    [
        (0x8B28 - 0x10000, 2, IMPORTS, 356.24),
        (0x8B28 - 0x10000, 2, EXPORTS, -299.12),
        (0x8B28 - 0x10000, 2, None, -299.12),
        (-10550, 2, EXPORTS, -105.5),
        (21599, 2, IMPORTS, 215.99),
        (-1, 1, IMPORTS, 2.55),
        (-32769, 3, IMPORTS, (0x1000000 - 32769) / 100),
        (-78851, 3, EXPORTS, -788.51),
    ],
)
def test_a_meter_that_loses_a_zero_byte(value: int, size: int, status: int | None, watts: float) -> None:
    data = dzg(value, size, status)
    (telegram,) = decode(data, dzg_fix=True).telegrams
    register = telegram.registers["16.7.0"].value
    assert register == pytest.approx(watts)
    if abs(watts) < 100_000.0:
        assert signed_power(telegram, ()) == pytest.approx(watts)
    assert power_w(data) == value / 100.0, "nothing is changed without being told"


@pytest.mark.parametrize(("status", "watts"), [(IMPORTS, None), (EXPORTS, -299.12)])
def test_an_export_of_such_a_meter_counts_only_where_its_status_says_so(status: int, watts: float | None) -> None:
    maker = Entry("96.50.1", unit=None, scaler=None, storage=1, raw=text(b"DZG"))
    power = Entry("16.7.0", 0x8B28 - 0x10000, scaler=-2, size=2)
    data = frame(maker, Entry("1.8.0", 5, WATT_HOUR, status=status), power)
    if watts is not None:
        assert power_w(data) == watts
        return
    with pytest.raises(DeviceDataError, match="say dzg_fix: true"):
        power_w(data)
    assert power_w(data, dzg_fix=True) == 356.24


HOSTILE = {
    "a list of all the memory": b"\xf1\x8f\x8f\x8f\x8f\x8f\x8f\x0f",
    "a list of 4095": b"\xff\x8f\x0f",
    "lists in lists": b"\xff\x0f" * 30_000,
    "a text without a length": b"\x76" + b"\x80\x00" * 100,
    "lists of nothing, a thousand times": b"\xff\x0f" * 900 + b"\x80\x00" * 10_000,
    "a number of 60000 bytes": b"\x76\xd3\xae\xa6\x00" + b"\x7f" * 60_000,
    "nothing": b"",
    "the end at once": b"\x00" * 100,
    "a search without end": b"\x77\x07\x01" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_frame_with_a_right_checksum_is_given_up_soon(name: str) -> None:
    started_s = time.process_time()
    decoded = decode(framed(HOSTILE[name]))
    assert decoded.telegrams == ()
    assert decoded.broken == 1
    assert time.process_time() - started_s < 10.0


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_left_out(data: bytes) -> None:
    decode(data)
    decode(framed(data))
    decode(framed(b"\x77\x07\x01" + data))
