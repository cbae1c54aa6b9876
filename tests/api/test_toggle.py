"""The toggle over real HTTP: who may flip it, and who changes nothing."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from urllib.parse import quote, urlencode

import pytest

from .conftest import CHROME, Build, House

GRAFANA = "http://localhost:3000/d/zero-export"


async def test_curl_flips_it_and_flips_it_back(house: House) -> None:
    response, data = await house.ask("GET", "/api/toggle")
    assert (response.status, data, house.enabled) == (200, {"enabled": "off"}, False)
    assert response.headers["Cache-Control"] == "no-store"
    _, data = await house.ask("GET", "/api/toggle")
    assert (data, house.enabled) == ({"enabled": "on"}, True)


async def test_curl_sets_it_as_often_as_it_likes(house: House) -> None:
    for _ in range(2):
        _, data = await house.ask("GET", "/api/toggle?state=off")
        assert (data, house.enabled) == ({"enabled": "off"}, False)
    _, data = await house.ask("POST", "/api/toggle?state=on")
    assert (data, house.enabled) == ({"enabled": "on"}, True)


async def test_curl_follows_a_redirect_to_grafana(house: House) -> None:
    response, _ = await house.ask("GET", f"/api/toggle?state=off&redirect={quote(GRAFANA)}")
    assert (response.status, response.headers["Location"], house.enabled) == (303, GRAFANA, False)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("redirect", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/", ""])
async def test_a_bad_redirect_changes_nothing(house: House, redirect: str) -> None:
    response, data = await house.ask("GET", f"/api/toggle?state=off&{urlencode({'redirect': redirect})}")
    assert (response.status, house.enabled, "Location" in response.headers) == (400, True, False)
    assert "http.allowed_origins" in data["error"]


@pytest.mark.parametrize(
    "raw", ["http://localhost:3000/%0d%0aSet-Cookie:%20a=b", "http://localhost:3000%0a@evil.example/"]
)
async def test_line_breaks_in_a_redirect_reach_no_header(house: House, raw: str) -> None:
    response, _ = await house.ask("GET", f"/api/toggle?state=off&redirect={raw}")
    assert (response.status, house.enabled, "Set-Cookie" in response.headers) == (400, True, False)


@pytest.mark.parametrize(
    "query", ["state=maybe", "state=", "state=ON", "state=1", "state=on&state=off", "redirect=a&redirect=b"]
)
async def test_nonsense_changes_nothing(house: House, query: str) -> None:
    response, data = await house.ask("GET", f"/api/toggle?{query}")
    assert (response.status, house.enabled) == (400, True)
    assert data["error"]


async def test_a_body_is_refused_rather_than_overlooked(house: House) -> None:
    response, data = await house.ask("POST", "/api/toggle", json={"state": "on"})
    assert (response.status, house.enabled) == (400, True)
    assert "in the URL" in data["error"]


FOREIGN = [
    CHROME,
    CHROME | {"Referer": "http://evil.example/"},
    CHROME | {"Referer": "http://localhost:3000/d/zero-export"},
    CHROME | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"},
    CHROME | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    CHROME | {"Sec-Fetch-Site": "same-origin"},
    CHROME | {"Origin": "http://evil.example"},
    CHROME | {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Referer": "http://evil.example/"},
    {"Sec-Fetch-Dest": "script"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_browser_without_proof_gets_a_page_that_asks(house: House, headers: dict[str, str]) -> None:
    response, page = await house.ask("GET", "/api/toggle?state=off", headers=headers)
    assert (response.status, response.content_type, house.enabled) == (200, "text/html", True)
    assert response.headers["Cache-Control"] == "no-store"
    assert "<form" in page
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("headers", [h for h in FOREIGN if h not in (CHROME, FOREIGN[5])])
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/toggle?state=off"), ("PUT", "/api/settings")])
async def test_a_foreign_page_cannot_post(house: House, headers: dict[str, str], method: str, path: str) -> None:
    body = {} if method == "POST" else {"json": {"enabled": False}}
    response, data = await house.ask(method, path, headers=headers, **body)
    assert (response.status, house.enabled) == (403, True)
    assert "another page" in data["error"]


async def test_the_button_of_that_page_keeps_state_and_redirect(house: House) -> None:
    redirect = f"{GRAFANA}?a=1&b=2"
    _, page = await house.ask("GET", f"/api/toggle?{urlencode({'state': 'off', 'redirect': redirect})}", headers=CHROME)
    found = re.search(r'action="([^"]+)"', page)
    assert found is not None
    own = CHROME | {"Origin": house.url, "Accept": "text/html,application/xhtml+xml"}
    response, _ = await house.ask("POST", "/api/toggle" + unescape(found[1]), headers=own)
    assert (response.status, response.headers["Location"], house.enabled) == (303, redirect, False)


async def test_the_page_that_asks_repeats_nothing_as_html(house: House) -> None:
    redirect = f"{GRAFANA}?a='\"><script>alert(1)</script>"
    path = f"/api/toggle?{urlencode({'state': 'off', 'redirect': redirect, 'sig': '<b>', 'exp': '<b>'})}"
    _, page = await house.ask("GET", path, headers=CHROME)
    assert "alert(1)" in page
    assert "<script>" not in page
    assert "<b>" not in page
    assert page.count('"') % 2 == 0


async def test_without_a_state_the_button_names_the_opposite(house: House) -> None:
    _, page = await house.ask("GET", "/api/toggle", headers=CHROME)
    assert 'action="?state=off"' in page
    own = CHROME | {"Origin": house.url, "Accept": "text/html"}
    for _ in range(2):  # a double click sets the same state twice
        response, _ = await house.ask("POST", "/api/toggle?state=off", headers=own)
        assert (response.status, response.headers["Location"], house.enabled) == (303, "../", False)
    _, page = await house.ask("GET", "/api/toggle", headers=CHROME)
    assert 'action="?state=on"' in page


@pytest.mark.parametrize("proof", ["Origin", "Sec-Fetch-Site"])
async def test_our_own_page_may(house: House, proof: str) -> None:
    own = CHROME | {proof: house.url if proof == "Origin" else "same-origin"}
    response, data = await house.ask("POST", "/api/toggle", headers=own)
    assert (response.status, data, house.enabled) == (200, {"enabled": "off"}, False)


async def test_one_click_on_a_signed_link(house: House) -> None:
    coming = CHROME | {
        "Referer": "http://localhost:3000/",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
    }
    for _ in range(2):
        response, _ = await house.ask("GET", house.link("off"), headers=coming)
        assert (response.status, response.headers["Location"], house.enabled) == (303, GRAFANA, False)
    response, _ = await house.ask("GET", house.link("on"), headers=coming)
    assert (response.status, house.enabled) == (303, True)


@pytest.mark.parametrize("spoil", ["expired", "state", "exp", "sig", "key"])
async def test_a_spoilt_link_changes_nothing(house: House, spoil: str) -> None:
    link = {
        "expired": house.link("off", lasts_s=-1.0),
        "state": house.link("on").replace("state=on", "state=off"),
        "exp": re.sub(r"exp=\d+", "exp=99999999999", house.link("off")),
        "sig": re.sub(r"sig=\w{4}", "sig=0000", house.link("off")),
        "key": house.link("off", key=b"x" * 32),
    }[spoil]
    response, page = await house.ask("GET", link, headers=CHROME)
    assert (response.status, response.content_type, house.enabled) == (200, "text/html", True)
    assert ("expired" in page) is (spoil == "expired")
    assert "sig=" not in page
    response, data = await house.ask("GET", link)
    assert (response.status, house.enabled) == (403, True)
    assert data["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
    ],
)
async def test_a_prefetch_changes_nothing_even_of_a_signed_link(house: House, headers: dict[str, str]) -> None:
    for path in (house.link("off"), "/api/toggle"):
        for agent in ({}, CHROME):
            response, _ = await house.ask("GET", path, headers=headers | agent)
            assert (response.status, house.enabled) == (403, True)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE"])
async def test_other_methods_change_nothing(house: House, method: str) -> None:
    for path in (house.link("off"), "/api/toggle", "/api/settings", "/api/events"):
        for headers in ({}, {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}):
            response, _ = await house.ask(method, path, headers=headers)
            assert (response.status, house.enabled) == (405, True)
            assert not [name for name in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""])
async def test_an_unknown_host_reads_and_never_changes(house: House, host: str) -> None:
    own = {"Host": host}
    response, _ = await house.ask("GET", "/api/status", headers=own)
    assert response.status == 200
    rebound = own | CHROME | {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    for method, path, headers in [
        ("GET", "/api/toggle", own),
        ("GET", house.link("off"), own),
        ("POST", "/api/toggle?state=off", rebound),
        ("PUT", "/api/settings", rebound | {"Content-Type": "application/json"}),
    ]:
        body = {"data": b'{"enabled": false}'} if method == "PUT" else {}
        response, data = await house.ask(method, path, headers=headers, **body)
        assert (response.status, house.enabled) == (421, True)
        assert "http.allowed_hosts" in data["error"]


async def test_a_configured_host_may(build: Build) -> None:
    house = await build(allowed_hosts=("zero.example.org",))
    response, _ = await house.ask("GET", "/api/toggle", headers={"Host": "zero.example.org:8080"})
    assert (response.status, house.enabled) == (200, False)


async def test_a_request_without_host_changes_nothing(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /api/toggle HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert b" 421 " in answer.split(b"\r\n")[0]
    assert house.enabled


class TestToken:
    """With `http.token`, everybody but signed links needs it."""

    async def test_without_or_with_a_wrong_one_nothing_changes(self, build: Build) -> None:
        house = await build(token="sunshine")
        for headers in ({}, {"Authorization": "Bearer rain"}, {"Authorization": "Basic c3Vuc2hpbmU="}):
            for method, path, body in [
                ("GET", "/api/toggle", {}),
                ("POST", "/api/toggle", {}),
                ("PUT", "/api/settings", {"json": {"enabled": False}}),
                ("POST", "/api/settings", {"json": {"enabled": False}}),
            ]:
                response, data = await house.ask(method, path, headers=headers, **body)
                assert (response.status, house.enabled) == (401, True)
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert "sunshine" not in data["error"]

    async def test_with_it_curl_and_our_page_may(self, build: Build) -> None:
        house = await build(token="sunshine")
        token = {"Authorization": "Bearer sunshine"}
        response, _ = await house.ask("GET", "/api/toggle", headers=token)
        assert (response.status, house.enabled) == (200, False)
        own = token | CHROME | {"Origin": house.url}
        response, _ = await house.ask("PUT", "/api/settings", headers=own, json={"enabled": True})
        assert (response.status, house.enabled) == (200, True)

    async def test_it_does_not_stand_in_for_a_browsers_proof(self, build: Build) -> None:
        house = await build(token="sunshine")
        foreign = CHROME | {"Authorization": "Bearer sunshine", "Origin": "http://evil.example"}
        response, _ = await house.ask("POST", "/api/toggle", headers=foreign)
        assert (response.status, house.enabled) == (403, True)

    async def test_a_signed_link_needs_none(self, build: Build) -> None:
        house = await build(token="sunshine")
        response, _ = await house.ask("GET", house.link("off"), headers=CHROME)
        assert (response.status, house.enabled) == (303, False)

    async def test_reading_needs_none(self, build: Build) -> None:
        house = await build(token="sunshine")
        for path in ("/api/status", "/", "/metrics", "/api/history", "/openapi.json"):
            response, _ = await house.ask("GET", path)
            assert response.status == 200
