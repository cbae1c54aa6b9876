"""The WebSocket of simulated Shellys, and what their firmware allows at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app.simulator.devices import FakeShelly
from app.simulator.house import House
from app.simulator.shelly import CHANNELS
from tests.conftest import until


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30.0)) as session:
        yield session


@pytest.fixture
def house() -> House:
    house = House()
    house.load_override_w, house.sun_override = 800.0, 0.0
    house.run(30.0)
    return house


class Client:
    """Sends frames, and keeps what else comes."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.notified: list[dict[str, Any]] = []
        self._id = 0

    async def ask(self, method: str, number: int = 0, **more: Any) -> dict[str, Any]:
        self._id += 1
        frame = {"id": self._id, "src": "test", "method": method, "params": {"id": number}, **more}
        await self.socket.send_str(json.dumps(frame))
        while (answer := json.loads(await self.socket.receive_str())).get("id") != self._id:
            self.notified.append(answer)
        assert answer["dst"] == "test"
        return answer  # type: ignore[no-any-return]


def dial(session: aiohttp.ClientSession, shelly: FakeShelly) -> Any:
    return session.ws_connect(f"ws://{shelly.host}/rpc")


async def test_frames_are_answered_as_requests_are(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "pro3em") as shelly, dial(session, shelly) as socket:
        client = Client(socket)
        status = (await client.ask("EM.GetStatus"))["result"]
        assert status["total_act_power"] == pytest.approx(house.meter.sample.power_w, abs=0.01)
        assert (await client.ask("EM.GetStatus", 7))["error"]["code"] == -105
        assert (await client.ask("EM1.GetStatus"))["error"]["code"] == 404
        assert (await client.ask("EM.GetConfig"))["result"]["reverse"] == {}
        assert (await client.ask("Sys.GetStatus"))["result"]["uptime"] > 80_000
        shelly.errors = {"a": ["out_of_range:act_power"], "b": []}
        status = (await client.ask("EM.GetStatus"))["result"]
        assert status["a_errors"] == ["out_of_range:act_power"]
        assert "b_errors" not in status
        assert shelly.sockets.frames == 6


@pytest.mark.parametrize(("firmware", "kind"), [(1, int), (2, str)])
async def test_a_challenge_is_json_in_the_message_of_an_error(
    session: aiohttp.ClientSession, house: House, firmware: int, kind: type
) -> None:
    async with (
        FakeShelly(house, "pro3em", password="sesame", firmware=firmware) as shelly,
        dial(session, shelly) as socket,
    ):
        client = Client(socket)
        assert "result" in await client.ask("Shelly.GetDeviceInfo")
        error = (await client.ask("EM.GetStatus"))["error"]
        challenge = json.loads(error["message"])
        assert error["code"] == 401
        assert (challenge["nc"], challenge["algorithm"]) == (1, "SHA-256")
        assert isinstance(challenge["nonce"], kind)


async def test_only_what_has_moved_far_enough_is_notified(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "pro3em") as shelly, dial(session, shelly) as socket:
        client = Client(socket)

        async def told(count: int) -> None:
            async with asyncio.timeout(30.0):
                while len(client.notified) < count:
                    await client.ask("EM.GetStatus")
                    await asyncio.sleep(0.05)

        await told(1)
        assert client.notified[0]["method"] == "NotifyFullStatus"
        house.load_override_w = 1500.0
        await told(2)
        assert client.notified[1]["method"] == "NotifyStatus"
        assert client.notified[1]["params"]["em:0"]["total_act_power"] > 820.0


async def test_a_restart_ends_all_sockets_and_the_uptime(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "pro3em") as shelly, dial(session, shelly) as socket:
        shelly.restart()
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        async with session.get(f"http://{shelly.host}/rpc/Sys.GetStatus") as answer:
            assert (await answer.json())["uptime"] < 1000


async def test_a_deaf_socket_says_nothing_and_new_ones_work(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "pro3em") as shelly, dial(session, shelly) as old:
        shelly.sockets.deafen()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Client(old).ask("EM.GetStatus"), 0.5)
        async with dial(session, shelly) as new:
            assert "result" in await Client(new).ask("EM.GetStatus")


async def test_gen1_and_a_device_that_will_not_open_none(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "gen1-3em") as old, FakeShelly(house, "pro3em") as new:
        new.websockets = False
        for shelly in (old, new):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await dial(session, shelly)


async def test_a_seventh_request_at_once_is_not_served(session: aiohttp.ClientSession, house: House) -> None:
    async with FakeShelly(house, "pro3em") as shelly:
        url = f"http://{shelly.host}/rpc/EM.GetStatus?id=0"
        shelly.fault = "hang"
        waiting = [asyncio.create_task(session.get(url)) for _ in range(CHANNELS)]
        await until(lambda: shelly.busiest == CHANNELS, 20.0, "six at once")
        with pytest.raises(aiohttp.ClientError):
            await session.get(url)
        shelly.fault = None
        for answer in await asyncio.gather(*waiting):
            assert answer.status == 200
            assert answer.headers["Connection"] == "close"
            answer.release()


@pytest.mark.parametrize("kind", ["pmminig3", "1pmg4", "plugs"])
async def test_channels_that_switch(session: aiohttp.ClientSession, house: House, kind: str) -> None:
    method = "PM1.GetStatus" if kind == "pmminig3" else "Switch.GetStatus"
    async with FakeShelly(house, kind) as shelly, dial(session, shelly) as socket:
        status = (await Client(socket).ask(method))["result"]
    sample = house.meter.sample
    assert status["apower"] == pytest.approx(sample.power_w, abs=0.1)
    assert ("ret_aenergy" in status) == (kind != "plugs")
    assert status["aenergy"]["total"] == pytest.approx(sum(sample.import_wh) + sum(sample.export_wh), abs=1.0)
