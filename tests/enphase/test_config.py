"""One way to log in, and one only."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from app.enphase.config import EnphaseLogin
from app.redact import secrets_of


class Elsewhere(EnphaseLogin):
    login_elsewhere: ClassVar[bool] = True


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "no way to log in: give one of token, token_file"),
        ({"token": "a", "password": "b"}, "token and password are 2 ways to log in"),
        ({"token": "a", "token_file": "/b", "password": "c"}, "are 3 ways"),
        ({"enlighten_username": "a", "enlighten_password": "b", "token": "c"}, "token and enlighten_password are 2"),
        ({"enlighten_username": "a"}, "enlighten_username needs enlighten_password beside it"),
        ({"enlighten_password": "a"}, "enlighten_password needs enlighten_username beside it"),
        ({"token": "ü"}, "sign that is not ASCII"),
        ({"token": "a" * 9000}, "at most 8192"),
        ({"password": "a", "username": "a:b"}, "username"),
        ({"token": "a", "gateway_serial": "12x"}, "gateway_serial"),
        ({"token": "a", "certificate": "none"}, "certificate"),
        ({"token": "a", "entrez_url": "ftp://x"}, "is not a URL"),
    ],
)
def test_a_login_that_is_none_or_two_is_refused(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        EnphaseLogin(host="10.0.0.9", **keys)


@pytest.mark.parametrize(
    "keys",
    [{"token": "a"}, {"token_file": "/b"}, {"enlighten_username": "a", "enlighten_password": "b"}, {"password": "c"}],
)
def test_each_way_is_one(keys: dict[str, Any]) -> None:
    assert EnphaseLogin(host="10.0.0.9", **keys).has_login


def test_a_section_may_leave_the_login_to_another_one() -> None:
    assert not Elsewhere(host="10.0.0.9").has_login
    with pytest.raises(ValidationError, match="2 ways"):
        Elsewhere(host="10.0.0.9", token="a", password="b")


def test_secrets_are_known_as_such() -> None:
    login = EnphaseLogin(host="10.0.0.9", enlighten_username="someone", enlighten_password="CANARY")
    assert "CANARY" in secrets_of(login)
    assert "CANARY" not in repr(login)
