"""Which registers of a telegram are the grid power, in the text of D0; DSMR and SML have tests of their own."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.meters.obis import Grid, crc16, difference, grid, negative, signed_power, text_telegrams
from app.model import DeviceDataError, Phase

from .fakes.p1 import crc_arc


def d0(*lines: str, head: str = "/TST5METER_107") -> bytes:
    return "\r\n".join([head, "", *lines, "!", ""]).encode()


def read(*lines: str, wanted: tuple[str, ...] = (), signed: tuple[str, ...] = ()) -> Grid:
    (telegram,) = text_telegrams(d0(*lines))
    return grid(telegram, signed_power(telegram, {*signed, *negative(telegram)}, wanted))


def test_the_total_is_taken_where_the_phases_have_no_sign() -> None:
    found = read(
        "1-0:0.0.0*255(1TST0001)",
        "1-0:1.8.0*255(003902.58359727*kWh)",
        "1-0:1.8.0*96(00002.5*kWh)",
        "1-0:2.8.0*255(001267.59172376*kWh)",
        "1-0:16.7.0*255(-000458.90*W)",
        "1-0:36.7.0*255(000344.88*W)",
        "1-0:56.7.0*255(000114.02*W)",
        "1-0:76.7.0*255(000000.00*W)",
        "1-0:96.5.0*255(001C0104)",
        "0-0:96.8.0*255(055BD83E)",
    )
    assert found.power_w == -458.9
    assert found.phases == (), "458.90 W are not the parts of -458.90 W"
    assert found.import_wh == pytest.approx(3902583.59727)
    assert found.export_wh == pytest.approx(1267591.72376)


def test_phases_that_are_its_parts_are_shown() -> None:
    found = read("1-0:16.7.0*255(-10.0*W)", "1-0:36.7.0(60.0*W)", "1-0:56.7.0(-111.0*W)", "1-0:76.7.0(40.0*W)")
    assert found.phases == (Phase(60.0), Phase(-111.0), Phase(40.0))


def test_import_and_export_apart_and_in_kilowatts() -> None:
    found = read("1.7.0(000.250*kW)", "2.7.0(001.500*kW)", "1.8.1(1*kWh)", "1.8.2(2*kWh)")
    assert (found.power_w, found.import_wh, found.export_wh) == (-1250.0, 3000.0, None)


def test_phases_apart_are_netted_each() -> None:
    apart = [f"{n}1.7.0(0.1*kW)" for n in (2, 4, 6)] + [f"{n}2.7.0(0.4*kW)" for n in (2, 4, 6)]
    assert read("1.7.0(0.0*kW)", "2.7.0(0.9*kW)", *apart).phases == (Phase(-300.0),) * 3


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "enter the PIN"),
        (["1.8.0(1*kWh)"], "INF on"),
        (["1.7.0(5*W)"], "1.7.0 and no 2.7.0.*power_registers: .1.7.0."),
        (["2.7.0(5*W)"], "2.7.0 and no 1.7.0"),
        (["1.7.0(-5*W)", "2.7.0(5*W)"], "never negative"),
        (["15.7.0(5*W)"], "the same for import and export"),
        (["36.7.0(5*W)", "56.7.0(5*W)"], "power_registers: .36.7.0, 56.7.0."),
        (["16.7.0(5)"], "no unit"),
        (["16.7.0(5*A)"], "in A"),
        (["16.7.0(5*VA)"], "in VA"),
        (["16.7.0(five*W)"], "'five'"),
        (["16.7.0(*W)"], "no value"),
        (["16.7.0()"], "no value"),
        (["16.7.0(nan*W)"], "'nan'"),
        (["16.7.0(1e3*W)"], "'1e3'"),
        (["16.7.0(500*kW)"], "no house connection"),
        (["16.7.0(0*W)", "1.8.0(0*kWh)"], "just started"),
    ],
)
def test_what_is_no_power_says_why(lines: list[str], text: str) -> None:
    with pytest.raises(DeviceDataError, match=text):
        read(*lines)


def test_a_power_without_counters_may_be_0() -> None:
    assert read("16.7.0(0*W)").power_w == 0.0
    assert read("16.7.0(0*W)", "1.8.0(0*kWh)", "2.8.0(7*kWh)").power_w == 0.0


def test_a_register_that_was_negative_has_a_sign() -> None:
    assert read("1.7.0(-116.77*W)").power_w == -116.77
    assert read("1.7.0(116.77*W)", signed=("1.7.0",)).power_w == 116.77
    assert read("36.7.0(-5*W)", "56.7.0(7*W)", "76.7.0(1*W)").power_w == 3.0
    assert read("36.7.0(5*W)", "56.7.0(7*W)", "76.7.0(1*W)", signed=("56.7.0",)).power_w == 13.0


def test_what_the_user_names_is_summed_and_has_to_be_there() -> None:
    assert read("1.7.0(5*W)", wanted=("1.7.0",)).power_w == 5.0
    assert read("16.7.0(9*W)", "36.7.0(1*W)", "56.7.0(-3*W)", wanted=("36.7.0", "56.7.0")).power_w == -2.0
    with pytest.raises(DeviceDataError, match="no register 1.7.0"):
        read("16.7.0(5*W)", wanted=("1.7.0",))


@pytest.mark.parametrize(
    ("line", "stamp_s"),
    [
        ("0-0:96.8.0*255(0000000A)", 10.0),
        ("0-0:96.8.0*255(later)", None),
        ("0-0:1.0.0(700101010000W)", None),  # two digits: the year 2070
        ("0-0:1.0.0(261332000000W)", None),
        ("0-0:1.0.0()", None),
        ("1-0:96.8.0*255(0A)", None),
    ],
)
def test_the_clock_of_the_meter(line: str, stamp_s: float | None) -> None:
    (telegram,) = text_telegrams(d0(line))
    if "7001" in line:
        assert telegram.stamp_s is not None
    else:
        assert telegram.stamp_s == stamp_s


def test_the_clock_goes_on_when_summer_ends() -> None:
    before, after = (text_telegrams(d0(f"0-0:1.0.0(261025{text})"))[0].stamp_s for text in ("025959S", "020000W"))
    assert before is not None
    assert after == before + 1.0


def test_only_whole_telegrams_are_taken() -> None:
    whole = d0("16.7.0(5*W)")
    assert text_telegrams(b"") == []
    assert text_telegrams(whole[5:]) == []
    assert text_telegrams(whole[:-3]) == []
    found = text_telegrams(whole[20:] + d0("16.7.0(1*W)") + whole + whole[:20])
    assert [signed_power(telegram, ()) for telegram in found] == [1.0, 5.0]


def test_a_number_that_is_cut_off_is_none() -> None:
    with pytest.raises(DeviceDataError, match="PIN"):
        read("16.7.0(-000458.9")


def test_both_directions_are_needed_without_a_way_round() -> None:
    for lines in (["16.7.0(5*W)"], ["1.7.0(5*W)"], ["2.7.0(5*W)"]):
        with pytest.raises(DeviceDataError):
            difference(text_telegrams(d0(*lines))[0])


def test_the_checksum() -> None:
    assert crc16(b"123456789") == 0xBB3D


@given(st.binary(max_size=200))
def test_the_checksum_is_that_of_the_definition(data: bytes) -> None:
    assert crc16(data) == crc_arc(data)


@given(st.binary(max_size=300) | st.text("/!()*.:-0123456789kWh\r\n", max_size=300).map(str.encode))
def test_whatever_comes_is_a_power_or_a_sentence(data: bytes) -> None:
    for telegram in text_telegrams(b"/" + data + b"!"):
        with suppress(DeviceDataError):
            assert abs(signed_power(telegram, negative(telegram))) < 1e6
