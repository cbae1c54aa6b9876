"""Tokens that are fetched with an Enlighten account: kept, renewed in time, and never at the cost of the account."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access import Access
from app.documents import Busy
from app.enphase import account, enlighten, portal
from app.enphase.account import BackOff
from app.enphase.config import EnphaseLogin
from app.enphase.gateway import Gateway
from app.enphase.portal import Page
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable
from tests.conftest import until
from tests.enphase.cloud import FakeCloud
from tests.enphase.fake import SERIAL, FakeGateway, token
from tests.enphase.test_config import Elsewhere
from tests.meters.hostile import NEVER_DONE, NONSENSE, TOO_MUCH, Behaviour, hostile

HOUR_S = 3600.0


def client(fake: FakeGateway, cloud: FakeCloud, access: Access, **keys: Any) -> Gateway:
    """As after a restart."""
    section = EnphaseLogin(host=fake.host, **(cloud.keys | keys))
    return Gateway.of(replace(access, shared={}), section)


def kept(access: Access) -> Path:
    return access.data_dir / f"enphase-{SERIAL}.token"


async def test_a_token_is_fetched_once_and_kept_over_restarts(access: Access) -> None:
    async with FakeGateway("8", sockets=20).serve() as fake, FakeCloud().serve() as cloud:
        gateway = client(fake, cloud, access)
        await asyncio.gather(*(gateway.get_json("/ivp/meters") for _ in range(4)))
        assert (cloud.logins, gateway.role, await gateway.token()) == (1, "owner", cloud.made[0])
        assert gateway.token_expires_utc_s == pytest.approx(time.time() + cloud.lifetime_s, abs=60.0)
        assert gateway.expiry_notice is None
        assert stat.S_IMODE(kept(access).stat().st_mode) == 0o600
        for _ in range(3):
            await client(fake, cloud, access).get_json("/ivp/meters")
        assert cloud.logins == 1
        assert [path.name for path in access.data_dir.iterdir() if "tmp" in path.name] == []


async def test_a_serial_number_that_is_known_is_not_asked_for(access: Access) -> None:
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        await client(fake, cloud, access, gateway_serial=SERIAL).get_json("/ivp/meters")
        assert "/info" not in fake.asked


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"token": 5}', '{"token": "a.b.c", "login": ""}', "\xff" * 100_000, "null"],
)
async def test_a_damaged_file_costs_one_login(content: str, access: Access) -> None:
    kept(access).write_text(content)
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        await client(fake, cloud, access).get_json("/ivp/meters")
        assert cloud.logins == 1
        assert json.loads(kept(access).read_text())["token"] == cloud.made[0]
        assert kept(access).with_suffix(".damaged").exists() is not content.startswith('{"token": "a.b.c')


async def test_a_token_of_another_account_is_not_used(access: Access) -> None:
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        await client(fake, cloud, access).get_json("/ivp/meters")
        cloud.username = "somebody.else@example.org"
        await client(fake, cloud, access).get_json("/ivp/meters")
        assert cloud.logins == 2


@pytest.mark.parametrize(("made_ago_s", "logins"), [(10.7 * HOUR_S, 1), (10.9 * HOUR_S, 2)])
async def test_it_is_renewed_before_it_runs_out(
    made_ago_s: float, logins: int, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "NEWER_S", 0.0)
    cloud = FakeCloud(role="installer", lifetime_s=12 * HOUR_S, made_ago_s=made_ago_s)
    async with FakeGateway("8").serve() as fake, cloud.serve():
        await client(fake, cloud, access).get_json("/ivp/meters")
        gateway, cloud.made_ago_s = client(fake, cloud, access), 0.0
        await gateway.get_json("/ivp/meters")
        await until(lambda: cloud.made[-1] in kept(access).read_text() and len(cloud.made) == logins)
        await gateway.get_json("/ivp/meters")
        assert (await gateway.token(), cloud.logins) == (cloud.made[-1], logins)


async def test_while_the_cloud_is_down_the_old_token_goes_on(
    access: Access, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(account, "NEWER_S", 0.0)
    cloud = FakeCloud(role="installer", lifetime_s=12 * HOUR_S, made_ago_s=11.5 * HOUR_S)
    async with FakeGateway("8").serve() as fake, cloud.serve():
        gateway = client(fake, cloud, access)
        await gateway.get_json("/ivp/meters")
        cloud.answer = "down"
        for _ in range(5):
            await gateway.get_json("/ivp/meters")
        await until(lambda: "cannot be renewed yet" in caplog.text)
        for _ in range(5):
            await gateway.get_json("/ivp/meters")
        assert cloud.logins == 2, "the next one a minute later"
        assert caplog.text.count("cannot be renewed yet") == 1
        assert await gateway.token() == cloud.made[0]


async def test_once_it_has_run_out_what_the_cloud_says_is_told(access: Access) -> None:
    cloud = FakeCloud(lifetime_s=12 * HOUR_S, made_ago_s=13 * HOUR_S)
    async with FakeGateway("8", later_s=-2 * HOUR_S).serve() as fake, cloud.serve():
        await client(fake, cloud, access).get_json("/ivp/meters")
        cloud.answer = "down"
        gateway = client(fake, cloud, access)
        for _ in range(3):
            with pytest.raises(DeviceDataError, match="HTTP 503") as caught:
                await gateway.get_json("/ivp/meters")
        assert "asked again in 1 min" in str(caught.value)
        assert cloud.logins == 2
        assert cloud.made[0] in kept(access).read_text()


async def test_a_token_that_a_gateway_refuses_is_renewed_once(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        old = token(4e9, made_s=1e9)
        await client(fake, cloud, access).get_json("/ivp/meters")
        kept(access).write_text(kept(access).read_text().replace(cloud.made[0], old))
        fake.revoked.add(old)
        gateway = client(fake, cloud, access)
        await asyncio.gather(*(gateway.get_json("/ivp/meters") for _ in range(3)))
        assert cloud.logins == 2
        assert cloud.made[1] in kept(access).read_text()
        fake.fault = "401"
        for _ in range(3):
            with pytest.raises(DeviceAuthError, match="refuses the login"):
                await gateway.get_json("/ivp/meters")
        assert cloud.logins == 2, "a new one does not help"
        assert cloud.made[1] in kept(access).read_text(), "and the old one is no worse for it"
        fake.fault = ""
        await client(fake, cloud, access).get_json("/ivp/meters")
        assert cloud.logins == 2


async def test_where_no_new_one_is_given_both_are_told(access: Access) -> None:
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        old = token(4e9, made_s=1e9)
        await client(fake, cloud, access).get_json("/ivp/meters")
        kept(access).write_text(kept(access).read_text().replace(cloud.made[0], old))
        fake.revoked.add(old)
        cloud.answer = "down"
        with pytest.raises(DeviceAuthError, match=r"is it of this gateway.*no new one was given: .*HTTP 503"):
            await client(fake, cloud, access).get_json("/ivp/meters")
        assert old in kept(access).read_text()


@pytest.mark.parametrize(
    ("cloud", "keys", "kind", "text"),
    [
        (FakeCloud(), {"enlighten_password": "wrong horse"}, DeviceAuthError, "check enlighten_username and enlight"),
        (FakeCloud(answer="mfa"), {}, DeviceAuthError, "multi-factor authentication. Switch that off .* by hand at"),
        (
            FakeCloud(serials=()),
            {},
            DeviceAuthError,
            f"the account is the one of the gateway {SERIAL}|Enlighten account",
        ),
        (FakeCloud(answer="down"), {}, DeviceDataError, "HTTP 503"),
        (FakeCloud(answer="html"), {}, DeviceDataError, "does not answer with JSON"),
        (FakeCloud(answer="nonsense"), {}, DeviceDataError, "something that is no token"),
    ],
    ids=["password", "mfa", "serial", "down", "html", "nonsense"],
)
async def test_what_the_cloud_refuses_is_told_and_not_tried_again_soon(
    cloud: FakeCloud, keys: dict[str, str], kind: type[DeviceError], text: str, access: Access
) -> None:
    async with FakeGateway("8").serve() as fake, cloud.serve():
        gateway = client(fake, cloud, access, **keys)
        for _ in range(5):
            with pytest.raises(kind, match=text) as caught:
                await gateway.get_json("/ivp/meters")
            assert "horse" not in str(caught.value)
        assert cloud.logins == 1
        assert f"asked again in {60 if kind is DeviceAuthError else 1} min" in str(caught.value)
        with pytest.raises(DeviceError):
            await client(fake, cloud, access, **keys).get_json("/ivp/meters")
        assert cloud.logins == (1 if kind is DeviceAuthError else 2), "a refusal outlives a restart"


async def test_a_password_that_was_put_right_is_tried_at_once(access: Access) -> None:
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        with pytest.raises(DeviceAuthError):
            await client(fake, cloud, access, enlighten_password="wrong").get_json("/ivp/meters")
        await client(fake, cloud, access).get_json("/ivp/meters")


async def test_a_cloud_that_is_not_there_is_told(access: Access) -> None:
    async with FakeGateway("8").serve() as fake:
        async with FakeCloud().serve() as cloud:
            pass
        with pytest.raises(DeviceUnavailable, match="cannot reach http://127.0.0.1:.*/login/login.json"):
            await client(fake, cloud, access).get_json("/ivp/meters")


async def test_a_gateway_that_is_away_at_the_start_costs_no_login(access: Access) -> None:
    async with FakeGateway("8").serve() as fake, FakeCloud().serve() as cloud:
        async with fake.away():
            with pytest.raises(DeviceUnavailable):
                await client(fake, cloud, access).get_json("/ivp/meters")
        assert cloud.logins == 0


@pytest.mark.parametrize(
    ("portal_role", "wanted", "role"),
    [("installer", "installer", "installer"), ("installer", "owner", "owner"), ("", "installer", "owner"),
     ("owner", "installer", "owner")],
)  # fmt: skip
async def test_a_self_installer_gets_his_token_from_the_page_of_entrez(
    portal_role: str, wanted: str, role: str, access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"/ivp/ss/dpel": lambda _request: {"enable": False}}
    async with FakeGateway("8", table).serve() as fake, FakeCloud(portal_role=portal_role).serve() as cloud:
        gateway = client(fake, cloud, access, enlighten_role=wanted)
        await gateway.get_json("/ivp/meters")
        assert gateway.role == role
        if role == "installer":
            assert await gateway.get_json("/ivp/ss/dpel") == {"enable": False}
        assert ("an owner's token for" in caplog.text) is (role != wanted)
        for _ in range(3):
            await gateway.get_json("/ivp/meters")
        assert cloud.logins == 1


@pytest.mark.parametrize("first", ["owner", "installer"])
async def test_an_installers_is_fetched_where_any_section_wants_one(first: str, access: Access) -> None:
    cloud = FakeCloud(portal_role="installer")
    async with FakeGateway("8").serve() as fake, cloud.serve():
        second = Elsewhere(host=fake.host, enlighten_role="installer" if first == "owner" else "owner")
        gateway = Gateway.of(access, EnphaseLogin(host=fake.host, enlighten_role=first, **cloud.keys))
        assert Gateway.of(access, second) is gateway
        await gateway.get_json("/ivp/meters")
        assert gateway.role == "installer"


async def test_an_installers_token_is_not_given_up_for_an_owners(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "NEWER_S", 0.0)
    cloud = FakeCloud(portal_role="installer", lifetime_s=12 * HOUR_S, made_ago_s=11.5 * HOUR_S)
    async with FakeGateway("8").serve() as fake, cloud.serve():
        gateway = client(fake, cloud, access, enlighten_role="installer")
        await gateway.get_json("/ivp/meters")
        cloud.portal_role = ""
        await gateway.get_json("/ivp/meters")
        await until(lambda: cloud.logins == 2)
        await gateway.get_json("/ivp/meters")
        assert gateway.role == "installer"


@pytest.mark.parametrize(
    ("name", "behaviour"),
    [*NONSENSE.items(), *((name, TOO_MUCH[name]) for name in ("10 MB", "a packed 20 MB", "a header without end")),
     ("silence", NEVER_DONE["silence"])],
)  # fmt: skip
async def test_a_hostile_cloud_is_an_error(
    name: str, behaviour: Behaviour | bytes, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enlighten, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(portal, "TIMEOUT_S", 1.0)
    async with hostile(behaviour) as server:
        keys = {"enlighten_url": f"http://{server.host}", "entrez_url": f"http://{server.host}"}
        section = EnphaseLogin(host="127.0.0.1:9", enlighten_username="u", enlighten_password="CANARY", **keys)
        for fetch in (enlighten.fetch_token, portal.portal_token):
            with pytest.raises(DeviceError) as caught:
                await fetch(access.session, section, SERIAL)
            assert "CANARY" not in str(caught.value)


async def test_a_redirect_takes_the_password_nowhere(access: Access) -> None:
    async with hostile(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as other:
        head = f"HTTP/1.1 307 Look there\r\nLocation: http://{other.host}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with hostile(head) as server:
            keys = {"enlighten_url": f"http://{server.host}", "entrez_url": f"http://{server.host}"}
            section = EnphaseLogin(host="127.0.0.1:9", enlighten_username="u", enlighten_password="CANARY", **keys)
            for fetch in (enlighten.fetch_token, portal.portal_token):
                with pytest.raises(DeviceError):
                    await fetch(access.session, section, SERIAL)
        assert other.asked == []


@given(st.text())
def test_whatever_a_page_is_it_does_no_harm(text: str) -> None:
    for page in (Page(text), Page(f"<textarea>{text}"), Page(f"<option value='{text}'>{text}</option>")):
        assert page.token is None
        page.site_of(SERIAL)


@pytest.mark.parametrize("unit", ["<a", "<!--", "<input ", "<input " + "a" * 990 + ">", "<option a='", "<textarea>x"])
def test_a_page_that_keeps_a_parser_busy_is_read_as_others(unit: str) -> None:
    """It would take longer than anybody waits for a test."""
    page = Page(unit * (portal.MAX_BYTES // len(unit)))
    assert (page.csrf, page.token, page.site_of(SERIAL)) == ("", None, None)


def test_a_page_is_read_however_it_names_the_sites() -> None:
    assert Page(f"<option value='{SERIAL}'>Home</option>").site_of(SERIAL) == SERIAL
    assert Page(f"<option value='77'>Home ({SERIAL})</option>").site_of(SERIAL) == "77"
    assert Page(f"<option>{SERIAL}").site_of(SERIAL) == SERIAL
    assert Page("<option value='77'>Home</option>").site_of(SERIAL) is None
    made = token()
    assert Page(f"<p>{made}</p><textarea>\n {made} </textarea>").token == made


def test_the_pauses_grow_and_a_refusal_is_an_hour() -> None:
    back_off, now_s = BackOff(), 1000.0
    back_off.admit(now_s)
    for pause_s in (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0):
        back_off.failed(DeviceUnavailable("it is down"), now_s)
        with pytest.raises(DeviceUnavailable, match="it is down; asked again in"):
            back_off.admit(now_s + pause_s - 1.0)
        now_s += pause_s
        back_off.admit(now_s)
    back_off.succeeded()
    back_off.failed(DeviceAuthError("no"), now_s)
    with pytest.raises(DeviceAuthError):
        back_off.admit(now_s + 3599.0)
    back_off.failed(DeviceAuthError("no"), now_s, ago_s=3000.0)
    back_off.admit(now_s + 601.0)
    back_off.succeeded()
    back_off.failed(Busy("too many", 100.0), now_s)
    with pytest.raises(Busy, match="too many; asked again in 2 min"):
        back_off.admit(now_s + 1.0)
    back_off.admit(now_s + 101.0)


async def test_a_wrong_clock_of_ours_does_not_fetch_again_and_again(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    """By our clock the new token has run out; the gateway thinks otherwise."""
    caplog.set_level(logging.INFO)
    cloud = FakeCloud(lifetime_s=HOUR_S, made_ago_s=5 * HOUR_S)
    async with FakeGateway("8", later_s=-5 * HOUR_S).serve() as fake, cloud.serve():
        gateway = client(fake, cloud, access)
        for _ in range(3):
            await gateway.get_json("/ivp/meters")
        assert cloud.logins == 1
    assert f"{gateway.name}: a new token, owner" in caplog.text
    assert cloud.made[0] not in caplog.text
