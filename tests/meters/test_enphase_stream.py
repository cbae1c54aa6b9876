"""The stream of an Enphase gateway: live, held back, standing still, silent, and not for everybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.access import Access
from app.checks import running
from app.meters import enphase, enphase_stream
from app.meters.enphase import Enphase, EnphaseConfig
from app.meters.enphase_stream import Pulse, data_of, parse_event
from app.model import DeviceDataError, DeviceError, Phase, Reading
from tests.conftest import until
from tests.enphase.conftest import access as access
from tests.enphase.fake import FakeGateway, token

READINGS = "/ivp/meters/readings"


def heard(pulse: Pulse, events: Iterator[tuple[float, str]] | list[tuple[float, str]]) -> list[bool]:
    return [pulse.is_new(data, at_s) for at_s, data in events]


def test_events_that_come_each_second_are_believed_after_the_third_gap() -> None:
    assert heard(Pulse(), [(n * 1.0, str(n)) for n in range(6)]) == [False, False, False, True, True, True]


def test_a_hiccup_of_the_network_is_no_block() -> None:
    pulse = Pulse()
    heard(pulse, [(n * 1.0, str(n)) for n in range(6)])
    assert heard(pulse, [(7.9, "a"), (7.91, "b"), (7.92, "c"), (9.0, "d")]) == [True] * 4


@pytest.mark.parametrize("before", [0, 1, 10])
def test_a_stream_that_comes_in_blocks_is_old(before: int) -> None:
    pulse = Pulse()
    heard(pulse, [(n * 1.0, str(n)) for n in range(before)])
    heard(pulse, [(30.0 + 0.001 * n, f"x{n}") for n in range(3)])
    with pytest.raises(DeviceDataError, match="comes in blocks"):
        pulse.is_new("x3", 30.003)


def test_blocks_are_never_believed_at_the_start() -> None:
    pulse = Pulse()
    assert heard(pulse, [(0.0, "a"), (0.01, "b"), (0.02, "c"), (21.0, "d"), (21.01, "e"), (21.02, "f")]) == [False] * 6


def test_values_that_stand_still_are_no_readings_and_then_an_error() -> None:
    pulse = Pulse()
    heard(pulse, [(n * 1.0, str(n)) for n in range(5)])
    assert heard(pulse, [(5.0 + n, "same") for n in range(11)]) == [True] + [False] * 10
    with pytest.raises(DeviceDataError, match="repeated the same values for 11 s"):
        pulse.is_new("same", 16.0)


def test_what_a_line_carries() -> None:
    assert data_of('data: {"a": 1}') == '{"a": 1}'
    assert data_of("data:5") == "5"
    assert data_of("event: x") is data_of("") is data_of(": hello") is None


def event(*powers_w: Any) -> str:
    phases = {
        name: {"p": power_w, "v": 230.0, "i": 1.0, "pf": 0.9}
        for name, power_w in zip(("ph-a", "ph-b", "ph-c"), powers_w, strict=False)
    }
    return json.dumps({"production": {}, "net-consumption": phases})


def test_the_power_is_that_of_the_phases_that_there_are() -> None:
    reading = parse_event(event(-100.0, 30.0, 5.0), 3, 1.0, 2.0)
    assert (reading.power_w, reading.at_s, reading.utc_s) == (-65.0, 1.0, 2.0)
    assert reading.phases[0] == Phase(-100.0, 230.0, 1.0, 0.9)
    assert parse_event(event(-100.0, 30.0, 5.0), 1, 1.0, 2.0).power_w == -100.0
    assert parse_event(event(-100.0, 30.0, 5.0), 0, 1.0, 2.0) == Reading(-65.0, 1.0, 2.0, ())


@pytest.mark.parametrize(
    "data",
    ["", "x", "[]", "null", "{}", '{"net-consumption": 5}', event(1.0, 2.0), event(1.0, None, 2.0), event("1", 2, 3),
     event(1.0, float("nan"), 2.0), event(1e9, 0, 0), event(90_000.0, 90_000.0, 0.0), "[" * 50_000],
)  # fmt: skip
def test_an_event_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(DeviceDataError):
        parse_event(data, 3, 1.0, 2.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enphase_stream, "SHORT_S", 0.01)
    monkeypatch.setattr(enphase_stream, "REPEATED_S", 0.5)
    monkeypatch.setattr(enphase, "STREAM_SILENT_S", 2.0)


def streaming(fake: FakeGateway, access: Access) -> Enphase:
    section = EnphaseConfig(type="enphase", host=fake.host, token=fake.valid, source="stream", interval_s=1.0)
    return Enphase(section, access)


@pytest.mark.usefixtures("quick")
async def test_readings_come_out_of_the_stream(access: Access) -> None:
    outcomes: list[Reading | DeviceError] = []
    async with FakeGateway("8", valid=token(role="installer")).serve() as fake:
        async with running(streaming(fake, access).run(outcomes.append)):
            await until(lambda: len(outcomes) >= 3, what="readings")
        await until(lambda: fake.at_once == 0, what="the stream to be closed")
        assert READINGS not in fake.asked
    assert all(isinstance(one, Reading) and len(one.phases) == 3 for one in outcomes)
    assert isinstance(outcomes[-1], Reading)
    assert outcomes[-1].power_w == pytest.approx(fake.grid["activePower"], abs=0.1)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"stream": "silent"}, "has said nothing for 2 s"),
        ({"stream": "repeats"}, "repeated the same values"),
        ({"stream": "buffered", "stream_s": 0.02}, "comes in blocks"),
        ({"valid": token(role="owner")}, "an owner's, and this needs an installer's"),
    ],
    ids=["silent", "repeats", "buffered", "owner"],
)
async def test_a_stream_that_is_not_live_gives_way_to_the_readings(
    keys: dict[str, Any], text: str, access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[Reading | DeviceError] = []
    async with FakeGateway("8", **({"valid": token(role="installer")} | keys)).serve() as fake:
        async with running(streaming(fake, access).run(outcomes.append)):
            await until(lambda: fake.asked.count(READINGS) >= 1, what="readings instead")
            await until(lambda: any(isinstance(one, Reading) for one in outcomes), what="a reading")
        errors = [str(one) for one in outcomes if isinstance(one, DeviceError)]
        assert len(errors) == 1
        assert text in errors[0]
        assert fake.host in errors[0]
        assert caplog.text.count("the stream does not work") == 1
        assert "asking for readings for 10 min" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_after_a_while_the_stream_is_tried_again(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enphase, "INSTEAD_S", 0.2)
    outcomes: list[Reading | DeviceError] = []
    gateway = FakeGateway("8", valid=token(role="installer"), stream="buffered", stream_s=0.02)
    async with gateway.serve() as fake, running(streaming(fake, access).run(outcomes.append)):
        await until(lambda: fake.asked.count("/stream/meter") >= 2, what="another try")
        fake.stream, fake.stream_s = "live", 0.05
        await until(lambda: len([one for one in outcomes if isinstance(one, Reading)]) >= 5, what="readings")


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_has_worked_is_opened_again_at_once(
    access: Access, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(enphase, "STREAM_WORKS", 3)
    outcomes: list[Reading | DeviceError] = []
    async with FakeGateway("8", valid=token(role="installer")).serve() as fake:
        async with running(streaming(fake, access).run(outcomes.append)):
            await until(lambda: len(outcomes) >= 4)
            fake.stream = "repeats"
            await until(lambda: "opening it again" in caplog.text)
            fake.stream = "live"
            before = len(outcomes)
            await until(lambda: len(outcomes) >= before + 3)
        assert READINGS not in fake.asked
