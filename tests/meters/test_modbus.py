"""Meters that speak Modbus: pymodbus on both sides, and what devices and gateways do."""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymodbus import FramerType
from pymodbus.constants import ExcCodes

from app.meters.modbus import ModbusConfig, ModbusMeter, parse
from app.meters.registers import Register, Span, models, spans, value
from app.modbus import ModbusClient
from app.model import DeviceDataError, DeviceUnavailable, Phase
from tests.conftest import free_port

from .fakes.modbus import Bus, Plain, bus, float32, words

TIMEOUT_S = 10.0  # of requests that are answered
SOON_S = 0.3  # of those that are not


def section(**keys: Any) -> ModbusConfig:
    return ModbusConfig.model_validate({"type": "modbus", "host": "127.0.0.1:9", "timeout_s": TIMEOUT_S, **keys})


def at(address: int, kind: str = "float32", **keys: Any) -> dict[str, Any]:
    return {"address": address, "function": 4, "type": kind, **keys}


@pytest.fixture
async def place() -> AsyncIterator[Bus]:
    async with bus() as found:
        yield found


@pytest.fixture
async def meters() -> AsyncIterator[list[ModbusMeter]]:
    made: list[ModbusMeter] = []
    yield made
    for meter in made:
        meter._client.close()


async def test_a_three_phase_meter_by_its_model(place: Bus, meters: list[ModbusMeter]) -> None:
    device = place.device
    device.put(0x0034, float32(-123.5))
    device.put(0x000C, float32(100.0) + float32(-200.5) + float32(-23.0))
    device.put(0x0048, float32(12.5) + float32(3.25))
    meter = ModbusMeter(section(host=place.host, model="sdm630"))
    meters.append(meter)
    reading = await meter.read()
    assert reading.power_w == -123.5
    assert reading.phases == (Phase(100.0), Phase(-200.5), Phase(-23.0))
    assert (reading.import_wh, reading.export_wh) == (12500.0, 3250.0)
    assert device.asked == [(4, 0x000C, 6), (4, 0x0034, 2), (4, 0x0048, 2), (4, 0x004A, 2)]
    again = await meter.read()
    assert device.asked[4:] == [(4, 0x000C, 6), (4, 0x0034, 2)], "the counters can wait"
    assert again.import_wh == 12500.0
    assert again.at_s > reading.at_s


MODELS: dict[str, tuple[float, dict[int, list[int]]]] = {
    "sdm630": (-5.5, {0x34: float32(-5.5), 0x0C: float32(1.0) * 3}),
    "sdm72": (-5.5, {0x34: float32(-5.5)}),
    "sdm72v2": (-5.5, {0x34: float32(-5.5), 0x0C: float32(1.0) * 3}),
    "sdm230": (-5.5, {0x0C: float32(-5.5)}),
    "sdm120": (-5.5, {0x0C: float32(-5.5)}),
    "ddsu666": (-5.5, {0x2004: float32(-0.0055)}),
    "dtsu666": (-5.5, {0x2012: float32(-55.0), 0x2014: float32(10.0) * 3}),
    "em24": (-5.5, {0x28: words(-55)[::-1], 0x12: words(10)[::-1] * 3}),
    "em340": (-5.5, {0x28: words(-55)[::-1], 0x12: words(10)[::-1] * 3}),
    "abb": (-5.5, {0x5B14: words(-550), 0x5B16: words(100) * 3}),
}


@pytest.mark.parametrize("model", models())
async def test_every_model(model: str, place: Bus, meters: list[ModbusMeter]) -> None:
    power_w, registers = MODELS[model]
    for address, content in registers.items():
        place.device.put(address, content)
    meter = ModbusMeter(section(host=place.host, model=model))
    meters.append(meter)
    reading = await meter.read()
    assert reading.power_w == pytest.approx(power_w)
    assert reading.phases == ((Phase(1.0),) * 3 if len(registers) > 1 else ())
    assert (reading.import_wh, reading.export_wh) == (None, None), "counters that it does not have cost nothing"


async def test_rtu_frames_over_tcp(meters: list[ModbusMeter]) -> None:
    async with bus(FramerType.RTU) as place:
        place.device.put(0x0C, float32(321.5))
        meter = ModbusMeter(section(host=place.host, model="sdm120", framing="rtu"))
        meters.append(meter)
        assert (await meter.read()).power_w == 321.5
        with pytest.raises(DeviceUnavailable):
            await ModbusMeter(section(host=place.host, model="sdm120", timeout_s=SOON_S)).read()


