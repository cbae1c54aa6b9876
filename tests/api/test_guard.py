"""The pure rules: hosts, browsers, origins and redirects."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from app.api.guard import (
    RefusedError,
    bearer,
    host_allowed,
    is_browser,
    is_prefetch,
    is_same_origin,
    safe_redirect,
    verdict,
)
from app.config import HttpConfig

CONFIG = HttpConfig(
    public_url="http://zero.example.org:8080",
    allowed_origins=("https://grafana.example.org", "http://[fd00::5]:3000"),
    allowed_hosts=("solar.example.org",),
)
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"}


def headers(**given: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in given.items()})


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.5", "192.168.1.5:8080", "[::1]:8080", "[fd00::5]", "127.0.0.1:80", "localhost", "localhost:8080",
        "LOCALHOST", "pi", "pi:8080", "pi.local", "Pi.Local.", "pi.lan:8080", "pi.home.arpa", "zero.internal",
        "app.localhost", "zero.example.org", "ZERO.example.org:9999", "solar.example.org:443", "solar.example.org.",
    ],
)  # fmt: skip
def test_hosts_that_no_foreign_name_server_controls(host: str) -> None:
    assert host_allowed(host, CONFIG)


@pytest.mark.parametrize(
    "host",
    [
        "", ":8080", "evil.example", "evil.example:8080", "192.168.1.5.evil.example", "example.org",
        "x.solar.example.org",
        "solar.example.org.evil.example", "evillocal.com", "local.evil", "a@pi.local", "evil.example/.local",
        "evil.example?.local", "evil.example#.local", "evil.example\\.local", "pi.local:99999", "pi.local:x", "[::1",
        "1.2.3.4.5", "pi .local",
        "[::1].evil.example", "[::1]evil.example:80", "[::1]]", "[pi.local]", "-.local", "..local", "évil.local",
    ],
)  # fmt: skip
def test_hosts_that_may_be_anybodys(host: str) -> None:
    assert not host_allowed(host, CONFIG)


@pytest.mark.parametrize(
    ("given", "browser"),
    [
        ({}, False),
        ({"User-Agent": "curl/8.5.0"}, False),
        ({"User-Agent": "python-requests/2.32 Mozilla/5.0"}, False),
        (FIREFOX, True),
        ({"User-Agent": "mozilla/4.0 (compatible)"}, True),
        ({"User-Agent": "curl/8.5.0", "Origin": "null"}, True),
        ({"User-Agent": "curl/8.5.0", "Referer": "http://x/"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Mode": "navigate"}, True),
        ({"Sec-Fetch-Dest": "image"}, True),
        ({"Sec-Fetch-User": "?1"}, True),
    ],
)
def test_what_counts_as_a_browser(given: dict[str, str], browser: bool) -> None:
    assert is_browser(CIMultiDict(given)) is browser


@pytest.mark.parametrize(
    ("given", "prefetch"),
    [
        ({"Sec-Purpose": "prefetch"}, True),
        ({"Sec-Purpose": "prefetch;prerender"}, True),
        ({"Sec-Purpose": "prefetch;anonymous-client-ip"}, True),
        ({"Purpose": "prefetch"}, True),
        ({"X-Moz": "prefetch"}, True),
        ({"X-Purpose": "preview"}, True),
        ({"Sec-Fetch-Purpose": "prefetch"}, False),
        ({}, False),
    ],
)
def test_what_counts_as_a_prefetch(given: dict[str, str], prefetch: bool) -> None:
    assert is_prefetch(CIMultiDict(given)) is prefetch


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (headers(Host="pi:8080", Origin="http://pi:8080"), True),
        (headers(Host="pi", Origin="http://pi"), True),
        (headers(Host="pi:80", Origin="http://pi"), True),
        (headers(Host="pi", Origin="https://pi"), True),  # behind a proxy that ends TLS
        (headers(Host="PI:8080", Origin="http://pi:8080"), True),
        (headers(Host="[::1]:8080", Origin="http://[::1]:8080"), True),
        (headers(Host="pi:8080", Sec_Fetch_Site="same-origin"), True),
        (headers(Host="pi:8080", Origin="http://pi:8080", Sec_Fetch_Site="same-origin"), True),
        (headers(Host="127.0.0.1:8080", Origin="http://zero.example.org:8080"), True),  # a proxy that rewrites Host
        (headers(Host="pi:8080", Origin="http://pi:3000"), False),
        (headers(Host="pi:8080", Origin="http://pi"), False),
        (headers(Host="pi:8080", Origin="http://pi:8080.evil.example"), False),
        (headers(Host="pi:8080", Origin="http://evil.example"), False),
        (headers(Host="pi:8080", Origin="null"), False),
        (headers(Host="pi:8080", Origin=""), False),
        (headers(Host="pi:8080", Origin="http://pi:8080", Sec_Fetch_Site="cross-site"), False),
        (headers(Host="pi:8080", Origin="http://evil.example", Sec_Fetch_Site="same-origin"), False),
        (headers(Host="pi:8080", Sec_Fetch_Site="same-site"), False),
        (headers(Host="pi:8080", Sec_Fetch_Site="none"), False),
        (headers(Host="pi:8080", Referer="http://pi:8080/"), False),
        (headers(Host="pi:8080"), False),
    ],
)
def test_what_proves_that_our_own_page_asks(given: CIMultiDict[str], same: bool) -> None:
    assert is_same_origin(given, CONFIG) is same


def test_an_unset_public_url_is_no_origin_of_ours() -> None:
    given = headers(Host="192.168.1.5:8080", Origin="http://localhost:8080")
    assert not is_same_origin(given, HttpConfig())


def test_two_origins_or_hosts_prove_nothing() -> None:
    doubled = CIMultiDict([("Host", "pi"), ("Origin", "http://pi"), ("Origin", "http://evil.example")])
    assert not is_same_origin(doubled, CONFIG)
    hosts = CIMultiDict([("Host", "pi"), ("Host", "evil.example")])
    with pytest.raises(RefusedError, match="not known here"):
        verdict("GET", hosts, CONFIG)


@pytest.mark.parametrize(
    "url",
    [
        "http://zero.example.org:3000/d/zero-export",  # Grafana is taken to be next door
        "http://zero.example.org:8080/",
        "https://grafana.example.org",
        "https://grafana.example.org:443/d/x?orgId=1&from=now-6h#panel",
        "HTTPS://GRAFANA.example.org/d/x",
        "http://[fd00::5]:3000/d/x",
        "https://grafana.example.org?x=//evil.example",
    ],
)
def test_redirects_that_are_followed(url: str) -> None:
    assert safe_redirect(url, CONFIG) == url


def test_letters_in_a_redirect_are_encoded() -> None:
    assert safe_redirect("https://grafana.example.org/d/x?name=Küche", CONFIG).endswith("?name=K%C3%BCche")


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
        "https:///grafana.example.org", "https:/grafana.example.org", "javascript:alert(1)", "data:text/html,x",
        "JaVaScRiPt://grafana.example.org/%0aalert(1)", "ftp://grafana.example.org/", "file:///etc/passwd",
        "http://grafana.example.org/", "https://grafana.example.org:444/", "http://zero.example.org/",
        "http://zero.example.org:3001/", "https://zero.example.org:3000/", "https://evil.example/",
        "https://grafana.example.org.evil.example/", "https://evil.example/https://grafana.example.org",
        "https://grafana.example.org@evil.example/", "https://user@grafana.example.org/",
        "https://user:secret@grafana.example.org/", "https://@grafana.example.org/",
        "https://grafana.example.org/\\evil.example", "https://grafana.example.org\\@evil.example/", "https://grafana.example.org\\.evil.example/",
        "https://grafana.example.org/\r\nSet-Cookie: a=b", "https://grafana.example.org/\n", "https://grafana.example.org/\t",
        " https://grafana.example.org/", "https://grafana.example.org /", "https://grafana.example.org/ x",
        "\thttps://grafana.example.org/", "ht\ntps://grafana.example.org/", "https://grafana.example.org\x00/",
        "https://grafana.example.org\x7f/", "https://grafana.example.org/\x85", "https://grafana.example.org/\u2028",
        "https://grafana.example.org:99999/", "https://grafana.example.org:port/", "https://[grafana.example.org/",
        "http://[fd00::5].evil.example:3000/", "http://[fd00::5]@evil.example:3000/", "https://grafana.example.org./",
        "https://ｇrafana.example.org/", "https://grafana%2eexample.org/",
        "https://grafana.example.org;@evil.example/", "https://grafana.example.org&@evil.example#",
        "https://grafana.example.org/\ud800", "https://grafana.example.org/" + "x" * 2100,
        "view-source:https://grafana.example.org/", "blob:https://grafana.example.org/x", "*", "null",
    ],
)  # fmt: skip
def test_redirects_that_lead_nowhere(url: str) -> None:
    with pytest.raises(RefusedError) as refused:
        safe_redirect(url, CONFIG)
    assert refused.value.status == 400
    assert "http.allowed_origins" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ("Bearer sun", "sun"),
        ("bearer sun", "sun"),
        ("Bearer  sun ", "sun"),
        ("Bearer ", ""),
        ("Basic sun", ""),
        ("sun", ""),
        ("Bearer s\udcfcn", "s\udcfcn"),
        ("", ""),
    ],
)
def test_bearer_tokens(given: str, token: str) -> None:
    assert bearer(headers(Authorization=given)) == token


def test_two_tokens_are_none() -> None:
    assert bearer(CIMultiDict([("Authorization", "Bearer sun"), ("Authorization", "Bearer rain")])) == ""
