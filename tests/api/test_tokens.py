"""Two tokens: one that may only look, one that may change; no route is forgotten, and nobody guesses for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from app.api.door import MAX_ADDRESSES, Guesses, client
from app.api.guard import RefusedError
from app.beside import controller_url
from app.config import Config, HttpConfig
from app.model import Settings

from .conftest import CHROME, Build, House
from .ticks import make_tick

READ, CONTROL = "only-looking-7f3a", "may-change-91bc"
FREE = {"/", "/web/{name}", "/healthz"}  # the page without values, and what a supervisor asks
CHANGES = {"/api/toggle"}  # GET, and yet a change
BODIES = {
    "/api/settings": {"enabled": False},
    "/api/override": {"mode": "open", "minutes": 30},
    "/api/step-test": {"serial": "116180400001"},
    "/api/ensemble": {"action": "reserve", "soc_pct": 20},
}
ACCEPTED = {("POST", "/api/step-test"): 202, ("POST", "/api/ensemble"): 409}  # here is no gateway with storage


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.fixture
async def guarded(build: Build) -> House:
    house = await build(token=CONTROL, read_token=READ)
    house.hub.publish(make_tick())
    return house


def routes(house: House) -> list[tuple[str, str]]:
    found = house.server.application().router.routes()
    return sorted((route.method, route.resource.canonical if route.resource else "") for route in found)


async def status_of(house: House, method: str, path: str, headers: dict[str, str]) -> int:
    """The status alone: an event stream has no end to wait for."""
    body = BODIES[path] if method in ("PUT", "POST") and path in BODIES else None
    url = house.url + path.replace("{name}", "app.js")
    async with house.client.request(method, url, headers=headers, allow_redirects=False, json=body) as response:
        return response.status


async def test_every_route_without_with_a_wrong_and_with_each_token(guarded: House) -> None:
    seen = 0
    for method, path in routes(guarded):
        change = method not in ("GET", "HEAD") or path in CHANGES
        expected = {"": 401, "wrong-token-1": 401, READ: 403 if change else 200, CONTROL: 200}
        for token, status in expected.items():
            guarded.now_s += 61.0  # wrong tokens are counted by the minute
            before = guarded.store.current, guarded.tests.request
            answered = await status_of(guarded, method, path, bearer(token))
            where = f"{method} {path} with {token or 'no token'}"
            if path in FREE:
                assert answered not in (401, 403), where
            else:
                assert answered == (ACCEPTED.get((method, path), 200) if status == 200 else status), where
            if token != CONTROL:
                assert before == (guarded.store.current, guarded.tests.request), where
            seen += 1
    assert seen >= 80, "the router has lost its routes"


async def test_without_a_read_token_looking_is_free_and_changing_is_not(build: Build) -> None:
    house = await build(token=CONTROL)
    for method, path in routes(house):
        change = method not in ("GET", "HEAD") or path in CHANGES
        assert (await status_of(house, method, path, {}) == 401) is change, f"{method} {path}"


async def test_the_refusals_say_what_to_do_and_repeat_no_token(guarded: House) -> None:
    response, data = await guarded.ask("GET", "/api/status", headers=bearer("wrong-token-1"))
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer <http.read_token>" in data["error"]
    response, data = await guarded.ask("PUT", "/api/settings", headers=bearer(READ), json={"enabled": False})
    assert (response.status, guarded.enabled) == (403, True)
    assert response.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    assert "a change needs the one of http.token" in data["error"]
    assert READ not in str(data)


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", READ, f"Basic {READ}", f"Token {READ}", f"Bearer {READ}x", f"Bearer x{READ}",
        f"Bearer {READ.upper()}", f'Bearer "{READ}"', f"Bearer {READ}, Bearer {READ}", f"Bearer {READ}\t{CONTROL}",
    ],
)  # fmt: skip
async def test_what_is_no_token(guarded: House, header: str) -> None:
    response, _ = await guarded.ask("GET", "/api/status", headers={"Authorization": header})
    assert response.status == 401


async def test_a_token_counts_in_no_other_place(guarded: House) -> None:
    for path, headers in [
        (f"/api/status?token={READ}&access_token={READ}", {}),
        ("/api/status", {"Cookie": f"token={READ}", "X-Api-Key": READ, "Proxy-Authorization": f"Bearer {READ}"}),
    ]:
        response, _ = await guarded.ask("GET", path, headers=headers)
        assert response.status == 401


async def test_the_page_that_asks_tells_a_stranger_nothing(guarded: House) -> None:
    pages = []
    for enabled in (True, False):
        guarded.store.update(enabled=enabled, source="test")
        _, page = await guarded.ask("GET", "/api/toggle", headers=CHROME)
        pages.append(page)
    assert pages[0] == pages[1]
    assert "Switch over" in pages[0]
    _, page = await guarded.ask("GET", "/api/toggle?state=off", headers=CHROME)
    assert "Switch off" in page
    assert " now." not in page
    own = CHROME | bearer(CONTROL) | {"Origin": guarded.url}
    response, data = await guarded.ask("POST", "/api/toggle", headers=own)
    assert (response.status, data) == (200, {"enabled": "on"})


async def test_a_signed_link_needs_no_token_and_a_forged_one_asks(guarded: House) -> None:
    response, _ = await guarded.ask("GET", guarded.link("off"), headers=CHROME)
    assert (response.status, guarded.enabled) == (303, False)
    response, _ = await guarded.ask("GET", guarded.link("on", key=b"x" * 32), headers=CHROME)
    assert (response.status, guarded.enabled) == (200, False)


class TestGuessing:
    """Five wrong tokens a minute, for each client."""

    async def test_the_sixth_is_refused_unseen_even_if_it_is_right(self, guarded: House) -> None:
        for number in range(5):
            response, _ = await guarded.ask("GET", "/api/status", headers=bearer(f"guess-{number}"))
            assert response.status == 401
        for token in ("guess-6", READ, CONTROL):
            response, data = await guarded.ask("PUT", "/api/settings", headers=bearer(token), json={"enabled": False})
            assert (response.status, response.headers["Retry-After"], guarded.enabled) == (429, "60", True)
            assert "5 wrong tokens came from this address" in data["error"]
        guarded.now_s += 60.0
        response, _ = await guarded.ask("PUT", "/api/settings", headers=bearer(CONTROL), json={"enabled": False})
        assert (response.status, guarded.enabled) == (200, False)

    async def test_guesses_are_counted_over_all_routes_and_scopes(self, guarded: House) -> None:
        asked = [("GET", "/api/status"), ("GET", "/metrics"), ("GET", "/api/toggle"), ("DELETE", "/api/step-test")]
        for number, (method, path) in enumerate([*asked, ("GET", "/api/history")]):
            assert await status_of(guarded, method, path, bearer(f"guess-{number}")) == 401
        assert await status_of(guarded, "GET", "/api/events", bearer("guess-9")) == 429

    async def test_an_old_token_in_a_script_keeps_nobody_else_out(self, guarded: House) -> None:
        statuses = [await status_of(guarded, "GET", "/metrics", bearer("old-token-1")) for _ in range(9)]
        assert statuses == [401] * 5 + [429] * 4
        assert await status_of(guarded, "GET", "/metrics", bearer(READ)) == 200

    async def test_whoever_sends_no_token_guesses_nothing(self, guarded: House) -> None:
        for _ in range(10):
            assert await status_of(guarded, "GET", "/api/status", {}) == 401
        assert await status_of(guarded, "GET", "/api/status", bearer(READ)) == 200

    async def test_a_signed_link_works_meanwhile(self, guarded: House) -> None:
        for number in range(6):
            await guarded.ask("GET", "/api/status", headers=bearer(f"guess-{number}"))
        response, _ = await guarded.ask("GET", guarded.link("off"), headers=CHROME)
        assert (response.status, guarded.enabled) == (303, False)

    async def test_a_foreign_page_cannot_lock_its_visitor_out(self, guarded: House) -> None:
        """It can send no Authorization: the browser asks first, and is told no."""
        headers = CHROME | {
            "Origin": "http://evil.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        response, _ = await guarded.ask("OPTIONS", "/api/status", headers=headers)
        assert response.status == 405
        assert "Access-Control-Allow-Headers" not in response.headers

    def test_each_client_has_its_own_count_and_there_is_room_for_so_many(self) -> None:
        guesses = Guesses(lambda: 100.0)
        for number in range(5):
            guesses.of("10.0.0.5").wrong(f"guess-{number}")
        with pytest.raises(RefusedError):
            guesses.of("10.0.0.5").begin("guess-7")
        guesses.of("10.0.0.6").begin("guess-7")
        for number in range(2 * MAX_ADDRESSES):
            guesses.of(f"client {number}").wrong("guess")
            with pytest.raises(RefusedError):
                guesses.of("10.0.0.5").begin("guess-7")  # whoever keeps trying is not forgotten
        assert len(guesses._clients) == MAX_ADDRESSES

    def test_what_is_one_client(self) -> None:
        assert client("192.168.1.7") == client("::ffff:192.168.1.7") == "192.168.1.7"
        assert client("fd00::1:2:3:4") == client("fd00::ffff:1") == "fd00::/64"
        assert client("fe80::1%eth0") == client("fe80::2%wlan0")
        assert client("fd00::1") != client("fd00:0:0:1::1")
        assert client(None) == client("") == client("unix") == ""


async def test_doctor_finds_a_controller_whose_status_needs_a_token(guarded: House) -> None:
    document = {
        "meter": {"type": "shelly", "host": "10.0.0.5"},
        "inverters": [{"serial": "116180400001", "max_watt": 1500}],
        "http": {"host": "127.0.0.1", "port": guarded.server.port, "token": CONTROL, "read_token": READ},
    }
    assert await controller_url(Config.model_validate(document)) == guarded.url
    del document["http"]["read_token"]  # type: ignore[attr-defined]
    assert await controller_url(Config.model_validate(document)) is None


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ({"token": "short"}, "at least 8"),
        ({"token": "with a blank"}, "without spaces"),
        ({"token": "umläute-sind-schön"}, "of ASCII"),
        ({"token": "line\nbreak-1"}, "of ASCII"),
        ({"token": "changeme"}, "anybody tries"),
        ({"token": "CHANGE_ME_NOW"}, "anybody tries"),
        ({"token": "Password123"}, "anybody tries"),
        ({"token": "secret-1"}, "anybody tries"),
        ({"token": "12345678"}, "anybody tries"),
        ({"token": "********"}, "anybody tries"),
        ({"token": "zero-export"}, "anybody tries"),
        ({"token": CONTROL, "read_token": "admin-123"}, "anybody tries"),
        ({"token": CONTROL, "read_token": "short"}, "at least 8"),
        ({"token": CONTROL, "read_token": CONTROL}, "the same"),
        ({"read_token": READ}, "set http.token too"),
    ],
)
def test_weak_tokens_are_refused_and_never_shown(tokens: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpConfig(**tokens)
    [problem] = caught.value.errors()
    assert text in problem["msg"]
    assert not any(token in problem["msg"] for token in tokens.values())


def test_good_tokens_are_taken() -> None:
    assert HttpConfig(token="0f4b2c9d8e7a6b51", read_token="xK7-pq_29~A.").read_token == "xK7-pq_29~A."


async def test_a_page_that_looks_on_keeps_looking_while_somebody_guesses(guarded: House) -> None:
    async with guarded.client.get(guarded.url + "/api/events", headers=bearer(READ)) as stream:
        for number in range(6):
            await guarded.ask("GET", "/api/status", headers=bearer(f"guess-{number}"))
        guarded.hub.publish(make_tick(reason="still here"))
        async with asyncio.timeout(30):
            while b"still here" not in await stream.content.readline():
                pass
    assert guarded.store.current == Settings()