@pytest.mark.parametrize(
    ("refusal", "kind", "text"),
    [
        (ExcCodes.ILLEGAL_FUNCTION, DeviceDataError, "function 4 .*try the other one"),
        (ExcCodes.ILLEGAL_ADDRESS, DeviceDataError, "no register 12 .*check model, address and function"),
        (ExcCodes.ILLEGAL_VALUE, DeviceDataError, "2 registers from 12"),
        (ExcCodes.DEVICE_FAILURE, DeviceDataError, "fault of its own"),
        (ExcCodes.DEVICE_BUSY, DeviceUnavailable, "busy"),
        (ExcCodes.MEMORY_PARITY_ERROR, DeviceDataError, "parity"),
        (ExcCodes.NEGATIVE_ACKNOWLEDGE, DeviceDataError, "Modbus exception 7"),
        (ExcCodes.GATEWAY_PATH_UNAVIABLE, DeviceUnavailable, "no way to unit 1"),
        (ExcCodes.GATEWAY_NO_RESPONSE, DeviceUnavailable, "no answer of unit 1 .*check unit, wires"),
    ],
)
async def test_a_refusal_is_named(
    refusal: ExcCodes, kind: type[Exception], text: str, place: Bus, meters: list[ModbusMeter]
) -> None:
    place.device.put(0x0C, float32(5.0))
    meter = ModbusMeter(section(host=place.host, model="sdm120"))
    meters.append(meter)
    place.device.refusal = refusal
    with pytest.raises(kind, match=f"modbus sdm120 at {place.host} .*{text}"):
        await meter.read()
    place.device.refusal = None
    assert (await meter.read()).power_w == 5.0


async def test_a_wrong_unit() -> None:
    device = Plain({12: 0, 13: 0})
    await device.listen()
    meter = ModbusMeter(section(host=f"127.0.0.1:{device.port}", model="sdm120", unit=7, timeout_s=SOON_S))
    with pytest.raises(DeviceUnavailable, match=r"does not answer within 0.3 s: check unit \(7\) and framing \(tcp\)"):
        await meter.read()
    await device.close()


async def test_an_answer_that_is_late_is_never_that_of_another_request(place: Bus) -> None:
    client = ModbusClient(place.host, SOON_S)
    place.device.put(10, [777, 5])
    place.device.delay_s = 3.0 * SOON_S
    with pytest.raises(DeviceUnavailable, match="does not answer within 0.3 s"):
        await client.read(4, 10, 1)
    place.device.delay_s = 0.0
    patient = ModbusClient(place.host, TIMEOUT_S)
    for _ in range(5):
        assert await patient.read(4, 11, 1) == [5]
        await asyncio.sleep(0.1)
    client.close()
    patient.close()


async def test_who_gives_up_leaves_no_answer_to_the_next_one() -> None:
    device = Plain({10: 777, 11: 5})
    await device.listen()
    client = ModbusClient(f"127.0.0.1:{device.port}", TIMEOUT_S)
    device.behaviour = silence
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.read(4, 10, 1)
    device.behaviour = None
    assert await client.read(4, 11, 1) == [5]
    client.close()
    await device.close()


async def test_one_request_at_a_time(place: Bus) -> None:
    client = ModbusClient(place.host, TIMEOUT_S)
    place.device.put(0, list(range(10)))
    place.device.delay_s = 0.01
    found = await asyncio.gather(*(client.read(3, address, 1) for address in range(10)))
    assert found == [[address] for address in range(10)]
    assert place.device.most_at_once == 1
    client.close()


async def test_a_device_that_restarts(place: Bus, meters: list[ModbusMeter]) -> None:
    place.device.put(0x0C, float32(5.0))
    meter = ModbusMeter(section(host=place.host, model="sdm120"))
    meters.append(meter)
    await meter.read()
    await place.stop()
    with pytest.raises(DeviceUnavailable):
        await meter.read()
    with pytest.raises(DeviceUnavailable, match="cannot be reached"):
        await meter.read()
    await place.start()
    assert (await meter.read()).power_w == 5.0


async def broken_off(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer[:-2])
    await writer.drain()
    writer.transport.abort()


