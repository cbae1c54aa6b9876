"""A battery by AlphaESS's cloud: a real server that checks signatures, and all that it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from app.access import Access
from app.alphaess import cloud as client
from app.alphaess import refusals
from app.alphaess.data import ENOUGH, Signs
from app.meters.alphaess import AlphaEssMeterConfig
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.redact import secrets_of
from tests.batteries.conftest import Heard, Listen, section
from tests.conftest import until
from tests.meters.fakes.alphaess import SECRET, SERIAL, FakeCloud, FakeSystem


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.alphaess.config.SHORTEST_S", 0.05)
    monkeypatch.setattr(refusals, "LASTING_PAUSE_S", 0.3)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE_S", 0.3)
    monkeypatch.setattr(refusals, "LONGEST_BUSY_S", 0.3)


@asynccontextmanager
async def at(cloud: FakeCloud, listen: Listen, **keys: Any) -> AsyncIterator[Heard]:
    keys = {"type": "alphaess", "interval_s": 0.1, "timeout_s": 1, **cloud.login, **keys}
    async with listen(**keys) as heard:
        yield heard


async def test_charge_and_power_of_the_only_system_of_an_account(listen: Listen) -> None:
    async with FakeCloud().serve() as cloud, at(cloud, listen, capacity_wh=10_000) as heard:
        state = await heard.state(61.0, -1264.0)
        assert (state.name, state.capacity_wh, state.fault) == (f"AlphaESS {SERIAL}", 10_000.0, None)
        cloud.system.battery_w, cloud.system.soc = -2500.0, 62.4
        await heard.state(62.4, 2500.0)
        assert cloud.count("getEssList") == 1, "which one it is, does not change"


async def test_several_systems_are_listed_until_one_is_said(listen: Listen) -> None:
    cloud = FakeCloud(AL1=FakeSystem(soc=10.0), AL2=FakeSystem(soc=20.0))
    async with cloud.serve():
        async with at(cloud, listen) as heard:
            error = await heard.error("knows 2 systems (AL1, AL2): say which one in serial, or in index")
            assert isinstance(error, DeviceDataError)
        async with at(cloud, listen, index=2) as heard:
            await heard.state(20.0, -1264.0)
        async with at(cloud, listen, index=3) as heard:
            await heard.error("knows 2 systems (AL1, AL2), and index is 3")
        listed = cloud.count("getEssList")
        async with at(cloud, listen, serial="AL1") as heard:
            await heard.state(10.0, -1264.0)
        assert cloud.count("getEssList") == listed


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (6001, DeviceDataError, "check serial"),
        (6002, DeviceDataError, "is not bound to this app_id"),
        (6005, DeviceDataError, "add it at open.alphaess.com"),
        (6007, DeviceAuthError, "check app_id and app_secret"),
        (6009, DeviceAuthError, "allowed addresses"),
        (6010, DeviceAuthError, "check base_url"),
        (6017, DeviceAuthError, "does not let this app_id see"),
        (6026, DeviceUnavailable, "a fault of its own"),
        (6042, DeviceUnavailable, "is offline: check its network"),
        (6053, DeviceUnavailable, "asked too often"),
        (10001, DeviceDataError, "does not understand"),
        (4711, DeviceUnavailable, "操作失败"),
    ],
)
async def test_each_code_is_a_sentence_with_what_to_do(
    listen: Listen, code: int, kind: type[DeviceError], says: str
) -> None:
    async with FakeCloud().serve() as cloud, at(cloud, listen, serial=SERIAL) as heard:
        await heard.state(61.0, -1264.0)
        cloud.code = code
        error = await heard.error(f"(code {code})")
        assert says in str(error)
        assert isinstance(error, kind)
        cloud.code = None
        await heard.state(61.0, -1264.0)


async def test_a_wrong_secret_and_a_wrong_clock_are_told_apart(listen: Listen) -> None:
    async with FakeCloud().serve() as cloud:
        async with at(cloud, listen, app_secret="not-the-one") as heard:
            error = await heard.error("refuses the signature")
            assert "not-the-one" not in str(heard.errors)
            assert isinstance(error, DeviceAuthError)
        cloud.skew_s = 1200.0
        async with at(cloud, listen) as heard:
            await heard.error("this computer's clock is 20 min behind: have it set by NTP")
            cloud.skew_s = 0.0
            await heard.state(61.0, -1264.0)


def test_whoever_is_refused_asks_less_often_and_for_what_lasts_hardly_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the pauses of real life

    def pauses_s(code: int | None) -> list[float]:
        error = DeviceUnavailable("no answer") if code is None else refusals.refusal({"code": code}, "AL1", None)
        pauses = [15.0]
        for _ in range(6):
            pauses.append(refusals.pause_s(error, 15.0, pauses[-1]))
        return pauses[1:]

    assert pauses_s(6053) == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    for code in (None, 6006, 6026, 6042):
        assert pauses_s(code) == [30.0, 60.0, 120.0, 120.0, 120.0, 120.0]
    for code in (6001, 6002, 6005, 6007, 6009, 6010, 6011, 6012, 6017, 6038, 10001):
        assert set(pauses_s(code)) == {900.0}
    assert refusals.pause_s(DeviceAuthError("401"), 15.0, 15.0) == 900.0
    assert refusals.pause_s(DeviceUnavailable(""), 300.0, 300.0) == 300.0


async def test_who_asks_too_often_slows_down_until_the_cloud_is_content(listen: Listen) -> None:
    async with FakeCloud().serve() as cloud, at(cloud, listen, serial=SERIAL, interval_s=0.05) as heard:
        await heard.state(61.0, -1264.0)
        cloud.least_s = 0.2
        await heard.error("(code 6053)")
        before = len(heard.states)
        await until(lambda: len(heard.states) > before)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("405", "does not know getLastPowerData at"),
        ("page", "AlphaESS does not answer with JSON"),
        ("null", f"AlphaESS {SERIAL}: the cloud has no values of this system now: look whether it is online"),
        ("500", "AlphaESS answers HTTP 500"),
        ("401", "check app_id and app_secret"),
        ("hang", "AlphaESS does not answer within 0.5 s"),
        ("away", "cannot reach AlphaESS"),
        ("no soc", "soc is 'None', not a state of charge"),
        ("soc", "soc is 300 %, which is no state of charge"),
        ("pbat", "W, which no house connection carries"),
    ],
)
async def test_whatever_breaks_is_a_fault_and_passes(listen: Listen, trouble: str, says: str) -> None:
    async with FakeCloud().serve() as cloud, at(cloud, listen, serial=SERIAL, timeout_s=0.5) as heard:
        await heard.state(61.0, -1264.0)
        match trouble:
            case "405":
                cloud.post_only = True
            case "null":
                cloud.nothing = True
            case "500" | "401":
                cloud.refusal = int(trouble)
            case "away":
                await cloud.stop()
            case "no soc":
                cloud.system.changes = {"soc": ...}
            case "soc":
                cloud.system.changes = {"soc": 300}
            case "pbat":
                cloud.system.changes = {"pbat": 1e8}
            case _:
                cloud.habit = trouble
        await heard.error(says)
        cloud.post_only = cloud.nothing = False
        cloud.refusal, cloud.habit = None, ""
        cloud.system.changes = {}
        await cloud.start()
        cloud.system.soc = 63.0
        await heard.state(63.0, -1264.0)


async def test_values_that_stand_still_for_long_are_old_ones(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FROZEN_S", 0.5)
    monkeypatch.setattr(client, "FROZEN", 1.0)
    async with FakeCloud().serve() as cloud, at(cloud, listen, serial=SERIAL) as heard:
        await heard.error("has shown the same values for")
        cloud.system.grid_w += 1.0
        before = len(heard.states)
        await until(lambda: len(heard.states) > before)


@pytest.mark.parametrize("unseen_w", [0.0, 2600.0])
async def test_a_system_that_counts_the_other_way_round_is_found_out_once_and_for_good(
    listen: Listen, caplog: pytest.LogCaptureFixture, unseen_w: float
) -> None:
    caplog.set_level(logging.INFO, "app")
    house = FakeSystem(battery_w=-1500.0, grid_w=-600.0, pv_w=400.0 if unseen_w else 3000.0, unseen_w=unseen_w)
    cloud = FakeCloud(AL1=house)
    cloud.signs = (-1, -1)
    keys = {"serial": "AL1", "own_pv_w": unseen_w or None}
    async with cloud.serve():
        async with at(cloud, listen, **keys) as heard:
            await heard.state(61.0, -1500.0)  # as documented, as long as it is not known
            for number in range(1, 20 * ENOUGH):
                house.grid_w = -600.0 - number
                await until(lambda: len(heard.states) >= number)  # noqa: B023 - it is waited for here
                if heard.states[-1].power_w == 1500.0:
                    break
            assert heard.states[-1].power_w == 1500.0
        told = [record for record in caplog.records if "by the balance of its powers" in record.message]
        assert len(told) == 1
        async with at(cloud, listen, **keys) as heard:  # and a restart has not forgotten it
            await heard.state(61.0, 1500.0)
            assert all(state.power_w == 1500.0 for state in heard.states)


@pytest.mark.parametrize(("sign", "expected_w"), [("charge_positive", 1264.0), ("discharge_positive", -1264.0)])
async def test_a_sign_that_is_given_is_kept_to(listen: Listen, sign: str, expected_w: float) -> None:
    async with FakeCloud().serve() as cloud, at(cloud, listen, sign=sign) as heard:
        await heard.state(61.0, expected_w)


async def test_battery_and_meter_of_one_system_ask_the_cloud_once(access: Access) -> None:
    async with FakeCloud().serve() as cloud:
        keys = {"serial": SERIAL, "interval_s": 0.2, **cloud.login}
        meter = AlphaEssMeterConfig(type="alphaess", **keys).driver(access)
        battery = section(type="alphaess", **keys).driver(access)
        heard, read = Heard(access), list[Reading | DeviceError]()
        tasks = [asyncio.create_task(meter.run(read.append)), asyncio.create_task(battery.run(heard.outcomes.append))]
        await until(lambda: len(read) >= 4 and len(heard.outcomes) >= 4)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert abs(cloud.count("getLastPowerData") - len(read)) <= 1
    [first, *_] = read
    assert isinstance(first, Reading)
    assert (first.power_w, [phase.power_w for phase in first.phases]) == (11.0, [11.0, 0.0, 0.0])
    assert first.at_s == heard.states[0].at_s
    assert meter.interval_s == 0.2


async def test_a_meter_that_counts_export_as_positive(access: Access) -> None:
    async with FakeCloud().serve() as cloud:
        keys = {"serial": SERIAL, "interval_s": 0.1, **cloud.login}
        meter = AlphaEssMeterConfig(type="alphaess", sign="export_positive", **keys).driver(access)
        read: list[Reading | DeviceError] = []
        task = asyncio.create_task(meter.run(read.append))
        await until(lambda: bool(read))
        task.cancel()
    assert isinstance(read[0], Reading)
    assert (read[0].power_w, read[0].phases[0].power_w) == (-11.0, -11.0)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"interval_s": 0.01}, "the cloud is not to be asked more often"),
        ({"app_secret": ""}, "at least 1"),
        ({"serial": "AL1", "index": 1}, "give serial or index, not both"),
        ({"serial": "AL 1&x=2"}, "pattern"),
        ({"invert": True}, "take it out, or say it with sign"),
        ({"app_secret": "two\nlines"}, "line break"),
    ],
)
def test_what_is_wrong_with_a_section_is_told(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        section(**{"type": "alphaess", "app_id": "a", "app_secret": "secret", **keys})


def test_the_secret_is_one_and_data_are_stale_as_soon_as_in_the_original() -> None:
    found = section(type="alphaess", app_id="a", app_secret=SECRET)
    assert SECRET in secrets_of(found)
    assert SECRET not in repr(found)
    assert (found.rules.stale_s, found.every_s) == (30.0, 15.0)
    assert section(type="alphaess", app_id="a", app_secret=SECRET, interval_s=60).rules.stale_s == 120.0


def test_signs_that_are_kept_are_those_that_are_read(access: Access) -> None:
    (access.data_dir / "alphaess.json").write_text('{"AL1": {"battery": -1, "grid": null}}')
    config = section(type="alphaess", app_id="a", app_secret=SECRET, serial="AL1")
    assert client.System.of(access, config).signs == Signs(-1, None)  # type: ignore[arg-type]
