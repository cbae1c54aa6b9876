"""The client of a gateway, with every firmware, and with all that goes wrong there."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from app.access import Access
from app.enphase import doors
from app.enphase.config import EnphaseLogin
from app.enphase.doctor import examine_gateway
from app.enphase.gateway import LARGE_BYTES, Gateway
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable
from tests.conftest import until
from tests.enphase.fake import FOLDER, SOFTWARE, FakeGateway, token
from tests.enphase.test_config import Elsewhere
from tests.meters.hostile import NONSENSE, TOO_MUCH, hostile


def client(fake: FakeGateway, access: Access, **keys: Any) -> Gateway:
    if not keys.keys() & {"token", "token_file", "password", "enlighten_password"}:
        keys |= {"token": fake.valid} if fake.has_tokens else {"password": fake.passwords["envoy"]}
    return Gateway.of(access, EnphaseLogin(host=fake.host, **keys))


@pytest.mark.parametrize("firmware", list(SOFTWARE))
async def test_every_firmware_tells_who_it_is_and_what_it_measures(firmware: str, access: Access) -> None:
    async with FakeGateway(firmware).serve() as fake:
        gateway = client(fake, access)
        about = await gateway.about()
        assert (about.serial, about.software, about.version[0]) == (fake.serial, SOFTWARE[firmware], int(firmware))
        assert about.wants_token is fake.has_tokens is gateway.has_token
        assert (await gateway.get_json("/ivp/meters"))[1]["measurementType"] == "net-consumption"
        assert (gateway.role, gateway.token_expires_utc_s) == (("owner", 2e9) if fake.has_tokens else (None, None))
        assert gateway.expiry_notice is None
        await gateway.about()
        assert fake.asked.count("/info") == 1


@pytest.mark.parametrize(("firmware", "keys"), [("7", {"password": "012345"}), ("5", {"token": token()})])
async def test_who_it_is_is_told_to_those_with_the_wrong_login_too(
    firmware: str, keys: dict[str, Any], access: Access
) -> None:
    async with FakeGateway(firmware).serve() as fake:
        gateway = client(fake, access, **keys)
        assert (await gateway.about()).software == SOFTWARE[firmware]
        with pytest.raises(DeviceUnavailable):
            await gateway.get_json("/ivp/meters")


async def test_everybody_shares_one_session_and_two_sockets(access: Access) -> None:
    async with FakeGateway("8", strict=True, slow_s=0.05, sockets=2).serve() as fake:
        gateways = [client(fake, access) for _ in range(5)]
        assert len(set(map(id, gateways))) == 1
        await gateways[0].get_json("/ivp/meters")
        await asyncio.gather(*(gateway.get_json("/ivp/meters/readings", 5.0) for gateway in gateways * 3))
        assert fake.asked.count("/auth/check_jwt") == 1
        assert (fake.most_at_once, fake.turned_away) == (2, 0)


async def test_slow_questions_never_take_both_turns(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "QUICK_S", 10.0)

    async def slow(_request: web.Request) -> str:
        await asyncio.sleep(60)
        return ""

    async with FakeGateway("8", handlers={"/inventory.json": slow}).serve() as fake:
        gateway = client(fake, access)
        waiting = [asyncio.create_task(gateway.get_json("/inventory.json", 30.0)) for _ in range(3)]
        await until(lambda: "/inventory.json" in fake.asked)
        for _ in range(3):
            await gateway.get_json("/ivp/meters", 10.0)
        assert fake.asked.count("/inventory.json") == 1
        monkeypatch.setattr(doors, "QUICK_S", 0.1)
        with pytest.raises(DeviceUnavailable, match="busy with what was asked before, for more than 0.2 s"):
            await gateway.get_json("/ivp/meters", 0.2)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("forgotten", [True, False], ids=["it has restarted", "idle for 10 minutes"])
async def test_a_session_that_is_gone_is_opened_again(forgotten: bool, access: Access) -> None:
    async with FakeGateway("8", strict=True).serve() as fake:
        gateway = client(fake, access)
        await gateway.get_json("/ivp/meters")
        if forgotten:
            fake.forget_sessions()
        else:
            fake.later_s = 700.0
        await gateway.get_json("/ivp/meters")
        assert fake.asked == ["/auth/check_jwt", "/ivp/meters", "/ivp/meters", "/auth/check_jwt", "/ivp/meters"]


async def test_a_session_that_was_not_used_for_long_is_not_tried(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "IDLE_S", -1.0)
    async with FakeGateway("8", strict=True).serve() as fake:
        gateway = client(fake, access)
        for _ in range(2):
            await gateway.get_json("/ivp/meters")
        assert fake.asked == ["/auth/check_jwt", "/ivp/meters"] * 2


async def test_a_gateway_that_refuses_everything_is_asked_no_more_than_this(access: Access) -> None:
    async with FakeGateway("8", fault="401").serve() as fake:
        gateway = client(fake, access)
        with pytest.raises(DeviceAuthError, match="check token: is it of this gateway"):
            await gateway.get_json("/ivp/meters")
        assert fake.asked == ["/auth/check_jwt", "/ivp/meters"]
        fake.fault = ""
        await gateway.get_json("/ivp/meters")  # the same token


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("role", "text"),
    [("owner", "check the role. The token is an owner's, and this needs an installer's"), ("installer", "")],
)
async def test_what_an_owner_may_not_do_is_said(status: int, role: str, text: str, access: Access) -> None:
    table = {"/ivp/ss/dpel": lambda _request: {"enable": False}}
    async with FakeGateway("8", table, wrong_role=status).serve() as fake:
        fake.valid = token(role=role)
        gateway = client(fake, access)
        assert gateway.role == role
        if not text:
            assert await gateway.get_json("/ivp/ss/dpel") == {"enable": False}
        for ask in (
            [] if not text else [gateway.get_json("/ivp/ss/dpel"), gateway.send("POST", "/ivp/ss/dpel", json={})]
        ):
            with pytest.raises(DeviceAuthError, match=text):
                await ask
        assert gateway.role == role
        await gateway.get_json("/ivp/meters")


async def test_an_installer_takes_the_session_of_an_owner_who_gets_another_one(access: Access) -> None:
    async with FakeGateway("8", strict=True).serve() as fake:
        owner = client(fake, access)
        installer = client(fake, replace(access, shared={}), token=token(role="installer"))
        for _ in range(2):
            await owner.get_json("/ivp/meters")
            await installer.get_json("/ivp/meters")


@pytest.mark.parametrize("firmware", ["5", "8"])
async def test_what_is_sent_arrives_and_the_answer_comes_back(firmware: str, access: Access) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=201, text=f"{request.content_type} {await request.text()}")

    async with FakeGateway(firmware, {"PUT /ivp/thing": echo, "POST /ivp/thing": echo}).serve() as fake:
        gateway = client(fake, access)
        assert await gateway.send("PUT", "/ivp/thing", json={"a": 1}) == 'application/json {"a": 1}'
        form = "application/x-www-form-urlencoded"
        assert await gateway.send("POST", "/ivp/thing", form={"a": "1 2"}) == f"{form} a=1+2"
        assert (
            await gateway.send("PUT", "/ivp/thing", form='{"length":1,"arr":[1]}') == f'{form} {{"length":1,"arr":[1]}}'
        )
        assert [method for method, _, _ in fake.sent][-3:] == ["PUT", "POST", "PUT"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (
            400,
            '{"message": "no such\n profile"}',
            DeviceDataError,
            r'HTTP 400; it says: {"message": "no such profile"}$',
        ),
        (503, "busy \x00\x1b[31m", DeviceDataError, r"HTTP 503: a fault of the device; it says: busy \[31m$"),
        (404, "", DeviceDataError, r"not there \(HTTP 404\)[^;]*$"),
        (403, "x" * 200_000, DeviceAuthError, "it says: x{200}$"),
        (302, "", DeviceDataError, "leads elsewhere"),
        (429, "", DeviceDataError, "too many requests"),
    ],
)
async def test_a_refusal_is_told_with_what_it_says(
    status: int, body: str, kind: type[DeviceError], text: str, access: Access
) -> None:
    table = {"/ivp/thing": lambda _request: web.Response(status=status, text=body, headers={"Location": "/ivp/meters"})}
    async with FakeGateway("8", table).serve() as fake:
        with pytest.raises(kind, match=text):
            await client(fake, access).send("POST", "/ivp/thing", json={})
        assert "/ivp/meters" not in fake.asked


async def test_what_a_refusal_quotes_of_our_secrets_is_hidden(access: Access) -> None:
    table = {
        "/ivp/thing": lambda request: web.Response(status=400, text=f"you sent {request.headers['Authorization']}")
    }
    async with FakeGateway("8", table).serve() as fake:
        with pytest.raises(DeviceDataError, match=r"you sent Bearer \*\*\*") as caught:
            await client(fake, access).send("POST", "/ivp/thing")
        assert fake.valid not in str(caught.value)


async def test_the_documents_of_big_sites_are_read_where_asked_for(access: Access) -> None:
    big = "x" * 500_000
    async with FakeGateway("8", {"/inventory.json": lambda _request: [big]}).serve() as fake:
        gateway = client(fake, access)
        with pytest.raises(DeviceDataError, match="answers more than 65536 bytes"):
            await gateway.get_json("/inventory.json")
        assert await gateway.get_json("/inventory.json", max_bytes=LARGE_BYTES) == [big]
        big = "x" * 2_000_000
        with pytest.raises(DeviceDataError, match="answers more than 1048576 bytes"):
            await gateway.get_text("/inventory.json", max_bytes=LARGE_BYTES)


@pytest.mark.parametrize("firmware", ["5", "8"])
async def test_its_daily_outage_is_over_when_it_is(firmware: str, access: Access) -> None:
    async with FakeGateway(firmware).serve() as fake:
        gateway = client(fake, access)
        await gateway.get_json("/ivp/meters")
        async with fake.away():
            with pytest.raises(DeviceUnavailable, match=rf"cannot reach https?://{fake.host}"):
                await gateway.get_json("/ivp/meters")
        await gateway.get_json("/ivp/meters")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("reset", DeviceUnavailable), ("503", DeviceDataError), ("403", DeviceAuthError), ("html", DeviceDataError)],
)
async def test_every_other_fault_has_its_kind_and_passes(fault: str, kind: type[DeviceError], access: Access) -> None:
    async with FakeGateway("8").serve() as fake:
        gateway = client(fake, access)
        for each in (fault, "", fault):
            fake.fault = each
            if each:
                with pytest.raises(kind):
                    await gateway.get_json("/ivp/meters")
            else:
                await gateway.get_json("/ivp/meters")


async def test_one_that_is_slow_is_given_up(access: Access) -> None:
    async with FakeGateway("8", slow_s=30.0).serve() as fake:
        with pytest.raises(DeviceUnavailable, match="does not answer within 0.3 s"):
            await client(fake, access).get_json("/ivp/meters", 0.3)


@pytest.mark.parametrize(
    "cookie", ["sessionId=" + "x" * 5000, "sessionId=a b", "sessionId=a\tb", 'sessionId="\\012x: y"', "=", "sessionId="]
)
async def test_hostile_cookies_are_not_sent_back(cookie: str, access: Access) -> None:
    got: list[str | None] = []

    def check(_request: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": cookie})

    def meters(request: web.Request) -> Any:
        got.append(request.headers.get("Cookie"))
        return []

    async with FakeGateway("8", {"/auth/check_jwt": check, "/ivp/meters": meters}).serve() as fake:
        await client(fake, access).get_json("/ivp/meters")
    assert got in ([None], ["sessionId=a"])


async def test_a_token_of_a_file_is_read_again_when_it_is_refused(access: Access) -> None:
    path = access.data_dir / "pasted"
    async with FakeGateway("8").serve() as fake:
        path.write_text(fake.valid)
        gateway = client(fake, access, token_file=path)
        await gateway.get_json("/ivp/meters")
        fake.revoked.add(fake.valid)
        with pytest.raises(DeviceAuthError, match="is it of this gateway"):
            await gateway.get_json("/ivp/meters")
        path.write_text(token(role="installer") + "\n")
        await gateway.get_json("/ivp/meters")
        assert gateway.role == "installer"


async def test_that_a_pasted_token_runs_out_is_said_once(access: Access, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeGateway("8").serve() as fake:
        soon = token(fake.now_s + 5 * 86_400.0)
        gateway = client(fake, access, token=soon)
        for _ in range(3):
            await gateway.get_json("/ivp/meters")
        said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(said) == 1
        assert f"{gateway.name}: the token runs out at" in said[0]
        assert str(gateway.expiry_notice) in said[0]


async def test_a_section_without_a_login_uses_that_of_another_one(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeGateway("8").serve() as fake:
        gateway = Gateway.of(access, Elsewhere(host=fake.host))
        assert (await gateway.about()).serial == fake.serial
        with pytest.raises(DeviceAuthError, match="no section of the configuration says how to log in"):
            await gateway.get_json("/ivp/meters")
        assert client(fake, access) is gateway
        await gateway.get_json("/ivp/meters")
        assert client(fake, access) is Gateway.of(access, Elsewhere(host=fake.host)) is gateway
        assert not caplog.records
        client(fake, access, token=token(role="installer"))
        assert "has two different logins" in caplog.text
        assert await gateway.token() == fake.valid


async def test_libraries_get_the_token_and_the_certificate(access: Access) -> None:
    async with FakeGateway("8").serve() as fake:
        gateway = client(fake, access)
        assert await gateway.token() == fake.valid
        pinned = await gateway.ssl()
        async with access.session.get(f"https://{fake.host}/info", ssl=pinned) as answer:
            assert answer.status == 200
        assert await client(fake, replace(access, shared={}), certificate="any").ssl() is False
    async with FakeGateway("5").serve() as fake:
        with pytest.raises(DeviceAuthError, match="configured with a password"):
            await client(fake, access).token()
        assert await client(fake, access).ssl() is False


async def test_a_certificate_that_changed_ends_streams_as_well(access: Access) -> None:
    fake = FakeGateway("8", valid=token(role="installer"))
    async with fake.serve("one"):
        gateway = client(fake, access)
        await gateway.get_json("/ivp/meters")
    async with fake.serve("other"):
        with pytest.raises(DeviceAuthError, match="take 127.0.0.1:.* out of"):
            async with gateway.stream("/stream/meter"):
                pass
        assert fake.asked == ["/auth/check_jwt", "/ivp/meters"]


@pytest.mark.parametrize("firmware", ["5", "8"])
async def test_lines_are_streamed(firmware: str, access: Access) -> None:
    async with FakeGateway(firmware, valid=token(role="installer"), strict=True, stream_s=0.01).serve() as fake:
        keys = {} if fake.has_tokens else {"username": "installer", "password": fake.passwords["installer"]}
        gateway = client(fake, access, **keys)
        for _ in range(2):
            fake.forget_sessions()
            got: list[str] = []
            async with gateway.stream("/stream/meter") as lines:
                async for line in lines:
                    got.append(line)
                    if len(got) == 5:
                        break
            assert [line[:7] for line in got] == ["data: {", "", "data: {", "", "data: {"]
            await until(lambda: fake.at_once == 0, what="the stream to be closed")


async def test_a_stream_that_stalls_breaks_or_is_refused_is_an_error(access: Access) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x" * 300_000)
        await asyncio.sleep(60)
        return answer

    async def short(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x\r\n")
        return answer

    async def lines_of(path: str) -> None:
        async with gateway.stream(path, 1.0) as lines:
            async for _ in lines:
                pass

    table = {"/endless": endless, "/short": short}
    async with FakeGateway("8", table, stream="silent", valid=token(role="installer")).serve() as fake:
        gateway = client(fake, access)
        for path, kind, text in (
            ("/stream/meter", DeviceUnavailable, "has said nothing for 1 s"),
            ("/endless", DeviceDataError, "a line without end"),
            ("/short", DeviceUnavailable, "has closed the stream"),
            ("/nothing", DeviceDataError, "not there"),
        ):
            with pytest.raises(kind, match=text):
                await lines_of(path)
        owner = client(fake, replace(access, shared={}), token=token())
        with pytest.raises(DeviceAuthError, match="an owner's, and this needs an installer's"):
            async with owner.stream("/stream/meter"):
                pass


HOSTILE = {name: NONSENSE[name] for name in ("no HTTP", "a login page", "a deep list", "a refusal of 10 MB", "null")}
HOSTILE |= {name: TOO_MUCH[name] for name in ("a body without end", "a header without end", "a packed 20 MB")}


@pytest.mark.parametrize("name", HOSTILE)
async def test_whatever_answers_there_it_is_an_error_and_no_secret_goes_out(name: str, access: Access) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(FOLDER / "one.pem")
    async with hostile(HOSTILE[name], tls) as server:
        gateway = Gateway.of(access, EnphaseLogin(host=server.host, token="CANARY-CANARY"))
        with pytest.raises(DeviceError) as caught:
            await gateway.about(2.0)
        assert not any(b"CANARY" in asked for asked in server.asked), "who asks for /info shows nothing"
        assert len(str(caught.value)) < 400
        if name != "null":
            with pytest.raises(DeviceError) as caught:
                await gateway.get_json("/ivp/meters", 2.0)
        assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("firmware", list(SOFTWARE))
async def test_the_doctor_finds_all_well(firmware: str, access: Access) -> None:
    async with FakeGateway(firmware).serve() as fake:
        checks = await examine_gateway(client(fake, access))
    assert [(check.name, check.status) for check in checks] == [("inverter", "ok")] * 2
    assert f"gateway {fake.serial}, firmware {SOFTWARE[firmware]}" in checks[0].detail
    values = dict(checks[1].values)
    if fake.has_tokens:
        assert values["role"] == "owner"
        assert values["token_days"] > 365
        assert "lets us in as owner until 2033-05-18" in checks[1].detail
        assert "certificate is the one of the first contact" in checks[1].detail
    else:
        assert "the password of envoy is right" in checks[1].detail


async def test_the_doctor_says_what_is_wrong(access: Access) -> None:
    async def found(fake: FakeGateway, **keys: Any) -> list[tuple[str, str]]:
        checks = await examine_gateway(client(fake, replace(access, shared={}), **keys), "meter")
        return [(check.status, f"{check.detail} {check.next_step}") for check in checks]

    async with FakeGateway("8").serve() as fake:
        ((status, said),) = await found(fake, password="012345")
        assert (status, "takes no password" in said) == ("fail", True)
        _, (status, said) = await found(fake, token=token(1e9))
        assert (status, "ran out on 2001-09-09" in said) == ("fail", True)
        _, (status, said) = await found(fake, token=token(serial="122099999999"))
        assert (status, f"made for the gateway 122099999999, and this is {fake.serial}" in said) == ("fail", True)
        _, (status, said) = await found(fake, certificate="any")
        assert (status, "believes whoever answers" in said) == ("warn", True)
        _, (status, said) = await found(fake, token=token(fake.now_s + 3600.0))
        assert (status, "The token runs out at" in said) == ("warn", True)
        fake.fault = "reset"
        _, (status, said) = await found(fake)
        assert (status, "cannot reach" in said) == ("fail", True)
        fake.fault, fake.handlers = "", {"/ivp/meters": lambda _request: web.Response(status=404)}
        _, (status, said) = await found(fake)
        assert status == "ok"
    ((status, said),) = await found(fake)
    assert (status, "once a day it is away" in said) == ("fail", True)
    async with FakeGateway("5").serve() as fake:
        ((status, said),) = await found(fake, token=token())
        assert (status, "knows no tokens" in said) == ("fail", True)