async def short(writer: asyncio.StreamWriter, answer: bytes) -> None:
    body = answer[6:8] + bytes([2]) + answer[9:11]
    writer.write(answer[:4] + struct.pack(">H", len(body)) + body)


async def other_unit(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer[:6] + bytes([9]) + answer[7:])


async def other_transaction(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(bytes([answer[0] ^ 1]) + answer[1:])


async def other_function(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer[:7] + bytes([3]) + answer[8:])


async def web_page(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def flood(writer: asyncio.StreamWriter, answer: bytes) -> None:
    while True:
        writer.write(bytes(range(256)) * 64)
        await writer.drain()


async def silence(writer: asyncio.StreamWriter, answer: bytes) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize(
    "behaviour", [broken_off, short, other_unit, other_transaction, other_function, web_page, flood, silence]
)
@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_an_answer_that_is_none_is_an_error_and_the_next_one_is_right(
    behaviour: Any, framing: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Plain({10: 777, 11: 778})
    await device.listen()
    device.behaviour = behaviour
    client = ModbusClient(f"127.0.0.1:{device.port}", SOON_S, framing="rtu" if framing == "rtu" else "tcp")
    with pytest.raises(DeviceUnavailable) as caught:
        await client.read(4, 10, 2)
    assert 20 < len(str(caught.value)) < 200
    device.behaviour = None
    client.close()
    if framing == "tcp":
        patient = ModbusClient(f"127.0.0.1:{device.port}", TIMEOUT_S)
        assert await patient.read(4, 10, 2) == [777, 778]
        patient.close()
    await device.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], "it comes as an error"


async def test_nobody_listens_and_a_name_that_is_none() -> None:
    for host in (f"127.0.0.1:{free_port()}", "a..b"):
        with pytest.raises(DeviceUnavailable, match="cannot be reached: check the address and the port"):
            await ModbusClient(host, SOON_S).read(3, 0, 1)


async def test_without_pymodbus_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus", None)
    with pytest.raises(DeviceUnavailable, match="pip install pymodbus"):
        await ModbusClient("127.0.0.1", SOON_S).read(3, 0, 1)


async def test_zeros_all_over_are_no_reading(place: Bus, meters: list[ModbusMeter]) -> None:
    place.device.put(0x0C, float32(5.0))
    place.device.put(0x48, float32(1.0) + float32(0.0))
    meter = ModbusMeter(section(host=place.host, model="sdm120"))
    meters.append(meter)
    await meter.read()
    place.device.put(0x0C, float32(0.0))
    assert (await meter.read()).power_w == 0.0, "a quiet house"
    place.device.put(0x48, float32(0.0) * 2)
    with pytest.raises(DeviceDataError, match="no energy at all"):
        await meter.read()


async def test_it_runs_and_reports(place: Bus) -> None:
    place.device.put(0x0C, float32(5.0))
    meter = ModbusMeter(section(host=place.host, model="sdm120", interval_s=0.2))
    outcomes: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(meter.run(outcomes.put_nowait))
    assert (await outcomes.get()).power_w == 5.0
    place.device.put(0x0C, float32(float("nan")))
    while not isinstance(outcome := await outcomes.get(), DeviceDataError):
        pass
    assert "0x7FC00000" in str(outcome)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert meter._client._client is None


def held(raw: bytes, address: int = 10) -> dict[tuple[int, int], int]:
    """The words of some bytes."""
    found = struct.unpack(f">{len(raw) // 2}H", raw)
    return {(4, address + offset): word for offset, word in enumerate(found)}


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("int16", "8000"), ("int16", "7FFF"), ("uint16", "FFFF"), ("uint16", "8000"),
        ("int32", "80000000"), ("int32", "7FFFFFFF"), ("uint32", "FFFFFFFF"), ("uint32", "80000000"),
        ("int64", "8000000000000000"), ("uint64", "FFFFFFFFFFFFFFFF"),
        ("float32", "7FC00000"), ("float32", "FFFFFFFF"), ("float32", "7F800000"), ("float32", "FF800000"),
    ],
)  # fmt: skip
def test_what_says_that_there_is_no_value_is_an_error(kind: str, raw: str) -> None:
    with pytest.raises(DeviceDataError, match=f"register 10 holds 0x{raw}, which says"):
        value(held(bytes.fromhex(raw)), Register.model_validate(at(10, kind)))


