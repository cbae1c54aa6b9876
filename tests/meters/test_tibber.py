"""The bridge of a Tibber Pulse: whatever it calls its document, and however often it repeats it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from pydantic import ValidationError

from app.meters import tibber
from app.meters.tibber import TibberBridge, TibberConfig, last_telegram
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import new_session

from .fakes.pulse import CODE, Pulse, pulse
from .fakes.sml import WATT_HOUR, Entry, frame, household
from .hostile import NEVER_DONE, NONSENSE, TOO_MUCH, hostile

D0 = "/TST5METER\r\n\r\n1-0:1.8.0*255(1.5*kWh)\r\n1-0:2.8.0*255(2.5*kWh)\r\n1-0:16.7.0*255(%s)\r\n%s!\r\n"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Place:
    """A bridge, its driver, and the time between two requests."""

    def __init__(self, bridge: Pulse, session: aiohttp.ClientSession) -> None:
        self.bridge, self._session = bridge, session
        self.clock = Clock()
        self.use()

    def use(self, **keys: object) -> None:
        section = {"type": "tibber", "host": self.bridge.host, "password": CODE, "timeout_s": 10, **keys}
        self.meter = TibberBridge(TibberConfig.model_validate(section), self._session, self.clock)

    async def read(self, body: bytes | str, after_s: float = 2.0) -> Reading | None:
        self.bridge.body = body if isinstance(body, bytes) else body.encode()
        self.clock.now_s += after_s
        return await self.meter.read()

    async def power_w(self, body: bytes | str, after_s: float = 2.0) -> float | None:
        reading = await self.read(body, after_s)
        return None if reading is None else reading.power_w


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with pulse() as bridge, new_session() as session:
        yield Place(bridge, session)


async def test_sml_whose_clock_advances(place: Place) -> None:
    assert await place.read(household(321.5, 5000)) is None, "one copy says nothing of its age"
    reading = await place.read(household(-20.25, 5002))
    assert reading is not None
    assert (reading.power_w, reading.import_wh, reading.export_wh) == (-20.25, 5000.0, 0.0)
    assert reading.at_s == place.clock.now_s
    assert await place.power_w(household(-20.25, 5002)) is None, "the same telegram"
    assert await place.power_w(household(777.0, 5002)) is None, "another power of the same second"
    assert await place.power_w(household(777.0, 4000)) is None, "older"
    late = await place.read(household(9.0, 5004), 2.0)
    assert late is not None
    assert late.at_s == place.clock.now_s - 6.0, "it was made six seconds ago"
    assert place.bridge.asked[-1] == "/data.json?node_id=1"


async def test_a_clock_that_stands_still_is_told(place: Place) -> None:
    await place.read(household(5.0, 5000))
    await place.read(household(5.0, 5001))
    with pytest.raises(DeviceDataError, match="has not advanced for 30 s"):
        await place.read(household(7.0, 5001), 30.0)


async def test_text_with_the_seconds_of_operation(place: Place) -> None:
    assert await place.power_w(D0 % ("000005.00*W", "0-0:96.8.0*255(00A0)\r\n")) is None
    assert await place.power_w(D0 % ("-00007.25*W", "0-0:96.8.0*255(00A2)\r\n")) == -7.25
    assert await place.power_w(D0 % ("-00007.25*W", "0-0:96.8.0*255(00A2)\r\n")) is None


async def test_text_without_any_time_counts_when_it_changes(place: Place) -> None:
    assert await place.power_w(D0 % ("0.005*kW", "")) == 5.0
    assert await place.power_w(D0 % ("0.005*kW", "")) is None
    assert await place.power_w(D0 % ("0.006*kW", "")) == 6.0
    with pytest.raises(DeviceDataError, match="the same telegram for 20 s"):
        await place.power_w(D0 % ("0.006*kW", ""), 20.0)
    assert await place.power_w(D0 % ("0.007*kW", "")) == 7.0


async def test_pieces_are_passed_over_for_a_moment_and_then_told(place: Place) -> None:
    whole = household(5.0, 5002)
    await place.read(household(5.0, 5000))
    assert await place.power_w(whole) == 5.0
    for piece in (whole[:50], whole[50:], b"", whole[:-2] + b"\x00\x00"):
        assert await place.power_w(piece) is None
    with pytest.raises(DeviceDataError, match="no whole telegram for 10 s.*wrong checksums"):
        await place.power_w(whole[:50])
    assert await place.power_w(household(6.0, 5014)) == 6.0
    assert await place.power_w(whole[:50]) is None, "and again from the beginning"


async def test_pieces_from_the_start_are_told_as_well(place: Place) -> None:
    assert await place.power_w(b"/TST") is None
    with pytest.raises(DeviceDataError, match="no whole telegram"):
        await place.power_w(b"/TST", 12.0)


async def test_half_a_frame_in_each_of_two_answers_is_no_telegram(place: Place) -> None:
    whole = household(777.0, 5002)
    await place.read(household(5.0, 5000))
    for cut in (9, 60, len(whole) - 3):
        assert await place.power_w(whole[:cut], 0.1) is None
        assert await place.power_w(whole[cut:], 0.1) is None


async def test_the_last_of_two_frames_counts(place: Place) -> None:
    await place.read(household(1.0, 5000))
    both = household(2.0, 5001) + household(3.0, 5002)
    assert await place.power_w(both + both[:30]) == 3.0


async def test_what_the_meter_does_not_show_is_told_at_once(place: Place) -> None:
    told: list[tuple[bytes | str, str]] = [
        (frame(Entry("1.8.0", 5, WATT_HOUR)), "enter the PIN"),
        (frame(Entry("15.7.0", 5)), "same for import and export"),
        ("/TST5\r\n\r\n1-0:1.8.0*255(000.5*kWh)\r\n!\r\n", "INF on"),
        ("<!doctype html><title>Log in</title>", "web page"),
        ('{"error": "no such node"}', "JSON"),
    ]
    for body, text in told:
        with pytest.raises(DeviceDataError, match=f"http://{place.bridge.host}/data.json: .*{text}"):
            await place.read(body)


async def test_phases_have_a_sign_once_one_was_negative(place: Place) -> None:
    def phases(one: int, seconds: int) -> bytes:
        return frame(Entry("36.7.0", one), Entry("56.7.0", 50), Entry("76.7.0", 10), seconds=seconds)

    with pytest.raises(DeviceDataError, match="may have no sign"):
        await place.read(phases(5, 5000))
    await place.read(phases(-70, 5002))
    assert await place.power_w(phases(-80, 5004)) == -20.0
    assert await place.power_w(phases(5, 5006)) == 65.0


async def test_registers_that_the_user_names(place: Place) -> None:
    place.use(power_registers=("1.7.0",))
    await place.read(frame(Entry("1.7.0", 5), seconds=5000))
    assert await place.power_w(frame(Entry("1.7.0", 5), seconds=5001)) == 5.0
    with pytest.raises(ValidationError, match=r"15\.7\.0 is the same"):
        place.use(power_registers=("15.7.0",))


async def test_the_fix_for_a_lost_byte_is_asked_for(place: Place) -> None:
    def lost(seconds: int) -> bytes:
        counter = Entry("1.8.0", 5, WATT_HOUR, status=0x1C0104)
        return frame(counter, Entry("16.7.0", 0x8B28 - 0x10000, scaler=-2, size=2), seconds=seconds)

    await place.read(lost(5000))
    assert await place.power_w(lost(5001)) == -299.12
    place.use(dzg_fix=True)
    await place.read(lost(5000))
    assert await place.power_w(lost(5001)) == 356.24


async def test_a_wrong_code_and_another_node(place: Place) -> None:
    place.use(password="WRONG-CODE")
    with pytest.raises(DeviceAuthError, match="check the code of the bridge; it asks for a Basic login") as caught:
        await place.read(b"")
    assert "WRONG" not in str(caught.value)
    place.use(node_id=7)
    await place.read(b"")
    assert place.bridge.asked[-1] == "/data.json?node_id=7"


BAD = NEVER_DONE | TOO_MUCH | NONSENSE


@pytest.mark.parametrize("name", BAD)
async def test_a_bridge_that_is_broken_or_somebody_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tibber, "PATIENCE_S", 0.0)
    async with hostile(BAD[name]) as server, new_session() as session:
        config = TibberConfig(type="tibber", host=server.host, password=CODE, timeout_s=0.5)
        with pytest.raises(DeviceError) as caught:
            await TibberBridge(config, session).read()
        assert server.asked
    assert CODE not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_it_is_not_asked_too_often() -> None:
    with pytest.raises(ValidationError, match="every 2 s"):
        TibberConfig(type="tibber", host="h", password="x", interval_s=1.0)


def test_without_smllib_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "app.meters.sml", None)
    monkeypatch.delattr("app.meters.sml", raising=False)
    with pytest.raises(DeviceUnavailable, match="pip install smllib"):
        last_telegram(household(5.0, 1))
