"""Links that name the state that they set, and expire."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from multidict import MultiDict

from app.api.links import Link, check, toggle_url
from app.config import HttpConfig

KEY, OTHER = b"k" * 32, b"o" * 32
CONFIG = HttpConfig(public_url="http://pi.local:8080")


def query(**changes: str | None) -> MultiDict[str]:
    url = toggle_url(CONFIG, KEY, state="off", expires_utc_s=1000)
    given = dict(parse_qsl(urlsplit(url).query)) | changes
    return MultiDict({name: value for name, value in given.items() if value is not None})


def test_a_link_leads_here_and_back_to_grafana() -> None:
    url = toggle_url(CONFIG, KEY, state="on", expires_utc_s=1000)
    assert url.startswith("http://pi.local:8080/api/toggle?state=on&exp=1000&sig=")
    assert dict(parse_qsl(urlsplit(url).query))["redirect"] == "http://pi.local:3000/d/zero-export"
    assert KEY.hex() not in url


@pytest.mark.parametrize(
    ("changes", "now_utc_s", "worth"),
    [
        ({}, 999.9, Link.VALID),
        ({}, 1000.0, Link.EXPIRED),
        ({"exp": "1001"}, 999.0, Link.FORGED),
        ({"exp": "01000"}, 999.0, Link.FORGED),
        ({"exp": "1e3"}, 999.0, Link.FORGED),
        ({"exp": None}, 999.0, Link.FORGED),
        ({"state": "on"}, 999.0, Link.FORGED),
        ({"state": None}, 999.0, Link.FORGED),
        ({"sig": ""}, 999.0, Link.FORGED),
        ({"sig": "0" * 64}, 999.0, Link.FORGED),
        ({"sig": "ü\udcff"}, 999.0, Link.FORGED),
        ({"sig": None}, 999.0, Link.FORGED),
        ({"sig": None, "exp": None}, 999.0, Link.NONE),
        ({"redirect": None}, 999.0, Link.VALID),
    ],
)
def test_what_a_signature_is_worth(changes: dict[str, str | None], now_utc_s: float, worth: Link) -> None:
    assert check(KEY, query(**changes), now_utc_s=now_utc_s) is worth


def test_another_installation_signs_nothing_for_us() -> None:
    assert check(OTHER, query(), now_utc_s=1.0) is Link.FORGED


def test_a_second_signature_spoils_the_link() -> None:
    doubled = query()
    doubled.add("state", "on")
    assert check(KEY, doubled, now_utc_s=1.0) is Link.FORGED