@given(st.sampled_from([("int16", "h"), ("uint16", "H"), ("int32", "i"), ("uint32", "I"), ("int64", "q")]), st.data())
def test_every_other_number_is_itself_in_both_orders(kind: tuple[str, str], data: st.DataObject) -> None:
    name, code = kind
    bits = 8 * struct.calcsize(code)
    low, high = (0, (1 << bits) - 2) if name.startswith("u") else (1 - (1 << bits - 1), (1 << bits - 1) - 2)
    number = data.draw(st.integers(low, high).filter(lambda one: one != 1 << bits - 1))
    raw = struct.pack(f">{code}", number)
    turned = b"".join(raw[place : place + 2] for place in range(len(raw) - 2, -1, -2))
    assert value(held(raw), Register.model_validate(at(10, name))) == float(number)
    assert value(held(turned), Register.model_validate(at(10, name, word_order="little"))) == float(number)
    assert value(held(raw), Register.model_validate(at(10, name, scale=-0.1))) == pytest.approx(-0.1 * number)


def test_the_requests_are_few_and_read_no_holes() -> None:
    registers = [Register.model_validate(at(*one)) for one in ((12, "float32"), (14, "float32"), (20, "int16"))]
    other = Register.model_validate({**at(16, "int16"), "function": 3})
    assert spans([registers[2], registers[1], other, registers[0], registers[0]]) == (
        Span(3, 16, 1),
        Span(4, 12, 4),
        Span(4, 20, 1),
    )
    assert [span.count for span in spans(Register.model_validate(at(one, "int16")) for one in range(250))] == [
        100,
        100,
        50,
    ]


def test_the_power_as_it_may_be_given() -> None:
    registers = held(struct.pack(">hhhh", 100, -30, 5, 0))
    one, two, three, four = (at(address, "int16") for address in range(10, 14))
    assert parse(registers, section(power=one))[0] == 100.0
    assert parse(registers, section(power=[one, two, three]))[0] == 75.0
    assert parse(registers, section(import_power=three, export_power=one))[0] == -95.0
    assert parse(registers, section(import_power=three, export_power=one, phases=[two]))[1] == (Phase(-30.0),)
    assert parse(registers, section(phases=[one, two]))[0] == 70.0
    with pytest.raises(DeviceDataError, match="register 11 is -30 W.*never negative"):
        parse(registers, section(import_power=four, export_power=two))
    with pytest.raises(DeviceDataError, match="no house connection"):
        parse(registers, section(power={**one, "scale": 1e6}))


def test_a_phase_that_is_not_there_is_unknown_but_where_it_is_the_power() -> None:
    registers = held(struct.pack(">fff", 5.0, 7.0, float("nan")))
    phases = [at(10), at(12), at(14)]
    assert parse(registers, section(power=at(10), phases=phases)) == (5.0, (Phase(5.0), Phase(7.0), Phase(None)))
    with pytest.raises(DeviceDataError, match="register 14 holds"):
        parse(registers, section(phases=phases))


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "give model, or power"),
        ({"import_power": at(1)}, "import_power and export_power together"),
        ({"power": at(1), "import_power": at(2), "export_power": at(3)}, "give model"),
        ({"power": []}, "give model"),
        ({"model": "sdm999"}, "'sdm999' is not known: use one of abb, "),
        ({"power": {"address": 1, "type": "int16"}}, "function"),
        ({"power": at(1, "int12")}, "type"),
        ({"power": at(70000)}, "address"),
        ({"power": at(1, scale=0)}, "scale of 0"),
        ({"power": at(1, words="big")}, "words"),
        ({"model": "sdm120", "unit": 300}, "unit"),
        ({"model": "sdm120", "framing": "ascii"}, "framing"),
    ],
)
def test_a_section_that_cannot_be_meant(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        section(**keys)


def test_what_the_section_says_wins_over_its_model() -> None:
    config = section(model="sdm630", power=at(99), import_energy=at(7))
    assert [one.address for one in config.powers] == [99]
    assert config.phases is None
    assert config.import_energy is not None
    assert config.import_energy.address == 7
    assert config.export_energy is not None


def test_nothing_of_pymodbus_is_logged() -> None:
    assert logging.getLogger("pymodbus.logging").level in (logging.NOTSET, logging.CRITICAL)
