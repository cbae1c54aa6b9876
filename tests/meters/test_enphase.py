"""The grid clamps of an Enphase gateway, with its logins, its certificate and its traps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from app.access import Access
from app.broker import Address, Broker
from app.enphase.clamps import Clamps
from app.meters.enphase import Enphase, EnphaseConfig, find, parse, readings_of
from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable, Phase, Reading
from app.outbound import new_session
from tests.enphase.fake import FakeGateway, fixture, token

CLAMPS = Clamps(704643584, "grid", 3)


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    async with new_session() as session:
        yield Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), tmp_path)


def meter(envoy: FakeGateway, access: Access, **keys: Any) -> Enphase:
    login = {} if keys.keys() & {"token_file", "password"} else {"token": envoy.valid}
    anew = replace(access, shared={})  # as after a restart
    return Enphase(EnphaseConfig(type="enphase", host=envoy.host, **(login | keys)), anew)


async def second(device: Enphase) -> Reading:
    """The first reading: the value of the first contact may be of yesterday."""
    assert await device.read() is None
    reading = await device.read()
    assert reading is not None
    return reading


async def test_the_net_power_its_phases_and_counters_are_read(access: Access) -> None:
    async with FakeGateway().serve() as envoy:
        reading = await second(meter(envoy, access))
    assert reading.power_w == -36.162
    assert [phase.power_w for phase in reading.phases] == [-112.5, 60.338, 16.0]
    assert reading.phases[0].voltage_v == 230.1
    assert (reading.import_wh, reading.export_wh) == (3738205.282, 1512345.5)


async def test_what_meters_there_are_is_asked_once(access: Access) -> None:
    async with FakeGateway().serve() as envoy:
        device = meter(envoy, access)
        for _ in range(4):
            await device.read()
    assert envoy.asked == ["/auth/check_jwt", "/ivp/meters", *["/ivp/meters/readings"] * 4]


async def test_a_value_whose_time_stands_still_is_no_reading(access: Access) -> None:
    async with FakeGateway().serve() as envoy:
        device = meter(envoy, access)
        await second(device)
        envoy.tick, envoy.grid["activePower"] = 0, -3000.0
        assert await device.read() is None
        envoy.tick = 1
        reading = await device.read()
        assert reading is not None
        assert reading.power_w == -3000.0


async def test_the_certificate_of_the_first_contact_is_the_only_one(access: Access, tmp_path: Path) -> None:
    envoy = FakeGateway()
    async with envoy.serve("one"):
        await second(meter(envoy, access))
    kept = json.loads((tmp_path / "certificates.json").read_text())
    assert list(kept) == [envoy.host]
    asked = len(envoy.asked)
    async with envoy.serve("other"):
        device = meter(envoy, access)
        with pytest.raises(DeviceAuthError, match=r"shows another certificate.*take 127.0.0.1:\d+ out of .*json"):
            await device.read()
        assert len(envoy.asked) == asked, "the token went nowhere"
        await second(meter(envoy, access, certificate="any"))
        (tmp_path / "certificates.json").unlink()
        await second(device)


async def test_the_same_certificate_is_taken_after_a_restart(access: Access) -> None:
    envoy = FakeGateway()
    for _ in range(2):
        async with envoy.serve():
            await second(meter(envoy, access))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 5}', '{"a": "xyz"}'])
async def test_a_file_of_certificates_that_is_damaged_is_told_and_left_alone(
    content: str, access: Access, tmp_path: Path
) -> None:
    path = tmp_path / "certificates.json"
    path.write_text(content)
    async with FakeGateway().serve() as envoy:
        with pytest.raises(DeviceAuthError, match="mend or delete that file"):
            await meter(envoy, access).read()
    assert path.read_text() == content
    assert envoy.asked == []


async def test_two_gateways_share_the_file(access: Access, tmp_path: Path) -> None:
    async with FakeGateway().serve("one") as one, FakeGateway().serve("other") as other:
        await second(meter(one, access))
        await second(meter(other, access))
        await second(meter(one, access))
    assert set(json.loads((tmp_path / "certificates.json").read_text())) == {one.host, other.host}


async def test_a_refused_token_says_what_to_do(access: Access) -> None:
    async with FakeGateway().serve() as envoy:
        for given, text in (
            (token(1e9), "ran out on 2001-09-09, make a new one at https://entrez"),
            (token(4e9, serial="122099999999"), "is it of this gateway.*valid until 2096-10-02"),
            ("rubbish-rubbish", "this is none"),
        ):
            with pytest.raises(DeviceAuthError, match=text) as caught:
                await meter(envoy, access, token=given).read()
            assert given not in str(caught.value)


async def test_a_token_in_a_file_is_read_again_when_it_is_refused(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "token"
    async with FakeGateway().serve() as envoy:
        device = meter(envoy, access, token_file=path)
        with pytest.raises(DeviceAuthError, match="cannot read token_file"):
            await device.read()
        path.write_text(" \n")
        with pytest.raises(DeviceAuthError, match="holds no token"):
            await device.read()
        path.write_text(token(1e9))
        with pytest.raises(DeviceAuthError, match="ran out"):
            await device.read()
        path.write_text(envoy.valid + "\n")
        await second(device)


async def test_firmware_before_7_has_a_digest_login_over_http(access: Access) -> None:
    async with FakeGateway("5").serve() as envoy:
        assert (await second(meter(envoy, access, password=envoy.passwords["envoy"]))).power_w == -36.162
        assert envoy.doors["envoy"].challenges == 1
        with pytest.raises(DeviceAuthError, match="last six digits of the serial number"):
            await meter(envoy, access, password="999999").read()


async def test_a_gateway_that_is_away_is_named(access: Access) -> None:
    envoy = FakeGateway()
    async with envoy.serve():
        known = meter(envoy, access)
        await second(known)
    for device in (known, meter(envoy, access)):
        with pytest.raises(DeviceUnavailable, match=rf"cannot reach https://{envoy.host}.*refused"):
            await device.read()


def row(**keys: Any) -> dict[str, Any]:
    return {"eid": 7, "state": "enabled", "measurementType": "net-consumption", "meteringStatus": "normal"} | keys


@pytest.mark.parametrize(
    ("meters", "text"),
    [
        ([], r"there is: none"),
        ([row(state="disabled")], "net-consumption disabled"),
        ([row(measurementType="total-consumption")], "total-consumption enabled"),
        ([row(measurementType="production"), row(state=None)], "production enabled, net-consumption None"),
        ([row(), row(eid=8)], "no enabled net-consumption meter"),
        ([row(eid=None)], "no enabled"),
        ([row(meteringStatus="not-metering")], "do not measure"),
        ({"error": "x"}, "no list of meters"),
        ([5], "no list of meters"),
        (None, "no list of meters"),
    ],
)
def test_a_gateway_without_a_grid_meter_is_refused(meters: Any, text: str) -> None:
    with pytest.raises(DeviceDataError, match=text):
        find(meters)


def test_what_the_gateway_thinks_of_its_clamps_is_kept() -> None:
    assert find([row(phaseCount=2, meteringStatus="check-wiring", statusFlags=["production-imbalance"])]) == Clamps(
        7, "grid", 2, "check-wiring (production-imbalance)"
    )
    assert find([row(statusFlags=[])]) == Clamps(7, "grid", 0, "normal")


@pytest.mark.parametrize("value", [None, "5", "", True, float("nan"), 1e9, []])
def test_a_power_that_is_none_is_refused(value: Any) -> None:
    rows = fixture("readings")
    rows[1]["activePower"] = value
    with pytest.raises(DeviceDataError, match="activePower is"):
        parse(readings_of(rows, CLAMPS), CLAMPS, 1.0, 1.0, 0.1)


@pytest.mark.parametrize("readings", [[], {}, [{"eid": 704643328, "activePower": 5}], [None]])
def test_readings_without_the_grid_meter_are_refused(readings: Any) -> None:
    with pytest.raises(DeviceDataError, match="/ivp/meters/readings"):
        readings_of(readings, CLAMPS)


@pytest.mark.parametrize(
    ("clamps", "change", "phases"),
    [
        (Clamps(704643584, "grid", 0), {}, ()),
        (Clamps(704643584, "grid", 1), {}, ()),
        (CLAMPS, {"channels": None}, ()),
        (CLAMPS, {"channels": [{"activePower": None}] * 3}, ()),
        (CLAMPS, {"channels": [{"activePower": 500.0}] * 3}, ()),
        (Clamps(704643584, "grid", 1), {"channels": [{"activePower": -36.0}, {"activePower": 9.0, "voltage": 6.1}]},
         (Phase(-36.0),)),
    ],
)  # fmt: skip
def test_channels_that_do_not_add_up_are_left_out(clamps: Clamps, change: dict[str, Any], phases: Any) -> None:
    reading = parse(fixture("readings")[1] | change, clamps, 1.0, 1.0, 0.1)
    assert (reading.power_w, reading.phases) == (-36.162, phases)


async def test_a_meter_that_is_switched_off_later_is_noticed(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.meters.enphase.LOOK_AGAIN_S", 0.0)
    async with FakeGateway().serve() as envoy:
        device = meter(envoy, access)
        await second(device)
        envoy.meters[1]["state"] = "disabled"
        with pytest.raises(DeviceDataError, match="net-consumption disabled"):
            await device.read()


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"token": "a", "password": "b"},
        {"token": "a", "token_file": "/b"},
        {"token": "ü"},
        {"token": "a", "interval_s": 0.5},
        {"password": "a", "username": "a:b"},
    ],
)
def test_a_login_that_is_none_or_two_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EnphaseConfig(type="enphase", host="10.0.0.9", **keys)


async def test_the_session_is_what_others_use(access: Access) -> None:
    """A pinned certificate holds for this device only."""
    async with FakeGateway().serve() as envoy:
        await second(meter(envoy, access))
        with pytest.raises(aiohttp.ClientSSLError):
            await access.session.get(f"https://{envoy.host}/")
