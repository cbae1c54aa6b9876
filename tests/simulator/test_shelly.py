"""Shelly meters over real HTTP, each kind in its own dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app.simulator.devices import FakeShelly
from app.simulator.house import House
from app.simulator.shelly_bodies import KINDS


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as session:
        yield session


@pytest.fixture
def house() -> House:
    house = House()
    house.run(90.0)
    return house


async def ask(session: aiohttp.ClientSession, shelly: FakeShelly, path: str) -> tuple[int, Any]:
    async with session.get(f"http://{shelly.host}{path}") as response:
        text = await response.text()
        return response.status, await response.json(content_type=None) if text.startswith("{") else text


async def test_a_gen1_3em_shows_three_phases_their_sum_and_counters(
    session: aiohttp.ClientSession, house: House
) -> None:
    async with FakeShelly(house, "gen1-3em") as shelly:
        _, who = await ask(session, shelly, "/shelly")
        status, body = await ask(session, shelly, "/status")
        _, second = await ask(session, shelly, "/emeter/1")
        missing, text = await ask(session, shelly, "/rpc/EM.GetStatus?id=0")
    assert (who["type"], "gen" in who, who["auth"]) == ("SHEM-3", False, False)
    assert status == 200
    assert body["total_power"] == pytest.approx(sum(one["power"] for one in body["emeters"]), abs=0.02)
    assert [one["power"] for one in body["emeters"]] == pytest.approx(house.meter.sample.phases_w, abs=0.01)
    assert body["emeters"][1] == second
    assert set(second) == {"power", "pf", "current", "voltage", "is_valid", "total", "total_returned"}
    assert all(one["current"] > 0 for one in body["emeters"])
    assert body["emeters"][0]["power"] < 0, "the inverter feeds the first phase"
    assert (missing, text) == (404, "Not Found")


async def test_a_gen1_em_has_the_grid_and_the_sun_on_two_clamps(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "gen1-em") as shelly:
        _, body = await ask(session, shelly, "/status")
    grid, sun = body["emeters"]
    assert "total_power" not in body
    assert grid["power"] == pytest.approx(house.meter.sample.power_w, abs=0.01)
    assert sun["power"] == pytest.approx(-house.pv_w, rel=0.05)


@pytest.mark.parametrize("kind", ["pro3em", "3em63g3"])
async def test_a_three_phase_em_component(session: aiohttp.ClientSession, house: House, kind: str) -> None:
    async with FakeShelly(house, kind) as shelly:
        _, who = await ask(session, shelly, "/shelly")
        _, body = await ask(session, shelly, "/rpc/EM.GetStatus?id=0")
        _, data = await ask(session, shelly, "/rpc/EMData.GetStatus?id=0")
        _, everything = await ask(session, shelly, "/rpc/Shelly.GetStatus")
        wrong_id = await ask(session, shelly, "/rpc/EM.GetStatus?id=7")
        wrong_profile = await ask(session, shelly, "/rpc/EM1.GetStatus?id=0")
    assert who["gen"] == KINDS[kind].generation
    assert who["profile"] == "triphase"
    assert body["total_act_power"] == pytest.approx(sum(body[f"{p}_act_power"] for p in "abc"), abs=0.2)
    assert body["total_act_power"] == pytest.approx(house.meter.sample.power_w, abs=0.001)
    assert body["n_current"] is None
    assert "errors" not in body
    assert data["total_act"] == pytest.approx(sum(house.meter.sample.import_wh), abs=0.01)
    assert everything["em:0"].keys() == body.keys()
    assert everything["sys"]["unixtime"] > 1_700_000_000
    assert wrong_id == (404, {"code": -105, "message": "Argument 'id', value 7 not found!"})
    assert wrong_profile == (404, {"code": 404, "message": "No handler for EM1.GetStatus"})


@pytest.mark.parametrize(("kind", "clamps"), [("pro3em-mono", 3), ("proem50", 2), ("emg3", 2)])
async def test_em1_components(session: aiohttp.ClientSession, house: House, kind: str, clamps: int) -> None:
    async with FakeShelly(house, kind) as shelly:
        answers = [await ask(session, shelly, f"/rpc/EM1.GetStatus?id={number}") for number in range(clamps + 1)]
        _, data = await ask(session, shelly, "/rpc/EM1Data.GetStatus?id=0")
        no_em, _ = await ask(session, shelly, "/rpc/EM.GetStatus?id=0")
    assert [status for status, _ in answers] == [200] * clamps + [404]
    sample = house.meter.sample
    wanted = sample.phases_w if clamps == 3 else (sample.power_w, -sample.pv_w)
    assert [body["act_power"] for _, body in answers[:-1]] == pytest.approx(wanted, abs=0.06)
    assert data["total_act_energy"] > 0
    assert no_em == 404


async def test_the_value_changes_once_a_second_with_the_house(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "pro3em") as shelly:
        house.load_override_w, house.sun_override = 800.0, 0.0
        house.run(3.0)
        _, body = await ask(session, shelly, "/rpc/EM.GetStatus?id=0")
        assert body["total_act_power"] == pytest.approx(800.0, abs=25.0)
        house.load_override_w = 100.0
        house.run(3.0)
        _, body = await ask(session, shelly, "/rpc/EM.GetStatus?id=0")
        assert body["total_act_power"] == pytest.approx(100.0, abs=15.0)


async def test_gen1_wants_basic_and_later_ones_digest(house: House) -> None:
    basic = {"Authorization": aiohttp.encode_basic_auth("admin", "secret")}
    digest = aiohttp.DigestAuthMiddleware("admin", "secret")
    wrong = aiohttp.DigestAuthMiddleware("admin", "wrong")
    async with (
        FakeShelly(house, "gen1-3em", password="secret") as old,
        FakeShelly(house, "pro3em", password="secret") as new,
        aiohttp.ClientSession() as session,
    ):
        for shelly in (old, new):
            async with session.get(f"http://{shelly.host}/shelly") as response:
                who = await response.json()
                assert response.status == 200
                assert who.get("auth", who.get("auth_en")) is True
        async with session.get(f"http://{old.host}/status") as response:
            assert response.status == 401
        async with session.get(f"http://{old.host}/status", headers=basic) as response:
            assert response.status == 200
        url = f"http://{new.host}/rpc/EM.GetStatus?id=0"
        async with session.get(url, headers=basic) as response:
            assert response.status == 401
            assert "SHA-256" in response.headers["WWW-Authenticate"]
        async with session.get(url, middlewares=(wrong,)) as response:
            assert response.status == 401
        before = new.requests
        for _ in range(3):
            async with session.get(url, middlewares=(digest,)) as response:
                assert response.status == 200
        assert new.requests - before == 4, "one challenge, then the nonce is used again"
        new.forget_nonces()
        async with session.get(url, middlewares=(digest,)) as response:
            assert response.status == 200


@pytest.mark.parametrize("kind", ["gen1-3em", "pro3em", "proem50"])
async def test_every_way_to_fail(session: aiohttp.ClientSession, house: House, kind: str) -> None:
    path = {"gen1-3em": "/status", "pro3em": "/rpc/EM.GetStatus?id=0", "proem50": "/rpc/EM1.GetStatus?id=0"}[kind]

    def power(body: dict[str, Any]) -> dict[str, Any]:
        return body["emeters"][0] if kind == "gen1-3em" else body

    def key(body: dict[str, Any]) -> str:
        return next(name for name in ("total_act_power", "act_power", "power") if name in body)

    async with FakeShelly(house, kind) as shelly:
        _, good = await ask(session, shelly, path)
        name = key(power(good))
        shelly.fault = "down"
        with pytest.raises(aiohttp.ClientError):
            await ask(session, shelly, path)
        shelly.fault = "hang"
        with pytest.raises(TimeoutError):
            await ask(session, shelly, path)
        shelly.fault, shelly.delay_s = "slow", 0.2
        assert (await ask(session, shelly, path))[0] == 200
        shelly.fault = "http-500"
        assert (await ask(session, shelly, path))[0] == 500
        shelly.fault = "throttled"
        assert (await ask(session, shelly, path))[0] == 429
        shelly.fault = "garbage"
        assert isinstance((await ask(session, shelly, path))[1], str)
        shelly.fault = "missing"
        assert name not in power((await ask(session, shelly, path))[1])
        shelly.fault = "null"
        assert power((await ask(session, shelly, path))[1])[name] is None
        shelly.fault = "text"
        assert power((await ask(session, shelly, path))[1])[name] == "12.5"
        shelly.fault = "nan"
        value = power((await ask(session, shelly, path))[1])[name]
        assert value != value
        shelly.fault = "invalid"
        spoilt = power((await ask(session, shelly, path))[1])
        assert spoilt.get("is_valid") is False or spoilt["errors"] == ["power_meter_failure"]
        shelly.fault = "frozen"
        _, first = await ask(session, shelly, path)
        house.run(5.0)
        assert (await ask(session, shelly, path))[1] == first
        shelly.fault = None
        assert (await ask(session, shelly, path))[1] != first
