"""Every driver against servers that are broken or hostile: an error in time, no memory, no secret gone, no stall."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access import Access
from app.broker import Address, Broker
from app.meters.enphase import Enphase, EnphaseConfig
from app.meters.homewizard import HomeWizard, HomeWizardConfig
from app.meters.http_json import HttpJson, HttpJsonConfig
from app.meters.http_json import parse as parse_json
from app.meters.shelly import Shelly, ShellyConfig
from app.meters.shelly.parse import parse_em, parse_em1, parse_gen1
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable
from app.outbound import new_session
from app.prices import web
from app.prices.amber import Amber, AmberConfig
from app.prices.tibber import Tibber, TibberConfig
from tests.conftest import free_port

from .hostile import ENDLESS, HEAD, NEVER_DONE, NONSENSE, TOO_MUCH, Behaviour, Hostile, hostile, page, sends

TIMEOUT_S = 0.5
SECRET = "CANARY-secret-1"
Ask = Callable[[str], Awaitable[object]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session() as session:
        yield session


@pytest.fixture(params=["http_json", "shelly", "enphase", "homewizard", "amber", "tibber"])
def ask(request: pytest.FixtureRequest, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """One question of a driver to a host; raises `DeviceError`."""
    monkeypatch.setattr(web, "TIMEOUT_S", TIMEOUT_S)

    async def http_json(host: str) -> object:
        url = f"http://{host}/meter?api_key={SECRET}"
        config = HttpJsonConfig(type="http_json", url=url, path="$.p", timeout_s=TIMEOUT_S, bearer_token=SECRET)
        return await HttpJson(config, session).read()

    async def shelly(host: str) -> object:
        config = ShellyConfig(type="shelly", host=host, password=SECRET, timeout_s=TIMEOUT_S)
        return await Shelly(config, session).read()

    async def enphase(host: str) -> object:
        access = Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), Path("nowhere"))
        config = EnphaseConfig(type="enphase", host=host, password=SECRET, timeout_s=TIMEOUT_S)
        return await Enphase(config, access).read()

    async def homewizard(host: str) -> object:
        config = HomeWizardConfig(type="homewizard", host=host, version=1, token=SECRET, timeout_s=TIMEOUT_S)
        return await HomeWizard(config, session).read()

    async def amber(host: str) -> object:
        return await Amber(AmberConfig(type="amber", token=SECRET, base_url=f"http://{host}/v1"), session).fetch()

    async def tibber(host: str) -> object:
        return await Tibber(TibberConfig(type="tibber", token=SECRET, base_url=f"http://{host}/v1"), session).fetch()

    asked = {"http_json": http_json, "shelly": shelly, "enphase": enphase, "homewizard": homewizard}
    asked |= {"amber": amber, "tibber": tibber}
    return asked[request.param]


@asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """The gaps between the turns of the loop meanwhile."""
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            before_s = time.perf_counter()
            await asyncio.sleep(0.01)
            gaps.append(time.perf_counter() - before_s)

    task = asyncio.create_task(tick())
    yield gaps
    task.cancel()


async def refused(ask: Ask, server: Hostile) -> str:
    """The sentence that the driver says; it is there in time, the loop turns, and no secret is in it."""
    for _ in range(5):
        said = await _refused(ask, server)
        if server.asked:
            return said  # a machine that stood still for the whole time-out has not asked anybody
    pytest.fail("nobody was asked")


async def _refused(ask: Ask, server: Hostile) -> str:
    """One attempt."""
    started_s = time.perf_counter()
    async with ticking() as gaps:
        with pytest.raises(DeviceError) as caught:
            await ask(server.host)
    assert time.perf_counter() - started_s < TIMEOUT_S + 10.0  # the machine has other work too
    assert max(gaps, default=0.0) < 3.0
    said = str(caught.value)
    assert SECRET not in said
    assert len(said) < 300
    return said


@pytest.mark.parametrize("name", NEVER_DONE)
async def test_what_is_never_done_is_given_up_in_time(name: str, ask: Ask) -> None:
    async with hostile(NEVER_DONE[name]) as server:
        assert "does not answer within 0.5 s" in await refused(ask, server)


@pytest.mark.parametrize("name", TOO_MUCH)
async def test_what_is_too_much_is_not_kept(name: str, ask: Ask) -> None:
    async with hostile(TOO_MUCH[name]) as server:
        tracemalloc.start()
        try:
            await refused(ask, server)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_is_refused(name: str, ask: Ask) -> None:
    async with hostile(NONSENSE[name]) as server:
        await refused(ask, server)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_takes_no_login_elsewhere(status: int, ask: Ask) -> None:
    async with hostile(page(b'{"p": 1}')) as other:
        for location in (
            f"http://{other.host}/",
            f"//{other.host}/",
            f"https://{other.host}/",
            "/other",
            "javascript:1",
        ):
            head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            async with hostile(head.encode()) as server:
                said = await refused(ask, server)
                assert str(status) in said
                assert len(server.asked) == 1
        assert other.asked == []


async def test_cookies_are_not_kept(ask: Ask) -> None:
    cookie = b"Set-Cookie: spy=1; Path=/; Domain=127.0.0.1\r\nSet-Cookie: spy=2\r\n"
    async with hostile(page(b"{}", HEAD + cookie)) as server, hostile(page(b"{}")) as other:
        for _ in range(2):
            await refused(ask, server)
        await refused(ask, other)
        asked = b"".join(server.asked + other.asked).lower()
    assert b"cookie" not in asked


async def test_a_closed_port_and_a_name_that_is_none(ask: Ask) -> None:
    for host, text in ((f"127.0.0.1:{free_port()}", "refused"), ("a..b", "its name is not known")):
        with pytest.raises(DeviceError, match=text):
            await ask(host)


@pytest.mark.parametrize("kind", ["http_json", "shelly"])
async def test_what_a_server_repeats_of_our_login_is_not_told(kind: str, session: aiohttp.ClientSession) -> None:
    echo = page(b'{"p": "%s", "mac": "x", "emeters": [{"power": "%s"}]}' % ((SECRET.encode(),) * 2))
    async with hostile(echo) as server:
        shelly = ShellyConfig(type="shelly", host=server.host, password=SECRET)
        url = f"http://{server.host}/"
        http_json = HttpJsonConfig(type="http_json", url=url, path="$.p", headers={"X-Key": SECRET})
        meter = Shelly(shelly, session) if kind == "shelly" else HttpJson(http_json, session)
        with pytest.raises(DeviceDataError, match=r"\*\*\*"):
            await meter.read()


async def test_the_url_is_told_without_its_query(session: aiohttp.ClientSession) -> None:
    for behaviour, error in [
        (page(b"<html>"), DeviceDataError),
        (b"HTTP/1.1 401 No\r\n\r\n", DeviceAuthError),
        (b"HTTP/1.1 302 No\r\nLocation: /\r\n\r\n", DeviceDataError),
        (b"rubbish\r\n\r\n", DeviceUnavailable),
        (page(b'{"q": 1}'), DeviceDataError),
        (page(b'{"p": [1, 2]}'), DeviceDataError),
    ]:
        async with hostile(behaviour) as server:
            url = f"http://{server.host}/meter?api_key=k3yk3y&x=1"
            meter = HttpJson(HttpJsonConfig(type="http_json", url=url, path="$.p[*]"), session)
            with pytest.raises(error, match=f"http://{server.host}/meter") as caught:
                await meter.read()
        assert "?" not in str(caught.value)
        assert "k3y" not in str(caught.value) + meter.name


async def test_a_meter_that_floods_does_not_hold_up_another(session: aiohttp.ClientSession) -> None:
    flood: Behaviour = sends(b" " * 65536, times=ENDLESS, then=HEAD + b"\r\n")
    async with hostile(flood) as bad, hostile(page(b'{"p": 7}')) as good, ticking() as gaps:

        def meter(host: str) -> HttpJson:
            return HttpJson(HttpJsonConfig(type="http_json", url=f"http://{host}/", path="$.p"), session)

        async def attack() -> None:
            for _ in range(20):
                with pytest.raises(DeviceDataError):
                    await meter(bad.host).read()

        attacks = [asyncio.create_task(attack()) for _ in range(3)]
        for _ in range(20):
            reading = await meter(good.host).read()
            assert reading is not None
            assert reading.power_w == 7.0
        await asyncio.gather(*attacks)
    assert max(gaps) < 3.0


KEYS = ["p", "power", "emeters", "is_valid", "total_act_power", "a_act_power", "errors", "act_power", "id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(KEYS) | st.text(max_size=3),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_no_document_makes_a_parser_fail_but_with_a_sentence(document: object) -> None:
    def config(**keys: object) -> HttpJsonConfig:
        return HttpJsonConfig.model_validate({"type": "http_json", "url": "http://10.0.0.9/", **keys})

    for parse in (
        lambda: parse_gen1(document, None),
        lambda: parse_em(document, None),
        lambda: parse_em(document, (0, 2)),
        lambda: parse_em1([document, document]),
        lambda: parse_json(document, config(path="$.p")),
        lambda: parse_json(document, config(path="$..power", sum=True)),
        lambda: parse_json(document, config(path="$.emeters[?(@.power > 1)].power", sum=True)),
        lambda: parse_json(document, config(import_path="$.emeters[0].power", export_path="$.p[1:2]")),
    ):
        with suppress(DeviceDataError):
            parse()
