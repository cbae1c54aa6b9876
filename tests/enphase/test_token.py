"""What is read out of tokens and out of /info, whoever wrote them."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enphase.about import about_of
from app.enphase.token import Claims, advice, claims_of, expiry_notice, is_token, role_advice
from app.model import DeviceDataError
from tests.enphase.fake import SERIAL, token

DAY_S, HOUR_S = 86_400.0, 3600.0


def raw(claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


def test_a_token_tells_its_role_and_its_times() -> None:
    assert claims_of(token(2e9, role="installer", made_s=1e9)) == Claims("installer", 1e9, 2e9, SERIAL)
    assert claims_of(token(2e9)) == Claims("owner", None, 2e9, SERIAL)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a.b", "a.!!!.c", "a.bm9wZQ.c", "a.b.c.d", raw([1]), raw(None), "e30." + "A" * 9000 + ".c", "ü.ü.ü",
     "e30." + base64.urlsafe_b64encode(b"[" * 5000).decode() + ".c", "e30.//8.c"],
)  # fmt: skip
def test_what_is_no_token_says_nothing(text: str) -> None:
    assert claims_of(text) is None
    assert "this is none" in advice(text, 0.0)
    assert expiry_notice(text, 0.0) is None


@pytest.mark.parametrize("expires", [None, "1", "soon", math.nan, math.inf, -1, 0, True, [], {}, 10**400, 1e12])
def test_times_that_are_none_are_not_believed(expires: Any) -> None:
    claims = claims_of(raw({"enphaseUser": "owner", "exp": expires, "iat": expires}))
    assert claims == Claims("owner", None, None)
    assert not claims.is_due(2e9)
    assert "does not say how long" in advice(raw({"exp": expires}), 0.0)


@pytest.mark.parametrize("gateway", [None, 5, "x", "1" * 99, ["122012345678"], "１２２０１２３４５６７８"])
def test_a_gateway_that_is_none_is_not_shown(gateway: Any) -> None:
    text = raw({"exp": 2e9, "aud": gateway})
    claims = claims_of(text)
    assert claims is not None
    assert claims.gateway is None
    assert "is it of this gateway? (it is valid until" in advice(text, 0.0)


@pytest.mark.parametrize("role", [None, 5, "admin", "x" * 1000, ["owner"]])
def test_roles_that_nobody_knows_are_none(role: Any) -> None:
    claims = claims_of(raw({"enphaseUser": role, "exp": 5}))
    assert claims is not None
    assert claims.role is None


@given(st.text() | st.binary().map(lambda data: f"e30.{base64.urlsafe_b64encode(data).decode()}.c2ln"))
def test_whatever_it_is_it_does_no_harm(text: str) -> None:
    claims_of(text)
    is_token(text)
    assert advice(text, 1e9)


@pytest.mark.parametrize(
    ("made_s", "until_s", "role", "due_s"),
    [
        (0.0, 12 * HOUR_S, "installer", 10.8 * HOUR_S),  # a tenth of its life is left
        (0.0, 365 * DAY_S, "owner", 351 * DAY_S),  # 14 days
        (None, 12 * HOUR_S, "installer", 10.8 * HOUR_S),
        (100.0, 50.0, "owner", 50.0),  # made after its end
    ],
)
def test_a_token_is_renewed_before_it_runs_out(made_s: float | None, until_s: float, role: Any, due_s: float) -> None:
    claims = Claims(role, made_s, until_s)
    assert not claims.is_due(due_s - 1.0)
    assert claims.is_due(due_s + 1.0)


@pytest.mark.parametrize(("role", "before_s"), [("owner", 14 * DAY_S), ("installer", HOUR_S)])
def test_who_has_to_make_the_next_token_by_hand_is_told_in_time(role: str, before_s: float) -> None:
    text = token(2e9, role=role)
    assert expiry_notice(text, 2e9 - before_s - 1.0) is None
    assert "runs out at 2033-05-18 03:33 UTC: make a new one" in str(expiry_notice(text, 2e9 - before_s + 1.0))
    assert "ran out at" in str(expiry_notice(text, 2e9 + 1.0))


def test_what_a_role_may_not_do_is_explained() -> None:
    assert "an owner's, and this needs an installer's: set enlighten_role" in role_advice("owner")
    assert "not said to be" in role_advice(None)
    assert "ask Enphase about the account" in role_advice("installer")


def info(sn: str = "122012345678", software: str = "D8.3.5528", head: str = "", more: str = "") -> bytes:
    device = f"<device><sn>{sn}</sn><software>{software}</software>{more}</device>"
    return f"<?xml version='1.0' encoding='UTF-8'?>{head}<envoy_info>{device}</envoy_info>".encode()


@pytest.mark.parametrize(
    ("software", "version", "wants_token"),
    [("R4.10.35", (4, 10, 35), False), ("D5.0.62", (5, 0, 62), False), ("D7.0.88", (7, 0, 88), True),
     ("D8.3.5528", (8, 3, 5528), True), ("8.3", (8, 3, 0), True), ("D08.02.4398-foo", (8, 2, 4398), True)],
)  # fmt: skip
def test_the_firmware_decides_how_to_log_in(software: str, version: Any, wants_token: bool) -> None:
    about = about_of(info(software=software), "it")
    assert (about.version, about.wants_token) == (version, wants_token)


def test_what_else_it_tells() -> None:
    about = about_of(info(more="<pn>800-00654-r08</pn><imeter>true</imeter>"), "it")
    assert (about.serial, about.part_number, about.metered) == ("122012345678", "800-00654-r08", True)
    assert about_of(info(), "it").metered is None


BOMB = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
) + "]>"  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"<html><p>Not found", b"\xff\xfe\x00", b"<a>" * 20_000, info(head=BOMB, sn="&j;"),
        info(head="<!DOCTYPE a [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>", sn="&a;"),
        info(head="<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/a.dtd'>"), info(sn="&undefined;"),
        b"<?xml version='1.0' encoding='nonsense'?><a/>",
        info(head="<!DOCTYPE a [<!ENTITY a 'b'>]>").decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        b"<?xml version='1.0'?><!DOCTYPE html><envoy_info/>",
    ],
)  # fmt: skip
def test_an_info_that_is_none_or_unfolds_is_refused(body: bytes) -> None:
    with pytest.raises(DeviceDataError, match="it answers, but with no XML"):
        about_of(body, "it")


@pytest.mark.parametrize(
    ("sn", "software"),
    [("", "D8.3"), ("12", "D8.3"), ("x" * 99, "D8.3"), ("122012345678", ""), ("122012345678", "Linux"),
     ("../../etc/passwd", "D8.3.1"), ("１２２０１２３４５６７８", "D8.3.1"), ("122012345678", "D" + "9" * 5000)],
)  # fmt: skip
def test_an_info_without_serial_number_and_version_is_refused(sn: str, software: str) -> None:
    with pytest.raises(DeviceDataError, match="is this an Enphase gateway") as caught:
        about_of(info(sn, software), "it")
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=300))
def test_whatever_info_is_it_does_no_harm(body: bytes) -> None:
    with pytest.raises(DeviceDataError):
        about_of(body, "it")
